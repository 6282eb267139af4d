"""What losing the store's primary costs under load: how many errors and for how long, and what is unknown afterwards.

Two gateways mint and revoke. What they acknowledged is looked up in the store when everything is over: a session whose
credentials were handed out and that is not there was lost; one that was revoked and is there again would be worse.
"""

import asyncio
import base64
import re
import secrets
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import sts
from benchmarks.report import Table
from broker.clock import utc_now
from broker.stores import open_store
from tests.fakes.deployments import Deployment, RedisCluster, SentinelTrio
from tests.gateway import Gateway, running, write_configuration

BEFORE, AFTER = 3.0, 9.0
"""Seconds of load before the loss and after it."""
CLIENTS = 6
"""At each gateway, one more that revokes; each waits `PAUSE` seconds after an error, as SDKs do."""
PAUSE = 0.1
_CREDENTIALS = re.compile(
    r"<AccessKeyId>(.*?)</AccessKeyId>\s*<SecretAccessKey>(.*?)</SecretAccessKey>\s*<SessionToken>(.*?)</SessionToken>"
)


@dataclass(slots=True)
class Seen:
    """What the clients were told. `refused`: when, by the monotonic clock, at each path."""

    minted: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    refused: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0


def run() -> Table:
    """Every loss, with `store.wait_for_replicas` and without."""
    table = Table(
        f"Losing the primary, two gateways with {CLIENTS} clients each, down-after and cluster-node-timeout 1 s",
        [
            *("store", "loss", "wait_for_replicas", "handed out", "of these lost", "revoked", "of these alive"),
            *("minting refused", "for", "revoking refused", "for", "slowest answer"),
        ],
    )
    losses: Sequence[tuple[str, Callable[[Path], Deployment], str, Callable[[Deployment], None]]] = (
        ("Sentinel, 2 replicas", lambda path: SentinelTrio(path, replicas=2, appendfsync="everysec"), "kill -9", _kill),
        (
            "Sentinel, 2 replicas",
            lambda path: SentinelTrio(path, replicas=2, appendfsync="everysec"),
            "promotion beside it",
            _promote,
        ),
        (
            "Cluster, 1 replica each",
            lambda path: RedisCluster(path, replicas=1, appendfsync="everysec"),
            "kill -9",
            _kill,
        ),
    )
    for store, make, name, lose in losses:
        for wait in (False, True):
            seen, lost, alive = _measure(make, lose, wait=wait)
            if unexpected := seen.statuses.keys() - {200, 401, 503}:
                raise RuntimeError(f"unexpected answers: {unexpected}")
            table.add(
                *(store, name, "yes" if wait else "no"),
                *(str(number) for number in (len(seen.minted), lost, len(seen.revoked), alive)),
                *(cell for errors in (seen.refused["/"], seen.refused["/oauth2/revoke"]) for cell in _span(errors)),
                f"{seen.slowest:.1f} s",
            )
    return table


def _span(errors: Sequence[float]) -> tuple[str, str]:
    return str(len(errors)), f"{max(errors) - min(errors):.1f} s" if errors else ""


def _kill(deployment: Deployment) -> None:
    if isinstance(deployment, SentinelTrio):
        deployment.primary.kill()
    if isinstance(deployment, RedisCluster):
        deployment.primaries[1].kill()


def _promote(deployment: Deployment) -> None:
    """The old primary lives and takes writes until it hears of it: so does one that is cut off."""
    if isinstance(deployment, SentinelTrio):
        deployment.fail_over()


def _measure(
    make: Callable[[Path], Deployment], lose: Callable[[Deployment], None], *, wait: bool
) -> tuple[Seen, int, int]:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        deployment = stack.enter_context(make(Path(directory) / "store"))
        settings = {
            "server": {"public_url": "http://localhost:8080"},
            "keys": {"master": base64.b64encode(secrets.token_bytes(32)).decode()},
            "store": {"url": deployment.url, "wait_for_replicas": wait},
        }
        urls = []
        for name in ("one", "two"):
            write_configuration(Path(directory) / name, sts.ACCOUNTS, settings)
            urls.append(stack.enter_context(running(Gateway(Path(directory) / name))).url)
        return asyncio.run(_load(deployment, urls, lose))


async def _load(
    deployment: Deployment, urls: Sequence[str], lose: Callable[[Deployment], None]
) -> tuple[Seen, int, int]:
    seen, until = Seen(), time.monotonic() + BEFORE + AFTER
    async with aiohttp.ClientSession() as http:
        clients = [asyncio.create_task(_mint(http, url, seen, until)) for url in urls for _ in range(CLIENTS)]
        clients += [asyncio.create_task(_mint(http, url, seen, until, revoking=True)) for url in urls]
        await asyncio.sleep(BEFORE)
        await asyncio.to_thread(lose, deployment)
        await asyncio.gather(*clients)
    store = open_store(deployment.url, now=utc_now, random=secrets.token_bytes)
    found = {key: await store.get(f"session:{key}") for key in seen.minted}
    await store.close()
    lost = sum(record is None for record in found.values())
    alive = sum(bool(found[key]) for key in seen.revoked)
    return seen, lost, alive


async def _mint(http: aiohttp.ClientSession, url: str, seen: Seen, until: float, *, revoking: bool = False) -> None:
    """Mint without end; with `revoking`, end each session a little later, however often that has to be tried."""
    role = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleSessionName": "bench", **sts.CALLS["AssumeRole"]}
    while time.monotonic() < until:
        status, answer = await _post(http, url + "/", role, Credentials(*sts.KEY.values()), seen)
        if status != 200:
            continue
        key, secret, token = map(unescape, _CREDENTIALS.findall(answer)[0])
        seen.minted.append(key)
        if revoking:
            await asyncio.sleep(PAUSE)
            own = Credentials(key, secret, token)
            while (status := (await _post(http, url + "/oauth2/revoke", {"token": token}, own, seen))[0]) == 503:
                if time.monotonic() > until:
                    return
            if status == 200:
                seen.revoked.add(key)


async def _post(
    http: aiohttp.ClientSession, url: str, form: Mapping[str, str], keys: Credentials, seen: Seen
) -> tuple[int, str]:
    request = AWSRequest("POST", url, data=urlencode(form))
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    SigV4Auth(keys, "sts", "us-east-1").add_auth(request)
    begun = time.monotonic()
    async with http.post(url, data=request.data, headers=dict(request.headers)) as answer:
        text = await answer.text()
    seen.slowest = max(seen.slowest, time.monotonic() - begun)
    seen.statuses[answer.status] += 1
    if answer.status == 503:
        seen.refused[urlsplit(url).path].append(begun)
        await asyncio.sleep(PAUSE)
    return answer.status, text

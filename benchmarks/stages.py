"""Where the time of one AssumeRole goes: each stage alone, in CPU microseconds, in one process."""

import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import sts as calls
from benchmarks.report import Table
from broker.api import forms, params, render, sts
from broker.api.events import Event, identity_of, listed
from broker.api.received import BODY_LIMIT
from broker.api.sts.assume_role import ACTION, Request
from broker.api.sts.shapes import assumed_role_user, credentials
from broker.audit import Trail
from broker.clock import utc_now
from broker.directory.files import load
from broker.flows.assume import Assumed
from broker.flows.caller import Caller, Wire, caller_keys, request_keys, user_caller
from broker.policy import Policies, RequestContext, decide
from broker.policy import Request as PolicyRequest
from broker.sealing import MasterKeys
from broker.sessions import token
from broker.sessions.keyring import Keyring
from broker.sessions.model import Grant, SessionKind
from broker.sessions.sessions import Sessions
from broker.settings import Overrides
from broker.sigv4 import HttpRequest, SigningKeys, check_scope, check_time, matches, present
from broker.stores import open_store
from broker.stores.embedded import EmbeddedServer
from tests.gateway import Gateway, running, write_configuration

TURNS = 400
AT_ONCE = 16
ROUNDS = 5


def _cpu(work: Callable[[], object]) -> float:
    """CPU microseconds of one call, the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(TURNS):
            work()
        best = min(best, (time.process_time() - begun) / TURNS * 1e6)
    return best


async def _cpu_async(work: Callable[[], Awaitable[object]]) -> float:
    """CPU microseconds of one call among sixteen at once, the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(TURNS // AT_ONCE):
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        best = min(best, (time.process_time() - begun) / (TURNS // AT_ONCE * AT_ONCE) * 1e6)
    return best


def run() -> Table:
    """Every stage, and what is left of the whole for HTTP and the event loop."""
    with tempfile.TemporaryDirectory() as directory:
        write_configuration(Path(directory), calls.ACCOUNTS)
        with running(Gateway(Path(directory))) as gateway:
            if gateway.process is None:
                raise RuntimeError("the gateway is not running")
            whole = calls.measure(gateway.process.pid, gateway.url, ["AssumeRole"])["AssumeRole"].cpu_us
        with tempfile.TemporaryDirectory() as state:
            stages = uvloop.run(_stages(Path(directory), Path(state)))
    table = Table("One AssumeRole, stage by stage", ["stage", "CPU us", "share"])
    for name, cost in stages.items():
        table.add(name, f"{cost:.0f}", f"{cost / whole:.0%}")
    rest = whole - sum(stages.values())
    table.add("HTTP, event loop and the rest", f"{rest:.0f}", f"{rest / whole:.0%}")
    table.add("whole", f"{whole:.0f}", "100%")
    return table


async def _stages(directory: Path, state: Path) -> dict[str, float]:
    snapshot = load(directory, environ={}, overrides=Overrides(state=state))
    url = "http://127.0.0.1:8080"
    head, _, body = calls.signed(url, "AssumeRole")[0].partition(b"\r\n\r\n")
    headers = [tuple(line.decode().split(": ", 1)) for line in head.split(b"\r\n")[1:]]
    http = HttpRequest("POST", "/", "", headers)  # type: ignore[arg-type]
    presented, keys = present(http), SigningKeys()
    digest = hashlib.sha256(body).hexdigest()
    now = utc_now()
    wire = Wire(source_ip="127.0.0.1", secure=False, user_agent="bench", request_id="0" * 36)
    user = snapshot.user("arn:aws:iam::111122223333:user/alice")
    role = snapshot.role(calls.ROLE)
    if user is None or role is None:
        raise RuntimeError("the benchmark's configuration lacks its entities")
    caller = user_caller(snapshot, user, calls.KEY["AccessKeyId"])
    server = EmbeddedServer(state)
    server.start()
    store = open_store(server.url, now=utc_now, random=secrets.token_bytes)
    masters = MasterKeys([secrets.token_bytes(32)], secrets.token_bytes)
    keyring = Keyring(store, masters, now=utc_now, rotate_every=snapshot.settings.keys.rotate_every)
    await keyring.refresh()
    sessions = Sessions(store, keyring, masters, issuer=url, now=utc_now, random=secrets.token_bytes)
    issued_at = int(now.timestamp())
    grant = Grant(
        kind=SessionKind.ASSUMED_ROLE,
        account=role.account,
        arn="arn:aws:sts::444455556666:assumed-role/deploy/bench",
        user_id=f"{role.unique_id}:bench",
        principal_arn=role.arn,
        principal_id=role.unique_id,
        name="bench",
        issued_at=issued_at,
        expires_at=issued_at + 3600,
        source_ip="127.0.0.1",
    )
    parameters = forms.parameters("", body, content_type="application/x-www-form-urlencoded", limit=BODY_LIMIT)

    def signature() -> object:
        given = present(http)
        check_time(given, now)
        check_scope(given, services={"sts"})
        return matches(http, given, digest, keys.derive(calls.KEY["SecretAccessKey"], presented))

    def decision() -> object:
        return _decide(caller, role, wire)

    minted = await sessions.mint(grant, principal_tags={})
    assumed = Assumed(session=minted.session, credentials=minted.credentials, role=role, packed_policy_size=None)

    def rendered() -> object:
        result = {"AssumedRoleUser": assumed_role_user(assumed), "Credentials": credentials(assumed.credentials)}
        return render.success("AssumeRole", result, wire.request_id, namespace=sts.SERVICE.namespace)

    event = Event(source="sts.amazonaws.com", name="AssumeRole", identity=identity_of(caller))
    trail = Trail(state / "audit")

    async def audited() -> None:
        event.parameters = listed(parameters, ACTION.audited)
        await trail.write(event.record(wire, now, wire.request_id, None))

    sign = _cpu(lambda: token.sign(grant, "ASIAX", {}, issuer=url, keyring=keyring))
    stages = {
        "form to parameters": _cpu(
            lambda: forms.parameters("", body, content_type="application/x-www-form-urlencoded", limit=BODY_LIMIT)
        ),
        "signature (SigV4)": _cpu(signature),
        "parameters to types": _cpu(lambda: params.parse(Request, parameters)),
        "context and policy decision": _cpu(decision),
        "session token (ES256)": sign,
        "record in the store": await _cpu_async(lambda: sessions.mint(grant, principal_tags={})) - sign,
        "answer as XML": _cpu(rendered),
        "audit record": await _cpu_async(audited),
    }
    trail.close()
    await store.close()
    server.stop()
    return stages


def _decide(caller: Caller, role: Any, wire: Wire) -> object:
    now = utc_now()
    single, many = caller_keys(caller, now)
    single.update(request_keys(wire, now))
    single["sts:RoleSessionName"], single["sts:ExternalId"] = "bench", "e-1"
    policies = Policies(identity=caller.policies.identity, resource=role.trust_policy)
    asked = PolicyRequest(caller.principal, "sts:AssumeRole", role.arn, RequestContext(single, many), role.account)
    return decide(asked, policies)

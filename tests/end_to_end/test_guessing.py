"""Guessers and hung directories at a gateway as its operator runs it."""

import contextlib
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.directory_world import CORP, NO_LIMITS, PERSON, account, age_memory, provider
from tests.end_to_end.ldap_client import Refusal, sign_in
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import Slapd
from tests.gateway import Gateway, running, write_configuration

ROLE = {"RoleArn": role_arn("engineers", DEV), "ProviderArn": CORP}
BEHIND_A_PROXY = {"server": {"trusted_proxies": ["127.0.0.1/32"]}}
HANGS = 8
"""Seconds until a sign-in gives a directory up."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd"), people=1) as server:
        yield server


@contextlib.contextmanager
def serving(place: Path, settings: dict[str, Any], *providers: dict[str, Any], workers: int = 1) -> Iterator[Gateway]:
    write_configuration(place, {"dev": account(*providers)}, settings)
    with RedisServer(place / "redis") as server:
        age_memory(server.url)
        with running(Gateway(place, store=server.url, workers=workers)) as gateway:
            yield gateway


def outcome(gateway: Gateway, username: str, password: str, **more: str) -> str:
    """The code and message of the refusal, or `in`."""
    try:
        sign_in(gateway, username, password, **more, **ROLE)
    except Refusal as refusal:
        return f"{refusal.status} {refusal.code} {refusal.message}"
    return "in"


def reasons(gateway: Gateway) -> Counter[str]:
    """Why sign-ins were refused, by the audit trail."""
    return Counter(
        record["additionalEventData"]["reason"]
        for record in gateway.audit
        if record.get("errorCode") == "IDPRejectedClaim"
    )


def test_a_thousand_guesses_are_bounded_and_shut_nobody_out(directory: Slapd, tmp_path: Path) -> None:
    with serving(tmp_path, BEHIND_A_PROXY, provider(directory), workers=2) as gateway:
        home = "198.51.100.7"
        sign_in(gateway, "alice", source=home, **ROLE)

        def guess(i: int) -> str:
            name = ("alice", "alice@acme.test", "ALICE")[i % 3]
            return outcome(gateway, name, f"guess-{i}", source=f"203.0.113.{i % 250}")

        began = time.monotonic()
        with ThreadPoolExecutor(50) as pool:
            answers = set(pool.map(guess, range(1000)))
        took = time.monotonic() - began
        found = reasons(gateway)
        print(f"\n1,000 guesses at one user by three names from 250 addresses: {dict(found)}")
        assert answers == {"403 IDPRejectedClaim The user name, the password or the one-time code is not valid."}
        assert sum(found.values()) == 1000
        # Ten are borne; afterwards the delays grow: 1, 2, 4, ... seconds.
        assert found["password"] <= 12 + math.log2(1 + took)
        assert sign_in(gateway, "alice", source=home, **ROLE)["Arn"].endswith("/alice")


def test_guesses_at_many_users_from_one_address_are_bounded(directory: Slapd, tmp_path: Path) -> None:
    with serving(tmp_path, BEHIND_A_PROXY, provider(directory)) as gateway:
        with ThreadPoolExecutor(50) as pool:
            list(pool.map(lambda i: outcome(gateway, f"name{i}", "x", source="203.0.113.9"), range(400)))
        found = reasons(gateway)
        print(f"\n400 guesses at 400 names from one address: {dict(found)}")
        assert found["unknown_user"] <= 110
        assert sign_in(gateway, "alice", source="198.51.100.7", **ROLE)


def test_unknown_users_and_wrong_passwords_take_the_same_time(directory: Slapd, tmp_path: Path) -> None:
    """All refusals leave at whole quarters of a second: no answer is there sooner, and the quickest of each kind are
    there in the same quarter, however busy the machine is."""
    kinds = {"unknown": ("nobody", "x"), "wrong": ("alice", "x"), "locked": ("locked", "correct horse")}
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    with serving(tmp_path, NO_LIMITS, provider(directory)) as gateway:
        for _ in range(24):
            for kind, (username, password) in kinds.items():
                began = time.perf_counter()
                assert outcome(gateway, username, password).startswith("403 IDPRejectedClaim")
                taken[kind].append(time.perf_counter() - began)
    quickest = {kind: min(values) * 1000 for kind, values in taken.items()}
    print(f"\nquickest in ms: { ({kind: round(value, 2) for kind, value in quickest.items()}) }")
    assert {int(each // 250) for each in quickest.values()} == {1}


def test_a_hung_directory_leaves_the_others_at_their_latency(directory: Slapd, tmp_path: Path) -> None:
    with serving(tmp_path, NO_LIMITS | BEHIND_A_PROXY, provider(directory, TimeoutSeconds=HANGS)) as gateway:
        sign_in(gateway, "alice", **ROLE)
        client = gateway.client(credentials=PERSON)
        before = [_latency(client) for _ in range(60)]
        directory.pause()
        try:
            with ThreadPoolExecutor(200) as pool:
                began = time.monotonic()
                # Two hundred people, each at home: nobody waits for somebody else's count.
                sign_ins = [
                    pool.submit(outcome, gateway, f"person{i}", "x", source=f"203.0.113.{i}") for i in range(200)
                ]
                during = []
                while not all(each.done() for each in sign_ins):
                    during.append(_latency(client))
                answers = Counter(each.result()[:25] for each in sign_ins)
                took = time.monotonic() - began
        finally:
            directory.resume()
        print(
            f"\nGetCallerIdentity ms, median/95th: {_shown(before)} before, {_shown(during)} with 200 sign-ins at a "
            f"hung directory; all of those answered after {took:.1f} s: {dict(answers)}"
        )
        assert set(answers) == {"400 IDPCommunicationError"}
        # In a queue they would hang one after the other; behind the hung directory everybody would wait for it.
        assert took < 3 * HANGS
        assert statistics.median(during) < HANGS / 4


def test_passwords_that_nobody_judged_do_not_count(directory: Slapd, tmp_path: Path) -> None:
    with serving(tmp_path, {}, provider(directory, Urls=["ldap://127.0.0.1:1"], TimeoutSeconds=1)) as gateway:
        answers = {outcome(gateway, "alice", "correct horse")[:25] for _ in range(15)}
        assert answers == {"400 IDPCommunicationError"}


def _latency(client: Any) -> float:
    began = time.perf_counter()
    client.get_caller_identity()
    return time.perf_counter() - began


def _shown(latencies: list[float]) -> str:
    return f"{statistics.median(latencies) * 1000:.1f}/{statistics.quantiles(latencies, n=20)[-1] * 1000:.1f}"

"""Local users with passwords."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, Type

from providers.contract import Password
from providers.errors import ProofRejected, ProviderUnavailable
from providers.password import LocalUser, PasswordHashes, PasswordProvider, hash_password
from providers.refusal import SENTENCE
from tests.fakes.clock import Clock

RIGHT = "correct horse"
SALT = b"s" * 16


@pytest.fixture
def hashes() -> Iterator[PasswordHashes]:
    made = PasswordHashes(seconds=60)
    yield made
    made.close()


def user(encoded: str) -> LocalUser:
    return LocalUser(subject="AIDA1", username="alice", password_hash=encoded)


def provider(hashes: PasswordHashes, encoded: str) -> PasswordProvider:
    users = {"alice": user(encoded)}
    return PasswordProvider("arn:aws:iam::111122223333:root", users.get, hashes, now=Clock())


async def reason(local: PasswordProvider, username: str, password: str) -> str:
    with pytest.raises(ProofRejected) as refusal:
        await local.verify(Password(username, password))
    assert refusal.value.sentence == SENTENCE
    return refusal.value.reason


async def test_right_wrong_and_unknown(hashes: PasswordHashes) -> None:
    local = provider(hashes, hash_password(RIGHT, SALT))
    identity = await local.verify(Password("alice", RIGHT))
    assert (identity.subject, identity.methods, identity.session_name) == ("AIDA1", frozenset({"pwd"}), "alice")
    assert await reason(local, "alice", "wrong") == "password"
    assert await reason(local, "Alice", RIGHT) == "unknown_user"
    assert await reason(local, "nobody", RIGHT) == "unknown_user"
    for password in ("", RIGHT + "\0", "x" * 1025, "\ud800"):
        assert await reason(local, "alice", password) == "password"
        with pytest.raises(ValueError):
            hash_password(password, SALT)


def test_a_hash_is_argon2id_of_the_recommended_cost() -> None:
    assert hash_password(RIGHT, SALT).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_an_unknown_user_takes_the_time_of_a_wrong_password(hashes: PasswordHashes) -> None:
    local = provider(hashes, hash_password(RIGHT, SALT))
    taken: dict[str, list[float]] = {"alice": [], "nobody": []}
    for _ in range(12):
        for name, times in taken.items():
            began = time.process_time()  # of all threads, whatever else the machine is busy with
            await reason(local, name, "wrong")
            times.append(time.process_time() - began)
    known, unknown = (min(times) for times in taken.values())
    assert 0.3 < known / unknown < 3


async def test_hashes_of_other_costs_serve(hashes: PasswordHashes) -> None:
    for memory, passes, lanes in ((8192, 1, 1), (131_072, 1, 8)):
        encoded = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=lanes).hash(RIGHT)
        local = provider(hashes, encoded)
        assert await reason(local, "alice", "wrong") == "password"
        assert (await local.verify(Password("alice", RIGHT))).subject == "AIDA1"


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        RIGHT,
        "$2b$12$abcdefghijklmnopqrstuv",
        "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8192,t=99999,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=Type.I).hash(RIGHT),
    ],
    ids=["empty", "plain", "bcrypt", "memory", "time", "argon2i"],
)
async def test_a_stored_hash_that_is_none_or_too_costly_is_no_verdict(hashes: PasswordHashes, encoded: str) -> None:
    began = time.process_time()
    with pytest.raises(ProviderUnavailable):
        await provider(hashes, encoded).verify(Password("alice", RIGHT))
    assert time.process_time() - began < 3


async def test_a_flood_is_cut_and_leaves_the_event_loop_free(hashes: PasswordHashes) -> None:
    local = provider(hashes, hash_password(RIGHT, SALT))
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    watching = asyncio.create_task(watch())
    began = time.thread_time()
    ends = await asyncio.gather(*(local.verify(Password("alice", "wrong")) for _ in range(120)), return_exceptions=True)
    own = time.thread_time() - began
    watching.cancel()
    assert sum(isinstance(end, ProviderUnavailable) for end in ends) == 38
    assert sum(isinstance(end, ProofRejected) for end in ends) == 82
    assert own < 82 * 0.01  # a hash takes some 40 ms, in another thread
    assert turns > 2 * 82  # one a hash at most where that keeps the interpreter's lock


def test_no_hash_is_shown() -> None:
    assert "argon2" not in repr(user("$argon2id$secret"))

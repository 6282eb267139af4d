"""Warnings about hashes of passwords, beside what the sign-in does with them."""

import secrets

import pytest

from broker.directory.generate import password_hash
from providers.contract import Password
from providers.errors import ProofRejected, ProviderUnavailable
from providers.password import LocalUser, PasswordHashes, PasswordProvider
from tests.directory.conftest import Load
from tests.fakes.clock import Clock

CHEAP, DEAR = "this hash is cheaper to guess", "nobody can sign in with this hash"


def encoded(memory: int, passes: int, lanes: int) -> str:
    return f"$argon2id$v=19$m={memory},t={passes},p={lanes}$c2FsdHNhbHRzYWx0$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy"


def warnings(snapshot: Load, hashed: str) -> list[tuple[int, str]]:
    user = f"  - UserName: alice\n    LoginProfile:\n      PasswordHash: '{hashed}'\n"
    loaded = snapshot({"accounts/a.yaml": f'Account: "111122223333"\nUsers:\n{user}'})
    assert all(hashed not in warning.message for warning in loaded.warnings)
    return [(warning.line, warning.message.partition(",")[0].partition(" than")[0]) for warning in loaded.warnings]


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        ((19_456, 2, 1), None),
        ((19_455, 2, 1), CHEAP),
        ((47_104, 1, 1), None),
        ((47_103, 1, 1), CHEAP),
        ((12_288, 3, 4), None),
        ((9_216, 4, 1), None),
        ((7_168, 5, 1), None),
        ((7_167, 10, 8), CHEAP),
        ((8_192, 1, 1), CHEAP),
        ((131_072, 10, 8), None),
        ((131_073, 2, 1), DEAR),
        ((19_456, 11, 1), DEAR),
        ((19_456, 2, 9), DEAR),
    ],
)
async def test_costs(snapshot: Load, cost: tuple[int, int, int], said: str | None) -> None:
    assert warnings(snapshot, encoded(*cost)) == ([(5, said)] if said is not None else [])
    hashes = PasswordHashes(seconds=60)
    user = LocalUser(subject="AIDA1", username="alice", password_hash=encoded(*cost))
    local = PasswordProvider("issuer", {"alice": user}.get, hashes, now=Clock())
    with pytest.raises(ProviderUnavailable if said == DEAR else ProofRejected):
        await local.verify(Password("alice", "wrong"))
    hashes.close()


def test_what_we_make_is_dear_enough(snapshot: Load) -> None:
    assert warnings(snapshot, password_hash("correct horse", secrets.token_bytes)) == []

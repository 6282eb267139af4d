"""Local users with passwords: Argon2id (RFC 9106), in threads of its own, the same time for a user who is unknown."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError, VerificationError, VerifyMismatchError

from providers.contract import Identity, Now, Password
from providers.errors import ProviderUnavailable
from providers.pool import Pool
from providers.refusal import refused
from providers.spelling import session_name

# OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# What a stored hash may cost; one beyond would take the threads of everybody.
_MOST_MEMORY_KIB, _MOST_PASSES, _MOST_LANES = 128 * 1024, 10, 8
_MOST_PASSWORD_BYTES = 1024
_MOST_CHARACTERS = 128
# Two threads keep two cores busy and the event loop free; the queue is then some two seconds long.
_THREADS, _WAITING, _SECONDS = 2, 80, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUser:
    """A user of our own with a password. `subject`: names the user for good. `password_hash`: Argon2id, encoded."""

    subject: str
    username: str
    password_hash: str = field(repr=False)


Find = Callable[[str], LocalUser | None]
"""The user of that name who has a password."""


def hash_password(password: str, salt: bytes) -> str:
    """The encoded hash, in tens of milliseconds. Raises `ValueError` for a password that could never be presented."""
    octets = _octets(password)
    if octets is None:
        raise ValueError(f"a password has 1 to {_MOST_PASSWORD_BYTES} bytes of UTF-8 and no null character")
    return _HASHER.hash(octets, salt=salt)


class PasswordHashes:
    """Checks passwords against hashes in threads, shared by all who need it."""

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        """`seconds`: that one hash may take, waiting for its turn included."""
        self._seconds = seconds
        self._pool = Pool("argon2", threads=_THREADS, waiting=_WAITING)

    async def matches(self, password: str, encoded: str | None) -> bool:
        """Whether it is the password, and never where `encoded` is None; that takes as long as a wrong password.

        Raises `ProviderUnavailable` where the queue is full.
        """
        octets = _octets(password)
        known = encoded is not None and octets is not None
        return await self._pool.run(
            lambda: _matches(octets or b"", encoded if encoded is not None else _dummy()) and known,
            seconds=self._seconds,
        )

    def close(self) -> None:
        """Take no more work."""
        self._pool.close()


class PasswordProvider:
    """A `Verifier[Password]`."""

    def __init__(self, issuer: str, find: Find, hashes: PasswordHashes, *, now: Now) -> None:
        self._issuer = issuer
        self._find = find
        self._hashes = hashes
        self._now = now

    async def verify(self, proof: Password) -> Identity:
        """Who this is, with the method `pwd`.

        Raises `ProofRejected`, always with one sentence and after the same time, and `ProviderUnavailable`.
        """
        user = self._find(proof.username) if len(proof.username) <= _MOST_CHARACTERS else None
        right = await self._hashes.matches(proof.password, user.password_hash if user is not None else None)
        if user is None:
            raise refused("unknown_user")
        if not right:
            raise refused("password")
        return Identity(
            issuer=self._issuer,
            subject=user.subject,
            audience=self._issuer,
            methods=frozenset(("pwd",)),
            authenticated_at=self._now(),
            session_name=session_name(user.username),
        )


def _octets(password: str) -> bytes | None:
    try:
        octets = password.encode()
    except UnicodeEncodeError:
        return None
    return octets if 0 < len(octets) <= _MOST_PASSWORD_BYTES and b"\0" not in octets else None


def _matches(password: bytes, encoded: str) -> bool:
    _require_affordable(encoded)
    try:
        return _HASHER.verify(encoded, password)
    except VerifyMismatchError:
        return False
    except (VerificationError, Argon2Error) as error:
        raise _unreadable() from error


def _require_affordable(encoded: str) -> None:
    try:
        cost = extract_parameters(encoded)
    except InvalidHashError as error:
        raise _unreadable() from error
    if (
        cost.type is not Type.ID
        or cost.memory_cost > _MOST_MEMORY_KIB
        or cost.time_cost > _MOST_PASSES
        or cost.parallelism > _MOST_LANES
    ):
        raise _unreadable()


def _unreadable() -> ProviderUnavailable:
    return ProviderUnavailable(
        "The password cannot be checked.", reason="hash", detail="the stored hash is no Argon2id hash of bearable cost"
    )


@lru_cache(maxsize=1)
def _dummy() -> str:
    return _HASHER.hash(secrets.token_bytes(16))

"""The secret values that a configuration needs, made from a source of randomness."""

import base64

from argon2 import PasswordHasher

from broker.ids import LONG_TERM, Random, access_key_id, secret_access_key

_SEED_BYTES = 40
"""64 base32 characters, as AWS's virtual devices have."""
_SALT_BYTES = 16
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's minimum for argon2id: 19 MiB, two passes, one lane."""


def access_key(account: str, random: Random) -> tuple[str, str]:
    """Id and secret of a long-term access key of `account`."""
    return access_key_id(LONG_TERM, account, random), secret_access_key(random)


def mfa_seed(random: Random) -> str:
    """The base32 seed of a virtual MFA device."""
    return base64.b32encode(random(_SEED_BYTES)).decode("ascii")


def password_hash(password: str, random: Random) -> str:
    """The argon2id hash of a password, as `LoginProfile` takes it. Takes tens of milliseconds."""
    return _HASHER.hash(password, salt=random(_SALT_BYTES))

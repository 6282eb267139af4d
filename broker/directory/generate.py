"""The secret values that a configuration needs, made from a source of randomness."""

import base64

from broker.ids import LONG_TERM, Random, access_key_id, secret_access_key
from providers.password import hash_password

_SEED_BYTES = 40
"""64 base32 characters, as AWS's virtual devices have."""
_SALT_BYTES = 16


def access_key(account: str, random: Random) -> tuple[str, str]:
    """Id and secret of a long-term access key of `account`."""
    return access_key_id(LONG_TERM, account, random), secret_access_key(random)


def mfa_seed(random: Random) -> str:
    """The base32 seed of a virtual MFA device."""
    return base64.b32encode(random(_SEED_BYTES)).decode("ascii")


def password_hash(password: str, random: Random) -> str:
    """The argon2id hash of a password, as `LoginProfile` takes it. Raises as `hash_password`."""
    return hash_password(password, random(_SALT_BYTES))

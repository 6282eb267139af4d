"""A signing key: how it is made, how it rests sealed under the master key, and how it signs (JWS, RFC 7515)."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk
from jose.backends.base import Key

from broker.sealing import MasterKeys

_PURPOSE = "signing key"


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """As it rests in the store, times in seconds since 1970.

    `sessions_from`: other than 0 where it was made in an emergency, which ended every session issued before.
    """

    kid: str
    alg: str
    created_at: int
    active_from: int
    jwk: dict[str, str]
    sealed: bytes
    sessions_from: int = 0


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


@lru_cache(maxsize=256)
def _header(alg: str, kid: str, token_type: str) -> str:
    return _b64url(json.dumps({"alg": alg, "kid": kid, "typ": token_type}, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, ready for use. `retired_at`: when its successor began to sign, None while it has none."""

    kid: str
    alg: str
    active_from: datetime
    created_at: datetime
    retired_at: datetime | None
    jwk: Mapping[str, str]
    private: Key = field(repr=False)
    public: Key = field(repr=False)

    def sign(self, payload: bytes, token_type: str) -> str:
        """A compact JWS (RFC 7515 §7.1) of `payload`. ES256 takes some 30 µs, RS256 and ES384 about a millisecond."""
        signing_input = f"{_header(self.alg, self.kid, token_type)}.{_b64url(payload)}"
        return f"{signing_input}.{_b64url(self.private.sign(signing_input.encode('ascii')))}"


@dataclass(frozen=True, slots=True)
class _Generator:
    make: Callable[[], Any]
    public_jwk: Callable[[Any], dict[str, str]]


def _ec_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name],
        "x": _b64url(numbers.x.to_bytes(size)),
        "y": _b64url(numbers.y.to_bytes(size)),
    }


def _rsa_jwk(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _b64url(_unsigned(numbers.n)), "e": _b64url(_unsigned(numbers.e))}


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


GENERATORS: Mapping[str, _Generator] = {
    "ES256": _Generator(lambda: ec.generate_private_key(ec.SECP256R1()), _ec_jwk),
    "RS256": _Generator(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), _rsa_jwk),
    "ES384": _Generator(lambda: ec.generate_private_key(ec.SECP384R1()), _ec_jwk),
}
"""Algorithm to how its keys are made; every algorithm listed has a current key. Session tokens are signed with ES256,
tokens of GetWebIdentityToken with the others."""


def _thumbprint(public: Mapping[str, str]) -> str:
    """RFC 7638."""
    return _b64url(hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).digest())


def made(alg: str, masters: MasterKeys, *, created_at: datetime, active_from: datetime) -> KeyRecord:
    """A new key. An RSA key takes a second to find."""
    generator = GENERATORS[alg]
    private = generator.make()
    public = generator.public_jwk(private)
    kid = _thumbprint(public)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyRecord(
        kid=kid,
        alg=alg,
        created_at=int(created_at.timestamp()),
        active_from=int(active_from.timestamp()),
        jwk=public,
        sealed=masters.seal(_PURPOSE, pem, bound_to=kid.encode()),
    )


def opened(record: KeyRecord, masters: MasterKeys) -> tuple[Key, Key]:
    """Its private and its public key. Raises `SealBroken`."""
    pem = masters.open(_PURPOSE, record.sealed, bound_to=record.kid.encode())
    # Checking an RSA key takes 50 ms, and this one was sealed by ourselves.
    private = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    return jwk.construct(private, record.alg), jwk.construct({**record.jwk, "alg": record.alg}, record.alg)


def resealed(record: KeyRecord, masters: MasterKeys) -> KeyRecord:
    """The same key under the current master key. Raises `SealBroken`."""
    sealed = masters.reseal(_PURPOSE, record.sealed, bound_to=record.kid.encode())
    return msgspec.structs.replace(record, sealed=sealed)

"""JWK sets (RFC 7517, RFC 7518 §6) as verification keys: each for one algorithm, and only those fit for ID tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from providers.encoding import Json, base64url, json_object
from providers.keys import RSA_BITS

_MAX_KEYS = 100
_CURVES: Mapping[str, tuple[str, type[ec.EllipticCurve]]] = {
    "P-256": ("ES256", ec.SECP256R1),
    "P-384": ("ES384", ec.SECP384R1),
    "P-521": ("ES512", ec.SECP521R1),
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm it is for."""

    algorithm: str
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey


Keys: TypeAlias = Mapping[tuple[str | None, str], VerificationKey]
"""By key id and algorithm; under None what a token without a key id means, where that is not ambiguous."""


def parse_key_set(document: bytes) -> Keys:
    """The keys of a JWK set that may verify an ID token; all others in it are left out.

    Raises `ValueError` for a document that is none, that holds over a hundred keys, or no usable one.
    """
    jwks = json_object(document).get("keys")
    if not isinstance(jwks, list) or len(jwks) > _MAX_KEYS:
        raise ValueError(f"a key set has a list of at most {_MAX_KEYS} keys")
    keys: dict[tuple[str | None, str], VerificationKey] = {}
    ambiguous: set[tuple[str | None, str]] = set()
    for jwk in jwks:
        found = _verification_key(jwk) if isinstance(jwk, dict) else None
        if found is None:
            continue
        key_id, key = found
        for name in {(key_id, key.algorithm), (None, key.algorithm)}:
            if name in keys:
                ambiguous.add(name)
            keys[name] = key
    if not keys:
        raise ValueError("the key set holds no usable key")
    return {name: key for name, key in keys.items() if name not in ambiguous}


def _verification_key(jwk: Mapping[str, Json]) -> tuple[str | None, VerificationKey] | None:
    key_id = jwk.get("kid")
    operations = jwk.get("key_ops", ["verify"])
    if (
        not isinstance(key_id, str | None)
        or jwk.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or "d" in jwk  # whoever reads the key set could sign
    ):
        return None
    try:
        key = _rsa_key(jwk) if jwk.get("kty") == "RSA" else _ec_key(jwk) if jwk.get("kty") == "EC" else None
    except ValueError:
        return None
    return (key_id, key) if key is not None else None


def _rsa_key(jwk: Mapping[str, Json]) -> VerificationKey | None:
    algorithm = jwk.get("alg", "RS256")  # the default of ID tokens (OpenID Connect Core 1.0 §2)
    modulus, exponent = _number(jwk, "n"), _number(jwk, "e")
    if algorithm not in ("RS256", "RS384", "RS512") or modulus.bit_length() not in RSA_BITS or exponent >= 2**32:
        return None
    return VerificationKey(str(algorithm), rsa.RSAPublicNumbers(exponent, modulus).public_key())


def _ec_key(jwk: Mapping[str, Json]) -> VerificationKey | None:
    curve = jwk.get("crv")
    if not isinstance(curve, str) or curve not in _CURVES:
        return None
    algorithm, kind = _CURVES[curve]
    if jwk.get("alg", algorithm) != algorithm:
        return None
    numbers = ec.EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), kind())
    return VerificationKey(algorithm, numbers.public_key())


def _number(jwk: Mapping[str, Json], name: str) -> int:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a number")  # noqa: TRY004 - one error for a key that is not one
    return int.from_bytes(base64url(value))

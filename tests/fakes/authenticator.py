"""A security key in software, with the browser before it: real WebAuthn messages, and bent ones where a test asks.

It follows the specification from the other side (WebAuthn Level 3 §6), sharing no code with what verifies.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

ES256, EDDSA, RS256 = -7, -8, -257
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def b64url(octets: bytes) -> str:
    """As WebAuthn writes octets in JSON."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets(text: str) -> bytes:
    """The other way."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class SoftAuthenticator:
    """One key for one relying party. `bend` changes what it does wrong next."""

    origin: str
    algorithm: int = ES256
    counts: bool = True
    flags: int = UP | UV
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    counter: int = 0
    user_handle: bytes = b""
    private: PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        if self.algorithm == ES256:
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif self.algorithm == EDDSA:
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    def create(self, options: str, **bent: Any) -> str:
        """RegistrationResponseJSON."""
        asked = json.loads(options)
        self.user_handle = octets(asked["user"]["id"])
        key = bent.get("cose", self._cose())
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor(key)
        data = self._data(asked["rp"]["id"], credential, bent)
        attestation = bent.get("attestation", cbor({"fmt": "none", "attStmt": {}, "authData": data}))
        return self._json(
            {
                "clientDataJSON": b64url(self._client_data("webauthn.create", asked["challenge"], bent)),
                "attestationObject": b64url(attestation),
                "transports": ["usb", "telepathy"],
            },
            bent,
        )

    def get(self, options: str, **bent: Any) -> str:
        """AuthenticationResponseJSON."""
        asked = json.loads(options)
        data = self._data(asked["rpId"], b"", bent)
        client_data = self._client_data("webauthn.get", asked["challenge"], bent)
        signature = bytearray(self._sign(data + hashlib.sha256(client_data).digest()))
        signature[-1] ^= bent.get("flip", 0)
        handle = bent.get("user_handle", self.user_handle)
        return self._json(
            {
                "clientDataJSON": b64url(client_data),
                "authenticatorData": b64url(data),
                "signature": b64url(bytes(signature)),
                "userHandle": None if handle is None else b64url(handle),
            },
            bent,
        )

    def _data(self, rp_id: str, credential: bytes, bent: dict[str, Any]) -> bytes:
        self.counter += self.counts
        flags = bent.get("flags", self.flags) | (AT if credential else 0)
        count: int = bent.get("counter", self.counter)
        rp_id_hash = hashlib.sha256(bent.get("rp_id", rp_id).encode()).digest()
        return rp_id_hash + bytes([flags]) + count.to_bytes(4, "big") + credential

    def _client_data(self, kind: str, challenge: str, bent: dict[str, Any]) -> bytes:
        document = {
            "type": bent.get("type", kind),
            "challenge": bent.get("challenge", challenge),
            "origin": bent.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(document | bent.get("client_data", {})).encode()

    def _json(self, response: dict[str, Any], bent: dict[str, Any]) -> str:
        name = b64url(bent.get("id", self.credential_id))
        document = {"id": name, "rawId": name, "type": "public-key", "response": response}
        return json.dumps(document | {"clientExtensionResults": {}, "authenticatorAttachment": "cross-platform"})

    def _cose(self) -> dict[int, Any]:
        public = self.private.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            point = public.public_numbers()
            return {1: 2, 3: ES256, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes_raw()}
        numbers = public.public_numbers()
        return {1: 3, 3: RS256, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(message, ec.ECDSA(SHA256()))
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        return self.private.sign(message, padding.PKCS1v15(), SHA256())


def cbor(value: Any) -> bytes:
    """The little of CBOR that authenticators write (RFC 8949 §3, CTAP2 canonical form)."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value)) + value.encode()
    members = sorted((cbor(key), cbor(member)) for key, member in value.items())
    return _head(5, len(members)) + b"".join(key + member for key, member in members)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    size = next(size for size in (1, 2, 4) if number < 256**size)
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26}[size]]) + number.to_bytes(size, "big")

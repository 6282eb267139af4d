"""Security keys: the two ceremonies of WebAuthn Level 3 (§7.1 registration, §7.2 authentication), for a second factor.

Who is asked is known from the password, so credentials are looked up among this person's only. No attestation is
asked for: which make a key is of is not verified.
"""

import ipaddress
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2 import cbor
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.server import Fido2Server
from fido2.webauthn import (
    Aaguid,
    AttestationConveyancePreference,
    AttestationObject,
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    AuthenticatorData,
    AuthenticatorTransport,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from providers.encoding import Json, base64url, json_object
from providers.security_keys import Asserted, Credential, not_accepted

_MOST_CHARACTERS: Final = 16_384
# The parser copies what is left at every item; at this size the worst costs milliseconds.
_MOST_ATTESTATION_BYTES: Final = 4096
_MOST_ID_BYTES: Final = 1023  # §7.1 step 25
_RSA_BYTES: Final = range(256, 513)  # what a signature may cost to check
_ALGORITHMS: Final[tuple[type[CoseKey], ...]] = (ES256, EdDSA, RS256)
_KEY_TYPES: Final[Mapping[int, int]] = {ES256.ALGORITHM: 2, EdDSA.ALGORITHM: 1, RS256.ALGORITHM: 3}
_TRANSPORTS: Final = frozenset(each.value for each in AuthenticatorTransport)
# What a parser of hostile bytes may raise beside ValueError.
_HOSTILE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    struct.error,
    UnsupportedAlgorithm,
)


class WebAuthn:
    """Asks browsers for keys, and verifies what they answer. Every verification raises `ProofRejected`."""

    def __init__(self, public_url: str) -> None:
        """The relying party is the host of `public_url`. Raises `ValueError` where browsers would not allow that."""
        parts = urlsplit(public_url.lower())
        host = parts.hostname or ""
        if not host.isascii() or _is_address(host):
            raise ValueError("public_url must name a host by its name in ASCII")
        if parts.scheme != "https" and host != "localhost":
            raise ValueError("public_url must be https://, or on localhost")
        port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
        self.origin = f"{parts.scheme}://{host}{port}"
        self._server = Fido2Server(
            PublicKeyCredentialRpEntity(id=host, name="Sojourn"),
            attestation=AttestationConveyancePreference.NONE,
            verify_origin=lambda presented: presented == self.origin,
        )
        self._server.allowed_algorithms = [
            PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=each.ALGORITHM)
            for each in _ALGORITHMS
        ]

    def creation_options(
        self, challenge: bytes, *, user_handle: bytes, user_name: str, known: Sequence[Credential]
    ) -> str:
        """What the browser is asked to make a key by: PublicKeyCredentialCreationOptionsJSON.

        `user_handle`: random, it names the person to the key. `known`: the person's keys, which are not taken again.
        """
        options, _ = self._server.register_begin(
            PublicKeyCredentialUserEntity(id=user_handle, name=user_name, display_name=user_name),
            [_descriptor(each) for each in known],
            resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
            challenge=challenge,
        )
        return json.dumps(dict(options.public_key))

    def request_options(self, challenge: bytes, known: Sequence[Credential]) -> str:
        """What the browser is asked to use a key by: PublicKeyCredentialRequestOptionsJSON."""
        options, _ = self._server.authenticate_begin(
            [_descriptor(each) for each in known], UserVerificationRequirement.PREFERRED, challenge
        )
        return json.dumps(dict(options.public_key))

    def registered(self, response: str, challenge: bytes) -> Credential:
        """The new credential in a RegistrationResponseJSON, which the caller must not know yet."""
        with _refusing():
            raw_id, answer = _read(response)
            attested = _octets(answer, "attestationObject")
            if len(attested) > _MOST_ATTESTATION_BYTES:
                raise ValueError("the attestation is too long")
            attestation = AttestationObject(attested)
            data = attestation.auth_data.credential_data
            if data is None or data.credential_id != raw_id or len(raw_id) > _MOST_ID_BYTES:
                raise ValueError("no credential of that id")
            self._server.register_complete(
                self._state(challenge),
                RegistrationResponse(
                    raw_id=raw_id,
                    response=AuthenticatorAttestationResponse(
                        client_data=_client_data(answer), attestation_object=attestation
                    ),
                ),
            )
            _require_usable(data.public_key)
            return Credential(
                id=raw_id,
                public_key=cbor.encode(data.public_key),
                aaguid=bytes(data.aaguid),
                sign_count=attestation.auth_data.counter,
                backup_eligible=_backup_eligible(attestation.auth_data),
                transports=_transports(answer),
            )

    def asserted(self, response: str, challenge: bytes, *, user_handle: bytes, known: Sequence[Credential]) -> Asserted:
        """Which of the person's credentials signed an AuthenticationResponseJSON; what it counts to is not judged."""
        with _refusing():
            raw_id, answer = _read(response)
            found = next((each for each in known if each.id == raw_id), None)
            if found is None:
                raise ValueError("not one of the person's credentials")
            data = AuthenticatorData(_octets(answer, "authenticatorData"))
            handle = _octets(answer, "userHandle") if answer.get("userHandle") is not None else None
            if handle not in (None, user_handle):
                raise ValueError("the credential says that it is another person's")
            self._server.authenticate_complete(
                self._state(challenge),
                [_attested(found)],
                AuthenticationResponse(
                    raw_id=raw_id,
                    response=AuthenticatorAssertionResponse(
                        client_data=_client_data(answer),
                        authenticator_data=data,
                        signature=_octets(answer, "signature"),
                    ),
                ),
            )
            if _backup_eligible(data) != found.backup_eligible:
                raise ValueError("the credential became another kind")
            return Asserted(credential_id=raw_id, sign_count=data.counter)

    def _state(self, challenge: bytes) -> Any:
        """What the library wants to be told again of how a ceremony began; it is the same for both."""
        _, state = self._server.authenticate_begin(None, UserVerificationRequirement.PREFERRED, challenge)
        return state


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ValueError, *_HOSTILE) as error:
        raise not_accepted("key", str(error)[:200]) from error


def _read(response: str) -> tuple[bytes, Mapping[str, Json]]:
    """The credential's id, and the authenticator's part of the answer."""
    if len(response) > _MOST_CHARACTERS:
        raise ValueError("the answer is too long")
    document = json_object(response.encode())
    answer = document.get("response")
    if document.get("type") != "public-key" or not isinstance(answer, Mapping):
        raise ValueError("not a public-key credential")
    return _octets(document, "rawId"), answer


def _octets(document: Mapping[str, Json], member: str) -> bytes:
    value = document.get(member)
    if not isinstance(value, str):
        raise ValueError(f"{member} is missing")  # noqa: TRY004 - one error for an answer that is none
    return base64url(value)


def _client_data(answer: Mapping[str, Json]) -> CollectedClientData:
    """What the browser signed for. Not out of a frame in a page of somebody else's."""
    octets = _octets(answer, "clientDataJSON")
    collected = json_object(octets)
    if collected.get("crossOrigin", False) is not False or "topOrigin" in collected:
        raise ValueError("used within a page of another origin")
    return CollectedClientData(octets)


def _backup_eligible(data: AuthenticatorData) -> bool:
    if data.is_backed_up() and not data.is_backup_eligible():
        raise ValueError("backed up without being eligible")
    return data.is_backup_eligible()


def _require_usable(key: CoseKey) -> None:
    if _KEY_TYPES.get(key[3]) != key[1]:
        raise ValueError("a key of another algorithm than was asked for")
    if isinstance(key, RS256) and (len(key[-1]) not in _RSA_BYTES or key[-2] != b"\1\0\1"):
        raise ValueError("an RSA key of unusual size")
    with suppress(InvalidSignature):
        key.verify(b"", b"")  # raises another error where the numbers are no key


def _transports(answer: Mapping[str, Json]) -> tuple[str, ...]:
    """Those that are known, in the browser's order; they are no more than a hint."""
    named = answer.get("transports")
    given = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    return tuple(each for each in dict.fromkeys(given) if each in _TRANSPORTS)


def _descriptor(credential: Credential) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        type=PublicKeyCredentialType.PUBLIC_KEY,
        id=credential.id,
        transports=[AuthenticatorTransport(each) for each in credential.transports] or None,
    )


def _attested(credential: Credential) -> AttestedCredentialData:
    key = CoseKey.parse(cbor.decode(credential.public_key))  # type: ignore[arg-type]
    return AttestedCredentialData.create(Aaguid(credential.aaguid), credential.id, key)

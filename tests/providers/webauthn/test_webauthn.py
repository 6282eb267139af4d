"""The two ceremonies against a key in software, straight and bent."""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from providers.errors import ProofRejected
from providers.security_keys import Asserted, Credential
from providers.webauthn import WebAuthn
from tests.fakes.authenticator import (
    BE,
    BS,
    EDDSA,
    ES256,
    RS256,
    UP,
    UV,
    SoftAuthenticator,
    b64url,
    cbor,
)

URL = "https://sts.acme.example/broker"
ORIGIN = "https://sts.acme.example"
HANDLE = bytes(range(32))


@pytest.fixture
def relying_party() -> WebAuthn:
    return WebAuthn(URL)


@pytest.fixture
def key() -> SoftAuthenticator:
    return SoftAuthenticator(ORIGIN)


def register(relying_party: WebAuthn, key: SoftAuthenticator, **bent: Any) -> Credential:
    """A registration from its beginning to its end."""
    challenge = secrets.token_bytes(32)
    options = relying_party.creation_options(challenge, user_handle=HANDLE, user_name="alice", known=[])
    return relying_party.registered(key.create(options, **bent), challenge)


def sign_in(relying_party: WebAuthn, key: SoftAuthenticator, *known: Credential, **bent: Any) -> Asserted:
    """An authentication from its beginning to its end."""
    challenge = secrets.token_bytes(32)
    response = key.get(relying_party.request_options(challenge, known), **bent)
    return relying_party.asserted(response, challenge, user_handle=HANDLE, known=known)


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
@pytest.mark.parametrize("flags", [UP, UP | UV, UP | UV | BE, UP | UV | BE | BS])
def test_a_key_is_registered_and_used(relying_party: WebAuthn, algorithm: int, flags: int) -> None:
    key = SoftAuthenticator(ORIGIN, algorithm=algorithm, flags=flags)
    credential = register(relying_party, key)
    assert credential.id == key.credential_id
    assert credential.sign_count == 1
    assert credential.backup_eligible is bool(flags & BE)
    assert credential.transports == ("usb",)
    assert sign_in(relying_party, key, credential) == Asserted(credential_id=key.credential_id, sign_count=2)
    assert sign_in(relying_party, key, credential, user_handle=None).sign_count == 3


def test_what_browsers_are_asked_for(relying_party: WebAuthn, key: SoftAuthenticator) -> None:
    credential = register(relying_party, key)
    options = json.loads(
        relying_party.creation_options(bytes(32), user_handle=HANDLE, user_name="alice", known=[credential])
    )
    assert options["rp"] == {"id": "sts.acme.example", "name": "Sojourn"}
    assert options["user"] == {"id": b64url(HANDLE), "name": "alice", "displayName": "alice"}
    assert [each["alg"] for each in options["pubKeyCredParams"]] == [ES256, EDDSA, RS256]
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "discouraged"
    assert options["authenticatorSelection"]["userVerification"] == "preferred"
    described = [{"type": "public-key", "id": b64url(key.credential_id), "transports": ["usb"]}]
    assert options["excludeCredentials"] == described
    asked = json.loads(relying_party.request_options(bytes(32), [credential]))
    assert asked["allowCredentials"] == described
    assert (asked["rpId"], asked["userVerification"]) == ("sts.acme.example", "preferred")


BENT = {
    "another challenge": {"challenge": b64url(bytes(32))},
    "no challenge": {"challenge": ""},
    "another origin": {"origin": "https://evil.example"},
    "another host of the domain": {"origin": "https://other.sts.acme.example"},
    "another port": {"origin": f"{ORIGIN}:8443"},
    "no TLS": {"origin": "http://sts.acme.example"},
    "another relying party": {"rp_id": "acme.example"},
    "in a frame": {"client_data": {"crossOrigin": True}},
    "in a frame of": {"client_data": {"topOrigin": "https://evil.example"}},
    "crossOrigin is no boolean": {"client_data": {"crossOrigin": 0}},
    "nobody was there": {"flags": UV},
    "backed up without being eligible": {"flags": UP | UV | BS},
    "no origin": {"client_data": {"origin": None}},
}


@pytest.mark.parametrize("bent", BENT.values(), ids=BENT.keys())
def test_bent_ceremonies_are_refused(relying_party: WebAuthn, key: SoftAuthenticator, bent: dict[str, Any]) -> None:
    with pytest.raises(ProofRejected):
        register(relying_party, key, **bent)
    credential = register(relying_party, key)
    with pytest.raises(ProofRejected):
        sign_in(relying_party, key, credential, **bent)
    assert sign_in(relying_party, key, credential).sign_count == key.counter


def test_each_ceremony_has_its_type(relying_party: WebAuthn, key: SoftAuthenticator) -> None:
    with pytest.raises(ProofRejected):
        register(relying_party, key, type="webauthn.get")
    credential = register(relying_party, key)
    for other in ("webauthn.create", "payment.get"):
        with pytest.raises(ProofRejected):
            sign_in(relying_party, key, credential, type=other)


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_an_altered_signature_is_refused(relying_party: WebAuthn, algorithm: int) -> None:
    key = SoftAuthenticator(ORIGIN, algorithm=algorithm)
    credential = register(relying_party, key)
    with pytest.raises(ProofRejected):
        sign_in(relying_party, key, credential, flip=1)
    stranger = SoftAuthenticator(ORIGIN, algorithm=algorithm, credential_id=key.credential_id, user_handle=HANDLE)
    with pytest.raises(ProofRejected):
        sign_in(relying_party, stranger, credential)


def test_another_persons_key_is_refused(relying_party: WebAuthn, key: SoftAuthenticator) -> None:
    mine, other = register(relying_party, key), SoftAuthenticator(ORIGIN)
    theirs = register(relying_party, other)
    for bent in ({}, {"id": mine.id}):
        with pytest.raises(ProofRejected):
            sign_in(relying_party, other, mine, **bent)
    with pytest.raises(ProofRejected):
        sign_in(relying_party, key, mine, user_handle=b"somebody else")
    with pytest.raises(ProofRejected):
        sign_in(relying_party, key)
    assert sign_in(relying_party, other, mine, theirs).credential_id == theirs.id


def test_a_key_does_not_change_its_kind(relying_party: WebAuthn, key: SoftAuthenticator) -> None:
    credential = register(relying_party, key)
    with pytest.raises(ProofRejected):
        sign_in(relying_party, key, credential, flags=UP | BE)
    with pytest.raises(ProofRejected):
        sign_in(relying_party, key, replace(credential, backup_eligible=True))


POINT = {-1: 1, -2: bytes(32), -3: bytes(32)}
UNUSABLE: dict[str, Any] = {
    "no map": 7,
    "of no algorithm": {1: 2},
    "of another algorithm": {1: 2, 3: -35, -1: 2, -2: bytes(48), -3: bytes(48)},
    "RSA with SHA-1": {1: 3, 3: -65535, -1: b"\xff" * 256, -2: b"\1\0\1"},
    "of another type": {1: 1, 3: ES256, **POINT},
    "not on the curve": {1: 2, 3: ES256, **POINT},
    "on another curve": {1: 2, 3: ES256, **POINT, -1: 2},
    "without a coordinate": {1: 2, 3: ES256, -1: 1, -2: bytes(32)},
    "too short for RSA": {1: 3, 3: RS256, -1: b"\xff" * 128, -2: b"\1\0\1"},
    "too long for RSA": {1: 3, 3: RS256, -1: b"\xff" * 1024, -2: b"\1\0\1"},
    "RSA with a slow exponent": {1: 3, 3: RS256, -1: b"\xff" * 256, -2: b"\xff" * 255},
    "too short for Ed25519": {1: 1, 3: EDDSA, -1: 6, -2: bytes(31)},
    "numbers as text": {1: 2, 3: ES256, -1: 1, -2: "x" * 32, -3: "y" * 32},
}


@pytest.mark.parametrize("cose", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_no_key_of_ours_is_not_registered(relying_party: WebAuthn, key: SoftAuthenticator, cose: Any) -> None:
    with pytest.raises(ProofRejected):
        register(relying_party, key, cose=cose)


HOSTILE: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "no JSON": lambda _: "}",
    "a list": lambda _: "[]",
    "deep": lambda _: "[" * 16_000,
    "no response": lambda answer: _without(answer, "response"),
    "no id": lambda answer: _without(answer, "rawId"),
    "no type": lambda answer: _without(answer, "type"),
    "a response that is a text": lambda answer: json.dumps(json.loads(answer) | {"response": "x"}),
    "an id twice": lambda answer: answer.replace('"rawId"', '"rawId": "AA", "rawId"'),
    "too long": lambda answer: answer + " " * 20_000,
    "no client data": lambda answer: _member(answer, "clientDataJSON", b""),
    "client data that is no JSON": lambda answer: _member(answer, "clientDataJSON", b"\xff{}"),
    "client data without members": lambda answer: _member(answer, "clientDataJSON", b"{}"),
}


@pytest.mark.parametrize("bend", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_answers_are_refused(
    relying_party: WebAuthn, key: SoftAuthenticator, bend: Callable[[str], str]
) -> None:
    challenge = secrets.token_bytes(32)
    options = relying_party.creation_options(challenge, user_handle=HANDLE, user_name="alice", known=[])
    answer = key.create(options)
    with pytest.raises(ProofRejected):
        relying_party.registered(bend(answer), challenge)
    credential = relying_party.registered(answer, challenge)
    answer = key.get(relying_party.request_options(challenge, [credential]))
    with pytest.raises(ProofRejected):
        relying_party.asserted(bend(answer), challenge, user_handle=HANDLE, known=[credential])


@pytest.mark.parametrize("member", ["clientDataJSON", "authenticatorData", "signature", "attestationObject"])
def test_any_cut_is_refused(relying_party: WebAuthn, key: SoftAuthenticator, member: str) -> None:
    challenge = secrets.token_bytes(32)
    options = relying_party.creation_options(challenge, user_handle=HANDLE, user_name="alice", known=[])
    created = key.create(options)
    credential = relying_party.registered(created, challenge)
    used = key.get(relying_party.request_options(challenge, [credential]))
    verifications: dict[str, Callable[[str], object]] = {
        created: lambda answer: relying_party.registered(answer, challenge),
        used: lambda answer: relying_party.asserted(answer, challenge, user_handle=HANDLE, known=[credential]),
    }
    for answer, verify in verifications.items():
        whole = json.loads(answer)["response"].get(member)
        for length in range(0, len(whole or ""), 4):
            cut = json.loads(answer)
            cut["response"][member] = whole[:length]
            with pytest.raises(ProofRejected):
                verify(json.dumps(cut))


@pytest.mark.parametrize(
    "attestation",
    [
        b"",
        b"\x9f" * 100,
        b"\x81" * 4096,
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff" + b"\0" * 4000,
        cbor({"fmt": "none", "attStmt": {}}),
        cbor({"fmt": "none", "attStmt": {}, "authData": 7}),
        cbor({"fmt": "none", "attStmt": {}, "authData": bytes(37)}),
        cbor({"fmt": "none", "attStmt": {}, "authData": bytes(5000)}),
    ],
)
def test_hostile_attestations_are_refused(relying_party: WebAuthn, key: SoftAuthenticator, attestation: bytes) -> None:
    with pytest.raises(ProofRejected):
        register(relying_party, key, attestation=attestation)


def test_the_id_is_the_one_that_is_attested(relying_party: WebAuthn, key: SoftAuthenticator) -> None:
    with pytest.raises(ProofRejected):
        register(relying_party, key, id=secrets.token_bytes(32))
    with pytest.raises(ProofRejected):
        register(relying_party, SoftAuthenticator(ORIGIN, credential_id=bytes(1024)))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://STS.Acme.example:443/x", "https://sts.acme.example"),
        ("https://sts.acme.example:8443", "https://sts.acme.example:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://localhost", "http://localhost"),
        ("https://localhost:80", "https://localhost:80"),
    ],
)
def test_the_origin_is_that_of_the_address(url: str, origin: str) -> None:
    assert WebAuthn(url).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://sts.acme.example",
        "http://127.0.0.1:8080",
        "https://127.0.0.1",
        "https://[::1]:8443",
        "https://bücher.example",
    ],
)
def test_where_browsers_allow_no_keys_none_are_offered(url: str) -> None:
    with pytest.raises(ValueError, match="public_url must"):
        WebAuthn(url)


def _without(answer: str, member: str) -> str:
    return json.dumps({name: value for name, value in json.loads(answer).items() if name != member})


def _member(answer: str, member: str, value: bytes) -> str:
    document = json.loads(answer)
    document["response"][member] = b64url(value)
    return json.dumps(document)

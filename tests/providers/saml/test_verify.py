"""What is accepted, and what becomes of it."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from xmlsec import constants

from providers.contract import SamlResponse
from providers.errors import ProofRejected
from providers.saml.workers import Workers
from tests.fakes.clock import Clock
from tests.fakes.idp import ACCOUNT, ACS, AWS, PROVIDER_ARN, ROLE_ARN, FakeIdp, find, key_pair
from tests.providers.saml.conftest import MakeProvider, Memory, Verify

SIGNED = (("assertion",), ("response",), ("assertion", "response"))


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("signed", SIGNED, ids="-".join)
async def test_assertion_or_response_signed_plain_or_encrypted(
    idp: FakeIdp, verify: Verify, signed: Sequence[str], encrypted: bool
) -> None:
    raw = idp.response(signed=signed, encrypt_to=key_pair("new") if encrypted else None)
    assert (await verify(raw)).subject == "alice"


async def test_the_identity_has_all_that_the_assertion_says(
    idp: FakeIdp, verify: Verify, clock: Clock, memory: Memory
) -> None:
    identity = await verify(
        idp.response(
            more={
                f"{AWS}Role": [f"{ROLE_ARN},{PROVIDER_ARN}", f"{PROVIDER_ARN}, arn:aws:iam::{ACCOUNT}:role/a/b"],
                f"{AWS}SessionDuration": ["1800"],
                f"{AWS}PrincipalTag:Team": ["Web & co"],
                f"{AWS}PrincipalTag:Cost": ["7"],
                f"{AWS}TransitiveTagKeys": ["Team"],
                f"{AWS}SourceIdentity": ["alice"],
                "urn:oid:1.3.6.1.4.1.5923.1.1.1.1": ["staff", "member"],
                "urn:oid:1.3.6.1.4.1.5923.1.1.1.3": ["dc=example"],
                "unheard-of": ["x"],
            },
            session_until=timedelta(hours=2),
            authenticated=timedelta(minutes=-3),
        )
    )
    digest = hashlib.sha1(f"{idp.entity_id}{ACCOUNT}/corp".encode()).digest()
    qualifier = base64.b64encode(digest).decode()
    assert identity.attributes == {
        "saml:aud": (ACS,),
        "saml:iss": (idp.entity_id,),
        "saml:sub": ("alice",),
        "saml:sub_type": ("persistent",),
        "saml:namequalifier": (qualifier,),
        "saml:doc": (f"{ACCOUNT}/corp",),
        "saml:edupersonaffiliation": ("staff", "member"),
        "saml:edupersonorgdn": ("dc=example",),
    }
    assert identity.multivalued == {"saml:edupersonaffiliation"}
    assert identity.carried == ("saml:namequalifier", "saml:sub", "saml:sub_type")
    assert (identity.issuer, identity.subject, identity.audience) == (idp.entity_id, "alice", ACS)
    assert (identity.subject_type, identity.name_qualifier) == ("persistent", qualifier)
    assert identity.roles == ((ROLE_ARN, PROVIDER_ARN), (f"arn:aws:iam::{ACCOUNT}:role/a/b", PROVIDER_ARN))
    assert (identity.session_name, identity.source_identity) == ("alice@example.test", "alice")
    assert identity.session_tags == {"Team": "Web & co", "Cost": "7"}
    assert identity.transitive_tag_keys == ("Team",)
    assert identity.session_duration == timedelta(minutes=30)
    assert identity.session_until == clock() + timedelta(hours=2)
    assert identity.authenticated_at == clock() - timedelta(minutes=3)
    ((issued_at, until),) = memory.claimed.values()
    assert (issued_at, until) == (clock(), identity.expires_at)
    assert until == clock() + timedelta(minutes=5, seconds=30)


@pytest.mark.parametrize(
    ("form", "type_"),
    [
        ("urn:oasis:names:tc:SAML:2.0:nameid-format:transient", "transient"),
        ("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",) * 2,
        (None, "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"),
    ],
)
async def test_the_prefix_of_subject_types_is_cut(idp: FakeIdp, verify: Verify, form: str | None, type_: str) -> None:
    assert (await verify(idp.response(name_id_format=form))).subject_type == type_


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("urn:oid:2.5.4.3", "saml:cn"),
        ("2.5.4.3", "saml:commonName"),
        ("urn:oid:2.5.4.4", "saml:surname"),
        ("urn:oid:2.5.4.42", "saml:givenName"),
        ("2.4.5.42", "saml:givenName"),
        ("0.9.2342.19200300100.1.1", "saml:uid"),
        ("urn:oid:0.9.2342.19200300.100.1.3", "saml:mail"),
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", "saml:mail"),
        ("http://schemas.xmlsoap.org/claims/CommonName", "saml:commonName"),
        ("http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid", "saml:primaryGroupSID"),
        ("urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "saml:edupersonprincipalname"),
        ("urn:oid:1.3.6.1.4.1.5923.1.1.1.11", "saml:edupersonassurance"),
        ("urn:oid:1.3.6.1.4.1.5923.1.2.1.2", "saml:eduorghomepageuri"),
        ("urn:oid:1.3.6.1.4.1.5923.1.2.1.6", "saml:eduorgwhitepagesuri"),
    ],
)
async def test_directory_attributes_are_condition_keys(idp: FakeIdp, verify: Verify, name: str, key: str) -> None:
    assert (await verify(idp.response(more={name: ["x"]}))).attributes[key] == ("x",)


@pytest.mark.parametrize("recipient", [ACS, "https://signin.aws.amazon.com/saml"], ids=["our own", "a further one"])
async def test_configured_recipients_and_audiences(idp: FakeIdp, verify: Verify, recipient: str) -> None:
    raw = idp.response(recipient=recipient, destination=recipient, audiences=[["x", "urn:amazon:webservices"]])
    assert (await verify(raw)).audience == recipient


async def test_an_answer_to_our_request(idp: FakeIdp, verify: Verify) -> None:
    assert (await verify(idp.response(in_response_to="_r"), in_response_to="_r")).subject == "alice"


async def test_every_signing_key_of_the_metadata_serves(make_provider: MakeProvider, idp: FakeIdp) -> None:
    keys = [key_pair("idp"), key_pair("next"), key_pair("curve", curve="P-256")]
    provider = make_provider(metadata=idp.metadata(keys=keys))
    for key, method in zip(keys, [constants.TransformRsaSha256] * 2 + [constants.TransformEcdsaSha256], strict=True):
        raw = idp.response(key=key, signature=method)
        assert (await provider.verify(SamlResponse(raw))).subject == "alice"


@pytest.mark.parametrize(
    "signing",
    [
        {"signature": constants.TransformRsaSha384, "digest": constants.TransformSha384},
        {"signature": constants.TransformRsaSha512, "digest": constants.TransformSha512},
        {"canonicalisation": constants.TransformExclC14NWithComments},
        {"prefixes": "xs xsi"},
    ],
    ids=["sha384", "sha512", "with-comments", "inclusive-prefixes"],
)
@pytest.mark.parametrize("signed", SIGNED, ids="-".join)
async def test_strong_algorithms(idp: FakeIdp, verify: Verify, signed: Sequence[str], signing: dict[str, Any]) -> None:
    assert (await verify(idp.response(signed=signed, **signing))).subject == "alice"


@pytest.mark.parametrize("key", ["new", "old"])
@pytest.mark.parametrize(
    ("content", "bits"),
    [(constants.TransformAes128Gcm, 128), (constants.TransformAes128Cbc, 128), (constants.TransformAes256Cbc, 256)],
    ids=["aes128-gcm", "aes128-cbc", "aes256-cbc"],
)
async def test_both_encryption_keys_serve_during_a_rollover(
    idp: FakeIdp, verify: Verify, key: str, content: Any, bits: int
) -> None:
    encryption = {"content": content, "key_type": (constants.KeyDataAes, bits)}
    raw = idp.response(encrypt_to=key_pair(key), encryption=encryption)
    assert (await verify(raw)).subject == "alice"


async def test_pretty_printed_responses_and_line_breaks_in_base64(idp: FakeIdp, verify: Verify) -> None:
    def indent(root: Any) -> None:
        for element in root.iter():
            if len(element):
                element.text = "\n  "
            if element is not root:
                element.tail = "\n  "

    raw = idp.response(before=indent, signed=("assertion", "response"))
    lines = "\r\n".join(raw[start : start + 76] for start in range(0, len(raw), 76))
    assert (await verify(lines)).subject == "alice"


async def test_a_name_id_as_an_attributes_value(idp: FakeIdp, verify: Verify) -> None:
    def nest(root: Any) -> None:
        value = find(root, "//saml:Attribute[@Name='urn:oid:1.3.6.1.4.1.5923.1.1.1.10']/saml:AttributeValue")
        value.text = None
        name_id = find(root, ".//saml:NameID")
        value.append(name_id.__copy__())

    raw = idp.response(more={"urn:oid:1.3.6.1.4.1.5923.1.1.1.10": ["x"]}, before=nest)
    assert (await verify(raw)).attributes["saml:edupersontargetedid"] == ("alice",)


async def test_an_assertion_is_accepted_once(idp: FakeIdp, verify: Verify) -> None:
    raw = idp.response()
    await verify(raw)
    with pytest.raises(ProofRejected, match="used before") as refusal:
        await verify(raw)
    assert refusal.value.reason == "replayed"


async def test_an_assertion_in_another_envelope_is_the_same_assertion(idp: FakeIdp, verify: Verify) -> None:
    await verify(idp.response(assertion_id="_same"))
    with pytest.raises(ProofRejected, match="used before"):
        await verify(idp.response(assertion_id="_same"))


async def test_one_id_at_two_identity_providers_is_two_assertions(make_provider: MakeProvider, clock: Clock) -> None:
    for entity_id in ("https://a.test", "https://b.test"):
        idp = FakeIdp(clock, entity_id=entity_id)
        provider = make_provider(metadata=idp.metadata())
        assert (await provider.verify(SamlResponse(idp.response(assertion_id="_same")))).issuer == entity_id


async def test_instants_finer_than_a_microsecond(idp: FakeIdp, verify: Verify) -> None:
    """.NET writes seven digits."""

    def refine(root: Any) -> None:
        for element in root.iter():
            for name, value in element.attrib.items():
                if value.endswith("Z") and "T" in value:
                    element.set(name, value.replace("Z", ".1234567Z"))

    assert (await verify(idp.response(before=refine))).authenticated_at.microsecond == 123456


@pytest.mark.parametrize("encrypted", [False, True])
async def test_the_provider_is_chosen_by_what_a_response_says(
    idp: FakeIdp, workers: Workers, make_provider: MakeProvider, encrypted: bool
) -> None:
    raw = idp.response(signed=(), in_response_to="_r", encrypt_to=key_pair("new") if encrypted else None)
    presented = await workers.peek(raw)
    assert (presented.unverified_issuer, presented.unverified_in_response_to) == (idp.entity_id, "_r")
    assert await make_provider().issuer() == idp.entity_id
    with pytest.raises(ProofRejected):
        await workers.peek("!")

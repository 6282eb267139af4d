"""Each rule of sign-in, and the refusal that a response which breaks it meets."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import xmlsec
from lxml import etree
from xmlsec import constants

from providers.contract import SamlResponse
from providers.errors import ProofExpired, ProofRejected
from tests.fakes.clock import Clock
from tests.fakes.idp import ACS, AWS, ENTITY_ID, NS, PROVIDER_ARN, ROLE_ARN, FakeIdp, find, key_pair
from tests.providers.saml.conftest import MakeProvider, Memory, Verify

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("bends", "reason"),
    [
        ({"audiences": [["https://other.test"]]}, "audience"),
        ({"audiences": [[ENTITY_ID + "/"]]}, "audience"),
        ({"audiences": [[f" {ENTITY_ID} "]]}, "audience"),
        ({"audiences": [[ENTITY_ID], ["https://other.test"]]}, "audience"),
        ({"recipient": "https://other.test/acs"}, "recipient"),
        ({"recipient": ACS + "/"}, "recipient"),
        ({"destination": "https://other.test/acs"}, "destination"),
        ({"destination": None, "signed": ("response",)}, "destination"),
        ({"issuer": "https://other.test"}, "issuer"),
        ({"issuer": "https://idp.example.test/metadata "}, "issuer"),
        ({"response_issuer": "https://other.test"}, "issuer"),
        ({"in_response_to": "_unasked"}, "in_response_to"),
        ({"not_before": timedelta(seconds=31)}, "not_yet_valid"),
        ({"issued": timedelta(seconds=31)}, "not_yet_valid"),
        ({"authenticated": timedelta(seconds=31)}, "not_yet_valid"),
        ({"name_id": ""}, "subject"),
        ({"name_id": "  "}, "subject"),
        ({"status": "urn:oasis:names:tc:SAML:2.0:status:Responder"}, "status"),
        ({"status": ""}, "status"),
    ],
)
async def test_a_response_that_breaks_a_rule_is_rejected(
    idp: FakeIdp, verify: Verify, memory: Memory, bends: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(**{"signed": ("assertion", "response"), **bends}))
    assert refusal.value.reason == reason
    assert not memory.claimed


@pytest.mark.parametrize(
    "bends",
    [
        {"until": -30 * SECOND},
        {"confirmed_until": -30 * SECOND},
        {"session_until": timedelta()},
        {
            "issued": timedelta(minutes=-5, seconds=-30),
            "until": timedelta(hours=1),
            "confirmed_until": timedelta(hours=1),
        },
    ],
    ids=["conditions", "confirmation", "session", "five minutes"],
)
async def test_an_old_response_has_expired(idp: FakeIdp, verify: Verify, bends: dict[str, Any]) -> None:
    with pytest.raises(ProofExpired, match="Token must be redeemed within 5 minutes of issuance"):
        await verify(idp.response(**bends))


@pytest.mark.parametrize(
    "bends",
    [
        {"until": -29 * SECOND},
        {"confirmed_until": -29 * SECOND},
        {"until": None},
        {"not_before": 30 * SECOND},
        {"not_before": None},
        {"issued": 30 * SECOND},
        {"issued": timedelta(minutes=-5, seconds=-29), "until": MINUTE, "confirmed_until": MINUTE},
        {"session_until": SECOND},
        {"destination": None},
    ],
)
async def test_small_differences_of_clocks_are_forgiven(idp: FakeIdp, verify: Verify, bends: dict[str, Any]) -> None:
    assert (await verify(idp.response(**bends))).subject == "alice"


async def test_it_expires_while_the_clock_moves(idp: FakeIdp, verify: Verify, clock: Clock) -> None:
    raw = idp.response()
    clock.advance(timedelta(minutes=5, seconds=30))
    with pytest.raises(ProofExpired):
        await verify(raw)


def _set(path: str, name: str, value: str | None) -> Any:
    def bend(root: Any) -> None:
        element = find(root, path)
        if value is None:
            del element.attrib[name]
        else:
            element.set(name, value)

    return bend


DATA = ".//saml:SubjectConfirmationData"


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (
            _set(".//saml:SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"),
            "confirmation",
        ),
        (_set(".//saml:SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"), "confirmation"),
        (_set(DATA, "NotOnOrAfter", None), "grammar"),
        (_set(DATA, "Recipient", None), "grammar"),
        (_set(DATA, "NotBefore", "2026-03-04T06:00:00Z"), "not_yet_valid"),
        (_set(DATA, "InResponseTo", "_unasked"), "in_response_to"),
        (_set(DATA, "NotOnOrAfter", "2026-03-04T06:00:00"), "time"),
        (_set(DATA, "NotOnOrAfter", "2026-03-04T06:00:00+01:00"), "model"),
        (_set(DATA, "NotOnOrAfter", "9999-99-99T99:99:99Z"), "model"),
        (_set(DATA, "NotOnOrAfter", "٢٠٢٦-03-04T06:00:00Z"), "time"),
        (_set("saml:Assertion", "IssueInstant", "yesterday"), "model"),
        (_set("saml:Assertion", "Version", "1.1"), "version"),
        (_set("saml:Assertion", "IssueInstant", "2026-03-04T06:00:00Z"), "not_yet_valid"),
        (_set("saml:Assertion", "IssueInstant", "2026-03-04T04:00:00Z"), "expired"),
        (_set(".", "Version", "1.1"), "version"),
        (_set(".", "InResponseTo", "_unasked"), "in_response_to"),
        (_set(".", "IssueInstant", "2026-03-04T04:00:00Z"), "expired"),
        (_set("saml:Assertion/saml:Issuer", "Format", "urn:x"), "issuer"),
    ],
)
async def test_the_finer_rules(idp: FakeIdp, verify: Verify, bend: Any, reason: str) -> None:
    with pytest.raises((ProofRejected, ProofExpired)) as refusal:
        await verify(idp.response(signed=("assertion", "response"), before=bend))
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("asked", "answers"), [("_other", "_r"), ("", "_r"), (None, "_r"), ("_r", None), ("_r", ""), ("_r", "_R")]
)
async def test_the_request_that_it_answers(
    idp: FakeIdp, verify: Verify, asked: str | None, answers: str | None
) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(in_response_to=answers), in_response_to=asked)
    assert refusal.value.reason == "in_response_to"


async def test_unsolicited_responses_are_for_those_who_allow_them(make_provider: MakeProvider, idp: FakeIdp) -> None:
    provider = make_provider(allow_idp_initiated=False)
    with pytest.raises(ProofRejected) as refusal:
        await provider.verify(SamlResponse(idp.response()))
    assert refusal.value.reason == "unsolicited"
    assert (await provider.verify(SamlResponse(idp.response()), allow_unsolicited=True)).subject == "alice"
    raw = idp.response(in_response_to="_r")
    assert (await provider.verify(SamlResponse(raw), in_response_to="_r")).subject == "alice"


def _swap_transforms(root: Any) -> None:
    enveloped = find(root, ".//ds:Transform")
    enveloped.getparent().append(enveloped)


@pytest.mark.parametrize(
    ("signing", "reason"),
    [
        ({"signature": constants.TransformRsaSha1}, "algorithm"),
        ({"digest": constants.TransformSha1}, "algorithm"),
        ({"canonicalisation": constants.TransformInclC14N}, "algorithm"),
        ({"transforms": [constants.TransformEnveloped]}, "grammar"),
        ({"transforms": [constants.TransformEnveloped] + [constants.TransformExclC14N] * 2}, "grammar"),
        ({"after": _swap_transforms}, "algorithm"),
        ({"transforms": [constants.TransformEnveloped, constants.TransformInclC14N]}, "algorithm"),
        ({"uri": ""}, "grammar"),
    ],
)
@pytest.mark.parametrize("signed", ["assertion", "response"])
async def test_weak_and_unusual_signatures_are_refused(
    idp: FakeIdp, verify: Verify, signed: str, signing: dict[str, Any], reason: str
) -> None:
    """All of them valid, and made with the right key."""
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(signed=(signed,), **signing))
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("path", "algorithm"),
    [
        ("SignatureMethod", "http://www.w3.org/2000/09/xmldsig#hmac-sha1"),
        ("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        ("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"),
        ("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"),
        ("SignatureMethod", "none"),
        ("DigestMethod", "http://www.w3.org/2001/04/xmldsig-more#md5"),
        ("CanonicalizationMethod", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"),
        ("Transform", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
        ("Transform", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        ("Transform", "http://www.w3.org/2002/06/xmldsig-filter2"),
        ("Transform", "http://www.w3.org/2000/09/xmldsig#base64"),
    ],
)
async def test_algorithms_that_are_named_but_not_accepted(
    idp: FakeIdp, verify: Verify, path: str, algorithm: str
) -> None:
    with pytest.raises(ProofRejected, match="Response signature invalid"):
        await verify(idp.response(after=_set(f".//ds:{path}", "Algorithm", algorithm)))


async def test_the_public_key_is_no_hmac_key(idp: FakeIdp, verify: Verify) -> None:
    certificate = key_pair("idp").certificate

    def forge(root: Any) -> None:
        assertion = find(root, "saml:Assertion")
        node = xmlsec.template.create(assertion, constants.TransformExclC14N, constants.TransformHmacSha256)
        assertion.insert(1, node)
        reference = xmlsec.template.add_reference(node, constants.TransformSha256, uri=f"#{assertion.get('ID')}")
        xmlsec.template.add_transform(reference, constants.TransformEnveloped)
        xmlsec.template.add_transform(reference, constants.TransformExclC14N)
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_binary_data(constants.KeyDataHmac, certificate)
        context.register_id(assertion, "ID")
        context.sign(node)

    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(signed=(), after=forge))
    assert refusal.value.reason == "algorithm"


async def test_encrypted_to_somebody_else(idp: FakeIdp, verify: Verify) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(encrypt_to=key_pair("stranger")))
    assert (refusal.value.sentence, refusal.value.reason) == ("Response signature invalid", "encryption")


def _flip(root: Any) -> None:
    value = root.findall(".//xenc:CipherValue", NS)[-1]
    text = "".join(value.text.split())
    value.text = text[:60] + ("B" if text[60] == "A" else "A") + text[61:]


@pytest.mark.parametrize(
    "bends",
    [
        {"after": _flip},
        {"signed": ()},
        {"key": key_pair("mallory")},
        {"before": lambda root: find(root, "saml:Assertion").set("Extra", "x")},
        {
            "encryption": {"content": constants.TransformAes128Cbc, "key_type": (constants.KeyDataAes, 128)},
            "after": _flip,
        },
    ],
    ids=["changed", "unsigned", "other key", "other grammar", "changed cbc"],
)
async def test_what_is_wrong_inside_an_encrypted_assertion_is_not_told(
    idp: FakeIdp, verify: Verify, bends: dict[str, Any]
) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(encrypt_to=key_pair("new"), **bends))
    assert (refusal.value.sentence, refusal.value.reason) == ("Response signature invalid", "encryption")


@pytest.mark.parametrize(
    "encryption",
    [
        {"content": constants.TransformDes3Cbc, "key_type": (constants.KeyDataDes, 192)},
        {"transport": constants.TransformRsaPkcs1},
    ],
    ids=["3des", "rsa-1.5"],
)
async def test_weak_encryption_is_refused(idp: FakeIdp, verify: Verify, encryption: Mapping[str, Any]) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(encrypt_to=key_pair("new"), encryption=encryption))
    assert refusal.value.reason == "algorithm"


async def test_a_document_type_inside_an_encrypted_assertion(idp: FakeIdp, verify: Verify) -> None:
    """Plaintext is screened like the response itself."""

    def comment(root: Any) -> None:
        find(root, ".//saml:NameID").append(etree.Comment("x"))

    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(encrypt_to=key_pair("new"), before=comment))
    assert refusal.value.reason == "encryption"


ROLE = f"{ROLE_ARN},{PROVIDER_ARN}"


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"RoleSessionName": []}, "RoleSessionName is required in AuthnResponse"),
        ({"RoleSessionName": ["a"]}, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"RoleSessionName": ["a b"]}, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"RoleSessionName": ["abc\n"]}, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"RoleSessionName": ["álice"]}, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"RoleSessionName": ["x" * 65]}, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"RoleSessionName": ["ab", "cd"]}, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        (
            {"SourceIdentity": ["aws:x"]},
            'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"',
        ),
        (
            {"SourceIdentity": ["ab", "cd"]},
            'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"',
        ),
        ({"SessionDuration": ["899"]}, "SessionDuration in AuthnResponse must be a number between 900 and 43200"),
        ({"SessionDuration": ["43201"]}, "SessionDuration in AuthnResponse must be a number between 900 and 43200"),
        ({"SessionDuration": ["٩٠٠"]}, "SessionDuration in AuthnResponse must be a number between 900 and 43200"),
        (
            {"SessionDuration": ["900", "900"]},
            "SessionDuration in AuthnResponse must be a number between 900 and 43200",
        ),
        ({"Role": [ROLE_ARN]}, "Role in AuthnResponse must be the ARNs"),
        ({"Role": [ROLE, f"{ROLE},{ROLE_ARN}"]}, "Role in AuthnResponse must be the ARNs"),
        ({"Role": [f"{ROLE_ARN},{ROLE_ARN}"]}, "Role in AuthnResponse must be the ARNs"),
        ({"PrincipalTag:Team": ["a", "b"]}, "The session tags in AuthnResponse are not valid: a tag has one value"),
        ({"PrincipalTag:Team": []}, "The session tags in AuthnResponse are not valid: a tag has one value"),
        ({"PrincipalTag:": ["a"]}, "The session tags in AuthnResponse are not valid: a key or a value is empty"),
        ({"PrincipalTag:a": ["x"], "PrincipalTag:A": ["y"]}, "The session tags in AuthnResponse are not valid: a key"),
        ({"PrincipalTag:a": ["x" * 257]}, "The session tags in AuthnResponse are not valid: a key or a value"),
        ({"TransitiveTagKeys": ["a"]}, "The session tags in AuthnResponse are not valid: a transitive key"),
    ],
)
async def test_attributes_of_another_form(
    idp: FakeIdp, verify: Verify, memory: Memory, attributes: Mapping[str, list[str]], sentence: str
) -> None:
    more = {f"{AWS}{name}": values for name, values in attributes.items()}
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(more=more))
    assert refusal.value.sentence.startswith(sentence)
    assert not memory.claimed


async def test_several_values_where_aws_knows_one(idp: FakeIdp, verify: Verify) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(more={"urn:oid:1.3.6.1.4.1.5923.1.1.1.3": ["dc=a", "dc=b"]}))
    assert refusal.value.reason == "attributes"


async def test_the_attributes_names_are_exact(idp: FakeIdp, verify: Verify) -> None:
    more = {
        f"{AWS.lower()}role": ["arn:aws:iam::111122223333:role/admin,x"],
        f"{AWS}role": ["x"],
        f"{AWS}Role ": ["x"],
        f"{AWS}principalTag:Team": ["x"],
    }
    identity = await verify(idp.response(more=more))
    assert (identity.roles, identity.session_tags) == (((ROLE_ARN, PROVIDER_ARN),), {})


class _Broken(Exception):
    """The host's own."""


class _Silent:
    async def claim(self, *_: object, **__: object) -> bool:
        raise _Broken


async def test_a_memory_that_does_not_answer_refuses(make_provider: MakeProvider, idp: FakeIdp) -> None:
    with pytest.raises(_Broken):
        await make_provider(once=_Silent()).verify(SamlResponse(idp.response()))


async def test_nothing_secret_is_in_a_representation(idp: FakeIdp) -> None:
    assert idp.response()[:40] not in repr(SamlResponse(idp.response()))
    assert "PRIVATE" not in repr(key_pair("idp"))

"""Signature wrapping: the eight classic forms (Somorovsky et al., "On Breaking SAML", 2012) and what came after.

Every one is made from an honest response by a party without the key, and says that the user is `mallory`.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lxml import etree

from providers.errors import ProofRejected
from tests.fakes.idp import NS, FakeIdp, find, key_pair
from tests.providers.saml.conftest import Verify

Wrap = Callable[[Any], None]


def _evil(element: Any, *, new_id: bool = True, signed: bool = False) -> Any:
    """A copy that speaks for mallory."""
    twin = copy.deepcopy(element)
    name_id = twin.find(".//saml:NameID", NS)
    if name_id is not None:
        name_id.text = "mallory"
    if new_id:
        twin.set("ID", "_evil")
    if not signed:
        for signature in twin.findall("ds:Signature", NS):
            twin.remove(signature)
    return twin


def _become(root: Any, other: Any) -> None:
    """`root` gets the children and attributes of `other`."""
    for child in list(root):
        root.remove(child)
    for name, value in other.attrib.items():
        root.set(name, value)
    root.extend(list(other))


def _object(signature: Any, content: Any) -> None:
    holder = etree.SubElement(signature, f"{{{NS['ds']}}}Object")
    holder.append(content)


def xsw1(root: Any) -> None:
    original = copy.deepcopy(root)
    signature = find(original, "ds:Signature")
    original.remove(signature)
    _become(root, _evil(root))
    root.insert(1, signature)
    signature.append(original)


def xsw2(root: Any) -> None:
    original = copy.deepcopy(root)
    signature = find(original, "ds:Signature")
    original.remove(signature)
    _become(root, _evil(root))
    root.insert(1, original)
    root.insert(2, signature)


def xsw3(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    assertion.addprevious(_evil(assertion))


def xsw4(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion)
    root.replace(assertion, evil)
    evil.append(assertion)


def xsw5(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    assertion.addprevious(evil)


def xsw6(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    find(evil, "ds:Signature").append(assertion)


def xsw7(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    extensions = etree.Element(f"{{{NS['samlp']}}}Extensions")
    extensions.append(_evil(assertion, new_id=False))
    root.insert(1, extensions)


def xsw8(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    _object(find(evil, "ds:Signature"), assertion)


def same_id_before(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    assertion.addprevious(_evil(assertion, new_id=False))


def same_id_after(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    assertion.addnext(_evil(assertion, new_id=False))


def same_id_in_object(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, new_id=False, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    _object(find(evil, "ds:Signature"), assertion)


def response_has_the_assertions_id(root: Any) -> None:
    root.set("ID", find(root, "saml:Assertion").get("ID"))


def original_in_key_info(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    find(evil, "ds:Signature/ds:KeyInfo").append(assertion)


def original_in_an_attribute_value(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    find(evil, ".//saml:AttributeValue").append(assertion)


def original_in_advice(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    advice = etree.Element(f"{{{NS['saml']}}}Advice")
    advice.append(assertion)
    find(evil, "saml:Conditions").addnext(advice)


def original_in_status_detail(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    evil = _evil(assertion, signed=True)
    assertion.remove(find(assertion, "ds:Signature"))
    root.replace(assertion, evil)
    etree.SubElement(find(root, "samlp:Status"), f"{{{NS['samlp']}}}StatusDetail").append(assertion)


def signature_moved_to_the_response(root: Any) -> None:
    """The response is not what it refers to, although its parent holds it."""
    assertion = find(root, "saml:Assertion")
    root.insert(1, find(assertion, "ds:Signature"))
    find(assertion, ".//saml:NameID").text = "mallory"


def original_beside_a_moved_signature(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    signature = find(assertion, "ds:Signature")
    root.insert(1, signature)
    assertion.addnext(_evil(assertion))


def two_signatures(root: Any) -> None:
    assertion = find(root, "saml:Assertion")
    twin = copy.deepcopy(find(assertion, "ds:Signature"))
    assertion.insert(1, twin)
    find(assertion, ".//saml:NameID").text = "mallory"


def two_signed_infos(root: Any) -> None:
    info = find(root, ".//ds:SignedInfo")
    info.addprevious(copy.deepcopy(info))


def two_references(root: Any) -> None:
    reference = find(root, ".//ds:Reference")
    reference.addnext(copy.deepcopy(reference))


def id_in_another_case(root: Any) -> None:
    find(root, "saml:Assertion//saml:NameID").set("Id", find(root, "saml:Assertion").get("ID"))


def xml_id(root: Any) -> None:
    where = find(root, "saml:Assertion//saml:AttributeValue")
    where.set("{http://www.w3.org/XML/1998/namespace}id", find(root, "saml:Assertion").get("ID"))


def prefixed_id(root: Any) -> None:
    where = find(root, "saml:Assertion//saml:AttributeValue")
    where.set("{urn:example:x}ID", find(root, "saml:Assertion").get("ID"))


def encrypted_beside_plain(root: Any) -> None:
    find(root, "saml:Assertion").addnext(etree.Element(f"{{{NS['saml']}}}EncryptedAssertion"))


RESPONSE_FORMS = (xsw1, xsw2)
ASSERTION_FORMS = (
    xsw3,
    xsw4,
    xsw5,
    xsw6,
    xsw7,
    xsw8,
    same_id_before,
    same_id_after,
    same_id_in_object,
    response_has_the_assertions_id,
    original_in_key_info,
    original_in_an_attribute_value,
    original_in_advice,
    original_in_status_detail,
    signature_moved_to_the_response,
    original_beside_a_moved_signature,
    two_signatures,
    two_signed_infos,
    two_references,
    id_in_another_case,
    xml_id,
    prefixed_id,
    encrypted_beside_plain,
)
CASES = [
    *((form, signed) for form in RESPONSE_FORMS for signed in (("response",), ("assertion", "response"))),
    *((form, signed) for form in ASSERTION_FORMS for signed in (("assertion",), ("assertion", "response"))),
]


@pytest.mark.parametrize(("wrap", "signed"), CASES, ids=[f"{form.__name__}-{'-'.join(s)}" for form, s in CASES])
async def test_wrapped_signatures_are_refused(idp: FakeIdp, verify: Verify, wrap: Wrap, signed: Sequence[str]) -> None:
    with pytest.raises(ProofRejected):
        await verify(idp.response(signed=signed, after=wrap))


def _set(path: str, text: str) -> Wrap:
    def bend(root: Any) -> None:
        find(root, path).text = text

    return bend


def _attribute(path: str, name: str, value: str) -> Wrap:
    def bend(root: Any) -> None:
        find(root, path).set(name, value)

    return bend


def _drop_signatures(root: Any) -> None:
    for signature in root.findall(".//ds:Signature", NS):
        signature.getparent().remove(signature)


def _other_signature_value(root: Any) -> None:
    value = find(root, ".//ds:SignatureValue")
    value.text = ("B" if value.text.strip()[0] == "A" else "A") + value.text.strip()[1:]


@pytest.mark.parametrize("signed", [("assertion",), ("response",), ("assertion", "response")], ids="-".join)
@pytest.mark.parametrize(
    "forge",
    [
        _set(".//saml:NameID", "mallory"),
        _set(".//saml:AttributeValue", "arn:aws:iam::111122223333:role/admin,x"),
        _set(".//saml:Audience", "urn:amazon:webservices"),
        _attribute(".//saml:SubjectConfirmationData", "NotOnOrAfter", "2026-03-04T05:12:00Z"),
        _attribute("saml:Assertion", "ID", "_other"),
        _drop_signatures,
        _other_signature_value,
        _set(".//ds:DigestValue", "A" * 43 + "="),
    ],
    ids=["name", "role", "audience", "time", "id", "unsigned", "signature value", "digest value"],
)
async def test_what_was_changed_after_signing_is_refused(
    idp: FakeIdp, verify: Verify, signed: Sequence[str], forge: Wrap
) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(signed=signed, after=forge))
    assert refusal.value.sentence.startswith("Response signature invalid")


async def test_one_valid_signature_does_not_excuse_another(idp: FakeIdp, verify: Verify) -> None:
    """The response's is right and covers an assertion whose own is not."""

    def break_inner(root: Any) -> None:
        find(root, "saml:Assertion//saml:NameID").text = "mallory"

    root = idp.tree()
    idp.finish(root, signed=("assertion",))
    break_inner(root)
    with pytest.raises(ProofRejected, match="signature invalid"):
        await verify(idp.finish(root, signed=("response",)))


@pytest.mark.parametrize("signed", [("assertion",), ("response",)], ids="-".join)
async def test_another_identity_providers_key_is_refused(idp: FakeIdp, verify: Verify, signed: Sequence[str]) -> None:
    """Its certificate in KeyInfo is the honest one, or its own: neither counts."""
    for certificate in (key_pair("mallory"), key_pair("idp")):
        with pytest.raises(ProofRejected, match="signature invalid"):
            await verify(idp.response(signed=signed, key=key_pair("mallory"), certificate=certificate))

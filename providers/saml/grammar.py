"""The elements of a SAML Response that are accepted, and where (SAML Core §2, §3; Profiles §4.1.4.2).

It takes the place of XML Schema validation, and is stricter: what the table does not name is refused, so a signed
element can stand nowhere but where it is read. Values are checked by those who read them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from lxml import etree

from providers.saml.document import malformed
from providers.saml.names import DS, DS11, EXC, SAML, SAMLP, XENC, XENC11, XML

Times: TypeAlias = tuple[int, int]
_ONE: Final[Times] = (1, 1)
_OPTIONAL: Final[Times] = (0, 1)
_ANY: Final[Times] = (0, 1000)
_SOME: Final[Times] = (1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    """Attributes, children with how often, and whether it holds text.

    `foreign`: attributes of other namespaces are accepted. `opaque`: namespaces of descendants that nobody reads.
    """

    attributes: frozenset[str]
    required: frozenset[str]
    children: Mapping[str, Times]
    text: bool
    foreign: bool
    opaque: frozenset[str] | None


def _element(
    attributes: str = "",
    children: Mapping[str, Times] | None = None,
    *,
    text: bool = False,
    foreign: bool = False,
    opaque: frozenset[str] | None = None,
) -> _Element:
    """Attributes by name, `!` after those required."""
    return _Element(
        attributes=frozenset(attributes.replace("!", "").split()),
        required=frozenset(name.rstrip("!") for name in attributes.split() if name.endswith("!")),
        children=children if children is not None else {},
        text=text,
        foreign=foreign,
        opaque=opaque,
    )


_KEYS: Final = frozenset({DS, DS11, XENC, XENC11})
_NAME: Final = "Format NameQualifier SPNameQualifier SPProvidedID"
_ALGORITHM: Final = _element("Algorithm!", {f"{{{EXC}}}InclusiveNamespaces": _OPTIONAL})

_TABLE: Final[Mapping[str, _Element]] = {
    f"{{{SAMLP}}}Response": _element(
        "ID! Version! IssueInstant! Destination Consent InResponseTo",
        {
            f"{{{SAML}}}Issuer": _OPTIONAL,
            f"{{{DS}}}Signature": _OPTIONAL,
            f"{{{SAMLP}}}Status": _ONE,
            f"{{{SAML}}}Assertion": _OPTIONAL,
            f"{{{SAML}}}EncryptedAssertion": _OPTIONAL,
        },
    ),
    f"{{{SAMLP}}}Status": _element("", {f"{{{SAMLP}}}StatusCode": _ONE, f"{{{SAMLP}}}StatusMessage": _OPTIONAL}),
    f"{{{SAMLP}}}StatusCode": _element("Value!"),
    f"{{{SAMLP}}}StatusMessage": _element(text=True),
    f"{{{SAML}}}Issuer": _element(_NAME, text=True),
    f"{{{SAML}}}EncryptedAssertion": _element(
        "", {f"{{{XENC}}}EncryptedData": _ONE, f"{{{XENC}}}EncryptedKey": (0, 8)}
    ),
    f"{{{XENC}}}EncryptedData": _element(opaque=_KEYS),
    f"{{{XENC}}}EncryptedKey": _element(opaque=_KEYS),
    f"{{{SAML}}}Assertion": _element(
        "ID! Version! IssueInstant!",
        {
            f"{{{SAML}}}Issuer": _ONE,
            f"{{{DS}}}Signature": _OPTIONAL,
            f"{{{SAML}}}Subject": _ONE,
            f"{{{SAML}}}Conditions": _ONE,
            f"{{{SAML}}}AuthnStatement": _SOME,
            f"{{{SAML}}}AttributeStatement": _ANY,
        },
    ),
    f"{{{SAML}}}Subject": _element("", {f"{{{SAML}}}NameID": _OPTIONAL, f"{{{SAML}}}SubjectConfirmation": _ONE}),
    f"{{{SAML}}}NameID": _element(_NAME, text=True),
    f"{{{SAML}}}SubjectConfirmation": _element("Method!", {f"{{{SAML}}}SubjectConfirmationData": _ONE}),
    f"{{{SAML}}}SubjectConfirmationData": _element("NotBefore NotOnOrAfter! Recipient! InResponseTo Address"),
    f"{{{SAML}}}Conditions": _element(
        "NotBefore NotOnOrAfter",
        {
            f"{{{SAML}}}AudienceRestriction": _SOME,
            f"{{{SAML}}}OneTimeUse": _OPTIONAL,
            f"{{{SAML}}}ProxyRestriction": _OPTIONAL,
        },
    ),
    f"{{{SAML}}}AudienceRestriction": _element("", {f"{{{SAML}}}Audience": _SOME}),
    f"{{{SAML}}}ProxyRestriction": _element("Count", {f"{{{SAML}}}Audience": _ANY}),
    f"{{{SAML}}}Audience": _element(text=True),
    f"{{{SAML}}}OneTimeUse": _element(),
    f"{{{SAML}}}AuthnStatement": _element(
        "AuthnInstant! SessionIndex SessionNotOnOrAfter",
        {f"{{{SAML}}}SubjectLocality": _OPTIONAL, f"{{{SAML}}}AuthnContext": _ONE},
    ),
    f"{{{SAML}}}SubjectLocality": _element("Address DNSName"),
    f"{{{SAML}}}AuthnContext": _element(
        "",
        {
            f"{{{SAML}}}AuthnContextClassRef": _OPTIONAL,
            f"{{{SAML}}}AuthnContextDeclRef": _OPTIONAL,
            f"{{{SAML}}}AuthenticatingAuthority": _ANY,
        },
    ),
    f"{{{SAML}}}AuthnContextClassRef": _element(text=True),
    f"{{{SAML}}}AuthnContextDeclRef": _element(text=True),
    f"{{{SAML}}}AuthenticatingAuthority": _element(text=True),
    f"{{{SAML}}}AttributeStatement": _element("", {f"{{{SAML}}}Attribute": _ANY}),
    f"{{{SAML}}}Attribute": _element(
        "Name! NameFormat FriendlyName", {f"{{{SAML}}}AttributeValue": _ANY}, foreign=True
    ),
    f"{{{SAML}}}AttributeValue": _element("", {f"{{{SAML}}}NameID": _OPTIONAL}, text=True, foreign=True),
    f"{{{DS}}}Signature": _element(
        "Id", {f"{{{DS}}}SignedInfo": _ONE, f"{{{DS}}}SignatureValue": _ONE, f"{{{DS}}}KeyInfo": _OPTIONAL}
    ),
    f"{{{DS}}}SignedInfo": _element(
        "",
        {f"{{{DS}}}CanonicalizationMethod": _ONE, f"{{{DS}}}SignatureMethod": _ONE, f"{{{DS}}}Reference": _ONE},
    ),
    f"{{{DS}}}CanonicalizationMethod": _ALGORITHM,
    f"{{{DS}}}SignatureMethod": _element("Algorithm!"),
    f"{{{DS}}}Reference": _element(
        "URI!", {f"{{{DS}}}Transforms": _ONE, f"{{{DS}}}DigestMethod": _ONE, f"{{{DS}}}DigestValue": _ONE}
    ),
    f"{{{DS}}}Transforms": _element("", {f"{{{DS}}}Transform": (2, 2)}),
    f"{{{DS}}}Transform": _ALGORITHM,
    f"{{{EXC}}}InclusiveNamespaces": _element("PrefixList!"),
    f"{{{DS}}}DigestMethod": _element("Algorithm!"),
    f"{{{DS}}}DigestValue": _element(text=True),
    f"{{{DS}}}SignatureValue": _element("Id", text=True),
    f"{{{DS}}}KeyInfo": _element("Id", opaque=_KEYS),
}


def require_grammar(root: etree._Element, tag: str) -> None:
    """Raises `ProofRejected` unless `root` is a `tag`, it and all below are as in the table, and no id is there twice.

    Call it after the depth was bounded.
    """
    if root.tag != tag:
        raise malformed(f"it is not a SAML 2.0 {etree.QName(tag).localname}.", reason="root")
    _require(root)
    ids = Counter(_ids(root))
    if any(count > 1 for count in ids.values()):
        raise malformed("an ID is given twice.", reason="duplicate_id")


def _require(element: etree._Element) -> None:
    row = _TABLE[element.tag]
    name = etree.QName(element).localname
    _require_attributes(element, row, name)
    if row.opaque is not None:
        _require_namespaces(element, row.opaque)
        return
    if not row.text and any((text or "").strip() for text in (element.text, *(child.tail for child in element))):
        raise _misplaced("text", name)
    if row.text and any((child.tail or "").strip() for child in element):
        raise _misplaced("text", name)
    found = Counter(child.tag for child in element)
    for tag in found:
        if tag not in row.children:
            raise _misplaced(etree.QName(tag).localname, name)
    for tag, (least, most) in row.children.items():
        if not least <= found[tag] <= most:
            raise malformed(f"{name} has {found[tag]} {etree.QName(tag).localname}.", reason="grammar")
    for child in element:
        _require(child)


def _require_attributes(element: etree._Element, row: _Element, name: str) -> None:
    if row.opaque is None:
        for attribute in element.attrib:
            attribute_name = etree.QName(attribute)
            known = row.foreign if attribute_name.namespace else attribute in row.attributes
            if not known or attribute == f"{{{XML}}}id":
                raise _misplaced(f"the attribute {attribute_name.localname}", name)
    for attribute in row.required:
        if not element.get(attribute):
            raise malformed(f"{name} lacks {attribute}.", reason="grammar")


def _require_namespaces(element: etree._Element, namespaces: frozenset[str]) -> None:
    for descendant in element.iterdescendants():
        if etree.QName(descendant).namespace not in namespaces:
            raise _misplaced(etree.QName(descendant).localname, etree.QName(element).localname)


def _ids(root: etree._Element) -> Iterator[str]:
    for element in root.iter():
        for attribute, value in element.attrib.items():
            if etree.QName(attribute).localname.lower() == "id":
                yield str(value)


def _misplaced(what: str, where: str) -> Exception:
    return malformed(f"{what[:80]} is not accepted in {where}.", reason="grammar")

"""Documents that are made to hurt a reader of XML: refused on their bytes, in little time."""

import base64
import random
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from providers.errors import ProofExpired, ProofRejected
from providers.saml.metadata import parse_metadata
from providers.saml.response import Expectation, verify_response
from tests.fakes.clock import Clock
from tests.fakes.idp import ACS, ENTITY_ID, NS, FakeIdp, encode, find
from tests.providers.saml.conftest import Verify

BILLION = (
    b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">'.encode() for n in range(9))
    + b"]>"
)
XXE = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
REMOTE = b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd">'
PARAMETER = b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>'
ATTLIST = b'<!DOCTYPE r [<!ATTLIST saml:Assertion ID CDATA "_x">]>'


def _before(prolog: bytes) -> Callable[[bytes], bytes]:
    return lambda document: prolog + document


def _in_name(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    return lambda document: document.replace(b">alice<", b">" + before + b"alice" + after + b"<")


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        (_before(BILLION), "markup"),
        (_before(XXE), "markup"),
        (_before(REMOTE), "markup"),
        (_before(PARAMETER), "markup"),
        (_before(ATTLIST), "markup"),
        (_before(b"<!DOCTYPE r>"), "markup"),
        (_before(b"<!doctype r>"), "markup"),
        (_before(b'<?xml version="1.0"?><?xml-stylesheet href="x"?>'), "markup"),
        (_in_name(b"", b"<!---->.evil.test"), "markup"),
        (_in_name(b"<!-- -->", b""), "markup"),
        (_in_name(b"<![CDATA[", b"]]>"), "markup"),
        (_in_name(b"", b"<?x?>"), "markup"),
        (lambda document: document.replace(b"<ds:DigestValue>", b"<ds:DigestValue><!--x-->"), "markup"),
        (_in_name(b"&x;", b""), "xml"),
        (_before(b'<?xml version="1.1"?>'), "markup"),
        (_before(b'<?xml version="1.0" encoding="ISO-8859-1"?>'), "markup"),
        (_before(b'<?xml version="1.0" encoding="UTF-7"?>'), "markup"),
        (lambda document: document.decode().encode("utf-16"), "encoding"),
        (lambda document: b"\xef\xbb\xbf" + document, "markup"),
        (_in_name(b"\xff", b""), "encoding"),
        (_in_name(b"\xed\xa0\x80", b""), "encoding"),
        (_in_name(b"\0", b""), "xml"),
        (_in_name(b"&#0;", b""), "xml"),
        (lambda document: document + b"<x/>", "xml"),
        (lambda document: document + b"x", "xml"),
        (lambda document: document[:-1], "xml"),
        (lambda _: b"", "base64"),
        (lambda _: b"x", "xml"),
        (lambda _: b"<a" + b" x=''" * 1000 + b"/>", "xml"),
        (lambda _: b"<a>" * 4999 + b"</a>" * 4999, "xml"),
        (lambda _: b"<a>" * 100 + b"</a>" * 100, "depth"),
        (lambda _: b"<a>" + b"<b/>" * 15_000 + b"</a>", "size"),
        (lambda _: b"<a>" + b"<b/>" * 9_000 + b"</a>", "root"),
        (lambda _: b'<a xmlns="' + NS["samlp"].encode() + b'"/>', "root"),
        (lambda document: document.replace(b":SAML:2.0:protocol", b":SAML:1.1:protocol"), "root"),
    ],
)
async def test_hostile_bytes_are_refused(
    idp: FakeIdp, verify: Verify, rewrite: Callable[[bytes], bytes], reason: str
) -> None:
    raw = idp.response(rewrite=rewrite)
    started = time.process_time()
    with pytest.raises(ProofRejected) as refusal:
        await verify(raw)
    assert refusal.value.reason == reason
    assert time.process_time() - started < 2


def _spread(names: str) -> Callable[[bytes], bytes]:
    return lambda document: document.replace(b"<saml:Assertion ", f"<saml:Assertion {names} ".encode())


_MANY = [f"p{number}" for number in range(1200)]


@pytest.mark.parametrize(
    ("bends", "reason"),
    [
        ({"prefixes": " ".join(_MANY), "rewrite": _spread(" ".join(f'xmlns:{each}="u:u"' for each in _MANY))}, "size"),
        ({"rewrite": _spread(" ".join(f'saml:{each}=""' for each in _MANY))}, "size"),
        ({"prefixes": " ".join(_MANY)}, "algorithm"),
    ],
    ids=["namespaces", "attributes", "prefixes"],
)
async def test_nobody_makes_canonicalisation_long(
    idp: FakeIdp, verify: Verify, bends: dict[str, Any], reason: str
) -> None:
    """It comes before the signature: whoever posts a response could hold up everybody's for many seconds."""
    raw = idp.response(more={"groups": ["x"] * 500}, **bends)
    started = time.process_time()
    with pytest.raises(ProofRejected) as refusal:
        await verify(raw)
    assert refusal.value.reason == reason
    assert time.process_time() - started < 1


@pytest.mark.parametrize("size", [100_001, 1_000_000, 20_000_000])
async def test_large_documents_are_not_even_decoded(verify: Verify, size: int) -> None:
    started = time.process_time()
    with pytest.raises(ProofRejected) as refusal:
        await verify("A" * size)
    assert refusal.value.reason == "size"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "bend",
    [
        lambda raw: raw + "=",
        lambda raw: raw.rstrip("=") + "!",
        lambda raw: raw[:40] + " " + raw[40:],
        lambda raw: raw[:40] + "é" + raw[41:],
        lambda raw: raw[:40] + "_" + raw[41:],
        lambda raw: raw + raw,
        lambda _: base64.b64encode(b"x").decode()[:-3] + "R==",
        lambda _: "",
        lambda _: "====",
    ],
)
async def test_only_canonical_base64_is_read(idp: FakeIdp, verify: Verify, bend: Callable[[str], str]) -> None:
    raw = idp.response(rewrite=lambda document: document + b" " * (-len(document) % 3 + 1))  # ends in ==
    assert raw.endswith("==")
    with pytest.raises(ProofRejected, match="Invalid base64 SAMLResponse"):
        await verify(bend(raw))


async def test_nothing_is_inflated(idp: FakeIdp, verify: Verify) -> None:
    document = base64.b64decode(idp.response())
    bomb = zlib.compress(document + b" " * 10_000_000, wbits=-15)
    with pytest.raises(ProofRejected) as refusal:
        await verify(encode(bomb))
    assert refusal.value.reason == "encoding"


async def test_whole_values_are_read_through_character_references(idp: FakeIdp, verify: Verify) -> None:
    raw = idp.response(name_id="al<ice>&co", rewrite=lambda document: document.replace(b"&lt;", b"&#60;"))
    assert (await verify(raw)).subject == "al<ice>&co"


def _child(path: str, tag: str, *, first: bool = False, **attributes: str) -> Callable[[Any], None]:
    def bend(root: Any) -> None:
        parent = find(root, path)
        parent.insert(0 if first else len(parent), parent.makeelement(tag, attributes))

    return bend


def _attribute(path: str, name: str) -> Callable[[Any], None]:
    def bend(root: Any) -> None:
        find(root, path).set(name, "x")

    return bend


def _text(path: str) -> Callable[[Any], None]:
    def bend(root: Any) -> None:
        find(root, path).tail = "x"

    return bend


def _without(path: str) -> Callable[[Any], None]:
    def bend(root: Any) -> None:
        element = find(root, path)
        element.getparent().remove(element)

    return bend


def _twice(path: str) -> Callable[[Any], None]:
    def bend(root: Any) -> None:
        element = find(root, path)
        element.addnext(element.__copy__())

    return bend


SAML = NS["saml"]


@pytest.mark.parametrize(
    "bend",
    [
        _child(".", f"{{{NS['samlp']}}}Extensions"),
        _child(".", "{urn:x}y"),
        _child(".", "y"),
        _child("samlp:Status", f"{{{NS['samlp']}}}StatusDetail"),
        _child("saml:Assertion", "{urn:x}y"),
        _child("saml:Assertion", f"{{{SAML}}}Advice"),
        _child("saml:Assertion", f"{{{SAML}}}AuthzDecisionStatement"),
        _child(".//saml:Subject", f"{{{SAML}}}EncryptedID", first=True),
        _child(".//saml:Subject", f"{{{SAML}}}BaseID", first=True),
        _child(".//saml:SubjectConfirmationData", f"{{{NS['ds']}}}KeyInfo"),
        _child(".//saml:Conditions", f"{{{SAML}}}Condition"),
        _child(".//saml:Conditions", "{urn:x}Condition"),
        _child(".//saml:AuthnContext", f"{{{SAML}}}AuthnContextDecl"),
        _child(".//saml:AttributeStatement", f"{{{SAML}}}EncryptedAttribute"),
        _child(".//saml:AttributeValue", "{urn:x}y"),
        _child(".//saml:NameID", "{urn:x}y"),
        _child(".//saml:Audience", f"{{{SAML}}}Audience"),
        _attribute(".", "Extra"),
        _attribute("saml:Assertion", "{urn:x}y"),
        _attribute(".//saml:Conditions", "{http://www.w3.org/2001/XMLSchema-instance}type"),
        _attribute(".//saml:SubjectConfirmationData", "{http://www.w3.org/2001/XMLSchema-instance}type"),
        _attribute(".//saml:AttributeValue", "{http://www.w3.org/XML/1998/namespace}id"),
        _text(".//saml:Conditions"),
        _text(".//saml:AttributeValue"),
        _without(".//saml:AuthnStatement"),
        _without("saml:Assertion/saml:Issuer"),
        _without("saml:Assertion/saml:Subject"),
        _without(".//saml:SubjectConfirmation"),
        _without(".//saml:SubjectConfirmationData"),
        _without(".//saml:Conditions"),
        _without(".//saml:AudienceRestriction"),
        _without("samlp:Status"),
        _twice("samlp:Status"),
        _twice("saml:Issuer"),
        _twice("saml:Assertion/saml:Issuer"),
        _twice("saml:Assertion/saml:Subject"),
        _twice(".//saml:SubjectConfirmation"),
        _twice(".//saml:NameID"),
        _twice(".//saml:Conditions"),
    ],
)
async def test_only_the_grammar_of_sign_in_is_accepted_even_when_signed(
    idp: FakeIdp, verify: Verify, bend: Callable[[Any], None]
) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(signed=("assertion", "response"), before=bend))
    assert refusal.value.reason in ("grammar", "audience")


async def test_key_info_holds_keys_only(idp: FakeIdp, verify: Verify) -> None:
    """It is outside of what is signed."""
    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(after=_child(".//ds:X509Data", "{urn:x}y")))
    assert refusal.value.reason == "grammar"


async def test_an_assertion_alone_is_no_response(idp: FakeIdp, verify: Verify) -> None:
    def strip(document: bytes) -> bytes:
        return bytes(etree.tostring(find(etree.fromstring(document), "saml:Assertion")))

    with pytest.raises(ProofRejected) as refusal:
        await verify(idp.response(rewrite=strip))
    assert refusal.value.reason == "root"


@pytest.mark.parametrize("signed", [("assertion",), ("assertion", "response")], ids="-".join)
def test_nothing_that_was_changed_is_read(idp: FakeIdp, clock: Clock, signed: Sequence[str]) -> None:
    """Bytes replaced, removed, doubled and moved at random: a verdict each time, and never another identity."""
    document = base64.b64decode(idp.response(signed=signed))
    expected = Expectation(
        issuer=idp.entity_id,
        keys=parse_metadata(idp.metadata().encode()).keys,
        audiences=frozenset({ENTITY_ID}),
        recipients=frozenset({ACS}),
        in_response_to=None,
        skew=timedelta(seconds=30),
        now=clock(),
    )
    honest = verify_response(encode(document), expected)
    dice = random.Random(20260304)
    tokens = (b"<", b">", b'"', b"/", b"&#10;", b" ", b"<x/>", b"Assertion", b"ID=", b"\0", "\u2028".encode(), b"A")
    for _ in range(400):
        start = dice.randrange(len(document))
        end = min(len(document), start + dice.choice((0, 1, 1, 2, 20, 400)))
        put = dice.choice((b"", dice.choice(tokens), bytes([dice.randrange(256)]), document[start:end] * 2))
        try:
            assert verify_response(encode(document[:start] + put + document[end:]), expected) == honest
        except (ProofRejected, ProofExpired):
            continue

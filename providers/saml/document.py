"""XML as presented, to a tree, without anything that two readers could see differently.

What is refused on the bytes (DOCTYPE and so entities, comments, CDATA, processing instructions, other encodings) is
behind most attacks on XML signatures: entity bombs, XXE, values cut off at a comment, parsers that disagree.
"""

import base64
import binascii
import re
from collections import deque
from typing import Final

from lxml import etree

from providers.errors import ProofRejected

MAX_CHARACTERS: Final = 100_000  # AWS's limit for SAMLAssertion
MAX_DEPTH: Final = 64
MAX_NAMES: Final = 64  # canonicalisation compares namespaces, and attributes, each with each
_MAX_TAGS: Final = 10_000  # opening and closing; a person in 2 000 groups has less than half of that

_DECLARATION = re.compile(
    rb"""\s*<\?xml\s+version=["']1\.0["'](\s+encoding=["'][Uu][Tt][Ff]-8["'])?(\s+standalone=["'](yes|no)["'])?\s*\?>"""
)
_MARKUP = re.compile(rb"<[!?]")  # in well-formed XML `<` begins markup wherever it stands
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def malformed(what: str, *, reason: str = "malformed", detail: str | None = None) -> ProofRejected:
    """The refusal of a response that is not as SAML has it."""
    return ProofRejected(f"The SAML response is malformed: {what}", reason=reason, detail=detail)


def require_size(raw: str) -> None:
    """Raises `ProofRejected`."""
    if len(raw) > MAX_CHARACTERS:
        raise malformed(f"it has more than {MAX_CHARACTERS} characters.", reason="size")


def decode(raw: str) -> bytes:
    """The bytes of a response as posted. Nothing is inflated. Raises `ProofRejected`."""
    require_size(raw)
    try:
        return strict_base64(raw)
    except ValueError as error:
        raise ProofRejected("Invalid base64 SAMLResponse", reason="base64") from error


def strict_base64(text: str) -> bytes:
    """Decode; line breaks are no part of it. Raises `ValueError` for anything but canonical base64 of something."""
    compact = text.replace("\r", "").replace("\n", "")
    if _BASE64.fullmatch(compact) is None:
        raise ValueError("not base64")
    try:
        decoded = base64.b64decode(compact, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if base64.b64encode(decoded).decode("ascii") != compact:
        raise ValueError("not canonical base64")
    return decoded


def parse(document: bytes) -> etree._Element:
    """The root of a response or of a decrypted assertion. Raises `ProofRejected`."""
    try:
        document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("it is not UTF-8.", reason="encoding") from error
    declaration = _DECLARATION.match(document)
    body = document[declaration.end() :] if declaration is not None else document
    if body.startswith(b"\xef\xbb\xbf") or _MARKUP.search(body) is not None:
        raise malformed(
            "a byte order mark, DOCTYPE, comments, CDATA sections and processing instructions are not accepted.",
            reason="markup",
        )
    if body.count(b"<") > _MAX_TAGS:
        raise malformed("it has too many elements.", reason="size")
    try:
        root = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise malformed("it is not well-formed XML.", reason="xml", detail=str(error)) from error
    if deeper_than(root, MAX_DEPTH):
        raise malformed("it is nested too deeply.", reason="depth")
    if any(len(element.attrib) > MAX_NAMES or len(element.nsmap) > MAX_NAMES for element in root.iter()):
        raise malformed("an element has too many attributes or namespaces.", reason="size")
    return root


def deeper_than(root: etree._Element, limit: int) -> bool:
    """Whether elements nest deeper than `limit`, found without recursion."""
    waiting = deque([(root, 1)])
    while waiting:
        element, depth = waiting.pop()
        if depth > limit:
            return True
        waiting.extend((child, depth + 1) for child in element)
    return False


def _parser() -> etree.XMLParser:
    # One a call: a parser is shared by no two threads. `huge_tree` off keeps libxml2's own limits.
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, collect_ids=False
    )

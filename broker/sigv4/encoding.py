"""Percent-encoding as SigV4 and the Query protocol use it (RFC 3986 §2.1; `+` is a space in queries and forms)."""

import binascii
import re
from urllib.parse import quote

from broker.errors import MalformedQueryString

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})(.{0,2})", re.DOTALL)
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")


def check_escapes(text: str) -> None:
    """Refuse a `%` that two hexadecimal digits do not follow.

    Raises:
        MalformedQueryString: with AWS's texts.
    """
    if "%" in text and (bad := _BAD_ESCAPE.search(text)):
        if len(bad[1]) < 2:
            raise MalformedQueryString("Incomplete trailing escape % sequence")
        raise MalformedQueryString(f"Illegal hex character in escape % pattern: %{bad[1]}")


def unescape(text: str) -> bytes:
    """The bytes that `text`, whose escapes were checked, stands for."""
    # Quoted-printable is the same but for its escape character, and its decoder is written in C: a large body full of
    # escapes must not hold up everybody else (`urllib.parse.unquote_to_bytes` needs fifty times as long).
    quoted = text.replace("=", "=3D").replace("%", "=")
    return binascii.a2b_qp(quoted.encode("utf-8", "surrogateescape"))


def decode_component(text: str) -> str:
    """One name or value of a query or form whose escapes were checked.

    Raises:
        MalformedQueryString: it is not UTF-8.
    """
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text and text.isascii():
        return text
    try:
        return unescape(text).decode("utf-8")
    except UnicodeError as error:
        raise MalformedQueryString("The query string or form is not encoded in UTF-8") from error


def canonical_component(text: str) -> str:
    """One name or value of a query, in the one encoding that SigV4 signs."""
    if _UNRESERVED.fullmatch(text):
        return text
    return quote(unescape(text.replace("+", " ")), safe="~")

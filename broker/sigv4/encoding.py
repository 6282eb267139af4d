"""Percent-encoding as SigV4 and the Query protocol use it (RFC 3986 §2.1; `+` is a space in queries and forms)."""

import re
from urllib.parse import quote, unquote_to_bytes

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
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as error:
        raise MalformedQueryString("The query string or form is not encoded in UTF-8") from error


def canonical_component(text: str) -> str:
    """One name or value of a query, in the one encoding that SigV4 signs."""
    if _UNRESERVED.fullmatch(text):
        return text
    return quote(unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")), safe="~")

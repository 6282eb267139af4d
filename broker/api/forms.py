"""Query string and form body to parameters, strictly (`application/x-www-form-urlencoded`, WHATWG URL §5.1).

Names are exact and each is given once: two readers of one request must not see different parameters.
"""

import re

from broker.errors import MalformedInput, MalformedQueryString, RequestTooLarge, ValidationError
from broker.sigv4.encoding import check_escapes, decode_component
from broker.sigv4.presented import PRESIGNING_PARAMETERS

MOST_PARAMETERS = 500
LONGEST_NAME = 256

_NAME = re.compile(rf"[!-~]{{1,{LONGEST_NAME}}}")
# What XML 1.0 §2.2 cannot carry could not be reported back, and has no place in any parameter.
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FORM = re.compile(r'application/x-www-form-urlencoded[ \t]*(?:;[ \t]*(?:charset="?utf-8"?)?[ \t]*)?', re.IGNORECASE)


def parameters(
    query: str, body: bytes = b"", *, content_type: str | None = None, content_encoding: str | None = None, limit: int
) -> dict[str, str]:
    """The parameters of a raw query string and a raw body of at most `limit` bytes together.

    Presigning's own query parameters are left out: they belong to the signature.

    Raises:
        RequestTooLarge: the body is longer than `limit`.
        MalformedInput: the body is compressed or not a form.
        MalformedQueryString: an escape is broken, or the text is not UTF-8.
        ValidationError: a name is given twice or is no name, a value holds control characters, or there are too many.
    """
    if content_encoding is not None:
        raise MalformedInput("A request with Content-Encoding is not accepted")
    found: dict[str, str] = {}
    if query:
        _read(query, found, PRESIGNING_PARAMETERS)
    if body:
        if len(body) > limit:
            raise RequestTooLarge
        if content_type is None or not _FORM.fullmatch(content_type.strip(" \t")):
            raise MalformedInput("The request body must have the content type application/x-www-form-urlencoded")
        try:
            form = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedQueryString("The query string or form is not encoded in UTF-8") from error
        _read(form, found, frozenset())
    return found


def _read(raw: str, found: dict[str, str], left_out: frozenset[str]) -> None:
    if raw.count("&") + len(found) >= MOST_PARAMETERS:
        raise ValidationError(f"A request has at most {MOST_PARAMETERS} parameters")
    check_escapes(raw)
    printable = raw.isascii() and raw.isprintable()
    for pair in raw.split("&"):
        if not pair:
            continue
        raw_name, _, value = pair.partition("=")
        name = decode_component(raw_name)
        if name in left_out:
            continue
        if not _NAME.fullmatch(name):
            raise ValidationError(f"A parameter name has 1 to {LONGEST_NAME} printable ASCII characters")
        if name in found:
            raise ValidationError(f"The parameter '{name}' is given more than once")
        if not printable or "%" in value or "+" in value:
            value = decode_component(value)
            if _NOT_TEXT.search(value):
                raise ValidationError(f"The value of the parameter '{name}' holds a control character")
        found[name] = value

"""What a signed request presents, read strictly and in AWS's order; nothing here is verified yet.

AWS, "Authenticating requests (Signature Version 4)"; the texts are those of the live service. Where AWS lets one of
several values win, the request is refused: two readers of one request must not see different ones.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from broker.errors import IncompleteSignature, MissingAuthenticationToken, SignatureDoesNotMatch
from broker.sigv4.encoding import check_escapes, decode_component

ALGORITHM = "AWS4-HMAC-SHA256"
LONGEST_EXPIRY = 604_800
"""Seconds; SigV4 lets a presigned URL live for seven days at most."""

SIGNING_PARAMETERS = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    }
)
PRESIGNING_PARAMETERS = SIGNING_PARAMETERS | {"X-Amz-Content-Sha256", "X-Amz-User-Agent", "x-amz-user-agent"}
"""Query parameters, names exact, that belong to a presigned URL and not to the action."""

_BASIC_ISO_8601 = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}(?::[0-9]{2}){2} GMT"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECONDS = re.compile(r"[0-9]{1,6}")
_HEADER_NAME = re.compile(r"[!-9<-~]+")
_SINGLE_HEADERS = ("authorization", "x-amz-security-token", "x-amz-content-sha256", "host")
_MOST_SIGNED_HEADERS = 256  # lists are remembered, and those of strangers could be thousands of names long
_ECHOED = 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as received.

    `path` and `query` are raw (percent-encoded, without the `?`); header values are decoded as UTF-8 with
    `surrogateescape`, in the order received. Header names that are not ASCII are not seen.
    """

    method: str
    path: str
    query: str = field(repr=False)
    headers: Sequence[tuple[str, str]] = field(repr=False)
    values: dict[str, list[str]] = field(init=False, repr=False, compare=False)
    """Header values by lower-case name."""

    def __post_init__(self) -> None:
        values: dict[str, list[str]] = {}
        for name, value in self.headers:
            if name.isascii():
                values.setdefault(name.lower(), []).append(value)
        object.__setattr__(self, "values", values)

    def header(self, name: str) -> str | None:
        """The first value under a lower-case name."""
        found = self.values.get(name)
        return found[0] if found else None


class PresentedSignature(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a signature as the caller wrote them. Unverified."""

    algorithm: str
    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    """The request's date as the string to sign has it, `20150830T123600Z`."""
    date_text: str
    """The request's date as sent."""
    timestamp: datetime
    session_token: str | None
    presigned: bool
    expires: int | None
    """Seconds from `timestamp`; None where the request does not say."""
    content_sha256: str | None = None
    """The payload hash that the request declares, or `UNSIGNED-PAYLOAD` and the like."""

    @property
    def scope(self) -> str:
        """`20150830/us-east-1/sts/aws4_request`."""
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"

    def __repr__(self) -> str:
        return f"PresentedSignature(access_key_id={self.access_key_id!r}, scope={self.scope!r}, …)"


def present(request: HttpRequest) -> PresentedSignature:
    """Read the signature of `request`: steps 4 to 9 of AWS's order, and the credential's shape.

    Raises:
        MalformedQueryString: the query's escapes cannot be decoded.
        MissingAuthenticationToken: there is no signature.
        IncompleteSignature: a part is missing, malformed or given twice.
        SignatureDoesNotMatch: both forms at once, or a header that has to be signed is not.
    """
    values = request.values
    presigning = _presigning(request.query) if request.query else {}
    if "authorization" in values:
        if not presigning.keys().isdisjoint(SIGNING_PARAMETERS):
            raise SignatureDoesNotMatch("")
    elif "X-Amz-Algorithm" not in presigning:
        raise MissingAuthenticationToken
    for name in _SINGLE_HEADERS:
        if name in values and len(values[name]) > 1:
            raise IncompleteSignature(f"The header '{name}' is given more than once.")
    return _from_header(request) if "authorization" in values else _from_query(request, presigning)


def _from_header(request: HttpRequest) -> PresentedSignature:
    authorization = request.values["authorization"][0].strip()
    algorithm, _, rest = authorization.partition(" ")
    _check_algorithm(algorithm)
    parts: dict[str, str] = {}
    for item in rest.split(","):
        key, equals, value = item.strip().partition("=")
        if not equals:
            raise IncompleteSignature(
                f"'{_echo(key)}' not a valid key=value pair (missing equal-sign) in Authorization header: "
                f"'{_echo(authorization)}'."
            )
        if key in parts or key not in ("Credential", "SignedHeaders", "Signature"):
            raise IncompleteSignature(f"'{_echo(key)}' is not expected here in Authorization header.")
        parts[key] = value
    date_header = "x-amz-date" if "x-amz-date" in request.values else "date"
    date_text = request.header(date_header)
    missing = [
        f"Authorization header requires '{key}' parameter."
        for key in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(key)
    ]
    if not date_text:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or date_text is None:
        raise IncompleteSignature(" ".join([*missing, f"Authorization={algorithm}"]))
    if len(request.values[date_header]) > 1:
        raise IncompleteSignature(f"The header '{date_header}' is given more than once.")
    signed_headers = _signed_headers(parts["SignedHeaders"])
    session_token = request.header("x-amz-security-token")
    if session_token is not None and "x-amz-security-token" not in signed_headers:
        raise SignatureDoesNotMatch
    return _presented(
        credential=parts["Credential"],
        signed_headers=signed_headers,
        signature=parts["Signature"],
        date_text=date_text.strip(),
        session_token=session_token,
        presigned=False,
        expires=None,
        content_sha256=request.header("x-amz-content-sha256"),
    )


def _from_query(request: HttpRequest, presigning: dict[str, str]) -> PresentedSignature:
    _check_algorithm(presigning["X-Amz-Algorithm"])
    missing = [
        f"AWS query-string parameters must include '{name}'."
        for name in ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
        if not presigning.get(name)
    ]
    if missing:
        raise IncompleteSignature(" ".join([*missing, "Re-examine the query-string parameters."]))
    if "x-amz-security-token" in request.values:
        raise IncompleteSignature("A presigned request carries X-Amz-Security-Token in its query string only.")
    declared = presigning.get("X-Amz-Content-Sha256")
    in_header = request.header("x-amz-content-sha256")
    if declared is not None and in_header is not None and declared != in_header:
        raise IncompleteSignature("X-Amz-Content-Sha256 is given twice, with different values.")
    return _presented(
        credential=presigning["X-Amz-Credential"],
        signed_headers=_signed_headers(presigning["X-Amz-SignedHeaders"]),
        signature=presigning["X-Amz-Signature"],
        date_text=presigning["X-Amz-Date"],
        session_token=presigning.get("X-Amz-Security-Token"),
        presigned=True,
        expires=_expires(presigning.get("X-Amz-Expires")),
        content_sha256=declared if declared is not None else in_header,
    )


def _presented(
    *,
    credential: str,
    signed_headers: tuple[str, ...],
    signature: str,
    date_text: str,
    session_token: str | None,
    presigned: bool,
    expires: int | None,
    content_sha256: str | None,
) -> PresentedSignature:
    timestamp, amz_date = _timestamp(date_text, http_date=not presigned)
    elements = credential.split("/")
    if len(elements) != 5:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{_echo(credential)}'"
        )
    access_key_id, date, region, service, terminator = elements
    return PresentedSignature(
        algorithm=ALGORITHM,
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        terminator=terminator,
        signed_headers=signed_headers,
        signature=signature,
        amz_date=amz_date,
        date_text=date_text,
        timestamp=timestamp,
        session_token=session_token,
        presigned=presigned,
        expires=expires,
        content_sha256=content_sha256,
    )


def _presigning(query: str) -> dict[str, str]:
    check_escapes(query)
    found: dict[str, str] = {}
    for pair in query.split("&"):
        raw_name, _, raw_value = pair.partition("=")
        name = decode_component(raw_name)
        if name in PRESIGNING_PARAMETERS:
            if name in found:
                raise IncompleteSignature(f"The query-string parameter '{name}' is given more than once.")
            found[name] = decode_component(raw_value)
    return found


def _check_algorithm(algorithm: str) -> None:
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{_echo(algorithm)}'.")


@functools.lru_cache(maxsize=256)
def _signed_headers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if len(names) > _MOST_SIGNED_HEADERS:
        raise SignatureDoesNotMatch
    if "host" not in names:
        raise SignatureDoesNotMatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for before, name in zip(("", *names), names, strict=False):
        if name <= before or name != name.lower() or not _HEADER_NAME.fullmatch(name):
            raise SignatureDoesNotMatch
    return names


def _expires(text: str | None) -> int | None:
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not 1 <= int(text) <= LONGEST_EXPIRY:
        raise IncompleteSignature(f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST_EXPIRY}.")
    return int(text)


def _timestamp(text: str, *, http_date: bool) -> tuple[datetime, str]:
    try:
        if _BASIC_ISO_8601.fullmatch(text):
            return datetime.fromisoformat(text), text
        if http_date and _HTTP_DATE.fullmatch(text):
            clock = (int(text[17:19]), int(text[20:22]), int(text[23:25]))
            timestamp = datetime(int(text[12:16]), _MONTHS.index(text[8:11]) + 1, int(text[5:7]), *clock, tzinfo=UTC)
            return timestamp, timestamp.strftime("%Y%m%dT%H%M%SZ")
    except ValueError:
        pass
    raise IncompleteSignature(
        f"Date must be in ISO-8601 'basic format'. Got '{_echo(text)}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _echo(text: str) -> str:
    """As it may stand in an answer: octets of a header that are not UTF-8 have no place in a text."""
    shown = text if len(text) <= _ECHOED else text[:_ECHOED] + "…"
    return shown.encode("utf-8", "replace").decode()

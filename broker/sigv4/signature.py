"""The canonical request, the signing key, and whether a presented signature is right.

AWS, "Create a signed AWS API request"; S3's exceptions: "Authenticating Requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import quote

from broker.errors import MalformedQueryString
from broker.sigv4.encoding import canonical_component, check_escapes, unescape
from broker.sigv4.presented import ALGORITHM, HttpRequest, PresentedSignature

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_UNSIGNED = re.compile(rf"{UNSIGNED_PAYLOAD}|STREAMING-[A-Z0-9-]+")
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a service canonicalises a request."""

    normalise_path: bool = True
    """Dot segments and repeated slashes are removed, and the path is encoded once more than it was sent."""
    unsigned_payload: bool = False
    """`UNSIGNED-PAYLOAD` and `STREAMING-…` are taken, and a presigned request does not sign its payload."""


AWS = Rules()
S3 = Rules(normalise_path=False, unsigned_payload=True)


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key derived from a secret access key for one day, region and service.

    Raises:
        ValueError: the secret is empty.
    """
    if not secret:
        raise ValueError("a secret access key is never empty")
    key = hmac.digest(b"AWS4" + secret.encode("utf-8"), date.encode("utf-8"), "sha256")
    for part in (region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("utf-8"), "sha256")
    return key


class SigningKeys:
    """Derived keys, the most recently used ones kept: deriving costs as much as the rest of a verification."""

    __slots__ = ("_kept", "_size")

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[str, bytes, str, str, str], bytes] = OrderedDict()

    def derive(self, secret: str, presented: PresentedSignature) -> bytes:
        """`signing_key` for the scope of `presented`, which `check_scope` has passed."""
        digest = hashlib.sha256(secret.encode("utf-8")).digest()
        name = (presented.access_key_id, digest, presented.date, presented.region, presented.service)
        key = self._kept.get(name)
        if key is not None:
            self._kept.move_to_end(name)
            return key
        key = signing_key(secret, presented.date, presented.region, presented.service)
        self._kept[name] = key
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return key

    def __len__(self) -> int:
        return len(self._kept)


def matches(
    request: HttpRequest, presented: PresentedSignature, payload_sha256: str, key: bytes, rules: Rules = AWS
) -> bool:
    """Whether the signature is the one that the holder of `key` makes for `request`.

    `payload_sha256` is the lower-case hexadecimal SHA-256 of the body as received; `key` comes from `signing_key`.
    Compares in constant time.
    """
    try:
        expected = signature_of(request, presented, payload_sha256, key, rules)
        if expected is None:
            return False
        return hmac.compare_digest(expected.encode("ascii"), presented.signature.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        # Text that no bytes on a wire could have been decoded to.
        return False


def signature_of(
    request: HttpRequest, presented: PresentedSignature, payload_sha256: str, key: bytes, rules: Rules = AWS
) -> str | None:
    """The right signature, whatever `presented` has; None where the request cannot be what was signed."""
    canonical = canonical_request(request, presented, payload_sha256, rules)
    if canonical is None:
        return None
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    string_to_sign = f"{ALGORITHM}\n{presented.amz_date}\n{presented.scope}\n{digest}"
    return hmac.digest(key, string_to_sign.encode("utf-8", "surrogateescape"), "sha256").hex()


def canonical_request(
    request: HttpRequest, presented: PresentedSignature, payload_sha256: str, rules: Rules = AWS
) -> str | None:
    """The text whose hash is signed; None where the request cannot be what was signed."""
    payload = payload_hash(presented, payload_sha256, rules)
    path = canonical_path(request.path, rules)
    if payload is None or path is None:
        return None
    lines = [request.method, path, canonical_query(request.query)]
    for name in presented.signed_headers:
        values = request.values.get(name)
        if values is None:
            return None
        lines.append(f"{name}:{canonical_value(values[0]) if len(values) == 1 else _joined(values)}")
    lines += ("", ";".join(presented.signed_headers), payload)
    return "\n".join(lines)


def payload_hash(presented: PresentedSignature, payload_sha256: str, rules: Rules) -> str | None:
    """The payload hash to be signed; None where the declared one is not that of the payload."""
    declared = presented.content_sha256
    if declared is None:
        return UNSIGNED_PAYLOAD if rules.unsigned_payload and presented.presigned else payload_sha256
    if declared == payload_sha256:
        return declared
    return declared if rules.unsigned_payload and _UNSIGNED.fullmatch(declared) else None


def canonical_path(path: str, rules: Rules) -> str | None:
    """The path as signed; None for one that is not absolute or not decodable."""
    if path == "/":
        return path
    if not path.startswith("/"):
        return None
    if not rules.normalise_path:
        try:
            check_escapes(path)
        except MalformedQueryString:
            return None
        return quote(unescape(path), safe="/~")
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment and segment != ".":
            kept.append(segment)
    normal = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return quote(normal.encode("utf-8", "surrogateescape"), safe="/~")


def canonical_query(query: str) -> str:
    """The query as signed: decoded, encoded again, sorted; the signature itself left out."""
    if not query:
        return ""
    pairs = []
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            pairs.append((canonical_component(name), canonical_component(value)))
    pairs.sort()
    return "&".join(f"{name}={value}" for name, value in pairs if name != "X-Amz-Signature")


def canonical_value(value: str) -> str:
    """A header value trimmed, and runs of blanks in it made one space."""
    value = value.strip(" \t")
    return _BLANKS.sub(" ", value) if "  " in value or "\t" in value else value


def _joined(values: list[str]) -> str:
    return ",".join(map(canonical_value, values))

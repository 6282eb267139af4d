"""What an S3 request does beside its plain operation.

Path and method alone do not tell: `PUT /bucket/key?acl` changes permissions, a copy reads another object. A rule for
an S3 action stands for the plain operation, so a request that needs further permissions fits none
(Amazon S3 API reference; "Required permissions for Amazon S3 API operations").
"""

from collections.abc import Mapping
from typing import Final

from broker.errors import MalformedQueryString
from broker.sigv4 import HttpRequest
from broker.sigv4.encoding import check_escapes, decode_component

_ALWAYS: Final = frozenset({"x-id"})
_PARAMETERS: Final = {
    "s3:listbucket": frozenset(
        {
            "list-type",
            "prefix",
            "delimiter",
            "max-keys",
            "continuation-token",
            "start-after",
            "encoding-type",
            "fetch-owner",
            "marker",
        }
    ),
    "s3:getobject": frozenset(
        {
            "partnumber",
            "response-cache-control",
            "response-content-disposition",
            "response-content-encoding",
            "response-content-language",
            "response-content-type",
            "response-expires",
        }
    ),
    "s3:putobject": frozenset({"uploads", "uploadid", "partnumber"}),
    "s3:abortmultipartupload": frozenset({"uploadid"}),
    "s3:getbucketlocation": frozenset({"location"}),
}
_LISTING: Final = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys"}
_HEADERS: Final = (
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-tagging",
    "x-amz-copy-source",
    "x-amz-object-lock-",
    "x-amz-bypass-governance-retention",
    "x-amz-website-redirect-location",
)


def is_plain(action: str, http: HttpRequest) -> bool:
    """Whether the request does no more than `action`; other services' always."""
    folded = action.lower()
    if not folded.startswith("s3:"):
        return True
    if any(name.startswith(_HEADERS) for name in http.values):
        return False
    # Some servers take a bare semicolon for an ampersand; SDKs escape it.
    if ";" in http.query:
        return False
    known = _ALWAYS | _PARAMETERS.get(folded, frozenset())
    try:
        check_escapes(http.query)
        as_sent = [decode_component(pair.partition("=")[0]) for pair in http.query.split("&") if pair]
        condition_keys(action, http)
    except MalformedQueryString:
        return False
    names = [name.lower() for name in as_sent]
    # Who reads these in any case would list what conditions were not asked about.
    if any(name in _LISTING and name not in as_sent for name in names):
        return False
    names = [name for name in names if not name.startswith("x-amz-")]
    if len(set(names)) < len(names) or not known.issuperset(names):
        return False
    # Reading parts of an upload, or ending it, are operations of their own.
    return folded != "s3:putobject" or http.method in ("PUT", "POST")


def condition_keys(action: str, http: HttpRequest) -> Mapping[str, str]:
    """What conditions may ask of a request that `is_plain`: of a list of objects, which ones.

    Raises `MalformedQueryString` where that is not UTF-8.
    """
    if action.lower() != "s3:listbucket":
        return {}
    pairs = [pair.partition("=") for pair in http.query.split("&")]
    parameters = {decode_component(name): decode_component(value) for name, _, value in pairs}
    return {key: parameters[name] for name, key in _LISTING.items() if name in parameters}

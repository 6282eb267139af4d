"""The JSON of `POST /authorize`, parsed strictly: unknown members, wrong types and what is too long are refused."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from broker.arn import Arn
from broker.errors import MalformedPolicyDocument, ValidationError
from broker.policy import context_key
from broker.policy.context import fold
from broker.sigv4 import HttpRequest

BODY_LIMIT: Final = 262_144
"""Bytes of a question; a request's head is at most 32 KB, a bucket policy 20 KB, a hundred ARNs up to 200 KB."""
MAXIMUM_QUESTIONS: Final = 100
POLICY_CHARACTERS: Final = 20_480
"""The longest resource policy, as S3's bucket policies."""
_MAXIMUM_KEYS: Final = 100
_MAXIMUM_HEADERS: Final = 100
EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_Action = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}:[A-Za-z0-9_.-]{1,128}\Z")]
_Resource = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
_Values = Annotated[list[Annotated[str, msgspec.Meta(max_length=4096)]], msgspec.Meta(max_length=100)]

_URL = re.compile(r"(https?)://([A-Za-z0-9.\-_\[\]:]{1,255})(/[!-\"$->@-\uffff]*)?(?:\?([!-\"$-\uffff]*))?", re.ASCII)
_KEY = re.compile(r"([a-z0-9-]{1,64}):[ -~\u00a1-\u00ff]{1,256}")
_CALLERS_NAMESPACES: Final = frozenset({"saml", "ldap", "x509", "idp", "sojourn", "localhost"})
_CALLERS_KEYS: Final = frozenset(
    {
        "aws:assumedroot",
        "aws:userid",
        "aws:username",
        "aws:tokenissuetime",
        "aws:sourceidentity",
        "aws:federatedprovider",
        "aws:currenttime",
        "aws:epochtime",
        "aws:viaawsservice",
        "aws:resourceaccount",
    }
)
_CALLERS_PREFIXES: Final = ("aws:principal", "aws:multifactorauth")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is ignored."""


class PresentedRequest(_Strict, frozen=True, kw_only=True):
    """A request as the resource server received it. `payload_sha256`: of the body; left out where there is none."""

    method: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z-]{1,32}\Z")]
    url: Annotated[str, msgspec.Meta(max_length=16_384)]
    headers: Annotated[dict[str, str | list[str]], msgspec.Meta(max_length=_MAXIMUM_HEADERS)]
    payload_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None

    def http(self) -> HttpRequest:
        """The request as the verifier reads it; without a Host header, the URL's authority is its host.

        Raises:
            ValidationError: the URL is none, or names another host than the header.
        """
        found = _URL.fullmatch(self.url)
        if found is None:
            raise ValidationError("request.url must be an absolute http or https URL, percent-encoded, as received.")
        scheme, authority, path, query = found.groups()
        headers = [
            (name, value)
            for name, values in self.headers.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        hosts = [value for name, value in headers if name.lower() == "host"]
        host = _without_default_port(scheme, authority)
        if any(_without_default_port(scheme, each.strip()) != host for each in hosts):
            raise ValidationError("request.url and the Host header in request.headers name different hosts.")
        if not hosts:
            headers.append(("host", host))
        return HttpRequest(self.method, path or "/", query or "", headers)


class Question(_Strict, frozen=True):
    """One action on one resource."""

    action: _Action
    resource: _Resource

    def __post_init__(self) -> None:
        """Raises ValueError, which the decoder reports with its place."""
        if self.resource != "*":
            Arn.parse(self.resource)
        if not self.resource.isprintable():
            raise ValueError("a resource has no control characters")


class Asked(_Strict, frozen=True, kw_only=True):
    """All of a body."""

    request: PresentedRequest | None = None
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)] | None = None
    action: _Action | None = None
    resource: _Resource | None = None
    requests: Annotated[list[Question], msgspec.Meta(min_length=1, max_length=MAXIMUM_QUESTIONS)] | None = None
    context: Annotated[dict[str, _Values], msgspec.Meta(max_length=_MAXIMUM_KEYS)] = {}
    resource_policy: msgspec.Raw = msgspec.Raw(b"null")
    resource_account: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{12}\Z")] | None = None

    def __repr__(self) -> str:
        return "Asked(…)"

    def questions(self) -> Sequence[Question]:
        """What is asked, one or several.

        Raises:
            ValidationError: neither form, or both.
        """
        if self.requests is not None:
            if self.action is not None or self.resource is not None:
                raise ValidationError("Give either action and resource, or requests, not both.")
            return self.requests
        if self.action is None or self.resource is None:
            raise ValidationError("Give action and resource, or a list of both in requests.")
        try:
            return [Question(self.action, self.resource)]
        except ValueError as error:
            raise ValidationError(f"The resource is not valid: {error}.") from error

    def condition_keys(self) -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
        """The context as the policy engine takes it: keys with one value, and keys with many.

        Raises:
            ValidationError: a key that describes the caller, that is no key, or that has more values than it can.
        """
        single: dict[str, str] = {}
        many: dict[str, Sequence[str]] = {}
        for name, values in self.context.items():
            _check_key(name)
            known = context_key(name)
            if known is not None and known.many:
                many[name] = values
            elif len(values) == 1:
                single[name] = values[0]
            elif known is not None and values:
                raise ValidationError(f"The condition key {name} in context has one value, not several.")
            else:
                many[name] = values
        return single, many

    def policy_text(self) -> str | None:
        """The resource policy's JSON: an object in the body, or a string that holds one.

        Raises:
            MalformedPolicyDocument: it is too long, or something else.
        """
        raw = bytes(self.resource_policy)
        if raw == b"null":
            return None
        try:
            text = msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else raw.decode("utf-8")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedPolicyDocument("resource_policy is not UTF-8.") from error
        if len(text) > POLICY_CHARACTERS:
            raise MalformedPolicyDocument(f"resource_policy is longer than {POLICY_CHARACTERS} characters.")
        return text


_decoder: Final = msgspec.json.Decoder(Asked)


def parse(body: bytes) -> Asked:
    """The question in a body.

    Raises:
        ValidationError: with what is wrong and where, and no value of the body's.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValidationError(f"The body is no valid question: {str(error)[:512]}") from error


def _check_key(name: str) -> None:
    found = _KEY.fullmatch(name) if name.isprintable() else None
    if found is None:
        raise ValidationError("context has a name that is no condition key of a service, such as aws:SourceIp.")
    folded = fold(name)
    if folded in _CALLERS_KEYS or folded.startswith(_CALLERS_PREFIXES) or found[1].lower() in _CALLERS_NAMESPACES:
        raise ValidationError(f"The condition key {name} may not be given in context: it is known here.")


def _without_default_port(scheme: str, authority: str) -> str:
    return authority.lower().removesuffix(":80" if scheme == "http" else ":443")

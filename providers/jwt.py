"""An ID token taken apart strictly, nothing verified (RFC 7515 §3.1, RFC 7519 §4, OpenID Connect Core 1.0 §2).

What python-jose accepts and must not is refused here, before a key is looked for: further algorithms, critical
headers, keys carried by the token, other kinds of token, missing claims and claims of the wrong type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from providers.encoding import Json, base64url, json_object
from providers.errors import ProofRejected

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""Those AWS accepts."""

_MAX_CHARACTERS = 20_000  # AWS's limit for WebIdentityToken
_MAX_ISSUER = 255  # AWS's limit for a provider's Url
_LATEST = 32_503_680_000  # the year 3000: what is later was given in milliseconds, and a datetime cannot hold all
_NOT_A_JWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
_KEYS_IN_HEADER = ("jwk", "jku", "x5u", "x5c")
_OTHER_TOKENS: Mapping[str, frozenset[Json]] = {
    "typ": frozenset({"Bearer", "Refresh", "Offline", "Logout"}),  # Keycloak
    "token_use": frozenset({"access"}),  # Cognito
}


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself. Times are seconds since the epoch; `audiences` is never empty."""

    algorithm: str
    key_id: str | None
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    authorized_party: str | None
    issued_at: float
    expires_at: float
    not_before: float | None
    authenticated_at: float | None
    token_id: str | None
    unverified_claims: Mapping[str, Json]
    signing_input: bytes
    signature: bytes


@lru_cache(maxsize=1)  # a token is looked at twice: to choose its provider, and to verify it
def parse(raw: str) -> UnverifiedToken:
    """Raises `ProofRejected` with AWS's sentence and what is wrong; white space around the token is dropped."""
    header, claims, signing_input, signature = _split(raw)
    algorithm, key_id = _header(header)
    _id_token(claims)
    issuer = _text(claims, "iss")
    if len(issuer) > _MAX_ISSUER:
        raise _malformed(f"Its iss is longer than {_MAX_ISSUER} characters.", reason="claims")
    return UnverifiedToken(
        algorithm=algorithm,
        key_id=key_id,
        issuer=issuer,
        subject=_text(claims, "sub"),
        audiences=_audiences(claims),
        authorized_party=_text(claims, "azp") if "azp" in claims else None,
        issued_at=_seconds(claims, "iat"),
        expires_at=_seconds(claims, "exp"),
        not_before=_seconds(claims, "nbf") if "nbf" in claims else None,
        authenticated_at=_seconds(claims, "auth_time") if "auth_time" in claims else None,
        token_id=_text(claims, "jti") if "jti" in claims else None,
        unverified_claims=claims,
        signing_input=signing_input,
        signature=signature,
    )


def shown(text: str) -> str:
    """A piece of the token as it may stand in a sentence: printable ASCII, 255 characters at most."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:255])


def _split(raw: str) -> tuple[Mapping[str, Json], Mapping[str, Json], bytes, bytes]:
    token = raw.strip(" \t\r\n")
    if len(token) > _MAX_CHARACTERS:
        raise _malformed(f"It is longer than {_MAX_CHARACTERS} characters.")
    parts = token.split(".", 5)
    if len(parts) == 5:
        raise _malformed("It has five parts, so it is encrypted; a signed one is needed.")
    if len(parts) != 3 or not all(parts):
        raise _malformed("It does not have three parts.")
    try:
        header, payload, signature = (base64url(part) for part in parts)
    except ValueError as error:
        raise _malformed("A part of it is not base64url without padding.") from error
    try:
        return json_object(header), json_object(payload), f"{parts[0]}.{parts[1]}".encode("ascii"), signature
    except ValueError as error:
        raise _malformed("Its header or its payload is not one well-formed JSON object.", detail=str(error)) from error


def _header(header: Mapping[str, Json]) -> tuple[str, str | None]:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        given = shown(algorithm) if isinstance(algorithm, str) else "nothing"
        raise _malformed(f"Its algorithm is {given}; accepted are {', '.join(ALGORITHMS)}.", reason="algorithm")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.casefold() != "jwt":
        raise _malformed("Its header says that it is another kind of token.", reason="token_type")
    if "crit" in header or "b64" in header:
        raise _malformed("Its header demands an extension that is not supported.", reason="header")
    if any(name in header for name in _KEYS_IN_HEADER):
        raise _malformed("It carries a key; only keys that the issuer publishes count.", reason="header")
    key_id = header.get("kid")
    if not isinstance(key_id, str | None):
        raise _malformed("Its kid is not a text.", reason="header")
    return algorithm, key_id


def _id_token(claims: Mapping[str, Json]) -> None:
    # Issuers sign access, refresh, logout and event tokens (RFC 8417) with the same keys.
    another = any(isinstance(claims.get(name), str) and claims[name] in kinds for name, kinds in _OTHER_TOKENS.items())
    if another or "events" in claims:
        raise _malformed("Its claims say that it is another kind of token.", reason="token_type")


def _text(members: Mapping[str, Json], name: str) -> str:
    value = _required(members, name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _malformed(f"Its {name} is not a text.", reason="claims")
    return value


def _audiences(claims: Mapping[str, Json]) -> tuple[str, ...]:
    value = _required(claims, "aud")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise _malformed("Its aud is not a text or a list of texts.", reason="claims")
    return tuple(_text({"aud": text}, "aud") for text in texts)


def _seconds(claims: Mapping[str, Json], name: str) -> float:
    value = _required(claims, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise _malformed(f"Its {name} is not a number of seconds.", reason="claims")
    return value


def _required(members: Mapping[str, Json], name: str) -> Json:
    value = members.get(name)
    if value is None:
        raise ProofRejected(f"Missing a required claim: {name}", reason="claims")
    return value


def _malformed(what: str, *, reason: str = "malformed", detail: str | None = None) -> ProofRejected:
    return ProofRejected(f"{_NOT_A_JWT} {what}", reason=reason, detail=detail)

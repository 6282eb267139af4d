"""An ID token taken apart strictly, nothing verified (RFC 7519 §4, OpenID Connect Core 1.0 §2).

Beyond what `providers.jws` refuses: other kinds of token, missing claims and claims of the wrong type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from providers.encoding import Json
from providers.errors import ProofRejected
from providers.jws import NotJws, UnverifiedJws, take_apart

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
"""Those AWS accepts."""

_MAX_CHARACTERS = 20_000  # AWS's limit for WebIdentityToken
_MAX_ISSUER = 255  # AWS's limit for a provider's Url
_LATEST = 32_503_680_000  # the year 3000: what is later was given in milliseconds, and a datetime cannot hold all
_NOT_A_JWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
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
    jws = _taken_apart(raw)
    claims = jws.unverified_claims
    _id_token(claims)
    issuer = _text(claims, "iss")
    if len(issuer) > _MAX_ISSUER:
        raise _malformed(f"Its iss is longer than {_MAX_ISSUER} characters.", reason="claims")
    return UnverifiedToken(
        algorithm=jws.algorithm,
        key_id=jws.key_id,
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
        signing_input=jws.signing_input,
        signature=jws.signature,
    )


def _taken_apart(raw: str) -> UnverifiedJws:
    try:
        jws = take_apart(raw.strip(" \t\r\n"), algorithms=ALGORITHMS, max_characters=_MAX_CHARACTERS)
    except NotJws as error:
        raise _malformed(str(error), reason=error.reason, detail=error.detail) from error
    kind = jws.unverified_header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.casefold() != "jwt":
        raise _malformed("Its header says that it is another kind of token.", reason="token_type")
    return jws


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

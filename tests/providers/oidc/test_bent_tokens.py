"""Each way to bend an ID token, and the refusal it must meet (RFC 8725; the incidents behind each are in its id)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from providers.contract import IdToken
from providers.errors import ProofError, ProofExpired, ProofRejected
from providers.oidc import OidcProvider, peek_issuer
from tests.fakes.issuer import FakeIssuer, SigningKey, b64url, compact

Bend = Callable[[FakeIssuer], str]

STRANGER = SigningKey.make("key-1")
CURVE = SigningKey.make("curve", "ES256")
LONG_CURVE = SigningKey.make("long-curve", "ES384")
ALL_KEYS = [CURVE, LONG_CURVE]


def claims(**bend: Any) -> Bend:
    return lambda issuer: issuer.token(key=issuer.keys[0], **bend)


def header(**bend: Any) -> Bend:
    return lambda issuer: issuer.token(key=issuer.keys[0], header=bend)


def times(**offsets: Any) -> Bend:
    return lambda issuer: issuer.token(key=issuer.keys[0], **{n: int(time.time()) + o for n, o in offsets.items()})


def text(change: Callable[[str], str]) -> Bend:
    return lambda issuer: change(issuer.token(key=issuer.keys[0]))


def parts(change: Callable[[str, str, str], tuple[str, ...]]) -> Bend:
    def bend(issuer: FakeIssuer) -> str:
        head, payload, signature = issuer.token(key=issuer.keys[0]).split(".")
        return ".".join(change(head, payload, signature))

    return bend


def payload(change: Callable[[str], str]) -> Bend:
    """The claims' JSON text changed, then signed by the issuer's own key."""

    def bend(issuer: FakeIssuer) -> str:
        key = issuer.keys[0]
        document = change(json.dumps(issuer.claims())).encode("utf-8", "surrogatepass")
        return compact({"alg": "RS256", "kid": key.kid}, document, key)

    return bend


def head(document: str) -> Bend:
    return lambda issuer: compact(document.encode(), issuer.claims(), issuer.keys[0])


def hmac_with(secret: Callable[[rsa.RSAPublicKey], bytes], algorithm: str = "HS256") -> Bend:
    """Algorithm confusion: the issuer's public key, in some spelling, as an HMAC secret."""

    def bend(issuer: FakeIssuer) -> str:
        public = issuer.keys[0].private.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        signing_input = ".".join(
            b64url(json.dumps(part).encode())
            for part in ({"alg": algorithm, "kid": issuer.keys[0].kid}, issuer.claims())
        )
        return f"{signing_input}.{b64url(hmac.digest(secret(public), signing_input.encode(), hashlib.sha256))}"

    return bend


def spki(encoding: serialization.Encoding) -> Callable[[rsa.RSAPublicKey], bytes]:
    return lambda public: public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def signed_by(key: SigningKey, **bend: Any) -> Bend:
    return lambda issuer: issuer.token(key=key, header=bend)


def pss(issuer: FakeIssuer) -> str:
    key = issuer.keys[0]
    assert isinstance(key.private, rsa.RSAPrivateKey)
    signing_input = issuer.token(key=key).rpartition(".")[0]
    way = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return f"{signing_input}.{b64url(key.private.sign(signing_input.encode(), way, hashes.SHA256()))}"


def digest_of_another_size(issuer: FakeIssuer) -> str:
    """RS512 in the header over a key that the issuer publishes for RS256."""
    key = issuer.keys[0]
    signing_input = ".".join(
        b64url(json.dumps(part).encode()) for part in ({"alg": "RS512", "kid": key.kid}, issuer.claims())
    )
    return f"{signing_input}.{b64url(key.sign(signing_input.encode(), 'RS512'))}"


def curve_signature(change: Callable[[bytes], bytes]) -> Bend:
    def bend(issuer: FakeIssuer) -> str:
        signing_input, _, signature = issuer.token(key=CURVE).rpartition(".")
        return f"{signing_input}.{b64url(change(base64.urlsafe_b64decode(signature + '==')))}"

    return bend


def wrong_curve(issuer: FakeIssuer) -> str:
    """ES256 in the header, signed with a P-384 key and its key id."""
    signing_input = ".".join(
        b64url(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": LONG_CURVE.kid}, issuer.claims())
    )
    return f"{signing_input}.{b64url(LONG_CURVE.sign(signing_input.encode(), 'ES256'))}"


def dirty_last_character(head: str, payload: str, signature: str) -> tuple[str, ...]:
    """256 signature bytes leave four unused bits in the last character; set one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return head, payload, signature[:-1] + alphabet[alphabet.index(signature[-1]) | 1]


TAGS = "https://aws.amazon.com/tags"

BENT: dict[str, tuple[Bend, str]] = {
    # algorithms
    "alg none, no signature": (parts(lambda _h, p, _s: (b64url(b'{"alg":"none"}'), p, "")), "malformed"),
    "alg none, signature kept": (header(alg="none"), "algorithm"),
    "alg None": (header(alg="None"), "algorithm"),
    "alg missing": (header(alg=None), "algorithm"),
    "alg empty": (header(alg=""), "algorithm"),
    "alg a list": (header(alg=["RS256"]), "algorithm"),
    "alg in lower case": (header(alg="rs256"), "algorithm"),
    "HMAC with PEM key (CVE-2024-33663)": (hmac_with(spki(serialization.Encoding.PEM)), "algorithm"),
    "HMAC with DER key": (hmac_with(spki(serialization.Encoding.DER)), "algorithm"),
    "HMAC with key id as secret (CVE-2026-33322)": (hmac_with(lambda _: b"key-1"), "algorithm"),
    "HMAC with empty secret (CVE-2026-45363)": (hmac_with(lambda _: b""), "algorithm"),
    "HMAC under the name RS256": (hmac_with(spki(serialization.Encoding.PEM), "RS256"), "signature"),
    "PS256": (header(alg="PS256"), "algorithm"),
    "PSS signature under RS256": (pss, "signature"),
    "EdDSA": (header(alg="EdDSA"), "algorithm"),
    "ES256K": (header(alg="ES256K"), "algorithm"),
    "algorithm not the key's": (digest_of_another_size, "key_unknown"),
    "curve not the algorithm's": (wrong_curve, "key_unknown"),
    "ES256 for an RSA key's id": (signed_by(CURVE, kid="key-1"), "key_unknown"),
    # signatures and keys
    "key of a stranger": (signed_by(STRANGER), "signature"),
    "key id of nobody": (header(kid="nobody"), "key_unknown"),
    "key id a number": (header(kid=1), "header"),
    "key id a path (injection)": (header(kid="../../dev/null"), "key_unknown"),
    "signature missing": (parts(lambda h, p, _s: (h, p, "")), "malformed"),
    "signature cut short": (parts(lambda h, p, _s: (h, p, b64url(bytes(255)))), "signature"),
    "signature of zeros": (parts(lambda h, p, _s: (h, p, b64url(bytes(256)))), "signature"),
    "signature of other claims": (parts(lambda h, _p, s: (h, b64url(b'{"sub":"x"}'), s)), "claims"),
    "one bit of the claims changed": (
        parts(lambda h, p, s: (h, b64url(base64.urlsafe_b64decode(p + "===").replace(b"acme", b"bcme")), s)),
        "signature",
    ),
    "psychic signature (CVE-2022-21449)": (curve_signature(lambda _s: bytes(64)), "signature"),
    "ECDSA signature r = n": (
        curve_signature(
            lambda s: bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551") + s[32:]
        ),
        "signature",
    ),
    "ECDSA signature as DER": (
        curve_signature(lambda s: b"\x30\x44\x02\x20" + s[:32] + b"\x02\x20" + s[32:]),
        "signature",
    ),
    "ECDSA signature too long": (curve_signature(lambda s: s + b"\0"), "signature"),
    # headers
    "critical header": (header(crit=["exp"]), "header"),
    "critical header, empty": (header(crit=[]), "header"),
    "unencoded payload": (header(b64=False), "header"),
    "embedded key": (header(jwk=STRANGER.jwk()), "header"),
    "key address": (header(jku="https://evil.test/jwks"), "header"),
    "certificate address": (header(x5u="https://evil.test/cert"), "header"),
    "certificate chain": (header(x5c=["MIIB"]), "header"),
    "access token (RFC 9068)": (header(typ="at+jwt"), "token_type"),
    "access token, long form": (header(typ="application/at+jwt"), "token_type"),
    "logout token": (header(typ="logout+jwt"), "token_type"),
    "session token of a broker": (header(typ="sts+jwt"), "token_type"),
    "type a number": (header(typ=1), "token_type"),
    "header a list": (head("[]"), "malformed"),
    "header empty object": (head("{}"), "algorithm"),
    "header with a member twice": (head('{"alg":"none","alg":"RS256","kid":"key-1"}'), "malformed"),
    # other kinds of token in the claims
    "logout token by its events": (
        claims(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        "token_type",
    ),
    "Keycloak's access token": (claims(typ="Bearer"), "token_type"),
    "Cognito's access token": (claims(token_use="access"), "token_type"),
    # times
    "expired": (times(iat=-700, exp=-31), "expired"),
    "expired for ever": (claims(exp=0), "expired"),
    "no exp (CVE-2024-... Zitadel GHSA-wxg7)": (claims(exp=None), "claims"),
    "no iat": (claims(iat=None), "claims"),
    "exp a string": (claims(exp="99999999999"), "claims"),
    "exp a boolean": (claims(exp=True), "claims"),
    "exp a list": (claims(exp=[9]), "claims"),
    "exp negative": (claims(exp=-1), "claims"),
    "exp in milliseconds": (claims(exp=int(time.time() * 1000) + 10**6), "claims"),
    "exp NaN": (payload(lambda t: t.replace('"exp": ', '"exp": NaN, "x": ')), "malformed"),
    "exp Infinity": (payload(lambda t: t.replace('"exp": ', '"exp": Infinity, "x": ')), "malformed"),
    "exp overflows to infinity": (payload(lambda t: t.replace('"exp": ', '"exp": 1e999, "x": ')), "malformed"),
    "exp of 5000 digits": (payload(lambda t: t.replace('"exp": ', f'"exp": {"9" * 5000}, "x": ')), "malformed"),
    "exp given twice": (payload(lambda t: t.replace('"exp": ', '"exp": 1, "exp": ')), "malformed"),
    "nbf to come": (times(nbf=40), "not_yet_valid"),
    "nbf a string": (claims(nbf="0"), "claims"),
    "iat to come": (times(iat=40, exp=400), "not_yet_valid"),
    "auth_time a string": (claims(auth_time="1"), "claims"),
    # audiences
    "no aud (CVE-2024-5798)": (claims(aud=None), "claims"),
    "aud of another": (claims(aud="someone-else"), "audience"),
    "aud empty": (claims(aud=""), "claims"),
    "aud an empty list": (claims(aud=[]), "claims"),
    "aud a list with a number": (claims(aud=["sts.amazonaws.com", 1]), "claims"),
    "aud an object": (claims(aud={"sts.amazonaws.com": 1}), "claims"),
    "aud in upper case": (claims(aud="STS.AMAZONAWS.COM"), "audience"),
    "aud longer": (claims(aud="sts.amazonaws.com.evil.test"), "audience"),
    "aud shorter": (claims(aud="sts.amazonaws.co"), "audience"),
    "aud with a blank": (claims(aud="sts.amazonaws.com "), "audience"),
    "azp of another": (claims(azp="someone-else"), "audience"),
    "azp a list": (claims(azp=["sts.amazonaws.com"]), "claims"),
    # issuers
    "no iss": (claims(iss=None), "claims"),
    "iss too long": (claims(iss="https://evil.test/" + "x" * 238), "claims"),
    "iss of another": (claims(iss="https://evil.test"), "issuer"),
    "iss with a slash": (lambda issuer: issuer.token(key=issuer.keys[0], iss=issuer.url + "/"), "issuer"),
    "iss without scheme": (
        lambda issuer: issuer.token(key=issuer.keys[0], iss=issuer.url.removeprefix("http://")),
        "issuer",
    ),
    "iss in upper case": (lambda issuer: issuer.token(key=issuer.keys[0], iss=issuer.url.upper()), "issuer"),
    "iss a list": (lambda issuer: issuer.token(key=issuer.keys[0], iss=[issuer.url]), "claims"),
    # subjects and other claims
    "no sub": (claims(sub=None), "claims"),
    "sub empty": (claims(sub=""), "claims"),
    "sub a number": (claims(sub=1), "claims"),
    "sub with a line break": (claims(sub="repo:acme/app\nx"), "claims"),
    "sub with NUL": (claims(sub="repo:acme/app\0x"), "malformed"),
    "sub given twice": (payload(lambda t: t.replace('"sub": ', '"sub": "admin", "sub": ')), "malformed"),
    "sub in two cases": (claims(Sub="repo:acme/admin"), "claims"),
    "nested claim colliding": (claims(a={"b": "x"}, **{"a/b": "y"}), "claims"),
    "oaud beside azp": (claims(azp="sts.amazonaws.com", oaud="x"), "claims"),
    "claim with a control character": (claims(note="a\x1b[2Jb"), "malformed"),
    "lone surrogate": (payload(lambda t: t.replace('"sub"', '"x": "\\ud800", "sub"')), "malformed"),
    "surrogate bytes": (payload(lambda t: t.replace('"sub"', '"x": "\ud800", "sub"')), "malformed"),
    "jti a number": (claims(jti=1), "claims"),
    "source identity malformed": (claims(**{"https://aws.amazon.com/source_identity": "a b"}), "source_identity"),
    "source identity reserved": (claims(**{"https://aws.amazon.com/source_identity": "aws:x"}), "source_identity"),
    "source identity a list": (claims(**{"https://aws.amazon.com/source_identity": ["ab"]}), "source_identity"),
    "tags a list": (claims(**{TAGS: [{"Key": "a", "Value": "b"}]}), "session_tags"),
    "tags with an unknown member": (claims(**{TAGS: {"principal_tags": {}, "more": {}}}), "session_tags"),
    "tag with two values": (claims(**{TAGS: {"principal_tags": {"a": ["b", "c"]}}}), "session_tags"),
    "tag with no value": (claims(**{TAGS: {"principal_tags": {"a": []}}}), "session_tags"),
    "tag value a number": (claims(**{TAGS: {"principal_tags": {"a": [1]}}}), "session_tags"),
    "tag nested and flattened": (
        claims(**{f"{TAGS}/principal_tags/a": "1", TAGS: {"principal_tags": {"A": ["1"]}}}),
        "claims",
    ),
    "tag key too long": (claims(**{TAGS: {"principal_tags": {"k" * 129: ["v"]}}}), "session_tags"),
    "tag key empty": (claims(**{TAGS: {"principal_tags": {"": ["v"]}}}), "session_tags"),
    "tag value too long": (claims(**{TAGS: {"principal_tags": {"k": ["v" * 257]}}}), "session_tags"),
    "too many tags": (claims(**{TAGS: {"principal_tags": {f"k{n}": ["v"] for n in range(51)}}}), "session_tags"),
    "transitive key without tag": (claims(**{TAGS: {"transitive_tag_keys": ["a"]}}), "session_tags"),
    # encodings, framing and sizes
    "empty": (text(lambda _t: ""), "malformed"),
    "blank": (text(lambda _t: " \n"), "malformed"),
    "opaque access token": (text(lambda _t: "ya29.A0ARrdaM"), "malformed"),
    "two parts": (parts(lambda h, p, _s: (h, p)), "malformed"),
    "four parts": (parts(lambda h, p, s: (h, p, s, s)), "malformed"),
    "encrypted (JWE)": (parts(lambda h, p, s: (h, p, s, p, s)), "malformed"),
    "ten thousand dots (CVE-2025-30204)": (text(lambda _t: "." * 10_000), "malformed"),
    "20001 characters": (claims(x="y" * 15_000), "malformed"),
    "a megabyte": (text(lambda t: t + "A" * 2**20), "malformed"),
    "padding": (parts(lambda h, p, s: (h, p, s + "==")), "malformed"),
    "standard alphabet": (parts(lambda h, p, s: (h, p, "+/" + s[2:])), "malformed"),
    "last character not canonical": (parts(dirty_last_character), "malformed"),
    "blank inside": (parts(lambda h, p, s: (h, p, s[:9] + " " + s[9:])), "malformed"),
    "line break inside": (parts(lambda h, p, s: (h, p, s[:9] + "\n" + s[9:])), "malformed"),
    "non-ASCII": (parts(lambda h, p, s: (h, p, s[:-1] + "é")), "malformed"),
    "fullwidth digits": (parts(lambda h, p, s: (h, p, s[:-1] + "１")), "malformed"),
    "non-breaking space after": (text(lambda t: t + "\u00a0"), "malformed"),
    "NUL after": (text(lambda t: t + "\0"), "malformed"),
    "claims not JSON": (payload(lambda t: t[:-1]), "malformed"),
    "claims a list": (payload(lambda t: f"[{t}]"), "malformed"),
    "claims two documents": (payload(lambda t: t + t), "malformed"),
    "claims with a byte order mark": (payload(lambda t: "\ufeff" + t), "malformed"),
    "claims in UTF-16": (
        lambda issuer: compact(
            {"alg": "RS256", "kid": "key-1"}, json.dumps(issuer.claims()).encode("utf-16"), issuer.keys[0]
        ),
        "malformed",
    ),
    "claims nested a thousand deep": (
        payload(lambda t: t.replace('"sub"', '"x": ' + "[" * 6000 + "]" * 6000 + ', "sub"')),
        "malformed",
    ),
    "claims with 900 objects in one another": (
        payload(lambda t: t.replace('"sub"', '"x": ' + '{"a":' * 900 + "1" + "}" * 900 + ', "sub"')),
        "claims",
    ),
}


@pytest.mark.parametrize("name", BENT)
async def test_a_bent_token_is_refused(provider: OidcProvider, issuer: FakeIssuer, name: str) -> None:
    issuer.keys += ALL_KEYS
    await provider.verify(IdToken(issuer.token(key=issuer.keys[0])))
    bend, reason = BENT[name]
    started = time.process_time()
    with pytest.raises(ProofError) as refused:
        await provider.verify(IdToken(bend(issuer)))
    assert time.process_time() - started < 5
    assert refused.value.reason == reason
    assert isinstance(refused.value, ProofExpired if reason == "expired" else ProofRejected)
    assert refused.value.sentence.isascii()
    assert refused.value.sentence.isprintable()
    assert len(refused.value.sentence) < 500


@pytest.mark.parametrize("name", [name for name, (_, reason) in BENT.items() if reason in ("malformed", "algorithm")])
def test_the_issuer_of_no_token_cannot_be_peeked_at(name: str) -> None:
    issuer = FakeIssuer()
    issuer.keys += ALL_KEYS
    with pytest.raises(ProofRejected) as refused:
        peek_issuer(BENT[name][0](issuer))
    assert refused.value.sentence.startswith(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
    )


def test_looking_at_nested_claims_takes_no_longer_than_at_flat_ones() -> None:
    """Everything is looked at before the signature: 10 such tokens a second would fill an event loop."""
    strings = [""] * 4000 + ["\t"]  # an escape sequence makes every string be looked at

    def seconds(claims: str) -> float:
        raw = ".".join(map(b64url, (b'{"alg":"RS256"}', claims.encode(), b"x" * 256)))
        started = time.process_time()
        with pytest.raises(ProofRejected, match="Missing a required claim"):
            peek_issuer(raw)
        return time.process_time() - started

    flat = json.dumps({"x": strings}, separators=(",", ":"))
    nested = flat.replace("[", "[" * 800).replace("]", "]" * 800)
    assert min(seconds(nested) for _ in range(3)) < 10 * min(seconds(flat) for _ in range(3))


@pytest.mark.parametrize(
    ("bend", "sentence"),
    [
        ({"exp": None}, "Missing a required claim: exp"),
        ({"sub": None}, "Missing a required claim: sub"),
        ({"aud": "api://x"}, "Incorrect token audience: the token is for api://x"),
        ({"aud": ["a", "b"]}, "Incorrect token audience: the token is for a, b"),
        ({"aud": "ÿ" * 300}, "Incorrect token audience: the token is for " + "?" * 255),
    ],
)
async def test_the_caller_is_told_what_its_claims_say(
    provider: OidcProvider, issuer: FakeIssuer, bend: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ProofRejected) as refused:
        await provider.verify(IdToken(issuer.token(**bend)))
    assert refused.value.sentence == sentence


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("encrypted (JWE)", "It has five parts, so it is encrypted; a signed one is needed."),
        ("two parts", "It does not have three parts."),
        ("20001 characters", "It is longer than 20000 characters."),
        ("PS256", "Its algorithm is PS256; accepted are RS256, RS384, RS512, ES256, ES384, ES512."),
        ("access token (RFC 9068)", "Its header says that it is another kind of token."),
    ],
)
def test_the_caller_is_told_what_is_wrong_with_the_form(name: str, what: str) -> None:
    issuer = FakeIssuer()
    with pytest.raises(ProofRejected) as refused:
        peek_issuer(BENT[name][0](issuer))
    assert refused.value.sentence == (
        f"The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token) {what}"
    )

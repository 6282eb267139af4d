"""What a sound ID token says, claim by claim."""

import base64
import time
from datetime import UTC, datetime, timedelta

import pytest

from providers.contract import IdToken
from providers.errors import ProofExpired, ProofRejected
from providers.oidc import OidcConfig, OidcProvider, peek_issuer
from tests.fakes.issuer import FakeIssuer, SigningKey, b64url
from tests.providers.oidc.conftest import MakeProvider


async def test_a_sound_token_becomes_an_identity(provider: OidcProvider, issuer: FakeIssuer) -> None:
    now = int(time.time())
    identity = await provider.verify(IdToken(issuer.token(iat=now, exp=now + 60)))
    assert identity.issuer == issuer.url
    assert identity.subject == "repo:acme/app:ref:refs/heads/main"
    assert identity.audience == "sts.amazonaws.com"
    assert identity.authenticated_at == datetime.fromtimestamp(now, UTC)
    assert identity.expires_at == datetime.fromtimestamp(now + 60, UTC)
    assert identity.session_until is None
    assert identity.source_identity is None
    assert identity.session_tags == {}


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"])
async def test_each_of_awss_algorithms_verifies(provider: OidcProvider, issuer: FakeIssuer, algorithm: str) -> None:
    issuer.rotate(algorithm)
    await provider.verify(IdToken(issuer.token()))


async def test_every_claim_is_a_condition_key(provider: OidcProvider, issuer: FakeIssuer) -> None:
    token = issuer.token(
        repository="acme/app",
        run_attempt=3,
        ratio=0.5,
        protected=True,
        draft=False,
        teams=["a", "b"],
        numbers=[1, True, "x"],
        nested={"pod": {"name": "p", "none": {}}, "list": ["one"]},
        amr=["pwd", "otp"],
        empty=[],
        objects=[{"a": 1}],
        mixed=["a", None],
    )
    identity = await provider.verify(IdToken(token))
    prefix = issuer.url.removeprefix("http://")
    values = {key.removeprefix(f"{prefix}:"): value for key, value in identity.attributes.items()}
    assert all(key.startswith(f"{prefix}:") for key in identity.attributes)
    assert {key: values[key] for key in values if key not in ("iat", "exp")} == {
        "iss": (issuer.url,),
        "sub": ("repo:acme/app:ref:refs/heads/main",),
        "aud": ("sts.amazonaws.com",),
        "repository": ("acme/app",),
        "run_attempt": ("3",),
        "ratio": ("0.5",),
        "protected": ("true",),
        "draft": ("false",),
        "teams": ("a", "b"),
        "numbers": ("1", "true", "x"),
        "nested/pod/name": ("p",),
        "nested/list": ("one",),
        "amr": ("pwd", "otp"),
    }
    assert identity.multivalued == {f"{prefix}:{name}" for name in ("teams", "numbers", "nested/list", "amr")}
    assert identity.methods == {"pwd", "otp"}
    assert identity.carried == (f"{prefix}:aud", f"{prefix}:sub", f"{prefix}:amr")


async def test_the_authorized_party_stands_in_for_the_audience(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    provider = make_provider(audiences=frozenset({"client"}))
    identity = await provider.verify(IdToken(issuer.token(aud=["api", "other"], azp="client")))
    prefix = issuer.url.removeprefix("http://")
    assert identity.audience == "client"
    assert identity.attributes[f"{prefix}:aud"] == ("client",)
    assert identity.attributes[f"{prefix}:oaud"] == ("api", "other")
    assert identity.attributes[f"{prefix}:azp"] == ("client",)
    with pytest.raises(ProofRejected, match="Incorrect token audience: the token is for somebody"):
        await provider.verify(IdToken(issuer.token(aud="client", azp="somebody")))


async def test_an_audience_list_of_one_is_one_value(provider: OidcProvider, issuer: FakeIssuer) -> None:
    key = f"{issuer.url.removeprefix('http://')}:aud"
    one = await provider.verify(IdToken(issuer.token(aud=["sts.amazonaws.com"])))
    assert one.attributes[key] == ("sts.amazonaws.com",)
    assert key not in one.multivalued
    two = await provider.verify(IdToken(issuer.token(aud=["https://other.test", "sts.amazonaws.com"])))
    assert two.audience == "sts.amazonaws.com"
    assert two.attributes[key] == ("https://other.test", "sts.amazonaws.com")
    assert key in two.multivalued


async def test_white_space_around_a_token_is_dropped(provider: OidcProvider, issuer: FakeIssuer) -> None:
    raw = f" {issuer.token()}\r\n"
    assert peek_issuer(raw) == issuer.url
    await provider.verify(IdToken(raw))


async def test_a_token_without_key_id_is_for_the_only_key(provider: OidcProvider, issuer: FakeIssuer) -> None:
    token = issuer.token(header={"kid": None})
    await provider.verify(IdToken(token))


async def test_a_token_without_key_id_is_refused_among_several_keys(provider: OidcProvider, issuer: FakeIssuer) -> None:
    issuer.rotate()
    with pytest.raises(ProofRejected, match="the token names no key"):
        await provider.verify(IdToken(issuer.token(header={"kid": None})))


async def test_clocks_may_differ_by_the_leeway(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    now = start
    provider = make_provider(now=lambda: now)
    epoch = int(start.timestamp())
    token = IdToken(issuer.token(iat=epoch, nbf=epoch, exp=epoch + 60))
    now = start + timedelta(seconds=89)
    await provider.verify(token)
    now = start + timedelta(seconds=90)
    with pytest.raises(ProofExpired) as expired:
        await provider.verify(token)
    assert expired.value.sentence == (
        f"Token expired: current date/time {epoch + 90} must be before the expiration date/time {epoch + 60} "
        "(the token expired at 2026-01-01T00:01:00Z and it is now 2026-01-01T00:01:30Z)"
    )
    now = start - timedelta(seconds=30)
    await provider.verify(token)
    now = start - timedelta(seconds=31)
    with pytest.raises(ProofRejected, match="not yet valid"):
        await provider.verify(token)


async def test_a_token_past_its_maximum_age_is_refused(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    provider = make_provider(max_token_age=timedelta(minutes=5))
    now = int(time.time())
    await provider.verify(IdToken(issuer.token(iat=now - 300, exp=now + 900)))
    with pytest.raises(ProofExpired, match="issued at") as refused:
        await provider.verify(IdToken(issuer.token(iat=now - 331, exp=now + 900)))
    assert refused.value.reason == "too_old"


async def test_a_single_use_token_is_accepted_once(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    provider = make_provider(single_use=True)
    token = issuer.token(jti="one")
    await provider.verify(IdToken(token))
    for again in (token, issuer.token(jti="one", sub="another")):
        with pytest.raises(ProofRejected) as refused:
            await provider.verify(IdToken(again))
        assert refused.value.reason == "replayed"
    await provider.verify(IdToken(issuer.token(jti="two")))


async def test_a_single_use_token_without_jti_has_no_second_spelling(
    make_provider: MakeProvider, issuer: FakeIssuer
) -> None:
    """The other signature of an ECDSA pair (r, n - s) is valid too, and must not make the token new."""
    provider = make_provider(single_use=True)
    issuer.rotate("ES256")
    token = issuer.token()
    signing_input, _, signature = token.rpartition(".")
    await provider.verify(IdToken(token))
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    with pytest.raises(ProofRejected) as refused:
        await provider.verify(IdToken(f"{signing_input}.{b64url(twin)}"))
    assert refused.value.reason == "replayed"


async def test_a_fixed_key_set_needs_no_issuer(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    provider = make_provider(jwks=issuer.key_set())
    await provider.verify(IdToken(issuer.token()))
    issuer.rotate()
    with pytest.raises(ProofRejected, match="Couldn't retrieve verification key from your identity provider,  please"):
        await provider.verify(IdToken(issuer.token()))
    assert not issuer.fetches


@pytest.mark.parametrize(
    ("bend", "fault"),
    [
        ({"issuer": "http://issuer.test"}, "https"),
        ({"issuer": "http://127.0.0.1:1"}, "https"),
        ({"issuer": "http://10.0.0.1", "allow_http": True}, "https"),
        ({"issuer": "https://user@issuer.test"}, "user name"),
        ({"issuer": "https://issuer.test?x=1"}, "query"),
        ({"issuer": "https://issuer.test#x"}, "web address"),
        ({"issuer": "https://issuer.test:port"}, "ort"),
        ({"issuer": "https://is suer.test"}, "web address"),
        ({"issuer": "issuer.test"}, "web address"),
        ({"issuer": "https://" + "a" * 250 + ".test"}, "255"),
        ({"audiences": frozenset()}, "at least one audience"),
        ({"audiences": frozenset({""})}, "at least one audience"),
        ({"max_token_age": timedelta()}, "positive"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(bend: dict[str, object], fault: str) -> None:
    sound: dict[str, object] = {"issuer": "https://issuer.test", "audiences": frozenset({"a"})}
    OidcConfig(**sound)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=fault):
        OidcConfig(**{**sound, **bend})  # type: ignore[arg-type]


async def test_keys_of_two_issuers_are_kept_apart(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    async with FakeIssuer(path="/other") as other:
        other.keys = [SigningKey.make("key-1")]
        provider, others = make_provider(), make_provider(issuer=other.url)
        await provider.verify(IdToken(issuer.token()))
        await others.verify(IdToken(other.token()))
        for verifier, token in ((provider, other.token()), (others, issuer.token())):
            with pytest.raises(ProofRejected, match="another identity provider"):
                await verifier.verify(IdToken(token))
        with pytest.raises(ProofRejected, match="signature"):
            await provider.verify(IdToken(issuer.token(key=other.key)))

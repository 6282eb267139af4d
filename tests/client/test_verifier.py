"""Bearer tokens offline: what is believed of one, every way to bend it, and the keys' coming and going."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.client import Principal, Unauthenticated, Unavailable, Verifier
from tests.fakes.issuer import FakeIssuer, SigningKey, b64url, compact

ARN = "arn:aws:sts::444455556666:assumed-role/app/me"
KEY_ID = "ASIAWO645SY5FTP3YBD5"


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    async with FakeIssuer() as fake:
        fake.rotate("ES256", withdraw=True)
        yield fake


@pytest.fixture
async def verifier(issuer: FakeIssuer) -> AsyncIterator[Verifier]:
    verifier = Verifier(issuer.url)
    yield verifier
    await verifier.close()


def token(
    issuer: FakeIssuer, *, header: dict[str, Any] | None = None, key: SigningKey | None = None, **bend: Any
) -> str:
    """A token as the gateway signs it; members that are None are left out."""
    key = key if key is not None else issuer.key
    now = int(time.time())
    head = {"alg": "ES256", "kid": key.kid, "typ": "sts+jwt", **(header or {})}
    claims = {
        "iss": issuer.url,
        "aud": issuer.url,
        "use": "bearer",
        "sub": ARN,
        "jti": KEY_ID,
        "iat": now,
        "exp": now + 300,
        "account": "444455556666",
        "principal_tags": {"team": "web"},
        **bend,
    }
    return compact(
        {name: value for name, value in head.items() if value is not None},
        {name: value for name, value in claims.items() if value is not None},
        key,
    )


async def test_a_good_token_tells_who(issuer: FakeIssuer, verifier: Verifier) -> None:
    ends = int(time.time()) + 300
    assert await verifier.verify(
        token(issuer, exp=ends, source_identity="me@acme", mfa_authenticated_at=5)
    ) == Principal(
        arn=ARN,
        account="444455556666",
        tags={"team": "web"},
        source_identity="me@acme",
        expires_at=datetime.fromtimestamp(ends, UTC),
        access_key_id=KEY_ID,
        mfa_authenticated_at=datetime.fromtimestamp(5, UTC),
    )


async def test_tags_that_were_left_out_are_not_none_at_all(issuer: FakeIssuer, verifier: Verifier) -> None:
    omitted = await verifier.verify(token(issuer, principal_tags=None, principal_tags_omitted=True))
    assert omitted.tags is None
    assert (await verifier.verify(token(issuer, principal_tags={}))).tags == {}


@pytest.mark.parametrize(
    "bend",
    [
        {"use": "sigv4"},
        {"use": None},
        {"use": ["bearer"]},
        {"aud": "https://elsewhere.test"},
        {"aud": None},
        {"iss": "https://elsewhere.test"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
        {"jti": None},
        {"iat": None},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": 10**30},
        {"exp": True},
        {"account": None},
        {"principal_tags": None},
        {"principal_tags": {"team": ["web"]}},
        {"principal_tags_omitted": True},
        {"iat": 1 << 33},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"header": {"typ": "STS+JWT"}},
        {"header": {"alg": "none"}},
        {"header": {"alg": "RS256"}},
        {"header": {"alg": "HS256"}},
        {"header": {"kid": None}},
        {"header": {"kid": "unknown"}},
        {"header": {"crit": ["exp"]}},
        {"header": {"jwk": {}}},
        {"padding": "x" * 9000},
    ],
    ids=str,
)
async def test_a_bent_token_is_refused(issuer: FakeIssuer, verifier: Verifier, bend: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(token(issuer, **bend))
    assert refused.value.code == "InvalidClientTokenId"


async def test_a_token_for_a_list_of_audiences_is_refused(issuer: FakeIssuer, verifier: Verifier) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(token(issuer, aud=[issuer.url, "https://elsewhere.test"]))


async def test_what_is_no_token_is_refused(issuer: FakeIssuer, verifier: Verifier) -> None:
    good = token(issuer)
    head, claims, _ = good.split(".")
    unsigned = f"""{b64url(b'{"alg":"none","typ":"sts+jwt"}')}.{claims}."""
    for bad in (
        "",
        "x",
        "a.b.c",
        good + "=",
        good[:-1],
        f"{head}.{claims}",
        unsigned,
        " " + good,
        good + "\n",
        good * 2,
    ):
        with pytest.raises(Unauthenticated):
            await verifier.verify(bad)


async def test_every_altered_character_is_refused(issuer: FakeIssuer, verifier: Verifier) -> None:
    good = token(issuer)
    await verifier.verify(good)
    for at in range(len(good)):
        bent = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        with pytest.raises(Unauthenticated):
            await verifier.verify(bent)


async def test_a_key_of_somebody_else_does_not_count(issuer: FakeIssuer, verifier: Verifier) -> None:
    with pytest.raises(Unauthenticated, match="signature"):
        await verifier.verify(token(issuer, key=SigningKey.make(issuer.key.kid, "ES256")))


async def test_keys_for_other_algorithms_do_not_count(issuer: FakeIssuer, verifier: Verifier) -> None:
    """The gateway publishes keys of GetWebIdentityToken beside them."""
    issuer.keys.append(SigningKey.make("other", "ES384"))
    for header in ({"alg": "ES384"}, {"alg": "ES256"}):
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(issuer, header=header))


async def test_the_end_is_the_end_and_clocks_may_differ(issuer: FakeIssuer) -> None:
    at = datetime.now(UTC)
    verifier = Verifier(issuer.url, now=lambda: at)
    seconds = int(at.timestamp())
    held = token(issuer, iat=seconds + 25, exp=seconds + 60)
    assert (await verifier.verify(held)).expires_at == datetime.fromtimestamp(seconds + 60, UTC)
    at = datetime.fromtimestamp(seconds + 59, UTC)
    await verifier.verify(held)
    at = datetime.fromtimestamp(seconds + 60, UTC)
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(held)
    assert refused.value.code == "ExpiredToken"
    await verifier.close()


async def test_a_new_key_is_fetched_when_a_token_names_it(issuer: FakeIssuer, verifier: Verifier) -> None:
    old = token(issuer)
    issuer.rotate("ES256")
    await verifier.verify(old)
    await verifier.verify(token(issuer))
    await verifier.verify(old)
    assert issuer.fetches["jwks"] == 1


async def test_unknown_keys_make_for_one_fetch(issuer: FakeIssuer, verifier: Verifier) -> None:
    await verifier.verify(token(issuer))
    stranger = SigningKey.make("stranger", "ES256")
    refused = await asyncio.gather(
        *(verifier.verify(token(issuer, key=stranger)) for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(each, Unauthenticated) for each in refused)
    assert issuer.fetches["jwks"] == 1


@pytest.mark.parametrize("mode", ["error500", "garbage", "wrong_issuer", "foreign_jwks_uri", "no_keys", "redirect"])
async def test_without_keys_there_is_no_verdict(issuer: FakeIssuer, verifier: Verifier, mode: str) -> None:
    issuer.mode = mode
    with pytest.raises(Unavailable):
        await verifier.verify(token(issuer))


async def test_known_keys_serve_through_an_outage_for_so_long(issuer: FakeIssuer) -> None:
    elapsed = 0.0
    verifier = Verifier(issuer.url, max_staleness=timedelta(hours=1), monotonic=lambda: elapsed)
    held = token(issuer)
    await verifier.verify(held)
    await issuer.stop()
    elapsed = 3600.0
    await verifier.verify(held)
    elapsed = 3620.0
    with pytest.raises(Unavailable):
        await verifier.verify(held)
    await verifier.close()


async def test_a_withdrawn_key_counts_for_a_minute_at_most(issuer: FakeIssuer) -> None:
    elapsed = 0.0
    verifier = Verifier(issuer.url, monotonic=lambda: elapsed)
    held = token(issuer)
    await verifier.verify(held)
    issuer.rotate("ES256", withdraw=True)
    await verifier.verify(held)
    elapsed = 61.0
    with pytest.raises(Unauthenticated):
        await verifier.verify(held)
    await verifier.close()


async def test_a_closed_verifier_begins_anew(issuer: FakeIssuer, verifier: Verifier) -> None:
    for fetches in (1, 2):
        await verifier.verify(token(issuer))
        await verifier.close()
        assert issuer.fetches["jwks"] == fetches


@pytest.mark.parametrize(
    "address", ["http://sts.acme.test", "sts.acme.test", "https://user@sts.acme.test", "ftp://h", "https://h/"]
)
def test_an_issuer_is_a_safe_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"is not|carries|slash"):
        Verifier(address)


def test_staleness_is_no_less_than_freshness() -> None:
    with pytest.raises(ValueError, match="max_staleness"):
        Verifier("https://sts.acme.test", max_staleness=timedelta(seconds=59))


def test_principals_can_be_compared_and_kept_from_change() -> None:
    one = Principal(arn=ARN, account="444455556666", tags={})
    assert one == Principal(arn=ARN, account="444455556666", tags={})
    with pytest.raises(AttributeError):
        one.arn = "other"  # type: ignore[misc]

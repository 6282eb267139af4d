"""Key sets: which keys count, how they stay fresh, and what an issuer that misbehaves can do to us (nothing)."""

import asyncio
import json
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from providers.contract import IdToken
from providers.errors import ProofRejected, ProviderUnavailable
from providers.jwk import parse_key_set
from providers.jwks import KeySets, RemoteKeySet, Times
from providers.oidc import OidcConfig, OidcProvider
from tests.fakes.issuer import AUDIENCE, FakeIssuer, SigningKey
from tests.providers.oidc.conftest import MakeProvider, Memory, Steps, accepted_in_the_end, until

RSA = SigningKey.make("rsa")
EC = SigningKey.make("ec", "ES256")
SOON = Times(refresh=0.1, maximum_age=15, retry=0.05, timeout=14)
NO_KEY = "Couldn't retrieve verification key from your identity provider,  please reference"


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(RSA.jwk(use="enc"), id="for encryption"),
        pytest.param(RSA.jwk(key_ops=["encrypt"]), id="operations without verify"),
        pytest.param(RSA.jwk(key_ops="verify"), id="operations not a list"),
        pytest.param(RSA.jwk(alg="HS256"), id="RSA for HMAC"),
        pytest.param(RSA.jwk(alg="PS256"), id="RSA for PSS"),
        pytest.param(RSA.jwk(alg="ES256"), id="RSA for ECDSA"),
        pytest.param(RSA.jwk(alg=["RS256"]), id="algorithm a list"),
        pytest.param(RSA.jwk(kty="EC"), id="RSA called EC"),
        pytest.param(RSA.jwk(kid=1), id="key id a number"),
        pytest.param(RSA.jwk(d="AQAB"), id="private"),
        pytest.param(RSA.jwk(n=RSA.jwk()["n"] + "="), id="padded modulus"),
        pytest.param(RSA.jwk(e="Ag"), id="even exponent"),
        pytest.param(RSA.jwk(e="AQAAAAE"), id="exponent of 33 bits"),
        pytest.param(RSA.jwk(e=65537), id="exponent a number"),
        pytest.param(RSA.jwk(n=None), id="no modulus"),
        pytest.param(SigningKey.make("short", bits=1024).jwk(), id="RSA of 1024 bits"),
        pytest.param(RSA.jwk(n="_" * 2000), id="RSA of 12000 bits"),
        pytest.param(EC.jwk(alg="ES384"), id="curve not the algorithm's"),
        pytest.param(EC.jwk(crv="secp256k1"), id="another curve"),
        pytest.param(EC.jwk(y=EC.jwk()["x"]), id="point off the curve"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"}, id="symmetric"),
        pytest.param({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "k", "alg": "EdDSA"}, id="EdDSA"),
        pytest.param({}, id="empty"),
    ],
)
def test_a_key_that_must_not_verify_is_left_out(jwk: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no usable key"):
        parse_key_set(key_set(jwk))
    assert set(parse_key_set(key_set(jwk, EC.jwk(kid="good")))) == {("good", "ES256"), (None, "ES256")}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": ["x"]}',
        b'{"keys": [], "keys": []}',
        key_set(*[EC.jwk(kid=str(n)) for n in range(101)]),
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError):
        parse_key_set(document)


def test_a_key_without_algorithm_has_the_one_of_its_type() -> None:
    keys = parse_key_set(key_set(RSA.jwk(alg=None, use=None), EC.jwk(alg=None, key_ops=["verify"])))
    assert set(keys) == {("rsa", "RS256"), ("ec", "ES256"), (None, "RS256"), (None, "ES256")}


def test_two_keys_of_one_name_are_both_left_out() -> None:
    other = SigningKey.make("rsa")
    assert ("rsa", "RS256") not in parse_key_set(key_set(RSA.jwk(), other.jwk(), EC.jwk()))


async def test_keys_are_fetched_once(provider: OidcProvider, issuer: FakeIssuer) -> None:
    await asyncio.gather(*(provider.verify(IdToken(issuer.token(n=n))) for n in range(50)))
    assert issuer.fetches == {"discovery": 1, "jwks": 1}


async def test_a_storm_of_unknown_keys_causes_one_fetch_and_delays_nobody(
    make_provider: MakeProvider, issuer: FakeIssuer
) -> None:
    provider = make_provider(times=Times(retry=60, timeout=60, refresh=120))
    known = IdToken(issuer.token())
    bent = [IdToken(issuer.token(header={"kid": f"random-{n}"})) for n in range(1000)]
    outcomes = asyncio.gather(*(provider.verify(token) for token in bent), return_exceptions=True)
    await provider.verify(known)
    while not outcomes.done():
        with pytest.raises(StopIteration):  # it ends at once: nothing was waited for
            provider.verify(known).send(None)
        await asyncio.sleep(0)
    assert all(isinstance(outcome, ProofRejected) and outcome.reason == "key_unknown" for outcome in await outcomes)
    assert issuer.fetches == {"discovery": 1, "jwks": 1}
    for token in bent:
        with pytest.raises(ProofRejected, match=NO_KEY):
            provider.verify(token).send(None)  # refused at once, without asking the issuer again
    assert issuer.fetches == {"discovery": 1, "jwks": 1}


async def test_an_issuer_that_is_down_is_not_asked_again_by_every_token(
    make_provider: MakeProvider, issuer: FakeIssuer
) -> None:
    provider = make_provider()
    issuer.mode = "error500"
    token = IdToken(issuer.token())
    with pytest.raises(ProviderUnavailable):
        await provider.verify(token)
    for _ in range(100):
        with pytest.raises(ProviderUnavailable):
            provider.verify(token).send(None)
    assert issuer.fetches == {"discovery": 1}


async def test_a_new_key_is_found_when_its_first_token_comes(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    provider = make_provider(times=Times(retry=0.1))
    await provider.verify(IdToken(issuer.token()))
    await asyncio.sleep(0.1)
    issuer.rotate()
    await provider.verify(IdToken(issuer.token()))
    assert issuer.fetches["jwks"] == 2


async def accepted(provider: OidcProvider, token: IdToken) -> bool:
    try:
        await provider.verify(token)
    except ProofRejected as refusal:
        assert NO_KEY in refusal.sentence
        return False
    return True


async def test_a_withdrawn_key_is_refused_soon_after(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    provider = make_provider(times=SOON)
    withdrawn = IdToken(issuer.token())
    await provider.verify(withdrawn)
    issuer.rotate(withdraw=True)
    rotated = time.monotonic()
    while await accepted(provider, withdrawn):
        assert time.monotonic() - rotated < SOON.maximum_age - 1
        await asyncio.sleep(0.02)
    await provider.verify(IdToken(issuer.token()))


@pytest.mark.parametrize("mode", ["ok", "error500"])
async def test_a_withdrawn_key_is_refused_after_an_idle_time(
    issuer: FakeIssuer, session: aiohttp.ClientSession, mode: str
) -> None:
    """The background refresh has gone to sleep, in good times or bad: the token waits for fresh keys."""
    clock, times = Steps(), replace(SOON, idle=60)
    keys = RemoteKeySet(issuer.url, session, allow_http=True, times=times, monotonic=clock)
    await keys.find("key-1", "RS256")
    issuer.mode = mode
    clock.advance(1)
    await until(lambda: issuer.fetches["discovery"] == 2)
    clock.advance(60)
    await until(lambda: keys._refreshing is None)
    issuer.rotate(withdraw=True)
    await asyncio.sleep(0.2)
    assert issuer.fetches["discovery"] == 2
    issuer.mode = "ok"
    with pytest.raises(ProofRejected, match=NO_KEY):
        await keys.find("key-1", "RS256")
    await keys.close()


@pytest.mark.parametrize("mode", ["error500", "hang", "drip", "huge", "redirect", "gzip_bomb", "reset", "stopped"])
async def test_known_keys_serve_through_an_outage(
    make_provider: MakeProvider, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    clock = Steps()
    provider = make_provider(times=replace(SOON, timeout=2), monotonic=clock)
    known = IdToken(issuer.token())
    await accepted_in_the_end(provider, known)
    if mode == "stopped":
        await issuer.stop()
    issuer.mode = mode
    clock.advance(1)
    while "are not refreshed" not in caplog.text:
        with pytest.raises(StopIteration):  # it ends at once: nothing was waited for
            provider.verify(known).send(None)
        await asyncio.sleep(0.02)
    clock.advance(SOON.maximum_age)
    for _ in range(20):
        with pytest.raises(StopIteration):
            provider.verify(known).send(None)
        await asyncio.sleep(0.02)
    issuer.rotate()
    with pytest.raises(ProviderUnavailable) as down:
        await provider.verify(IdToken(issuer.token()))
    assert down.value.reason == "issuer_unreachable"
    issuer.mode = "ok"
    if mode == "stopped":
        await issuer.start()
    clock.advance(1)
    await accepted_in_the_end(provider, IdToken(issuer.token()))


@pytest.mark.parametrize("mode", ["garbage", "wrong_issuer", "no_jwks_uri", "foreign_jwks_uri", "no_keys"])
async def test_documents_that_cannot_be_used_are_awss_missing_key(
    provider: OidcProvider, issuer: FakeIssuer, mode: str
) -> None:
    issuer.mode = mode
    with pytest.raises(ProofRejected, match=NO_KEY) as refused:
        await provider.verify(IdToken(issuer.token()))
    assert refused.value.reason == "issuer_document"
    assert refused.value.detail


async def test_an_issuer_that_hangs_at_first_use_is_waited_for_within_bounds(
    make_provider: MakeProvider, issuer: FakeIssuer
) -> None:
    provider = make_provider(times=Times(timeout=1))
    issuer.mode = "hang"
    started = time.perf_counter()
    outcomes = await asyncio.gather(
        *(provider.verify(IdToken(issuer.token())) for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(outcome, ProviderUnavailable) for outcome in outcomes)
    assert time.perf_counter() - started < 10  # one after the other they would take twenty
    assert issuer.fetches == {"discovery": 1}


async def test_an_issuer_that_starts_late_is_found_without_help(
    make_provider: MakeProvider, issuer: FakeIssuer
) -> None:
    await issuer.stop()
    provider = make_provider(times=SOON)
    with pytest.raises(ProviderUnavailable, match="could not be reached"):
        await provider.verify(IdToken(issuer.token()))
    await issuer.start()
    await accepted_in_the_end(provider, IdToken(issuer.token()))


def test_keys_may_not_age_before_their_refresh_ends() -> None:
    with pytest.raises(ValueError, match="keys age"):
        Times(refresh=290)


async def test_keys_end_when_the_outage_is_too_long(issuer: FakeIssuer, session: aiohttp.ClientSession) -> None:
    now = 1000.0
    keys = RemoteKeySet(issuer.url, session, allow_http=True, monotonic=lambda: now)
    await keys.find("key-1", "RS256")
    issuer.mode = "error500"
    now += 86_400
    await keys.find("key-1", "RS256")
    now += 1
    with pytest.raises(ProviderUnavailable):
        await keys.find("key-1", "RS256")
    await keys.close()


async def test_a_caller_who_leaves_does_not_end_the_fetch_of_others(
    make_provider: MakeProvider, issuer: FakeIssuer
) -> None:
    provider = make_provider()
    leaver = asyncio.create_task(provider.verify(IdToken(issuer.token())))
    await asyncio.sleep(0)
    stayer = asyncio.create_task(provider.verify(IdToken(issuer.token())))
    await asyncio.sleep(0)
    leaver.cancel()
    await stayer
    assert issuer.fetches["jwks"] == 1


async def test_closing_waits_for_the_fetch_and_starts_no_other(
    issuer: FakeIssuer, session: aiohttp.ClientSession
) -> None:
    sets = KeySets(session, times=SOON)
    keys = sets.of(issuer.url, allow_http=True)
    waiting = asyncio.create_task(keys.find("key-1", "RS256"))
    await asyncio.sleep(0)
    await sets.close()
    await waiting
    await keys.find("key-1", "RS256")
    await asyncio.sleep(SOON.refresh * 2)
    assert issuer.fetches["jwks"] == 1


async def test_a_certificate_of_nobody_known_is_no_issuer(
    session: aiohttp.ClientSession, tls_issuer: FakeIssuer
) -> None:
    keys = RemoteKeySet(tls_issuer.url, session)
    with pytest.raises(ProviderUnavailable) as refused:
        await keys.find("key-1", "RS256")
    assert "certificate" in str(refused.value.detail).lower()
    await keys.close()


async def test_a_ca_file_is_what_an_issuer_is_known_by(
    make_provider: MakeProvider, tls_issuer: FakeIssuer, ca_file: Path
) -> None:
    provider = make_provider(issuer=tls_issuer.url, ca_file=ca_file, allow_http=False)
    await provider.verify(IdToken(tls_issuer.token()))


def test_a_ca_file_that_is_none_is_refused_at_once(make_provider: MakeProvider, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        make_provider(ca_file=tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(ssl.SSLError):
        make_provider(ca_file=tmp_path / "bad.pem")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ValueError, match="Empty"):
        make_provider(ca_file=tmp_path / "empty.pem")


async def test_providers_of_one_issuer_share_its_keys(issuer: FakeIssuer, session: aiohttp.ClientSession) -> None:
    sets = KeySets(session)
    config = OidcConfig(issuer=issuer.url, audiences=frozenset({AUDIENCE}), allow_http=True)
    for _ in range(3):
        provider = OidcProvider(config, key_sets=sets, once=Memory(), now=lambda: datetime.now(UTC))
        await provider.verify(IdToken(issuer.token()))
        await provider.close()
    await sets.close()
    assert issuer.fetches == {"discovery": 1, "jwks": 1}


async def test_another_ca_file_means_other_keys(
    session: aiohttp.ClientSession, tls_issuer: FakeIssuer, ca_file: Path
) -> None:
    sets = KeySets(session)
    trusted = sets.of(tls_issuer.url, ca_file=ca_file)
    await trusted.find("key-1", "RS256")
    assert sets.of(tls_issuer.url, ca_file=ca_file) is trusted
    with pytest.raises(ProviderUnavailable):
        await sets.of(tls_issuer.url).find("key-1", "RS256")
    await sets.close()


async def test_a_provider_with_a_session_of_its_own_closes_its_keys(
    issuer: FakeIssuer, session: aiohttp.ClientSession
) -> None:
    config = OidcConfig(issuer=issuer.url, audiences=frozenset({AUDIENCE}), allow_http=True)
    provider = OidcProvider(config, session=session, once=Memory(), now=lambda: datetime.now(UTC))
    await provider.verify(IdToken(issuer.token()))
    await provider.close()
    with pytest.raises(ValueError, match="nothing is given"):
        OidcProvider(config, once=Memory(), now=lambda: datetime.now(UTC))

"""Session tokens verified offline from the published keys: by two independent JOSE libraries and by our own package."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from broker.client import Unauthenticated, Verifier
from tests.end_to_end.administration import ACCOUNTS, ALICE, CHIEF, SETTINGS
from tests.end_to_end.federated_world import trusting
from tests.end_to_end.resource_world import bearer
from tests.end_to_end.world import PROD, role, role_arn
from tests.fakes.issuer import AUDIENCE, FakeIssuer
from tests.gateway import SOJOURN, Gateway, clean_environment, running, write_configuration
from tests.waiting import until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("offline")
    prod = ACCOUNTS["prod"]
    provider = {"Url": issuer.url, "ClientIdList": [AUDIENCE], "AllowHttp": True}
    federated = {"Roles": [*prod["Roles"], role("app", trusting(issuer.url))], "OIDCProviders": [provider]}
    settings = {name: value for name, value in SETTINGS.items() if name != "server"}
    write_configuration(directory, {**ACCOUNTS, "prod": prod | federated}, settings)
    with running(Gateway(directory)) as gateway:
        yield gateway


class Published:
    """The key set as a relying party finds it, and what each library makes of a token."""

    def __init__(self, gateway: Gateway) -> None:
        self.issuer = f"http://localhost:{gateway.port}"
        discovery = json.load(gateway.opener.open(f"{gateway.url}/.well-known/openid-configuration"))
        assert discovery["issuer"] == self.issuer
        self.jwks: Any = json.load(gateway.opener.open(discovery["jwks_uri"]))

    def pyjwt(self, token: str) -> Any:
        key = jwt.PyJWKSet.from_dict(self.jwks)[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            audience=self.issuer,
            issuer=self.issuer,
            options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
        )

    def joserfc(self, token: str) -> Any:
        found = joserfc_jwt.decode(token, KeySet.import_key_set(self.jwks), algorithms=["ES256"])
        registry = joserfc_jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.issuer},
            exp={"essential": True},
        )
        registry.validate(found.claims)
        assert found.header["typ"] == "sts+jwt"
        return found.claims


def sessions(gateway: Gateway, issuer: FakeIssuer) -> tuple[str, str]:
    """A session token of STS, and a bearer token."""
    assumed = gateway.client(credentials=ALICE).assume_role(
        RoleArn=role_arn("other"), RoleSessionName="me", Tags=[{"Key": "team", "Value": "web"}]
    )
    return assumed["Credentials"]["SessionToken"], bearer(gateway, issuer)


def rotate(gateway: Gateway, *words: str) -> None:
    environment = clean_environment() | {
        "AWS_ACCESS_KEY_ID": CHIEF["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": CHIEF["SecretAccessKey"],
        "AWS_ENDPOINT_URL_STS": gateway.url,
    }
    subprocess.run([SOJOURN, "keys", "rotate", *words], check=True, capture_output=True, timeout=120, env=environment)


async def test_tokens_verify_offline_through_a_rotation_and_not_after_the_emergency(
    gateway: Gateway, issuer: FakeIssuer
) -> None:
    elapsed = 0.0
    verifier = Verifier(f"http://localhost:{gateway.port}", monotonic=lambda: elapsed)
    old = sessions(gateway, issuer)
    assert (await verifier.verify(old[1])).account == PROD

    published = Published(gateway)
    for token, use, arn in zip(old, ("sigv4", "bearer"), ("other/me", "app/"), strict=True):
        claims = published.pyjwt(token)
        assert claims == published.joserfc(token)
        assert claims["use"] == use
        assert claims["sub"].startswith(f"arn:aws:sts::{PROD}:assumed-role/{arn}")
    assert published.pyjwt(old[0])["principal_tags"] == {"team": "web"}
    with pytest.raises(Unauthenticated, match="bound to signatures"):
        await verifier.verify(old[0])

    rotate(gateway)
    kid = jwt.get_unverified_header(old[0])["kid"]
    until(lambda: jwt.get_unverified_header(sessions(gateway, issuer)[0])["kid"] != kid, every=0.5)
    new = sessions(gateway, issuer)
    published = Published(gateway)
    for token in (*old, *new):
        assert published.pyjwt(token) == published.joserfc(token)
    elapsed += 10  # when an unknown key may be fetched again
    for token in (new[1], old[1]):
        assert (await verifier.verify(token)).account == PROD

    rotate(gateway, "--end-sessions")
    published = Published(gateway)
    fresh = sessions(gateway, issuer)
    for token in (*old, *new):
        with pytest.raises(KeyError):
            published.pyjwt(token)
        with pytest.raises(JoseError):
            published.joserfc(token)
    for token in fresh:
        assert published.pyjwt(token) == published.joserfc(token)
    elapsed += 10
    assert (await verifier.verify(fresh[1])).account == PROD
    for token in (old[1], new[1]):
        with pytest.raises(Unauthenticated, match="not published"):
            await verifier.verify(token)
    await verifier.close()

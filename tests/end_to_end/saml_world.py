"""Accounts whose roles trust SAML identity providers, and gateways that serve them."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from broker.clock import utc_now
from broker.stores import open_store
from tests.end_to_end.world import DEV, PROD, allow, inline, role, role_arn
from tests.fakes.idp import AWS, FakeIdp, key_pair
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, write_configuration

ACTION = "sts:AssumeRoleWithSAML"
CORP, PORTAL, PROD_CORP = (
    f"arn:aws:iam::{account}:saml-provider/{name}" for account, name in ((DEV, "corp"), (DEV, "portal"), (PROD, "corp"))
)


PROD_IMPOSTOR = f"arn:aws:iam::{PROD}:saml-provider/impostor"
IMPOSTOR = FakeIdp(utc_now, key=key_pair("somebody else")).metadata()
"""The same entity id as `corp`'s, and another key."""


def trusting(provider: str, *actions: str, **condition: Any) -> dict[str, Any]:
    """A statement that admits whom `provider` vouches for."""
    return allow([ACTION, *actions], principal={"Federated": provider}, condition=condition or None)


DEV_ROLES = [
    role("deploy", trusting(CORP), MaxSessionDuration=7200, Policies=inline(allow("sts:*", "*"))),
    role("everything", trusting(CORP, "sts:TagSession", "sts:SetSourceIdentity"), MaxSessionDuration=43200),
    role("elsewhere", trusting(PORTAL)),
    role("alice-only", trusting(CORP, StringEquals={"saml:sub": "alice", "saml:sub_type": "persistent"})),
    role(
        "web-team",
        trusting(CORP, "sts:TagSession", StringEquals={"aws:RequestTag/team": "web"}),
    ),
    role(
        "exact",
        trusting(
            CORP,
            StringEquals={"saml:doc": f"{DEV}/corp", "saml:mail": "alice@example.test"},
            **{"ForAnyValue:StringLike": {"saml:edupersonaffiliation": "staff*"}},
        ),
    ),
]


def accounts(metadata: str, *, idp_initiated: bool = True) -> dict[str, Any]:
    """Two accounts: `corp` in both is the identity provider of `metadata`, `portal` may not begin sign-ins."""
    corp = {"Name": "corp", "SamlMetadataDocument": metadata, "AllowIdpInitiated": idp_initiated}
    return {
        "dev": {
            "Account": DEV,
            "Alias": "acme-dev",
            "SAMLProviders": [corp, {"Name": "portal", "SamlMetadataDocument": metadata}],
            "Roles": DEV_ROLES,
        },
        "prod": {
            "Account": PROD,
            "Alias": "acme-production",
            "SAMLProviders": [corp, {**corp, "Name": "impostor", "SamlMetadataDocument": IMPOSTOR}],
            "Roles": [
                role("sealed", trusting(PROD_IMPOSTOR)),
                role(
                    "audit",
                    trusting(PROD_CORP, StringEquals={"saml:doc": f"{PROD}/corp"}),
                    Description="Reads everything, changes nothing.",
                ),
                role("nobody", allow("sts:AssumeRole", principal={"AWS": DEV})),
            ],
        },
    }


def gateway_of(
    directory: Path, metadata: str, store: str | None, *, settings: Mapping[str, Any] | None = None, **options: Any
) -> Gateway:
    """A gateway that is not started yet."""
    write_configuration(directory, accounts(metadata, **options), settings)
    return Gateway(directory, store=store)


def with_a_past(server: RedisServer) -> RedisServer:
    """A store that remembers an hour: what was issued lately was not used before its memory began."""

    async def begin() -> None:
        store = open_store(server.url, now=lambda: utc_now() - timedelta(hours=1), random=secrets.token_bytes)
        await store.epoch()
        await store.close()

    asyncio.run(begin())
    return server


class Corporation:
    """An identity provider, and its responses for one gateway."""

    def __init__(self, base: str) -> None:
        self.idp = FakeIdp(utc_now)
        self.base = base

    def response(
        self,
        *roles: str,
        provider: str = CORP,
        more: Mapping[str, Sequence[str]] | None = None,
        name: str | None = "alice@example.test",
        **bends: Any,
    ) -> str:
        """A response in base64 whose Role attribute pairs `roles` with `provider`; see `FakeIdp` for the bends."""
        paired = [each if "," in each else f"{role_arn(each, DEV)},{provider}" for each in roles or ("deploy",)]
        attributes = {f"{AWS}Role": paired} | ({f"{AWS}RoleSessionName": [name]} if name is not None else {})
        where = {
            "audiences": ((f"{self.base}/saml/metadata",),),
            "recipient": f"{self.base}/saml/acs",
            "destination": f"{self.base}/saml/acs",
        }
        return self.idp.response(attributes=attributes, more=more, **(where | bends))


OTHER_KEY = key_pair("somebody else")

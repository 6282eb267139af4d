"""An account with a directory of people, second factors, and a role for each rule, as configuration."""

import asyncio
import base64
import os
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp

from broker.stores import open_store
from tests.end_to_end.world import DEV, allow, inline, new_key, role
from tests.fakes.slapd import GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Slapd

CORP = f"arn:aws:iam::{DEV}:ldap-provider/corp"
OTHER = f"arn:aws:iam::{DEV}:ldap-provider/other"
LDAP = "sts:AssumeRoleWithLDAPIdentity"
PERSON, GUEST = (new_key(DEV) for _ in range(2))
WITH_CODE = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
FRESH = 10
"""Seconds for which a code counts as fresh."""
FRESH_CODE = {"NumericLessThanEquals": {"aws:MultiFactorAuthAge": str(FRESH)}}
UNBOUNDED = {"failures": 1_000_000, "within": "15m"}
NO_LIMITS: dict[str, Any] = {"guessing": {"user": UNBOUNDED, "address": UNBOUNDED, "everyone": UNBOUNDED}}
"""Settings with which nobody is held for guessing."""


def new_seed() -> str:
    """A device's seed."""
    return base64.b32encode(secrets.token_bytes(40)).decode()


SEEDS = {name: new_seed() for name in ("person", "guest", "alice", "bob", *(f"user{i}" for i in range(10)))}


def serial(name: str) -> str:
    """A device's serial number."""
    return f"arn:aws:iam::{DEV}:mfa/{name}"


def within_a_step(seconds: float = 8) -> int:
    """The time, where so many seconds of the 30-second step are left: else that of the next step, which is waited for.

    For what counts steps: a code of the step before the present one is good, and a moment later it may be too old.
    """
    if (left := 30 - time.time() % 30) < seconds:
        time.sleep(left + 0.01)
    return int(time.time())


def code(name: str, *, steps: int = 0) -> str:
    """The device's code, `steps` of 30 seconds from now; to be used at once where that is not the present step."""
    return pyotp.TOTP(SEEDS[name]).at((within_a_step() if steps else int(time.time())) + 30 * steps)


def factor(name: str, *, steps: int = 0) -> dict[str, str]:
    """`SerialNumber` and `TokenCode`, as `code`."""
    return {"SerialNumber": serial(name), "TokenCode": code(name, steps=steps)}


def provider(directory: Slapd, name: str = "corp", **more: Any) -> dict[str, Any]:
    """The directory as a provider."""
    return {
        "Name": name,
        "Urls": [directory.url],
        "BindDn": SERVICE_DN,
        "BindPassword": SERVICE_PASSWORD,
        "UserSearchBase": PEOPLE,
        "UserSearchFilter": "(|(uid={username})(mail={username}))",
        "GroupSearchBase": GROUPS,
        "SessionTags": {"Department": "departmentNumber"},
        "NestedGroups": True,
        **more,
    }


def named(condition: dict[str, Any], *, actions: Any = (LDAP, "sts:TagSession", "sts:SetSourceIdentity")) -> Any:
    """A trust statement for the directory's people."""
    return allow(list(actions), principal={"Federated": CORP}, condition=condition)


def is_user(*names: str) -> dict[str, Any]:
    """A condition on the user's name."""
    return {"StringEquals": {"ldap:username": list(names)}}


FROM_USERS = {"AWS": f"arn:aws:iam::{DEV}:root"}


def account(*providers: dict[str, Any]) -> dict[str, Any]:
    """The account."""
    devices = [
        {"VirtualMfaDeviceName": name, "Base32StringSeed": seed}
        | ({"Users": [name]} if name in ("person", "guest") else {"LdapUsers": [f"corp/{name.upper()}"]})
        for name, seed in SEEDS.items()
    ]
    return {
        "Account": DEV,
        "Users": [
            {"UserName": "person", "AccessKeys": [PERSON], "Policies": inline(allow(["sts:*", "iam:*"], "*"))},
            {"UserName": "guest", "AccessKeys": [GUEST], "Policies": inline(allow("sts:*", "*"))},
        ],
        "VirtualMFADevices": devices,
        "LDAPProviders": list(providers),
        "Roles": [
            role("engineers", named({"ForAnyValue:StringEquals": {"ldap:groups": "company"}}), MaxSessionDuration=7200),
            role("department", named({"StringEquals": {"aws:RequestTag/Department": "42"}})),
            role(
                "not-developers",
                named({"ForAllValues:StringNotEquals": {"ldap:groups": "developers"}} | is_user("alice", "user0")),
            ),
            role("people", named({"StringLike": {"ldap:dn": f"uid=*,{PEOPLE}"}} | is_user("alice", "bob", "user1"))),
            role("just-bob", named(is_user("bob"))),
            role(
                "under-own-name",
                named(
                    {"StringEquals": is_user("user7")["StringEquals"] | {"sts:RoleSessionName": "${ldap:username}"}}
                    | {"StringEqualsIfExists": {"sts:SourceIdentity": "${ldap:username}"}}
                ),
            ),
            role("with-code", named(WITH_CODE | FRESH_CODE | is_user("alice"))),
            role(
                "without-code",
                named(
                    {
                        "Bool": {"aws:MultiFactorAuthPresent": "false"},
                        "ForAllValues:StringEquals": {"sojourn:AuthenticationMethods": "pwd"},
                    }
                    | is_user("alice")
                ),
            ),
            role("by-method", named({"ForAnyValue:StringEquals": {"sojourn:AuthenticationMethods": "otp"}})),
            role(
                "two-providers",
                allow([LDAP, "sts:TagSession"], principal={"Federated": [CORP, OTHER]}, condition=is_user("alice")),
            ),
            role("no-provider", allow("sts:AssumeRole", principal=FROM_USERS)),
            role("with-mfa", allow("sts:AssumeRole", principal=FROM_USERS, condition=WITH_CODE)),
            role("with-fresh-mfa", allow("sts:AssumeRole", principal=FROM_USERS, condition=WITH_CODE | FRESH_CODE)),
            role(
                "never-without",
                allow(
                    "sts:AssumeRole",
                    principal=FROM_USERS,
                    condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}},
                ),
            ),
            role(
                "absent",
                allow(
                    "sts:AssumeRole", principal=FROM_USERS, condition={"Null": {"aws:MultiFactorAuthPresent": "true"}}
                ),
            ),
            role(
                "told-no",
                allow(
                    "sts:AssumeRole",
                    principal=FROM_USERS,
                    condition={
                        "Bool": {"aws:MultiFactorAuthPresent": "false"},
                        "Null": {"aws:MultiFactorAuthAge": "true"},
                    },
                ),
                Policies=inline(allow(["sts:*"], "*")),
            ),
            role(
                "from-role",
                allow("sts:AssumeRole", principal=FROM_USERS),
                Policies=inline(allow(["sts:*", "iam:*"], "*")),
            ),
        ],
    }


def age_memory(url: str) -> None:
    """Make the store at `url` one whose memory reaches an hour back, so that it takes codes at once."""

    async def begin() -> None:
        store = open_store(url, now=lambda: datetime.now(UTC) - timedelta(hours=1), random=os.urandom)
        await store.epoch()
        await store.close()

    asyncio.run(begin())

"""People with passwords and without any second factor, and the pages on which they get security keys."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from itertools import count
from pathlib import Path
from typing import Any

from broker.directory.generate import password_hash
from tests.end_to_end.directory_world import LDAP, NO_LIMITS, OTHER, account, age_memory, provider
from tests.end_to_end.person import Answer, Person
from tests.end_to_end.world import DEV, allow, inline, new_key, role
from tests.fakes.authenticator import SoftAuthenticator
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import Slapd
from tests.gateway import Gateway, running, write_configuration

OWN = "correct battery staple"
STRICT = f"arn:aws:iam::{DEV}:ldap-provider/strict"
ADMINISTRATOR, OUTSIDER = new_key(DEV), new_key("444455556666")
SELF = f"arn:aws:iam::{DEV}:user/${{aws:username}}"
KEYS = ["iam:EnableMFADevice", "iam:DeactivateMFADevice", "iam:ListMFADevices"]
LEAVE = (
    allow("iam:EnableMFADevice", SELF),
    allow("iam:DeactivateMFADevice", SELF, condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}),
)
NOVICES = 40


@dataclass
class World:
    """A gateway of two workers, and who may come."""

    gateway: Gateway
    store: RedisServer
    configured: dict[str, Any]
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(NOVICES)))

    @property
    def origin(self) -> str:
        """Where browsers find it."""
        return f"http://localhost:{self.gateway.port}"

    def novice(self) -> str:
        """A user that nobody else has used yet: no device, and leave to get one."""
        return f"novice{next(self._numbers)}"

    def key(self, **more: Any) -> SoftAuthenticator:
        """A key at this gateway's address."""
        return SoftAuthenticator(self.origin, **more)

    def visitor(self) -> Person:
        """A browser that was never here."""
        return Person(self.origin)

    def configure(self) -> None:
        """Write the accounts again."""
        write_configuration(self.gateway.directory, self.configured, NO_LIMITS)

    def iam(self, credentials: dict[str, str] = ADMINISTRATOR) -> Any:
        """IAM, to an administrator."""
        return self.gateway.client("iam", credentials)


@contextmanager
def key_world(place: Path) -> Iterator[World]:
    """All of it."""
    with Slapd(place / "slapd") as directory, RedisServer(place / "redis") as server:
        first = provider(directory, "other", EnrollSecurityKeys=True)
        configured = account(provider(directory), first, provider(directory, "strict"))
        hashed = {"PasswordHash": password_hash(OWN, secrets.token_bytes)}
        configured["Users"][0]["LoginProfile"] = hashed
        roles = allow("sts:*", "*")
        configured["Users"] += [
            {"UserName": f"novice{i}", "LoginProfile": hashed, "Policies": inline(roles, *LEAVE)}
            for i in range(NOVICES)
        ]
        configured["Users"] += [
            {"UserName": "without-leave", "LoginProfile": hashed, "Policies": inline(roles)},
            {
                "UserName": "codes-only",
                "LoginProfile": hashed,
                "Policies": inline(roles, allow(KEYS, SELF, condition={"Null": {"iam:RegisterSecurityKey": "true"}})),
            },
            {
                "UserName": "administrator",
                "AccessKeys": [ADMINISTRATOR],
                "Policies": inline(
                    allow(KEYS, [f"arn:aws:iam::{DEV}:user/*", f"arn:aws:iam::{DEV}:u2f/ldap-provider/other/*"])
                ),
            },
        ]
        by_key = {"ForAnyValue:StringEquals": {"sojourn:AuthenticationMethods": "hwk"}}
        fresh = {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericEquals": {"aws:MultiFactorAuthAge": "0"}}
        people = {"Federated": OTHER}
        configured["Roles"] += [
            role("by-key", allow([LDAP, "sts:TagSession"], principal=people, condition=by_key | fresh)),
            role("by-password", allow([LDAP, "sts:TagSession"], principal=people)),
        ]
        outsider = {"UserName": "outsider", "AccessKeys": [OUTSIDER], "Policies": inline(allow("iam:*", "*"))}
        accounts = {"dev": configured, "other": {"Account": "444455556666", "Users": [outsider]}}
        write_configuration(place, accounts, NO_LIMITS)
        age_memory(server.url)
        with running(Gateway(place, store=server.url, workers=2)) as gateway:
            yield World(gateway, server, accounts)


def options(page: Answer) -> str:
    """What the page asks the browser to do with a key."""
    found = re.search(r'data-options="([^"]*)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def enter(person: Person, username: str, *, at: str = DEV, password: str = OWN, **more: str) -> Answer:
    """The page after the password."""
    assert person.get("/login").status == 200
    form = {"provider": at, "username": username, "password": password, **more}
    answer = person.post("/login", form, Sec_Fetch_Site="same-origin")
    return person.follow(answer) if answer.status == 303 else answer


def answer(person: Person, page: Answer, path: str, response: str, **more: str) -> Answer:
    """The page's form, with what the key said."""
    form = {"ticket": page.hidden("ticket"), "response": response, **more}
    return person.post(path, form, Sec_Fetch_Site="same-origin")


_names = (f"key{i}" for i in count())


def add(person: Person, page: Answer, key: SoftAuthenticator, **bent: Any) -> Answer:
    """The page after one more key."""
    given = answer(person, page, "/login/keys", key.create(options(page), **bent), name=next(_names))
    return person.follow(given) if given.status == 303 else given


def use(person: Person, page: Answer, key: SoftAuthenticator, **bent: Any) -> Answer:
    """The page after a key was used."""
    given = answer(person, page, "/login/key", key.get(options(page), **bent))
    return person.follow(given) if given.status == 303 else given


def leave(person: Person, page: Answer, path: str) -> Answer:
    """The page after the other button."""
    return person.follow(person.post(path, {"ticket": page.hidden("ticket")}, Sec_Fetch_Site="same-origin"))


def with_key(world: World, **more: Any) -> tuple[str, SoftAuthenticator]:
    """A user with a key."""
    person, name, key = world.visitor(), world.novice(), world.key(**more)
    assert "Remove" not in add(person, enter(person, name, next="keys"), key).text
    return name, key

"""Active Directory: nested groups by its matching rule, its reasons, its flags, its keys."""

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import fields

import pytest
import pytest_asyncio

from providers.contract import Password
from providers.errors import ProofRejected, ProviderUnavailable
from providers.ldap import LdapProvider
from providers.ldap.verdict import require_accepted
from providers.ldap.wire import BindResult, ServerFailed
from providers.refusal import SENTENCE
from tests.fakes.active_directory import BIT_AND, IN_CHAIN, ActiveDirectory
from tests.providers.ldap.conftest import MakeProvider

BASE = "DC=corp,DC=test"
GUID = uuid.UUID("5c2a28f0-1b9e-4d2a-9f4e-0a5c29000000")
SERVICE = f"CN=svc,{BASE}"
# From 1601 in tenths of microseconds: the years 2000 and 9999.
PAST, FUTURE = b"125911584000000000", b"2650467743990000000"


Attributes = dict[str, list[bytes]]


def person(name: str, *, control: int = 512, expires: bytes = b"0", guid: uuid.UUID | None = None) -> Attributes:
    return {
        "objectClass": [b"user"],
        "sAMAccountName": [name.encode()],
        "userAccountControl": [str(control).encode()],
        "accountExpires": [expires],
        "objectGUID": [(guid or uuid.uuid4()).bytes_le],
        "memberOf": [f"CN=web,OU=groups,{BASE}".encode()],
    }


def group(name: str, *members: str) -> Attributes:
    return {"objectClass": [b"group"], "cn": [name.encode()], "member": [member.encode() for member in members]}


ALICE = f"CN=Alice A.,OU=people,{BASE}"
PEOPLE = {
    ALICE: person("Alice", guid=GUID, expires=b"9223372036854775807"),
    f"CN=gone,OU=people,{BASE}": person("gone", control=514),
    f"CN=past,OU=people,{BASE}": person("past", expires=PAST),
    f"CN=later,OU=people,{BASE}": person("later", expires=FUTURE),
    f"CN=odd,OU=people,{BASE}": person("odd", expires=b"x"),
    # By its text under the base, by its parts not.
    f"CN=outsider\\,{BASE}": person("outsider"),
    **{f"CN={data},OU=people,{BASE}": person(f"u{data}") for data in ("530", "532", "533", "701", "773", "775")},
}
ENTRIES = PEOPLE | {
    f"CN=web,OU=groups,{BASE}": group("web", ALICE),
    f"CN=engineering,OU=groups,{BASE}": group("engineering", f"CN=web,OU=groups,{BASE}"),
    f"CN=all,OU=groups,{BASE}": group("all", f"CN=engineering,OU=groups,{BASE}", f"CN=all,OU=groups,{BASE}"),
    f"CN=others,OU=groups,{BASE}": group("others", f"CN=bob,{BASE}"),
}
PASSWORDS: dict[str, bytes | str] = dict.fromkeys(PEOPLE, b"right") | {
    f"CN={data},OU=people,{BASE}": data for data in ("530", "532", "533", "701", "773", "775")
}


@pytest_asyncio.fixture
async def directory() -> AsyncIterator[ActiveDirectory]:
    async with ActiveDirectory(ENTRIES, PASSWORDS | {SERVICE: b"service"}) as server:
        yield server


@pytest.fixture
def ldap(provider: MakeProvider, directory: ActiveDirectory) -> LdapProvider:
    return provider(
        urls=(directory.url,),
        bind_dn=SERVICE,
        bind_password="service",
        user_search_base=BASE,
        user_search_filter="(&(objectClass=user)(sAMAccountName={username}))",
        group_search_base=BASE,
        nested_groups=True,
    )


def _fields(ldap: LdapProvider) -> dict[str, object]:
    return {field.name: getattr(ldap.config, field.name) for field in fields(ldap.config)}


async def test_nested_groups_by_the_matching_rule(ldap: LdapProvider, directory: ActiveDirectory) -> None:
    identity = await ldap.verify(Password("ALICE", "right"))
    assert identity.attributes["ldap:groups"] == ("all", "engineering", "web")
    assert identity.attributes["ldap:username"] == ("Alice",)
    assert directory.rules
    assert set(directory.rules) == {f"member:{IN_CHAIN}"}


async def test_the_subject_is_the_guid_and_finds_the_user_again(ldap: LdapProvider) -> None:
    identity = await ldap.verify(Password("alice", "right"))
    assert identity.subject == f"objectGUID:{GUID}"
    assert await ldap.recheck(identity.subject, groups=frozenset({"all"}))
    assert not await ldap.recheck(f"objectGUID:{uuid.uuid4()}")


@pytest.mark.parametrize(
    ("username", "password", "why"),
    [
        ("alice", "wrong", "password"),
        ("nobody", "right", "unknown_user"),
        ("gone", "right", "disabled"),
        ("past", "right", "expired"),
        ("odd", "right", "expired"),
        ("outsider", "right", "misplaced"),
        ("u530", "right", "not_now"),
        ("u532", "right", "expired"),
        ("u533", "right", "disabled"),
        ("u701", "right", "expired"),
        ("u773", "right", "expired"),
        ("u775", "right", "locked"),
    ],
)
async def test_every_refusal_has_one_text_and_its_own_reason(
    ldap: LdapProvider, username: str, password: str, why: str
) -> None:
    with pytest.raises(ProofRejected) as refusal:
        await ldap.verify(Password(username, password))
    assert (refusal.value.sentence, refusal.value.reason) == (SENTENCE, why)


async def test_a_directory_that_accepts_every_bind_makes_nobody_known(
    ldap: LdapProvider, directory: ActiveDirectory
) -> None:
    directory.passwords = defaultdict(lambda: b"right", {SERVICE: b"service"})
    with pytest.raises(ProofRejected) as refusal:
        await ldap.verify(Password("nobody", "right"))
    assert refusal.value.reason == "unknown_user"


async def test_a_part_of_the_groups_is_no_verdict(
    ldap: LdapProvider, provider: MakeProvider, directory: ActiveDirectory
) -> None:
    by_member_of = provider(**{**_fields(ldap), "group_search_base": None})
    await by_member_of.verify(Password("alice", "right"))
    person = {name: values for name, values in PEOPLE[ALICE].items() if name != "memberOf"}
    directory.entries = {ALICE: person | {"memberOf;range=0-1499": [b"CN=web"]}}
    with pytest.raises(ProviderUnavailable):
        await by_member_of.verify(Password("alice", "right"))


async def test_an_account_that_expires_later_is_good(ldap: LdapProvider) -> None:
    assert (await ldap.verify(Password("later", "right"))).session_name == "later"


async def test_a_disabled_user_fails_the_recheck(ldap: LdapProvider, directory: ActiveDirectory) -> None:
    later = (await ldap.verify(Password("later", "right"))).subject
    assert await ldap.recheck(later)
    dn = f"CN=later,OU=people,{BASE}"
    directory.entries = {**ENTRIES, dn: {**PEOPLE[dn], "userAccountControl": [b"514"]}}
    assert not await ldap.recheck(later)


async def test_a_filter_may_use_the_directorys_own_rules(provider: MakeProvider, directory: ActiveDirectory) -> None:
    enabled = provider(
        urls=(directory.url,),
        bind_dn=SERVICE,
        bind_password="service",
        user_search_base=BASE,
        user_search_filter=f"(&(sAMAccountName={{username}})(!(userAccountControl:{BIT_AND}:=2)))",
        group_search_base=None,
        nested_groups=False,
    )
    assert (await enabled.verify(Password("alice", "right"))).attributes["ldap:groups"] == ("web",)
    with pytest.raises(ProofRejected) as refusal:
        await enabled.verify(Password("gone", "right"))
    assert refusal.value.reason == "unknown_user"


@pytest.mark.parametrize(
    ("code", "policy", "why"),
    [
        (49, None, "password"),
        (49, b"\x30\x03\x81\x01\x01", "locked"),
        (49, b"\x30\x03\x81\x01\x00", "expired"),
        (0, b"\x30\x03\x81\x01\x02", "expired"),
        (19, None, "locked"),
        (32, None, "unknown_user"),
        (48, None, "password"),
        (53, None, "disabled"),
    ],
)
def test_a_result_against_the_password_is_a_refusal(code: int, policy: bytes | None, why: str) -> None:
    with pytest.raises(ProofRejected) as refusal:
        require_accepted(BindResult(code, "", policy))
    assert refusal.value.reason == why


@pytest.mark.parametrize("policy", [None, b"", b"\x30\x00", b"\x30\x05\xa0\x03\x80\x01\x07"])
def test_a_warning_is_no_refusal(policy: bytes | None) -> None:
    require_accepted(BindResult(0, "", policy))


@pytest.mark.parametrize(("code", "policy"), [(1, None), (10, None), (51, None), (8, None), (0, b"\x30\x09\x81")])
def test_a_result_that_settles_nothing_is_neither(code: int, policy: bytes | None) -> None:
    with pytest.raises(Exception) as failure:  # of two kinds, neither of them a verdict
        require_accepted(BindResult(code, "", policy))
    assert not isinstance(failure.value, ProofRejected)
    assert isinstance(failure.value, ServerFailed) == (code == 51)

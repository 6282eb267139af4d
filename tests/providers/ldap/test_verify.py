"""Sign-in against a real slapd: passwords, names, groups, attributes, shut accounts."""

import pytest

from providers.contract import Identity, Password
from providers.errors import ProofRejected, ProviderUnavailable
from providers.ldap import LdapProvider
from providers.refusal import SENTENCE
from tests.fakes.slapd import GROUPS, PEOPLE, SUFFIX, Slapd
from tests.providers.ldap.conftest import MakeProvider

RIGHT = "correct horse"


async def reason(provider: LdapProvider, username: str, password: str = RIGHT) -> str:
    """Why it is refused; the sentence is always the same."""
    with pytest.raises(ProofRejected) as refusal:
        await provider.verify(Password(username, password))
    assert refusal.value.sentence == SENTENCE
    assert password not in repr(refusal.value.__dict__) or not password
    return refusal.value.reason


async def groups(provider: LdapProvider, username: str = "alice") -> tuple[str, ...]:
    identity = await provider.verify(Password(username, RIGHT))
    assert identity.multivalued <= {"ldap:groups"}
    return identity.attributes.get("ldap:groups", ())


async def test_a_right_password_is_an_identity(provider: MakeProvider) -> None:
    ldap = provider(session_tags={"Department": "departmentNumber", "Mail": "MAIL", "Phone": "telephoneNumber"})
    identity = await ldap.verify(Password("alice", RIGHT))
    assert identity == Identity(
        issuer=ldap.config.issuer,
        audience=ldap.config.issuer,
        subject=identity.subject,
        methods=frozenset({"pwd"}),
        authenticated_at=identity.authenticated_at,
        attributes={
            "ldap:username": ("alice",),
            "ldap:dn": (f"uid=alice,{PEOPLE}",),
            "ldap:groups": ("developers",),
            "ldap:departmentNumber": ("42",),
            "ldap:MAIL": ("alice@acme.test",),
        },
        multivalued=frozenset({"ldap:groups"}),
        carried=("ldap:username", "ldap:dn"),
        session_name="alice",
        session_tags={"Department": "42", "Mail": "alice@acme.test"},
    )
    assert identity.subject.startswith("entryUUID:")


@pytest.mark.parametrize(
    ("username", "password", "why"),
    [
        ("alice", "wrong", "password"),
        ("alice", "Correct horse", "password"),
        ("bob", "", "malformed"),
        ("alice", "correct horse\0", "malformed"),
        ("alice", "x" * 1025, "malformed"),
        ("alice", "\ud800", "malformed"),
        ("", RIGHT, "malformed"),
        ("  ", RIGHT, "malformed"),
        ("\u200b", RIGHT, "malformed"),
        ("alice\0", RIGHT, "malformed"),
        ("alice\n", RIGHT, "malformed"),
        ("a" * 257, RIGHT, "malformed"),
        ("nobody", RIGHT, "unknown_user"),
        ("stray", RIGHT, "unknown_user"),
        ("locked", RIGHT, "locked"),
        ("mustchange", RIGHT, "expired"),
        ("expired", RIGHT, "expired"),
        ("expired", "wrong", "password"),
    ],
)
async def test_refused(provider: MakeProvider, username: str, password: str, why: str) -> None:
    assert await reason(provider(), username, password) == why


@pytest.mark.parametrize(
    "username",
    [
        "*",
        "a*",
        "alice)(uid=*",
        "*)(|(uid=*",
        "alice)(objectClass=*))(&(uid=alice",
        "\\61lice",
        "\\2a",
        "alice)\\00",
        f"uid=alice,{PEOPLE}",
        "odd(name)*",
        "(uid=alice)",
        "&",
    ],
)
async def test_a_name_is_never_a_filter(provider: MakeProvider, username: str) -> None:
    assert await reason(provider(), username) == "unknown_user"


@pytest.mark.parametrize(
    ("presented", "username"),
    [
        ("ALICE", "alice"),
        (" alice ", "alice"),
        ("odd(name)*\\x", "odd(name)*\\x"),
        ("J\u00d6RG", "j\u00f6rg"),
        ("jo\u0308rg", "j\u00f6rg"),
        ("another", "j\u00f6rg"),
        ("blank", "blank"),
    ],
)
async def test_every_spelling_and_alias_is_one_person(provider: MakeProvider, presented: str, username: str) -> None:
    ldap = provider()
    identity = await ldap.verify(Password(presented, RIGHT))
    assert identity.attributes["ldap:username"] == (username,)
    assert identity.subject == (await ldap.verify(Password(username, RIGHT))).subject


async def test_a_password_is_not_changed_on_its_way(provider: MakeProvider) -> None:
    assert (await provider().verify(Password("plain", "p\u00e4ss w\u00f6rd"))).attributes["ldap:username"] == ("plain",)


async def test_two_entries_of_one_name_are_refused(provider: MakeProvider) -> None:
    ldap = provider(user_search_filter="(|(uid={username})(mail={username}))")
    assert (await ldap.verify(Password("alice@acme.test", RIGHT))).session_name == "alice"
    assert await reason(ldap, "twins@acme.test") == "ambiguous"


async def test_an_attribute_with_several_values_is_no_tag(provider: MakeProvider) -> None:
    assert await reason(provider(session_tags={"Department": "departmentNumber"}), "torn") == "attributes"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("developers",)),
        ({"nested_groups": True}, ("company", "developers", "engineering")),
        ({"group_search_filter": "(uniqueMember={dn})"}, ("unique",)),
        ({"group_search_filter": "(&(objectClass=posixGroup)(memberUid={username}))"}, ("posix",)),
        ({"group_search_filter": "(memberUid={username})", "nested_groups": True}, ("posix",)),
        # A group named alice has memberUid=developers, which is nobody's membership here.
        (
            {"group_search_filter": "(|(member={dn})(memberUid={username}))", "nested_groups": True},
            ("company", "developers", "engineering", "posix"),
        ),
        ({"group_search_base": None}, ("developers",)),
        ({"group_search_base": None, "nested_groups": True}, ("company", "developers", "engineering")),
        ({"group_search_base": None, "group_name_attribute": "dn"}, (f"cn=developers,{GROUPS}",)),
        ({"group_name_attribute": "dn"}, (f"cn=developers,{GROUPS}",)),
        ({"group_name_attribute": "description"}, ()),
        ({"group_search_base": f"ou=elsewhere,{SUFFIX}"}, ()),
    ],
)
async def test_groups(provider: MakeProvider, settings: dict[str, object], expected: tuple[str, ...]) -> None:
    assert await groups(provider(**settings)) == expected


async def test_groups_of_a_name_full_of_special_characters(provider: MakeProvider) -> None:
    assert await groups(provider(nested_groups=True), "odd(name)*\\x") == ("company", "developers", "engineering")
    assert await groups(provider(group_search_base=None)) == ("developers",)
    assert await groups(provider(), "bob") == ()


@pytest.mark.parametrize("base", [f"ou=nowhere,{SUFFIX}", "dc=other"])
async def test_a_base_that_does_not_exist_is_no_verdict(provider: MakeProvider, base: str) -> None:
    with pytest.raises(ProviderUnavailable):
        await provider(user_search_base=base).verify(Password("alice", RIGHT))


async def test_a_refused_service_account_is_no_verdict(provider: MakeProvider) -> None:
    with pytest.raises(ProviderUnavailable) as failure:
        await provider(bind_password="wrong").verify(Password("alice", RIGHT))
    assert "service account" in (failure.value.detail or "")
    assert "wrong" not in (failure.value.detail or "")


async def test_the_gate_hears_the_account_before_the_password_is_tried(provider: MakeProvider) -> None:
    ldap = provider(user_search_filter="(|(uid={username})(mail={username}))")
    heard: list[str] = []

    async def gate(subject: str) -> None:
        heard.append(subject)
        if len(heard) > 3:
            raise PermissionError

    for name in ("alice", "ALICE@acme.test", "Nobody "):
        with pytest.raises(ProofRejected):
            await ldap.verify(Password(name, "wrong"), gate=gate)
    assert heard[0] == heard[1]
    assert heard[0].startswith("entryUUID:")
    assert heard[2] == "name:nobody"
    with pytest.raises(PermissionError):
        await ldap.verify(Password("alice", RIGHT), gate=gate)


async def test_a_recheck_sees_who_is_gone_disabled_renamed_or_out_of_the_group(
    provider: MakeProvider, fragile: Slapd
) -> None:
    ldap = provider(urls=(fragile.url,), nested_groups=True, user_search_filter="(&(uid={username})(sn=x))")
    alice, bob = [(await ldap.verify(Password(name, RIGHT))).subject for name in ("alice", "bob")]
    assert await ldap.recheck(alice, groups=frozenset({"company"}))
    assert not await ldap.recheck(bob, groups=frozenset({"company"}))
    assert await ldap.recheck(bob)
    administrator = fragile.administer()
    administrator.modify_dn(f"uid=alice,{PEOPLE}", "uid=alice2")
    found = await ldap.look_up(alice)
    assert found is not None
    assert (found.username, found.groups) == ("alice2", ("company", "developers", "engineering"))
    administrator.modify(f"cn=engineering,{GROUPS}", {"member": [("MODIFY_DELETE", [f"cn=developers,{GROUPS}"])]})
    assert not await ldap.recheck(alice, groups=frozenset({"company"}))
    assert await ldap.recheck(alice, groups=frozenset({"developers"}))
    administrator.modify(f"uid=alice2,{PEOPLE}", {"shadowExpire": [("MODIFY_REPLACE", ["10"])]})
    assert not await ldap.recheck(alice)
    administrator.modify(f"uid=bob,{PEOPLE}", {"sn": [("MODIFY_REPLACE", ["y"])]})
    assert not await ldap.recheck(bob)
    administrator.modify(f"uid=bob,{PEOPLE}", {"sn": [("MODIFY_REPLACE", ["x"])]})
    assert await ldap.recheck(bob)
    administrator.delete(f"uid=bob,{PEOPLE}")
    assert not await ldap.recheck(bob)
    administrator.unbind()
    for unknown in ("entryUUID:00000000-0000-0000-0000-000000000000", f"dn:uid=bob,{PEOPLE}", "objectGUID:" + "0" * 32):
        assert not await ldap.recheck(unknown)
    assert await ldap.recheck(f"dn:uid=user1,{PEOPLE}") is False  # it has a better name
    fragile.stop()
    with pytest.raises(ProviderUnavailable):
        await ldap.recheck(alice)


@pytest.mark.parametrize(
    "settings",
    [
        {"urls": ()},
        {"urls": ("http://x",)},
        {"urls": ("ldap://directory.test",)},
        {"urls": ("ldaps://directory.test",), "start_tls": True},
        {"urls": ("ldap://user@127.0.0.1",)},
        {"bind_password": None},
        {"bind_password": ""},
        {"user_search_base": ""},
        {"user_search_base": "people"},
        {"user_search_filter": "(uid=alice)"},
        {"user_search_filter": "uid={username}"},
        {"user_search_filter": "(uid={name})"},
        {"user_search_filter": "(uid={username}*)"},
        {"group_search_filter": "(member=x)"},
        {"session_tags": {"A": "groups"}},
        {"session_tags": {"A": "a b"}},
    ],
)
def test_a_configuration_that_would_be_unsafe_or_useless_is_refused(
    provider: MakeProvider, settings: dict[str, object]
) -> None:
    with pytest.raises(ValueError):
        provider(**settings)

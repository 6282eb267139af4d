"""Names, distinguished names and filter values."""

import pytest

from providers.ldap.names import filter_value, inside, normal_form, parse_dn, rdn_value
from providers.spelling import comparable


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=alice,ou=People,dc=acme", "UID=Alice , OU=people,DC=ACME"),
        (r"cn=Doe\, Jo,dc=a", r"cn=doe\2c  jo,dc=a"),
        (r"cn=\20x\20,dc=a", "cn=x,dc=a"),
        ("cn=a+uid=b,dc=a", "uid=B + cn=A,dc=a"),
        ("commonName=a,0.9.2342.19200300.100.1.25=x", "cn=a,dc=x"),
        (r"cn=J\C3\B6rg,dc=a", "cn=jo\u0308rg,dc=a"),
        ("cn=#0c03414243,dc=a", "cn=abc,dc=a"),
        (r"cn=a\=b=c\#\+\"\;\<\>\\,dc=a", r"cn=a\3db\3Dc\23\2b\22\3b\3c\3e\5c,dc=a"),
    ],
)
def test_spellings_of_one_name_are_one(one: str, other: str) -> None:
    assert parse_dn(one) == parse_dn(other)
    assert normal_form(parse_dn(one)) == normal_form(parse_dn(other))
    assert parse_dn(normal_form(parse_dn(one))) == parse_dn(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=alice,dc=a", "cn=alice,dc=a"),
        ("uid=alice,dc=a", r"uid=alice\,dc=a"),
        ("cn=a+uid=b,dc=a", "cn=a,uid=b,dc=a"),
        ("cn=a b,dc=a", "cn=ab,dc=a"),
        (r"cn=\2c,dc=a", r"cn=\5c2c,dc=a"),
    ],
)
def test_different_names_are_different(one: str, other: str) -> None:
    assert parse_dn(one) != parse_dn(other)
    assert normal_form(parse_dn(one)) != normal_form(parse_dn(other))


@pytest.mark.parametrize("text", ["alice", "=x", "cn=a,", "cn=a,,dc=b", "cn=a\\", "cn=a\\z", "cn=a;dc=b", 'cn="a"'])
def test_what_is_no_distinguished_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_dn(text)


def test_an_entry_is_inside_a_base_by_its_parts_and_not_by_its_text() -> None:
    base = parse_dn("ou=people,dc=acme")
    assert inside(parse_dn("uid=a,OU=People,DC=acme"), base)
    assert not inside(base, base)
    assert not inside(parse_dn(r"uid=a\,ou=people,dc=acme"), base)
    assert not inside(parse_dn("uid=a,ou=xpeople,dc=acme"), base)
    assert not inside(parse_dn("dc=acme"), base)


def test_the_naming_value_is_given_as_written() -> None:
    assert rdn_value(r"cn=Ops\2c Team\ ,ou=groups", "CN") == "Ops, Team "
    assert rdn_value("sn=x+cn=y,ou=groups", "commonName") == "y"
    assert rdn_value("ou=groups,cn=y", "cn") is None


@pytest.mark.parametrize("text", ["a", "a*)(uid=*", "\\2a", " lead", "\0", "j\u00f6rg", "(|(a=b))", "\U0001f600"])
def test_a_filter_value_has_no_character_with_a_meaning(text: str) -> None:
    value = filter_value(text)
    assert not set("*()\0 ") & set(value)
    restored, at = bytearray(), 0
    while at < len(value):
        escaped = value[at] == "\\"
        restored += bytes.fromhex(value[at + 1 : at + 3]) if escaped else value[at].encode()
        at += 3 if escaped else 1
    assert restored.decode() == text


def test_names_compare_as_a_directory_compares_them() -> None:
    same = ["Stra\u00dfe  1", "strasse 1", " STRASSE\u00a01 ", "\uff33trasse 1", "stra\u00adsse\u200b 1", "strasse\t1"]
    assert {comparable(name) for name in same} == {"strasse 1"}
    assert comparable("alice") != comparable("\u0430lice")  # Cyrillic
    assert comparable("\u200b\u00ad ") == ""

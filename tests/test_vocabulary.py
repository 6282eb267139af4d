"""ARNs, identifiers, sealing."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import ids
from broker.arn import Arn, account_root, assumed_role, federated_user, is_account_id
from broker.sealing import MasterKeys, SealBroken, parse_master_key, sealed_under


@given(st.integers(0, 10**12 - 1))
def test_an_access_key_id_carries_its_account(number: int) -> None:
    account = f"{number:012d}"
    key_id = ids.access_key_id("ASIA", account, secrets.token_bytes)
    assert len(key_id) == 20
    assert ids.account_of(key_id) == account


@pytest.mark.parametrize("text", ["", "ASIA", "ASIA0000000000000000", "asiaqnzgkiqy56jq7wml", "ASIA" + "A" * 17])
def test_other_texts_carry_no_account(text: str) -> None:
    assert ids.account_of(text) is None


def test_a_published_example_decodes() -> None:
    assert ids.account_of("ASIAQNZGKIQY56JQ7WML") == "029608264753"


def test_unique_ids_are_the_same_at_every_start() -> None:
    one = ids.unique_id("AROA", "arn:aws:iam::111122223333:role/a")
    assert one == ids.unique_id("AROA", "arn:aws:iam::111122223333:role/a")
    assert one != ids.unique_id("AROA", "arn:aws:iam::111122223333:role/b")
    assert len(one) == 21


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("arn:aws:iam::111122223333:role/deploy", "/", "deploy"),
        ("arn:aws:iam::111122223333:role/a/b/deploy", "/a/b/", "deploy"),
        ("arn:aws:iam::111122223333:root", "/", "root"),
    ],
)
def test_arns(text: str, path: str, name: str) -> None:
    arn = Arn.parse(text)
    assert (str(arn), arn.path, arn.name) == (text, path, name)


@pytest.mark.parametrize(
    "text", ["", "arn", "arn:aws:iam::1", "x:aws:iam::1:r", "arn::iam::1:r", "arn:aws:::1:r", "arn:aws:iam::1:"]
)
def test_what_is_no_arn(text: str) -> None:
    with pytest.raises(ValueError, match="not an ARN"):
        Arn.parse(text)


def test_arns_that_are_made() -> None:
    assert account_root("111122223333") == "arn:aws:iam::111122223333:root"
    assert assumed_role("111122223333", "r", "s") == "arn:aws:sts::111122223333:assumed-role/r/s"
    assert federated_user("111122223333", "f") == "arn:aws:sts::111122223333:federated-user/f"
    assert is_account_id("111122223333")
    assert not is_account_id("１１１１２２２２３３３３")


def test_a_sealed_value_opens_only_where_it_belongs() -> None:
    masters = MasterKeys([secrets.token_bytes(32)], secrets.token_bytes)
    sealed = masters.seal("purpose", b"value", bound_to=b"here")
    assert masters.open("purpose", sealed, bound_to=b"here") == b"value"
    assert b"value" not in sealed
    strangers = MasterKeys([secrets.token_bytes(32)], secrets.token_bytes)
    for opener, purpose, bound_to, bent in (
        (masters, "other", b"here", sealed),
        (masters, "purpose", b"there", sealed),
        (strangers, "purpose", b"here", sealed),
        (masters, "purpose", b"here", sealed[:-1]),
        (masters, "purpose", b"here", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (masters, "purpose", b"here", b""),
        (masters, "purpose", b"here", b"\xff" * 60),
    ):
        with pytest.raises(SealBroken):
            opener.open(purpose, bent, bound_to=bound_to)


def test_a_value_goes_over_to_another_master_key() -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    masters = MasterKeys([old], secrets.token_bytes)
    sealed, old_id = masters.seal("purpose", b"value", bound_to=b"here"), masters.current_id
    assert masters.reseal("purpose", sealed, bound_to=b"here") is sealed
    masters.adopt([new, old])
    assert masters.ids == {old_id, masters.current_id}
    resealed = masters.reseal("purpose", sealed, bound_to=b"here")
    assert (sealed_under(sealed), sealed_under(resealed)) == (old_id, masters.current_id)
    masters.adopt([new])
    assert masters.open("purpose", resealed, bound_to=b"here") == b"value"
    for purpose, bound_to in (("purpose", b"here"), ("purpose", b"there"), ("other", b"here")):
        with pytest.raises(SealBroken, match=old_id):
            masters.reseal(purpose, sealed, bound_to=bound_to)
    with pytest.raises(SealBroken, match=old_id):
        masters.mac("purpose", b"value", master_id=old_id)
    with pytest.raises(ValueError, match="at least one"):
        masters.adopt([])


@pytest.mark.parametrize("text", ["", "abc", "A" * 42 + "==", "é" * 44])
def test_what_is_no_master_key(text: str) -> None:
    with pytest.raises(ValueError, match="base64 of 32 bytes") as error:
        parse_master_key(text)
    assert not text or text not in str(error.value)

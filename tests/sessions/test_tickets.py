"""Logins in progress: one-time, sealed, and of no use to whoever reads or writes the store. The SAML key likewise."""

import asyncio
import hashlib
import secrets
from datetime import timedelta

import msgspec
import pytest

from broker.sealing import MasterKeys
from broker.sessions.keyring import KeysUnavailable
from broker.sessions.shared_secrets import saml_signing_key
from broker.sessions.tickets import Tickets
from broker.stores.contract import Store

MINUTE = timedelta(minutes=1)


class Content(msgspec.Struct, frozen=True):
    name: str


class Other(msgspec.Struct, frozen=True):
    number: int


@pytest.fixture
def tickets(store: Store, masters: MasterKeys) -> Tickets:
    return Tickets(store, masters, secrets.token_bytes)


async def test_a_ticket_is_read_often_and_taken_once(tickets: Tickets) -> None:
    issued = await tickets.issue("login", Content("alice"), ttl=MINUTE)
    assert await tickets.read("login", issued, Content) == Content("alice")
    taken = await asyncio.gather(*(tickets.take("login", issued, Content) for _ in range(20)))
    assert [each for each in taken if each is not None] == [Content("alice")]
    assert await tickets.read("login", issued, Content) is None


async def test_a_ticket_is_good_for_its_purpose_and_its_time(tickets: Tickets) -> None:
    lasting = await tickets.issue("login", Content("alice"), ttl=MINUTE)
    brief = await tickets.issue("login", Content("alice"), ttl=timedelta(milliseconds=50))
    assert await tickets.take("code", lasting, Content) is None
    await asyncio.sleep(0.1)
    assert await tickets.read("login", lasting, Content) is not None
    assert await tickets.read("login", brief, Content) is None


@pytest.mark.parametrize("ticket_id", ["", "x", "x" * 44, "x" * 42 + "*", "é" * 43, "x" * 42 + "\n"])
async def test_what_is_no_id_is_no_ticket(tickets: Tickets, ticket_id: str) -> None:
    assert await tickets.read("login", ticket_id, Content) is None
    assert await tickets.take("login", ticket_id, Content) is None


async def test_another_shape_or_master_key_is_no_ticket(tickets: Tickets, store: Store) -> None:
    issued = await tickets.issue("login", Content("alice"), ttl=MINUTE)
    assert await tickets.read("login", issued, Other) is None
    others = Tickets(store, MasterKeys([secrets.token_bytes(32)], secrets.token_bytes), secrets.token_bytes)
    assert await others.read("login", issued, Content) is None


async def test_a_writer_of_the_store_cannot_move_one_ticket_to_another(tickets: Tickets, store: Store) -> None:
    first, second = [await tickets.issue("login", Content(name), ttl=MINUTE) for name in ("alice", "mallory")]
    keys = [f"ticket:login:{hashlib.sha256(each.encode()).hexdigest()}" for each in (first, second)]
    await store.put(keys[0], await store.get(keys[1]) or b"")
    assert await tickets.read("login", first, Content) is None
    assert await tickets.read("login", second, Content) == Content("mallory")


async def test_gateways_that_start_together_have_one_saml_key(store: Store, masters: MasterKeys) -> None:
    keys = await asyncio.gather(*(saml_signing_key(store, masters).value() for _ in range(4)))
    assert len(set(keys)) == 1
    assert keys[0].startswith(b"-----BEGIN PRIVATE KEY-----")
    with pytest.raises(KeysUnavailable):
        await saml_signing_key(store, MasterKeys([secrets.token_bytes(32)], secrets.token_bytes)).value()

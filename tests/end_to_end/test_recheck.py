"""People who are gone from the directory lose the sessions that they have."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.directory_world import CORP, NO_LIMITS, account, age_memory, provider
from tests.end_to_end.ldap_client import RIGHT, sign_in
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import GROUPS, PEOPLE, Slapd
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

ALICE = f"uid=alice,{PEOPLE}"
NOT_LOOKED_UP = "could not be looked up again"
DEVELOPERS = f"cn=developers,{GROUPS}"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd(tmp_path / "slapd", people=2) as server:
        yield server


@pytest.fixture
def gateway(directory: Slapd, tmp_path: Path) -> Iterator[Gateway]:
    configured = provider(directory, RecheckSeconds=1, TimeoutSeconds=2)
    write_configuration(tmp_path, {"dev": account(configured)}, NO_LIMITS)
    with RedisServer(tmp_path / "redis") as server:
        age_memory(server.url)
        with running(Gateway(tmp_path, store=server.url, workers=2)) as gateway:
            yield gateway


def session(gateway: Gateway, username: str, role: str, password: str = RIGHT) -> Any:
    """A client with the credentials of a sign-in."""
    found = sign_in(gateway, username, password, RoleArn=role_arn(role, DEV), ProviderArn=CORP)
    return gateway.client(credentials=found)


@contextlib.contextmanager
def administered(directory: Slapd) -> Iterator[Any]:
    """A connection as the directory's administrator."""
    connection = directory.administer()
    try:
        yield connection
    finally:
        connection.unbind()


def lives(client: Any) -> bool:
    try:
        client.get_caller_identity()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidClientTokenId"
        return False
    return True


def ended(client: Any) -> bool:
    return not lives(client)


def failed_look_ups(gateway: Gateway, times: int) -> None:
    """Wait for so many more."""
    before = gateway.log.count(NOT_LOOKED_UP)
    until(lambda: gateway.log.count(NOT_LOOKED_UP) >= before + times)


def test_the_deleted_lose_their_sessions_and_those_that_came_of_them(directory: Slapd, gateway: Gateway) -> None:
    bob = session(gateway, "bob", "people")
    alice = session(gateway, "alice", "engineers")
    user1 = session(gateway, "user1", "people", "password1")
    time.sleep(2.5)
    assert lives(bob)
    assert lives(alice)
    with administered(directory) as connection:
        connection.delete(f"uid=bob,{PEOPLE}")
    until(lambda: ended(bob))
    assert lives(alice)
    assert lives(user1)
    # A session ends before that is on record.
    (record,) = until(lambda: [each for each in gateway.audit if each["eventName"] == "EndSession"])
    assert record["serviceEventDetails"]["arn"] == f"arn:aws:sts::{DEV}:assumed-role/people/bob"
    assert record["serviceEventDetails"]["reason"] == "gone"


def test_who_leaves_a_group_keeps_what_needs_it_not(directory: Slapd, gateway: Gateway) -> None:
    needs_it = session(gateway, "alice", "engineers")
    needs_it_not = session(gateway, "alice", "without-code")
    with administered(directory) as connection:
        connection.modify(DEVELOPERS, {"member": [("MODIFY_DELETE", [ALICE])]})
    until(lambda: ended(needs_it))
    time.sleep(1.5)
    assert lives(needs_it_not)


def test_the_disabled_lose_their_sessions(directory: Slapd, gateway: Gateway) -> None:
    alice = session(gateway, "alice", "engineers")
    with administered(directory) as connection:
        connection.modify(ALICE, {"shadowExpire": [("MODIFY_REPLACE", ["1"])]})
    until(lambda: ended(alice))


def test_a_directory_that_does_not_answer_ends_nobodys_session(directory: Slapd, gateway: Gateway) -> None:
    alice = session(gateway, "alice", "engineers")
    directory.pause()
    try:
        failed_look_ups(gateway, 2)
        assert lives(alice)
    finally:
        directory.resume()
    directory.stop()
    failed_look_ups(gateway, 2)
    assert lives(alice)

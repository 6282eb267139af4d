"""GetSessionToken, GetFederationToken, GetAccessKeyInfo, and what such credentials may call."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.end_to_end.refusals import refused
from tests.end_to_end.world import ALICE, BOB, DEV, role_arn
from tests.gateway import Gateway

POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def test_a_session_token_acts_as_the_user(gateway: Gateway, alice: Any) -> None:
    session = gateway.client(credentials=alice.get_session_token()["Credentials"])
    identity = session.get_caller_identity()
    assert identity == alice.get_caller_identity() | {"ResponseMetadata": identity["ResponseMetadata"]}
    session.assume_role(RoleArn=role_arn("open"), RoleSessionName="test", DurationSeconds=43_200)


def test_session_credentials_get_no_further_tokens(gateway: Gateway, alice: Any) -> None:
    for credentials in (
        alice.get_session_token()["Credentials"],
        alice.assume_role(RoleArn=role_arn("open"), RoleSessionName="test")["Credentials"],
    ):
        session = gateway.client(credentials=credentials)
        with refused("AccessDenied", "Cannot call GetSessionToken with session credentials"):
            session.get_session_token()
        with refused("AccessDenied", "Cannot call GetFederationToken with session credentials"):
            session.get_federation_token(Name="fed", Policy=POLICY)


def test_a_session_token_calls_only_two_actions_of_sts(gateway: Gateway, alice: Any) -> None:
    session = gateway.client(credentials=alice.get_session_token()["Credentials"])
    with refused("AccessDenied"):
        session.get_access_key_info(AccessKeyId=ALICE["AccessKeyId"])
    with refused("AccessDenied"):
        session.decode_authorization_message(EncodedMessage="abc")


@pytest.mark.parametrize("seconds", [900, 129_600])
def test_durations_at_the_edges(alice: Any, seconds: int) -> None:
    for answer in (
        alice.get_session_token(DurationSeconds=seconds),
        alice.get_federation_token(Name="fed", DurationSeconds=seconds),
    ):
        lifetime = (answer["Credentials"]["Expiration"] - datetime.now(UTC)).total_seconds()
        assert seconds - 240 < lifetime <= seconds


@pytest.mark.parametrize("seconds", [899, 129_601])
def test_durations_past_the_edges(alice: Any, seconds: int) -> None:
    with refused("ValidationError", "durationSeconds"):
        alice.get_session_token(DurationSeconds=seconds)
    with refused("ValidationError", "durationSeconds"):
        alice.get_federation_token(Name="fed", DurationSeconds=seconds)


def test_a_federated_user(gateway: Gateway, alice: Any) -> None:
    answer = alice.get_federation_token(Name="fed", Policy=POLICY, Tags=[{"Key": "a", "Value": "b"}])
    assert answer["FederatedUser"] == {
        "FederatedUserId": f"{DEV}:fed",
        "Arn": f"arn:aws:sts::{DEV}:federated-user/fed",
    }
    assert answer["PackedPolicySize"] >= 1
    session = gateway.client(credentials=answer["Credentials"])
    identity = session.get_caller_identity()
    assert (identity["Arn"], identity["UserId"], identity["Account"]) == (
        f"arn:aws:sts::{DEV}:federated-user/fed",
        f"{DEV}:fed",
        DEV,
    )
    with refused("AccessDenied"):
        session.assume_role(RoleArn=role_arn("open"), RoleSessionName="test")


def test_no_policy_counts_as_zero_percent(alice: Any) -> None:
    assert alice.get_federation_token(Name="fed")["PackedPolicySize"] == 0


def test_federation_needs_its_permission(gateway: Gateway) -> None:
    with refused("AccessDenied", "sts:GetFederationToken"):
        gateway.client(credentials=BOB).get_federation_token(Name="fed")
    gateway.client(credentials=BOB).get_session_token()


@pytest.mark.parametrize("name", ["a", "a" * 33, "a b"])
def test_names_of_federated_users(alice: Any, name: str) -> None:
    with refused("ValidationError", "name"):
        alice.get_federation_token(Name=name)


def test_the_account_of_an_access_key(gateway: Gateway, alice: Any) -> None:
    assert alice.get_access_key_info(AccessKeyId=BOB["AccessKeyId"])["Account"] == DEV
    assert alice.get_access_key_info(AccessKeyId="ASIAQNZGKIQY56JQ7WML")["Account"] == "029608264753"
    with refused("AccessDenied", "sts:GetAccessKeyInfo"):
        gateway.client(credentials=BOB).get_access_key_info(AccessKeyId=BOB["AccessKeyId"])
    with refused("ValidationError"):
        alice.get_access_key_info(AccessKeyId="short")

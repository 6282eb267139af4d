"""AssumeRoleWithLDAPIdentity at a gateway with a real slapd, by boto3's transport and by MinIO's own client."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from minio.credentials.providers import LdapIdentityProvider

from tests.end_to_end.directory_world import CORP, NO_LIMITS, account, age_memory, code, factor, provider, serial
from tests.end_to_end.ldap_client import RIGHT, Refusal, sign_in
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import PEOPLE, Slapd
from tests.gateway import Gateway, running, write_configuration


def arn(name: str) -> str:
    """A role's ARN in the account."""
    return role_arn(name, DEV)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd"), people=40) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(directory: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place: Path = tmp_path_factory.mktemp("gateway")
    write_configuration(place, {"dev": account(provider(directory))}, NO_LIMITS)
    with RedisServer(place / "redis") as server:
        age_memory(server.url)
        with running(Gateway(place, store=server.url)) as gateway:
            yield gateway


def whoami(gateway: Gateway, credentials: dict[str, str]) -> Any:
    return gateway.client(credentials=credentials).get_caller_identity()


def test_a_directory_user_gets_a_role(gateway: Gateway) -> None:
    found = sign_in(gateway, "alice", RoleArn=arn("engineers"), ProviderArn=CORP, DurationSeconds="7200")
    assert found["Arn"] == f"arn:aws:sts::{DEV}:assumed-role/engineers/alice"
    assert found["AccessKeyId"].startswith("ASIA")
    assert whoami(gateway, found)["Arn"] == found["Arn"]
    assert found["AssumedRoleId"] == whoami(gateway, found)["UserId"]


def test_the_provider_may_be_left_out_and_the_session_named(gateway: Gateway) -> None:
    found = sign_in(gateway, "alice@acme.test", RoleArn=arn("engineers"), RoleSessionName="at-work")
    assert found["Arn"].endswith("engineers/at-work")
    assert sign_in(gateway, "ALICE", RoleArn=arn("engineers"))["Arn"].endswith("engineers/alice")


def test_minio_s_client_gets_working_credentials(gateway: Gateway) -> None:
    retrieved = LdapIdentityProvider(gateway.url, "bob", RIGHT, duration_seconds=3600).retrieve
    with pytest.raises(ValueError, match="failed with HTTP status code 400"):
        retrieved()
    found = LdapIdentityProvider(gateway.url, "user1", "password1", duration_seconds=3600).retrieve()
    keys = {
        "AccessKeyId": found.access_key,
        "SecretAccessKey": found.secret_key,
        "SessionToken": found.session_token or "",
    }
    assert whoami(gateway, keys)["Arn"] == f"arn:aws:sts::{DEV}:assumed-role/people/user1"


def test_roles_are_listed_only_after_the_right_password(gateway: Gateway) -> None:
    with pytest.raises(Refusal) as several:
        sign_in(gateway, "bob")
    assert (several.value.status, several.value.code) == (400, "ValidationError")
    assert arn("just-bob") in several.value.message
    assert arn("engineers") not in several.value.message
    with pytest.raises(Refusal) as wrong:
        sign_in(gateway, "bob", "no")
    assert wrong.value.code == "IDPRejectedClaim"


def test_nobody_s_role_is_refused(gateway: Gateway) -> None:
    with pytest.raises(Refusal) as none:
        sign_in(gateway, "user9", "password9")
    with pytest.raises(Refusal) as refused:
        sign_in(gateway, "user9", "password9", RoleArn=arn("engineers"))
    refusals = [none.value, refused.value]
    for name in ("no-such-role", "no-provider"):
        for more in ({}, {"ProviderArn": CORP}):
            with pytest.raises(Refusal) as missing:
                sign_in(gateway, "user9", "password9", RoleArn=arn(name), **more)
            refusals.append(missing.value)
            with pytest.raises(Refusal, match="403 IDPRejectedClaim"):
                sign_in(gateway, "user9", "wrong", RoleArn=arn(name), **more)
    for refusal in refusals:
        assert (refusal.status, refusal.code) == (403, "AccessDenied")
        assert refusal.message.startswith("Not authorized to perform sts:AssumeRoleWithLDAPIdentity Encoded")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("", RIGHT),
        ("", ""),
        (" ", RIGHT),
        ("nobody", RIGHT),
        ("locked", RIGHT),
        ("expired", RIGHT),
        ("mustchange", RIGHT),
        ("stray", RIGHT),
        ("twins@acme.test", RIGHT),
        ("torn", RIGHT),
        ("*", RIGHT),
        ("al*", RIGHT),
        ("alice)(uid=*", RIGHT),
        ("alice)(|(uid=*", RIGHT),
        ("*)(uid=*))(|(uid=*", RIGHT),
        ("alice\\2a", RIGHT),
        (f"uid=alice,{PEOPLE}", RIGHT),
        ("alice,ou=people", RIGHT),
        ("x" * 256, RIGHT),
        ("alice", "x" * 1024),
    ],
)
def test_whatever_is_wrong_has_one_answer(gateway: Gateway, username: str, password: str) -> None:
    with pytest.raises(Refusal) as refusal:
        sign_in(gateway, username, password, RoleArn=arn("engineers"))
    assert (refusal.value.status, refusal.value.code) == (403, "IDPRejectedClaim")
    assert refusal.value.message == "The user name, the password or the one-time code is not valid."


def test_odd_names_work(gateway: Gateway) -> None:
    found = sign_in(gateway, "odd(name)*\\x", RoleArn=arn("engineers"), RoleSessionName="odd")
    assert found["Arn"].endswith("engineers/odd")
    with pytest.raises(Refusal, match="400 ValidationError RoleSessionName is required"):
        sign_in(gateway, "odd(name)*\\x", RoleArn=arn("engineers"))


def test_groups_allow_and_deny(gateway: Gateway) -> None:
    assert sign_in(gateway, "user0", "password0", RoleArn=arn("not-developers"))["Arn"].endswith("/user0")
    with pytest.raises(Refusal, match="403 AccessDenied"):
        sign_in(gateway, "alice", RoleArn=arn("not-developers"))
    with pytest.raises(Refusal, match="403 AccessDenied"):
        sign_in(gateway, "bob", RoleArn=arn("engineers"))


def test_a_trust_policy_binds_the_session_to_the_user(gateway: Gateway) -> None:
    role = arn("under-own-name")
    assert sign_in(gateway, "user7", "password7", RoleArn=role)["Arn"].endswith("/user7")
    assert sign_in(gateway, "user7", "password7", RoleArn=role, SourceIdentity="user7")["SourceIdentity"] == "user7"
    for other in ({"RoleSessionName": "alice"}, {"SourceIdentity": "alice"}):
        with pytest.raises(Refusal, match="403 AccessDenied"):
            sign_in(gateway, "user7", "password7", RoleArn=role, **other)


def test_mapped_attributes_are_session_tags_that_nobody_overrides(gateway: Gateway) -> None:
    found = sign_in(gateway, "alice", RoleArn=arn("department"))
    tags = _claims(found["SessionToken"])["principal_tags"]
    assert tags == {"Department": "42"}
    for name, password in (("alice", RIGHT), ("user1", "password1")):  # user1 has no departmentNumber
        with pytest.raises(Refusal, match="400 InvalidParameterValue The session tag depArtment is the directory's"):
            sign_in(
                gateway,
                name,
                password,
                RoleArn=arn("department"),
                **{"Tags.member.1.Key": "depArtment", "Tags.member.1.Value": "42"},
            )
    with pytest.raises(Refusal, match="403 AccessDenied"):
        sign_in(gateway, "bob", RoleArn=arn("department"))
    more = sign_in(
        gateway,
        "alice",
        RoleArn=arn("department"),
        SourceIdentity="alice",
        **{"Tags.member.1.Key": "team", "Tags.member.1.Value": "web", "TransitiveTagKeys.member.1": "team"},
    )
    assert more["SourceIdentity"] == "alice"
    assert int(more["PackedPolicySize"]) >= 1
    assert _claims(more["SessionToken"])["principal_tags"] == {"Department": "42", "team": "web"}


def test_a_password_goes_to_one_provider_only(directory: Slapd, tmp_path: Path) -> None:
    unreachable = provider(directory, "other", Urls=["ldap://127.0.0.1:1"], TimeoutSeconds=1)
    write_configuration(tmp_path, {"dev": account(provider(directory), unreachable)}, NO_LIMITS)
    with RedisServer(tmp_path / "redis") as server, running(Gateway(tmp_path, store=server.url)) as gateway:
        assert sign_in(gateway, "alice", RoleArn=arn("engineers"))["Arn"].endswith("/alice")
        for more in ({}, {"RoleArn": arn("two-providers")}, {"RoleArn": arn("no-provider")}, {"RoleArn": arn("none")}):
            with pytest.raises(Refusal, match="400 ValidationError ProviderArn is required"):
                sign_in(gateway, "alice", **more)
        assert sign_in(gateway, "alice", RoleArn=arn("two-providers"), ProviderArn=CORP)["Arn"].endswith("/alice")
        with pytest.raises(Refusal, match="400 ValidationError No LDAP provider found"):
            sign_in(gateway, "alice", ProviderArn=f"arn:aws:iam::{DEV}:ldap-provider/third")
        began = time.monotonic()
        with pytest.raises(Refusal) as down:
            sign_in(gateway, "alice", ProviderArn=CORP.replace("corp", "other"), RoleArn=arn("two-providers"))
        assert (down.value.status, down.value.code) == (400, "IDPCommunicationError")
        assert time.monotonic() - began < 5


def test_a_code_is_a_second_factor(gateway: Gateway) -> None:
    with pytest.raises(Refusal, match="403 AccessDenied Not authorized"):
        sign_in(gateway, "alice", RoleArn=arn("with-code"))
    found = sign_in(gateway, "alice", RoleArn=arn("with-code"), **factor("alice", steps=-1))
    assert found["Arn"].endswith("with-code/alice")
    assert "mfa_authenticated_at" not in _claims(found["SessionToken"])
    with pytest.raises(Refusal, match="403 AccessDenied Not authorized"):
        sign_in(gateway, "alice", RoleArn=arn("without-code"), **factor("alice", steps=0))
    assert sign_in(gateway, "alice", RoleArn=arn("without-code"))["Arn"].endswith("without-code/alice")
    assert sign_in(gateway, "alice@acme.test", RoleArn=arn("by-method"), **factor("alice", steps=1))


def test_wrong_used_and_others_codes_are_refused_alike(gateway: Gateway) -> None:
    user = {"username": "user3", "password": "password3"}
    used = factor("user3")
    with pytest.raises(Refusal, match="403 AccessDenied"):
        sign_in(gateway, "user3", "password3", RoleArn=arn("engineers"), **used)
    refused = [
        used,
        factor("user4"),
        {"SerialNumber": serial("user3"), "TokenCode": f"{(int(code('user3', steps=1)) + 1) % 10**6:06d}"},
        {"SerialNumber": serial("none"), "TokenCode": "123456"},
        {"SerialNumber": serial("person"), "TokenCode": code("person")},
    ]
    for shown in refused:
        with pytest.raises(Refusal) as refusal:
            sign_in(gateway, **user, RoleArn=arn("engineers"), **shown)
        assert str(refusal.value) == (
            "403 IDPRejectedClaim The user name, the password or the one-time code is not valid."
        )
    # The other's code was not used up by it.
    with pytest.raises(Refusal, match="AccessDenied"):
        sign_in(gateway, "user4", "password4", RoleArn=arn("engineers"), **factor("user4"))


def test_a_code_does_not_stand_in_for_a_password(gateway: Gateway) -> None:
    with pytest.raises(Refusal, match="403 IDPRejectedClaim"):
        sign_in(gateway, "bob", "wrong", RoleArn=arn("just-bob"), **factor("bob"))
    assert sign_in(gateway, "bob", RoleArn=arn("by-method"), **factor("bob"))


def test_one_of_the_two_alone_is_refused(gateway: Gateway) -> None:
    for shown in ({"SerialNumber": serial("bob")}, {"TokenCode": "123456"}):
        with pytest.raises(Refusal, match="403 AccessDenied MultiFactorAuthentication failed, must provide both"):
            sign_in(gateway, "bob", RoleArn=arn("just-bob"), **shown)


def test_what_is_asked_is_on_record_and_no_secret_is(gateway: Gateway) -> None:
    secret = "not-the-password-4711"
    with pytest.raises(Refusal):
        sign_in(gateway, "alice", secret, RoleArn=arn("engineers"))
    with pytest.raises(Refusal):
        sign_in(gateway, secret, secret, RoleArn=arn("engineers"))
    sign_in(gateway, "alice", RoleArn=arn("engineers"))
    wrong, unknown, right = gateway.audit[-3:]
    assert wrong["userIdentity"] == {"type": "LDAPUser", "userName": "alice", "identityProvider": CORP}
    assert (wrong["errorCode"], wrong["additionalEventData"]["reason"]) == ("IDPRejectedClaim", "password")
    assert unknown["userIdentity"] == {"type": "Unknown"}
    assert right["userIdentity"]["userName"] == "alice"
    assert right["userIdentity"]["principalId"].startswith(f"{CORP}:entryUUID:")
    assert right["responseElements"]["assumedRoleUser"]["arn"].endswith("engineers/alice")
    everything = gateway.log + json.dumps(gateway.audit)
    assert secret not in everything
    assert RIGHT not in everything


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims

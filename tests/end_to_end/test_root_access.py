"""AssumeRoot by an unmodified boto3: who may become root of which account, for which task, and what such a root may."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError

from broker.ids import account_of
from tests.end_to_end.administration import administer
from tests.end_to_end.federated_world import provider_arn
from tests.end_to_end.refusals import refused
from tests.end_to_end.resource_world import ask, signed
from tests.end_to_end.root_world import (
    ACCOUNTS,
    ADMIN,
    AUDIT,
    AUDITOR,
    BOUNDED,
    CAPPED,
    CHIEF,
    DENIED,
    DEV_ONLY,
    MANAGEMENT,
    NOBODY,
    ON_CALL,
    OPERATOR,
    OUTSIDER,
    SETTINGS,
    STORAGE,
    TASKS,
    UNLOCK_BUCKET,
    UNLOCK_QUEUE,
    root_arn,
    with_issuer,
)
from tests.end_to_end.world import DEV, PROD, allow, deny, document, role_arn
from tests.fakes.issuer import FakeIssuer
from tests.gateway import SOJOURN, Gateway, clean_environment, running, write_configuration
from tests.waiting import until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("root-access")
    write_configuration(directory, with_issuer(issuer.url), SETTINGS)
    with running(Gateway(directory)) as gateway:
        yield gateway


def assume_root(
    gateway: Gateway, keys: Any = CHIEF, target: str = PROD, task: str = AUDIT, **parameters: Any
) -> dict[str, Any]:
    client = gateway.client(credentials=keys)
    answer: dict[str, Any] = client.assume_root(TargetPrincipal=target, TaskPolicyArn={"arn": task}, **parameters)
    return answer


def operator(gateway: Gateway, **parameters: Any) -> Any:
    """Credentials of a role of the management account."""
    client = gateway.client(credentials=CHIEF)
    return client.assume_role(RoleArn=OPERATOR, RoleSessionName="duty", **parameters)["Credentials"]


def test_the_credentials_are_those_of_the_root_user(gateway: Gateway) -> None:
    answer = assume_root(gateway)
    credentials = answer["Credentials"]
    assert "SourceIdentity" not in answer
    assert account_of(credentials["AccessKeyId"]) == PROD
    assert 660 < (credentials["Expiration"] - datetime.now(UTC)).total_seconds() <= 900
    identity = gateway.client(credentials=credentials).get_caller_identity()
    assert (identity["Arn"], identity["UserId"], identity["Account"]) == (root_arn(), PROD, PROD)
    claims = jwt.decode(credentials["SessionToken"], options={"verify_signature": False})
    assert claims.items() >= {"sub": root_arn(), "account": PROD, "use": "sigv4", "principal_tags": {}}.items()


@pytest.mark.parametrize("target", [DEV, root_arn(DEV)])
def test_the_target_is_an_account_or_its_root(gateway: Gateway, target: str) -> None:
    credentials = assume_root(gateway, target=target)["Credentials"]
    assert gateway.client(credentials=credentials).get_caller_identity()["Arn"] == root_arn(DEV)


@pytest.mark.parametrize(
    "target",
    [
        "11112222333",
        "1111222233333",
        "１" * 12,
        "dev-account-of-acme",
        f"arn:aws:iam::{DEV}:user/root",
        f"arn:aws:iam::{DEV}:root/",
        f"arn:aws:sts::{DEV}:root",
        f"arn:aws-cn:iam::{DEV}:root",
        f"arn:aws:iam:us-east-1:{DEV}:root",
        "arn:aws:iam::*:root",
        f"{root_arn(DEV)}\n",
    ],
)
def test_no_other_target_is_understood(gateway: Gateway, target: str) -> None:
    with refused("ValidationError", "argetPrincipal"):
        assume_root(gateway, target=target)


@pytest.mark.parametrize(
    "task",
    [
        "IAMAuditRootUserCredentials",
        "IAMCreateRootUserPassword",
        "IAMDeleteRootUserCredentials",
        "S3UnlockBucketPolicy",
        "SQSUnlockQueuePolicy",
    ],
)
def test_each_task_of_aws_is_known(gateway: Gateway, task: str) -> None:
    assert assume_root(gateway, task=TASKS + task)["Credentials"]


@pytest.mark.parametrize(
    "task",
    [
        "arn:aws:iam::aws:policy/AdministratorAccess",
        TASKS + "Everything",
        AUDIT.lower(),
        AUDIT.replace("arn:aws:", "arn:aws-cn:"),
        f"arn:aws:iam::{MANAGEMENT}:policy/no-roots",
    ],
)
def test_any_other_policy_is_no_task(gateway: Gateway, task: str) -> None:
    with refused("ValidationError", "TaskPolicyArn must be one of .*S3UnlockBucketPolicy"):
        assume_root(gateway, task=task)


def test_a_task_is_needed_and_nothing_else_is_taken(gateway: Gateway) -> None:
    client = gateway.client(credentials=CHIEF)
    with refused("ValidationError", "taskPolicyArn"):
        client.assume_root(TargetPrincipal=PROD)
    with refused("ValidationError", "taskPolicyArn.arn"):
        client.assume_root(TargetPrincipal=PROD, TaskPolicyArn={"arn": ""})
    with refused("ValidationError", "'MinimumSessionTokenSize' is not one that this action takes"):
        assume_root(gateway, MinimumSessionTokenSize=1000)


def test_a_task_is_no_policy_of_other_sessions(gateway: Gateway) -> None:
    with refused("ValidationError", "does not exist or is not attachable"):
        operator(gateway, PolicyArns=[{"arn": AUDIT}])


class TestDuration:
    @pytest.mark.parametrize("seconds", [900, 60])
    def test_up_to_a_quarter_of_an_hour(self, gateway: Gateway, seconds: int) -> None:
        expiration = assume_root(gateway, DurationSeconds=seconds)["Credentials"]["Expiration"]
        assert seconds - 59 < (expiration - datetime.now(UTC)).total_seconds() <= seconds

    @pytest.mark.parametrize("seconds", [-1, 901])
    def test_no_longer_and_not_negative(self, gateway: Gateway, seconds: int) -> None:
        with refused("ValidationError", "durationSeconds"):
            assume_root(gateway, DurationSeconds=seconds)

    def test_none_at_all_is_over_when_it_begins(self, gateway: Gateway) -> None:
        credentials = assume_root(gateway, DurationSeconds=0)["Credentials"]
        with refused("ExpiredToken"):
            gateway.client(credentials=credentials).get_caller_identity()


class TestWhoMay:
    def test_principals_whose_policies_allow_the_root(self, gateway: Gateway) -> None:
        assume_root(gateway, DEV_ONLY, DEV)
        with refused("AccessDenied", f"not authorized to perform: sts:AssumeRoot on resource: {root_arn()}"):
            assume_root(gateway, DEV_ONLY)
        with refused("AccessDenied"):
            assume_root(gateway, NOBODY)

    def test_a_policy_may_allow_some_tasks(self, gateway: Gateway) -> None:
        assume_root(gateway, AUDITOR, task=AUDIT)
        with refused("AccessDenied"):
            assume_root(gateway, AUDITOR, task=UNLOCK_BUCKET)

    def test_an_explicit_deny_wins(self, gateway: Gateway) -> None:
        assume_root(gateway, DENIED, DEV)
        with refused("AccessDenied"):
            assume_root(gateway, DENIED, PROD)

    def test_a_boundary_limits(self, gateway: Gateway) -> None:
        with refused("AccessDenied"):
            assume_root(gateway, BOUNDED)

    def test_a_session_policy_limits_a_role(self, gateway: Gateway) -> None:
        assume_root(gateway, operator(gateway))
        narrow = operator(gateway, Policy=json.dumps(document(allow("sts:AssumeRoot", root_arn(DEV)))))
        assume_root(gateway, narrow, DEV)
        with refused("AccessDenied"):
            assume_root(gateway, narrow, PROD)

    @pytest.mark.parametrize("target", [DEV, PROD, MANAGEMENT])
    def test_nobody_outside_the_management_account(self, gateway: Gateway, target: str) -> None:
        with refused("AccessDenied", "not authorized to perform: sts:AssumeRoot"):
            assume_root(gateway, OUTSIDER, target)

    def test_not_the_management_account_itself(self, gateway: Gateway) -> None:
        with refused("AccessDenied"):
            assume_root(gateway, target=MANAGEMENT)

    def test_a_resource_control_policy_of_the_target_limits(self, gateway: Gateway) -> None:
        with refused("AccessDenied"):
            assume_root(gateway, target=CAPPED)

    def test_an_account_that_does_not_exist_is_refused_like_one_that_refuses(self, gateway: Gateway) -> None:
        texts = []
        for account in (CAPPED, "123456789012"):
            with pytest.raises(ClientError) as error:
                assume_root(gateway, target=account)
            text = error.value.response["Error"]["Message"].replace(account, "ACCOUNT")
            texts.append(text.partition(" Encoded authorization failure message: "))
        assert texts[0][0] == texts[1][0]
        assert texts[0][1] == texts[1][1] != ""

    def test_sessions_of_users_federated_users_and_roots_may_not(self, gateway: Gateway) -> None:
        client = gateway.client(credentials=CHIEF)
        everything = json.dumps(document(allow("*", "*")))
        for credentials in (
            client.get_session_token()["Credentials"],
            client.get_federation_token(Name="fed", Policy=everything)["Credentials"],
            assume_root(gateway)["Credentials"],
        ):
            with refused("AccessDenied", "sts:AssumeRoot with credentials of this kind"):
                assume_root(gateway, credentials, DEV)

    def test_a_refusal_can_be_explained(self, gateway: Gateway) -> None:
        with refused("AccessDenied"):
            assume_root(gateway, OUTSIDER, DEV)
        statements = gateway.audit[-1]["additionalEventData"]["authorization"]["statements"]
        assert [each["policy"] for each in statements if not each["matched"]] == ["organization.management_account"]


class TestWhatARootSessionMay:
    def test_the_audit_looks_at_the_root_user_alone(self, gateway: Gateway) -> None:
        iam = gateway.client("iam", assume_root(gateway)["Credentials"])
        assert iam.get_user()["User"].items() >= {"Arn": root_arn(), "UserId": PROD}.items()
        assert iam.list_mfa_devices()["MFADevices"] == []
        for call in (
            lambda: iam.get_user(UserName="admin"),
            lambda: iam.list_mfa_devices(UserName="admin"),
            iam.list_users,
            iam.list_roles,
        ):
            with refused("AccessDenied"):
                call()

    def test_another_task_looks_at_nothing(self, gateway: Gateway) -> None:
        iam = gateway.client("iam", assume_root(gateway, task=UNLOCK_BUCKET)["Credentials"])
        with refused("AccessDenied", "iam:GetUser on resource"):
            iam.get_user()

    def test_no_way_leads_on_from_it(self, gateway: Gateway) -> None:
        root = gateway.client(credentials=assume_root(gateway)["Credentials"])
        for call in (
            lambda: root.assume_role(RoleArn=role_arn("open"), RoleSessionName="test"),
            root.get_session_token,
            lambda: root.get_federation_token(Name="fed"),
            lambda: root.get_web_identity_token(Audience=["https://acme.test"], SigningAlgorithm="RS256"),
            lambda: root.get_access_key_info(AccessKeyId=CHIEF["AccessKeyId"]),
        ):
            with refused("AccessDenied"):
                call()


class TestResourceServers:
    """What `POST /authorize` says of root sessions."""

    BUCKET = "arn:aws:s3:::locked"
    QUEUE = f"arn:aws:sqs:us-east-1:{PROD}:jobs"

    @pytest.fixture
    def decision(self, gateway: Gateway) -> Callable[..., Any]:
        def decide(task: str, action: str, resource: str, **more: Any) -> Any:
            credentials = assume_root(gateway, task=task)["Credentials"]
            question = {
                "request": signed(credentials, "PUT", "http://s3.internal/locked?policy"),
                "action": action,
                "resource": resource,
                "resource_account": PROD,
            }
            status, answer = ask(gateway, STORAGE, question | more)
            assert status == 200, answer
            return answer

        return decide

    def test_the_task_and_nothing_else(self, decision: Callable[..., Any]) -> None:
        answer = decision(UNLOCK_BUCKET, "s3:PutBucketPolicy", self.BUCKET)
        assert answer["decision"] == "allow"
        assert answer["principal"].items() >= {"arn": root_arn(), "account": PROD, "user_id": PROD}.items()
        everybody = document(allow("s3:*", "*", principal="*"))
        for action in ("s3:GetObject", "s3:DeleteBucket", "sqs:SetQueueAttributes", "iam:CreateLoginProfile"):
            answer = decision(UNLOCK_BUCKET, action, self.BUCKET, resource_policy=everybody)
            assert answer["decision"] == "explicitDeny", action
        assert decision(AUDIT, "s3:PutBucketPolicy", self.BUCKET)["decision"] == "explicitDeny"

    def test_queues_of_the_account_alone(self, decision: Callable[..., Any]) -> None:
        assert decision(UNLOCK_QUEUE, "sqs:SetQueueAttributes", self.QUEUE)["decision"] == "allow"
        foreign = document(allow("sqs:*", "*", principal="*"))
        answer = decision(
            UNLOCK_QUEUE, "sqs:SetQueueAttributes", self.QUEUE, resource_account=DEV, resource_policy=foreign
        )
        assert answer["decision"] == "explicitDeny"

    def test_service_control_policies_of_the_target_reach_it(self, decision: Callable[..., Any]) -> None:
        assert decision(UNLOCK_BUCKET, "s3:DeleteBucketPolicy", "arn:aws:s3:::sealed")["decision"] == "explicitDeny"

    def test_policies_tell_it_from_the_root_user(self, decision: Callable[..., Any]) -> None:
        tasks_only = {"Bool": {"aws:AssumedRoot": "true"}}
        policy = document(deny("s3:PutBucketPolicy", self.BUCKET, principal="*", condition=tasks_only))
        answer = decision(UNLOCK_BUCKET, "s3:PutBucketPolicy", self.BUCKET, resource_policy=policy)
        assert answer["decision"] == "explicitDeny"

    def test_nobody_else_can_be_given_out_for_it(self, gateway: Gateway) -> None:
        question = {
            "request": signed(OUTSIDER, "GET", "http://s3.internal/locked"),
            "action": "s3:GetBucketPolicy",
            "resource": self.BUCKET,
            "context": {"aws:AssumedRoot": ["true"]},
        }
        status, answer = ask(gateway, STORAGE, question)
        assert (status, answer["error"]["code"]) == (400, "ValidationError")


def test_a_source_identity_is_carried_on(gateway: Gateway) -> None:
    answer = assume_root(gateway, operator(gateway, SourceIdentity="chief-1"))
    assert answer["SourceIdentity"] == "chief-1"
    claims = jwt.decode(answer["Credentials"]["SessionToken"], options={"verify_signature": False})
    assert claims["source_identity"] == "chief-1"


def test_it_is_on_record(gateway: Gateway) -> None:
    credentials = assume_root(gateway, operator(gateway, SourceIdentity="chief-2"), DurationSeconds=300)["Credentials"]
    minted = gateway.audit[-1]
    assert (minted["eventName"], minted["recipientAccountId"]) == ("AssumeRoot", MANAGEMENT)
    assert minted["requestParameters"] == {
        "targetPrincipal": PROD,
        "taskPolicyArn.arn": AUDIT,
        "durationSeconds": "300",
    }
    assert minted["responseElements"]["credentials"]["accessKeyId"] == credentials["AccessKeyId"]
    assert minted["responseElements"]["sourceIdentity"] == "chief-2"
    gateway.client(credentials=credentials).get_caller_identity()
    used = gateway.audit[-1]
    assert used["recipientAccountId"] == PROD
    creation = used["userIdentity"]["sessionContext"]["attributes"].pop("creationDate")
    assert abs(datetime.fromisoformat(creation) - datetime.now(UTC)).total_seconds() < 240
    assert used["userIdentity"] == {
        "type": "Root",
        "principalId": PROD,
        "arn": root_arn(),
        "accountId": PROD,
        "accessKeyId": credentials["AccessKeyId"],
        "sessionContext": {
            "attributes": {"mfaAuthenticated": "false"},
            "assumedRoot": "true",
            "sourceIdentity": "chief-2",
        },
    }
    assert credentials["SecretAccessKey"] not in json.dumps(gateway.audit)


def test_it_is_seen_and_ended_like_any_session(gateway: Gateway) -> None:
    chief = f"arn:aws:iam::{MANAGEMENT}:user/chief"
    ours = assume_root(gateway, operator(gateway), DEV)["Credentials"]
    theirs = assume_root(gateway, AUDITOR, DEV)["Credentials"]
    by_arn = administer(gateway, CHIEF, "ListSessions", SessionArn=root_arn(DEV))["Sessions"]
    assert {ours["AccessKeyId"], theirs["AccessKeyId"]} <= {each["AccessKeyId"] for each in by_arn}
    (listed,) = (each for each in by_arn if each["AccessKeyId"] == ours["AccessKeyId"])
    expected = {"Kind": "root", "PrincipalArn": root_arn(DEV), "OriginArn": chief, "AccountId": DEV, "UserId": DEV}
    assert listed.items() >= expected.items()
    prods = administer(gateway, ADMIN, "ListSessions")["Sessions"]
    assert {each["AccountId"] for each in prods} == {PROD}

    assert administer(gateway, CHIEF, "RevokeSessions", SessionArn=root_arn(DEV), UserArn=chief)["Revoked"] >= 1
    with refused("InvalidClientTokenId"):
        gateway.client(credentials=ours).get_caller_identity()
    gateway.client(credentials=theirs).get_caller_identity()


def test_it_ends_with_the_identity_that_it_goes_back_to(gateway: Gateway, issuer: FakeIssuer) -> None:
    role_session = gateway.client().assume_role_with_web_identity(
        RoleArn=ON_CALL, RoleSessionName="night", WebIdentityToken=issuer.token()
    )
    credentials = assume_root(gateway, role_session["Credentials"])["Credentials"]
    provider = provider_arn(issuer.url, MANAGEMENT)
    listed = administer(gateway, CHIEF, "ListSessions", ProviderArn=provider)["Sessions"]
    assert {each["SessionArn"] for each in listed} >= {root_arn()}
    assert administer(gateway, CHIEF, "RevokeSessions", ProviderArn=provider)["Revoked"] == 2
    with refused("InvalidClientTokenId"):
        gateway.client(credentials=credentials).get_caller_identity()


def test_a_root_session_administers_nothing(gateway: Gateway) -> None:
    credentials = assume_root(gateway)["Credentials"]
    with pytest.raises(Exception, match="AccessDenied"):
        administer(gateway, credentials, "ListSessions")


def eventually(call: Callable[[], Any], code: str | None) -> None:
    """Wait until the call fails with this code, or succeeds."""

    def so() -> bool:
        try:
            call()
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == code)
        return code is None

    until(so)


def test_it_ends_with_its_account_and_begins_with_the_organization(tmp_path: Path) -> None:
    write_configuration(tmp_path, ACCOUNTS, SETTINGS)
    with running(Gateway(tmp_path)) as gateway:
        root = gateway.client(credentials=assume_root(gateway)["Credentials"])

        def reload(accounts: dict[str, Any], settings: dict[str, Any]) -> None:
            for path in (tmp_path / "accounts").iterdir():
                path.unlink()
            write_configuration(tmp_path, accounts, settings)
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGHUP)

        reload({name: account for name, account in ACCOUNTS.items() if name != "prod"}, SETTINGS)
        eventually(root.get_caller_identity, "InvalidClientTokenId")
        reload(ACCOUNTS, SETTINGS)
        eventually(root.get_caller_identity, None)
        reload(ACCOUNTS, SETTINGS | {"organization": {}})
        eventually(lambda: assume_root(gateway), "AccessDenied")


class TestSimulated:
    """`sojourn simulate` says the same, of the configuration alone."""

    @pytest.mark.parametrize(
        ("principal", "account", "task", "allowed"),
        [
            ("user/chief", PROD, AUDIT, True),
            ("user/chief", MANAGEMENT, AUDIT, False),
            ("user/chief", CAPPED, AUDIT, False),
            ("user/chief", "123456789012", AUDIT, False),
            ("user/auditor", PROD, AUDIT, True),
            ("user/auditor", PROD, UNLOCK_BUCKET, False),
            ("user/nobody", PROD, AUDIT, False),
            ("role/operator", DEV, AUDIT, True),
            ("root", DEV, AUDIT, False),
        ],
    )
    def test_of_the_management_account(
        self, gateway: Gateway, principal: str, account: str, task: str, allowed: bool
    ) -> None:
        assert self.simulated(gateway, f"arn:aws:iam::{MANAGEMENT}:{principal}", root_arn(account), task) is allowed

    def test_of_another_account(self, gateway: Gateway) -> None:
        outsider = f"arn:aws:iam::{DEV}:user/outsider"
        for target in (root_arn(PROD), root_arn(DEV), "*"):
            assert not self.simulated(gateway, outsider, target, AUDIT)

    @staticmethod
    def simulated(gateway: Gateway, principal: str, resource: str, task: str) -> bool:
        words = ["simulate", "--config", str(gateway.directory), "--principal", principal]
        words += ["--action", "sts:AssumeRoot", "--resource", resource, "--context", f"sts:TaskPolicyArn={task}"]
        done = subprocess.run([SOJOURN, *words], capture_output=True, text=True, timeout=120, env=clean_environment())
        assert done.returncode in (0, 1), done.stderr
        return done.returncode == 0

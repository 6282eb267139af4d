"""The example policies of AWS's documentation parse, compile and decide; each folder is a kind of document."""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.policy import Kind, parse, parse_value
from tests.policy.asking import ask
from tests.policy.reference import Question
from tests.policy.suite import principals

FOLDER = Path(__file__).parent / "documents"
DOCUMENTS = sorted(FOLDER.glob("*/*.json"))

ACCOUNT = "111122223333"
GITHUB = "token.actions.githubusercontent.com"


def document(name: str) -> dict[str, Any]:
    """The decoded document `kind/name`."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return content


def verdict(caller: str, action: str, resource: str = "*", **given: Any) -> str:
    return ask(Question(principals()[caller], action, resource, ACCOUNT, **given)).verdict.value


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_policy_parses_from_text_and_from_a_value_alike(path: Path) -> None:
    text, kind = path.read_text("utf-8"), Kind(path.parent.name)
    first, second = parse(text, kind), parse_value(json.loads(text), kind)
    assert [statement.actions for statement in first.statements] == [s.actions for s in second.statements]
    assert len(first.statements) == len(json.loads(text)["Statement"])


def test_every_kind_has_examples() -> None:
    assert {path.parent.name for path in DOCUMENTS} == {kind.value for kind in Kind}
    assert len(DOCUMENTS) >= 40


def test_a_user_reaches_the_own_home_folder_only() -> None:
    policy = [document("identity/s3-home-folders")]
    single = {"aws:username": "alice"}
    own, other = (f"arn:aws:s3:::home/home/{name}/x" for name in ("alice", "bob"))
    assert verdict("alice", "s3:GetObject", own, identity=policy, single=single) == "allowed"
    assert verdict("alice", "s3:GetObject", other, identity=policy, single=single) == "implicitDeny"
    listing = single | {"s3:prefix": "home/bob/"}
    assert verdict("alice", "s3:ListBucket", "arn:aws:s3:::home", identity=policy, single=listing) == "implicitDeny"


def test_without_mfa_only_its_set_up_is_left() -> None:
    policies = [document("identity/administrator-access"), document("identity/deny-all-without-mfa")]
    assert verdict("alice", "s3:ListAllMyBuckets", identity=policies) == "explicitDeny"
    assert verdict("alice", "iam:ListVirtualMFADevices", identity=policies) == "allowed"
    with_mfa = {"aws:MultiFactorAuthPresent": "true"}
    assert verdict("deploy", "s3:ListAllMyBuckets", identity=policies, single=with_mfa) == "allowed"


def test_a_power_user_manages_no_identities() -> None:
    policy = [document("identity/power-user-access")]
    assert verdict("alice", "ec2:RunInstances", identity=policy) == "allowed"
    assert verdict("alice", "iam:CreateUser", identity=policy) == "implicitDeny"
    assert verdict("alice", "iam:ListRoles", identity=policy) == "allowed"


def test_a_region_is_denied_save_to_the_excepted_role_and_to_global_services() -> None:
    levels = [[document("scp/full-aws-access"), document("scp/region-deny")]]
    admin = [document("identity/administrator-access")]
    far = {"aws:RequestedRegion": "us-east-1", "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/deploy"}
    assert verdict("deploy", "ec2:RunInstances", identity=admin, scps=levels, single=far) == "explicitDeny"
    assert verdict("deploy", "iam:ListRoles", identity=admin, scps=levels, single=far) == "allowed"
    excepted = far | {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/Role1AllowedToBypassThisSCP"}
    assert verdict("deploy", "ec2:RunInstances", identity=admin, scps=levels, single=excepted) == "allowed"


@pytest.mark.parametrize(
    ("subject", "audience", "expected"),
    [
        ("repo:octo-org/octo-repo:ref:refs/heads/main", "sts.amazonaws.com", "allowed"),
        ("repo:octo-org/octo-repo:pull_request", "sts.amazonaws.com", "allowed"),
        ("repo:octo-org/other:ref:refs/heads/main", "sts.amazonaws.com", "implicitDeny"),
        ("repo:octo-org/octo-repo:ref:refs/heads/main", "other", "implicitDeny"),
    ],
)
def test_a_workflow_gets_in_by_subject_and_audience(subject: str, audience: str, expected: str) -> None:
    single = {f"{GITHUB}:sub": subject, f"{GITHUB}:aud": audience}
    role = f"arn:aws:iam::{ACCOUNT}:role/deploy"
    trust = document("trust/github")
    assert verdict("github", "sts:AssumeRoleWithWebIdentity", role, trust=trust, single=single) == expected

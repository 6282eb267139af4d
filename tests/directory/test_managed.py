"""AWS-managed policies that exist without being declared."""

import pytest

from broker.directory.managed import built_in, root_tasks
from broker.policy import Kind, Policies, Principal, PrincipalKind, Request, RequestContext, Verdict, decide

ROOT_ARN = "arn:aws:iam::111122223333:root"
ROOT = Principal(PrincipalKind.ROOT, ROOT_ARN, "111122223333")
USER = Principal(PrincipalKind.USER, "arn:aws:iam::111122223333:user/alice", "111122223333")
POLICY = "arn:aws:iam::aws:policy/"
FUNCTION = "arn:aws:iam::aws:policy/job-function/"
TASK = "arn:aws:iam::aws:policy/root-task/"


@pytest.mark.parametrize(
    ("arn", "allowed", "refused"),
    [
        (POLICY + "AdministratorAccess", ["iam:CreateUser", "s3:PutObject"], []),
        (POLICY + "PowerUserAccess", ["s3:PutObject", "iam:ListRoles"], ["iam:CreateUser", "organizations:LeaveOrg"]),
        (
            POLICY + "ReadOnlyAccess",
            ["s3:GetObject", "iam:GetRole", "ec2:DescribeInstances"],
            ["s3:PutObject", "iam:PassRole", "sts:AssumeRole", "secretsmanager:GetSecretValue", "kms:Decrypt"],
        ),
        (
            POLICY + "SecurityAudit",
            ["iam:ListUsers", "s3:GetBucketPolicy", "cloudtrail:DescribeTrails"],
            ["s3:GetObject", "dynamodb:GetItem", "iam:CreateUser"],
        ),
        (FUNCTION + "Billing", ["ce:GetCostAndUsage", "aws-portal:ViewBilling"], ["ec2:RunInstances"]),
        (FUNCTION + "DatabaseAdministrator", ["rds:CreateDBInstance"], ["iam:PassRole", "ec2:RunInstances"]),
        (FUNCTION + "DataScientist", ["sagemaker:CreateModel"], ["ec2:RunInstances", "iam:PassRole"]),
        (FUNCTION + "NetworkAdministrator", ["ec2:CreateVpc"], ["ec2:RunInstances", "iam:CreateRole"]),
        (FUNCTION + "SupportUser", ["support:CreateCase", "ec2:DescribeInstances"], ["s3:GetObject"]),
        (FUNCTION + "SystemAdministrator", ["ec2:RunInstances"], ["iam:CreateUser", "iam:PassRole"]),
        (FUNCTION + "ViewOnlyAccess", ["ec2:DescribeInstances", "s3:ListBucket"], ["s3:GetObject", "dynamodb:GetItem"]),
    ],
)
def test_a_policy_allows_what_its_name_says(arn: str, allowed: list[str], refused: list[str]) -> None:
    policy = built_in("aws")[arn].policy
    context = RequestContext({"aws:PrincipalArn": USER.arn}, {})
    for action in allowed + refused:
        decision = decide(Request(USER, action, "*", context), Policies(identity=[policy]))
        assert decision.allowed is (action in allowed), action


def test_they_are_named_and_numbered_as_aws_does() -> None:
    policies = built_in("aws-us-gov")
    assert len(policies) == 11
    for arn, policy in policies.items():
        assert arn == f"arn:aws-us-gov:iam::aws:policy{policy.path}{policy.name}"
        assert policy.policy.name == arn
        assert policy.policy.kind is Kind.IDENTITY
        assert policy.unique_id.startswith("ANPA")
        assert "arn:aws:" not in policy.text


@pytest.mark.parametrize(
    ("task", "allowed"),
    [
        ("IAMAuditRootUserCredentials", {"iam:GetUser", "iam:ListAccessKeys", "iam:GetAccountSummary"}),
        ("IAMCreateRootUserPassword", {"iam:CreateLoginProfile"}),
        ("IAMDeleteRootUserCredentials", {"iam:DeleteAccessKey", "iam:GetUser", "iam:ListAccessKeys"}),
        ("S3UnlockBucketPolicy", {"s3:PutBucketPolicy"}),
        ("SQSUnlockQueuePolicy", {"sqs:SetQueueAttributes", "sqs:ListQueues"}),
    ],
)
def test_a_root_task_allows_itself_and_denies_all_else(task: str, allowed: set[str]) -> None:
    policies = Policies(session=[root_tasks("aws")[TASK + task].policy])
    context = RequestContext({"aws:PrincipalAccount": ROOT.account, "aws:ResourceAccount": ROOT.account})
    others = {"s3:GetObject", "s3:PutBucketPolicy", "sqs:SetQueueAttributes", "iam:CreateUser", "iam:GetUser"}
    for action in allowed | others | {"sts:AssumeRole"}:
        resource = "*" if action == "iam:GetAccountSummary" else ROOT_ARN
        verdict = decide(Request(ROOT, action, resource, context), policies).verdict
        assert verdict is (Verdict.ALLOWED if action in allowed else Verdict.EXPLICIT_DENY), action
    for action in (each for each in allowed if each.startswith("iam:") and each != "iam:GetAccountSummary"):
        alice = Request(ROOT, action, "arn:aws:iam::111122223333:user/alice", context)
        assert not decide(alice, policies).allowed, action


def test_root_tasks_are_none_of_the_attachable_policies() -> None:
    tasks = root_tasks("aws-cn")
    assert len(tasks) == 5
    assert not tasks.keys() & built_in("aws-cn").keys()
    for arn, policy in tasks.items():
        assert arn == f"arn:aws-cn:iam::aws:policy/root-task/{policy.name}"
        assert "arn:aws:" not in policy.text

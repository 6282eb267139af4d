"""`sojourn github-trust`: what it writes is valid, free of findings, and as tight as it was asked to be."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from broker.cli import sojourn
from broker.policy import Kind, parse
from broker.policy.lint import lint

ACCOUNT = "444455556666"
HOST = "token.actions.githubusercontent.com"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(sojourn, ["github-trust", *arguments])


def statement(*arguments: str) -> Any:
    result = run("--account", ACCOUNT, *arguments)
    assert result.exit_code == 0, result.output
    (only,) = json.loads(result.stdout)["Statement"]
    return only


@pytest.mark.parametrize(
    "arguments",
    [
        ["--repo", "acme/app"],
        ["--repo", "acme/app", "--environment", "production"],
        ["--repo", "acme/app", "--ref", "release/*"],
        ["--repo", "acme/app", "--ref", "refs/tags/v*", "--environment", "production"],
        ["--repo", "acme/app", "--workflow", "deploy.yml"],
        ["--repo", "acme/app", "--workflow", "acme/shared/.github/workflows/deploy.yml@refs/tags/v1"],
        ["--repo", "acme/app", "--repo-id", "74", "--owner-id", "65"],
        ["--repo", "acme/app", "--account", "111122223333", "--tags"],
    ],
)
def test_the_policy_is_valid_and_without_findings(arguments: list[str]) -> None:
    result = run("--account", ACCOUNT, *arguments)
    assert result.exit_code == 0
    policy = parse(result.stdout, Kind.TRUST, name="trust policy")
    assert [str(finding) for finding in lint(policy)] == []


def test_without_more_it_is_the_main_branch() -> None:
    found = statement("--repo", "acme/app")
    assert found["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}"}
    assert found["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert found["Condition"] == {
        "StringEquals": {
            f"{HOST}:aud": "sts.amazonaws.com",
            f"{HOST}:repository": "acme/app",
            f"{HOST}:ref": "refs/heads/main",
        },
        "StringNotEquals": {f"{HOST}:event_name": "pull_request_target"},
    }


def test_every_option_is_one_more_condition() -> None:
    condition = statement(
        *("--repo", "acme/app", "--environment", "production", "--ref", "refs/tags/v*", "--repo-id", "74"),
        *("--owner-id", "65", "--workflow", "deploy.yml", "--audience", "sojourn"),
    )["Condition"]
    assert condition == {
        "StringEquals": {
            f"{HOST}:aud": "sojourn",
            f"{HOST}:repository": "acme/app",
            f"{HOST}:repository_id": "74",
            f"{HOST}:repository_owner_id": "65",
            f"{HOST}:environment": "production",
        },
        "StringLike": {
            f"{HOST}:ref": "refs/tags/v*",
            f"{HOST}:job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/tags/v*",
        },
        "StringNotEquals": {f"{HOST}:event_name": "pull_request_target"},
    }


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        ("deploy.yml", "acme/app/.github/workflows/deploy.yml@refs/heads/main"),
        (".github/workflows/deploy.yml", "acme/app/.github/workflows/deploy.yml@refs/heads/main"),
        ("deploy.yml@refs/tags/v1", "acme/app/.github/workflows/deploy.yml@refs/tags/v1"),
        ("acme/shared/.github/workflows/d.yml@stable", "acme/shared/.github/workflows/d.yml@refs/heads/stable"),
    ],
)
def test_a_workflow_is_named_by_its_file_and_ref(workflow: str, expected: str) -> None:
    condition = statement("--repo", "acme/app", "--workflow", workflow)["Condition"]
    assert condition["StringEquals"][f"{HOST}:job_workflow_ref"] == expected


def test_several_accounts_share_one_policy() -> None:
    principal = statement("--repo", "acme/app", "--account", "111122223333")["Principal"]
    assert principal == {
        "Federated": [f"arn:aws:iam::{account}:oidc-provider/{HOST}" for account in (ACCOUNT, "111122223333")]
    }


def test_another_issuer() -> None:
    found = statement("--repo", "acme/app", "--issuer", "https://ghes.acme.test/_services/token")
    assert found["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/ghes.acme.test/_services/token"}
    assert "ghes.acme.test/_services/token:aud" in found["Condition"]["StringEquals"]


def test_without_an_account_the_policy_is_an_example_and_says_so() -> None:
    result = run("--repo", "acme/app")
    assert result.exit_code == 0
    assert "no --account given" in result.stderr
    json.loads(result.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--repo", "acme"],
        ["--repo", "acme/*"],
        ["--repo", "acme/app/x"],
        ["--repo", "acme/${aws:userid}"],
        ["--repo", "acme/app", "--environment", "${aws:userid}"],
        ["--repo", "acme/app", "--environment", ""],
        ["--repo", "acme/app", "--ref", "${aws:userid}"],
        ["--repo", "acme/app", "--workflow", "a b"],
        ["--repo", "acme/app", "--repo-id", "x"],
        ["--repo", "acme/app", "--account", "1234"],
        ["--repo", "acme/app", "--issuer", "ftp://x"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""

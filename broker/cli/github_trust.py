"""`sojourn github-trust`: the tightest trust policy for a workflow of GitHub Actions (GitHub Docs, OpenID Connect)."""

import json
import re
from typing import Any

import click

from broker.arn import is_account_id

ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
_EXAMPLE_ACCOUNT = "111122223333"
_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?/[A-Za-z0-9._-]{1,100}")
_NUMBER = re.compile(r"[0-9]{1,20}")
# Without the dollar sign, which begins a policy variable.
_REF = re.compile(r"[!-#%-~]{1,255}")
_ENVIRONMENT = re.compile(r"[^$\x00-\x1f\x7f]{1,255}")
_ISSUER = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*")


def _matching(form: re.Pattern[str], advice: str) -> Any:
    def check(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and form.fullmatch(value) is None:
            raise click.BadParameter(advice)
        return value

    return check


def _accounts(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(is_account_id(value) for value in values):
        raise click.BadParameter("an account is twelve digits")
    return values


@click.command(name="github-trust")
@click.option("--repo", required=True, callback=_matching(_REPOSITORY, "write ORGANISATION/NAME"), help="acme/app")
@click.option(
    "--environment",
    callback=_matching(_ENVIRONMENT, "a name has up to 255 characters and no $"),
    help="Only jobs of this environment.",
)
@click.option(
    "--ref",
    callback=_matching(_REF, "write a branch, or a ref as GitHub has it: refs/tags/v1"),
    help="Only this branch or ref; * matches any characters. Default without --environment: main.",
)
@click.option(
    "--workflow",
    callback=_matching(_REF, "write deploy.yml, or OWNER/REPO/.github/workflows/FILE@REF"),
    help="Only jobs that this workflow file defines; a reusable one as OWNER/REPO/.github/workflows/FILE@REF.",
)
@click.option("--repo-id", callback=_matching(_NUMBER, "an id is a number"), help="The repository's immutable id.")
@click.option("--owner-id", callback=_matching(_NUMBER, "an id is a number"), help="The owner's immutable id.")
@click.option("--account", multiple=True, callback=_accounts, help="Account of the role; repeatable.")
@click.option("--audience", default=AUDIENCE, show_default=True, help="What the workflow asks its token for.")
@click.option(
    "--issuer",
    default=ISSUER,
    show_default=True,
    callback=_matching(_ISSUER, "write the provider's Url"),
    help="The provider's Url, where it is not github.com's.",
)
@click.option("--tags", is_flag=True, help="The provider makes session tags of claims: allow sts:TagSession, too.")
def command(repo: str, account: tuple[str, ...], **options: Any) -> None:
    """Write a trust policy that admits one repository's workflow and nobody else.

    \b
    sojourn github-trust --repo acme/app --environment production --account 111122223333
    sojourn github-trust --repo acme/app --ref main --workflow deploy.yml --account 111122223333
    """
    if not account:
        click.echo(f"no --account given: the policy names the example account {_EXAMPLE_ACCOUNT}", err=True)
    document = trust_policy(repo, account or (_EXAMPLE_ACCOUNT,), **options)
    click.echo(json.dumps(document, indent=2))


def trust_policy(
    repo: str,
    accounts: tuple[str, ...],
    *,
    environment: str | None = None,
    ref: str | None = None,
    workflow: str | None = None,
    repo_id: str | None = None,
    owner_id: str | None = None,
    audience: str = AUDIENCE,
    issuer: str = ISSUER,
    tags: bool = False,
) -> dict[str, Any]:
    """The document. Every claim is tested by itself: the format of `sub` is the repository owner's to change."""
    host = issuer.partition("://")[2]
    providers = [f"arn:aws:iam::{account}:oidc-provider/{host}" for account in accounts]
    wanted = {"aud": audience, "repository": repo, "repository_id": repo_id, "repository_owner_id": owner_id}
    wanted["environment"] = environment
    wanted["ref"] = _full_ref(ref) if ref is not None else None if environment is not None else "refs/heads/main"
    if workflow is not None:
        wanted["job_workflow_ref"] = _workflow_ref(workflow, repo, wanted["ref"] or "refs/heads/main")
    condition: dict[str, dict[str, str]] = {}
    for claim, value in wanted.items():
        if value is not None:
            pattern = claim in ("ref", "job_workflow_ref") and any(sign in value for sign in "*?")
            condition.setdefault("StringLike" if pattern else "StringEquals", {})[f"{host}:{claim}"] = value
    if wanted["ref"] is not None:
        # Runs code that a stranger proposes, with the ref of the branch that it is proposed for.
        condition["StringNotEquals"] = {f"{host}:event_name": "pull_request_target"}
    action = "sts:AssumeRoleWithWebIdentity"
    statement = {
        "Sid": "GitHubActions",
        "Effect": "Allow",
        "Principal": {"Federated": providers[0] if len(providers) == 1 else providers},
        "Action": [action, "sts:TagSession"] if tags else action,
        "Condition": condition,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _full_ref(ref: str) -> str:
    return ref if ref.startswith("refs/") else f"refs/heads/{ref}"


def _workflow_ref(workflow: str, repo: str, ref: str) -> str:
    """`acme/app/.github/workflows/deploy.yml@refs/heads/main`."""
    path, _, at = workflow.partition("@")
    if "/" not in path:
        path = f".github/workflows/{path}"
    if path.startswith(".github/"):
        path = f"{repo}/{path}"
    return f"{path}@{_full_ref(at) if at else ref}"

"""The trust policies of the documentation, decided for tokens that they admit and for near misses."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.policy import Kind, Policies, Principal, PrincipalKind, Request, RequestContext, decide, parse
from providers.contract import IdToken
from providers.oidc import OidcConfig, OidcProvider
from tests.fakes.issuer import FakeIssuer
from tests.providers.oidc.conftest import Memory
from tests.providers.oidc.test_shapes import GITHUB, GOOGLE, KUBERNETES

DOCS = Path(__file__).parents[3] / "docs"
ACCOUNT = "444455556666"
BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)
MAIN = {**GITHUB, "sub": "repo:acme/app:ref:refs/heads/main", "environment": None}
UNKNOWN_IDS = {"repository_id": "75", "repository_owner_id": "66"}
GITLAB = {
    "aud": "https://sojourn.acme.example",
    "sub": "project_path:acme/app:ref_type:branch:ref:main",
    "project_id": "20",
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
}
ROBOT: dict[str, Any] = {**GOOGLE, "azp": "107517467455664443766"}

CASES: list[tuple[str, str, dict[str, Any], bool]] = [
    ("MainOfApp", "main", MAIN, True),
    ("MainOfApp", "with an environment, too", GITHUB, True),
    ("MainOfApp", "another branch", {**MAIN, "ref": "refs/heads/dev"}, False),
    ("MainOfApp", "a pull request", {**MAIN, "ref": "refs/pull/1/merge"}, False),
    ("MainOfApp", "a tag called main", {**MAIN, "ref": "refs/tags/main"}, False),
    ("MainOfApp", "another repository", {**MAIN, "repository": "acme/other"}, False),
    ("MainOfApp", "another case", {**MAIN, "repository": "Acme/App"}, False),
    ("ProductionOfApp", "production", GITHUB, True),
    ("ProductionOfApp", "another environment", {**GITHUB, "environment": "production-eu"}, False),
    ("ProductionOfApp", "no environment", MAIN, False),
    ("ProductionOfApp", "another repository", {**GITHUB, "repository": "evil/app"}, False),
    (
        "DeployWorkflowOfTheOrganisation",
        "the workflow",
        {**GITHUB, "job_workflow_ref": "acme/workflows/.github/workflows/deploy.yml@refs/heads/main"},
        True,
    ),
    (
        "DeployWorkflowOfTheOrganisation",
        "from a branch",
        {**GITHUB, "job_workflow_ref": "acme/workflows/.github/workflows/deploy.yml@refs/heads/x"},
        False,
    ),
    (
        "DeployWorkflowOfTheOrganisation",
        "called by another organisation",
        {
            **GITHUB,
            "job_workflow_ref": "acme/workflows/.github/workflows/deploy.yml@refs/heads/main",
            "repository_owner_id": "66",
        },
        False,
    ),
    ("AppByItsIds", "the ids", {**GITHUB, "repository": "renamed/app"}, True),
    ("AppByItsIds", "the name, recycled", {**GITHUB, **UNKNOWN_IDS}, False),
    ("MainOfAppInBothFormats", "names only", MAIN, True),
    ("MainOfAppInBothFormats", "with ids", {**MAIN, "sub": "repo:acme@65/app@74:ref:refs/heads/main"}, True),
    ("MainOfAppInBothFormats", "other ids", {**MAIN, "sub": "repo:acme@66/app@75:ref:refs/heads/main"}, False),
    ("MainOfAppInBothFormats", "longer", {**MAIN, "sub": "repo:acme/app:ref:refs/heads/main2"}, False),
    ("PaymentsApi", "the service account", KUBERNETES, True),
    ("PaymentsApi", "another namespace", {**KUBERNETES, "sub": "system:serviceaccount:default:api"}, False),
    ("ProtectedMainOfApp", "main", GITLAB, True),
    ("ProtectedMainOfApp", "unprotected", {**GITLAB, "ref_protected": "false"}, False),
    ("ProtectedMainOfApp", "a tag called main", {**GITLAB, "ref_type": "tag"}, False),
    ("OneServiceAccount", "the robot", {**ROBOT, "sub": ROBOT["azp"]}, True),
    ("OneServiceAccount", "made for another", {**ROBOT, "sub": ROBOT["azp"], "aud": "https://other.test"}, False),
]


def documented(sid: str) -> str:
    blocks = [
        block for page in DOCS.glob("*.md") for block in BLOCK.findall(page.read_text()) if f'"Sid": "{sid}"' in block
    ]
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.mark.parametrize(("sid", "token", "claims", "allowed"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
async def test_a_documented_trust_policy_admits_whom_it_says(
    session: aiohttp.ClientSession, sid: str, token: str, claims: dict[str, Any], allowed: bool
) -> None:
    text = documented(sid)
    found = re.search(r":oidc-provider/([^\"]+)", text)
    assert found is not None
    url = f"https://{found[1]}"
    issuer = FakeIssuer()
    audiences = frozenset({"sts.amazonaws.com", "https://sojourn.acme.example", ROBOT["azp"]})
    provider = OidcProvider(
        OidcConfig(issuer=url, audiences=audiences, jwks=issuer.key_set()),
        session=session,
        once=Memory(),
        now=lambda: datetime.now(UTC),
    )
    identity = await provider.verify(IdToken(issuer.token(iss=url, **claims)))
    context = RequestContext(
        {key: values[0] for key, values in identity.attributes.items() if key not in identity.multivalued},
        {key: identity.attributes[key] for key in identity.multivalued},
    )
    principal = Principal(PrincipalKind.PROVIDER, f"arn:aws:iam::{ACCOUNT}:oidc-provider/{found[1]}", ACCOUNT)
    role = f"arn:aws:iam::{ACCOUNT}:role/deploy"
    request = Request(principal, "sts:AssumeRoleWithWebIdentity", role, context)
    decision = decide(request, Policies(resource=parse(text, Kind.TRUST)))
    assert decision.allowed is allowed

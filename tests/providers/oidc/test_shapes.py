"""Tokens in the shapes that GitHub, GitLab, Kubernetes, Google and AWS's own tag claims have."""

from typing import Any

import pytest

from providers.contract import IdToken
from providers.errors import ProofRejected
from tests.fakes.issuer import FakeIssuer
from tests.providers.oidc.conftest import MakeProvider

TAGS = "https://aws.amazon.com/tags"
GITHUB = {
    "jti": "0d1b1d1c-6f1c-4a8e-9a0b-2f2b1e8b7a10",
    "sub": "repo:acme/app:environment:production",
    "aud": "sts.amazonaws.com",
    "ref": "refs/heads/main",
    "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "repository": "acme/app",
    "repository_owner": "acme",
    "repository_owner_id": "65",
    "run_id": "30433642",
    "run_number": "1",
    "run_attempt": "1",
    "repository_visibility": "private",
    "repository_id": "74",
    "actor_id": "12",
    "actor": "octo",
    "workflow": "deploy",
    "head_ref": "",
    "base_ref": "",
    "event_name": "push",
    "ref_protected": "true",
    "ref_type": "branch",
    "workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
    "workflow_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
    "job_workflow_ref": "acme/shared/.github/workflows/deploy.yml@refs/tags/v1",
    "job_workflow_sha": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
    "runner_environment": "github-hosted",
    "environment": "production",
    "environment_node_id": "EN_kwDO",
}
KUBERNETES = {
    "aud": ["sts.amazonaws.com"],
    "sub": "system:serviceaccount:payments:api",
    "kubernetes.io": {
        "namespace": "payments",
        "node": {"name": "node-1", "uid": "c9d0"},
        "pod": {"name": "api-5d8f", "uid": "a1b2"},
        "serviceaccount": {"name": "api", "uid": "d3e4"},
        "warnafter": 1700003607,
    },
}
GITLAB = {
    "aud": "https://gitlab.acme.test",
    "sub": "project_path:acme/app:ref_type:branch:ref:main",
    "namespace_id": "72",
    "namespace_path": "acme",
    "project_path": "acme/app",
    "ref": "main",
    "ref_protected": "true",
    "groups_direct": ["acme/ops", "acme/dev"],
    "user_identities": [{"provider": "saml", "extern_uid": "x"}],
    "environment_protected": "false",
    "ci_config_sha": None,
}
GOOGLE = {
    "azp": "32555350559.apps.googleusercontent.com",
    "aud": "sts.amazonaws.com",
    "sub": "107517467455664443766",
    "hd": "acme.test",
    "email": "alice@acme.test",
    "email_verified": True,
    "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
    "google": {"compute_engine": {"instance_id": "1234", "license_id": ["5"], "zone": "us-east1-b"}},
}


@pytest.mark.parametrize(
    ("shape", "audience", "expected"),
    [
        (
            GITHUB,
            "sts.amazonaws.com",
            {
                "aud": ("sts.amazonaws.com",),
                "job_workflow_ref": ("acme/shared/.github/workflows/deploy.yml@refs/tags/v1",),
                "repository_owner_id": ("65",),
                "environment": ("production",),
                "head_ref": ("",),
            },
        ),
        (
            KUBERNETES,
            "sts.amazonaws.com",
            {
                "aud": ("sts.amazonaws.com",),
                "kubernetes.io/namespace": ("payments",),
                "kubernetes.io/serviceaccount/name": ("api",),
                "kubernetes.io/warnafter": ("1700003607",),
            },
        ),
        (
            GITLAB,
            "https://gitlab.acme.test",
            {"groups_direct": ("acme/ops", "acme/dev"), "ref_protected": ("true",), "user_identities": None},
        ),
        (
            GOOGLE,
            "32555350559.apps.googleusercontent.com",
            {
                "aud": ("32555350559.apps.googleusercontent.com",),
                "oaud": ("sts.amazonaws.com",),
                "email_verified": ("true",),
                "google/compute_engine/zone": ("us-east1-b",),
                "google/compute_engine/license_id": ("5",),
            },
        ),
    ],
    ids=["github", "kubernetes", "gitlab", "google"],
)
async def test_a_shape_gives_its_condition_keys(
    make_provider: MakeProvider,
    issuer: FakeIssuer,
    shape: dict[str, Any],
    audience: str,
    expected: dict[str, tuple[str, ...] | None],
) -> None:
    provider = make_provider(audiences=frozenset({audience}))
    identity = await provider.verify(IdToken(issuer.token(**shape)))
    assert identity.subject == shape["sub"]
    assert identity.audience == audience
    prefix = issuer.url.removeprefix("http://")
    assert {name: identity.attributes.get(f"{prefix}:{name}") for name in expected} == expected


@pytest.mark.parametrize(
    "bend",
    [
        {TAGS: {"principal_tags": {"Team": ["web"], "Cost": ["42"]}, "transitive_tag_keys": ["Team"]}},
        {
            f"{TAGS}/principal_tags/Team": "web",
            f"{TAGS}/principal_tags/Cost": ["42"],
            f"{TAGS}/transitive_tag_keys": ["Team"],
        },
    ],
    ids=["nested", "flattened"],
)
async def test_tags_and_source_identity_come_from_awss_claims(
    make_provider: MakeProvider, issuer: FakeIssuer, bend: dict[str, Any]
) -> None:
    claims = {**bend, "https://aws.amazon.com/source_identity": "alice@acme.test"}
    identity = await make_provider().verify(IdToken(issuer.token(**claims)))
    assert identity.session_tags == {"Team": "web", "Cost": "42"}
    assert identity.transitive_tag_keys == ("Team",)
    assert identity.source_identity == "alice@acme.test"


async def test_the_providers_mapping_makes_tags_of_claims(make_provider: MakeProvider, issuer: FakeIssuer) -> None:
    mapping = {
        "Repository": "repository",
        "Namespace": "kubernetes.io/namespace",
        "Protected": "protected",
        "Absent": "absent",
        "One": "one",
    }
    provider = make_provider(session_tags=mapping)
    claims: dict[str, Any] = {"repository": "acme/app", "protected": True, "one": ["x"], **KUBERNETES}
    identity = await provider.verify(IdToken(issuer.token(**claims)))
    assert identity.session_tags == {
        "Repository": "acme/app",
        "Namespace": "payments",
        "Protected": "true",
        "One": "x",
    }
    assert identity.transitive_tag_keys == ()


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        ({"repository": ["a", "b"]}, "the claim repository has several values"),
        ({"repository": "a", TAGS: {"principal_tags": {"repository": ["b"]}}}, "a key is given twice"),
        ({"repository": "a" * 257}, "there are too many, or one is too long"),
    ],
)
async def test_a_mapping_that_cannot_be_followed_is_refused(
    make_provider: MakeProvider, issuer: FakeIssuer, bend: dict[str, Any], why: str
) -> None:
    provider = make_provider(session_tags={"Repository": "repository"})
    with pytest.raises(ProofRejected, match=why) as refused:
        await provider.verify(IdToken(issuer.token(**bend)))
    assert refused.value.reason == "session_tags"

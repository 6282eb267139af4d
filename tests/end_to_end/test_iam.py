"""Reading an account by boto3: users, roles, everything at once; who may; and what is printed loads again."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest

from broker.directory.files import load
from broker.directory.model import Snapshot
from tests.end_to_end.refusals import refused
from tests.end_to_end.simulation import Simulator, texts
from tests.end_to_end.world import allow, deny, document, inline, new_key, role
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

ACME, OTHER = "777788889999", "888899990000"
ADMIN, VISITOR, STRANGER = new_key(ACME), new_key(ACME), new_key(OTHER)
ARN = f"arn:aws:iam::{ACME}"

SEED = pyotp.random_base32()

ACCOUNTS: dict[str, Any] = {
    "acme": {
        "Account": ACME,
        "VirtualMFADevices": [{"VirtualMfaDeviceName": "admin", "Base32StringSeed": SEED, "Users": ["Admin"]}],
        "Users": [
            {
                "UserName": "Admin",
                "AccessKeys": [ADMIN],
                "Policies": inline(allow("*", "*")),
                "Tags": [{"Key": "Département", "Value": "Größe 40"}],
            },
            {
                "UserName": "visitor",
                "Path": "/guests/",
                "AccessKeys": [VISITOR],
                "Groups": ["readers"],
                "PermissionsBoundary": f"{ARN}:policy/limits",
                "Policies": [
                    {
                        "PolicyName": "home",
                        "PolicyDocument": document(
                            allow("s3:*", "arn:aws:s3:::home/${aws:username}/*"),
                            allow(["iam:GetUser"], f"{ARN}:user/guests/*"),
                            allow(["iam:SimulatePrincipalPolicy"], [f"{ARN}:user/guests/*", f"{ARN}:group/*"]),
                        ),
                    }
                ],
            },
            {
                "UserName": "extra0",
                "Path": "/extra/",
                "PermissionsBoundary": "arn:aws:iam::aws:policy/PowerUserAccess",
            },
            *({"UserName": f"extra{number}", "Path": "/extra/"} for number in (1, 2)),
        ],
        "Groups": [
            {
                "GroupName": "readers",
                "Policies": inline(allow("s3:Get*", "*")),
                "ManagedPolicyArns": [f"{ARN}:policy/shared/auditing", "arn:aws:iam::aws:policy/ReadOnlyAccess"],
            }
        ],
        "Roles": [
            role(
                "deploy",
                allow("sts:AssumeRole", None, {"AWS": ACME}, {"StringEquals": {"sts:ExternalId": "right-1"}}),
                Path="/ci/",
                Description="What CI runs as.",
                MaxSessionDuration=7200,
                PermissionsBoundary=f"{ARN}:policy/shared/auditing",
                Policies=inline(allow("s3:*", "*")),
                Tags=[{"Key": "Team", "Value": "ops"}],
            ),
            role("plain", allow("sts:AssumeRole", None, {"AWS": ACME})),
        ],
        "ManagedPolicies": [
            {
                "ManagedPolicyName": "auditing",
                "Path": "/shared/",
                "Description": "Of auditors.",
                "PolicyDocument": document(allow(["s3:List*", "s3:Get*"], "*")),
            },
            {
                "ManagedPolicyName": "limits",
                "PolicyDocument": document(
                    allow("s3:*", "*"), allow(["iam:GetUser", "iam:SimulatePrincipalPolicy"], f"{ARN}:user/guests/*")
                ),
            },
            {"ManagedPolicyName": "unused", "PolicyDocument": document(deny("s3:*", "*"))},
        ],
        "ServiceControlPolicies": [
            "FullAWSAccess",
            {"Name": "no-delete", "PolicyDocument": document(deny("s3:DeleteBucket", "*"))},
        ],
        "ResourceControlPolicies": [
            {"Name": "no-put", "PolicyDocument": document(deny("s3:PutBucketAcl", "*", principal="*"))}
        ],
    },
    "other": {
        "Account": OTHER,
        "Users": [{"UserName": "stranger", "AccessKeys": [STRANGER], "Policies": inline(allow("*", "*"))}],
        "Roles": [role("open", allow("sts:AssumeRole", None, {"AWS": ACME}))],
    },
}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("iam")
    write_configuration(directory, ACCOUNTS)
    with RedisServer(directory / "redis") as server, running(Gateway(directory, store=server.url)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def admin(acme: Gateway) -> Any:
    return acme.client("iam", ADMIN)


@pytest.fixture(scope="module")
def visitor(acme: Gateway) -> Any:
    return acme.client("iam", VISITOR)


@pytest.fixture(scope="module")
def simulator(acme: Gateway) -> Simulator:
    return Simulator(acme, ADMIN)


class TestUsers:
    def test_the_caller_by_default(self, visitor: Any) -> None:
        user = visitor.get_user()["User"]
        assert user.pop("UserId").startswith("AIDA")
        assert user == {
            "Path": "/guests/",
            "UserName": "visitor",
            "Arn": f"{ARN}:user/guests/visitor",
            "CreateDate": datetime(1970, 1, 1, tzinfo=UTC),
            "PermissionsBoundary": {
                "PermissionsBoundaryType": "Policy",
                "PermissionsBoundaryArn": f"{ARN}:policy/limits",
            },
        }

    def test_another_with_tags(self, admin: Any) -> None:
        user = admin.get_user(UserName="Admin")["User"]
        assert user["Tags"] == [{"Key": "Département", "Value": "Größe 40"}]

    @pytest.mark.parametrize("name", ["nobody", "admin"])
    def test_one_that_does_not_exist(self, admin: Any, name: str) -> None:
        with refused("NoSuchEntity", f"The user with name {name} cannot be found."):
            admin.get_user(UserName=name)

    def test_a_role_has_no_user_of_its_own(self, acme: Gateway) -> None:
        plain = acme.client(credentials=ADMIN).assume_role(RoleArn=f"{ARN}:role/plain", RoleSessionName="test")
        with refused("ValidationError", "Must specify userName"):
            acme.client("iam", plain["Credentials"]).get_user()

    def test_the_permission_is_asked_on_the_users_own_arn(self, visitor: Any) -> None:
        with refused("AccessDenied", f"iam:GetUser on resource: {ARN}:user/Admin "):
            visitor.get_user(UserName="Admin")
        with refused("AccessDenied", f"iam:GetUser on resource: {ARN}:user/nobody "):
            visitor.get_user(UserName="nobody")
        with refused("AccessDenied", f"iam:ListUsers on resource: {ARN}:user/ "):
            visitor.list_users()
        with refused("AccessDenied", f"iam:ListUsers on resource: {ARN}:user/guests/ "):
            visitor.list_users(PathPrefix="/guests/")

    def test_a_list_in_pages(self, admin: Any) -> None:
        pages = list(admin.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2}))
        names = [[user["UserName"] for user in page["Users"]] for page in pages]
        assert names == [["Admin", "extra0"], ["extra1", "extra2"], ["visitor"]]
        assert [page["IsTruncated"] for page in pages] == [True, True, False]
        assert not {"Tags", "PermissionsBoundary"} & set(pages[2]["Users"][0])

    def test_a_list_under_a_path(self, admin: Any) -> None:
        assert [user["UserName"] for user in admin.list_users(PathPrefix="/guests/")["Users"]] == ["visitor"]
        assert admin.list_users(PathPrefix="/none/")["Users"] == []
        with refused("ValidationError", "pathPrefix"):
            admin.list_users(PathPrefix="guests")


class TestRoles:
    def test_everything_about_one(self, admin: Any) -> None:
        found = admin.get_role(RoleName="deploy")["Role"]
        assert found.pop("RoleId").startswith("AROA")
        assert found == {
            "Path": "/ci/",
            "RoleName": "deploy",
            "Arn": f"{ARN}:role/ci/deploy",
            "CreateDate": datetime(1970, 1, 1, tzinfo=UTC),
            "AssumeRolePolicyDocument": ACCOUNTS["acme"]["Roles"][0]["AssumeRolePolicyDocument"],
            "Description": "What CI runs as.",
            "MaxSessionDuration": 7200,
            "PermissionsBoundary": {
                "PermissionsBoundaryType": "Policy",
                "PermissionsBoundaryArn": f"{ARN}:policy/shared/auditing",
            },
            "Tags": [{"Key": "Team", "Value": "ops"}],
            "RoleLastUsed": {},
        }

    def test_documents_are_url_encoded(self, acme: Gateway) -> None:
        client = acme.client("iam", ADMIN)
        bodies: list[str] = []
        client.meta.events.register(
            "before-parse.iam.GetRole", lambda response_dict, **_: bodies.append(response_dict["body"].decode())
        )
        client.get_role(RoleName="plain")
        [body] = bodies
        assert "<AssumeRolePolicyDocument>%7B%22Version%22%3A%222012-10-17%22" in body

    def test_one_that_does_not_exist(self, admin: Any) -> None:
        with refused("NoSuchEntity", "The role with name nobody cannot be found."):
            admin.get_role(RoleName="nobody")

    def test_a_list(self, admin: Any) -> None:
        answer = admin.list_roles()
        assert [each["RoleName"] for each in answer["Roles"]] == ["deploy", "plain"]
        assert not answer["IsTruncated"]
        assert not {"Tags", "PermissionsBoundary", "RoleLastUsed"} & set(answer["Roles"][0])
        assert [each["RoleName"] for each in admin.list_roles(PathPrefix="/ci/")["Roles"]] == ["deploy"]

    def test_the_permission_is_asked_on_the_roles_own_arn(self, visitor: Any) -> None:
        with refused("AccessDenied", f"iam:GetRole on resource: {ARN}:role/ci/deploy "):
            visitor.get_role(RoleName="deploy")
        with refused("AccessDenied", f"iam:GetRole on resource: {ARN}:role/none "):
            visitor.get_role(RoleName="none")


class TestWhichCredentials:
    def test_federated_users_call_nothing(self, acme: Gateway) -> None:
        federated = acme.client(credentials=ADMIN).get_federation_token(
            Name="guest", Policy=texts(document(allow("*", "*")))[0]
        )
        for action in ("get_user", "list_roles", "get_account_authorization_details"):
            with refused("AccessDenied", "credentials of this kind"):
                getattr(acme.client("iam", federated["Credentials"]), action)()

    def test_a_users_session_needs_mfa(self, acme: Gateway) -> None:
        session = acme.client(credentials=ADMIN).get_session_token()["Credentials"]
        with refused("AccessDenied", "GetSessionToken for which no MFA code was given"):
            acme.client("iam", session).list_roles()
        with_mfa = acme.client(credentials=ADMIN).get_session_token(
            SerialNumber=f"{ARN}:mfa/admin", TokenCode=pyotp.TOTP(SEED).now()
        )["Credentials"]
        assert len(acme.client("iam", with_mfa).list_roles()["Roles"]) == 2

    def test_another_account_sees_only_itself(self, acme: Gateway) -> None:
        stranger = acme.client("iam", STRANGER)
        assert [each["RoleName"] for each in stranger.list_roles()["Roles"]] == ["open"]
        with refused("NoSuchEntity"):
            stranger.get_role(RoleName="deploy")
        assert [user["UserName"] for user in stranger.list_users()["Users"]] == ["stranger"]
        with refused("NoSuchEntity", "The user with name visitor cannot be found"):
            Simulator(acme, STRANGER).principal(f"{ARN}:user/guests/visitor")


class TestAccountAuthorizationDetails:
    def test_what_is_printed_loads_again(self, admin: Any, acme: Gateway, tmp_path: Path) -> None:
        (tmp_path / "sojourn.yaml").touch()
        whole = admin.get_paginator("get_account_authorization_details").paginate().build_full_result()
        (tmp_path / "accounts").mkdir()
        (tmp_path / "accounts" / "acme.json").write_text(json.dumps(whole, default=datetime.isoformat))
        before = load(acme.directory, environ={})
        again = load(tmp_path, environ={})
        assert not again.warnings
        loaded, expected = _entities(again), _entities(before)
        assert loaded.keys() == expected.keys()
        for arn, said in expected.items():
            assert loaded[arn] == said

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_pages_go_across_the_lists(self, admin: Any, size: int) -> None:
        marker: dict[str, str] = {}
        found: list[str] = []
        while True:
            page = admin.get_account_authorization_details(MaxItems=size, **marker)
            items = [each["Arn"] for name in LISTS for each in page[name]]
            assert len(items) <= size
            found += items
            if not page["IsTruncated"]:
                break
            marker = {"Marker": page["Marker"]}
        assert len(found) == len(set(found))
        assert set(found) == {
            *(
                f"{ARN}:user/{name}"
                for name in ("Admin", "guests/visitor", "extra/extra0", "extra/extra1", "extra/extra2")
            ),
            f"{ARN}:group/readers",
            f"{ARN}:role/ci/deploy",
            f"{ARN}:role/plain",
            f"{ARN}:policy/shared/auditing",
            f"{ARN}:policy/limits",
            f"{ARN}:policy/unused",
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "arn:aws:iam::aws:policy/PowerUserAccess",
        }

    @pytest.mark.parametrize(
        ("filters", "counts"),
        [
            (["User"], (5, 0, 0, 0)),
            (["Group", "Role"], (0, 1, 2, 0)),
            (["LocalManagedPolicy"], (0, 0, 0, 3)),
            (["AWSManagedPolicy"], (0, 0, 0, 2)),
        ],
    )
    def test_filters(self, admin: Any, filters: list[str], counts: tuple[int, ...]) -> None:
        answer = admin.get_account_authorization_details(Filter=filters)
        assert tuple(len(answer[name]) for name in LISTS) == counts

    def test_an_unknown_filter(self, admin: Any) -> None:
        with refused("ValidationError", "'filter.1.member'.*enum"):
            admin.get_account_authorization_details(Filter=["Users"])

    def test_a_managed_policy(self, admin: Any) -> None:
        policies = admin.get_account_authorization_details(Filter=["LocalManagedPolicy"])["Policies"]
        [found] = (each for each in policies if each["PolicyName"] == "auditing")
        assert found.pop("PolicyId").startswith("ANPA")
        [version] = found.pop("PolicyVersionList")
        unknown = datetime(1970, 1, 1, tzinfo=UTC)
        assert found == {
            "PolicyName": "auditing",
            "Arn": f"{ARN}:policy/shared/auditing",
            "Path": "/shared/",
            "DefaultVersionId": "v1",
            "AttachmentCount": 1,
            "PermissionsBoundaryUsageCount": 1,
            "IsAttachable": True,
            "Description": "Of auditors.",
            "CreateDate": unknown,
            "UpdateDate": unknown,
        }
        assert version == {
            "VersionId": "v1",
            "IsDefaultVersion": True,
            "CreateDate": unknown,
            "Document": ACCOUNTS["acme"]["ManagedPolicies"][0]["PolicyDocument"],
        }

    def test_the_permission(self, visitor: Any) -> None:
        with refused("AccessDenied", r"iam:GetAccountAuthorizationDetails on resource: \*"):
            visitor.get_account_authorization_details()


LISTS = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")


def _entities(snapshot: Snapshot) -> dict[str, Any]:
    """What such a file can say of an account, comparable."""
    account = snapshot.accounts[ACME]
    entities: list[Any] = [
        *account.users.values(),
        *account.groups.values(),
        *account.roles.values(),
        *account.managed_policies.values(),
    ]
    found = {}
    for entity in entities:
        said = {"id": entity.unique_id, "path": entity.path}
        for name in ("inline_policies", "tags", "boundary_arn", "groups"):
            value = copy.copy(getattr(entity, name, None))
            said[name] = (
                {key: json.loads(policy.text) for key, policy in value.items()}
                if name == "inline_policies" and value
                else value
            )
        said["attached"] = [each.arn for each in getattr(entity, "attached_policies", ())]
        for name in ("trust_policy", "policy", "boundary"):
            policy = getattr(entity, name, None)
            said[name] = json.loads(policy.text) if policy is not None else None
        said["policies"] = [(each.name, json.loads(each.text)) for each in getattr(entity, "policies", ())]
        found[entity.arn] = said
    return found


class TestSimulatePrincipalPolicy:
    USER = f"{ARN}:user/guests/visitor"
    ROLE = f"{ARN}:role/ci/deploy"
    HOME = "arn:aws:s3:::home/visitor/x"

    def test_a_user_with_groups_boundary_and_organisation(self, simulator: Simulator) -> None:
        result = simulator.principal(self.USER, "s3:GetObject", self.HOME)
        assert result["EvalDecision"] == "allowed"
        sources = {(each["SourcePolicyId"], each["SourcePolicyType"]) for each in result["MatchedStatements"]}
        assert sources >= {
            ("user_visitor_home", "user"),
            ("group_readers_p", "group"),
            ("auditing", "user-managed"),
            ("ReadOnlyAccess", "aws-managed"),
        }
        assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": True}
        assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}
        assert result["MissingContextValues"] == []

    def test_what_describes_the_user_is_known_and_may_be_given(self, simulator: Simulator) -> None:
        assert simulator.principal(self.USER, "s3:PutObject", self.HOME)["EvalDecision"] == "allowed"
        entries = [{"ContextKeyName": "aws:username", "ContextKeyType": "string", "ContextKeyValues": ["other"]}]
        result = simulator.principal(self.USER, "s3:PutObject", self.HOME, ContextEntries=entries)
        assert result["EvalDecision"] == "implicitDeny"

    def test_the_boundary_counts(self, simulator: Simulator) -> None:
        parameters = {"PolicyInputList": texts(document(allow("iam:*", "*")))}
        bounded = simulator.principal(self.USER, "iam:CreateUser", "*", **parameters)
        assert bounded["EvalDecision"] == "implicitDeny"
        assert bounded["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
        given = parameters | {"PermissionsBoundaryPolicyInputList": texts(document(allow("*", "*")))}
        assert simulator.principal(self.USER, "iam:CreateUser", "*", **given)["EvalDecision"] == "allowed"

    def test_the_organisation_counts(self, simulator: Simulator) -> None:
        result = simulator.principal(f"{ARN}:user/Admin", "s3:DeleteBucket", "arn:aws:s3:::b")
        assert result["EvalDecision"] == "explicitDeny"
        assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": False}
        capped = simulator.principal(f"{ARN}:user/Admin", "s3:PutBucketAcl", "arn:aws:s3:::b")
        assert capped["EvalDecision"] == "explicitDeny"
        assert capped["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}

    @pytest.mark.parametrize(
        ("excluded", "action", "decision"),
        [
            ([{"PolicyType": "scp"}], "s3:DeleteBucket", "allowed"),
            ([{"PolicyType": "rcp"}], "s3:PutBucketAcl", "allowed"),
            ([{"PolicyType": "scp"}], "s3:PutBucketAcl", "explicitDeny"),
            ([{"PolicyType": "inline"}], "s3:DeleteObject", "implicitDeny"),
            (
                [{"InlinePolicyIdentifier": {"PolicyName": "p", "AttachmentType": "user", "AttachmentName": "Admin"}}],
                "s3:DeleteObject",
                "implicitDeny",
            ),
            (
                [{"InlinePolicyIdentifier": {"PolicyName": "p", "AttachmentType": "role", "AttachmentName": "Admin"}}],
                "s3:DeleteObject",
                "allowed",
            ),
        ],
    )
    def test_exclusions(self, simulator: Simulator, excluded: list[Any], action: str, decision: str) -> None:
        result = simulator.principal(f"{ARN}:user/Admin", action, "arn:aws:s3:::b", PolicyExclusionList=excluded)
        assert result["EvalDecision"] == decision

    @pytest.mark.parametrize(
        "excluded",
        [
            [{"PolicyType": "user-managed"}, {"PolicyType": "aws-managed"}],
            [{"PolicyArn": f"{ARN}:policy/shared/auditing"}, {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
        ],
    )
    def test_exclusions_of_managed_policies(self, simulator: Simulator, excluded: list[Any]) -> None:
        bucket = "arn:aws:s3:::b"
        assert simulator.principal(f"{ARN}:group/readers", "s3:ListBucket", bucket)["EvalDecision"] == "allowed"
        result = simulator.principal(f"{ARN}:group/readers", "s3:ListBucket", bucket, PolicyExclusionList=excluded)
        assert result["EvalDecision"] == "implicitDeny"
        result = simulator.principal(f"{ARN}:group/readers", "s3:GetObject", bucket, PolicyExclusionList=excluded)
        assert result["EvalDecision"] == "allowed"

    @pytest.mark.parametrize(
        "excluded",
        [[{"PolicyType": "permission-boundary"}], [{"PolicyArn": f"{ARN}:policy/limits"}]],
    )
    def test_an_excluded_boundary(self, simulator: Simulator, excluded: list[Any]) -> None:
        given = {"PolicyInputList": texts(document(allow("iam:*", "*"))), "PolicyExclusionList": excluded}
        result = simulator.principal(self.USER, "iam:CreateUser", "*", **given)
        assert result["EvalDecision"] == "allowed"
        assert "PermissionsBoundaryDecisionDetail" not in result

    def test_a_role_stands_for_its_sessions(self, simulator: Simulator) -> None:
        named = document(allow("s3:PutObject", self.HOME, {"AWS": self.ROLE}))
        put: dict[str, Any] = {"action": "s3:PutObject", "resource": self.HOME}
        assert simulator.principal(self.ROLE, **put)["EvalDecision"] == "implicitDeny"
        wide: dict[str, Any] = {"PermissionsBoundaryPolicyInputList": texts(document(allow("s3:*", "*")))}
        assert simulator.principal(self.ROLE, **put, **wide)["EvalDecision"] == "allowed"
        nothing: dict[str, Any] = {
            "PolicyExclusionList": [{"PolicyType": "inline"}],
            "ResourcePolicy": json.dumps(named),
        }
        assert simulator.principal(self.ROLE, **put, **wide, **nothing)["EvalDecision"] == "allowed"
        assert simulator.principal(self.ROLE, **put, **nothing)["EvalDecision"] == "implicitDeny"
        session = f"arn:aws:sts::{ACME}:assumed-role/deploy/ci"
        nothing["ResourcePolicy"] = json.dumps(document(allow("s3:PutObject", self.HOME, {"AWS": session})))
        assert simulator.principal(self.ROLE, **put, **nothing)["EvalDecision"] == "implicitDeny"
        assert simulator.principal(self.ROLE, **put, **nothing, CallerArn=session)["EvalDecision"] == "allowed"

    def test_another_caller_with_the_policies_of_the_source(self, simulator: Simulator) -> None:
        policy = json.dumps(document(allow("s3:DeleteObject", self.HOME, {"AWS": f"{ARN}:user/bob"})))
        asked: dict[str, Any] = {"action": "s3:DeleteObject", "resource": self.HOME, "ResourcePolicy": policy}
        without = [{"PolicyType": "inline"}]
        assert simulator.principal(self.USER, **asked, PolicyExclusionList=without)["EvalDecision"] == "implicitDeny"
        result = simulator.principal(self.USER, **asked, PolicyExclusionList=without, CallerArn=f"{ARN}:user/bob")
        assert result["EvalDecision"] == "allowed"

    def test_whether_a_role_lets_the_user_in_is_up_to_its_trust_policy(self, simulator: Simulator) -> None:
        admin = f"{ARN}:user/Admin"
        result = simulator.principal(admin, "sts:AssumeRole", self.ROLE)
        assert result["EvalDecision"] == "implicitDeny"
        assert result["MissingContextValues"] == ["sts:ExternalId"]
        entries = [{"ContextKeyName": "sts:ExternalId", "ContextKeyType": "string", "ContextKeyValues": ["right-1"]}]
        result = simulator.principal(admin, "sts:AssumeRole", self.ROLE, ContextEntries=entries)
        assert result["EvalDecision"] == "allowed"
        assert "resource" in [each["SourcePolicyType"] for each in result["MatchedStatements"]]
        result = simulator.principal(self.USER, "sts:AssumeRole", self.ROLE, ContextEntries=entries)
        assert result["EvalDecision"] == "implicitDeny"

    def test_nothing_is_told_of_another_accounts_roles(self, simulator: Simulator) -> None:
        result = simulator.principal(f"{ARN}:user/Admin", "sts:AssumeRole", f"arn:aws:iam::{OTHER}:role/open")
        assert result["EvalDecision"] == "implicitDeny"
        assert result["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "implicitDeny"}
        assert [each["SourcePolicyId"] for each in result["MatchedStatements"]] == ["user_Admin_p"]

    @pytest.mark.parametrize(
        ("arn", "code"),
        [
            (f"{ARN}:user/visitor", "NoSuchEntity"),
            (f"{ARN}:role/none", "NoSuchEntity"),
            (f"{ARN}:group/none", "NoSuchEntity"),
            (f"{ARN}:root", "InvalidInput"),
            (f"arn:aws:sts::{ACME}:assumed-role/deploy/ci", "InvalidInput"),
            ("arn:aws:s3:::a-bucket-of-mine", "InvalidInput"),
            ("this is not an arn at all", "InvalidInput"),
            ("short", "ValidationError"),
            (f"arn:aws:iam::{OTHER}:user/stranger", "NoSuchEntity"),
        ],
    )
    def test_bad_sources(self, simulator: Simulator, arn: str, code: str) -> None:
        with refused(code):
            simulator.principal(arn)

    def test_an_identifier_has_one_member(self, simulator: Simulator) -> None:
        for wrong in ({"PolicyType": "scp", "PolicyArn": f"{ARN}:policy/shared/auditing"},):
            with refused("InvalidInput", r"PolicyExclusionList\.1"):
                simulator.principal(self.USER, PolicyExclusionList=[wrong])

    def test_a_group_needs_a_caller_for_a_resource_policy(self, simulator: Simulator) -> None:
        policy = json.dumps(document(allow("s3:*", "*", "*")))
        with refused("InvalidInput", "CallerArn is required"):
            simulator.principal(f"{ARN}:group/readers", ResourcePolicy=policy)
        named = simulator.principal(f"{ARN}:group/readers", ResourcePolicy=policy, CallerArn=self.USER)
        assert named["EvalDecision"] == "allowed"

    def test_the_permission_is_asked_on_the_source(self, acme: Gateway) -> None:
        simulator = Simulator(acme, VISITOR)
        assert simulator.principal(self.USER)["EvalDecision"] == "allowed"
        with refused("AccessDenied", f"iam:SimulatePrincipalPolicy on resource: {ARN}:user/Admin "):
            simulator.principal(f"{ARN}:user/Admin")

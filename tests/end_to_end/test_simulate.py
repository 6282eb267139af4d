"""The policy simulators by boto3: every field of a result, every kind of caller, every refusal with its place."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from broker.directory.files import load
from broker.flows.configured import Exclusions, simulation, source
from broker.flows.simulate import ContextEntry, Given
from tests.end_to_end.refusals import refused
from tests.end_to_end.simulation import OBJECT, READ, Simulator, entry, members, texts
from tests.end_to_end.world import ALICE, BOB, DAVE, DEV, PROD, allow, deny, document, role_arn
from tests.gateway import Gateway

USER = f"arn:aws:iam::{DEV}:user/people/alice"
SESSION = f"arn:aws:sts::{DEV}:assumed-role/deploy/ci"
FEDERATED = f"arn:aws:sts::{DEV}:federated-user/guest"
ROOT = f"arn:aws:iam::{DEV}:root"
PROVIDER = f"arn:aws:iam::{PROD}:oidc-provider/token.actions.githubusercontent.com"
ROLE = role_arn("deploy")
ALL = document(allow("*", "*"))
NOTHING = document(deny("none:*", "*"))


@pytest.fixture(scope="module")
def simulator(gateway: Gateway) -> Simulator:
    return Simulator(gateway, ALICE)


def on_object(*principal: str, effect: str = "Allow") -> str:
    """A resource policy."""
    statement = {"Effect": effect, "Principal": {"AWS": list(principal)}, "Action": READ, "Resource": OBJECT}
    return json.dumps(document(statement))


class TestFields:
    def test_an_allowed_action(self, simulator: Simulator) -> None:
        text = json.dumps(document(deny("s3:Put*", "*"), allow("s3:Get*", "*")), indent=2)
        result = simulator.custom(PolicyInputList=[text])
        lines = text.splitlines()
        statement = {
            "SourcePolicyId": "PolicyInputList.1",
            "SourcePolicyType": "IAM Policy",
            "StartPosition": {"Line": 9, "Column": 5},
            "EndPosition": {"Line": 13, "Column": 6},
        }
        assert (lines[8], lines[12]) == ("    {", "    }")
        assert result == {
            "EvalActionName": READ,
            "EvalResourceName": OBJECT,
            "EvalDecision": "allowed",
            "MatchedStatements": [statement],
            "MissingContextValues": [],
            "EvalDecisionDetails": {},
            "ResourceSpecificResults": [
                {
                    "EvalResourceName": OBJECT,
                    "EvalResourceDecision": "allowed",
                    "MatchedStatements": [statement],
                    "MissingContextValues": [],
                }
            ],
        }

    def test_without_a_resource_nothing_is_specific(self, simulator: Simulator) -> None:
        result = simulator.custom(ALL, ResourceArns=[])
        assert result["EvalResourceName"] == "*"
        assert result["EvalDecision"] == "allowed"
        assert not {"EvalDecisionDetails", "ResourceSpecificResults"} & set(result)

    def test_of_an_explicit_deny_only_the_denying_statements_are_told(self, simulator: Simulator) -> None:
        result = simulator.custom(ALL, document(deny("s3:*", "*")))
        assert result["EvalDecision"] == "explicitDeny"
        assert [each["SourcePolicyId"] for each in result["MatchedStatements"]] == ["PolicyInputList.2"]

    def test_missing_keys_are_absent_and_listed(self, simulator: Simulator) -> None:
        condition = {"StringEquals": {"aws:username": "x"}, "Bool": {"aws:SecureTransport": "true"}}
        policy = document(allow("s3:*", "arn:aws:s3:::${aws:PrincipalTag/team}/*"), allow("s3:*", "*", None, condition))
        result = simulator.custom(policy, ContextEntries=[entry("aws:securetransport", "true", kind="boolean")])
        assert result["EvalDecision"] == "implicitDeny"
        assert result["MissingContextValues"] == ["aws:PrincipalTag/team", "aws:username"]
        assert result["ResourceSpecificResults"][0]["MissingContextValues"] == ["aws:PrincipalTag/team", "aws:username"]

    def test_nothing_is_derived_from_the_caller(self, simulator: Simulator) -> None:
        policy = document(allow("s3:*", "*", None, {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}))
        result = simulator.custom(policy, CallerArn=USER)
        assert result["EvalDecision"] == "implicitDeny"
        assert result["MissingContextValues"] == ["aws:PrincipalArn"]

    @pytest.mark.parametrize(
        ("boundary", "decision", "allowed"),
        [
            (ALL, "allowed", True),
            (document(allow("s3:Put*", "*")), "implicitDeny", False),
            (document(allow("*", "*"), deny("s3:*", "*")), "explicitDeny", False),
        ],
    )
    def test_a_boundary(self, simulator: Simulator, boundary: Any, decision: str, allowed: bool) -> None:
        result = simulator.custom(ALL, PermissionsBoundaryPolicyInputList=texts(boundary))
        assert result["EvalDecision"] == decision
        told = {"AllowedByPermissionsBoundary": allowed}
        assert result["PermissionsBoundaryDecisionDetail"] == told
        assert result["ResourceSpecificResults"][0]["PermissionsBoundaryDecisionDetail"] == told
        if decision == "explicitDeny":
            assert result["MatchedStatements"][0]["SourcePolicyId"] == "PermissionsBoundaryPolicyInputList.1"

    @pytest.mark.parametrize(
        ("levels", "decision", "allowed"),
        [
            ([[ALL], [ALL]], "allowed", True),
            ([[ALL], [NOTHING, ALL]], "allowed", True),
            ([[ALL], [document(allow("ec2:*", "*"))]], "implicitDeny", False),
            ([[ALL], [ALL, document(deny("s3:*", "*"))]], "explicitDeny", False),
        ],
    )
    def test_an_organisation_in_levels(
        self, simulator: Simulator, levels: list[Any], decision: str, allowed: bool
    ) -> None:
        levels = [{"ServiceControlPolicyInputList": texts(*level)} for level in levels]
        result = simulator.custom(ALL, OrderedOrganizationPolicyInputList=levels)
        assert result["EvalDecision"] == decision
        assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": allowed}
        assert ("EvalDecisionDetails" in result) == allowed
        matched = {each["SourcePolicyId"] for each in result["MatchedStatements"]}
        if decision == "explicitDeny":
            assert matched == {"OrderedOrganizationPolicyInputList.2.ServiceControlPolicyInputList.2"}
        else:
            assert matched == {"PolicyInputList.1"}

    def test_two_accounts(self, simulator: Simulator) -> None:
        owner = f"arn:aws:iam::{PROD}:root"
        parameters: dict[str, Any] = {"CallerArn": USER, "ResourceOwner": owner, "ResourcePolicy": on_object(USER)}
        both = simulator.custom(ALL, **parameters)
        assert both["EvalDecision"] == "allowed"
        assert both["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "allowed"}
        assert both["ResourceSpecificResults"][0]["EvalDecisionDetails"] == both["EvalDecisionDetails"]
        assert [(each["SourcePolicyId"], each["SourcePolicyType"]) for each in both["MatchedStatements"]] == [
            ("ResourcePolicy", "resource"),
            ("PolicyInputList.1", "IAM Policy"),
        ]
        one = simulator.custom(NOTHING, PermissionsBoundaryPolicyInputList=texts(ALL), **parameters)
        assert one["EvalDecision"] == "implicitDeny"
        assert one["EvalDecisionDetails"] == {
            "IAM Policy": "implicitDeny",
            "Permissions Boundary Policy": "allowed",
            "Resource Policy": "allowed",
        }
        denied = simulator.custom(ALL, **parameters | {"ResourcePolicy": on_object(USER, effect="Deny")})
        assert denied["EvalDecision"] == "explicitDeny"
        assert denied["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "explicitDeny"}
        alone = simulator.custom(ALL, CallerArn=USER, ResourceOwner=owner)
        assert alone["EvalDecision"] == "implicitDeny"

    def test_the_account_in_an_arn_owns_the_resource(self, simulator: Simulator) -> None:
        queue = f"arn:aws:sqs:eu-west-1:{PROD}:orders"
        parameters: dict[str, Any] = {"ActionNames": ["sqs:SendMessage"], "ResourceArns": [queue]}
        assert simulator.custom(ALL, CallerArn=USER, **parameters)["EvalDecision"] == "implicitDeny"
        assert simulator.custom(ALL, **parameters)["EvalDecision"] == "allowed"


class TestPages:
    def test_pages_cover_every_action_and_resource_once(self, simulator: Simulator) -> None:
        actions = [f"s3:Action{number}" for number in range(7)]
        resources = [OBJECT, OBJECT + "2", "*"]
        pages = simulator.client.get_paginator("simulate_custom_policy").paginate(
            PolicyInputList=texts(ALL),
            ActionNames=actions,
            ResourceArns=resources,
            PaginationConfig={"PageSize": 4},
        )
        sizes, found = [], []
        for page in pages:
            sizes.append(len(page["EvaluationResults"]))
            assert page["IsTruncated"] == (len(sizes) < 6) == ("Marker" in page)
            found += [(each["EvalActionName"], each["EvalResourceName"]) for each in page["EvaluationResults"]]
        assert sizes == [4, 4, 4, 4, 4, 1]
        assert found == [(action, resource) for action in actions for resource in resources]

    def test_a_hundred_is_a_page(self, simulator: Simulator) -> None:
        names = [f"s3:Action{number}" for number in range(101)]
        answer = simulator.client.simulate_custom_policy(PolicyInputList=texts(ALL), ActionNames=names)
        assert len(answer["EvaluationResults"]) == 100
        assert answer["IsTruncated"]

    def test_a_marker_of_another_list_is_refused(self, simulator: Simulator) -> None:
        marker = simulator.client.list_roles(MaxItems=1)["Marker"]
        for wrong in (marker, "AAAA", "é", "x" * 320):
            with refused("ValidationError", "Marker"):
                simulator.custom(ALL, Marker=wrong)


class TestCallers:
    @pytest.mark.parametrize(
        ("caller", "named", "decision"),
        [
            (USER, USER, "allowed"),
            (f"arn:aws:iam::{DEV}:user/other", USER, "implicitDeny"),
            (SESSION, SESSION, "allowed"),
            (SESSION, f"arn:aws:iam::{DEV}:role/deploy", "allowed"),
            (f"arn:aws:iam::{DEV}:role/ci/deploy", f"arn:aws:iam::{DEV}:role/ci/deploy", "allowed"),
            (f"arn:aws:iam::{DEV}:role/ci/deploy", SESSION, "implicitDeny"),
            (FEDERATED, FEDERATED, "allowed"),
            (FEDERATED, ROOT, "implicitDeny"),
            (ROOT, DEV, "allowed"),
            (f"arn:aws:iam::{DEV}:group/g", "*", "allowed"),
        ],
    )
    def test_whom_a_resource_policy_names(self, simulator: Simulator, caller: str, named: str, decision: str) -> None:
        result = simulator.custom(NOTHING, CallerArn=caller, ResourcePolicy=on_object(named))
        assert result["EvalDecision"] == decision

    def test_the_root_needs_no_policy(self, simulator: Simulator) -> None:
        assert simulator.custom(NOTHING, CallerArn=ROOT)["EvalDecision"] == "allowed"

    def test_a_session_policy_narrows(self, simulator: Simulator) -> None:
        narrow = members("SessionPolicyInputList", [document(allow("s3:Put*", "*"))])
        assert simulator.custom(ALL, CallerArn=SESSION)["EvalDecision"] == "allowed"
        assert simulator.custom(ALL, CallerArn=SESSION, extra=narrow)["EvalDecision"] == "implicitDeny"
        wide = members("SessionPolicyInputList", [document(allow("s3:Put*", "*")), ALL])
        assert simulator.custom(ALL, CallerArn=SESSION, extra=wide)["EvalDecision"] == "allowed"
        assert simulator.custom(NOTHING, CallerArn=SESSION, extra=wide)["EvalDecision"] == "implicitDeny"

    def test_a_federated_session_without_session_policies_may_nothing(self, simulator: Simulator) -> None:
        wide = members("SessionPolicyInputList", [ALL])
        flag = {"FederatedSession": "true"}
        assert simulator.custom(ALL, CallerArn=FEDERATED)["EvalDecision"] == "implicitDeny"
        assert simulator.custom(ALL, CallerArn=FEDERATED, extra=flag)["EvalDecision"] == "implicitDeny"
        assert simulator.custom(ALL, CallerArn=USER, extra=flag)["EvalDecision"] == "implicitDeny"
        assert simulator.custom(ALL, CallerArn=USER, extra=flag | wide)["EvalDecision"] == "allowed"
        assert simulator.custom(ALL, CallerArn=FEDERATED, extra=wide)["EvalDecision"] == "allowed"
        assert simulator.custom(NOTHING, CallerArn=FEDERATED, extra=wide)["EvalDecision"] == "implicitDeny"

    def test_a_policy_that_names_the_user_needs_the_federated_session_policy(self, simulator: Simulator) -> None:
        flag = {"FederatedSession": "true"}
        named: dict[str, Any] = {"CallerArn": USER, "ResourcePolicy": on_object(USER)}
        assert simulator.custom(NOTHING, **named)["EvalDecision"] == "allowed"
        assert simulator.custom(NOTHING, extra=flag, **named)["EvalDecision"] == "implicitDeny"

    def test_a_resource_control_policy(self, simulator: Simulator) -> None:
        cap = members("ResourceControlPolicyInputList", [document(deny("s3:*", "*", principal="*"))])
        result = simulator.custom(ALL, CallerArn=USER, extra=cap)
        assert result["EvalDecision"] == "explicitDeny"
        assert result["MatchedStatements"][0]["SourcePolicyId"] == "ResourceControlPolicyInputList.1"


class TestTrust:
    @staticmethod
    def ask(simulator: Simulator, trust: dict[str, Any], caller: str, *context: Any, **parameters: Any) -> str:
        asked = {
            "ActionNames": ["sts:AssumeRole"],
            "ResourceArns": [ROLE],
            "CallerArn": caller,
            "ResourcePolicy": json.dumps(document(trust)),
            "ContextEntries": list(context),
        }
        result: str = simulator.custom(*parameters.pop("identity", (ALL,)), **asked | parameters)["EvalDecision"]
        return result

    def test_an_external_id(self, simulator: Simulator) -> None:
        condition = {"StringEquals": {"sts:ExternalId": "right-1"}}
        trust = allow("sts:AssumeRole", None, {"AWS": ROOT}, condition)
        assert self.ask(simulator, trust, USER, entry("sts:ExternalId", "right-1")) == "allowed"
        assert self.ask(simulator, trust, USER, entry("sts:ExternalId", "wrong-1")) == "implicitDeny"
        assert self.ask(simulator, trust, USER) == "implicitDeny"
        assert self.ask(simulator, trust, SESSION, entry("sts:ExternalId", "right-1")) == "allowed"
        assert (
            self.ask(simulator, trust, USER, entry("sts:ExternalId", "right-1"), identity=[NOTHING]) == "implicitDeny"
        )

    def test_an_identity_policy_alone_lets_nobody_in(self, simulator: Simulator) -> None:
        trust = allow("sts:AssumeRole", None, {"AWS": f"arn:aws:iam::{PROD}:user/other"})
        assert self.ask(simulator, trust, f"arn:aws:iam::{PROD}:user/alice") == "implicitDeny"

    def test_a_provider_with_the_claims_of_a_token(self, simulator: Simulator) -> None:
        key = "token.actions.githubusercontent.com:sub"
        action = "sts:AssumeRoleWithWebIdentity"
        trust = allow(action, None, {"Federated": PROVIDER}, {"StringLike": {key: "repo:acme/*"}})
        right, wrong = entry(key, "repo:acme/site:ref:refs/heads/main"), entry(key, "repo:evil/site:ref:x")
        ask = {"ActionNames": [action], "identity": []}
        assert self.ask(simulator, trust, PROVIDER, right, **ask) == "allowed"
        assert self.ask(simulator, trust, PROVIDER, wrong, **ask) == "implicitDeny"
        assert self.ask(simulator, trust, PROVIDER.replace(PROD, DEV), right, **ask) == "implicitDeny"
        assert self.ask(simulator, trust, PROVIDER, right, ActionNames=["sts:TagSession"]) == "implicitDeny"


class TestContextTypes:
    @pytest.mark.parametrize(
        ("kind", "values", "operator", "expected"),
        [
            ("string", ["a"], "StringEquals", "a"),
            ("stringList", ["x", "a"], "ForAnyValue:StringEquals", "a"),
            ("numeric", ["5"], "NumericLessThan", "6"),
            ("numericList", ["9", "5"], "ForAnyValue:NumericLessThan", "6"),
            ("boolean", ["true"], "Bool", "true"),
            ("booleanList", ["false", "true"], "ForAnyValue:Bool", "true"),
            ("ip", ["10.1.2.3"], "IpAddress", "10.0.0.0/8"),
            ("ipList", ["2001:db8::1", "10.1.2.3"], "ForAnyValue:IpAddress", "10.0.0.0/8"),
            ("binary", ["QQ=="], "BinaryEquals", "QQ=="),
            ("binaryList", ["Qg==", "QQ=="], "ForAnyValue:BinaryEquals", "QQ=="),
            ("date", ["2026-01-01T00:00:00Z"], "DateLessThan", "2026-01-02"),
            ("dateList", ["2027-01-01", "0"], "ForAnyValue:DateLessThan", "2026-01-02"),
        ],
    )
    def test_each(self, simulator: Simulator, kind: str, values: list[str], operator: str, expected: str) -> None:
        policy = document(allow("s3:*", "*", None, {operator: {"test:key": expected}}))
        entries = [entry("test:key", *values, kind=kind)]
        assert simulator.custom(policy, ContextEntries=entries)["EvalDecision"] == "allowed"
        assert simulator.custom(policy)["EvalDecision"] == "implicitDeny"

    def test_an_empty_list_is_no_key(self, simulator: Simulator) -> None:
        policy = document(allow("s3:*", "*", None, {"Null": {"aws:TagKeys": "true"}}))
        entries = [entry("aws:TagKeys", kind="stringList")]
        assert simulator.custom(policy, ContextEntries=entries)["EvalDecision"] == "allowed"


EC2 = "arn:aws:ec2:eu-west-1:111122223333:"
INSTANCE = [EC2 + kind for kind in ("instance/*", "image/*", "security-group/*", "network-interface/*")]


class TestRefusals:
    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"PolicyInputList": ["{"]}, r"PolicyInputList\.1: policy \(line 1\)"),
            ({"PolicyInputList": texts(ALL, document({"Effect": "Allow"}))}, r"PolicyInputList\.2: /Statement/0"),
            ({"PolicyInputList": texts(document(allow("s3:*", "*", "*")))}, r"PolicyInputList\.1: .*Principal"),
            ({"PermissionsBoundaryPolicyInputList": texts(ALL, ALL)}, "PermissionsBoundaryPolicyInputList: .* one"),
            (
                {"OrderedOrganizationPolicyInputList": [{"ServiceControlPolicyInputList": []}]},
                r"OrderedOrganizationPolicyInputList\.1: ",
            ),
            ({"ResourcePolicy": on_object("*")}, "CallerArn is required with ResourcePolicy"),
            ({"ResourcePolicy": json.dumps(ALL), "CallerArn": USER}, "ResourcePolicy: .*Principal"),
            (
                {"ResourcePolicy": json.dumps(document(allow("sts:AssumeRole", None, "*"))), "CallerArn": USER},
                "ResourcePolicy: .*Resource",
            ),
            ({"CallerArn": "alice"}, "CallerArn: 'alice' is not an ARN"),
            ({"CallerArn": "arn:aws:iam::1:user/alice"}, "CallerArn: .* account"),
            ({"CallerArn": "arn:aws:s3:::b"}, "CallerArn: "),
            ({"CallerArn": f"arn:aws:iam::{DEV}:user/al ice"}, "CallerArn: "),
            ({"CallerArn": f"arn:aws:sts::{DEV}:assumed-role/x"}, "CallerArn: "),
            ({"ResourceOwner": DEV}, "ResourceOwner: "),
            ({"ResourceOwner": USER}, "ResourceOwner: "),
            ({"ActionNames": ["s3:*"]}, r"ActionNames\.1: .*wildcard"),
            ({"ActionNames": ["ListBuckets"]}, r"ActionNames\.1: .*service:Name"),
            ({"ActionNames": [READ], "ResourceArns": ["b/k"]}, r"ResourceArns\.1: 'b/k' is not an ARN"),
            ({"ContextEntries": [entry("a:key1", "x", kind="numeric")]}, r"ContextEntries\.1\.ContextKeyValues\.1"),
            ({"ContextEntries": [entry("a:key1", "x", kind="boolean")]}, "neither true nor false"),
            ({"ContextEntries": [entry("a:key1", "10.0.0.0/8", kind="ip")]}, r"ContextKeyValues\.1"),
            ({"ContextEntries": [entry("a:key1", "noon", kind="dateList")]}, "not a date"),
            ({"ContextEntries": [entry("a:key1", "a", "b")]}, "use stringList"),
            ({"ContextEntries": [entry("a:key1", "a"), entry("A:KEY1", "a")]}, "given twice"),
            ({"ResourceHandlingOption": "EC2-Moon"}, "ResourceHandlingOption: "),
            (
                {"ResourceHandlingOption": "EC2-VPC-EBS", "ResourceArns": INSTANCE},
                "needs resources of these kinds, too: volume",
            ),
        ],
    )
    def test_of_inputs(self, simulator: Simulator, parameters: dict[str, Any], text: str) -> None:
        with refused("InvalidInput", text):
            simulator.custom(ALL, **parameters)

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"ActionNames": ["s3"]}, r"'actionNames\.1\.member'.*greater than or equal to 3"),
            ({"ContextEntries": [entry("a:b", "x")]}, r"contextKeyName.*greater than or equal to 5"),
            ({"ContextEntries": [entry("a:key1", "x", kind="text")]}, "contextKeyType.*enum"),
            ({"MaxItems": 0}, "maxItems.*greater than or equal to 1"),
            ({"MaxItems": 1001}, "maxItems.*less than or equal to 1000"),
            ({"OrderedOrganizationPolicyInputList": [{"ServiceControlPolicyInputList": texts(ALL)}] * 8}, "equal to 7"),
            ({"extra": {"Extra": "1"}}, "'Extra' is not one that this action takes"),
        ],
    )
    def test_of_shapes(self, simulator: Simulator, parameters: dict[str, Any], text: str) -> None:
        with refused("ValidationError", text):
            simulator.custom(ALL, **parameters)

    def test_a_session_cannot_make_federated_sessions(self, simulator: Simulator) -> None:
        with refused("InvalidInput", "FederatedSession: "):
            simulator.custom(ALL, CallerArn=SESSION, extra={"FederatedSession": "true"})

    def test_a_scenario_with_its_resources_is_answered(self, simulator: Simulator) -> None:
        answer = simulator.client.simulate_custom_policy(
            PolicyInputList=texts(ALL),
            ActionNames=["ec2:RunInstances"],
            ResourceArns=INSTANCE,
            ResourceHandlingOption="EC2-VPC-InstanceStore",
        )
        assert [each["EvalDecision"] for each in answer["EvaluationResults"]] == ["allowed"] * 4

    def test_the_permission(self, gateway: Gateway) -> None:
        with refused("AccessDenied", r"iam:SimulateCustomPolicy on resource: \*"):
            Simulator(gateway, BOB).custom(ALL)


class TestAgreement:
    """What is simulated of a configuration is what its gateway does."""

    @pytest.mark.parametrize(("name", "key"), [("people/alice", ALICE), ("bob", BOB), ("dave", DAVE)])
    @pytest.mark.parametrize("external_id", ["right-1", "wrong-1"])
    def test_with_the_gateway(self, gateway: Gateway, name: str, key: dict[str, str], external_id: str) -> None:
        snapshot = load(gateway.directory, environ={})
        entity = source(snapshot, f"arn:aws:iam::{DEV}:user/{name}", datetime.now(UTC), place="")
        given = Given(
            actions=("sts:AssumeRole",),
            context=(
                ContextEntry("sts:ExternalId", (external_id,), "string"),
                ContextEntry("sts:RoleSessionName", ("agreement",), "string"),
            ),
        )
        simulated = simulation(snapshot, entity, given, Exclusions(), snapshot.accounts)
        client = gateway.client(credentials=key)
        verdicts = set()
        for role in (role for account in snapshot.accounts.values() for role in account.roles.values()):
            allowed = simulated.decide("sts:AssumeRole", role.arn).allowed
            assert _assumes(client, role.arn, external_id) == allowed, role.arn
            verdicts.add(allowed)
        assert verdicts == {True, False}


def _assumes(client: Any, arn: str, external_id: str) -> bool:
    try:
        client.assume_role(RoleArn=arn, RoleSessionName="agreement", ExternalId=external_id)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    return True

"""AssumeRole by an unmodified boto3: who may, on which conditions, within which limits."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from broker.ids import account_of
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import ALICE, BOB, CAROL, DAVE, DEV, PROD, role_arn
from tests.gateway import Gateway


def assume(client: Any, name: str, account: str = PROD, **parameters: Any) -> Any:
    return client.assume_role(RoleArn=role_arn(name, account), RoleSessionName="test", **parameters)


def test_the_result_has_aws_shape(gateway: Gateway, alice: Any) -> None:
    result = assume(alice, "partners/external", ExternalId="right-1")
    role_id = result["AssumedRoleUser"]["AssumedRoleId"].partition(":")[0]
    assert result["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/external/test"
    assert role_id.startswith("AROA") and len(role_id) == 21
    credentials = result["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA") and len(credentials["AccessKeyId"]) == 20
    assert account_of(credentials["AccessKeyId"]) == PROD
    assert len(credentials["SecretAccessKey"]) == 40
    lifetime = credentials["Expiration"] - datetime.now(UTC)
    assert timedelta(seconds=3360) < lifetime <= timedelta(hours=1)
    assert "PackedPolicySize" not in result
    assert "SourceIdentity" not in result
    identity = gateway.client(credentials=credentials).get_caller_identity()
    assert identity["Arn"] == result["AssumedRoleUser"]["Arn"]
    assert identity["UserId"] == result["AssumedRoleUser"]["AssumedRoleId"]
    assert identity["Account"] == PROD


@pytest.mark.parametrize("external_id", ["wrong-1", "Right-1", "right-1 ", None])
def test_a_wrong_or_missing_external_id_is_denied(alice: Any, external_id: str | None) -> None:
    parameters = {"ExternalId": external_id} if external_id is not None else {}
    code = "ValidationError" if external_id == "right-1 " else "AccessDenied"
    with refused(code):
        assume(alice, "partners/external", **parameters)


class TestWhoMay:
    def test_an_account_named_in_its_own_account_delegates(self, gateway: Gateway, alice: Any) -> None:
        assume(alice, "delegated", DEV)
        with refused("AccessDenied", "not authorized to perform: sts:AssumeRole on resource"):
            assume(gateway.client(credentials=BOB), "delegated", DEV)

    def test_a_user_named_in_its_own_account_needs_no_identity_policy(self, gateway: Gateway, alice: Any) -> None:
        assume(gateway.client(credentials=BOB), "named", DEV)
        with refused("AccessDenied"):
            assume(alice, "named", DEV)

    def test_an_identity_policy_alone_suffices_nowhere(self, alice: Any) -> None:
        with refused("AccessDenied"):
            assume(alice, "nobody", DEV)

    def test_across_accounts_both_sides_must_allow(self, gateway: Gateway, alice: Any) -> None:
        assume(alice, "open")
        with refused("AccessDenied"):
            assume(gateway.client(credentials=BOB), "open")
        with refused("AccessDenied"):
            assume(gateway.client(credentials=BOB), "names-bob")

    def test_an_explicit_deny_wins(self, gateway: Gateway, alice: Any) -> None:
        dave = gateway.client(credentials=DAVE)
        assume(dave, "plain")
        assume(alice, "denied")
        with refused("AccessDenied"):
            assume(dave, "denied")

    def test_a_role_that_does_not_exist_is_refused_like_one_that_refuses(self, alice: Any) -> None:
        texts = []
        lengths = set()
        for name in ("names-bob", "no-such"):
            with pytest.raises(ClientError) as error:
                assume(alice, name)
            assert error.value.response["Error"]["Code"] == "AccessDenied"
            message = error.value.response["Error"]["Message"]
            assert " Encoded authorization failure message: " in message
            texts.append(message.partition(" Encoded")[0].replace(name, "ROLE"))
            lengths.add(len(message.rpartition(" ")[2]))
        assert texts[0] == texts[1]
        assert len(lengths) == 1

    def test_the_role_path_belongs_to_the_arn(self, alice: Any) -> None:
        with refused("AccessDenied"):
            assume(alice, "external", ExternalId="right-1")

    def test_inactive_unknown_and_wrong_keys(self, gateway: Gateway) -> None:
        with refused("InvalidClientTokenId"):
            gateway.client(credentials=CAROL).get_caller_identity()
        with refused("InvalidClientTokenId"):
            gateway.client(credentials=ALICE | {"AccessKeyId": "AKIAQAAAAAAAAAAAAAAA"}).get_caller_identity()
        with refused("SignatureDoesNotMatch"):
            gateway.client(credentials=ALICE | {"SecretAccessKey": "x" * 40}).get_caller_identity()
        with refused("InvalidClientTokenId"):
            gateway.client(credentials=ALICE | {"SessionToken": "made-up"}).get_caller_identity()


class TestDuration:
    @pytest.mark.parametrize("seconds", [900, 43_200])
    def test_the_edges_are_accepted(self, alice: Any, seconds: int) -> None:
        result = assume(alice, "open", DurationSeconds=seconds)
        lifetime = (result["Credentials"]["Expiration"] - datetime.now(UTC)).total_seconds()
        assert seconds - 240 < lifetime <= seconds

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(899, "greater than or equal to 900"), (43_201, "less than or equal to 43200")],
    )
    def test_past_the_range_of_the_api(self, alice: Any, seconds: int, text: str) -> None:
        with refused(
            "ValidationError", f"'durationSeconds' failed to satisfy constraint: Member must have value {text}"
        ):
            assume(alice, "open", DurationSeconds=seconds)

    def test_the_roles_own_maximum(self, alice: Any) -> None:
        assume(alice, "partners/external", ExternalId="right-1", DurationSeconds=7200)
        with refused("ValidationError", "exceeds the MaxSessionDuration set for this role"):
            assume(alice, "partners/external", ExternalId="right-1", DurationSeconds=7201)

    def test_nothing_about_the_role_is_told_to_whom_it_does_not_trust(self, alice: Any) -> None:
        with refused("AccessDenied"):
            assume(alice, "partners/external", ExternalId="wrong", DurationSeconds=7201)

    def test_chaining_ends_after_an_hour(self, gateway: Gateway, alice: Any) -> None:
        chained = gateway.client(credentials=assume(alice, "open", DurationSeconds=43_200)["Credentials"])
        assume(chained, "next", DurationSeconds=3600)
        with refused("ValidationError", "exceeds the 1 hour session limit for roles assumed by role chaining"):
            assume(chained, "next", DurationSeconds=3601)


class TestNames:
    @pytest.mark.parametrize("name", ["ab", "a" * 64, "a+=,.@-_1"])
    def test_accepted(self, alice: Any, name: str) -> None:
        result = alice.assume_role(RoleArn=role_arn("open"), RoleSessionName=name)
        assert result["AssumedRoleUser"]["Arn"].endswith(f"/{name}")

    @pytest.mark.parametrize("name", ["a" * 65, "with space", "ünïcode", "a/b", "a:b", "ab\n"])
    def test_refused(self, alice: Any, name: str) -> None:
        with refused("ValidationError", "roleSessionName"):
            alice.assume_role(RoleArn=role_arn("open"), RoleSessionName=name)

    def test_all_faults_come_in_one_answer(self, alice: Any) -> None:
        with refused("ValidationError", "3 validation errors detected"):
            alice.assume_role(
                RoleArn=role_arn("open"),
                RoleSessionName="a b",
                DurationSeconds=1000,
                ExternalId="a b",
                SourceIdentity="a b",
            )


class TestTags:
    def test_tags_need_tag_session_in_the_trust_policy(self, alice: Any) -> None:
        tags = [{"Key": "team", "Value": "web"}]
        assert assume(alice, "tagged", Tags=tags)["PackedPolicySize"] == 1
        with refused("AccessDenied", "sts:TagSession"):
            assume(alice, "plain", Tags=tags)

    def test_a_condition_on_a_tag_decides(self, alice: Any) -> None:
        with refused("AccessDenied"):
            assume(alice, "tagged", Tags=[{"Key": "team", "Value": "ops"}])
        with refused("AccessDenied"):
            assume(alice, "tagged")

    @pytest.mark.parametrize("keys", [("team", "team"), ("Team", "tEAM")])
    def test_keys_are_compared_without_case(self, alice: Any, keys: tuple[str, str]) -> None:
        with refused("InvalidParameterValue", "Tag keys are case insensitive"):
            assume(alice, "open", Tags=[{"Key": key, "Value": "x"} for key in keys])

    def test_a_transitive_key_must_be_a_tag(self, alice: Any) -> None:
        assume(alice, "open", Tags=[{"Key": "Team", "Value": "x"}], TransitiveTagKeys=["tEAM"])
        with refused("InvalidParameterValue", "must be included in the requested tags"):
            assume(alice, "open", Tags=[{"Key": "team", "Value": "x"}], TransitiveTagKeys=["other"])

    def test_fifty_tags_and_one_more(self, alice: Any) -> None:
        tags = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]
        assume(alice, "open", Tags=tags[:50])
        with refused("ValidationError", "tags"):
            assume(alice, "open", Tags=tags)

    @pytest.mark.parametrize(("key", "value"), [("k" * 128, "v" * 256), ("schlüssel", "wert ü"), ("a b_.:/=+-@", "")])
    def test_limits_of_a_tag(self, alice: Any, key: str, value: str) -> None:
        assume(alice, "open", Tags=[{"Key": key, "Value": value}])

    @pytest.mark.parametrize(
        ("key", "value", "code"),
        [
            ("k" * 129, "v", "ValidationError"),
            ("k", "v" * 257, "ValidationError"),
            ("k#", "v", "ValidationError"),
            ("aws:k", "v", "InvalidParameterValue"),
        ],
    )
    def test_past_the_limits_of_a_tag(self, alice: Any, key: str, value: str, code: str) -> None:
        with refused(code):
            assume(alice, "open", Tags=[{"Key": key, "Value": value}])

    def test_transitive_tags_go_on_and_cannot_be_replaced(self, gateway: Gateway, alice: Any) -> None:
        first = assume(
            alice,
            "open",
            Tags=[{"Key": "Project", "Value": "p1"}, {"Key": "lost", "Value": "x"}],
            TransitiveTagKeys=["project"],
        )
        chained = gateway.client(credentials=first["Credentials"])
        with refused("InvalidParameterValue", "conflicts with a transitive tag key"):
            assume(chained, "next", Tags=[{"Key": "PROJECT", "Value": "p2"}])
        second = assume(chained, "middle", Tags=[{"Key": "lost", "Value": "y"}])
        third = assume(gateway.client(credentials=second["Credentials"]), "next")
        tags = [_claims(each)["principal_tags"] for each in (first, second, third)]
        assert tags[0] == {"Team": "ops", "stage": "prod", "Project": "p1", "lost": "x"}
        assert tags[1] == {"Project": "p1", "lost": "y"}
        assert tags[2] == {"Project": "p1"}

    def test_inherited_tags_need_tag_session_too(self, gateway: Gateway, alice: Any) -> None:
        first = assume(alice, "open", Tags=[{"Key": "a", "Value": "b"}], TransitiveTagKeys=["a"])
        with refused("AccessDenied"):
            assume(gateway.client(credentials=first["Credentials"]), "plain")


class TestSourceIdentity:
    def test_it_needs_its_permission_and_is_returned(self, alice: Any) -> None:
        assert assume(alice, "open", SourceIdentity="alice@acme")["SourceIdentity"] == "alice@acme"
        with refused("AccessDenied", "sts:SetSourceIdentity"):
            assume(alice, "plain", SourceIdentity="alice")

    def test_a_condition_on_it_decides(self, alice: Any) -> None:
        assume(alice, "identified", SourceIdentity="alice.smith")
        with refused("AccessDenied", "sts:SetSourceIdentity"):
            assume(alice, "identified", SourceIdentity="mallory")
        with refused("AccessDenied", "sts:AssumeRole"):
            assume(alice, "identified")

    def test_it_stays_through_chains(self, gateway: Gateway, alice: Any) -> None:
        first = gateway.client(credentials=assume(alice, "open", SourceIdentity="alice")["Credentials"])
        assert assume(first, "next")["SourceIdentity"] == "alice"
        assert assume(first, "next", SourceIdentity="alice")["SourceIdentity"] == "alice"
        with refused("ValidationError", "The source identity is already set for this assume role session"):
            assume(first, "next", SourceIdentity="bob-the-builder")

    @pytest.mark.parametrize("value", ["a", "a b", "aws:x"])
    def test_bad_values(self, alice: Any, value: str) -> None:
        with refused("ValidationError", "sourceIdentity"):
            assume(alice, "open", SourceIdentity=value)


class TestSessionPolicies:
    POLICY = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    )

    def test_a_session_policy_narrows(self, gateway: Gateway, alice: Any) -> None:
        narrowed = gateway.client(credentials=assume(alice, "open", Policy=self.POLICY)["Credentials"])
        narrowed.get_caller_identity()
        with refused("AccessDenied"):
            assume(narrowed, "next")

    def test_managed_ones_narrow_too(self, gateway: Gateway, alice: Any) -> None:
        reader = [{"arn": f"arn:aws:iam::{PROD}:policy/reader"}]
        admin = [{"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}]
        with refused("AccessDenied"):
            assume(gateway.client(credentials=assume(alice, "open", PolicyArns=reader)["Credentials"]), "next")
        assume(gateway.client(credentials=assume(alice, "open", PolicyArns=admin)["Credentials"]), "next")

    def test_packed_policy_size(self, alice: Any) -> None:
        assert 1 <= assume(alice, "open", Policy=self.POLICY)["PackedPolicySize"] <= 5

    @pytest.mark.parametrize(
        ("policy", "text"),
        [
            ("not json", "line 1"),
            ('{"Version":"2012-10-17"}', "Statement"),
            (
                '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Efect":"x"}]}',
                "Efect",
            ),
            (
                '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}',
                "Principal",
            ),
        ],
    )
    def test_a_malformed_one_is_refused_with_the_place(self, alice: Any, policy: str, text: str) -> None:
        with refused("MalformedPolicyDocument", text):
            assume(alice, "open", Policy=policy)

    def test_the_limit_on_characters(self, alice: Any) -> None:
        padding = 2048 - len(self.POLICY)
        assume(alice, "open", Policy=self.POLICY + " " * padding)
        with refused("PackedPolicyTooLarge"):
            assume(alice, "open", Policy=self.POLICY + " " * (padding + 1))

    def test_what_is_too_long_is_not_read(self, alice: Any) -> None:
        """Reading it takes a good part of a second, and whoever has a token of a public issuer may send it."""
        with refused("PackedPolicyTooLarge"):
            assume(alice, "open", Policy="[" * 131_072)

    def test_policy_arns_ten_and_eleven(self, alice: Any) -> None:
        reader = [{"arn": f"arn:aws:iam::{PROD}:policy/reader"}]
        assume(alice, "open", PolicyArns=reader * 10)
        with refused("ValidationError", "policyArns"):
            assume(alice, "open", PolicyArns=reader * 11)

    @pytest.mark.parametrize("arn", [f"arn:aws:iam::{PROD}:policy/none", f"arn:aws:iam::{DEV}:policy/reader"])
    def test_a_managed_policy_that_is_not_there_is_refused(self, alice: Any, arn: str) -> None:
        with refused("ValidationError"):
            assume(alice, "open", PolicyArns=[{"arn": arn}])


def test_what_is_not_implemented_is_refused(alice: Any) -> None:
    with refused("ValidationError", "ProvidedContexts"):
        assume(
            alice,
            "open",
            ProvidedContexts=[{"ProviderArn": "arn:aws:iam::aws:contextProvider/x", "ContextAssertion": "abcd"}],
        )


def test_a_denial_is_decoded_for_who_may(gateway: Gateway, alice: Any) -> None:
    with pytest.raises(ClientError) as error:
        assume(alice, "partners/external", ExternalId="wrong-1")
    message = _encoded(error.value)
    decoded = _decoded(gateway.client(credentials=assume(alice, "plain")["Credentials"]), message)
    assert decoded["allowed"] is False and decoded["explicitDeny"] is False
    assert decoded["context"]["principal"]["arn"] == f"arn:aws:iam::{DEV}:user/people/alice"
    text = json.dumps(decoded)
    assert '"key": "sts:ExternalId"' in text and '"right-1"' in text and '"wrong-1"' in text
    assert "user/alice" not in text, "policies of the caller's account"
    with refused("AccessDenied", "sts:DecodeAuthorizationMessage"):
        gateway.client(credentials=BOB).decode_authorization_message(EncodedMessage=message)
    for bent in (
        message[:-1],
        "A" + message[1:],
        message[:50] + ("A" if message[50] != "A" else "B") + message[51:],
        "abc",
        "é",
    ):
        with refused("InvalidAuthorizationMessageException"):
            alice.decode_authorization_message(EncodedMessage=bent)


def test_the_callers_account_learns_nothing_of_another_accounts_role(alice: Any) -> None:
    told = {}
    for name in ("tagged", "missing"):
        with pytest.raises(ClientError) as error:
            assume(alice, name)
        decoded = _decoded(alice, _encoded(error.value))
        assert [policy["name"] for policy in decoded["explanation"]["policies"]] == ["inline policy p of user/alice"]
        conditions = decoded["context"].pop("conditions")
        keys = [condition["key"] for condition in conditions["items"]]
        told[name] = json.dumps([decoded, keys]).replace(role_arn(name), "the role")
    assert told["tagged"] == told["missing"]


def _encoded(error: ClientError) -> str:
    message: str = error.response["Error"]["Message"].partition("failure message: ")[2]
    return message


def _decoded(client: Any, encoded: str) -> Any:
    return json.loads(client.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])


def _claims(result: Any) -> Any:
    import jwt

    return jwt.decode(result["Credentials"]["SessionToken"], options={"verify_signature": False})

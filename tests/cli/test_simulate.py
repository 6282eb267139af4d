"""`sojourn simulate`: would this caller, with this token or external id, get into this role?"""

import copy
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.cli import sojourn
from tests.end_to_end.world import ACCOUNTS, DEV, PROD, allow, deny, document, inline, role, role_arn
from tests.fakes.issuer import SigningKey, compact
from tests.gateway import SOJOURN, clean_environment, write_configuration

ALICE = f"arn:aws:iam::{DEV}:user/people/alice"
ISSUER = "https://token.actions.githubusercontent.com"
KEY = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::{PROD}:oidc-provider/{KEY}"
GITHUB = {"Federated": PROVIDER}
SIGNER = SigningKey.make("anybody's", "ES256")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    accounts = copy.deepcopy(ACCOUNTS)
    accounts["dev"]["Users"].append({"UserName": "capped", "Policies": inline(allow("*", "*"))})
    accounts["prod"]["OIDCProviders"] = [
        {"Url": ISSUER, "ClientIdList": ["sts.amazonaws.com"], "SessionTags": {"Repository": "repository"}}
    ]
    accounts["prod"]["ResourceControlPolicies"] = [
        {
            "Name": "nobody-capped",
            "PolicyDocument": document(
                deny(
                    "sts:AssumeRole",
                    "*",
                    principal="*",
                    condition={"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{DEV}:user/capped"}},
                )
            ),
        }
    ]
    web = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]
    main = {"StringEquals": {f"{KEY}:aud": "sts.amazonaws.com", f"{KEY}:ref": "refs/heads/main"}}
    accounts["prod"]["Roles"] += [
        role("site", allow(web, principal=GITHUB, condition=main)),
        role("untagged", allow(web[0], principal=GITHUB, condition=main)),
    ]
    directory: Path = tmp_path_factory.mktemp("simulate")
    write_configuration(directory, accounts)
    return directory


@pytest.fixture
def ask(config: Path) -> Any:
    def run(*words: object) -> Result:
        return CliRunner().invoke(sojourn, ["simulate", "--config", str(config), *map(str, words)], env={})

    return run


def assume(role_name: str, principal: str = ALICE, account: str = PROD) -> list[str]:
    return ["--principal", principal, "--action", "sts:AssumeRole", "--resource", role_arn(role_name, account)]


@pytest.fixture
def token(tmp_path: Path) -> Any:
    def write(**bend: Any) -> Path:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "sts.amazonaws.com",
            "iat": now,
            "exp": now + 300,
            "ref": "refs/heads/main",
            "repository": "acme/app",
        } | bend
        path = tmp_path / "token"
        path.write_text(compact({"typ": "JWT", "alg": "ES256", "kid": "x"}, claims, SIGNER) + "\n")
        return path

    return write


class TestCallers:
    def test_an_external_id_decides(self, ask: Any) -> None:
        right = ask(*assume("partners/external"), "--external-id", "right-1")
        assert right.exit_code == 0
        assert right.stdout.startswith(f"allowed: {ALICE} sts:AssumeRole {role_arn('partners/external')}\n")
        wrong = ask(*assume("partners/external"), "--external-id", "wrong-1")
        assert wrong.exit_code == 1
        assert "because no role trust policy allows the sts:AssumeRole action" in wrong.stdout
        assert "StringEquals sts:ExternalId: expected 'right-1', is 'wrong-1'" in wrong.stdout
        without = ask(*assume("partners/external"))
        assert without.exit_code == 1
        assert "keys the request lacks: sts:ExternalId" in without.stdout

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            (assume("delegated", account=DEV), 0),
            (assume("delegated", f"arn:aws:iam::{DEV}:user/bob", DEV), 1),
            (assume("named", f"arn:aws:iam::{DEV}:user/bob", DEV), 0),
            (assume("nobody", account=DEV), 1),
            (assume("open", f"arn:aws:iam::{DEV}:root"), 0),
            (assume("names-bob", f"arn:aws:iam::{DEV}:root"), 1),
            (assume("next", role_arn("open")), 0),
            (assume("next", f"arn:aws:sts::{PROD}:assumed-role/open/me"), 0),
            (assume("next", f"arn:aws:sts::{PROD}:assumed-role/external/me"), 1),
            (assume("open", f"arn:aws:sts::{DEV}:federated-user/guest"), 1),
            (assume("denied", f"arn:aws:iam::{DEV}:user/dave"), 1),
            (assume("open", f"arn:aws:iam::{DEV}:user/capped"), 1),
            (assume("plain", PROVIDER), 1),
        ],
    )
    def test_of_every_kind(self, ask: Any, words: list[str], status: int) -> None:
        assert ask(*words).exit_code == status

    def test_tags_and_a_source_identity_need_permissions_of_their_own(self, ask: Any) -> None:
        assert ask(*assume("plain")).exit_code == 0
        tagged = ask(*assume("plain"), "--context", "aws:RequestTag/team=web")
        assert tagged.exit_code == 1
        assert f"implicitDeny: {ALICE} sts:TagSession" in tagged.stdout
        assert ask(*assume("tagged"), "--context", "aws:RequestTag/team=web").exit_code == 0
        assert ask(*assume("tagged"), "--context", "aws:RequestTag/team=ops").exit_code == 1
        assert ask(*assume("identified"), "--context", "sts:SourceIdentity=alice7").exit_code == 0
        assert ask(*assume("identified"), "--context", "sts:SourceIdentity=bob").exit_code == 1

    def test_another_action_on_another_resource(self, ask: Any) -> None:
        words = ["--principal", ALICE, "--action", "s3:GetObject", "--action", "ec2:RunInstances"]
        ended = ask(*words, "--resource", "arn:aws:s3:::b/k")
        assert ended.exit_code == 1
        assert ended.stdout.startswith("allowed: ")
        assert f"implicitDeny: {ALICE} ec2:RunInstances" in ended.stdout
        assert ended.stdout.endswith("\ndenied\n")

    def test_json_names_the_statement(self, ask: Any) -> None:
        ended = ask(*assume("partners/external"), "--external-id", "wrong-1", "--json")
        assert ended.exit_code == 1
        told = json.loads(ended.stdout)
        assert told["allowed"] is False
        [decision] = told["decisions"]
        assert decision["decision"] == "implicitDeny"
        [trust] = (each for each in decision["policies"] if each["kind"] == "trust")
        [reason] = trust["statements"][0]["reasons"]
        assert (reason["key"], reason["expected"], reason["actual"]) == ("sts:ExternalId", ["right-1"], ["wrong-1"])


class TestTokens:
    SITE = ("--resource", role_arn("site"))

    def test_the_claims_decide(self, ask: Any, token: Any) -> None:
        right = ask("--web-identity", token(), *self.SITE)
        assert right.exit_code == 0, right.stdout
        assert right.stdout.startswith("unverified claims of a token for " + PROVIDER)
        assert "nobody checked its signature" in right.stdout
        assert f"  {KEY}:ref = refs/heads/main\n" in right.stdout
        assert f"allowed: {PROVIDER} sts:TagSession" in right.stdout
        wrong = ask("--web-identity", token(ref="refs/heads/evil"), *self.SITE)
        assert wrong.exit_code == 1
        assert f"StringEquals {KEY}:ref: expected 'refs/heads/main', is 'refs/heads/evil'" in wrong.stdout

    def test_session_tags_need_a_permission(self, ask: Any, token: Any) -> None:
        ended = ask("--web-identity", token(), "--resource", role_arn("untagged"))
        assert ended.exit_code == 1
        assert f"allowed: {PROVIDER} sts:AssumeRoleWithWebIdentity" in ended.stdout
        assert f"implicitDeny: {PROVIDER} sts:TagSession" in ended.stdout

    def test_a_token_for_somebody_else_is_refused(self, ask: Any, token: Any) -> None:
        ended = ask("--web-identity", token(aud="somebody-else"), *self.SITE)
        assert ended.exit_code == 1
        assert "the gateway would refuse this token: its audience is somebody-else" in ended.stdout

    def test_tags_that_no_session_may_have_are_refused(self, ask: Any, token: Any) -> None:
        tags = {"principal_tags": {"aws:x": ["1"]}, "transitive_tag_keys": []}
        ended = ask("--web-identity", token(**{"https://aws.amazon.com/tags": tags}), *self.SITE)
        assert ended.exit_code == 1
        assert "the gateway would refuse this token: Tag keys that begin with aws:" in ended.stdout

    def test_an_old_token_is_good_for_a_question(self, ask: Any, token: Any) -> None:
        ended = ask("--web-identity", token(iat=1_700_000_000, exp=1_700_000_300), *self.SITE)
        assert ended.exit_code == 0
        assert "note: it expired at 2023-11-14T22:18:20Z" in ended.stdout

    def test_json_says_unverified(self, ask: Any, token: Any) -> None:
        told = json.loads(ask("--web-identity", token(), *self.SITE, "--json").stdout)
        assert told["allowed"] is True
        assert told["unverified_token"]["provider"] == PROVIDER
        assert told["unverified_token"]["context"][f"{KEY}:repository"] == ["acme/app"]

    def test_no_provider_for_the_issuer(self, ask: Any, token: Any) -> None:
        ended = ask("--web-identity", token(iss="https://evil.test"), *self.SITE)
        assert ended.exit_code == 1
        assert "No OpenIDConnect provider found in your account for https://evil.test" in ended.stderr

    def test_what_is_no_token(self, ask: Any, tmp_path: Path) -> None:
        (tmp_path / "token").write_bytes(b"\xff\x00not a token")
        ended = ask("--web-identity", tmp_path / "token", *self.SITE)
        assert ended.exit_code == 1
        assert "not a valid JWT" in ended.stderr

    def test_what_a_terminal_must_not_see_is_not_printed(self, ask: Any, token: Any) -> None:
        ended = ask("--web-identity", token(**{"actor": "x\u202ey", "\u202e": "x"}), *self.SITE)
        assert "actor = 'x\\u202ey'" in ended.stdout
        assert "\u202e" not in ended.stdout


def test_as_a_process(config: Path) -> None:
    command = [str(SOJOURN), "simulate", "--config", str(config), *assume("open")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("allowed: ")


class TestUsage:
    @pytest.mark.parametrize(
        ("words", "text"),
        [
            ([], "--principal"),
            (["--principal", ALICE], "--action"),
            (assume("none"), "there is no role"),
            (["--principal", ALICE, "--action", "sts:AssumeRole"], "there is no role"),
            (assume("open", f"arn:aws:iam::{DEV}:user/nobody"), "nobody cannot be found"),
            (assume("open", "arn:aws:iam::999999999999:user/alice"), "The account 999999999999 cannot be found"),
            (assume("open", "arn:aws:iam::999999999999:root"), "The account 999999999999 cannot be found"),
            (assume("open", f"arn:aws:sts::{DEV}:assumed-role/none/x"), "cannot be found"),
            (assume("open", f"arn:aws:iam::{DEV}:saml-provider/none"), "cannot be found"),
            (assume("open", "alice"), "'alice' is not an ARN"),
            ([*assume("open"), "--context", "novalue"], "is not KEY=VALUE"),
            ([*assume("open"), "--context", "sts:ExternalId=x", "--external-id", "x"], "--context: the condition"),
            (["--principal", ALICE, "--action", "s3:*"], "--action: 's3:*' has a wildcard"),
            (["--principal", ALICE, "--action", "s3:Get", "--resource", "x"], "--resource: 'x' is not an ARN"),
        ],
    )
    def test_a_slip_is_said_and_exits_2(self, ask: Any, words: list[str], text: str) -> None:
        ended = ask(*words)
        assert ended.exit_code == 2
        assert text in ended.stderr

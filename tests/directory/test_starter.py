"""What a new configuration starts from, and the values made for it."""

import re
import secrets

from argon2 import PasswordHasher

from broker.directory import generate
from broker.directory.check import check
from broker.directory.starter import starter_files
from broker.ids import account_of
from broker.sealing import new_master_key
from broker.settings import Overrides
from tests.directory.conftest import Load, Write

_COMMENTED = re.compile(r"^( *)# ( *(?:[a-zA-Z_]+:|- \{))", re.MULTILINE)


def test_the_starter_is_a_valid_configuration_without_warnings(write: Write) -> None:
    findings = check(write(starter_files()), environ={}, overrides=Overrides())
    assert findings.errors == ()
    assert findings.warnings == ()


def test_every_commented_line_of_the_starter_is_valid_too(write: Write) -> None:
    key_id, secret = generate.access_key("111122223333", secrets.token_bytes)
    server, account = (_COMMENTED.sub(r"\1\2", text) for text in starter_files().values())
    account = account.replace("AKIA...", key_id)
    assert not re.search(r"# +[a-zA-Z_]+: ", server + account)
    findings = check(
        write({"sojourn.yaml": server.replace("tls:", "# tls:"), "accounts/example.yaml": account}),
        environ={
            "REDIS_PASSWORD": "x",
            "SOJOURN_MASTER_KEY": new_master_key(secrets.token_bytes),
            "ALICE_SECRET_ACCESS_KEY": secret,
            "ALICE_PASSWORD_HASH": generate.password_hash("correct horse", secrets.token_bytes),
            "ALICE_MFA_SEED": generate.mfa_seed(secrets.token_bytes),
        },
        overrides=Overrides(),
    )
    assert findings.errors == ()


def test_check_tells_errors_and_warnings(write: Write) -> None:
    text = 'Account: "111122223333"\nOIDCProviders: [{Url: https://a.test, ClientIdList: [a], ThumbprintList: [T]}]\n'
    warned = check(write({"accounts/a.yaml": text.replace("T]", "a" * 40 + "]")}), environ={}, overrides=Overrides())
    assert warned.errors == ()
    assert [fault.line for fault in warned.warnings] == [2]
    wrong = check(write({"accounts/a.yaml": text}), environ={}, overrides=Overrides())
    assert [fault.line for fault in wrong.errors] == [2]


def test_policies_are_linted_at_their_lines(write: Write) -> None:
    text = """Account: "111122223333"
Roles:
  - RoleName: r
    AssumeRolePolicyDocument:
      Version: 2012-10-17
      Statement:
        - Effect: Allow
          Action: sts:AssumeRole
          Principal: "*"
"""
    findings = check(write({"accounts/a.yaml": text}), environ={}, overrides=Overrides())
    assert [fault.line for fault in (*findings.errors, *findings.warnings)]
    assert all(fault.line in (7, 9) for fault in (*findings.errors, *findings.warnings))


def test_an_empty_configuration_is_warned_about(write: Write) -> None:
    findings = check(write({}), environ={}, overrides=Overrides())
    assert findings.errors == ()
    assert [warning.message for warning in findings.warnings] == [
        "no account is described, in accounts/*.yaml, .yml or .json"
    ]


def test_generated_values_are_what_they_should_be(snapshot: Load) -> None:
    key_id, secret = generate.access_key("111122223333", secrets.token_bytes)
    assert account_of(key_id) == "111122223333"
    assert key_id.startswith("AKIA")
    assert len(secret) == 40
    assert len(generate.mfa_seed(secrets.token_bytes)) == 64
    hashed = generate.password_hash("correct horse", secrets.token_bytes)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(hashed, "correct horse")
    assert hashed != generate.password_hash("correct horse", secrets.token_bytes)

"""Account files that are valid: what they become."""

from datetime import timedelta
from pathlib import Path

import pytest

from broker.directory.files import load
from broker.policy import Kind
from tests.directory.conftest import Load, Write
from tests.fakes.certificates import CertificateAuthority

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy"
ALLOW = '{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}'
TRUST = '{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "sts:AssumeRole", Principal: {AWS: "*"}}]}'
METADATA = "<EntityDescriptor xmlns='urn:oasis:names:tc:SAML:2.0:metadata' entityID='https://idp.test'/>"

CONTRACT = f"""
Account: "111122223333"
Alias: acme-dev
Users:
  - UserName: alice
    Path: /
    Groups: [developers]
    Policies: [{{PolicyName: p, PolicyDocument: {ALLOW}}}]
    ManagedPolicyArns: []
    PermissionsBoundary: arn:aws:iam::aws:policy/PowerUserAccess
    Tags: [{{Key: team, Value: web}}]
    AccessKeys: [{{AccessKeyId: AKIAIOSFODNN7EXAMPLE, SecretAccessKey: "${{env:ALICE_SECRET}}", Status: Active}}]
    LoginProfile: {{PasswordHash: "{HASH}"}}
Groups: [{{GroupName: developers, Policies: [], ManagedPolicyArns: [arn:aws:iam::111122223333:policy/team/n]}}]
Roles:
  - RoleName: deploy
    Path: /ci/
    Description: deploys
    MaxSessionDuration: 7200
    AssumeRolePolicyDocument: {TRUST}
    Policies: []
    ManagedPolicyArns: [arn:aws:iam::aws:policy/job-function/ViewOnlyAccess]
    PermissionsBoundary: arn:aws:iam::111122223333:policy/team/n
    Tags: []
ManagedPolicies: [{{ManagedPolicyName: n, Path: /team/, PolicyDocument: {ALLOW}}}]
VirtualMFADevices:
  - {{VirtualMfaDeviceName: alice, Base32StringSeed: "${{env:SEED}}", Users: [alice]}}
  - {{VirtualMfaDeviceName: bob, Base32StringSeed: "JBSW Y3DP ehpk 3pxp", LdapUsers: [corp/bob]}}
OIDCProviders:
  - Url: https://token.actions.githubusercontent.com
    ClientIdList: [sts.amazonaws.com]
    JwksFile: keys.json
    CaFile: null
    AllowHttp: false
    SessionTags: {{Repository: repository}}
    MaxTokenAgeSeconds: null
    SingleUse: false
  - {{Url: "http://127.0.0.1:9000/realm", ClientIdList: [a], AllowHttp: true, MaxTokenAgeSeconds: 60}}
SAMLProviders:
  - {{Name: corp, SamlMetadataDocument: "${{file:idp-metadata.xml}}"}}
LDAPProviders:
  - Name: corp
    Urls: [ldap://127.0.0.1:3890]
    StartTls: false
    AllowPlaintext: false
    CaFile: null
    BindDn: cn=broker,dc=acme,dc=test
    BindPassword: "${{env:LDAP_PASSWORD}}"
    UserSearchBase: ou=people,dc=acme,dc=test
    UserSearchFilter: "(uid={{username}})"
    GroupSearchBase: ou=groups,dc=acme,dc=test
    GroupSearchFilter: "(member={{dn}})"
    GroupNameAttribute: cn
    SessionTags: {{Department: departmentNumber}}
    TimeoutSeconds: 5
    NestedGroups: false
    RecheckSeconds: null
    EnrollSecurityKeys: false
ServiceControlPolicies: [FullAWSAccess, {{Name: n, PolicyDocument: {ALLOW}}}]
ResourceControlPolicies:
  - Name: n
    PolicyDocument:
      Version: "2012-10-17"
      Statement: [{{Effect: Deny, Principal: "*", Action: "sts:AssumeRole", Resource: "*"}}]
"""

FILES = {
    "accounts/dev.yaml": CONTRACT,
    "keys.json": '{"keys": [{"kty": "EC", "kid": "1"}]}',
    "idp-metadata.xml": METADATA,
}
ENVIRON = {"ALICE_SECRET": "wJalrXUtnFEMI", "SEED": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\n", "LDAP_PASSWORD": "hunter22"}
ROOT = "arn:aws:iam::111122223333"


def test_the_file_of_the_contract(snapshot: Load) -> None:
    loaded = snapshot(FILES, ENVIRON)
    account = loaded.account("111122223333")
    assert account is not None
    assert not loaded.warnings
    assert account.alias == "acme-dev"

    alice = account.users["alice"]
    assert loaded.user(f"{ROOT}:user/alice") is alice
    assert alice.groups == ("developers",)
    assert [policy.name for policy in alice.policies] == [
        "inline policy p of user/alice",
        f"{ROOT}:policy/team/n",
    ]
    assert alice.boundary is not None
    assert alice.boundary.kind is Kind.BOUNDARY
    assert alice.boundary_arn == "arn:aws:iam::aws:policy/PowerUserAccess"
    assert alice.tags == {"team": "web"}
    assert alice.password_hash == HASH
    assert alice.mfa_devices == (f"{ROOT}:mfa/alice",)
    assert alice.created is None

    key = loaded.access_key("AKIAIOSFODNN7EXAMPLE")
    assert key is alice.access_keys[0]
    assert (key.secret, key.active, key.user_arn, key.account) == ("wJalrXUtnFEMI", True, alice.arn, "111122223333")

    deploy = loaded.role(f"{ROOT}:role/ci/deploy")
    assert deploy is account.roles["deploy"]
    assert deploy.max_session_duration == timedelta(hours=2)
    assert deploy.trust_policy.kind is Kind.TRUST
    assert deploy.trust_policy.name == "trust policy of role/deploy"
    assert [policy.source_type for policy in deploy.policies] == ["aws-managed"]
    assert deploy.boundary is not None
    assert deploy.boundary.name == f"{ROOT}:policy/team/n"

    managed = loaded.managed_policy(f"{ROOT}:policy/team/n")
    assert managed is account.managed_policies["n"]
    assert (managed.default_version, managed.aws_managed) == ("v1", False)

    device = loaded.mfa_device(f"{ROOT}:mfa/bob")
    assert device is not None
    assert (device.seed, device.ldap_users) == ("JBSWY3DPEHPK3PXP", ("corp/bob",))

    oidc = loaded.oidc_provider(f"{ROOT}:oidc-provider/token.actions.githubusercontent.com")
    assert oidc is account.oidc_providers["https://token.actions.githubusercontent.com"]
    assert oidc.jwks_file is not None
    assert oidc.jwks_file.text == FILES["keys.json"]
    assert oidc.session_tags == {"Repository": "repository"}
    local = loaded.oidc_provider(f"{ROOT}:oidc-provider/127.0.0.1:9000/realm")
    assert local is not None
    assert local.max_token_age == timedelta(minutes=1)

    saml = loaded.saml_provider(f"{ROOT}:saml-provider/corp")
    assert saml is not None
    assert saml.metadata == METADATA

    ldap = loaded.ldap_provider(f"{ROOT}:ldap-provider/corp")
    assert ldap is not None
    assert (ldap.bind_password, ldap.timeout, ldap.recheck) == ("hunter22", timedelta(seconds=5), None)

    assert [[policy.name for policy in level] for level in account.scps] == [
        ["FullAWSAccess", "service control policy n of 111122223333"]
    ]
    assert [policy.kind for policy in account.rcps] == [Kind.RCP]


def test_no_secret_is_in_a_repr(snapshot: Load) -> None:
    text = repr(snapshot(FILES, ENVIRON))
    for secret in (*ENVIRON.values(), HASH, "JBSWY3DP"):
        assert secret.strip() not in text


def test_ids_not_given_stay_the_same(snapshot: Load) -> None:
    first = snapshot(FILES, ENVIRON).role(f"{ROOT}:role/ci/deploy")
    second = snapshot(FILES, ENVIRON).role(f"{ROOT}:role/ci/deploy")
    assert first is not None
    assert second is not None
    assert first is not second
    assert first.unique_id == second.unique_id
    assert first.unique_id.startswith("AROA")
    assert len(first.unique_id) == 21


def test_several_files_may_describe_one_account(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "accounts/a.yaml": 'Account: "111122223333"\nUsers: [{UserName: alice, Groups: [g]}]\n',
            "accounts/b.yml": 'Account: "111122223333"\nAlias: one-two\nRoles:\nGroups: [{GroupName: g}]\n',
            "accounts/c.json": '{"Account": "999999999999", "Users": [{"UserName": "alice"}]}',
            "accounts/.hidden.yaml": "nonsense",
            "accounts/d.yaml.bak": "nonsense",
        }
    )
    assert set(loaded.accounts) == {"111122223333", "999999999999"}
    assert loaded.accounts["111122223333"].users["alice"].groups == ("g",)
    assert loaded.accounts["111122223333"].alias == "one-two"


def test_arns_carry_the_configured_partition(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "sojourn.yaml": "sts: {partition: aws-cn}",
            "accounts/a.yaml": (
                'Account: "111122223333"\n'
                "Users: [{UserName: a, ManagedPolicyArns: ['arn:aws-cn:iam::aws:policy/ReadOnlyAccess']}]\n"
            ),
        }
    )
    assert loaded.user("arn:aws-cn:iam::111122223333:user/a") is not None
    policy = loaded.managed_policy("arn:aws-cn:iam::aws:policy/job-function/SystemAdministrator")
    assert policy is not None
    assert "arn:aws:" not in policy.text


def test_a_policy_may_say_to_whom_it_is_attached(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "accounts/a.yaml": f"""
Account: "111122223333"
Users: [{{UserName: u, Groups: [g]}}, {{UserName: v, ManagedPolicyArns: [{ROOT}:policy/p]}}]
Groups: [{{GroupName: g}}]
Roles: [{{RoleName: r, AssumeRolePolicyDocument: {TRUST}}}]
ManagedPolicies: [{{ManagedPolicyName: p, PolicyDocument: {ALLOW}, Users: [v], Groups: [g], Roles: [r]}}]
"""
        }
    )
    account = loaded.accounts["111122223333"]
    for policies in (account.users["u"].policies, account.users["v"].policies, account.roles["r"].policies):
        assert [policy.name for policy in policies] == [f"{ROOT}:policy/p"]


def test_references_are_left_alone_in_policy_documents(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "accounts/a.yaml": """
Account: "111122223333"
Users:
  - UserName: a
    Policies:
      - PolicyName: own
        PolicyDocument:
          Version: 2012-10-17
          Statement: {Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::home/${aws:username}/*"}
"""
        }
    )
    policy = loaded.accounts["111122223333"].users["a"].inline_policies["own"]
    assert "${aws:username}" in policy.text
    assert policy.version == "2012-10-17"


def test_a_document_may_be_json_text(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "accounts/a.yaml": """
Account: "111122223333"
Roles:
  - RoleName: r
    AssumeRolePolicyDocument: |
      {"Version": "2012-10-17",
       "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
"""
        }
    )
    assert len(loaded.accounts["111122223333"].roles["r"].trust_policy.statements) == 1


@pytest.mark.parametrize(
    ("principal", "warned"),
    [
        ("AWS: arn:aws:iam::111122223333:user/nobody", True),
        ("AWS: arn:aws:iam::111122223333:user/a", False),
        ("AWS: arn:aws:iam::111122223333:role/nobody", True),
        ("AWS: arn:aws:iam::111122223333:role/x/r", False),
        ("AWS: arn:aws:sts::111122223333:assumed-role/nobody/s", True),
        ("AWS: arn:aws:sts::111122223333:assumed-role/r/s", False),
        ("AWS: arn:aws:iam::999999999999:user/nobody", False),
        ("AWS: '111122223333'", False),
        ("Federated: arn:aws:iam::111122223333:saml-provider/no", True),
    ],
)
def test_principals_that_do_not_exist_are_warned_about(snapshot: Load, principal: str, warned: bool) -> None:
    action = "sts:AssumeRoleWithSAML" if principal.startswith("Federated") else "sts:AssumeRole"
    loaded = snapshot(
        {
            "accounts/a.yaml": f"""
Account: "111122223333"
Users: [{{UserName: a}}]
Roles:
  - RoleName: r
    AssumeRolePolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Action: {action}
          Principal: {{{principal}}}
"""
        }
    )
    lines = [(warning.line, warning.message) for warning in loaded.warnings]
    value = principal.partition(": ")[2].strip("'")
    assert lines == ([(11, f"nobody is {value} in this configuration")] if warned else [])


@pytest.mark.parametrize(
    ("tags", "allowed", "warned"),
    [
        ("{Department: departmentNumber}", "Action: sts:AssumeRoleWithLDAPIdentity", True),
        ("{Department: departmentNumber}", "Action: [sts:AssumeRoleWithLDAPIdentity, sts:TagSession]", False),
        ("{Department: departmentNumber}", "Action: 'sts:*'", False),
        ("{}", "Action: sts:AssumeRoleWithLDAPIdentity", False),
        ("{Department: departmentNumber}", "Action: sts:TagSession", False),
    ],
)
def test_roles_that_shut_out_who_has_session_tags_are_warned_about(
    snapshot: Load, tags: str, allowed: str, warned: bool
) -> None:
    corp = "arn:aws:iam::111122223333:ldap-provider/corp"
    loaded = snapshot(
        {
            "accounts/a.yaml": f"""
Account: "111122223333"
LDAPProviders:
  - {{Name: corp, Urls: ["ldap://127.0.0.1"], UserSearchBase: dc=test, SessionTags: {tags}}}
Roles:
  - RoleName: r
    AssumeRolePolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          {allowed}
          Principal: {{Federated: {corp}}}
          Condition: {{StringLike: {{"ldap:username": "a*"}}}}
"""
        }
    )
    lines = [(warning.line, warning.message) for warning in loaded.warnings]
    assert lines == ([(7, f"{corp} makes session tags: allow it sts:TagSession as well")] if warned else [])


def test_thumbprints_are_known_and_said_to_be_unused(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "accounts/a.yaml": f"""
Account: "111122223333"
OIDCProviders:
  - Url: https://idp.test
    ClientIdList: [a]
    ThumbprintList: [{"a" * 40}]
"""
        }
    )
    assert [(warning.line, warning.message[:27]) for warning in loaded.warnings] == [(6, "ThumbprintList is not used:")]


def test_a_relative_directory_will_do(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write(FILES)
    monkeypatch.chdir(directory.parent)
    loaded = load(Path(directory.name), environ=ENVIRON)
    assert Path(directory.name) / "keys.json" in loaded.files


def test_certificate_providers_that_nobody_can_reach_are_told(snapshot: Load, tmp_path: Path) -> None:
    authority = CertificateAuthority()
    authority.issue("localhost").files(tmp_path, "server")
    providers = "CertificateProviders:\n  - {Name: a, CaFile: ca.pem}\n  - {Name: b, CaFile: ca.pem}\n"
    files = {"accounts/a.yaml": f'Account: "111122223333"\n{providers}', "ca.pem": authority.pem.decode()}
    for tls, expected in (
        ("", [3, 4]),
        ("server: {tls: {certificate: server.pem, private_key: server.key}}", [3, 4]),
        ("server: {tls: {certificate: server.pem, private_key: server.key, client_ca: ca.pem}}", []),
    ):
        warnings = snapshot({**files, "sojourn.yaml": tls}).warnings
        assert [warning.line for warning in warnings if "client_ca is not set" in warning.message] == expected
        assert len(warnings) == len(expected)


def test_the_example_of_certificates_is_valid_without_its_marks(snapshot: Load, tmp_path: Path) -> None:
    text = (EXAMPLES / "accounts" / "certificates.yaml").read_text()
    head, account, described = text.partition('Account: "111122223333"\n')
    assert head.count("\n") == 2
    (tmp_path / "providers").mkdir()
    authority = CertificateAuthority()
    loaded = snapshot(
        {
            "accounts/certificates.yaml": account + described.replace("\n# ", "\n").removeprefix("# "),
            "providers/machines-ca.pem": authority.pem.decode(),
            "providers/machines.crl": authority.revocation_list().decode(),
        }
    )
    assert [warning.message for warning in loaded.warnings] == [
        "no client is asked for a certificate: server.tls.client_ca is not set"
    ]
    assert loaded.certificate_provider("arn:aws:iam::111122223333:certificate-provider/machines") is not None
    assert loaded.role("arn:aws:iam::111122223333:role/build") is not None

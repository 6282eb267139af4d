"""Faulty account files: every fault at once, each with the line it stands on."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.directory.files import load
from broker.settings import ConfigurationError
from tests.directory.conftest import Faults, Write
from tests.fakes.certificates import CertificateAuthority, pem

HEAD = 'Account: "111122223333"\n'
DOCUMENT = '{Version: "2012-10-17", Statement: {Effect: Allow, Action: "s3:Get*", Resource: "*"}}'
ROLE = "Roles:\n  - RoleName: r\n    AssumeRolePolicyDocument:\n      Version: 2012-10-17\n      Statement:\n"
TRUSTED = ROLE + "        - {Effect: Allow, Action: 'sts:AssumeRole', Principal: {AWS: '*'}}\n"
OIDC = "OIDCProviders:\n  - Url: https://idp.test\n    ClientIdList: [a]\n"
LDAP = "LDAPProviders:\n  - Name: corp\n    Urls: [ldaps://ldap.test]\n    UserSearchBase: dc=test\n"

CASES: dict[str, tuple[str, list[str]]] = {
    # the file as a whole
    "not a mapping": ("- a\n", ["a.yaml:1: must be a mapping that describes an account"]),
    "empty": ("", ["a.yaml:1: must be a mapping that describes an account"]),
    "not YAML": ("Account: [\n", ["a.yaml:2: not valid YAML: "]),
    "no account": ("Alias: abc\n", ["a.yaml:1: Account is required"]),
    "account as a number": ("Account: 111122223333\n", ["a.yaml:1: Account: must be a text; put it in quotes"]),
    "account too short": ('Account: "11112222333"\n', ["a.yaml:1: Account: must match pattern"]),
    "alias": (HEAD + "Alias: a--b\n", ["a.yaml:2: Alias: must match pattern"]),
    "misspelt section": (HEAD + "Rolls: []\n", ["a.yaml:2: unknown key Rolls; did you mean Roles?"]),
    "section is no list": (HEAD + "Roles: {}\n", ["a.yaml:2: Roles: must be a list"]),
    "entity is no mapping": (HEAD + "Roles:\n  - r\n", ["a.yaml:3: must be a mapping"]),
    "printed section in a described file": (
        HEAD + "Policies: []\n",
        ["a.yaml:2: unknown key Policies; did you mean ManagedPolicies?"],
    ),
    "key twice": (HEAD + "Users:\n  - UserName: a\n    UserName: b\n", ["a.yaml:4: the same key stands twice"]),
    # users
    "misspelt key": (HEAD + "Users:\n  - UserNane: a\n", ["a.yaml:3: unknown key UserNane; did you mean UserName?"]),
    "name missing": (HEAD + "Users:\n  - Path: /\n", ["a.yaml:3: UserName is required"]),
    "name": (HEAD + "Users:\n  - UserName: 'a b'\n", ["a.yaml:3: UserName: must match pattern"]),
    "name as a number": (HEAD + "Users:\n  - UserName: 12\n", ["a.yaml:3: UserName: must be a text; put it in quotes"]),
    "path": (HEAD + "Users:\n  - UserName: a\n    Path: /x\n", ["a.yaml:4: Path: must match pattern"]),
    "twice, ignoring case": (
        HEAD + "Users:\n  - UserName: a\n  - {UserName: A}\n",
        ["a.yaml:4: a user of this name is described at "],
    ),
    "a group that is not there": (
        HEAD + "Groups: [{GroupName: developers}]\nUsers:\n  - UserName: a\n    Groups:\n      - developer\n",
        ["a.yaml:6: there is no group developer in account 111122223333; did you mean developers?"],
    ),
    "a policy that is not there": (
        HEAD + "Users:\n  - UserName: a\n    ManagedPolicyArns:\n      - arn:aws:iam::aws:policy/ReadOnlyAcces\n",
        ["a.yaml:5: there is no managed policy arn:aws:iam::aws:policy/ReadOnlyAcces; did you mean arn:aws:iam::aws:"],
    ),
    "another account's policy": (
        HEAD + "Users:\n  - UserName: a\n    ManagedPolicyArns: ['arn:aws:iam::999999999999:policy/p']\n",
        ["a.yaml:4: there is no managed policy arn:aws:iam::999999999999:policy/p"],
    ),
    "a policy twice": (
        HEAD + "Users:\n  - UserName: a\n    ManagedPolicyArns:\n      - arn:aws:iam::aws:policy/ReadOnlyAccess\n"
        "      - arn:aws:iam::aws:policy/ReadOnlyAccess\n",
        ["a.yaml:6: ManagedPolicyArns[1]: stands here twice"],
    ),
    "a boundary that is no policy": (
        HEAD + "Users:\n  - UserName: a\n    PermissionsBoundary: arn:aws:iam::111122223333:role/r\n",
        ["a.yaml:4: PermissionsBoundary: must match pattern"],
    ),
    "a boundary that is not there": (
        HEAD + "Users:\n  - UserName: a\n    PermissionsBoundary: arn:aws:iam::111122223333:policy/p\n",
        ["a.yaml:4: there is no managed policy arn:aws:iam::111122223333:policy/p"],
    ),
    "tags twice": (
        HEAD + "Users:\n  - UserName: a\n    Tags:\n      - {Key: k, Value: v}\n      - {Key: K, Value: v}\n",
        ["a.yaml:6: Tags[1]: the same key stands twice; keys are compared ignoring case"],
    ),
    "tags as a mapping": (HEAD + "Users:\n  - UserName: a\n    Tags: {k: v}\n", ["a.yaml:4: Tags: must be a list"]),
    "too many tags": (
        HEAD
        + "Users:\n  - UserName: a\n    Tags:\n"
        + "".join(f"      - {{Key: k{i}, Value: ''}}\n" for i in range(51)),
        ["a.yaml:4: Tags: at most 50 tags"],
    ),
    "tag value as a number": (
        HEAD + "Users:\n  - UserName: a\n    Tags:\n      - Key: k\n        Value: 7\n",
        ["a.yaml:6: Tags[0].Value: must be a text; put it in quotes"],
    ),
    "access key": (
        HEAD + "Users:\n  - UserName: a\n    AccessKeys:\n      - AccessKeyId: AKIA\n        SecretAccessKey: short\n"
        "        Status: on\n",
        [
            "a.yaml:5: AccessKeys[0].AccessKeyId: must match pattern",
            "a.yaml:6: AccessKeys[0].SecretAccessKey: must match pattern",
            "a.yaml:7: AccessKeys[0].Status: must be 'Active' or 'Inactive'",
        ],
    ),
    "a session's access key": (
        HEAD + "Users:\n  - UserName: a\n    AccessKeys:\n      - AccessKeyId: ASIAIOSFODNN7EXAMPLE\n"
        "        SecretAccessKey: wJalrXUtnFEMI\n",
        ["a.yaml:5: AccessKeys[0].AccessKeyId: must not begin with ASIA"],
    ),
    "password": (
        HEAD + "Users:\n  - UserName: a\n    LoginProfile: {Password: hunter22}\n",
        ["a.yaml:4: LoginProfile: unknown key Password; did you mean PasswordHash?"],
    ),
    "password hash": (
        HEAD + "Users:\n  - UserName: a\n    LoginProfile:\n      PasswordHash: hunter22\n",
        ["a.yaml:5: LoginProfile.PasswordHash: must be an argon2id hash; `sojourn generate password-hash` makes one"],
    ),
    "managed policy twice": (
        HEAD + f"ManagedPolicies:\n  - {{ManagedPolicyName: p, PolicyDocument: {DOCUMENT}}}\n"
        f"  - {{ManagedPolicyName: p, PolicyDocument: {DOCUMENT}}}\n",
        ["a.yaml:4: a policy of this name is described at "],
    ),
    "inline policies of one name": (
        HEAD + f"Users:\n  - UserName: a\n    Policies:\n      - {{PolicyName: p, PolicyDocument: {DOCUMENT}}}\n"
        f"      - {{PolicyName: P, PolicyDocument: {DOCUMENT}}}\n",
        ["a.yaml:6: Policies[1]: a policy of this name stands here already"],
    ),
    # roles and policy documents
    "no trust policy": (HEAD + "Roles:\n  - RoleName: r\n", ["a.yaml:3: AssumeRolePolicyDocument is required"]),
    "session length": (
        HEAD + TRUSTED + "    MaxSessionDuration: 3599\n",
        ["a.yaml:8: MaxSessionDuration: must be greater than or equal to 3600"],
    ),
    "longer session": (
        HEAD + TRUSTED + "    MaxSessionDuration: 43201\n",
        ["a.yaml:8: MaxSessionDuration: must be less than or equal to 43200"],
    ),
    "elements of a document": (
        HEAD + ROLE + "        - Effect: allow\n          Action: sts:AssumeRole\n          Principal: {AWS: '*'}\n"
        "          Condition:\n            StringEqual: {aws:username: a}\n",
        [
            "a.yaml:7: AssumeRolePolicyDocument.Statement[0].Effect: ",
            "a.yaml:11: AssumeRolePolicyDocument.Statement[0].Condition.StringEqual: ",
        ],
    ),
    "a document in JSON text": (
        HEAD + "Roles:\n  - RoleName: r\n    AssumeRolePolicyDocument: |\n      {\n       'Version': 1}\n",
        ["a.yaml:4: AssumeRolePolicyDocument: policy (line 2): "],
    ),
    "a document that stands elsewhere": (
        HEAD + "ManagedPolicies:\n  - ManagedPolicyName: p\n    PolicyDocument: ${file:secret-keys.json}\n",
        ["a.yaml:4: PolicyDocument: nothing is put into policy documents, which have variables of their own"],
    ),
    "a document that is nothing": (
        HEAD + "Roles:\n  - RoleName: r\n    AssumeRolePolicyDocument: null\n",
        ["a.yaml:4: AssumeRolePolicyDocument: "],
    ),
    "managed policy's attachments": (
        HEAD + f"ManagedPolicies:\n  - ManagedPolicyName: p\n    PolicyDocument: {DOCUMENT}\n    Users: [a]\n"
        "    Roles:\n      - r\n",
        [
            "a.yaml:5: there is no user a in account 111122223333",
            "a.yaml:7: there is no role r in account 111122223333",
        ],
    ),
    "a service control policy's word": (
        HEAD + "ServiceControlPolicies:\n  - FullAwsAccess\n",
        ["a.yaml:3: must be a mapping, or the word FullAWSAccess"],
    ),
    "a resource control policy that allows": (
        HEAD
        + "ResourceControlPolicies:\n  - Name: n\n    PolicyDocument:\n      Version: 2012-10-17\n      Statement:\n"
        "        - {Effect: Allow, Principal: '*', Action: 'sts:*', Resource: '*'}\n",
        ["a.yaml:7: PolicyDocument.Statement[0].Effect: "],
    ),
    # MFA devices
    "seed": (
        HEAD + "VirtualMFADevices:\n  - VirtualMfaDeviceName: d\n    Base32StringSeed: JBSWY3D1\n    Users: [nobody]\n",
        ["a.yaml:4: Base32StringSeed: must be the base32 text of at least 10 bytes"],
    ),
    "device's users": (
        HEAD + "VirtualMFADevices:\n  - VirtualMfaDeviceName: d\n    Base32StringSeed: JBSWY3DPEHPK3PXP\n"
        "    Users: [nobody]\n    LdapUsers:\n      - corp/bob\n",
        [
            "a.yaml:5: there is no user nobody in account 111122223333",
            "a.yaml:7: there is no ldap-provider corp in account 111122223333",
        ],
    ),
    # identity providers
    "issuer over http": (
        HEAD + "OIDCProviders:\n  - Url: http://idp.test\n    ClientIdList: [a]\n",
        ["a.yaml:3: Url: must begin with https://"],
    ),
    "AllowHttp off loopback": (HEAD + OIDC + "    AllowHttp: true\n", ["a.yaml:5: AllowHttp: is for an issuer on"]),
    "no client ids": (
        HEAD + "OIDCProviders:\n  - Url: https://idp.test\n    ClientIdList: []\n",
        ["a.yaml:4: ClientIdList: must have at least 1 item"],
    ),
    "key set": (
        HEAD + OIDC + "    JwksFile: secret-keys.json\n",
        ["a.yaml:5: JwksFile: must name a key set of public keys only"],
    ),
    "certificates": (HEAD + OIDC + "    CaFile: secret-keys.json\n", ["a.yaml:5: CaFile: names a file without a PEM"]),
    "issuer twice": (
        HEAD + OIDC + "  - {Url: https://idp.test, ClientIdList: [b]}\n",
        ["a.yaml:5: a oidc-provider of this name is described at "],
    ),
    "no metadata": (
        HEAD + "SAMLProviders:\n  - Name: corp\n",
        ["a.yaml:3: needs SamlMetadataDocument or MetadataUrl, and not both"],
    ),
    "metadata": (
        HEAD + "SAMLProviders:\n  - Name: corp\n    SamlMetadataDocument: ${file:secret-keys.json}\n",
        ["a.yaml:4: SamlMetadataDocument: must be a SAML metadata document with an EntityDescriptor"],
    ),
    "metadata that nobody signed": (
        HEAD + "SAMLProviders:\n  - Name: corp\n    MetadataUrl: https://idp.test/metadata\n",
        ["a.yaml:3: needs MetadataUrl and MetadataCertificateFile together"],
    ),
    "directory in the clear": (
        HEAD + "LDAPProviders:\n  - Name: corp\n    Urls:\n      - ldaps://a.test\n      - ldap://b.test\n"
        "    UserSearchBase: dc=test\n",
        ["a.yaml:6: Urls[1]: would send passwords unencrypted; use ldaps://, StartTls or AllowPlaintext: true"],
    ),
    "an attribute that would hide the name": (
        HEAD + LDAP + "    SessionTags: {User: Username}\n",
        ["a.yaml:6: SessionTags.User: the condition key ldap:Username has a meaning of its own"],
    ),
    "an attribute in two spellings": (
        HEAD + LDAP + "    SessionTags:\n      A: mail\n      B: Mail\n",
        ["a.yaml:8: SessionTags.B: must be spelt mail, as before"],
    ),
    "a filter that compares no name": (
        HEAD + LDAP + "    UserSearchFilter: '(uid={username}*)'\n",
        ["a.yaml:6: UserSearchFilter: must compare an attribute with the name"],
    ),
    "StartTls within TLS": (HEAD + LDAP + "    StartTls: true\n", ["a.yaml:4: Urls[0]: is ldaps:// already"]),
    "bind without a password": (
        HEAD + LDAP + "    BindDn: cn=broker\n",
        ["a.yaml:3: needs BindDn and BindPassword together"],
    ),
    "bind with an empty password": (
        HEAD + LDAP + "    BindDn: cn=broker\n    BindPassword: ''\n",
        ["a.yaml:7: BindPassword: must have at least 1 character"],
    ),
    "filter without the user": (
        HEAD + LDAP + "    UserSearchFilter: (uid=*)\n",
        ["a.yaml:6: UserSearchFilter: must use {username}"],
    ),
    "filter with something else": (
        HEAD + LDAP + "    UserSearchFilter: (uid={user})\n",
        ["a.yaml:6: UserSearchFilter: may use {username} only"],
    ),
    "filter without parentheses": (
        HEAD + LDAP + "    GroupSearchFilter: member={dn}\n",
        ["a.yaml:6: GroupSearchFilter: must be an LDAP filter in parentheses"],
    ),
    "ages beyond reckoning": (
        HEAD + OIDC + f"    MaxTokenAgeSeconds: {10**30}\n" + LDAP + f"    RecheckSeconds: {10**30}\n",
        [
            "a.yaml:5: MaxTokenAgeSeconds: must be less than or equal to 31536000",
            "a.yaml:10: RecheckSeconds: must be less than or equal to 31536000",
        ],
    ),
    "time-out": (HEAD + LDAP + "    TimeoutSeconds: 0\n", ["a.yaml:6: TimeoutSeconds: must be greater"]),
    "no certificate authority": (
        HEAD + "CertificateProviders:\n  - Name: n\n    CaFile: nowhere.pem\n",
        ["a.yaml:4: CaFile: names a file that cannot be read: No such file or directory"],
    ),
    "no certificates of authorities": (
        HEAD + "CertificateProviders:\n  - Name: n\n    CaFile: secret-keys.json\n    CrlFile: secret-keys.json\n",
        [
            "a.yaml:4: CaFile: names a file that holds no PEM certificates that can be read and accepted: ",
            "a.yaml:5: CrlFile: names a file that holds no PEM certificate revocation list",
        ],
    ),
    # references
    "variable that is not set": (
        HEAD + "Users:\n  - UserName: a\n    AccessKeys:\n      - AccessKeyId: AKIAIOSFODNN7EXAMPLE\n"
        "        SecretAccessKey: ${env:NOPE}\n",
        ["a.yaml:6: the environment variable NOPE is not set"],
    ),
    "everything at once": (
        HEAD + "Roles:\n  - RoleNane: r\n    AssumeRolePolicyDocument: {Version: '1'}\nUsers:\n  - UserName: a\n"
        "    Groups: [g]\n  - UserName: b\n    Path: b\n",
        [
            "a.yaml:3: unknown key RoleNane; did you mean RoleName?",
            "a.yaml:4: AssumeRolePolicyDocument.Version: ",
            "a.yaml:4: AssumeRolePolicyDocument: ",
            "a.yaml:7: there is no group g in account 111122223333",
            "a.yaml:9: Path: must match pattern",
        ],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_faults_have_their_lines(faults: Faults, text: str, expected: list[str]) -> None:
    secret_keys = '{"keys": [{"kty": "oct", "k": "aHVudGVyMjI"}]}'
    found = faults({"accounts/a.yaml": text, "secret-keys.json": secret_keys})
    assert len(found) == len(expected), found
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)
    assert not any("hunter22" in fault for fault in found)


def test_faults_of_all_files_come_at_once_in_order(faults: Faults) -> None:
    user = "Users:\n  - UserName: a\n    AccessKeys:\n      - {{AccessKeyId: {}, SecretAccessKey: wJalrXUtnFEMI}}\n"
    found = faults(
        {
            "sojourn.yaml": 'server: {port: x}\norganization: {management_account: "999999999999"}',
            "accounts/a.yaml": HEAD + "Alias: one-two\n" + user.format("AKIAIOSFODNN7EXAMPLE"),
            "accounts/b.yaml": HEAD + "Alias: three\n" + user.format("AKIAIOSFODNN7EXAMPLD").replace(": a\n", ": b\n"),
            "accounts/c.json": '{"Account": "222233334444",\n "Users": [{"UserName": "a",\n "Pathh": "/"}]}',
            "accounts/d.yaml": 'Account: "333344445555"\n' + user.format("AKIAIOSFODNN7EXAMPLE"),
        }
    )
    starts = [
        "b.yaml:2: the account has the alias one-two already",
        "c.json:3: unknown key Pathh; did you mean Path?",
        "d.yaml:5: this access key id stands at ",
    ]
    assert [fault for fault, start in zip(found, starts, strict=False) if not fault.startswith(start)] == []
    assert [fault.rpartition("/")[2] for fault in found[3:]] == [
        "sojourn.yaml:1: server.port: must be a whole number",
    ]


def test_the_management_account_must_exist(faults: Faults) -> None:
    found = faults(
        {
            "sojourn.yaml": 'organization:\n  management_account: "999999999999"\n',
            "accounts/a.yaml": HEAD,
        }
    )
    assert [fault.rpartition("/")[2] for fault in found] == ["sojourn.yaml:2: no file describes account 999999999999"]


def test_an_unreadable_file_does_not_make_others_name_what_is_missing(faults: Faults) -> None:
    found = faults(
        {
            "accounts/a.yaml": HEAD + "Users: [{UserName: a, Groups: [g]}]\n",
            "accounts/b.yaml": HEAD + "Groups: [\n",
        }
    )
    assert [fault[:9] for fault in found] == ["b.yaml:3:"]


def test_a_faulty_entity_is_there_for_those_who_name_it(faults: Faults) -> None:
    found = faults(
        {
            "accounts/a.yaml": HEAD
            + "Groups:\n  - {GroupName: g, Path: x}\nUsers:\n  - UserName: a\n    Groups: [g]\n"
            + "    ManagedPolicyArns: ['arn:aws:iam::111122223333:policy/p']\n"
            + "ManagedPolicies:\n  - ManagedPolicyName: p\n"
        }
    )
    assert found == [
        "a.yaml:3: Path: must match pattern '^(/|/[\\x21-\\x7E]+/)$'",
        "a.yaml:9: PolicyDocument is required",
    ]


def test_there_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path / "nowhere", environ={})
    assert "there is no such file" in str(refused.value)


SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=12, max_size=40)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=SECRETS, bend=st.sampled_from(["", "[", "{}", "'", "Xx: 1\n", "!!x "]), place=st.integers(0, 8))
def test_no_secret_is_ever_in_a_fault(write: Write, secret: str, bend: str, place: int) -> None:
    secret = f"zq{secret}qz"
    quoted = "'" + secret.replace("'", "''").replace("\n", " ") + "'"
    values = [f"{bend}{quoted}" if i == place else quoted for i in range(9)]
    directory = write(
        {
            "sojourn.yaml": (
                f"store: {{url: {values[0]}}}\nkeys:\n  master: {values[1]}\nsaml: {{signing_key: {values[2]}}}\n"
            ),
            "accounts/a.yaml": f"""{HEAD}
Users:
  - UserName: a
    AccessKeys: [{{AccessKeyId: AKIAIOSFODNN7EXAMPLE, SecretAccessKey: {values[3]}}}]
    LoginProfile: {{PasswordHash: {values[4]}}}
    Groups: [nobody]
VirtualMFADevices: [{{VirtualMfaDeviceName: a, Base32StringSeed: {values[5]}}}]
LDAPProviders:
  - {{Name: corp, Urls: [{values[6]}], BindDn: x, BindPassword: {values[7]}, UserSearchBase: y, CaFile: {values[8]}}}
""",
        }
    )
    with pytest.raises(ConfigurationError) as refused:
        load(directory, environ={})
    assert secret not in str(refused.value)
    assert secret not in repr(refused.value)
    assert "zq" not in str(refused.value)


def test_files_of_certificate_providers_are_read_whole(faults: Faults) -> None:
    authority = CertificateAuthority()
    weak = CertificateAuthority("Weak", key=rsa.generate_private_key(65537, 1024))
    partial = authority.revocation_list(extensions=[(x509.DeltaCRLIndicator(1), True)])
    providers = "".join(f"  - {{Name: {name}, CaFile: {name}.pem}}\n" for name in ("weak", "holder", "garbled"))
    found = faults(
        {
            "accounts/a.yaml": f"{HEAD}CertificateProviders:\n{providers}"
            "  - {Name: partial, CaFile: good.pem, CrlFile: partial.crl}\n"
            "  - {Name: good, CaFile: good.pem, CrlFile: good.crl}\n",
            "good.pem": authority.pem.decode(),
            "weak.pem": (authority.pem + weak.pem).decode(),
            "holder.pem": (authority.pem + pem(authority.issue().certificate)).decode(),
            "garbled.pem": authority.pem.decode().replace("M", "N", 1),
            "partial.crl": (authority.revocation_list() + partial).decode(),
            "good.crl": authority.revocation_list().decode(),
        }
    )
    assert [fault.partition(": names a file that ")[0] for fault in found] == [
        "a.yaml:3: CaFile",
        "a.yaml:4: CaFile",
        "a.yaml:5: CaFile",
        "a.yaml:6: CrlFile",
    ]
    for fault, word in zip(
        found, ("1024 bits", "no authority's: CN=client", "can be read", "not complete"), strict=True
    ):
        assert word in fault

"""What `aws iam get-account-authorization-details` prints, loaded as it is."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.directory.conftest import Faults, Load

PRINTED = (Path(__file__).parent / "authorization-details.json").read_text()
ROOT = "arn:aws:iam::123456789012"


def test_it_loads_as_it_is(snapshot: Load) -> None:
    loaded = snapshot({"accounts/prod.json": PRINTED}, {"HOME": "hunter22"})
    assert not loaded.warnings
    account = loaded.accounts["123456789012"]
    assert set(account.users) == {"Alice", "Bob"}

    bob = account.users["Bob"]
    assert bob.unique_id == "AIDA222222222EXAMPLE"
    assert bob.created == datetime(2013, 10, 14, 18, 32, 25, tzinfo=UTC)
    assert bob.arn == f"{ROOT}:user/division_abc/subdivision_xyz/Bob"
    assert bob.tags == {"Department": "Rüstung"}
    assert bob.boundary is not None
    assert [policy.name for policy in bob.policies] == [
        "inline policy DenyBillingAndIAMPolicy of user/Bob",
        "inline policy own-home of group/Dev",
        "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess",
        "arn:aws:iam::aws:policy/AdministratorAccess",
    ]
    assert "home/${aws:username}/*" in account.groups["Dev"].inline_policies["own-home"].text

    role = account.roles["EC2role"]
    assert role.unique_id == "AROA33333333EXAMPLE"
    assert role.max_session_duration == timedelta(hours=1)
    assert [policy.name for policy in role.policies] == ["arn:aws:iam::aws:policy/AmazonS3FullAccess"]

    managed = account.managed_policies["create-update-delete-set-managed-policies"]
    assert (managed.default_version, managed.unique_id) == ("v3", "ANPAJ2UCCR6DPCEXAMPLE")
    full = loaded.managed_policy("arn:aws:iam::aws:policy/AmazonS3FullAccess")
    assert full is not None
    assert full.aws_managed
    assert "hunter22" not in full.description


def test_another_file_may_add_to_the_account(snapshot: Load) -> None:
    loaded = snapshot(
        {
            "accounts/prod.json": PRINTED,
            "accounts/more.yaml": (
                'Account: "123456789012"\nVirtualMFADevices:\n'
                "  - {VirtualMfaDeviceName: Bob, Base32StringSeed: JBSWY3DPEHPK3PXP, Users: [Bob]}\n"
            ),
        }
    )
    assert loaded.accounts["123456789012"].users["Bob"].mfa_devices == (f"{ROOT}:mfa/Bob",)


def test_the_latest_version_of_an_aws_policy_counts_for_all(snapshot: Load) -> None:
    other = PRINTED.replace("123456789012", "999999999999")
    newer = json.loads(other)
    for policy in newer["Policies"]:
        if policy["PolicyName"] == "AdministratorAccess":
            policy["DefaultVersionId"] = policy["PolicyVersionList"][0]["VersionId"] = "v10"
    files = {"accounts/a.json": json.dumps(newer), "accounts/b.json": PRINTED}
    loaded = snapshot(files)
    policy = loaded.managed_policy("arn:aws:iam::aws:policy/AdministratorAccess")
    assert policy is not None
    assert policy.default_version == "v10"
    assert policy in loaded.accounts["123456789012"].groups["Admins"].attached_policies


def _edit(path: list[Any], value: object) -> str:
    document = json.loads(PRINTED)
    target = document
    for step in path[:-1]:
        target = target[step]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return json.dumps(document, indent=4, ensure_ascii=False)


BENT: list[tuple[list[Any], object, list[str]]] = [
    (["UserDetailList", 0, "Arn"], f"{ROOT}:user/x/Alice", ["7: must be arn:aws:iam::123456789012:user/Alice"]),
    (["UserDetailList", 1, "Arn"], "arn:aws:iam::999999999999:user/Bob", ["19: must be arn:aws:iam::123456789012:"]),
    (["UserDetailList", 0, "UserId"], "x", ["6: UserId: must match pattern"]),
    (["UserDetailList", 0, "CreateDate"], 12, ["8: CreateDate: must be a time such as 2026-01-02T03:04:05Z"]),
    (["UserDetailList", 0, "GroupList"], ["Admin"], ["10: there is no group Admin in account 123456789012; did you"]),
    (["UserDetailList", 0, "AccessKeys"], [], ["14: unknown key AccessKeys"]),
    (
        ["GroupDetailList", 1, "GroupPolicyList", 0, "PolicyDocument"],
        "%7B",
        ["83: GroupPolicyList[0].PolicyDocument: policy (line 1)"],
    ),
    (
        ["RoleDetailList", 0, "AssumeRolePolicyDocument", "Statement", 0, "Effect"],
        "Maybe",
        ["101: AssumeRolePolicyDocument.Statement[0].Effect: "],
    ),
    (
        ["Policies", 1],
        None,
        ["42: there is no managed policy arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"],
    ),
    (["Policies", 0, "DefaultVersionId"], "v2", ["174: PolicyVersionList: must hold the default version, once"]),
    (["IsTruncated"], True, ["296: this is only a part; print the whole, without --no-paginate"]),
    (["RoleDetailLists"], [], ["296: unknown key RoleDetailLists; did you mean RoleDetailList?"]),
]


@pytest.mark.parametrize(("path", "value", "expected"), BENT)
def test_faults_have_their_lines(faults: Faults, path: list[Any], value: object, expected: list[str]) -> None:
    found = faults({"accounts/a.json": _edit(path, value)})
    assert len(found) == len(expected), found
    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(f"a.json:{start}"), fault


def test_a_file_that_tells_no_account_is_refused(faults: Faults) -> None:
    empty = '{"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": []}'
    assert faults({"accounts/a.json": empty}) == [
        "a.json:1: no user, group, role or policy in it tells the account's number"
    ]


def test_the_same_entity_in_both_formats_is_refused(faults: Faults) -> None:
    found = faults(
        {
            "accounts/a.json": PRINTED,
            "accounts/b.yaml": 'Account: "123456789012"\nUsers:\n  - UserName: alice\n',
        }
    )
    assert [fault.partition(" is described")[0] for fault in found] == ["b.yaml:3: a user of this name"]


def test_the_partition_must_be_the_configured_one(faults: Faults) -> None:
    found = faults({"sojourn.yaml": "sts: {partition: aws-cn}", "accounts/a.json": PRINTED})
    assert "a.json:7: must be arn:aws-cn:iam::123456789012:user/Alice, by its name, path and account" in found

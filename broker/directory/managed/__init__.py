"""AWS-managed policies that exist in every account without being declared; each file is one document.

The broad job-function ones are condensed renderings of AWS's: the same services and the same intent in fewer
words, never more than AWS's allow. A printed file that brings the original along wins over the one here.

The root tasks, which AssumeRoot narrows its sessions to, are attached to nothing. AWS's deny all but the task and leave
the rest to what a root user may anyway; here the task is allowed as well, since a session policy grants nothing by
its silence.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from broker.directory.assemble import managed_policy
from broker.directory.declared import DeclaredPolicy
from broker.directory.model import ManagedPolicy
from broker.ids import unique_id
from broker.policy import Kind, parse

_NAMES: Mapping[str, tuple[str, ...]] = {
    "/": ("AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "SecurityAudit"),
    "/job-function/": (
        "Billing",
        "DatabaseAdministrator",
        "DataScientist",
        "NetworkAdministrator",
        "SupportUser",
        "SystemAdministrator",
        "ViewOnlyAccess",
    ),
}
_ROOT_TASKS: Mapping[str, tuple[str, ...]] = {
    "/root-task/": (
        "IAMAuditRootUserCredentials",
        "IAMCreateRootUserPassword",
        "IAMDeleteRootUserCredentials",
        "S3UnlockBucketPolicy",
        "SQSUnlockQueuePolicy",
    ),
}


def aws_policies(declared: Iterable[DeclaredPolicy], partition: str) -> Mapping[str, ManagedPolicy]:
    """AWS's policies by ARN: those of printed files, the latest version of each, before the built-in ones."""
    latest: dict[str, ManagedPolicy] = {}
    for each in declared:
        policy = managed_policy(each, "aws", partition, aws_managed=True)
        known = latest.get(policy.arn)
        if known is None or _version(known) < _version(policy):
            latest[policy.arn] = policy
    return {**built_in(partition), **latest}


def _version(policy: ManagedPolicy) -> int:
    return int(policy.default_version.removeprefix("v"))


@cache
def built_in(partition: str) -> Mapping[str, ManagedPolicy]:
    """The policies by ARN, with the ARNs of `partition` inside."""
    return _read(_NAMES, partition)


@cache
def root_tasks(partition: str) -> Mapping[str, ManagedPolicy]:
    """The policies of root tasks by ARN; no identity and no other session can have one."""
    return _read(_ROOT_TASKS, partition)


def _read(named: Mapping[str, tuple[str, ...]], partition: str) -> Mapping[str, ManagedPolicy]:
    policies: dict[str, ManagedPolicy] = {}
    for path, names in named.items():
        for name in names:
            text = files(__name__).joinpath(f"{name}.json").read_text().replace('"arn:aws:', f'"arn:{partition}:')
            arn = f"arn:{partition}:iam::aws:policy{path}{name}"
            policies[arn] = ManagedPolicy(
                arn=arn,
                account="aws",
                name=name,
                path=path,
                unique_id=unique_id("ANPA", arn),
                policy=parse(text, Kind.IDENTITY, name=arn, source_type="aws-managed"),
                text=text,
                aws_managed=True,
            )
    return policies

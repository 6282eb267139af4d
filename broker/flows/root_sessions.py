"""AssumeRoot: the management account becomes root of another account, for one task and a quarter of an hour.

No trust policy of the target says who may: the organisation does. Source: AWS STS API Reference, "AssumeRoot"; IAM
User Guide, "Perform a privileged task on an AWS Organizations member account".
"""

import json
from datetime import timedelta
from functools import lru_cache
from typing import Final

from broker.arn import account_root, is_account_id, owning_account
from broker.directory.model import Snapshot
from broker.errors import ValidationError
from broker.flows.authorize import authorize
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services
from broker.flows.trust import admits_nobody
from broker.policy import Kind, Policy, parse
from broker.sessions.model import Grant, Minted, SessionKind

ASSUME_ROOT: Final = "sts:AssumeRoot"

_NO_MEMBER: Final = admits_nobody("no member account of organization.management_account")


async def assume_root(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    *,
    target: str,
    task_arn: str,
    duration: timedelta,
) -> Minted:
    """Credentials of an account's root, narrowed to a task. `target`: an account id or a root user's ARN.

    Raises:
        ValidationError: target or task is none.
        AccessDenied: the caller may not; an account that does not exist is refused alike.
        StoreUnavailable, KeysUnavailable: nothing was minted.
    """
    account = _account(target, snapshot.settings.sts.partition)
    if task_arn not in snapshot.root_tasks:
        raise ValidationError(f"TaskPolicyArn must be one of {', '.join(snapshot.root_tasks)}")
    root = account_root(account, snapshot.settings.sts.partition)
    authorize(
        services,
        snapshot,
        caller,
        wire,
        ASSUME_ROOT,
        root,
        single={"sts:TaskPolicyArn": task_arn},
        trust=root_trust(snapshot, root),
        resource_account=account,
    )

    began = caller.session
    issued_at = int(services.now().timestamp())
    grant = Grant(
        kind=SessionKind.ROOT,
        account=account,
        arn=root,
        user_id=account,
        principal_arn=root,
        principal_id=account,
        name="root",
        issued_at=issued_at,
        expires_at=issued_at + int(duration.total_seconds()),
        session_policies=(),
        session_policy_arns=(task_arn,),
        source_identity=began.source_identity if began is not None else None,
        origin_arn=began.origin_arn if began is not None else caller.principal.arn,
        federated_provider=began.federated_provider if began is not None else None,
        federated_subject=began.federated_subject if began is not None else None,
        federated_groups=began.federated_groups if began is not None else (),
        source_ip=wire.source_ip,
    )
    return await services.sessions.mint(grant, principal_tags={})


def root_trust(snapshot: Snapshot, root: str) -> Policy:
    """Who may become this root, as if roots had trust policies: the management account's principals, of the others'."""
    settings = snapshot.settings
    management = settings.organization.management_account
    members = {account_root(each, settings.sts.partition) for each in snapshot.accounts if each != management}
    return _admits(management) if management is not None and root in members else _NO_MEMBER


@lru_cache(maxsize=8)
def _admits(management: str) -> Policy:
    """The account delegates to its users and roles; its own root has no business here."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": management},
        "Action": ASSUME_ROOT,
        "Condition": {"StringNotEquals": {"aws:PrincipalType": "Account"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return parse(document, Kind.TRUST, name="organization.management_account")


def _account(target: str, partition: str) -> str:
    account = target if is_account_id(target) else owning_account(target)
    if account is None or target not in (account, account_root(account, partition)):
        raise ValidationError(
            "TargetPrincipal must be an account id or the ARN of an account's root user, "
            f"such as {account_root('111122223333', partition)}"
        )
    return account

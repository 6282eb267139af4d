"""Session policies: the documents and managed policies that a request narrows a session with."""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

from broker.arn import Arn
from broker.directory.model import Snapshot
from broker.errors import MalformedPolicyDocument, PackedPolicyTooLarge, ValidationError
from broker.policy import Kind, Policy, PolicyError, parse

_PACKED_BYTES = 4096
"""The space that policies, ARNs and tags share once packed."""


@lru_cache(maxsize=2048)
def compiled(text: str) -> Policy:
    """An inline session policy, compiled once for many requests. Raises `PolicyError`."""
    return parse(text, Kind.SESSION, name="session policy", source_type="session")


def check(snapshot: Snapshot, policy: str | None, arns: Sequence[str]) -> None:
    """The length first: reading a hundred thousand characters would hold up everybody for a good part of a second.

    Raises:
        PackedPolicyTooLarge: past the limit on plain characters.
        MalformedPolicyDocument: with every fault and its place.
    """
    limit = snapshot.settings.sts.session_policy_characters
    characters = len(policy or "") + sum(len(arn) for arn in arns)
    if characters > limit:
        raise PackedPolicyTooLarge(
            f"The session policies have {characters} characters, at most {limit} are accepted: "
            "pass a smaller policy or fewer policy ARNs."
        )
    if policy is None:
        return
    try:
        compiled(policy)
    except PolicyError as error:
        raise MalformedPolicyDocument("; ".join(str(fault) for fault in error.faults)) from error


def packed_size(policy: str | None, arns: Sequence[str], tags: Mapping[str, str]) -> int | None:
    """Percent of the space that policies and tags use, None where nothing was passed.

    Raises `PackedPolicyTooLarge` for over 100 percent.
    """
    if policy is None and not arns and not tags:
        return None
    parts = [policy or "", *arns, *(f"{key}={value}" for key, value in tags.items())]
    packed = len(zlib.compress("\n".join(parts).encode()))
    percent = -(-100 * packed // _PACKED_BYTES)
    if percent > 100:
        what = "Packed policy" if policy is not None or arns else "Packed size of session tags"
        advice = ", please use smaller policy." if what == "Packed policy" else "."
        raise PackedPolicyTooLarge(f"{what} consumes {percent}% of allotted space{advice}")
    return percent


def require_attachable(snapshot: Snapshot, account: str, arns: Sequence[str]) -> None:
    """Raises `ValidationError` for a managed policy that does not exist, or is neither the account's nor AWS's."""
    for arn in arns:
        if Arn.parse(arn).account not in {account, "aws"}:
            raise ValidationError(f"The session policy {arn} belongs to another account than the session.")
        if snapshot.managed_policy(arn) is None:
            raise ValidationError(f"Policy {arn} does not exist or is not attachable.")


def documents(policy: str | None, arns: Sequence[str]) -> tuple[str, ...] | None:
    """The inline documents of a session as its record has them: None where no session policy was passed at all."""
    if policy is None:
        return () if arns else None
    return (policy,)

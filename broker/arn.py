"""Amazon Resource Names: `arn:partition:service:region:account:resource`."""

import re
from dataclasses import dataclass

_ACCOUNT = re.compile(r"[0-9]{12}")


@dataclass(frozen=True, slots=True)
class Arn:
    """A parsed ARN. `resource` is all that follows the fifth colon, colons and slashes included."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> "Arn":
        """Split `text` into its six parts.

        Raises:
            ValueError: fewer than six parts, another prefix, or an empty partition, service or resource.
        """
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not (parts[1] and parts[2] and parts[5]):
            raise ValueError(f"{text!r} is not an ARN")
        return cls(*parts[1:])

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @property
    def resource_type(self) -> str:
        """`role` of `role/path/name`; empty where the resource has no type before a slash."""
        kind, slash, _ = self.resource.partition("/")
        return kind if slash else ""

    @property
    def name(self) -> str:
        """The last component: `deploy` of `role/ci/deploy`."""
        return self.resource.rpartition("/")[2]

    @property
    def path(self) -> str:
        """The IAM path between type and name, with both slashes: `/ci/` of `role/ci/deploy`, else `/`."""
        _, slash, rest = self.resource.partition("/")
        middle, more, _ = rest.rpartition("/")
        return f"/{middle}/" if slash and more else "/"


def is_account_id(text: str) -> bool:
    """Whether `text` is twelve ASCII digits."""
    return _ACCOUNT.fullmatch(text) is not None


def owning_account(text: str) -> str | None:
    """The account in the ARN of a resource; None where it names none, or is no ARN."""
    parts = text.split(":", 5)
    return parts[4] if len(parts) == 6 and is_account_id(parts[4]) else None


def account_root(account: str, partition: str = "aws") -> str:
    """`arn:aws:iam::111122223333:root`."""
    return f"arn:{partition}:iam::{account}:root"


def assumed_role(account: str, role_name: str, session_name: str, partition: str = "aws") -> str:
    """The ARN of a role session; the role's path is dropped, as AWS does."""
    return f"arn:{partition}:sts::{account}:assumed-role/{role_name}/{session_name}"


def federated_user(account: str, name: str, partition: str = "aws") -> str:
    """The ARN of a session from GetFederationToken."""
    return f"arn:{partition}:sts::{account}:federated-user/{name}"

"""The grammar of single elements: actions, resources, condition keys."""

import re
from typing import Final

from broker.policy.faults import SURROGATE
from broker.policy.model import Kind
from broker.policy.template import Template, split_arn, template

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_SERVICE = re.compile(r"[A-Za-z0-9-]+")
_ACTION_NAME = re.compile(r"[A-Za-z0-9_.*?-]+")
_PREFIX = re.compile(r"[^\s:$*?]+")


def action_fault(action: str, kind: Kind) -> str | None:
    """What is wrong with an action pattern in a policy of this kind."""
    shown = repr(action[:100])
    if not action:
        return "an action is empty"
    service, colon, name = action.partition(":")
    if kind is Kind.TRUST and service.lower() != "sts":
        return f"{shown} is no action of a trust policy; only those of sts are"
    if action == "*":
        return None
    if "${" in action:
        return f"{shown}: actions have no variables"
    if not colon:
        return f"{shown} is no action; write service:Name, or *"
    if not service:
        return f"{shown} has no service before the colon"
    if "*" in service or "?" in service:
        return f"{shown} has a wildcard in the service; only the name after the colon may have one"
    if _SERVICE.fullmatch(service) is None:
        return f"{shown} has no valid service before the colon"
    if not name:
        return f"{shown} has no name after the colon"
    if ":" in name:
        return f"{shown} has more than one colon"
    if _ACTION_NAME.fullmatch(name) is None:
        return f"{shown} has a character that no action name has"
    return None


def resource_template(resource: str, *, variables: bool) -> Template:
    """The tokens of a resource pattern. Raises ValueError with the fault's sentence."""
    shown = repr(resource[:100])
    if not resource:
        raise ValueError("a resource is empty")
    if CONTROL.search(resource):
        raise ValueError(f"{shown} has a control character")
    tokens = template(resource, variables=variables, wildcards=True)
    if resource == "*":
        return tokens
    if not resource.startswith("arn:"):
        raise ValueError(f'{shown} is neither "*" nor an ARN')
    parts = split_arn(tokens)
    if len(parts) > 1 and not parts[1]:
        raise ValueError(f"{shown} has no partition")
    if len(parts) < 3 or not parts[2]:
        raise ValueError(f"{shown} has no service")
    return tokens


def key_fault(key: str) -> str | None:
    """What is wrong with a condition key."""
    shown = repr(key[:100])
    if not key:
        return "a condition key is empty"
    if "${" in key:
        return f"{shown}: condition keys have no variables"
    if SURROGATE.search(key) or CONTROL.search(key):
        return f"{shown} has a character that no condition key has"
    prefix, colon, name = key.partition(":")
    if not colon:
        return f"{shown} is no condition key; those have a prefix and a colon, such as aws:SourceIp"
    if _PREFIX.fullmatch(prefix) is None:
        return f"{shown} has no valid prefix before the colon"
    if not name:
        return f"{shown} has no name after the colon"
    return None

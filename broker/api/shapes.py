"""Parameters that actions of several services share."""

from dataclasses import dataclass

from broker.api.params import many, param, structure
from broker.api.rules import ARN_TEXT, POLICY_TEXT, TAG_KEY, TAG_VALUE, text

ARN = text(20, 2048, ARN_TEXT)
POLICY = text(1, 131_072, POLICY_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag of a session or of an entity."""

    key: str = param("Key", text(1, 128, TAG_KEY))
    value: str = param("Value", text(0, 256, TAG_VALUE))


TAGS = many(structure(Tag), maximum=50)

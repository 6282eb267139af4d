"""Session tags (IAM User Guide, "Pass session tags in AWS STS"): keys are compared without case, and keep theirs."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

import msgspec

from broker.errors import InvalidParameterValue
from broker.sessions.model import Session, SessionKind, merged_tags

MAXIMUM_TAGS = 50
_RESERVED = "aws:"
_PLAIN = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*")


class SessionTags(msgspec.Struct, frozen=True):
    """`requested`: passed now. `inherited`: transitive ones of the calling session. `transitive`: keys that go on."""

    requested: Mapping[str, str]
    inherited: Mapping[str, str]
    requested_transitive: tuple[str, ...]
    transitive: tuple[str, ...]

    @property
    def all(self) -> dict[str, str]:
        """The tags of the new session."""
        return merged_tags(self.inherited, self.requested)

    def __bool__(self) -> bool:
        return bool(self.requested or self.inherited or self.requested_transitive)


def is_tag_text(text: str) -> bool:
    """Whether a tag's key or value may hold these characters."""
    if _PLAIN.fullmatch(text):
        return True
    return all(c <= "\uffff" and (c in "_.:/=+-@" or unicodedata.category(c)[0] in "LZN") for c in text)


_NONE = SessionTags({}, {}, (), ())


def combine(tags: Sequence[tuple[str, str]], transitive_keys: Collection[str], session: Session | None) -> SessionTags:
    """Join requested tags with those that the calling session hands down.

    Raises:
        InvalidParameterValue: a key twice, reserved, transitive without being a tag, or in conflict with one inherited;
            or characters that no tag may hold, which claims and attributes of a provider can have.
    """
    inherited = handed_down(session)
    if not (tags or transitive_keys or inherited):
        return _NONE
    for key, value in tags:
        if not (key and is_tag_text(key) and is_tag_text(value)):
            raise InvalidParameterValue(
                "A session tag holds characters that are not accepted: letters, digits, blanks and _.:/=+-@ are."
            )
    requested = {key.casefold(): (key, value) for key, value in tags}
    if len(requested) != len(tags):
        raise InvalidParameterValue("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.startswith(_RESERVED) for key in requested):
        raise InvalidParameterValue("Tag keys that begin with aws: are reserved; choose other keys.")
    transitive = {key.casefold(): key for key in transitive_keys}
    if len(transitive) != len(transitive_keys):
        raise InvalidParameterValue(
            "Duplicate transitive tag keys found. Please note that Tag keys are case insensitive."
        )
    if not transitive.keys() <= requested.keys():
        raise InvalidParameterValue("The specified transitive tag key must be included in the requested tags.")
    if requested.keys() & {key.casefold() for key in inherited}:
        raise InvalidParameterValue(
            "One of the specified transitive tag keys can't be set because it conflicts "
            "with a transitive tag key from the calling session."
        )
    if len(requested) + len(inherited) > MAXIMUM_TAGS:
        raise InvalidParameterValue(f"A session has at most {MAXIMUM_TAGS} tags, those it inherits included.")
    return SessionTags(
        dict(requested.values()),
        inherited,
        tuple(transitive.values()),
        (*inherited, *(requested[key][0] for key in transitive)),
    )


def handed_down(session: Session | None) -> dict[str, str]:
    """The transitive tags that a role session gives to the next role."""
    if session is None or session.kind is not SessionKind.ASSUMED_ROLE:
        return {}
    keys = {key.casefold() for key in session.transitive_tag_keys}
    return {key: value for key, value in session.tags.items() if key.casefold() in keys}

"""Patterns of request paths (`/reports/{id}`, `/{bucket}/{key+}`) and resources that are filled from what they find.

A path is taken apart once, as it was sent. What servers read differently (dot segments, escaped slashes, empty
segments, fragments, control characters) fits no pattern, so that no other resource is decided about than the one that
is served.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from broker.errors import MalformedQueryString
from broker.sigv4.encoding import check_escapes, unescape

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\+?)\}")
_IN_RESOURCE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9-]+")


class PathPattern:
    """`{name}` stands for one segment, `{name+}` at the end for all that follow; neither for nothing."""

    __slots__ = ("_segments", "names")

    def __init__(self, text: str) -> None:
        """Raises `ValueError` that says what is wrong."""
        if not text.startswith("/"):
            raise ValueError("path must begin with a slash")
        parts = text.split("/")[1:]
        self._segments = tuple(_PLACEHOLDER.fullmatch(part) or part for part in parts)
        for number, part in enumerate(self._segments):
            if isinstance(part, str):
                if "{" in part or "}" in part:
                    raise ValueError("path: {name} must fill a whole segment")
            elif part[2] and number < len(parts) - 1:
                raise ValueError("path: {name+} stands at the end only")
        self.names = tuple(part[1] for part in self._segments if not isinstance(part, str))
        """Of its placeholders."""
        if len(set(self.names)) < len(self.names):
            raise ValueError("path has the same {name} twice")

    def values(self, segments: Sequence[str]) -> dict[str, str] | None:
        """What the placeholders stand for in a path that was taken apart; None where it does not fit."""
        values: dict[str, str] = {}
        for number, part in enumerate(self._segments):
            if number >= len(segments):
                return None
            if isinstance(part, str):
                if segments[number] != part:
                    return None
                continue
            greedy = part[2] == "+"
            value = "/".join(segments[number:]) if greedy else segments[number]
            if not value:
                return None
            values[part[1]] = value
            if greedy:
                return values
        return values if len(segments) == len(self._segments) else None


class ResourceTemplate:
    """An ARN, or `*`, with placeholders of a path."""

    __slots__ = ("_parts",)

    def __init__(self, text: str, names: Collection[str]) -> None:
        """Raises `ValueError` where it uses a placeholder that is not among `names`."""
        if not set(_IN_RESOURCE.findall(text)).issubset(names):
            raise ValueError("resource uses a {name} that path does not have")
        self._parts = tuple(text.split(":", 5))

    def filled(self, values: Mapping[str, str]) -> str | None:
        """The resource; None where a value would not stay within the part of the ARN in which it stands."""
        filled = []
        for number, part in enumerate(self._parts):
            names = _IN_RESOURCE.findall(part)
            if number < 5 and not all(_PLAIN.fullmatch(values[name]) for name in names):
                return None
            filled.append(_IN_RESOURCE.sub(lambda found: values[found[1]], part))
        return ":".join(filled)


def segments(path: str) -> list[str] | None:
    """The decoded segments of an absolute path; only the last may be empty. None where readers could disagree."""
    if not path.startswith("/") or "#" in path:  # no request has a fragment, and some servers cut what looks like one
        return None
    try:
        check_escapes(path)
        decoded = [unescape(part).decode("utf-8") for part in path[1:].split("/")]
    except (MalformedQueryString, UnicodeError):
        return None
    for number, segment in enumerate(decoded):
        empty = segment == "" and number < len(decoded) - 1
        # Some servers cut path parameters, which begin at a semicolon, before they resolve dots.
        dots = segment.partition(";")[0] in (".", "..")
        if empty or dots or not segment.isprintable() or "/" in segment or "\\" in segment:
            return None
    return decoded

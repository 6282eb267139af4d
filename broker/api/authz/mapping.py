"""The configured rules of the reverse-proxy doors: which action on which resource a request is.

A path is taken apart once, as it was sent. What servers read differently (dot segments, escaped slashes, empty
segments, control characters) fits no rule, so that no other resource is decided about than the one that is served.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from broker.api.authz import s3
from broker.errors import MalformedQueryString
from broker.settings.model import ProxyRule
from broker.sigv4 import HttpRequest
from broker.sigv4.encoding import check_escapes, unescape

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\+?)\}")
_IN_RESOURCE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9-]+")
_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request does, in the policy language."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Rule:
    source: ProxyRule
    host: str
    methods: frozenset[str]
    segments: tuple[str | re.Match[str], ...]
    resource: tuple[str, ...]


class Rules:
    """The rules in force, compiled once for each configuration."""

    __slots__ = ("_compiled", "_source")

    def __init__(self) -> None:
        self._source: Sequence[ProxyRule] = ()
        self._compiled: tuple[_Rule, ...] = ()

    def asked(self, source: Sequence[ProxyRule], http: HttpRequest) -> Asked | None:
        """What the first rule that matches says; None where none does, or where the request does more than it."""
        if source is not self._source:
            self._compiled = tuple(map(_compiled, source))
            self._source = source
        named = http.values.get("host", ())
        found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        segments = _segments(http.path)
        if found is None or segments is None:
            return None
        hosts = (found[0].lower(), found[1].lower())
        for rule in self._compiled:
            if rule.host in hosts and http.method in rule.methods:
                values = _values(rule.segments, segments)
                if values is not None:
                    resource = _filled(rule.resource, values)
                    if resource is None or not s3.is_plain(rule.source.action, http):
                        return None
                    return Asked(rule.source.action, resource)
        return None


def _compiled(rule: ProxyRule) -> _Rule:
    parts = rule.path.split("/")[1:]
    segments = tuple(_PLACEHOLDER.fullmatch(part) or part for part in parts)
    return _Rule(rule, rule.host.lower(), frozenset(rule.methods), segments, tuple(rule.resource.split(":", 5)))


def _segments(path: str) -> list[str] | None:
    """The decoded segments of an absolute path; only the last may be empty. None where readers could disagree."""
    if not path.startswith("/"):
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


def _values(pattern: Sequence[str | re.Match[str]], segments: Sequence[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for number, part in enumerate(pattern):
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
    return values if len(segments) == len(pattern) else None


def _filled(parts: Sequence[str], values: dict[str, str]) -> str | None:
    """The resource; None where a value would not stay within the part of the ARN in which it stands."""
    filled = []
    for number, part in enumerate(parts):
        names = _IN_RESOURCE.findall(part)
        if number < 5 and not all(_PLAIN.fullmatch(values[name]) for name in names):
            return None
        filled.append(_IN_RESOURCE.sub(lambda found: values[found[1]], part))
    return ":".join(filled)

"""The configured rules of the reverse-proxy doors: which action on which resource a request is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.mapping import s3
from broker.mapping.hosts import hosts
from broker.mapping.paths import PathPattern, ResourceTemplate, segments
from broker.settings.model import ProxyRule
from broker.sigv4 import HttpRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request does, in the policy language."""

    action: str
    resource: str
    condition_keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Rule:
    source: ProxyRule
    host: str
    methods: frozenset[str]
    path: PathPattern
    resource: ResourceTemplate


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
        named = hosts(http)
        path = segments(http.path)
        if path is None:
            return None
        for rule in self._compiled:
            if rule.host in named and http.method in rule.methods:
                values = rule.path.values(path)
                if values is not None:
                    resource = rule.resource.filled(values)
                    if resource is None or not s3.is_plain(rule.source.action, http):
                        return None
                    return Asked(rule.source.action, resource, s3.condition_keys(rule.source.action, http))
        return None


def _compiled(rule: ProxyRule) -> _Rule:
    path = PathPattern(rule.path)
    resource = ResourceTemplate(rule.resource, path.names)
    return _Rule(rule, rule.host.lower(), frozenset(rule.methods), path, resource)

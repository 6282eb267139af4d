"""What a service's routes ask of a caller; the first rule that fits a request counts, and none means no.

A path is `/reports/{id}`: `{id}` stands for one segment, `{key+}` at the end for all that follow. Paths that servers
read differently (dot segments, escaped slashes, empty segments, control characters) fit no rule.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from broker.client.model import Question
from broker.mapping import s3
from broker.mapping.paths import PathPattern, ResourceTemplate, segments
from broker.sigv4 import HttpRequest

_METHOD = re.compile(r"[A-Z][A-Z-]{0,30}")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that has arrived. `http` holds it as the client sent it, percent-encoding and all.

    `scheme`: `http` or `https`. `peer`: the address at the other end of the connection, which may be a proxy's.
    `values`: what the placeholders of the rule's path stand for, decoded. `read` gives the body, as often as it is
    asked, and leaves it for the handler.
    """

    http: HttpRequest
    scheme: str
    peer: str | None
    read: Callable[[], Awaitable[bytes]] = field(repr=False)
    values: Mapping[str, str] = field(default_factory=dict)


Named: TypeAlias = str | Callable[[Incoming], str | Awaitable[str | None] | None]
"""A text, or a function of the request, plain or asynchronous, that gives it; None from there means no.

The function is called before a signature is verified, which is done together with the decision.
"""


@dataclass(frozen=True, slots=True)
class _Route:
    methods: str | Sequence[str]
    """One or several, in capitals. GET does not mean HEAD."""
    path: str
    pattern: PathPattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises `ValueError` that says what is wrong."""
        methods = (self.methods,) if isinstance(self.methods, str) else tuple(self.methods)
        if not methods or not all(map(_METHOD.fullmatch, methods)):
            raise ValueError("methods are given in capitals, at least one")
        object.__setattr__(self, "methods", methods)
        object.__setattr__(self, "pattern", PathPattern(self.path))


@dataclass(frozen=True, slots=True)
class Public(_Route):
    """Open to everybody; credentials are not even looked at."""


@dataclass(frozen=True, slots=True)
class Authenticated(_Route):
    """Open to whoever has a bearer token; what they may do is for the handler to find out.

    The token is verified offline: a session that was revoked gets in until the token's end.
    """


@dataclass(frozen=True, slots=True)
class Authorized(_Route):
    """Open to whom the gateway allows `action` on `resource`, which may have placeholders of the path.

    For an `s3:` action, requests with parameters or headers that need further permissions are refused.
    """

    action: Named
    resource: Named
    template: ResourceTemplate | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises `ValueError` that says what is wrong."""
        super(Authorized, self).__post_init__()  # slots make a second class, which super() does not know
        template = None if callable(self.resource) else ResourceTemplate(self.resource, self.pattern.names)
        object.__setattr__(self, "template", template)

    async def question(self, incoming: Incoming) -> Question | None:
        """What is to be asked about a request that fits; None where it names nothing that could be."""
        action = await _name(self.action, incoming)
        if self.template is not None:
            resource = self.template.filled(incoming.values)
        else:
            resource = await _name(self.resource, incoming)
        if action is None or resource is None or not s3.is_plain(action, incoming.http):
            return None
        return Question(action, resource)


async def _name(named: Named, incoming: Incoming) -> str | None:
    found = named(incoming) if callable(named) else named
    return await found if inspect.isawaitable(found) else found


Rule: TypeAlias = Public | Authenticated | Authorized


def find(rules: Sequence[Rule], http: HttpRequest) -> tuple[Rule, Mapping[str, str]] | None:
    """The first rule that fits, and what its placeholders stand for."""
    path = segments(http.path)
    if path is None:
        return None
    for rule in rules:
        if http.method in rule.methods:
            values = rule.pattern.values(path)
            if values is not None:
                return rule, values
    return None

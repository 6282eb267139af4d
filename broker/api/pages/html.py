"""HTML as values: what is text is escaped, always; only `element` makes markup."""

from collections.abc import Mapping
from html import escape

_VOID = frozenset({"input", "link", "meta"})


class Markup:
    """Finished HTML."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


Content = Markup | str | None
Attributes = Mapping[str, str | bool]


def element(name: str, attributes: Attributes | None = None, *content: Content) -> Markup:
    """An element; names are the caller's own words. An attribute of True has no value, one of False is left out."""
    written = "".join(
        f" {key}" if value is True else f' {key}="{escape(value)}"'
        for key, value in (attributes or {}).items()
        if value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*content).text}</{name}>")


def join(*content: Content) -> Markup:
    """One after the other."""
    return Markup(
        "".join(each.text if isinstance(each, Markup) else escape(each) for each in content if each is not None)
    )

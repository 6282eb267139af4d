"""What all pages have in common: the frame, the assets from our own origin, and the headers that keep them safe.

Source: OWASP "Content Security Policy" and "Session Management" cheat sheets.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from broker.api.pages.html import Content, Markup, element, join

_ASSETS: Final = Path(__file__).with_name("assets")
_TYPES: Final = {
    "icon.svg": "image/svg+xml",
    "sojourn.css": "text/css; charset=utf-8",
    "security-key.js": "text/javascript; charset=utf-8",
    "sojourn.js": "text/javascript; charset=utf-8",
}
_FOUND: Final = {name: (_ASSETS / name).read_bytes() for name in _TYPES}
_PATHS: Final = {name: f"/assets/{hashlib.sha256(content).hexdigest()[:16]}/{name}" for name, content in _FOUND.items()}

_SELF: Final = "'self'"
_POLICY: Final = (
    f"default-src 'none'; style-src {_SELF}; script-src {_SELF}; img-src {_SELF}; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "clipboard-write=(self)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page. `posts_to`: origins beside our own that a form on it may be sent or led to. `script`: one of its own."""

    title: str
    content: Sequence[Content]
    status: int = 200
    posts_to: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    script: str | None = None

    def response(self, base: str) -> web.Response:
        """As it is sent; `base`: the path below which the gateway is served."""
        policy = f"{_POLICY}; form-action {' '.join([_SELF, *self.posts_to])}"
        return web.Response(
            status=self.status,
            text=_document(self, base).text,
            content_type="text/html",
            charset="utf-8",
            headers={**SECURITY_HEADERS, "Content-Security-Policy": policy, **self.headers},
        )


def _document(page: Page, base: str) -> Markup:
    head = element(
        "head",
        None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "robots", "content": "noindex"}),
        element("title", None, f"{page.title} – Sojourn"),
        element("link", {"rel": "stylesheet", "href": base + _PATHS["sojourn.css"]}),
        element("link", {"rel": "icon", "type": "image/svg+xml", "href": base + _PATHS["icon.svg"]}),
    )
    body = element(
        "body",
        None,
        element("header", None, "Sojourn"),
        element("main", None, element("div", {"class": "card"}, *page.content)),
        *(
            element("script", {"src": base + _PATHS[name], "defer": True})
            for name in ("sojourn.js", page.script)
            if name is not None
        ),
    )
    return join(Markup("<!doctype html>\n"), element("html", {"lang": "en"}, head, body))


async def asset(request: web.Request) -> web.Response:
    """`/assets/{digest}/{name}`: the address changes with the content, so it may be kept for ever."""
    name = request.match_info["name"]
    if _PATHS.get(name) != request.path:
        raise web.HTTPNotFound
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=_FOUND[name], headers={**headers, "Content-Type": _TYPES[name]})

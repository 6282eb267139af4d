"""What the pages for security keys say."""

from datetime import datetime
from typing import Final

from broker.api.pages.html import Attributes, Content, Markup, element
from broker.api.pages.layout import Page
from broker.api.pages.views import field, hidden
from broker.directory.security_keys import SecurityKey
from broker.errors import BrokerError
from broker.flows.denials import sentence_of
from broker.flows.security_keys import Managed

NAME: Final = r"[\w+=,.@-]+"
"""As AWS names devices."""


def use(options: str, ticket: str, name: str, action: str, *, may_skip: bool) -> Page:
    """A key, please. `options`: PublicKeyCredentialRequestOptionsJSON."""
    asked = _ceremony("get", options, ticket, action, "Use security key")
    if not may_skip:
        why = element("p", None, "Your keys are shown and changed after you have used one.")
        return _page("Use your security key", name, why, asked)
    price = element("p", {"class": "quiet"}, "Roles that ask for a second factor will not be offered without it.")
    return _page("Use your security key", name, asked, _step(f"{action}/without", ticket, "Continue without", price))


def manage(managed: Managed, ticket: str, name: str, action: str) -> Page:
    """The person's keys, and a form for one more."""
    keys = element("ul", {"class": "keys"}, *(_key(each, ticket, f"{action}/remove") for each in managed.keys))
    return _page(
        "Your security keys",
        name,
        keys if managed.keys else None,
        _another(managed.another, ticket, action),
        _step(f"{action}/leave", ticket, "Continue to the roles"),
    )


def _page(title: str, name: str, *content: Content) -> Page:
    signed_in = element("p", {"class": "quiet"}, "Signed in as ", element("strong", None, name), ".")
    return Page(title=title, script="security-key.js", content=[element("h1", None, title), signed_in, *content])


def _another(options: str | BrokerError, ticket: str, action: str) -> Markup:
    if isinstance(options, BrokerError):
        return element("section", {"aria-label": "Add a key"}, element("p", None, sentence_of(options)))
    name = field(
        "name",
        "Name of the key",
        {"autocomplete": "off", "maxlength": "64", "pattern": r"[A-Za-z0-9_+=,.@\-]+"},
        "Letters, digits and _+=,.@- to know it by.",
    )
    return element(
        "section",
        {"aria-labelledby": "add"},
        element("h2", {"id": "add"}, "Add a key"),
        _ceremony("create", options, ticket, action, "Add security key", name),
    )


def _ceremony(kind: str, options: str, ticket: str, action: str, button: str, *fields: Content) -> Markup:
    """A form whose answer only a script can get from the browser; without one it says so."""
    return element(
        "form",
        {"method": "post", "action": action, "data-ceremony": kind, "data-options": options},
        hidden("ticket", ticket),
        hidden("response", ""),
        *fields,
        element("p", {"role": "status", "class": "quiet"}),
        element("noscript", None, element("p", {"class": "bad"}, "Security keys need JavaScript.")),
        element("div", {"class": "actions"}, element("button", {"type": "submit", "disabled": True}, button)),
    )


def _key(key: SecurityKey, ticket: str, action: str) -> Markup:
    used = ["last used ", _day(key.last_used_at)] if key.last_used_at is not None else ["not used yet"]
    return element(
        "li",
        {"class": "bar"},
        element(
            "span",
            None,
            element("strong", None, key.name),
            element("span", {"class": "quiet"}, "Added ", _day(key.created_at), ", ", *used),
        ),
        _step(action, ticket, "Remove", hidden("key", key.serial_number), of=key.name),
    )


def _step(action: str, ticket: str, button: str, *content: Content, of: str | None = None) -> Markup:
    """A form of one button. `of`: what tells the button from others of its name to who does not see the page."""
    name: Attributes = {"aria-label": f"{button} {of}"} if of is not None else {}
    return element(
        "form",
        {"method": "post", "action": action},
        hidden("ticket", ticket),
        *content,
        element("button", {"type": "submit", "class": "plain", **name}, button),
    )


def _day(moment: datetime) -> Markup:
    return element("time", None, moment.date().isoformat())

"""What the pages for security keys say."""

from datetime import datetime
from typing import Final

from broker.api.pages.html import Content, Markup, element
from broker.api.pages.layout import Page
from broker.api.pages.views import field, hidden, sentence
from broker.directory.security_keys import SecurityKey
from broker.flows.security_keys import Managed

NAME: Final = r"[\w+=,.@-]+"
"""As AWS names devices."""
_SCRIPT: Final = "security-key.js"


def use(options: str, ticket: str, name: str, action: str, *, may_skip: bool) -> Page:
    """A key, please. `options`: PublicKeyCredentialRequestOptionsJSON."""
    skip = element(
        "form",
        {"method": "post", "action": f"{action}/without"},
        hidden("ticket", ticket),
        element("p", {"class": "quiet"}, "Roles that ask for a second factor will not be offered without it."),
        element("button", {"type": "submit", "class": "plain"}, "Continue without"),
    )
    return Page(
        title="Use your security key",
        script=_SCRIPT,
        content=[
            element("h1", None, "Use your security key"),
            element("p", {"class": "quiet"}, "Signed in as ", element("strong", None, name), "."),
            element("p", None, "Your keys are shown and changed after you have used one.") if not may_skip else None,
            _ceremony("get", options, ticket, action, "Use security key"),
            skip if may_skip else None,
        ],
    )


def manage(managed: Managed, ticket: str, name: str, action: str) -> Page:
    """The person's keys, and a form for one more."""
    if managed.options is not None:
        label = field(
            "name",
            "Name of the key",
            {"autocomplete": "off", "maxlength": "64", "pattern": "[A-Za-z0-9_+=,.@\\-]+"},
            "Letters, digits and _+=,.@- to know it by.",
        )
        more: Content = element(
            "section",
            {"aria-labelledby": "add"},
            element("h2", {"id": "add"}, "Add a key"),
            _ceremony("create", managed.options, ticket, action, "Add security key", label),
        )
    else:
        more = element("p", None, sentence(managed.refusal)) if managed.refusal is not None else None
    return Page(
        title="Your security keys",
        script=_SCRIPT,
        content=[
            element("h1", None, "Your security keys"),
            element("p", {"class": "quiet"}, "Signed in as ", element("strong", None, name), "."),
            element("ul", {"class": "keys"}, *(_key(each, ticket, action) for each in managed.keys))
            if managed.keys
            else None,
            more,
            element(
                "form",
                {"method": "post", "action": f"{action}/leave"},
                hidden("ticket", ticket),
                element(
                    "div",
                    {"class": "actions"},
                    element("button", {"type": "submit", "class": "plain"}, "Continue to the roles"),
                ),
            ),
        ],
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
        element(
            "form",
            {"method": "post", "action": f"{action}/remove"},
            hidden("ticket", ticket),
            hidden("key", key.serial_number),
            element("button", {"type": "submit", "class": "plain", "aria-label": f"Remove {key.name}"}, "Remove"),
        ),
    )


def _day(moment: datetime) -> Markup:
    return element("time", None, moment.date().isoformat())

"""What the pages say."""

import json
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from broker.api.pages.html import Attributes, Content, Markup, element, join
from broker.api.pages.layout import Page
from broker.clock import iso8601
from broker.directory.model import Role
from broker.errors import BrokerError, ServiceUnavailable
from broker.flows.assume import Assumed
from broker.flows.denials import sentence_of
from broker.flows.login import Terminal

_TITLES = {
    400: "Sign-in was refused",
    403: "Access denied",
    413: "Too large",
    429: "Too many at once",
    503: "Not available just now",
}


def failure(error: BrokerError, request_id: str) -> Page:
    """A refusal: its code, its sentence, and what helps to find it in the log."""
    retry = {"Retry-After": "1"} if isinstance(error, ServiceUnavailable) else {}
    return Page(
        title=_TITLES.get(error.status, "Something went wrong"),
        status=error.status,
        headers=retry,
        content=[
            element("h1", {"class": "bad"}, _TITLES.get(error.status, "Something went wrong")),
            element("p", None, sentence_of(error)),
            _facts({"Code": error.code, "Request": request_id}),
        ],
    )


def sign_in(
    choices: Mapping[str, str],
    *,
    provider: str,
    role: str,
    to_keys: bool | None,
    username: str,
    error: BrokerError | None,
    action: str,
) -> Page:
    """Name, password and code. `choices`: where one may sign in, by what the form sends for it.

    `to_keys`: whether it is for the person's security keys; None where keys cannot be used.
    """
    title = "Sign in"
    if not choices:
        text = "There is no directory, and no user with a password, in the configuration."
        return Page(title=title, content=[element("h1", None, title), element("p", None, text)])
    failed = error is not None
    fields = [
        _choice(choices, provider),
        field("username", "User name", {"autocomplete": "username", "value": username, "autofocus": not failed}),
        field("password", "Password", {"type": "password", "autocomplete": "current-password", "autofocus": failed}),
        field(
            "code",
            "One-time code",
            {"autocomplete": "one-time-code", "inputmode": "numeric", "required": False},
            "If you have a device for them.",
        ),
        field("device", "Device", {"autocomplete": "off", "required": False}, "Only if you have several: its name."),
        hidden("role", role) if role else None,
        hidden("next", "keys") if to_keys else None,
    ]
    return Page(
        title=title,
        status=error.status if error is not None else 200,
        content=[
            element("h1", None, title),
            element("p", {"class": "bad", "role": "alert"}, error.message) if error is not None else None,
            element("p", {"class": "quiet"}, "For the role ", element("span", {"class": "id"}, role)) if role else None,
            element("p", {"class": "quiet"}, "To add or remove a security key.") if to_keys else None,
            element(
                "form",
                {"method": "post", "action": action},
                *fields,
                element("div", {"class": "actions"}, element("button", {"type": "submit"}, "Sign in")),
            ),
            _to_keys(f"{action}?{urlencode({'provider': provider, 'next': 'keys'})}") if to_keys is False else None,
        ],
    )


def _to_keys(url: str) -> Markup:
    return element("p", {"class": "quiet"}, element("a", {"href": url}, "Add or remove a security key"))


def _choice(choices: Mapping[str, str], chosen: str) -> Markup:
    """A list, unless there is no choice; nothing is chosen beforehand, for a password must not go astray."""
    if len(choices) == 1:
        return hidden("provider", next(iter(choices)))
    options = [
        element("option", {"value": value, "selected": value == chosen}, name)
        for value, name in {"": "Choose…", **choices}.items()
    ]
    return element(
        "div",
        {"class": "field"},
        element("label", {"for": "provider"}, "Sign in with"),
        element("select", {"id": "provider", "name": "provider", "required": True}, *options),
    )


def field(name: str, label: str, attributes: Attributes, hint: str | None = None) -> Markup:
    """A required line of text with its label; `attributes` beside those, or in their place."""
    described: Attributes = {"aria-describedby": f"{name}-hint"} if hint is not None else {}
    common: Attributes = {"id": name, "name": name, "type": "text", "required": True, "spellcheck": "false"}
    return element(
        "div",
        {"class": "field"},
        element("label", {"for": name}, label),
        element("input", {**common, "autocapitalize": "none", **described, **attributes}),
        element("p", {"class": "quiet", "id": f"{name}-hint"}, hint) if hint is not None else None,
    )


def hidden(name: str, value: str) -> Markup:
    """A field that nobody sees."""
    return element("input", {"type": "hidden", "name": name, "value": value})


def roles(
    accounts: Sequence[tuple[str, str | None, Sequence[Role]]],
    ticket: str,
    name: str,
    terminal: Terminal | None,
    action: str,
) -> Page:
    """The picker: one radio button a role, by account; `name` is whose they are."""
    fields = [
        element(
            "fieldset",
            None,
            element("legend", None, *([alias, " ", _id(account)] if alias else [f"Account {account}"])),
            *(_role(each) for each in members),
        )
        for account, alias, members in accounts
    ]
    form = element(
        "form",
        {"method": "post", "action": action},
        hidden("ticket", ticket),
        *fields,
        element("div", {"class": "actions"}, element("button", {"type": "submit"}, "Continue")),
    )
    return Page(
        title="Choose a role",
        posts_to=[f"http://127.0.0.1:{terminal.port}"] if terminal is not None and terminal.port is not None else [],
        content=[
            element("h1", None, "Choose a role"),
            element("p", {"class": "quiet"}, "Signed in as ", element("strong", None, name), "."),
            _terminal(terminal) if terminal is not None else None,
            form,
        ],
    )


def _role(role: Role) -> Markup:
    details = [
        element("span", None, element("strong", None, role.name)),
        element("span", {"class": "quiet"}, role.description) if role.description else None,
    ]
    return element(
        "label",
        {"class": "role"},
        element("input", {"type": "radio", "name": "role", "value": role.arn, "required": True}),
        element("span", None, *details),
    )


def _terminal(terminal: Terminal) -> Markup:
    return element(
        "div",
        {"class": "words"},
        element("p", None, "The credentials go to the command line that shows this:"),
        element("p", None, element("strong", None, terminal.words)),
        element("p", None, "If you did not just start ", element("code", None, "sojourn login"), ", close this page."),
    )


def credentials(assumed: Assumed, public_url: str, alias: str | None) -> Page:
    """The credentials, ready to copy in the three forms that AWS tools read."""
    given, session = assumed.credentials, assumed.session
    expiration = iso8601(given.expiration)
    variables = {
        "AWS_ACCESS_KEY_ID": given.access_key_id,
        "AWS_SECRET_ACCESS_KEY": given.secret_access_key,
        "AWS_SESSION_TOKEN": given.session_token,
        "AWS_CREDENTIAL_EXPIRATION": expiration,
        "AWS_ENDPOINT_URL_STS": public_url,
    }
    process = {
        "Version": 1,
        "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key,
        "SessionToken": given.session_token,
        "Expiration": expiration,
        "AccountId": session.account,
    }
    profile = [
        f"[{alias or session.account}-{assumed.role.name}]",
        f"aws_access_key_id = {given.access_key_id}",
        f"aws_secret_access_key = {given.secret_access_key}",
        f"aws_session_token = {given.session_token}",
    ]
    facts = {
        "Account": f"{alias} ({session.account})" if alias else session.account,
        "Session": session.arn,
        "Valid until": expiration,
    }
    return Page(
        title=f"Credentials for {assumed.role.name}",
        content=[
            element("h1", None, f"Credentials for {assumed.role.name}"),
            element(
                "p", {"class": "quiet"}, "Shown once. Closing this page forgets them; signing in again makes new ones."
            ),
            _facts(facts),
            element("p", {"id": "told", "role": "status", "class": "quiet"}),
            _block(
                "environment",
                "Shell",
                "\n".join(f"export {key}={shlex.quote(value)}" for key, value in variables.items()),
            ),
            _block("process", "credential_process", json.dumps(process, indent=2)),
            _block("profile", "AWS credentials file", "\n".join(profile)),
        ],
    )


def code(one_time_code: str) -> Page:
    """For a terminal that cannot be reached from here."""
    return Page(
        title="Code for the command line",
        content=[
            element("h1", None, "Code for the command line"),
            element(
                "p",
                None,
                "Paste it where ",
                element("code", None, "sojourn login"),
                " waits. It is good for two minutes.",
            ),
            element("p", {"class": "bad"}, "Give it to nobody, whoever asks: nobody else ever needs it."),
            element("p", {"id": "told", "role": "status", "class": "quiet"}),
            _block("code", "Code", one_time_code),
        ],
    )


def leave(url: str, fields: Mapping[str, str]) -> Page:
    """A form that the browser posts to an identity provider, by itself where it may run scripts."""
    parts = urlsplit(url)
    return Page(
        title="Signing in",
        posts_to=[f"{parts.scheme}://{parts.netloc}"],
        content=[
            element("h1", None, "Signing in"),
            element("p", None, f"On to {parts.hostname}."),
            element(
                "form",
                {"method": "post", "action": url, "data-submit": True},
                *(hidden(name, value) for name, value in fields.items()),
                element("div", {"class": "actions"}, element("button", {"type": "submit"}, "Continue")),
            ),
        ],
    )


def _block(name: str, title: str, text: str) -> Markup:
    return element(
        "section",
        {"aria-labelledby": f"{name}-title"},
        element(
            "div",
            {"class": "bar"},
            element("h2", {"id": f"{name}-title"}, title),
            element(
                "button",
                {
                    "type": "button",
                    "class": "plain",
                    "data-copy": name,
                    "aria-describedby": f"{name}-title",
                    "hidden": True,
                },
                "Copy",
            ),
        ),
        element("pre", {"id": name, "tabindex": "0", "aria-labelledby": f"{name}-title"}, text),
    )


def _facts(facts: Mapping[str, str]) -> Markup:
    pairs: list[Content] = []
    for name, value in facts.items():
        pairs += [element("dt", None, name), element("dd", {"class": "id"}, value)]
    return element("dl", None, join(*pairs))


def _id(text: str) -> Markup:
    return element("span", {"class": "id"}, text)

"""A person with a browser, as far as HTTP goes: cookies, forms, and redirects one at a time."""

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str
    cookies: tuple[str, ...]

    @property
    def location(self) -> str:
        return self.headers["location"]

    def block(self, name: str) -> str:
        """The text of the preformatted block with this id."""
        found = re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', self.text, re.DOTALL)
        assert found is not None, self.text
        return unescape(found[1])

    @property
    def inputs(self) -> list[dict[str, str]]:
        """The attributes of every input."""
        found: list[dict[str, str]] = []

        class Reader(HTMLParser):
            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                if tag == "input":
                    found.append({name: value or "" for name, value in attrs})

        Reader().feed(self.text)
        return found

    def hidden(self, name: str) -> str:
        """The value of a hidden field."""
        return next(each["value"] for each in self.inputs if each["name"] == name)

    @property
    def roles(self) -> list[str]:
        """The roles that the picker offers, in its order."""
        return [each["value"] for each in self.inputs if each["name"] == "role"]


@dataclass
class Person:
    """Keeps the cookies of one host."""

    base: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, query: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        return self._send("GET", path + (f"?{urlencode(query)}" if query else ""), None, headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> Answer:
        return self._send("POST", path, urlencode(form), headers)

    def follow(self, answer: Answer) -> Answer:
        """One redirect, within the gateway."""
        assert answer.status == 303, answer.text
        assert answer.location.startswith(self.base), answer.location
        return self.get(answer.location.removeprefix(self.base))

    def _send(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(self.base)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        set_cookies = tuple(response.headers.get_all("Set-Cookie") or ())
        for cookie in set_cookies:
            name, _, rest = cookie.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        answer = Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read().decode(),
            set_cookies,
        )
        connection.close()
        return answer

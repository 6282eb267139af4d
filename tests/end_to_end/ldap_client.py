"""A client of AssumeRoleWithLDAPIdentity that shows refusals in full."""

import urllib.error
import urllib.parse
import urllib.request
from xml.etree import ElementTree

from tests.gateway import Gateway

NS = "{https://sts.amazonaws.com/doc/2011-06-15/}"
RIGHT = "correct horse"


class Refusal(Exception):
    """An error answer: status, code and message."""

    def __init__(self, status: int, body: bytes) -> None:
        error = ElementTree.fromstring(body).find(f"{NS}Error")
        assert error is not None
        self.status = status
        self.code = error.findtext(f"{NS}Code")
        self.message = error.findtext(f"{NS}Message") or ""
        super().__init__(f"{status} {self.code} {self.message}")


def sign_in(
    gateway: Gateway, username: str, password: str = RIGHT, *, source: str | None = None, **more: str
) -> dict[str, str]:
    """The elements of the result. `source`: the address that a trusted proxy names. Raises `Refusal`."""
    parameters = {
        "Action": "AssumeRoleWithLDAPIdentity",
        "Version": "2011-06-15",
        "LDAPUsername": username,
        "LDAPPassword": password,
    } | more
    headers = {"X-Forwarded-For": source} if source is not None else {}
    request = urllib.request.Request(gateway.url, urllib.parse.urlencode(parameters).encode(), headers)
    try:
        with gateway.opener.open(request, timeout=30) as answer:
            result = ElementTree.fromstring(answer.read()).find(f"{NS}AssumeRoleWithLDAPIdentityResult")
    except urllib.error.HTTPError as error:
        raise Refusal(error.code, error.read()) from None
    assert result is not None
    return {element.tag.removeprefix(NS): element.text or "" for element in result.iter()}

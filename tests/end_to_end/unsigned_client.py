"""Unsigned Query requests, with refusals shown in full."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from xml.etree import ElementTree

from tests.gateway import Gateway

NS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


class Refusal(Exception):
    """An error answer: status, code and message."""

    def __init__(self, status: int, body: bytes) -> None:
        error = ElementTree.fromstring(body).find(f"{NS}Error")
        assert error is not None
        self.status = status
        self.code = error.findtext(f"{NS}Code")
        self.message = error.findtext(f"{NS}Message") or ""
        super().__init__(f"{status} {self.code} {self.message}")


def ask(
    gateway: Gateway,
    action: str,
    parameters: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    opener: urllib.request.OpenerDirector | None = None,
) -> dict[str, str]:
    """The elements of the result. Raises `Refusal`."""
    form = urllib.parse.urlencode({"Action": action, "Version": "2011-06-15", **parameters}).encode()
    request = urllib.request.Request(gateway.url, form, dict(headers or {}))
    try:
        with (opener or gateway.opener).open(request, timeout=120) as answer:
            result = ElementTree.fromstring(answer.read()).find(f"{NS}{action}Result")
    except urllib.error.HTTPError as error:
        raise Refusal(error.code, error.read()) from None
    assert result is not None
    return {element.tag.removeprefix(NS): element.text or "" for element in result.iter()}

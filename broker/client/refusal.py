"""The answers to requests that are not let in (RFC 6750 §3, RFC 9110 §11.6.1)."""

import json
import re
from collections.abc import Sequence

_UNQUOTABLE = re.compile(r"[^ !#-\[\]-~]")


class Refusal(Exception):
    """A status, headers and a JSON body, `{"error": {"code": …, "message": …}}`."""

    def __init__(self, status: int, code: str, message: str, *, challenges: Sequence[str] = ()) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.body = json.dumps({"error": {"code": code, "message": message}}).encode()
        self.headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        self.headers += [("WWW-Authenticate", challenge) for challenge in challenges]
        if status == 503:
            self.headers.append(("Retry-After", "1"))


def too_large() -> Refusal:
    """For a body that is longer than the service reads into memory."""
    return Refusal(413, "RequestEntityTooLarge", "The body is longer than this service reads to check it.")


def challenges(issuer: str | None, *, signed: bool, error: str | None = None, message: str = "") -> Sequence[str]:
    """What a service takes: tokens of `issuer`, where there is one, and requests that are signed.

    `error`: RFC 6750's word for what is wrong with a token; None where nothing was presented.
    """
    found = []
    if issuer is not None:
        bearer = f'Bearer realm="{issuer}"'
        if error is not None:
            bearer += f', error="{error}", error_description="{_UNQUOTABLE.sub("?", message)}"'
        found.append(bearer)
    return [*found, "AWS4-HMAC-SHA256"] if signed else found

"""The resource server's own credentials, asked for anew with each call: temporary ones are exchanged while it runs."""

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from broker.client.model import NoVerdict
from broker.sigv4.sign import SigningCredentials

Provider: TypeAlias = Callable[[], SigningCredentials | Awaitable[SigningCredentials]]
"""Gives the credentials that are good now. One that blocks must be asynchronous: it is called on the event loop."""


class NoCredentials(NoVerdict):
    """This service has no credentials of its own to ask with; the message says where they were looked for."""


def environment() -> SigningCredentials:
    """Those of `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. Raises `NoCredentials`."""
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key_id or not secret:
        raise NoCredentials("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return SigningCredentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


async def current(source: SigningCredentials | Provider) -> SigningCredentials:
    """The credentials of a source, whichever form it has."""
    if isinstance(source, SigningCredentials):
        return source
    found = source()
    return await found if inspect.isawaitable(found) else found

"""A client of AssumeRoleWithLDAPIdentity that shows refusals in full."""

from tests.end_to_end.unsigned_client import Refusal as Refusal
from tests.end_to_end.unsigned_client import ask
from tests.gateway import Gateway

RIGHT = "correct horse"


def sign_in(
    gateway: Gateway, username: str, password: str = RIGHT, *, source: str | None = None, **more: str
) -> dict[str, str]:
    """The elements of the result. `source`: the address that a trusted proxy names. Raises `Refusal`."""
    parameters = {"LDAPUsername": username, "LDAPPassword": password} | more
    headers = {"X-Forwarded-For": source} if source is not None else {}
    return ask(gateway, "AssumeRoleWithLDAPIdentity", parameters, headers=headers)

"""LDAP and Active Directory: search for the user, then bind as the one entry found (RFC 4513 §5.1.3)."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from providers.contract import Identity, Now, Password
from providers.errors import ProofRejected
from providers.ldap.config import LdapConfig
from providers.ldap.groups import groups_of
from providers.ldap.servers import Lease, Servers, Visit
from providers.ldap.users import LdapUser, find, find_again
from providers.ldap.verdict import require_accepted
from providers.pool import Pool
from providers.refusal import refused
from providers.spelling import comparable, session_name

_Result = TypeVar("_Result")
Gate = Callable[[str], Awaitable[None]]
"""Told whose password is about to be tried; raises to prevent it."""

_MOST_CHARACTERS = 256
_MOST_PASSWORD_BYTES = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A server's time limit ends shortly before the caller's patience does, so that a hung server is known as such.
_SERVERS_SHARE = 0.95


class LdapProvider:
    """A `Verifier[Password]`."""

    def __init__(self, config: LdapConfig, *, now: Now) -> None:
        """Raises `OSError` or `ssl.SSLError` for an unusable CA file."""
        self.config = config
        self._now = now
        self._servers = Servers(config)
        self._timeout = config.timeout.total_seconds()
        self._pool = Pool("ldap", threads=config.threads, waiting=config.waiting)

    async def verify(self, proof: Password, *, gate: Gate | None = None) -> Identity:
        """Who this is, with the method `pwd`, the groups and the mapped attributes.

        `gate` is awaited between search and bind with the subject of the entry found (with the name as compared, where
        there is none): whichever alias or spelling was presented, attempts at one account are counted in one place.
        An unknown user's password is tried, too, at a name that does not exist.
        Raises `ProofRejected`, always with one sentence; `ProviderUnavailable`; and what `gate` raises.
        """
        password = _require_form(proof)
        until = time.monotonic() + self._timeout
        now = self._now()
        refusal: ProofRejected | None = None
        try:
            user = await self._ask(lambda visit: find(visit, self.config, proof.username, now), until)
        except ProofRejected as error:
            refusal, user = error, self._nobody(proof.username)
        if gate is not None:
            await gate(user.subject)
        try:
            user = await self._ask(lambda visit: self._admit(visit, user, password), until)
        except ProofRejected as error:
            raise refusal or error from None
        if refusal is not None:
            raise refusal
        return self._identity(user, now)

    async def look_up(self, subject: str) -> LdapUser | None:
        """The person an identity's `subject` names, groups included; None where gone, disabled or no longer admitted.

        Raises `ProviderUnavailable` where that cannot be told; nobody's session should end by that.
        """
        now = self._now()

        def read(visit: Visit) -> LdapUser | None:
            user = find_again(visit, self.config, subject, now)
            if user is None or user.disabled:
                return None
            try:
                return replace(user, groups=groups_of(visit, self.config, user))
            except ProofRejected:
                return None

        return await self._ask(read, time.monotonic() + self._timeout)

    async def recheck(self, subject: str, *, groups: frozenset[str] = frozenset()) -> bool:
        """Whether this person could still sign in and is still in all of `groups`. Raises `ProviderUnavailable`."""
        user = await self.look_up(subject)
        return user is not None and groups.issubset(user.groups)

    async def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        self._servers.close()

    def _admit(self, visit: Visit, user: LdapUser, password: bytes) -> LdapUser:
        require_accepted(visit.bind(user.dn, password))
        if user.disabled:
            raise refused(user.disabled)
        return replace(user, groups=groups_of(visit, self.config, user))

    async def _ask(self, call: Callable[[Visit], _Result], until: float) -> _Result:
        lease = Lease()
        left = until - time.monotonic()
        servers_until = time.monotonic() + left * _SERVERS_SHARE
        return await self._pool.run(
            lambda: self._servers.ask(call, servers_until, lease), seconds=max(left, 0), abort=lease.abort
        )

    def _nobody(self, username: str) -> LdapUser:
        # An entry that does not exist: the bind costs the same round trip and counts against nobody.
        dn = f"cn={secrets.token_hex(16)},{self.config.user_search_base}"
        return LdapUser(subject=f"name:{comparable(username)}", dn=dn, username=username)

    def _identity(self, user: LdapUser, now: datetime) -> Identity:
        return Identity(
            issuer=self.config.issuer,
            subject=user.subject,
            audience=self.config.issuer,
            methods=frozenset(("pwd",)),
            authenticated_at=now,
            attributes=user.attributes,
            multivalued=frozenset(("ldap:groups",) if user.groups else ()),
            carried=("ldap:username", "ldap:dn"),
            session_name=session_name(user.username),
            session_tags=user.tags,
        )


def _require_form(proof: Password) -> bytes:
    """The password's octets. Nothing that LDAP could take for an anonymous bind or for another name gets further."""
    name = proof.username
    if not comparable(name) or len(name) > _MOST_CHARACTERS or _CONTROL.search(name):
        raise refused("malformed")
    try:
        name.encode()
        password = proof.password.encode()
    except UnicodeEncodeError:
        raise refused("malformed") from None
    if not password or len(password) > _MOST_PASSWORD_BYTES or b"\0" in password:
        raise refused("malformed")
    return password

"""The servers of one directory: which one is asked, and the connections that are kept open to it."""

import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from providers.errors import ProofError, ProviderUnavailable
from providers.ldap.config import Address, LdapConfig
from providers.ldap.wire import BASE, SUBTREE, SUCCESS, BindResult, Entry, Link, ServerFailed

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)

# Firewalls and directories drop idle connections, some in silence; a younger one is worth the attempt.
_IDLE_SECONDS = 60.0
_FAIR_SHARE = 0.2
_ACTIVE_DIRECTORY = frozenset((b"1.2.840.113556.1.4.800", b"1.2.840.113556.1.4.1851"))


class Lease:
    """What a call holds at the moment, so that another thread can end its waiting."""

    def __init__(self) -> None:
        self._links: list[Link] = []
        self._lock = threading.Lock()
        self._aborted = False

    def hold(self, link: Link) -> None:
        """Raises `ServerFailed` after `abort`."""
        with self._lock:
            if self._aborted:
                raise ServerFailed("given up")
            self._links.append(link)

    def abort(self) -> None:
        """Wake the call from whatever it waits for on the network; it fails then."""
        with self._lock:
            self._aborted = True
            for link in self._links:
                link.abort()

    def release(self) -> bool:
        """Let go of everything, for others will use it; False after `abort`, when nobody should."""
        with self._lock:
            self._links.clear()
            return not self._aborted

    @property
    def aborted(self) -> bool:
        """Whether the call was given up."""
        return self._aborted


class Visit:
    """One call's dealings with one server: searches as the service account, binds as whom it likes.

    The two never share a connection, so that no search runs with a user's rights. Connections come from the server's
    idle ones; where such a one turns out to be dead, the operation is tried once more on a new one.
    """

    def __init__(self, server: "Server", lease: Lease, until: float) -> None:
        self._server = server
        self._lease = lease
        self.until = until
        self._links: dict[bool, Link] = {}

    def search(
        self, base: str, text: str, attributes: Sequence[str], *, limit: int, scope: str = SUBTREE
    ) -> tuple[Entry, ...]:
        """As `Link.search`, as the service account."""
        return self._on(True, lambda link: link.search(base, text, attributes, self.until, limit=limit, scope=scope))

    def bind(self, dn: str, password: bytes) -> BindResult:
        """Try a password. The connection is used for such binds only, so whom it now speaks for does not matter."""
        return self._on(False, lambda link: link.bind(dn, password, self.until))

    def is_active_directory(self) -> bool:
        """Whether the server says so in its root entry; asked once per server."""
        if self._server.active_directory is None:
            root = self.search("", "(objectClass=*)", ["supportedCapabilities"], limit=1, scope=BASE)
            found = {value for entry in root for value in entry.attributes.get("supportedcapabilities", ())}
            self._server.active_directory = bool(found & _ACTIVE_DIRECTORY)
        return self._server.active_directory

    def end(self, *, well: bool) -> None:
        """Give the connections back, or close them."""
        usable = self._lease.release() and well
        for service, link in self._links.items():
            if usable:
                self._server.keep(link, service=service)
            else:
                link.close()

    def _on(self, service: bool, operation: Callable[[Link], _Result]) -> _Result:
        link = self._links.get(service) or self._server.idle(service=service)
        if link is not None:
            try:
                self._hold(service, link)
                return operation(link)
            except ServerFailed:
                link.close()
                self._links.pop(service, None)
                if self._lease.aborted or time.monotonic() >= self.until:
                    raise
        link = self._server.open(self.until, self._lease, service=service)
        self._links[service] = link
        return operation(link)

    def _hold(self, service: bool, link: Link) -> None:
        if service not in self._links:
            self._lease.hold(link)
            self._links[service] = link


class Server:
    """One server: whether it is worth asking, and its idle connections. Used by several threads."""

    def __init__(self, address: Address, config: LdapConfig, tls: ssl.SSLContext | None) -> None:
        self.address = address
        self.active_directory: bool | None = None
        self._config = config
        self._tls = tls
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = 0.0
        self._paused_until = 0.0
        self._idle: dict[bool, deque[Link]] = {True: deque(), False: deque()}

    def admit(self, patience: float) -> bool:
        """Whether to ask this server now. After a failure one caller at a time is sent to see whether it is back."""
        now = time.monotonic()
        with self._lock:
            if now < self._paused_until:
                return False
            if self._failures:
                self._paused_until = now + patience
            return True

    def paused(self) -> bool:
        """Whether the server is being passed over."""
        return time.monotonic() < self._paused_until

    def answered(self) -> None:
        """The server is well."""
        with self._lock:
            if self._failures:
                _log.warning("LDAP server %s is back", self.address)
            self._failures = 0
            self._paused_until = 0.0

    def failed(self, since: float, error: ServerFailed) -> None:
        """Pass the server over for a while; failures of calls that began before the last one count once."""
        with self._lock:
            if self._failed_at >= since:
                return
            self._failed_at = now = time.monotonic()
            self._failures += 1
            longer = self._config.first_pause * 2 ** min(self._failures - 1, 10)
            pause = min(longer, self._config.longest_pause).total_seconds()
            self._paused_until = now + pause
        _log.warning("LDAP server %s is passed over for %g s: %s", self.address, pause, error)
        self.close()

    def idle(self, *, service: bool) -> Link | None:
        """The idle connection that was used last, if it is young enough."""
        while True:
            try:
                link = self._idle[service].pop()
            except IndexError:
                return None
            if time.monotonic() - link.last_used < _IDLE_SECONDS:
                return link
            link.close()

    def open(self, until: float, lease: Lease, *, service: bool) -> Link:
        """A new connection, as the service account or for binds."""
        link = Link(self.address, tls=self._tls, start_tls=self._config.start_tls)
        lease.hold(link)
        try:
            link.open(until)
            if service:
                self._introduce(link, until)
        except ServerFailed:
            link.close()
            raise
        return link

    def _introduce(self, link: Link, until: float) -> None:
        if self._config.bind_dn is not None and self._config.bind_password is not None:
            result = link.bind(self._config.bind_dn, self._config.bind_password.encode(), until)
            if result.code != SUCCESS:
                raise ServerFailed(f"the service account's bind was refused ({result.code}: {result.message})")

    def keep(self, link: Link, *, service: bool) -> None:
        """Put a connection back."""
        if len(self._idle[service]) >= self._config.threads:
            link.close()
            return
        link.last_used = time.monotonic()
        self._idle[service].append(link)

    def close(self) -> None:
        """Close the idle connections."""
        for links in self._idle.values():
            while links:
                links.pop().close()


class Servers:
    """All servers of a directory, the first that answers is asked."""

    def __init__(self, config: LdapConfig) -> None:
        """Raises `OSError` or `ssl.SSLError` for a CA file that cannot be used."""
        addresses = config.addresses
        encrypted = config.start_tls or any(address.tls for address in addresses)
        tls = ssl.create_default_context(cafile=config.ca_file) if encrypted else None
        self._servers = tuple(Server(address, config, tls) for address in addresses)
        self._patience = config.timeout.total_seconds()

    def ask(self, call: Callable[[Visit], _Result], until: float, lease: Lease) -> _Result:
        """What `call` returns or raises with the first server that does not fail it; each gets its share of the time.

        Raises `ProviderUnavailable` where all fail or are being passed over.
        """
        errors: list[str] = []
        for i, server in enumerate(self._servers):
            left = until - time.monotonic()
            if left <= 0 or lease.aborted:
                errors.append("no time is left")
                break
            if not server.admit(self._patience):
                errors.append(f"{server.address} failed a moment ago")
                continue
            others = sum(1 for other in self._servers[i + 1 :] if not other.paused())
            try:
                with self._visit(server, lease, left / (1 + others)) as visit:
                    return call(visit)
            except ServerFailed as error:
                errors.append(str(error))
        raise ProviderUnavailable(
            "The identity provider did not answer.", reason="unreachable", detail="; ".join(errors)
        )

    def close(self) -> None:
        """Close the idle connections."""
        for server in self._servers:
            server.close()

    @contextmanager
    def _visit(self, server: Server, lease: Lease, seconds: float) -> Iterator[Visit]:
        began = time.monotonic()
        visit = Visit(server, lease, began + seconds)
        try:
            yield visit
        except ServerFailed as error:
            visit.end(well=False)
            # Who came with little time left, after a wait in the queue, is no judge of a server's silence.
            if time.monotonic() < visit.until or seconds >= self._patience * _FAIR_SHARE:
                server.failed(began, error)
            raise
        except ProofError:
            visit.end(well=True)  # a verdict, raised while the connections are at rest
            server.answered()
            raise
        except BaseException:
            visit.end(well=False)
            raise
        visit.end(well=True)
        server.answered()

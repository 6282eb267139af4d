"""One connection to one LDAP server (RFC 4511) over ldap3, with an end to every wait."""

import math
import socket
import ssl
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.errors import ProviderUnavailable
from providers.ldap.config import Address

with warnings.catch_warnings():
    # ldap3 asks pyasn1 for names that it has renamed.
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3

SUBTREE, BASE = ldap3.SUBTREE, ldap3.BASE
_PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
SUCCESS, _SIZE_LIMIT, _NO_SUCH_OBJECT = 0, 4, 32
_ILL = frozenset((51, 52))  # busy, unavailable


class ServerFailed(Exception):
    """This server gave no answer that can be used; another one may."""


class TooMany(Exception):
    """The search found more entries than were asked for."""


class NoSuchObject(Exception):
    """The base of the search does not exist."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as found: attribute names in lower case, values as bytes."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class BindResult:
    """`code`: LDAP's result code. `message`: the server's diagnostic text. `policy`: password policy's response."""

    code: int
    message: str
    policy: bytes | None = None


class _Tls(ldap3.Tls):  # type: ignore[misc] # the library has no types
    """One context for all connections, which checks the name (IP addresses too) and sends it (SNI)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: ARG002 # the library's signature
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=connection.server.host)


def no_verdict(code: int, what: str) -> Exception:
    """For a result code that settles nothing. Only a server that says so itself is taken for ill.

    Otherwise whoever finds a name that the server chokes on could have it passed over for everybody.
    """
    if code in _ILL:
        return ServerFailed(f"{what} ({code})")
    return ProviderUnavailable("The identity provider could not tell.", reason="result", detail=f"{what} ({code})")


class Link:
    """A connection for one thread at a time. After `ServerFailed` it is of no use.

    `until` is an instant of `time.monotonic`.
    """

    def __init__(self, address: Address, *, tls: ssl.SSLContext | None, start_tls: bool) -> None:
        self._address = address
        self._start_tls = start_tls
        self._tls = _Tls(tls) if tls is not None else None
        self._connection: Any = None
        self._aborted = False
        self.last_used = 0.0

    def open(self, until: float) -> None:
        """Connect, and encrypt where that is configured; there is no going on without."""
        try:
            server = ldap3.Server(
                self._address.host,
                self._address.port,
                use_ssl=self._address.tls,
                tls=self._tls,
                get_info=ldap3.NONE,
                mode=ldap3.IP_V4_PREFERRED,
                connect_timeout=_left(until),
            )
            self._connection = ldap3.Connection(
                server,
                client_strategy=ldap3.SAFE_SYNC,
                auto_referrals=False,
                check_names=False,
                auto_escape=False,
                auto_range=False,
                return_empty_attributes=False,
            )
            self._connection.open(read_server_info=False)
            if self._start_tls:
                self._wait(until)
                self._connection.start_tls(read_server_info=False)
            self._connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            encrypted = isinstance(self._connection.socket, ssl.SSLSocket)
        except Exception as error:  # the library raises whatever type the socket or the parser did
            self.close()
            raise ServerFailed(f"cannot connect to {self._address}: {error}") from error
        if encrypted != (self._address.tls or self._start_tls):
            self.close()
            raise ServerFailed(f"{self._address} is not encrypted")

    def bind(self, dn: str, password: bytes, until: float) -> BindResult:
        """Authenticate as `dn`. The caller reads the result's code.

        Raises `ServerFailed` where there is none.
        """
        if not dn or not password:
            raise ServerFailed("a bind needs a name and a password: without it would be anonymous")
        connection = self._connection
        connection.user = dn
        connection.password = password
        connection.authentication = ldap3.SIMPLE
        try:
            self._wait(until)
            # The strategy returns a tuple, which is true whatever the verdict: the code decides.
            _, result, _, _ = connection.bind(read_server_info=False, controls=[(_PASSWORD_POLICY, False, None)])
            policy = (result.get("controls") or {}).get(_PASSWORD_POLICY, {}).get("value")
            return BindResult(int(result["result"]), str(result["message"]), policy)
        except Exception as error:  # as above
            raise self._failed("bind", error) from error
        finally:
            connection.password = None

    def search(
        self, base: str, text: str, attributes: Sequence[str], until: float, *, limit: int, scope: str = SUBTREE
    ) -> tuple[Entry, ...]:
        """The entries that the filter `text` matches; referrals to other servers are passed over.

        Raises `TooMany` for more than `limit`, `NoSuchObject` where there is no `base`, `ProviderUnavailable` for
        other results, `ServerFailed` where there is none.
        """
        try:
            self._wait(until)
            _, result, response, _ = self._connection.search(
                base,
                text,
                search_scope=scope,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                size_limit=limit + 1 if scope == SUBTREE else 0,
                time_limit=math.ceil(_left(until)),
            )
            code = int(result["result"])
            found = tuple(_entry(item) for item in response if item["type"] == "searchResEntry")
        except Exception as error:  # as above
            raise self._failed("search", error) from error
        if code == _NO_SUCH_OBJECT:
            raise NoSuchObject
        if code == _SIZE_LIMIT or len(found) > limit:
            raise TooMany
        if code != SUCCESS:
            raise no_verdict(code, f"{self._address} answered the search with {result['description']}")
        if any(";range=" in name for entry in found for name in entry.attributes):
            # Active Directory gives a long list in parts; a part of someone's groups would be the wrong groups.
            raise no_verdict(code, f"{self._address} gave a part of an attribute's values")
        return found

    def abort(self) -> None:
        """From another thread: wake whoever waits on the socket."""
        self._aborted = True
        waiting = getattr(self._connection, "socket", None)
        if waiting is not None:
            try:
                # Past the TLS layer, whose own shutdown would forget its state under the waiting thread.
                socket.socket.shutdown(waiting, socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        """Close the socket without a farewell, which could block."""
        held = getattr(self._connection, "socket", None)
        if held is not None:
            held.close()

    def _wait(self, until: float) -> None:
        if self._aborted:
            raise ServerFailed("given up")
        self._connection.socket.settimeout(_left(until))

    def _failed(self, operation: str, error: Exception) -> ServerFailed:
        if isinstance(error, ServerFailed):
            return error
        return ServerFailed(f"the {operation} at {self._address} failed: {error}")


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise ServerFailed("no time is left")
    return left


def _entry(item: Mapping[str, Any]) -> Entry:
    values: dict[str, tuple[bytes, ...]] = {}
    for name, found in item["raw_attributes"].items():
        values[name.lower()] = tuple(bytes(value) for value in found)
    return Entry(bytes(item["raw_dn"]).decode(), values)

"""From a store's URL to connections that were authenticated and inspected."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from broker.stores import server
from broker.stores.contract import StoreMisconfigured, StoreUnavailable
from broker.stores.line import Opened, Opener

Address = tuple[str, int]
"""Host and port."""

_IDENTITY = ("username", "password")
# Of redis-py's pool, not of a connection.
_POOL_OPTIONS = ("max_connections", "timeout")
# What the line depends on is not for the URL to change: bytes, one reply per command and its own timing.
_FIXED: dict[str, Any] = {
    "decode_responses": False,
    "health_check_interval": 0,
    "protocol": 2,
    "retry_on_error": [],
    "retry_on_timeout": False,
    "socket_timeout": None,
    "socket_connect_timeout": 5,  # the line gives up sooner
}
_SEVERAL = re.compile(r"(rediss?)\+(?:sentinel|cluster)://([^/?#]*@)?([^@/?#]*)/?([^/?#]*)(/[^?#]*)?(\?[^#]*)?")


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect: the kind of connection, and user, password, database and TLS as redis-py names them."""

    kind: type[AbstractConnection]
    options: Mapping[str, Any]

    def connection(self, address: Address | None = None) -> AbstractConnection:
        """One that is not open yet, to `address` or to where the URL points."""
        place = {} if address is None else {"host": address[0], "port": address[1]}
        return self.kind(**{**self.options, **place, **_FIXED}, retry=Retry(NoBackoff(), 0))


@dataclass(frozen=True, slots=True)
class Several:
    """What a URL with several hosts says: those, the name behind them, and how to reach servers and Sentinels."""

    hosts: Sequence[Address]
    name: str
    servers: Access
    sentinels: Access


def one(url: str) -> Access:
    """What `redis://`, `rediss://` or `unix://` says, read as redis-py reads it.

    Raises:
        StoreMisconfigured: the URL cannot be read. Its text never enters the message: it may hold a password.
    """
    return _usable(_read(url))


def several(url: str, *, port: int) -> Several:
    """What `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME/DATABASE?OPTIONS` says; `redis+cluster://` alike.

    `rediss+…`: TLS, to the Sentinels too. `port`: of hosts that name none. The options `sentinel_username` and
    `sentinel_password` are for the Sentinels. Raises as `one` does.
    """
    read = _SEVERAL.fullmatch(url)
    if read is None:
        raise StoreMisconfigured("the store's URL cannot be read")
    scheme, user, hosts, name, database, query = (part or "" for part in read.groups())
    try:
        places = [urlsplit(f"{scheme}://{host}") for host in hosts.split(",")]
        addresses = [(place.hostname or "", place.port or port) for place in places]
    except ValueError as error:
        raise StoreMisconfigured("the store's URL cannot be read") from error
    if not all(host for host, _ in addresses):
        raise StoreMisconfigured("the store's URL has a comma without a host")
    every = _read(f"{scheme}://{user}{hosts.partition(',')[0]}{database}{query}")
    options = dict(every.options)
    identity = {name: options.pop(f"sentinel_{name}") for name in _IDENTITY if f"sentinel_{name}" in options}
    shared = {name: value for name, value in options.items() if name not in (*_IDENTITY, "db")}
    return Several(
        hosts=addresses,
        name=unquote(name),
        servers=_usable(Access(every.kind, options)),
        sentinels=_usable(Access(every.kind, shared | identity)),
    )


def opener(access: Access, address: Address | None = None, *, cluster: bool = False) -> Opener:
    """Connects to a primary that is fit to be the store; `cluster`: to be a part of it."""
    return partial(_open, access, address, inspect=partial(_inspect, cluster=cluster))


def bystander(access: Access, address: Address) -> Opener:
    """Connects to a server that is only asked about others: a Sentinel, any node of a cluster."""
    return partial(_open, access, address, inspect=None)


def unix_url(path: str) -> str:
    """The URL of the socket at `path`."""
    return f"unix://{quote(path)}"


def _read(url: str) -> Access:
    try:
        parts = urlsplit(url)
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise StoreMisconfigured("the store's URL cannot be read") from error
    database = parts.path.strip("/")
    # redis-py takes any other path for database 0.
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise StoreMisconfigured("the database in the store's URL must be a number")
    if parts.scheme == "unix" and not options.get("path"):
        raise StoreMisconfigured("the store's URL names no socket: unix:///path/to/socket")
    kind: type[AbstractConnection] = options.pop("connection_class", Connection)
    return Access(kind, {name: value for name, value in options.items() if name not in _POOL_OPTIONS})


def _usable(access: Access) -> Access:
    try:
        access.connection()
    except (RedisError, TypeError, ValueError, OSError) as error:
        raise StoreMisconfigured("the store's URL has an option that is unknown or of no use here") from error
    return access


async def _open(
    access: Access, address: Address | None, *, inspect: Callable[[AbstractConnection], Awaitable[str]] | None
) -> Opened:
    connection = access.connection(address)
    try:
        handshake: Callable[[], Awaitable[None]] = connection.connect
        await handshake()
        return Opened(connection, await inspect(connection) if inspect is not None else "")
    except BaseException:
        await connection.disconnect(nowait=True)
        raise


async def _inspect(connection: AbstractConnection, *, cluster: bool) -> str:
    await connection.send_command("INFO")
    try:
        info = await connection.read_response()
    except ResponseError as error:
        raise StoreMisconfigured("the store refuses INFO to the gateway's user: allow it") from error
    if not isinstance(info, bytes):
        raise StoreUnavailable("the server's INFO cannot be read")
    said = server.fields(info)
    server.check(said, cluster=cluster)
    return server.run_of(said)

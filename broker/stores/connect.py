"""From a store's URL to a connection that was authenticated and inspected."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from broker.stores import server
from broker.stores.contract import StoreMisconfigured, StoreUnavailable
from broker.stores.line import Opener

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


def opener(url: str) -> Opener:
    """How to connect to `redis://`, `rediss://` or `unix://`, with user, password, database and TLS as redis-py reads.

    Raises:
        StoreMisconfigured: the URL cannot be read. Its text never enters the message: it may hold a password.
    """
    make = _connection(url)

    async def connect() -> AbstractConnection:
        connection = make()
        try:
            handshake: Callable[[], Awaitable[None]] = connection.connect
            await handshake()
            await _inspect(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    return connect


def unix_url(path: str) -> str:
    """The URL of the socket at `path`."""
    return f"unix://{quote(path)}"


def _connection(url: str) -> Callable[[], AbstractConnection]:
    try:
        parts = urlsplit(url)
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise StoreMisconfigured("the store's URL cannot be read") from error
    database = parts.path.strip("/")
    # redis-py takes any other path for database 0.
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise StoreMisconfigured("the path of the store's URL must be the number of a database")
    if parts.scheme == "unix" and not options.get("path"):
        raise StoreMisconfigured("the store's URL names no socket: unix:///path/to/socket")
    kind: type[AbstractConnection] = options.pop("connection_class", Connection)
    options = {name: value for name, value in options.items() if name not in _POOL_OPTIONS} | _FIXED

    def make() -> AbstractConnection:
        return kind(**options, retry=Retry(NoBackoff(), 0))

    try:
        make()
    except (RedisError, TypeError, ValueError, OSError) as error:
        raise StoreMisconfigured("the store's URL has an option that is unknown or of no use here") from error
    return make


async def _inspect(connection: AbstractConnection) -> None:
    await connection.send_command("INFO")
    try:
        info = await connection.read_response()
    except ResponseError as error:
        raise StoreMisconfigured("the store refuses INFO to the gateway's user: allow it") from error
    if not isinstance(info, bytes):
        raise StoreUnavailable("the server's INFO cannot be read")
    server.check(server.fields(info))

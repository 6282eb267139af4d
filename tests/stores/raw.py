"""The server seen past the store: redis-py's plain synchronous client."""

from typing import Any

import redis


def command(url: str, *words: str | bytes | int) -> Any:
    """One command on a connection of its own."""
    with redis.Redis.from_url(url, protocol=2) as client:
        return client.execute_command(*words)

"""Where a `Database` gets its clients from: a URL, a store in this process, or the caller.

A source makes clients and the drivers that fit them; who keeps and closes them is `database`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import AbstractRetry, Retry

from redisorm.drivers.awaiting import AwaitingDriver
from redisorm.drivers.awaiting_pool import ReadyPool
from redisorm.drivers.blocking import BlockingDriver
from redisorm.drivers.pool import SteadyPool
from redisorm.drivers.server import KnownServer
from redisorm.errors import ConnectionFailedError, UnsupportedServerError

if TYPE_CHECKING:
    from redisorm.drivers.store import Store

__all__ = ["GivenSource", "ServerSource", "Source", "StoreSource", "unix_url"]

# redis-py's own policy; a client made from a URL would have none at all.
_RETRIES = 10
_RETRY_BASE_S = 0.01
_RETRY_CAP_S = 1.0


def unix_url(path: str) -> str:
    """Return the URL of a server at a Unix socket."""
    return f"unix://{quote(path)}"


class Source(Protocol):
    """Makes the clients of one database and their drivers."""

    def client(self) -> redis.Redis:
        """Make the blocking client. Nothing is sent."""
        ...

    def async_client(self) -> redis.asyncio.Redis:
        """Make a client for the running event loop. Nothing is sent."""
        ...

    def driver(self, client: redis.Redis) -> BlockingDriver:
        """Make the driver over a client."""
        ...

    def async_driver(self, client: redis.asyncio.Redis) -> AwaitingDriver:
        """Make the driver over a client of the running event loop."""
        ...


class ServerSource:
    """Clients of the server at a URL, with pools that make callers wait for a free connection.

    A `retry` of the other colour gives the number of retries only: redis-py's two classes cannot stand in for each other.
    """

    def __init__(self, url: str, max_connections: int, pool_timeout: float, timeout: float | None, options: dict[str, Any]) -> None:
        self._url = url
        self._known = KnownServer()
        self._retry: AbstractRetry[Any] | None = options.get("retry")
        defaults = {
            "max_connections": max_connections,
            "timeout": pool_timeout,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
        }
        self._options = {**defaults, **options}

    def client(self) -> redis.Redis:
        """Make the blocking client. Nothing is sent."""
        retry = self._retry if isinstance(self._retry, Retry) else Retry(self._backoff(), self._retries())
        return redis.Redis.from_pool(SteadyPool.from_url(self._url, **{**self._options, "retry": retry}))

    def async_client(self) -> redis.asyncio.Redis:
        """Make a client for the running event loop. Nothing is sent."""
        retry = self._retry if isinstance(self._retry, AsyncRetry) else AsyncRetry(self._backoff(), self._retries())
        return redis.asyncio.Redis.from_pool(ReadyPool.from_url(self._url, **{**self._options, "retry": retry}))

    def _backoff(self) -> ExponentialWithJitterBackoff:
        return ExponentialWithJitterBackoff(base=_RETRY_BASE_S, cap=_RETRY_CAP_S)

    def _retries(self) -> int:
        return _RETRIES if self._retry is None else self._retry.get_retries()

    def driver(self, client: redis.Redis) -> BlockingDriver:
        """Make the driver over a client."""
        return BlockingDriver(client, self._known)

    def async_driver(self, client: redis.asyncio.Redis) -> AwaitingDriver:
        """Make the driver over a client of the running event loop."""
        return AwaitingDriver(client, self._known)


class StoreSource:
    """Clients of a store in this process. Who connects to a server does not import fakeredis, which takes as long as redis-py does."""

    def __init__(self, store: Store, max_connections: int, pool_timeout: float, options: dict[str, Any]) -> None:
        self._store = store
        self._max_connections = max_connections
        self._pool_timeout = pool_timeout
        self._options = options

    def client(self) -> redis.Redis:
        """Make the blocking client."""
        return self._store.client(self._max_connections, self._pool_timeout, **self._options)

    def async_client(self) -> redis.asyncio.Redis:
        """Make a client for the running event loop."""
        return self._store.async_client(self._max_connections, self._pool_timeout, **self._options)

    def driver(self, client: redis.Redis) -> BlockingDriver:
        """Make the driver over a client."""
        from redisorm.drivers.memory import BlockingMemoryDriver

        return BlockingMemoryDriver(client, self._store, self._pool_timeout)

    def async_driver(self, client: redis.asyncio.Redis) -> AwaitingDriver:
        """Make the driver over a client of the running event loop."""
        from redisorm.drivers.memory import AwaitingMemoryDriver

        return AwaitingMemoryDriver(client, self._store, self._pool_timeout)


class GivenSource:
    """The clients that the caller made. They stay the caller's: nobody here closes them."""

    def __init__(self, client: object, async_client: object) -> None:
        self._client = _one_server(client, redis.Redis, "client")
        self._async_client = _one_server(async_client, redis.asyncio.Redis, "async_client")
        self._known = KnownServer()

    def client(self) -> redis.Redis:
        """Return the blocking client.

        Raises:
            ConnectionFailedError: Only the other colour was given.
        """
        if self._client is None:
            raise ConnectionFailedError("this Database was given an async_client only; pass client= as well to use it from blocking code")
        return self._client  # type: ignore[no-any-return]

    def async_client(self) -> redis.asyncio.Redis:
        """Return the client for event loops.

        Raises:
            ConnectionFailedError: Only the other colour was given.
        """
        if self._async_client is None:
            raise ConnectionFailedError(
                "this Database was given a blocking client only; pass async_client= as well to use it from async code"
            )
        return self._async_client  # type: ignore[no-any-return]

    def driver(self, client: redis.Redis) -> BlockingDriver:
        """Make the driver over a client."""
        return BlockingDriver(client, self._known)

    def async_driver(self, client: redis.asyncio.Redis) -> AwaitingDriver:
        """Make the driver over a client of the running event loop."""
        return AwaitingDriver(client, self._known)


def _one_server(client: object, kind: type, name: str) -> Any:
    if client is None or isinstance(client, kind):
        return client
    if type(client).__name__ == "RedisCluster":
        raise UnsupportedServerError(f"{name}= is a RedisCluster, which is not available in this version; pass a client of one server")
    raise TypeError(f"{name}= is a {type(client).__module__}.{type(client).__qualname__}; pass a {kind.__module__}.{kind.__qualname__}")

"""`Database` as users have it: the connections of `drivers` and the flows that a database can perform for a class.

It joins two floors that must not know each other, and does nothing of its own.
"""

from __future__ import annotations

from typing import Any

from redisorm.drivers import database as drivers
from redisorm.drivers.database import AsyncClient, Client
from redisorm.drivers.default import Default

__all__ = ["Database", "connect", "default_database"]


class Database(drivers.Database):
    """One Redis or Valkey database: connections, a namespace, and the upkeep of what lies in it.

    Safe to share between threads and event loops. Opening one sends nothing; the first use connects. As a context manager in both
    colours it closes the clients it made; clients that were handed in stay open.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `memory://` or `embedded://`; without one `$REDISORM_URL`, else `$REDIS_URL`,
            else `memory://` with a warning.
        namespace: Goes before every key, with a colon.
        client: A `redis.Redis` made elsewhere, instead of a URL.
        async_client: A `redis.asyncio.Redis` made elsewhere, for one event loop.
        max_connections: How many connections each pool may open: one pool for all threads, and one for each event loop.
        pool_timeout: How long callers wait for a free connection, in seconds.
        timeout: How long an answer may take, in seconds; `None` waits for ever.
        **options: Any other option of redis-py's connections: `password`, `ssl_ca_certs`, `protocol`, `retry`, …

    Raises:
        ValueError: The URL has an unknown form, or the namespace has braces or NUL in it.
        UnsupportedServerError: A cluster or Sentinel is asked for.
    """


def connect(
    url: str | None = None,
    *,
    namespace: str = "",
    client: Client | None = None,
    async_client: AsyncClient | None = None,
    max_connections: int = 50,
    pool_timeout: float = 5,
    timeout: float | None = 5,
    **options: Any,
) -> Database:
    """Open a `Database`, with the same arguments, and make it the default. One that was the default before stays open."""
    database = Database(
        url,
        namespace=namespace,
        client=client,
        async_client=async_client,
        max_connections=max_connections,
        pool_timeout=pool_timeout,
        timeout=timeout,
        **options,
    )
    default.set(database)
    return database


def default_database() -> Database:
    """Return the default `Database`, connecting as `connect()` would where there is none."""
    return default.get()


default = Default(Database)
"""The default `Database` of the process."""

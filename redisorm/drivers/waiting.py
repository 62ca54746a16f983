"""Connections for what makes the server wait: as many as are asked for, beside the pool, so that waiting takes none from others.

They are of the same kind as those of the client they stand beside: its address, authentication, TLS and retry policy.
"""

from __future__ import annotations

from typing import cast

import redis
import redis.asyncio

from redisorm.drivers.awaiting_pool import ReadyPool
from redisorm.drivers.pool import UnlimitedPool
from redisorm.drivers.wire import AsyncPool, Pool

__all__ = ["async_waiting_pool", "waiting_pool"]

_AS_MANY_AS_NEEDED = 2**31


def waiting_pool(client: redis.Redis) -> Pool:
    """Make a pool of the connections that a client's own pool makes, without its limit. Nothing is sent."""
    pool = client.connection_pool
    return cast(
        "Pool",
        UnlimitedPool(connection_class=pool.connection_class, max_connections=_AS_MANY_AS_NEEDED, **pool.connection_kwargs),
    )


def async_waiting_pool(client: redis.asyncio.Redis) -> AsyncPool:
    """Make a pool of the connections that a client's own pool makes, without its limit, for the same event loop. Nothing is sent."""
    pool = client.connection_pool
    return cast(
        "AsyncPool",
        ReadyPool(connection_class=pool.connection_class, max_connections=_AS_MANY_AS_NEEDED, **pool.connection_kwargs),
    )

"""The data behind a `memory://` URL: one fakeredis, and what is known of it."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, cast

import redis
import redis.asyncio
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer

from redisorm.drivers.places import Places
from redisorm.drivers.pool import SteadyPool
from redisorm.drivers.server import KnownServer

__all__ = ["Store", "store_named"]

# Lua is an extra of fakeredis and differs from a server's: what runs as a script on servers has a way without one.
_NO_SCRIPTS = ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT", "FCALL", "FCALL_RO", "FUNCTION")
_WRONG = ("SINTERCARD",)  # in fakeredis an absent first key is one of another type
_NEWER = ("HSETEX XX", "HSETEX FXX")
_NO_SOCKET = {"socket_timeout": None, "health_check_interval": 0}
"""Options that a database of a server may have, and that must not reach a connection that has nothing to time out or to check."""


class Store:
    """The data of one `memory://` URL, shared by both colours.

    Attributes:
        guard: The one place for a guarded section.
        known: What is known of fakeredis.
    """

    def __init__(self) -> None:
        self._server = FakeServer(version=(7, 4))
        self.guard = Places(1)
        self.known = KnownServer()
        self.known.name, self.known.version = "memory", "7.4"
        self.known.watch_limit = None
        self.known.commands = dict.fromkeys((*_NO_SCRIPTS, *_WRONG, *_NEWER), False)

    def client(self, max_connections: int, pool_timeout: float, **options: Any) -> redis.Redis:
        """Make a blocking client of this store."""
        pool: Any = partial(SteadyPool, timeout=pool_timeout)
        return FakeRedis(server=self._server, connection_pool_class=pool, max_connections=max_connections, **{**options, **_NO_SOCKET})

    def async_client(self, max_connections: int, pool_timeout: float, **options: Any) -> redis.asyncio.Redis:
        """Make a client of this store for the running event loop."""
        pool: Any = partial(cast("Any", redis.asyncio.BlockingConnectionPool), timeout=pool_timeout)
        return FakeAsyncRedis(server=self._server, connection_pool_class=pool, max_connections=max_connections, **{**options, **_NO_SOCKET})


_named: dict[str, Store] = {}
_naming = threading.Lock()


def store_named(name: str | None) -> Store:
    """Return the store of that name in this process, or with `None` a new one of its own."""
    if name is None:
        return Store()
    with _naming:
        if name not in _named:
            _named[name] = Store()
        return _named[name]

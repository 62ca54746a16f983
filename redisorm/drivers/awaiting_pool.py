"""The pool of asyncio connections: redis-py's own, where a connection that is free and ready is handed out at once.

redis-py takes a dozen coroutines, two locks and a timer to hand one out and take it back. They are needed where somebody waits:
then everything is left to them. `pool` is the one of blocking connections.
"""

from __future__ import annotations

from typing import Any

import redis.asyncio

from redisorm.drivers.arrived import streams_of

__all__ = ["ReadyPool"]


class ReadyPool(redis.asyncio.BlockingConnectionPool):
    """redis-py's pool, and a short way through it.

    Args:
        **options: Options of `redis.asyncio.BlockingConnectionPool` and of its connections.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asking = 0
        # Who is told of every connection that comes back, is told by redis-py.
        self._is_heard = "credential_provider" in options or "event_dispatcher" in options

    def take_ready(self) -> Any:
        """Hand out the free connection that was used last, where it is connected and nobody waits for one; else `None`."""
        free = self._available_connections
        if not free or self._asking or self._lock.locked():
            return None
        streams = streams_of(free[-1])
        if streams is None or not streams.are_quiet:
            return None
        connection = free.pop()
        self._in_use_connections.add(connection)
        return connection

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Wait for a free connection that is connected, the one used last first.

        Raises:
            redis.ConnectionError: None became free in time, or none could be made.
        """
        connection = self.take_ready()
        if connection is not None:
            return connection
        self._asking += 1
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]
        finally:
            self._asking -= 1

    async def release(self, connection: Any) -> None:
        """Take a connection back, and hand it to whoever waits for one."""
        if self._asking or self._is_heard or self._lock.locked() or connection.should_reconnect():
            await super().release(connection)
            return
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)

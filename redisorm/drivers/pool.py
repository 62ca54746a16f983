"""The pool of blocking connections: callers wait for a free one, and what an interrupt drops comes back.

Ctrl-C may come between any two steps, in redis-py's pools as well: a connection taken from one and not yet handed out, or
not yet put back, is lost to it for good. Here a connection in use holds a place, and a place that nobody holds is free.
"""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakSet

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from redisorm.drivers.arrived import is_quiet
from redisorm.drivers.places import Places, Unlimited
from redisorm.drivers.translate import NO_CONNECTION

__all__ = ["SteadyPool", "UnlimitedPool"]


class SteadyPool(redis.ConnectionPool):
    """As many connections as there are places, the one used last handed out first.

    Args:
        max_connections: How many places.
        timeout: How long to wait for one, in seconds; `None` for ever.
        **options: Options of `redis.ConnectionPool` and of its connections.
    """

    def __init__(self, max_connections: int = 50, timeout: float | None = 5, **options: Any) -> None:
        self.timeout = timeout
        super().__init__(max_connections=max_connections, **options)

    def reset(self) -> None:
        """Begin anew, as at first and in a forked child."""
        self._available_connections: list[Any] = []
        self._made: WeakSet[Any] = WeakSet()
        self._places = self._new_places()
        self._created_connections = 0
        self.pid = os.getpid()  # last: other threads go by it

    def _new_places(self) -> Places | Unlimited:
        return Places(self.max_connections)

    @property
    def _in_use_connections(self) -> set[Any]:  # type: ignore[override]  # nothing but reset() assigns it
        """What redis-py's own methods go over beside the available ones."""
        return set(self._made).difference(self._available_connections)

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Wait for a place, and hand out a connection that is connected and has nothing to read.

        Raises:
            redis.ConnectionError: No place became free in time, or no connection could be made.
        """
        if self.pid != os.getpid():
            self._checkpid()
        place = self._places.take(self.timeout)
        if place is None:
            raise RedisConnectionError(NO_CONNECTION)
        connection: Any
        try:
            connection = self._available_connections.pop()
        except IndexError:
            self._created_connections = 0  # the places are what bounds them
            connection = self.make_connection()
            self._made.add(connection)
        connection.place = place
        try:
            if not is_quiet(connection):
                self._make_ready(connection)
        except BaseException:
            self.release(connection)
            raise
        return connection

    def _make_ready(self, connection: Any) -> None:
        connection.connect()
        try:
            unread = connection.can_read()
        except (RedisConnectionError, RedisTimeoutError, OSError):
            pass  # it was closed from the other side
        else:
            if not unread or self.cache is not None or self.maint_notifications_enabled():  # type: ignore[no-untyped-call]
                return  # pushed messages may wait there, rightly
        connection.disconnect()
        connection.connect()
        if connection.can_read():
            raise RedisConnectionError("a new connection has something to read before anything was asked")

    def release(self, connection: Any) -> None:
        """Take a connection back, once; one from before a fork is only closed, here or when the pool begins anew."""
        if connection.pid != self.pid:
            connection.disconnect()
            return
        if connection.should_reconnect():
            connection.disconnect()
        place, connection.place = connection.place, None
        if place is not None:
            self._available_connections.append(connection)
            self._places.give(place)


class UnlimitedPool(SteadyPool):
    """The same with as many places as are asked for."""

    def _new_places(self) -> Unlimited:
        return Unlimited()

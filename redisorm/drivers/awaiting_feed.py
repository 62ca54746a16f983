"""Listening in async code: one connection that is subscribed, and a task that hands to a handler what comes over it.

What replies mean, and when a connection counts as broken, is in `subscription`. `blocking_feed` is its twin: a change here is
a change there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, Generic, TypeVar

from redis.exceptions import RedisError

from redisorm.drivers.database import Database
from redisorm.drivers.deadlines import expire
from redisorm.drivers.deadlines import timeout as time_limit
from redisorm.drivers.subscription import A_MOMENT_S, Delivery, Mailbox, Outage, Pulse, Subscription
from redisorm.drivers.wire import AsyncConnection
from redisorm.errors import SessionError

__all__ = ["AwaitingFeed", "AwaitingListener"]

R = TypeVar("R")

_SLICE_S = 1.0
"""How often a feed looks at a silent connection, in seconds. It notices at once that it was closed."""


class AwaitingFeed(Generic[R]):
    """The messages of one subscription, over a connection of its own. Once it was open it subscribes again for ever.

    One task reads at a time; any task of the same event loop may close it.

    Args:
        name: The channel, or the pattern of channels.
        command: The command that subscribes to it.
        read: Makes of a delivery what the feed hands out; `None` is passed over.
    """

    def __init__(self, database: Database, name: str, command: str, read: Callable[[Delivery], R | None]) -> None:
        self._database = database
        self._read_delivery = read
        self._subscription = Subscription(name, command)
        self._connection: AsyncConnection | None = None
        self._release: Callable[[AsyncConnection], Awaitable[None]] | None = None
        self._closed = False
        self._waiting: Any = None
        self._reading = asyncio.Lock()
        self._outage = Outage(name)
        self._pulse = Pulse(0.0, None)

    @property
    def ended(self) -> bool:
        """Whether it, or its database, was closed."""
        return self._closed or self._database.closed

    async def open(self) -> None:
        """Connect, subscribe, and return when the server has confirmed.

        Raises:
            BackendError: The server could not be reached, or refused.
        """
        pool = self._database.async_driver.waiting
        try:
            self._connection, self._release = await pool.get_connection(), pool.release
            await self._subscribe(self._connection)
        except (RedisError, OSError) as error:
            await self.close()
            raise self._subscription.refused(error) from error
        except BaseException:
            await self.close()
            raise

    async def get(self, timeout: float | None = None) -> R | None:
        """Return the next message; `None` where none came within so many seconds, or the feed was closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        async with self._reading:
            message = await self._next(deadline)
        if self.ended:
            await self._let_go()
        return message

    async def close(self) -> None:
        """End the subscription, also under another task that waits for a message. Closing twice is no error."""
        self._closed = True
        if self._waiting is not None:
            expire(self._waiting)
        await self._let_go()

    async def _next(self, deadline: float | None) -> R | None:
        while not self.ended:
            left_s = _SLICE_S if deadline is None else min(_SLICE_S, deadline - time.monotonic())
            delivery = self._subscription.delivery(await self._reply(max(left_s, 0.0)))
            message = None if delivery is None else self._read_delivery(delivery)
            if message is not None:
                return message
            if left_s <= 0:
                return None
        return None

    async def _reply(self, wait_s: float) -> Any:
        """Wait for whatever comes; without a connection, for the time to make one."""
        connection = self._connection
        if connection is None:
            raise SessionError(f"the feed of {self._subscription.name!r} is not open: use it in `async with channel.subscribe() as feed`")
        try:
            if not connection.is_connected:
                pause_s = self._outage.pause_s(time.monotonic())
                if pause_s > 0:
                    await self._within(min(pause_s, wait_s), asyncio.sleep(pause_s))
                    return None
                await self._subscribe(connection)
            return await self._read(connection, wait_s)
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            if not self.ended:
                self._outage.went_on(error, time.monotonic())
            return None

    async def _read(self, connection: AsyncConnection, wait_s: float) -> Any:
        reading = connection.read_response(disable_decoding=True, timeout=inf, disconnect_on_error=False, push_request=True)
        reply = await self._within(wait_s, reading)
        if reply is not None:
            self._subscription.require_kept(reply)
            self._pulse.heard(time.monotonic())
            return reply
        question = self._pulse.question(time.monotonic())
        if question is not None:
            await connection.send_packed_command(question, check_health=False)
        return None

    async def _within(self, wait_s: float, waiting: Awaitable[Any]) -> Any:
        """Wait for so many seconds at most, or until the feed is closed; `None` where nothing came."""
        try:
            async with time_limit(wait_s) as self._waiting:
                return await waiting
        except asyncio.TimeoutError:
            return None
        finally:
            self._waiting = None

    async def _subscribe(self, connection: AsyncConnection) -> None:
        await connection.connect_check_health(retry_socket_connect=False)
        await connection.send_packed_command(self._subscription.packet(), check_health=False)
        while not self._subscription.confirmed(await connection.read_response(disable_decoding=True, push_request=True)):
            pass  # what else the server pushes is of no concern here
        now = time.monotonic()
        self._pulse = Pulse(now, connection.socket_timeout)
        self._outage.ended(now)

    async def _let_go(self) -> None:
        """Give the connection back, unless a task is reading: then that one does, as soon as it notices."""
        if self._reading.locked():
            return
        connection, self._connection = self._connection, None
        if connection is not None and self._release is not None:
            await connection.disconnect(nowait=True)
            await self._release(connection)


class AwaitingListener:
    """A task that reads a feed into a bounded buffer, and one that hands the messages to a handler, one after the other."""

    def __init__(self, database: Database, name: str, command: str, handle: Callable[[Delivery], Awaitable[object]], buffer: int) -> None:
        self._feed: AwaitingFeed[Delivery] = AwaitingFeed(database, name, command, lambda delivery: delivery)
        self._handle = handle
        self._name = name
        self._mailbox = Mailbox(name, buffer)
        self._arrival, self._room = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the buffer was full."""
        return self._mailbox.dropped

    async def open(self) -> None:
        """Subscribe and begin; returns when the server has confirmed.

        Raises:
            BackendError: The server could not be reached, or refused.
        """
        await self._feed.open()
        self._tasks = [asyncio.create_task(work, name=f"redisorm {self._name}") for work in (self._read(), self._hand_out())]

    async def close(self) -> None:
        """End the subscription and wait for the handler to finish the message it has; what else is in the buffer is dropped."""
        await self._feed.close()
        self._arrival.set()
        self._room.set()
        await asyncio.gather(*(task for task in self._tasks if task is not asyncio.current_task()))

    async def _read(self) -> None:
        try:
            while (delivery := await self._feed.get()) is not None:
                if self._mailbox.full and self._mailbox.patient:
                    await self._a_moment()
                self._mailbox.put(delivery)
                self._arrival.set()
                await asyncio.sleep(0)  # what has come already is read without waiting: others have their turn
        finally:
            self._arrival.set()

    async def _a_moment(self) -> None:
        self._room.clear()
        with suppress(asyncio.TimeoutError):
            async with time_limit(A_MOMENT_S):
                await self._room.wait()

    async def _hand_out(self) -> None:
        try:
            while (delivery := await self._next()) is not None:
                await self._handle(delivery)
        finally:
            await self._feed.close()

    async def _next(self) -> Delivery | None:
        while not self._feed.ended:
            delivery = self._mailbox.take()
            if delivery is not None:
                self._room.set()
                return delivery
            self._arrival.clear()
            await self._arrival.wait()
        return None

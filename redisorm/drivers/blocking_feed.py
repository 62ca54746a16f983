"""Listening in blocking code: one connection that is subscribed, and a thread that hands to a handler what comes over it.

What replies mean, and when a connection counts as broken, is in `subscription`. `awaiting_feed` is its twin: a change here is
a change there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from redis.exceptions import RedisError

from redisorm.drivers.blocking_exchanges import connect_once
from redisorm.drivers.database import Database
from redisorm.drivers.subscription import A_MOMENT_S, Delivery, Mailbox, Outage, Pulse, Subscription
from redisorm.drivers.wire import Connection
from redisorm.errors import SessionError

__all__ = ["BlockingFeed", "BlockingListener"]

R = TypeVar("R")

_SLICE_S = 0.1
"""How long a feed may take to notice that it was closed, in seconds."""


class BlockingFeed(Generic[R]):
    """The messages of one subscription, over a connection of its own. Once it was open it subscribes again for ever.

    One thread reads at a time; any thread, and a signal handler, may close it.

    Args:
        name: The channel, or the pattern of channels.
        command: The command that subscribes to it.
        read: Makes of a delivery what the feed hands out; `None` is passed over.
    """

    def __init__(self, database: Database, name: str, command: str, read: Callable[[Delivery], R | None]) -> None:
        self._database = database
        self._read_delivery = read
        self._subscription = Subscription(name, command)
        self._connection: Connection | None = None
        self._release: Callable[[Connection], None] | None = None
        self._closed = False
        self._reading = threading.Lock()
        self._outage = Outage(name)
        self._pulse = Pulse(0.0, None)

    @property
    def ended(self) -> bool:
        """Whether it, or its database, was closed."""
        return self._closed or self._database.closed

    def open(self) -> None:
        """Connect, subscribe, and return when the server has confirmed.

        Raises:
            BackendError: The server could not be reached, or refused.
        """
        pool = self._database.driver.waiting
        try:
            self._connection, self._release = pool.get_connection(), pool.release
            self._subscribe(self._connection)
        except (RedisError, OSError) as error:
            self.close()
            raise self._subscription.refused(error) from error
        except BaseException:
            self.close()
            raise

    def get(self, timeout: float | None = None) -> R | None:
        """Return the next message; `None` where none came within so many seconds, or the feed was closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._reading:
            message = self._next(deadline)
        if self.ended:
            self._let_go()
        return message

    def close(self) -> None:
        """End the subscription, also under another thread that waits for a message. Closing twice is no error."""
        self._closed = True
        self._let_go()

    def _next(self, deadline: float | None) -> R | None:
        while not self.ended:
            left_s = _SLICE_S if deadline is None else min(_SLICE_S, deadline - time.monotonic())
            delivery = self._subscription.delivery(self._reply(max(left_s, 0.0)))
            message = None if delivery is None else self._read_delivery(delivery)
            if message is not None:
                return message
            if left_s <= 0:
                return None
        return None

    def _reply(self, wait_s: float) -> Any:
        """Wait for whatever comes; without a connection, for the time to make one."""
        connection = self._connection
        if connection is None:
            raise SessionError(f"the feed of {self._subscription.name!r} is not open: use it in `with channel.subscribe() as feed`")
        try:
            if not connection.is_connected:
                pause_s = self._outage.pause_s(time.monotonic())
                if pause_s > 0:
                    time.sleep(min(pause_s, wait_s))
                    return None
                self._subscribe(connection)
            return self._read(connection, wait_s)
        except (RedisError, OSError) as error:
            connection.disconnect()
            if not self.ended:
                self._outage.went_on(error, time.monotonic())
            return None

    def _read(self, connection: Connection, wait_s: float) -> Any:
        if not connection.can_read(wait_s):
            question = self._pulse.question(time.monotonic())
            if question is not None:
                connection.send_packed_command(question, check_health=False)
            return None
        reply = connection.read_response(disable_decoding=True, push_request=True)
        self._subscription.require_kept(reply)
        self._pulse.heard(time.monotonic())
        return reply

    def _subscribe(self, connection: Connection) -> None:
        connect_once(connection)
        connection.send_packed_command(self._subscription.packet(), check_health=False)
        while not self._subscription.confirmed(connection.read_response(disable_decoding=True, push_request=True)):
            pass  # what else the server pushes is of no concern here
        now = time.monotonic()
        self._pulse = Pulse(now, connection.socket_timeout)
        self._outage.ended(now)

    def _let_go(self) -> None:
        """Give the connection back, unless a thread is reading: then that one does, as soon as it notices."""
        if self._reading.acquire(blocking=False):
            try:
                connection, self._connection = self._connection, None
                if connection is not None and self._release is not None:
                    connection.disconnect()
                    self._release(connection)
            finally:
                self._reading.release()


class BlockingListener:
    """A thread that reads a feed into a bounded buffer, and one that hands the messages to a handler, one after the other."""

    def __init__(self, database: Database, name: str, command: str, handle: Callable[[Delivery], object], buffer: int) -> None:
        self._feed: BlockingFeed[Delivery] = BlockingFeed(database, name, command, lambda delivery: delivery)
        self._handle = handle
        self._mailbox = Mailbox(name, buffer)
        self._change = threading.Condition()
        self._threads = [threading.Thread(target=target, name=f"redisorm {name}", daemon=True) for target in (self._read, self._hand_out)]

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the buffer was full."""
        return self._mailbox.dropped

    def open(self) -> None:
        """Subscribe and begin; returns when the server has confirmed.

        Raises:
            BackendError: The server could not be reached, or refused.
        """
        self._feed.open()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the subscription and wait for the handler to finish the message it has; what else is in the buffer is dropped."""
        self._feed.close()
        with self._change:
            self._change.notify_all()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()

    def _read(self) -> None:
        try:
            while (delivery := self._feed.get()) is not None:
                with self._change:
                    if self._mailbox.full and self._mailbox.patient:
                        self._change.wait_for(lambda: not self._mailbox.full or self._feed.ended, A_MOMENT_S)
                    self._mailbox.put(delivery)
                    self._change.notify_all()
        finally:
            with self._change:
                self._change.notify_all()

    def _hand_out(self) -> None:
        try:
            while (delivery := self._next()) is not None:
                self._handle(delivery)
        finally:
            self._feed.close()

    def _next(self) -> Delivery | None:
        with self._change:
            while not self._feed.ended:
                delivery = self._mailbox.take()
                if delivery is not None:
                    self._change.notify_all()
                    return delivery
                self._change.wait()
        return None

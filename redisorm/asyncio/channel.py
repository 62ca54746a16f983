"""The awaited channel: publish, subscribe, listen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from inspect import isawaitable
from types import TracebackType
from typing import Any, Generic, TypeVar

from typing_extensions import Self

from redisorm.database import Database, default_database
from redisorm.patterns.pubsub import Message, Wanted, publish, seconds_or_ever, topic_of
from redisorm.patterns.reporting import OnError, report

__all__ = ["AsyncChannel", "AsyncFeed", "AsyncListener"]

M = TypeVar("M", bound=Message)


class AsyncChannel(Generic[M]):
    """The channels of one class of messages in a database.

    Args:
        db: The database; the default one where it is `None`.
        message: The class of messages.
    """

    def __init__(self, db: Database | None, message: type[M]) -> None:
        self._database = default_database() if db is None else db
        self._topic = topic_of(message)

    async def publish(self, message: M) -> int:
        """Publish a message on the channel its fields spell; return how many subscribers it reached. One round trip.

        It acts at once, inside a session too: `session.publish(message)` waits for the commit.

        Raises:
            TypeError: It is a message of another class.
            ValidationError: A value was changed in place and does not fit its field.
            CommitUnknownError: The connection broke before the answer came. It is not sent again by itself.
        """
        return await self._database.arun(publish(self._topic.require(message), self._database.namespace))

    def subscribe(self, on_error: OnError | None = None, **fields: Any) -> AsyncFeed[M]:
        """Return the messages whose channel has these values, as a context manager that iterates.

        Entering it returns when the server has confirmed. It has a connection of its own. When that breaks, the feed subscribes
        again until it succeeds, with one line in the log; what was published meanwhile is lost to it.

        Args:
            on_error: Called with the error and the raw payload where that is not the JSON of such a message; the default is a
                line in the log.
            **fields: Values of fields named in the channel. One that is missing, or `"*"`, may have any value; sharded channels need
                all of them.

        Raises:
            TypeError: A field is not part of the channel, or a field of a sharded channel is left open, or a coroutine
                function is given that would not be awaited.
            ValidationError: A value does not fit its field.
        """
        return AsyncFeed(self._database, self._topic.wanted(fields, self._database.namespace, on_error))

    def listen(
        self, handler: Callable[[M], object], on_error: OnError | None = None, buffer: int = 1000, **fields: Any
    ) -> AsyncListener[M]:
        """Return a context manager that calls a handler in the background with the messages whose channel has these values.

        Entering it returns when the server has confirmed; it subscribes again as a feed does. Messages are handled one after the
        other, in order. At most `buffer` of them wait: while that is full and the handler takes more than 50 ms for one, the oldest is
        dropped for each that comes, counted in `dropped` and told once in the log. Leaving it waits for the handler to finish the
        message it has, and drops the others.

        Args:
            handler: Called with each message. What it raises goes to `on_error`.
            on_error: Called with the error and the raw payload, where that is not the JSON of such a message or the handler
                failed; the default is a line in the log.
            buffer: How many messages may wait for the handler.
            **fields: As of `subscribe`.

        Raises:
            TypeError: A field is not part of the channel, or a field of a sharded channel is left open, or a coroutine
                function is given that would not be awaited.
            ValidationError: A value does not fit its field.
        """
        return AsyncListener(self._database, self._topic.wanted(fields, self._database.namespace, on_error), handler, buffer)


class AsyncFeed(Generic[M]):
    """Messages as they come: `async for message in feed`, or `await feed.get(timeout=1)`. Made by `subscribe`."""

    def __init__(self, database: Database, wanted: Wanted[M]) -> None:
        from redisorm.drivers.awaiting_feed import AwaitingFeed

        self._feed: AwaitingFeed[M] = AwaitingFeed(database, wanted.name, wanted.command, wanted.read)

    async def get(self, timeout: float | timedelta | None = None) -> M | None:
        """Return the next message; `None` where none came within so many seconds, or the feed was closed.

        Without a `timeout` it waits for as long as it takes.
        """
        return await self._feed.get(seconds_or_ever(timeout))

    async def close(self) -> None:
        """End the subscription, also where it is being iterated. Closing twice is no error."""
        await self._feed.close()

    async def __aenter__(self) -> Self:
        await self._feed.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._feed.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        message = await self._feed.get()
        if message is None:
            raise StopAsyncIteration
        return message


class AsyncListener(Generic[M]):
    """A handler that is called in the background with messages as they come. Made by `listen`."""

    def __init__(self, database: Database, wanted: Wanted[M], handler: Callable[[M], object], buffer: int) -> None:
        from redisorm.drivers.awaiting_feed import AwaitingListener

        self._wanted = wanted
        self._handler = handler
        self._listener = AwaitingListener(database, wanted.name, wanted.command, self._handle, buffer)

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the buffer was full."""
        return self._listener.dropped

    async def close(self) -> None:
        """End the subscription and wait for the handler to finish the message it has. Closing twice is no error."""
        await self._listener.close()

    async def __aenter__(self) -> Self:
        await self._listener.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._listener.close()

    async def _handle(self, delivery: tuple[bytes, bytes]) -> None:
        message = self._wanted.read(delivery)
        if message is None:
            return
        try:
            result = self._handler(message)
            if isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - the handler is the user's, and its error is reported
            report(self._wanted.on_error, error, delivery[1], self._wanted.name)

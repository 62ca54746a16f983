"""The blocking worker: handlers of events, run one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, TypeAlias, TypeVar

from redisorm.database import Database, default_database
from redisorm.drivers.blocking_worker import work_through
from redisorm.drivers.process import stopping_on_sigterm, unique_name
from redisorm.patterns.backlog import Backlog, backlog
from redisorm.patterns.deadletters import Letter, discard, letters, requeue
from redisorm.patterns.deliveries import Delivery
from redisorm.patterns.groups import Group
from redisorm.patterns.reporting import OnError, require_plain
from redisorm.patterns.streams import Event, event_mapper_of
from redisorm.patterns.worker import BaseWorker, Halt

from .session import Session

__all__ = ["DeadLetter", "Worker"]

E = TypeVar("E", bound=Event)
Handler: TypeAlias = Callable[[E, Session], object]


class Worker(BaseWorker):
    """Handles the events of streams in a consumer group: each at least once, and its writes in Redis exactly once.

    ::

        worker = Worker(db, group="billing")

        @worker.on(OrderPlaced)
        def bill(event: OrderPlaced, session: Session) -> None:
            session.add(Invoice(order_id=event.order_id))

        worker.run()

    What a handler writes through its session, and the acknowledgement of the event, are one transaction. It is committed when the
    handler returns, and only while the event still belongs to this worker: a handler that ran on after its event was given to
    another one commits nothing. An event is tried once and then up to `retries` times more; then it is a dead letter, as is one whose
    fields do not fit its class at once.

    A group begins at the beginning of the stream. Several workers of a group, in as many processes and threads, share its events.

    Args:
        db: The database; the default one where it is `None`.
        group: The name of the consumer group.
        retries: How often an event is tried again after its handler failed, or its worker died.
        retry_delay: How long the worker that has it waits before that, in seconds.
        lease: How long an event may be left alone before others take it, in seconds. It is renewed while a handler runs.
        batch: How many events are read at a time. With `retries=0` it is one.
        on_error: Called with each error and the event it is about (`stream`, `id`, `fields`, `attempts`), or `None` where it is about
            none; the default is a line in the log. No error of a handler or of the server ends `run`.

    Raises:
        ValueError: A number is out of its range.
        TypeError: `on_error` is a coroutine function.
    """

    def __init__(
        self,
        db: Database | None,
        group: str,
        retries: int = 5,
        retry_delay: float | timedelta = 1,
        lease: float | timedelta = 30,
        batch: int = 20,
        on_error: OnError | None = None,
    ) -> None:
        self._database = default_database() if db is None else db
        super().__init__(self._database.namespace, group, retries, retry_delay, lease, batch, on_error)

    def on(self, event: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Register the handler of a class of events, as a decorator. It is called with the event and a session.

        Raises:
            ValueError: The stream has a handler already.
            MappingError: It is no class of events.
            TypeError: A blocking `Worker` was given a coroutine function.
        """

        def register(handler: Handler[E]) -> Handler[E]:
            require_plain(handler, "worker.on", "use AsyncWorker")
            self._register(event, handler)
            return handler

        return register

    def run(self, once: bool = False) -> None:
        """Handle events until `stop()`, or SIGTERM where this is the main thread.

        It then finishes the event it has, and gives back what else it has read. The groups are made where they are not there.
        A handler of SIGTERM that was there before, such as a web server's, is called when the last run in the main thread has ended.

        Args:
            once: Return when nothing is left: no event is unread, left alone by others, or waits to be tried again.

        Raises:
            ValueError: No handler is registered.
        """
        halt = Halt()
        consumer = self._begin(unique_name(), halt, lambda: self._database.closed, time.monotonic, once=once)
        try:
            with stopping_on_sigterm(self.stop):
                work_through(self._database, consumer, self._handle)
        finally:
            self._end(halt)

    def _handle(self, delivery: Delivery) -> Exception | None:
        try:
            with Session(self._database) as session:
                session._acknowledge(*delivery.acknowledgement)
                delivery.source.handler(delivery.event, session)
                session.commit()
        except Exception as error:  # noqa: BLE001 - the handler is the user's, and its error is reported
            return error
        return None

    def backlog(self, *events: type[Event]) -> Backlog:
        """Count what is left to do for the group: `Backlog(waiting, pending, oldest_idle, dead, trimmed)`.

        A few round trips for each stream.

        Args:
            *events: The classes of events to count; without any those that have a handler here.
        """
        groups = [self._group_of(event) for event in events] or [source.group for source in self._sources.values()]
        return self._database.run(backlog(groups))

    def dead_letters(self, event: type[E]) -> list[DeadLetter[E]]:
        """Return the events of a class that the group gave up, oldest first. One round trip for each 1,000."""
        group = self._group_of(event)
        found = self._database.run(letters(group))
        return [DeadLetter(self._database, group, self._policy.lease_ms, event, place, words) for place, words in found]


class DeadLetter(Letter[E], Generic[E]):
    """An event that a group gave up.

    Attributes:
        id: The id its entry had in the stream.
        event: The event, or `None` where the fields do not fit its class.
        fields: The fields of the entry as text. Bytes that are no UTF-8 are kept as surrogates.
        reason: Why it was given up.
        attempts: How often its handler was begun.
    """

    def __init__(self, database: Database, group: Group, lease_ms: int, model: type[E], place: str, words: list[bytes]) -> None:
        super().__init__(place, words, event_mapper_of(model), group.keys.stream)
        self._database = database
        self._group = group
        self._lease_ms = lease_ms

    def requeue(self) -> str:
        """Give the event back to its group, and to no other, as if it had never been tried; return the id of its entry.

        That is the same, unless the entry was removed from the stream: then the event is appended to it anew, for all groups.

        Raises:
            NotFoundError: It was requeued or discarded before.
        """
        return self._database.run(requeue(self._group, self, self._lease_ms))

    def discard(self) -> bool:
        """Remove the dead letter; tell whether it was there."""
        return self._database.run(discard(self._group, self))

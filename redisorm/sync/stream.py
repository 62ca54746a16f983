"""The blocking stream: append and read."""

from __future__ import annotations

from typing import Generic, TypeVar

from redisorm.database import Database, default_database
from redisorm.patterns.streams import Entry, Event, append, event_mapper_of, read, size

__all__ = ["Stream"]

E = TypeVar("E", bound=Event)


class Stream(Generic[E]):
    """The stream of one class of events in a database.

    Args:
        db: The database; the default one where it is `None`.
        event: The class of events.
    """

    def __init__(self, db: Database | None, event: type[E]) -> None:
        self._database = default_database() if db is None else db
        self._mapper = event_mapper_of(event)

    def append(self, event: E) -> str:
        """Append an event and return the id of its entry. One round trip.

        Where the class has a `maxlen`, the oldest entries beyond about so many are removed. It acts at once, inside a session too:
        `session.emit(event)` waits for the commit.

        Raises:
            TypeError: It is an event of another class.
            ValidationError: A value was changed in place and does not fit its field.
            CommitUnknownError: The connection broke before the answer came. It is not sent again by itself.
        """
        return self._database.run(append(self._mapper.require(event), self._database.namespace))

    def read(self, after: str = "0", count: int | None = None) -> list[Entry[E]]:
        """Return the entries after an id, oldest first, as `Entry(id, event)`; an empty list where there are none.

        One round trip for each 1,000 entries.

        Args:
            after: The id of an entry, which is not returned itself; `"0"` for the beginning.
            count: How many entries at most; `None` for all.

        Raises:
            DecodeError: An entry is no such event; its `pk` is the id of the entry, so that `read(after=error.pk)` goes on.
            ValueError: The id is none, or the count is negative.
        """
        return self._database.run(read(self._mapper, self._database.namespace, after, count))

    def size(self) -> int:
        """Return how many entries there are. One round trip."""
        return self._database.run(size(self._mapper, self._database.namespace))

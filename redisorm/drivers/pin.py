"""What a driver keeps for one flow: the connection that watches keys for it, and the one on which answers are on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from redisorm.commands import Watch
from redisorm.drivers.exchange import Exchange
from redisorm.errors import ConnectionFailedError

__all__ = ["Pin"]

C = TypeVar("C")


class Pin(Generic[C]):
    """The connections that a flow keeps: one while it watches keys, and one while it has posted batches.

    Attributes:
        connection: The connection that watches, or `None` while there is none.
        watches: What the next atomic batch depends on. Without a connection it broke, and that batch must not be sent.
        line: The connection on which answers are under way, or `None`.
        posted: The batches that are not collected yet, the oldest first.
        answered: Whether one was collected since the last one was posted.
    """

    connection: C | None = None  # these stand in the class, since most flows keep nothing
    watches: Sequence[Watch] = ()
    line: C | None = None
    posted: Sequence[Exchange] = ()
    answered: bool = True

    def post(self, exchange: Exchange) -> bool:
        """Note that a batch is posted, and tell whether a round trip begins with it."""
        self.posted = (*self.posted, exchange)
        begins, self.answered = self.answered, False
        return begins

    def collect(self) -> Exchange:
        """Take the oldest of the posted batches."""
        self.answered = True
        oldest, self.posted = self.posted[0], self.posted[1:]
        return oldest

    def broke(self, error: Exception) -> None:
        """Note that the line broke, of which everything on the way depends. Once it is, what was not sent waits until it is collected."""
        self.line = None
        for exchange in self.posted:
            if exchange.sent_at:
                exchange.broken_by = error

    def broken(self) -> ConnectionFailedError:
        """Return the error of a commit whose watching connection broke before."""
        keys = [key for watch in self.watches for key in watch.keys]
        return ConnectionFailedError(
            f"the connection that watched {len(keys)} keys broke before EXEC; nothing was executed; read again and commit again",
            command="EXEC",
            key=keys[0] if keys else None,
        )

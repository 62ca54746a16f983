"""The loop of a worker in blocking code, and the thread that keeps its leases. What is done next, and with what, is for `Work` to say.

`awaiting_worker` is its twin: a change here is a change there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from redisorm.commands import Flow
from redisorm.drivers.database import Database
from redisorm.errors import BackendError, ConcurrentUpdateError

__all__ = ["Work", "work_through"]

D = TypeVar("D")


class Work(Protocol[D]):
    """What a worker goes through."""

    @property
    def renewal_s(self) -> float:
        """How often to renew the leases, in seconds."""
        ...

    def take(self) -> Flow[D | None]:
        """Wait for the next delivery; `None` where there is none any more."""
        ...

    def settle(self, delivery: D, error: Exception | None) -> None:
        """Note how its handler ended."""
        ...

    def renew(self) -> Flow[None]:
        """Keep what is in hand."""
        ...

    def give_back(self) -> Flow[None]:
        """Let go of what is in hand still."""
        ...


def work_through(database: Database, work: Work[D], handle: Callable[[D], Exception | None]) -> None:
    """Handle one delivery after the other, until there is none any more.

    Args:
        handle: Calls the user's handler, and returns its error.
    """
    try:
        with _renewing(database, work):
            while (delivery := database.run(work.take())) is not None:
                work.settle(delivery, handle(delivery))
    finally:
        if not database.closed:
            database.run(work.give_back())


@contextmanager
def _renewing(database: Database, work: Work[D]) -> Iterator[None]:
    """Renew leases in a thread beside the handlers."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(work.renewal_s) and not database.closed:
            try:
                database.run(work.renew())
            except (BackendError, ConcurrentUpdateError):
                continue  # the loop meets the same server, and tells; what was not renewed may be claimed

    thread = threading.Thread(target=renew, name="redisorm leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

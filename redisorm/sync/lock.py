"""The blocking lock."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from redisorm.database import Database, default_database
from redisorm.drivers.whereabouts import Whereabouts, here
from redisorm.patterns.lock import BaseLock, Terms

__all__ = ["HeldLock", "Lock"]


class Lock(BaseLock):
    """A lock across threads, processes and machines, held for the length of a block.

    ::

        with Lock(db, "stocktake", ttl=10, wait=5) as lock:     # EVALSHA acquire.lua, key lock::stocktake
            work(fence=lock.fence)

    It is renewed in the background every third of its time to live, so `ttl` says how long others wait after its holder has died, and
    not how long the block may take. A holder that is suspended for longer loses it, and is told by `LockLost`; what must never be
    written by a former holder should ask for the fence number, or be guarded by versions (`versioned=True`).

    Whoever waits is woken by the release. In one process one waits at the server, on a connection of its own, and the others in
    line behind. It is not reentrant. One `Lock` may be entered from many threads and tasks; each is another holder.

    Args:
        db: The database; `None` is the default one.
        name: Which lock.
        ttl: How long the lock outlives a holder that does not renew it: seconds or `timedelta`.
        wait: How long to wait for it, in seconds or as `timedelta`: `None` for ever, `0` not at all.

    Raises:
        ValueError: The name is empty, the time to live is not longer than zero, or the wait is negative.
    """

    _database: Database

    def __init__(self, db: Database | None, name: str, ttl: float | timedelta, wait: float | timedelta | None = None) -> None:
        self._database = default_database() if db is None else db
        super().__init__(self._database, name, ttl, wait)
        self._entered: list[tuple[Whereabouts, HeldLock]] = []

    def acquire(self) -> HeldLock:
        """Get the lock, and hold it until `release()` of what is returned. `with` does both.

        One round trip where it is free.

        Raises:
            LockTimeout: It was not free in time.
            BackendError: The server could not be asked.
        """
        held = HeldLock(self._database, self._terms())
        held._lease.acquire()
        return held

    def __enter__(self) -> HeldLock:
        held = self.acquire()
        self._entered.append((here(), held))
        return held

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        entry = self._entered_here()
        self._entered.remove(entry)
        entry[1]._lease.release(failed=kind is not None)

    def _entered_here(self) -> tuple[Whereabouts, HeldLock]:
        place, entered = here(), self._entered[::-1]
        if not entered:
            raise self._not_entered()
        # Some frameworks leave a block in another thread, and a block may hand the lock to threads and tasks of its own.
        return next((entry for entry in entered if entry[0] == place), entered[0])

    @property
    def fence(self) -> int:
        """The fence number of the block that this thread and task is in: larger than that of every holder before.

        Raises:
            LockLost: Nobody is in a block of this object.
        """
        return self._entered_here()[1].fence

    def check(self) -> None:
        """Ask the server whether the block that this thread and task is in still holds the lock, as `HeldLock.check` does.

        Raises:
            LockLost: It does not, or nobody is in a block of this object.
            BackendError: The server could not be asked.
        """
        self._entered_here()[1].check()


class HeldLock:
    """A lock that is held: what `with Lock(...) as lock` names.

    Attributes:
        fence: A number larger than that of every holder before.
        key: The Redis key that says who holds it.
    """

    def __init__(self, database: Database, terms: Terms) -> None:
        from redisorm.drivers.blocking_lease import BlockingLease

        self._terms = terms
        self._lease = BlockingLease(database, terms)

    @property
    def fence(self) -> int:
        """A number larger than that of every holder before."""
        return self._terms.fence

    @property
    def key(self) -> str:
        """The Redis key that says who holds the lock."""
        return self._terms.key

    def check(self) -> None:
        """Ask the server whether the lock is still held, and start its time to live anew.

        One round trip; none where it is known to be lost.

        Raises:
            LockLost: It is not.
            BackendError: The server could not be asked.
        """
        self._lease.check()

    def release(self) -> None:
        """Give the lock back before the end of the block. A second time does nothing. One round trip.

        Raises:
            LockLost: It was lost meanwhile.
            BackendError: The server could not be asked; the lock expires by itself.
        """
        self._lease.release(failed=False)

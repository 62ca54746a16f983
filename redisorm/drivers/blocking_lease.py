"""Holding something at the server from blocking code: getting it, a thread that renews it, giving it back. `awaiting_lease` is its twin."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from redisorm.drivers.database import Database
from redisorm.drivers.lease import Gates, Terms
from redisorm.errors import CommitUnknownError, RedisormError

if TYPE_CHECKING:
    from _thread import LockType

__all__ = ["BlockingLease"]

_log = logging.getLogger("redisorm")

_gates: Gates[LockType] = Gates(threading.Lock)


class BlockingLease:
    """One holder. Any thread may check and release it.

    Args:
        terms: Its steps.
    """

    def __init__(self, database: Database, terms: Terms) -> None:
        self._database = database
        self._terms = terms
        self._sure_until = 0.0
        self._lost = False
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._keep_renewing, name=f"redisorm {terms.key}", daemon=True)

    def acquire(self) -> None:
        """Get it, and renew it from now on.

        Raises:
            LockTimeout: It was not free in time.
        """
        deadline = inf if self._terms.wait_s is None else time.monotonic() + self._terms.wait_s
        try:
            self._get(deadline)
        except BaseException as error:
            if not isinstance(error, RedisormError):  # an interrupt, perhaps in the middle of an attempt
                with suppress(RedisormError):
                    self._database.run(self._terms.release())
            raise
        self._renewal.start()

    def _get(self, deadline: float) -> None:
        gate = _gates.of(id(self._database), self._terms.key)
        if (not gate.locked() or self._terms.wait_s == 0) and self._attempt() is None:
            return
        left_s = deadline - time.monotonic()
        mine = gate.acquire(timeout=-1 if left_s == inf else max(0.0, left_s))
        try:
            while (busy_s := self._attempt()) is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise self._terms.timed_out(busy_s)
                self._database.run(self._terms.nap(min(busy_s, left_s)))
        finally:
            if mine:
                gate.release()

    def _attempt(self) -> float | None:
        before = time.monotonic()
        busy_s = self._database.run(self._terms.attempt())
        self._sure_until = before + self._terms.ttl_s
        return busy_s

    def _renew(self) -> bool:
        before = time.monotonic()
        if not self._database.run(self._terms.renew()):
            self._lost = True
            return False
        self._sure_until = before + self._terms.ttl_s
        return True

    def _keep_renewing(self) -> None:
        pause_s = third_s = self._terms.ttl_s / 3
        while not self._released.wait(pause_s):
            try:
                if not self._renew():
                    _log.warning("%s was lost while it was held", self._terms.key)
                    return
                pause_s = third_s
            except RedisormError as error:
                _log.warning("%s could not be renewed, and is tried again: %s", self._terms.key, error)
                pause_s = third_s / 4

    def check(self) -> None:
        """Ask whether it is still held, and start its time anew.

        Raises:
            LockLost: It is not.
        """
        if self._lost or not self._renew():
            raise self._terms.lost()

    def release(self, *, failed: bool) -> None:
        """Give it back. A second time does nothing.

        Args:
            failed: An error is on its way, which one of having lost it must not hide: that goes to the log.

        Raises:
            LockLost: It was lost meanwhile.
        """
        if self._released.is_set():
            return
        self._released.set()
        if self._renewal is not threading.current_thread():
            self._renewal.join()
        if self._lost or not self._give_back():
            if not failed:
                raise self._terms.lost()
            _log.warning("%s was lost before the block that held it failed", self._terms.key)

    def _give_back(self) -> bool:
        try:
            return self._database.run(self._terms.release())
        except CommitUnknownError:
            # A second no means that the first was a yes, or that it was lost before, which it cannot be before its time is up.
            return self._database.run(self._terms.release()) or time.monotonic() < self._sure_until

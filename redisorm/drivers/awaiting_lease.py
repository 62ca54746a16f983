"""Holding something at the server from async code: getting it, a task that renews it, giving it back. `blocking_lease` is its twin."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

from redisorm.drivers.database import Database
from redisorm.drivers.deadlines import timeout as time_limit
from redisorm.drivers.lease import Gates, Terms
from redisorm.errors import CommitUnknownError, RedisormError

__all__ = ["AwaitingLease"]

R = TypeVar("R")

_log = logging.getLogger("redisorm")

_gates: Gates[asyncio.Lock] = Gates(asyncio.Lock)


async def _to_its_end(work: Coroutine[Any, Any, R]) -> R:
    """Await something that must not be left half done: a cancellation is raised when it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it is told that somebody has seen it
        raise


class AwaitingLease:
    """One holder. Any task of the same event loop may check and release it.

    Args:
        terms: Its steps.
    """

    def __init__(self, database: Database, terms: Terms) -> None:
        self._database = database
        self._terms = terms
        self._sure_until = 0.0
        self._lost = False
        self._released = False
        self._renewal: asyncio.Task[None] | None = None

    async def acquire(self) -> None:
        """Get it, and renew it from now on.

        Raises:
            LockTimeout: It was not free in time.
        """
        deadline = inf if self._terms.wait_s is None else time.monotonic() + self._terms.wait_s
        try:
            await self._get(deadline)
        except BaseException as error:
            if not isinstance(error, RedisormError):  # a cancellation, perhaps after an attempt that was successful
                with suppress(RedisormError):
                    await _to_its_end(self._database.arun(self._terms.release()))
            raise
        self._renewal = asyncio.create_task(self._keep_renewing(), name=f"redisorm {self._terms.key}")

    async def _get(self, deadline: float) -> None:
        gate = _gates.of(id(asyncio.get_running_loop()), id(self._database), self._terms.key)
        if (not gate.locked() or self._terms.wait_s == 0) and await self._attempt() is None:
            return
        mine = await self._enter(gate, deadline - time.monotonic())
        try:
            while (busy_s := await self._attempt()) is not None:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise self._terms.timed_out(busy_s)
                await self._database.arun(self._terms.nap(min(busy_s, left_s)))
        finally:
            if mine:
                gate.release()

    async def _enter(self, gate: asyncio.Lock, left_s: float) -> bool:
        try:
            async with time_limit(None if left_s == inf else left_s):
                return await gate.acquire()
        except asyncio.TimeoutError:
            return False

    async def _attempt(self) -> float | None:
        # Cancelled half way, it might still take the lock after everybody has gone.
        before = time.monotonic()
        busy_s = await _to_its_end(self._database.arun(self._terms.attempt()))
        self._sure_until = before + self._terms.ttl_s
        return busy_s

    async def _renew(self) -> bool:
        before = time.monotonic()
        if not await self._database.arun(self._terms.renew()):
            self._lost = True
            return False
        self._sure_until = before + self._terms.ttl_s
        return True

    async def _keep_renewing(self) -> None:
        pause_s = third_s = self._terms.ttl_s / 3
        while True:
            await asyncio.sleep(pause_s)
            try:
                if not await self._renew():
                    _log.warning("%s was lost while it was held", self._terms.key)
                    return
                pause_s = third_s
            except RedisormError as error:
                _log.warning("%s could not be renewed, and is tried again: %s", self._terms.key, error)
                pause_s = third_s / 4

    async def check(self) -> None:
        """Ask whether it is still held, and start its time anew.

        Raises:
            LockLost: It is not.
        """
        if self._lost or not await self._renew():
            raise self._terms.lost()

    async def release(self, *, failed: bool) -> None:
        """Give it back. A second time does nothing.

        Args:
            failed: An error is on its way, which one of having lost it must not hide: that goes to the log.

        Raises:
            LockLost: It was lost meanwhile.
        """
        if self._released:
            return
        self._released = True
        if not await _to_its_end(self._end()):
            if not failed:
                raise self._terms.lost()
            _log.warning("%s was lost before the block that held it failed", self._terms.key)

    async def _end(self) -> bool:
        """End the renewal and give it back; tell whether it was still held."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        if self._lost:
            return False
        try:
            return await self._database.arun(self._terms.release())
        except CommitUnknownError:
            # A second no means that the first was a yes, or that it was lost before, which it cannot be before its time is up.
            return await self._database.arun(self._terms.release()) or time.monotonic() < self._sure_until

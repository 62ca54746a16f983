"""The loop of a worker in async code, and the task that keeps its leases. What is done next, and with what, is for `Work` to say.

`blocking_worker` is its twin: a change here is a change there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from redisorm.drivers.blocking_worker import Work
from redisorm.drivers.database import Database
from redisorm.errors import BackendError, ConcurrentUpdateError

__all__ = ["work_through"]

D = TypeVar("D")


async def work_through(database: Database, work: Work[D], handle: Callable[[D], Awaitable[Exception | None]]) -> None:
    """Handle one delivery after the other, until there is none any more.

    Args:
        handle: Calls the user's handler, and returns its error.
    """
    try:
        async with _renewing(database, work):
            while (delivery := await database.arun(work.take())) is not None:
                work.settle(delivery, await handle(delivery))
    finally:
        if not database.closed:
            await database.arun(work.give_back())


@asynccontextmanager
async def _renewing(database: Database, work: Work[D]) -> AsyncIterator[None]:
    """Renew leases in a task beside the handlers."""

    async def renew() -> None:
        while not database.closed:
            await asyncio.sleep(work.renewal_s)
            try:
                await database.arun(work.renew())
            except (BackendError, ConcurrentUpdateError):
                continue  # the loop meets the same server, and tells; what was not renewed may be claimed

    task = asyncio.create_task(renew(), name="redisorm leases")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

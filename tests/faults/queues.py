"""Consumers of a queue that run in processes of their own."""

from __future__ import annotations

import asyncio
import time

from redisorm import AsyncRedisList, Database, RedisList
from tests.faults.processes import tell

__all__ = ["consume", "consume_awaiting", "consume_in_batches", "work_for_ever"]

IDLE_S = 1.0


def consume(url: str) -> list[int]:
    """Take one item at a time, waiting for it, until none has come for a second."""
    with Database(url) as db:
        queue = RedisList[int]("queue", db=db)
        taken: list[int] = []
        while (item := queue.pop_left(timeout=IDLE_S)) is not None:
            taken.append(item)
        return taken


def consume_in_batches(url: str) -> list[int]:
    """Take up to 50 items at a time, likewise."""
    with Database(url) as db:
        queue = RedisList[int]("queue", db=db)
        taken: list[int] = []
        while items := queue.pop_left(count=50, timeout=IDLE_S):
            taken += items
        return taken


def consume_awaiting(url: str) -> list[int]:
    """Take one item at a time by several tasks, likewise."""

    async def task(queue: AsyncRedisList[int], taken: list[int]) -> None:
        while (item := await queue.pop_left(timeout=IDLE_S)) is not None:
            taken.append(item)

    async def main() -> list[int]:
        async with Database(url) as db:
            taken: list[int] = []
            await asyncio.gather(*(task(AsyncRedisList[int]("queue", db=db), taken) for _ in range(8)))
            return taken

    return asyncio.run(main())


def work_for_ever(url: str, name: str) -> None:
    """Move items to a list of work in progress, note them as done, and remove them there; killed at some time."""
    with Database(url) as db:
        queue, working = RedisList[int]("queue", db=db), RedisList[int](f"working:{name}", db=db)
        done = RedisList[int]("done", db=db)
        tell("ready")
        while True:
            item = queue.move(working, timeout=None)
            assert item is not None
            time.sleep(0.0005)
            done.push(item)
            working.remove(item)

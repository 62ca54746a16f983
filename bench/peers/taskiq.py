"""taskiq with taskiq-redis: a task is an entry of a stream, run by a receiver, awaited only; one at a time here, as the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from bench.bouts import Jobs, Way, each_awaited
from bench.events_words import BATCH, Invoice, Order, fields, made

__all__ = ["jobs"]


class Side:
    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.store = redis.Redis.from_url(url)
        self.client = redis.asyncio.Redis.from_url(url)
        self.broker = RedisStreamBroker(url, consumer_id="0", xread_count=BATCH, xread_block=500)
        self.handler: Callable[[Order], Awaitable[None]] | None = None
        self.left = 0
        self.over = asyncio.Event()

        @self.broker.task
        async def task(order: Order) -> None:
            assert self.handler is not None
            await self.handler(order)
            self.left -= 1
            if not self.left:
                self.over.set()

        self.task: Any = task
        loop.run_until_complete(self.broker.startup())

    def append(self) -> Way:
        return each_awaited(self.task.kiq, lambda times: made(Order, times))

    def worker(self, handler: Callable[[Order], Awaitable[None]]) -> Way:
        async def prepare(times: int) -> int:
            self.store.flushdb()
            for order in made(Order, times):
                await self.task.kiq(order)
            self.handler, self.left = handler, times
            self.over.clear()
            return times

        async def work(times: int) -> None:
            await self.broker.startup()
            receiver = asyncio.create_task(run_receiver_task(self.broker, max_async_tasks=1))
            await self.over.wait()
            receiver.cancel()
            await asyncio.wait([receiver])

        return Way(work, prepare)

    def handle(self) -> Way:
        async def nothing(order: Order) -> None:
            pass

        return self.worker(nothing)

    def handle_and_store(self) -> Way:
        async def bill(order: Order) -> None:
            await self.client.hset(f"invoice:{order.id}", mapping=fields(Invoice(id=order.id, sku=order.sku, total=order.total)))

        return self.worker(bill)


def jobs(url: str, loop: asyncio.AbstractEventLoop) -> Jobs:
    side = Side(url, loop)
    ways = {"append an event": side.append(), "handle an event": side.handle(), "handle and store": side.handle_and_store()}
    return {f"async: {job}": {"taskiq": way} for job, way in ways.items()}

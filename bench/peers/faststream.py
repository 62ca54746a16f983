"""faststream: publishing, and a subscriber of a stream, awaited only. What a handler stores and the acknowledgement are two round trips."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import redis
import redis.asyncio
from faststream.redis import RedisBroker, StreamSub

from bench.bouts import Jobs, Way, each_awaited
from bench.events_words import BATCH, GROUP, STREAM, Invoice, Order, Price, fields, made

__all__ = ["jobs"]


class Side:
    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.store = redis.Redis.from_url(url)
        self.client = redis.asyncio.Redis.from_url(url)
        self.broker = RedisBroker(url, logger=None, log_level=logging.CRITICAL)
        loop.run_until_complete(self.broker.connect())

    def publish(self) -> Way:
        async def work(price: Price) -> None:
            await self.broker.publish(price, channel=f"price.{price.sku}")

        return each_awaited(work, lambda times: made(Price, times))

    def append(self) -> Way:
        async def work(order: Order) -> None:
            await self.broker.publish(order, stream=STREAM)

        return each_awaited(work, lambda times: made(Order, times))

    def worker(self, handler: Callable[[Order], Awaitable[None]]) -> Way:
        async def prepare(times: int) -> int:
            self.store.flushdb()
            for order in made(Order, times):
                await self.broker.publish(order, stream=STREAM)
            return times

        async def work(times: int) -> None:
            broker = RedisBroker(self.url, logger=None, log_level=logging.CRITICAL)
            handled, over = 0, asyncio.Event()

            @broker.subscriber(stream=StreamSub(STREAM, group=GROUP, consumer="me", last_id="0", max_records=BATCH))
            async def handle(order: Order) -> None:
                nonlocal handled
                await handler(order)
                handled += 1
                if handled == times:
                    over.set()

            await broker.start()
            await over.wait()
            await broker.stop()

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
    ways = {
        "publish": side.publish(),
        "append an event": side.append(),
        "handle an event": side.handle(),
        "handle and store": side.handle_and_store(),
    }
    return {f"async: {job}": {"faststream": way} for job, way in ways.items()}

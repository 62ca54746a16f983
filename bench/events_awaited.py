"""Both sides of `bench/events.py` in async code. `events_blocking` is its twin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio

from bench.bouts import Way, each_awaited
from bench.events_blocking import Bill, Changed, Placed
from bench.events_words import BATCH, GROUP, STREAM, Invoice, Order, Price, fields, fill, made, pairs
from redisorm import AsyncChannel, AsyncSession, AsyncStream, AsyncWorker, Database

__all__ = ["AwaitedByHand", "AwaitedMapped"]


class AwaitedByHand:
    """redis-py and Pydantic. The worker takes batches of new entries, and acknowledges each entry with what it wrote; it does nothing
    for entries of workers that died, and looks at nothing before it writes."""

    def __init__(self, url: str) -> None:
        self._store = redis.Redis.from_url(url)
        self._client = redis.asyncio.Redis.from_url(url, decode_responses=True)

    def publish(self) -> Way:
        async def work(price: Price) -> None:
            await self._client.publish(f"price.{price.sku}", price.model_dump_json())

        return each_awaited(work, lambda times: made(Price, times))

    def store_and_publish(self) -> Way:
        async def work(pair: tuple[Invoice, Price]) -> None:
            invoice, price = pair
            pipeline = self._client.pipeline()
            pipeline.hset(f"invoice:{invoice.id}", mapping=fields(invoice))
            pipeline.publish(f"price.{price.sku}", price.model_dump_json())
            await pipeline.execute()

        return each_awaited(work, lambda times: pairs(self._store, Invoice, Price, times))

    def append(self) -> Way:
        async def work(order: Order) -> None:
            await self._client.xadd(STREAM, fields(order))

        return each_awaited(work, lambda times: made(Order, times))

    def store_and_emit(self) -> Way:
        async def work(pair: tuple[Invoice, Order]) -> None:
            invoice, order = pair
            pipeline = self._client.pipeline()
            pipeline.hset(f"invoice:{invoice.id}", mapping=fields(invoice))
            pipeline.xadd(STREAM, fields(order))
            await pipeline.execute()

        return each_awaited(work, lambda times: pairs(self._store, Invoice, Order, times))

    def handle(self) -> Way:
        async def settle(entry_id: str, _: Order) -> None:
            await self._client.xack(STREAM, GROUP, entry_id)

        return self._worker(settle)

    def handle_and_store(self) -> Way:
        async def settle(entry_id: str, order: Order) -> None:
            invoice = Invoice(id=order.id, sku=order.sku, total=order.total)
            pipeline = self._client.pipeline()
            pipeline.hset(f"invoice:{invoice.id}", mapping=fields(invoice))
            pipeline.xack(STREAM, GROUP, entry_id)
            await pipeline.execute()

        return self._worker(settle)

    def _worker(self, settle: Callable[[str, Order], Awaitable[None]]) -> Way:
        async def work(times: int) -> None:
            await self._client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
            handled = 0
            while handled < times:
                replies: Any = await self._client.xreadgroup(GROUP, "me", {STREAM: ">"}, count=BATCH, block=500)
                for _, entries in replies:
                    for entry_id, found in entries:
                        await settle(entry_id, Order.model_validate(found))
                        handled += 1

        return Way(work, lambda times: fill(self._store, times))


class AwaitedMapped:
    """redisorm."""

    def __init__(self, url: str) -> None:
        self._store = redis.Redis.from_url(url)
        self._db = Database(url)

    def publish(self) -> Way:
        return each_awaited(AsyncChannel(self._db, Changed).publish, lambda times: made(Changed, times))

    def store_and_publish(self) -> Way:
        async def work(pair: tuple[Bill, Changed]) -> None:
            async with AsyncSession(self._db) as session:
                session.add(pair[0])
                session.publish(pair[1])
                await session.commit()

        return each_awaited(work, lambda times: pairs(self._store, Bill, Changed, times))

    def append(self) -> Way:
        return each_awaited(AsyncStream(self._db, Placed).append, lambda times: made(Placed, times))

    def store_and_emit(self) -> Way:
        async def work(pair: tuple[Bill, Placed]) -> None:
            async with AsyncSession(self._db) as session:
                session.add(pair[0])
                session.emit(pair[1])
                await session.commit()

        return each_awaited(work, lambda times: pairs(self._store, Bill, Placed, times))

    def handle(self) -> Way:
        async def nothing(event: Placed, session: AsyncSession) -> None:
            pass

        return self._worker(nothing)

    def handle_and_store(self) -> Way:
        async def bill(event: Placed, session: AsyncSession) -> None:
            session.add(Bill(id=event.id, sku=event.sku, total=event.total))

        return self._worker(bill)

    def _worker(self, handler: Callable[[Placed, AsyncSession], Awaitable[None]]) -> Way:
        async def work(times: int) -> None:
            worker = AsyncWorker(self._db, GROUP, batch=BATCH)
            handled = 0

            @worker.on(Placed)
            async def handle(event: Placed, session: AsyncSession) -> None:
                nonlocal handled
                handled += 1
                await handler(event, session)

            await worker.run(once=True)
            assert handled == times, f"{handled} of {times} events were handled"

        return Way(work, lambda times: fill(self._store, times))

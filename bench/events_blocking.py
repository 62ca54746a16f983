"""Both sides of `bench/events.py` in blocking code. `events_awaited` is its twin."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import redis

from bench.bouts import Way, each
from bench.events_words import BATCH, GROUP, STREAM, Invoice, Order, Price, fields, fill, made, pairs
from redisorm import Channel, Database, Event, Message, RedisModel, Session, Stream, Worker

__all__ = ["Bill", "ByHand", "Changed", "Mapped", "Placed"]


class Changed(Message, channel="price.{sku}"):
    sku: str
    price: Decimal


class Placed(Event, stream=STREAM):
    id: int
    sku: str
    amount: int
    total: Decimal


class Bill(RedisModel, prefix="invoice"):
    id: int
    sku: str
    total: Decimal


class ByHand:
    """redis-py and Pydantic. The worker takes batches of new entries, and acknowledges each entry with what it wrote; it does nothing
    for entries of workers that died, and looks at nothing before it writes."""

    def __init__(self, url: str) -> None:
        self._store = redis.Redis.from_url(url)
        self._client = redis.Redis.from_url(url, decode_responses=True)

    def publish(self) -> Way:
        def work(price: Price) -> None:
            self._client.publish(f"price.{price.sku}", price.model_dump_json())

        return each(work, lambda times: made(Price, times))

    def store_and_publish(self) -> Way:
        def work(pair: tuple[Invoice, Price]) -> None:
            invoice, price = pair
            pipeline = self._client.pipeline()
            pipeline.hset(f"invoice:{invoice.id}", mapping=fields(invoice))
            pipeline.publish(f"price.{price.sku}", price.model_dump_json())
            pipeline.execute()

        return each(work, lambda times: pairs(self._store, Invoice, Price, times))

    def append(self) -> Way:
        def work(order: Order) -> None:
            self._client.xadd(STREAM, fields(order))

        return each(work, lambda times: made(Order, times))

    def store_and_emit(self) -> Way:
        def work(pair: tuple[Invoice, Order]) -> None:
            invoice, order = pair
            pipeline = self._client.pipeline()
            pipeline.hset(f"invoice:{invoice.id}", mapping=fields(invoice))
            pipeline.xadd(STREAM, fields(order))
            pipeline.execute()

        return each(work, lambda times: pairs(self._store, Invoice, Order, times))

    def handle(self) -> Way:
        def settle(entry_id: str, _: Order) -> None:
            self._client.xack(STREAM, GROUP, entry_id)

        return self._worker(settle)

    def handle_and_store(self) -> Way:
        def settle(entry_id: str, order: Order) -> None:
            invoice = Invoice(id=order.id, sku=order.sku, total=order.total)
            pipeline = self._client.pipeline()
            pipeline.hset(f"invoice:{invoice.id}", mapping=fields(invoice))
            pipeline.xack(STREAM, GROUP, entry_id)
            pipeline.execute()

        return self._worker(settle)

    def _worker(self, settle: Callable[[str, Order], None]) -> Way:
        def work(times: int) -> None:
            self._client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
            handled = 0
            while handled < times:
                replies: Any = self._client.xreadgroup(GROUP, "me", {STREAM: ">"}, count=BATCH, block=500)
                for _, entries in replies:
                    for entry_id, found in entries:
                        settle(entry_id, Order.model_validate(found))
                        handled += 1

        return Way(work, lambda times: fill(self._store, times))


class Mapped:
    """redisorm."""

    def __init__(self, url: str) -> None:
        self._store = redis.Redis.from_url(url)
        self._db = Database(url)

    def publish(self) -> Way:
        return each(Channel(self._db, Changed).publish, lambda times: made(Changed, times))

    def store_and_publish(self) -> Way:
        def work(pair: tuple[Bill, Changed]) -> None:
            with Session(self._db) as session:
                session.add(pair[0])
                session.publish(pair[1])
                session.commit()

        return each(work, lambda times: pairs(self._store, Bill, Changed, times))

    def append(self) -> Way:
        return each(Stream(self._db, Placed).append, lambda times: made(Placed, times))

    def store_and_emit(self) -> Way:
        def work(pair: tuple[Bill, Placed]) -> None:
            with Session(self._db) as session:
                session.add(pair[0])
                session.emit(pair[1])
                session.commit()

        return each(work, lambda times: pairs(self._store, Bill, Placed, times))

    def handle(self) -> Way:
        def nothing(event: Placed, session: Session) -> None:
            pass

        return self._worker(nothing)

    def handle_and_store(self) -> Way:
        def bill(event: Placed, session: Session) -> None:
            session.add(Bill(id=event.id, sku=event.sku, total=event.total))

        return self._worker(bill)

    def _worker(self, handler: Callable[[Placed, Session], None]) -> Way:
        def work(times: int) -> None:
            worker = Worker(self._db, GROUP, batch=BATCH)
            handled = 0

            @worker.on(Placed)
            def handle(event: Placed, session: Session) -> None:
                nonlocal handled
                handled += 1
                handler(event, session)

            worker.run(once=True)
            assert handled == times, f"{handled} of {times} events were handled"

        return Way(work, lambda times: fill(self._store, times))

"""Events in streams on every server, in both colours."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from redisorm import AsyncStream, Database, DecodeError, Entry, Event, Stream, WrongTypeError
from tests.unit.test_events import EVERYTHING, OrderPlaced


class Tick(Event, stream="ticks"):
    n: int


class Kept(Event, stream="kept", maxlen=100):
    n: int


def test_events_come_back_in_order_as_they_were(db: Database) -> None:
    stream = Stream(db, OrderPlaced)
    other = OrderPlaced(order_id=2, total=Decimal(0))
    ids = [stream.append(EVERYTHING), stream.append(other)]
    assert stream.read() == [Entry(ids[0], EVERYTHING), Entry(ids[1], other)]
    assert stream.size() == 2


def test_events_come_back_in_order_as_they_were_async(db: Database) -> None:
    async def main() -> None:
        stream = AsyncStream(db, OrderPlaced)
        other = OrderPlaced(order_id=2, total=Decimal(0))
        ids = [await stream.append(EVERYTHING), await stream.append(other)]
        assert await stream.read() == [Entry(ids[0], EVERYTHING), Entry(ids[1], other)]
        assert await stream.size() == 2
        await db.aclose()

    asyncio.run(main())


def test_reading_goes_on_after_an_id(db: Database) -> None:
    stream = Stream(db, Tick)
    ids = [stream.append(Tick(n=n)) for n in range(5)]
    assert [entry.event.n for entry in stream.read(after=ids[2])] == [3, 4]
    assert [entry.event.n for entry in stream.read(count=2)] == [0, 1]
    assert [entry.event.n for entry in stream.read(after=ids[1], count=2)] == [2, 3]
    assert stream.read(after=ids[-1]) == []


def test_stream_that_is_not_there_is_empty(db: Database) -> None:
    assert Stream(db, Tick).read() == []
    assert Stream(db, Tick).size() == 0


def test_more_entries_than_a_page_are_read(db: Database) -> None:
    with db.client.pipeline(transaction=False) as pipe:
        for n in range(2500):
            pipe.xadd("ticks", {"n": n})
        pipe.execute()
    assert [entry.event.n for entry in Stream(db, Tick).read()] == list(range(2500))


def test_entries_of_other_programs_are_read_and_ours_are_plain(db: Database) -> None:
    db.client.xadd("events:orders", {"order_id": 123, "total": "49.99", "item": "laptop"})
    assert [entry.event for entry in Stream(db, OrderPlaced).read()] == [OrderPlaced(order_id=123, total=Decimal("49.99"))]
    Stream(db, Tick).append(Tick(n=7))
    assert [fields for _, fields in db.client.xrange("ticks") or ()] == [{b"n": b"7"}]


def test_entry_that_does_not_fit_is_told_and_can_be_passed_over(db: Database) -> None:
    stream = Stream(db, Tick)
    stream.append(Tick(n=1))
    added = db.client.xadd("ticks", {"n": "one"})
    bad = added.decode() if isinstance(added, bytes) else added
    stream.append(Tick(n=2))
    with pytest.raises(DecodeError, match="the stored 'n' does not fit Tick") as caught:
        stream.read()
    assert caught.value.pk == bad
    assert [entry.event.n for entry in stream.read(after=bad)] == [2]


def test_stream_keeps_about_so_many_entries(db: Database) -> None:
    stream = Stream(db, Kept)
    for n in range(1000):
        stream.append(Kept(n=n))
    assert 100 <= stream.size() <= 300
    assert stream.read()[-1].event.n == 999


def test_names_have_the_namespace(server_url: str) -> None:
    with Database(server_url, namespace="shop") as db:
        Stream(db, Tick).append(Tick(n=1))
        assert db.client.keys() == [b"shop:ticks"]


def test_key_of_another_type_is_told(db: Database) -> None:
    db.client.set("ticks", "x")
    with pytest.raises(WrongTypeError, match="ticks"):
        Stream(db, Tick).append(Tick(n=1))

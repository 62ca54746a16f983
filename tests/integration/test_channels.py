"""Publishing and listening on every server, in both colours."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from redisorm import AsyncChannel, Channel, ConnectionFailedError, Database, DecodeError, Message
from redisorm.errors import SessionError
from tests.listening import Tick, lines_at, soon, soon_async, subscribers
from tests.servers import Server


class PriceChanged(Message, channel="price.{sku}"):
    sku: str
    price: Decimal


class Moved(Message, channel="moved.{thing}.{place}"):
    thing: str
    place: str


def price(sku: str, amount: str) -> PriceChanged:
    return PriceChanged(sku=sku, price=Decimal(amount))


# ---- publishing and iterating -----------------------------------------------------------------------------------------------


def test_published_message_arrives_as_it_was(db: Database) -> None:
    channel = Channel(db, PriceChanged)
    with channel.subscribe(sku="a1") as feed:
        assert channel.publish(price("a1", "9.90")) == 1
        assert channel.publish(price("b2", "1")) == 0
        assert feed.get(timeout=2) == price("a1", "9.90")
        assert feed.get(timeout=0.05) is None
        assert feed.get(timeout=timedelta(milliseconds=5)) is None
    assert channel.publish(price("a1", "9")) == 0 or soon(lambda: channel.publish(price("a1", "9")) == 0)


def test_published_message_arrives_as_it_was_async(db: Database) -> None:
    async def main() -> None:
        channel = AsyncChannel(db, PriceChanged)
        async with channel.subscribe(sku="a1") as feed:
            assert await channel.publish(price("a1", "9.90")) == 1
            assert await channel.publish(price("b2", "1")) == 0
            assert await feed.get(timeout=2) == price("a1", "9.90")
            assert await feed.get(timeout=0.05) is None
            assert await feed.get(timeout=timedelta(milliseconds=5)) is None
        await db.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("fields", [{}, {"sku": "*"}], ids=["missing", "star"])
def test_missing_field_is_a_wildcard(db: Database, fields: dict[str, Any]) -> None:
    channel = Channel(db, PriceChanged)
    with channel.subscribe(**fields) as feed:
        channel.publish(price("a1", "1"))
        channel.publish(price("b2", "2"))
        assert [feed.get(timeout=2), feed.get(timeout=2)] == [price("a1", "1"), price("b2", "2")]


def test_values_with_the_signs_of_patterns_are_themselves(db: Database) -> None:
    channel = Channel(db, Moved)
    with channel.subscribe(thing="[ab]*?\\^-") as feed:
        channel.publish(Moved(thing="axx", place="here"))
        channel.publish(Moved(thing="[ab]*?\\^-", place="there"))
        assert feed.get(timeout=2) == Moved(thing="[ab]*?\\^-", place="there")


def test_channel_that_fits_in_two_ways_is_told_by_its_message(db: Database) -> None:
    channel = Channel(db, Moved)
    with channel.subscribe(thing="a") as feed, channel.subscribe(thing="a.b", place="c") as exact:
        channel.publish(Moved(thing="a.b", place="c"))  # on moved.a.b.c, as the next one
        channel.publish(Moved(thing="a", place="b.c"))
        assert feed.get(timeout=2) == Moved(thing="a", place="b.c")
        assert exact.get(timeout=2) == Moved(thing="a.b", place="c")
        assert exact.get(timeout=0.05) is None


def test_names_have_the_namespace(server_url: str) -> None:
    with (
        Database(server_url, namespace="shop[1]") as shop,
        Database(server_url) as plain,
        Channel(shop, PriceChanged).subscribe() as feed,
        Channel(shop, Tick).subscribe() as ticks,
    ):
        Channel(plain, PriceChanged).publish(price("other", "1"))
        assert plain.client.publish("shop[1]:price.a1", '{"sku":"a1","price":"2"}') == 1
        Channel(shop, Tick).publish(Tick(n=1))
        assert feed.get(timeout=2) == price("a1", "2")
        assert ticks.get(timeout=2) == Tick(n=1)


def test_json_of_any_other_program_is_read(db: Database) -> None:
    with Channel(db, PriceChanged).subscribe(sku="a1") as feed:
        db.client.publish("price.a1", b'{ "price": 9.5, "sku": "a1", "more": [1] }')
        assert feed.get(timeout=2) == price("a1", "9.5")


def test_feed_passes_over_what_does_not_fit_and_tells(db: Database) -> None:
    errors: list[tuple[Exception, Any]] = []
    with Channel(db, PriceChanged).subscribe(on_error=lambda error, raw: errors.append((error, raw)), sku="a1") as feed:
        for payload in (b"{", b'{"sku":"a1"}', b"\xff", b'{"sku":"b2","price":1}', b'{"sku":"a1","price":1}'):
            db.client.publish("price.a1", payload)
        assert feed.get(timeout=2) == price("a1", "1")
    assert [raw for _, raw in errors] == [b"{", b'{"sku":"a1"}', b"\xff", b'{"sku":"b2","price":1}']
    assert all(isinstance(error, DecodeError) and error.key == "price.a1" for error, _ in errors)


def test_feed_without_a_hook_logs_what_does_not_fit(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with lines_at(logging.ERROR, caplog) as lines, Channel(db, PriceChanged).subscribe() as feed:
        db.client.publish("price.a1", b"nonsense")
        assert feed.get(timeout=0.2) is None
    assert len(lines) == 1
    assert "channel price.a1: the payload is not the JSON of a PriceChanged" in lines[0]


def test_feed_closed_by_another_thread_ends_its_iteration(db: Database) -> None:
    got: list[Tick] = []
    with Channel(db, Tick).subscribe() as feed:
        thread = threading.Thread(target=lambda: got.extend(feed))
        thread.start()
        Channel(db, Tick).publish(Tick(n=1))
        soon(lambda: got)
        started = time.monotonic()
        feed.close()
        thread.join(2)
        assert not thread.is_alive()
        assert time.monotonic() - started < 1
    soon(lambda: subscribers(db, "tick") == 0)
    assert got == [Tick(n=1)]


def test_feed_closed_by_another_task_ends_its_iteration(db: Database) -> None:
    async def main() -> None:
        async with AsyncChannel(db, Tick).subscribe() as feed:
            task = asyncio.create_task(collect(feed))
            await AsyncChannel(db, Tick).publish(Tick(n=1))
            await asyncio.sleep(0.05)
            await feed.close()
            assert await asyncio.wait_for(task, 1) == [Tick(n=1)]
        await db.aclose()

    async def collect(feed: Any) -> list[Tick]:
        return [tick async for tick in feed]

    asyncio.run(main())


def test_feed_may_be_closed_in_its_own_loop(db: Database) -> None:
    with Channel(db, Tick).subscribe() as feed:
        for n in range(3):
            Channel(db, Tick).publish(Tick(n=n))
        seen = []
        for tick in feed:
            seen.append(tick.n)
            if tick.n == 1:
                feed.close()
    assert seen == [0, 1]


def test_cancelled_get_loses_no_message_and_no_connection(db: Database) -> None:
    async def main() -> None:
        channel = AsyncChannel(db, Tick)
        async with channel.subscribe() as feed:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(feed.get(), 0.05)
            await channel.publish(Tick(n=1))
            assert await feed.get(timeout=2) == Tick(n=1)
        in_use: Any = vars(db.async_driver.waiting)["_in_use_connections"]
        assert not in_use
        await db.aclose()

    asyncio.run(main())


def test_closed_database_ends_its_feeds(server_url: str) -> None:
    db = Database(server_url)
    with Channel(db, Tick).subscribe() as feed:
        thread = threading.Thread(target=lambda: list(feed))
        thread.start()
        db.close()
        thread.join(2)
        assert not thread.is_alive()


def test_feed_that_was_not_entered_says_so(db: Database) -> None:
    with pytest.raises(SessionError, match=r"the feed of 'tick' is not open: use it in `with"):
        Channel(db, Tick).subscribe().get(timeout=1)


def test_subscribing_without_a_server_fails_at_once() -> None:
    with Database("redis://127.0.0.1:1/0", retry=None) as db, pytest.raises(ConnectionFailedError, match="SUBSCRIBE"):
        Channel(db, Tick).subscribe().__enter__()


def test_feeds_take_no_connection_from_the_pool(server: Server) -> None:
    with (
        Database(server.url, max_connections=1, pool_timeout=1) as db,
        Channel(db, Tick).subscribe() as one,
        Channel(db, Tick).subscribe() as two,
    ):
        assert Channel(db, Tick).publish(Tick(n=1)) == 2
        assert one.get(timeout=2) == two.get(timeout=2) == Tick(n=1)


# ---- listening in the background -----------------------------------------------------------------------------------------------


def test_listener_hands_messages_to_its_handler_in_order(db: Database) -> None:
    got: list[int] = []
    with Channel(db, Tick).listen(lambda tick: got.append(tick.n)) as listener:
        for n in range(200):
            Channel(db, Tick).publish(Tick(n=n))
        soon(lambda: len(got) == 200)
        assert listener.dropped == 0
    assert got == list(range(200))
    soon(lambda: subscribers(db, "tick") == 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("redisorm tick")]


def test_listener_hands_messages_to_its_handler_in_order_async(db: Database) -> None:
    async def main() -> None:
        got: list[int] = []

        async def take(tick: Tick) -> None:
            await asyncio.sleep(0)
            got.append(tick.n)

        channel = AsyncChannel(db, Tick)
        async with channel.listen(take) as listener, channel.listen(lambda tick: got.append(-tick.n)):
            for n in range(1, 201):
                await channel.publish(Tick(n=n))
            await soon_async(lambda: len(got) == 400)
            assert listener.dropped == 0
        assert [n for n in got if n > 0] == list(range(1, 201))
        assert [n for n in got if n < 0] == list(range(-1, -201, -1))
        assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]
        await db.aclose()

    asyncio.run(main())


def test_burst_larger_than_the_buffer_reaches_a_quick_handler_whole(db: Database) -> None:
    got: list[int] = []
    with Channel(db, Tick).listen(lambda tick: got.append(tick.n), buffer=10) as listener:
        with db.client.pipeline(transaction=False) as pipe:
            for n in range(2000):
                pipe.publish("tick", f'{{"n":{n}}}')
            pipe.execute()
        soon(lambda: len(got) == 2000)
        assert listener.dropped == 0


def test_burst_larger_than_the_buffer_reaches_a_quick_handler_whole_async(db: Database) -> None:
    async def main() -> None:
        got: list[int] = []
        async with AsyncChannel(db, Tick).listen(lambda tick: got.append(tick.n), buffer=10) as listener:
            pipe = db.async_client.pipeline(transaction=False)
            for n in range(2000):
                pipe.publish("tick", f'{{"n":{n}}}')
            await pipe.execute()
            await soon_async(lambda: len(got) == 2000)
            assert listener.dropped == 0
        await db.aclose()

    asyncio.run(main())


def test_full_buffer_drops_the_oldest_and_counts_and_tells_once(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    got: list[int] = []
    release = threading.Event()

    def slow(tick: Tick) -> None:
        got.append(tick.n)
        release.wait(5)

    with lines_at(logging.WARNING, caplog) as lines, Channel(db, Tick).listen(slow, buffer=3) as listener:
        Channel(db, Tick).publish(Tick(n=0))
        soon(lambda: got)
        for n in range(1, 11):
            Channel(db, Tick).publish(Tick(n=n))
        soon(lambda: listener.dropped == 7)
        release.set()
        soon(lambda: len(got) == 4)
    assert got == [0, 8, 9, 10]
    assert [line for line in lines if "slower than its messages" in line] == lines
    assert len(lines) == 1


def test_full_buffer_drops_the_oldest_and_counts_async(db: Database) -> None:
    async def main() -> None:
        got: list[int] = []
        release = asyncio.Event()

        async def slow(tick: Tick) -> None:
            got.append(tick.n)
            await release.wait()

        channel = AsyncChannel(db, Tick)
        async with channel.listen(slow, buffer=3) as listener:
            await channel.publish(Tick(n=0))
            await soon_async(lambda: got)
            for n in range(1, 11):
                await channel.publish(Tick(n=n))
            await soon_async(lambda: listener.dropped == 7)
            release.set()
            await soon_async(lambda: len(got) == 4)
        assert got == [0, 8, 9, 10]
        await db.aclose()

    asyncio.run(main())


def test_failing_handler_and_malformed_payload_are_reported_and_survived(db: Database) -> None:
    errors: list[tuple[str, Any]] = []
    got: list[int] = []

    def handle(tick: Tick) -> None:
        if tick.n == 2:
            raise ValueError("two")
        got.append(tick.n)

    def on_error(error: Exception, raw: Any) -> None:
        errors.append((type(error).__name__, raw))
        raise RuntimeError("the hook fails too")

    with Channel(db, Tick).listen(handle, on_error):
        for payload in (b'{"n":1}', b'{"n":2}', b"nonsense", b'{"n":3}'):
            db.client.publish("tick", payload)
        soon(lambda: len(got) == 2)
    assert got == [1, 3]
    assert errors == [("ValueError", b'{"n":2}'), ("DecodeError", b"nonsense")]


def test_failing_handler_and_malformed_payload_are_reported_and_survived_async(db: Database) -> None:
    async def main() -> None:
        errors: list[tuple[str, Any]] = []
        got: list[int] = []

        async def handle(tick: Tick) -> None:
            if tick.n == 2:
                raise ValueError("two")
            got.append(tick.n)

        async with AsyncChannel(db, Tick).listen(handle, lambda error, raw: errors.append((type(error).__name__, raw))):
            for payload in (b'{"n":1}', b'{"n":2}', b"nonsense", b'{"n":3}'):
                await db.async_client.publish("tick", payload)
            await soon_async(lambda: len(got) == 2)
        assert got == [1, 3]
        assert errors == [("ValueError", b'{"n":2}'), ("DecodeError", b"nonsense")]
        await db.aclose()

    asyncio.run(main())


def test_failing_handler_without_a_hook_is_logged(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with lines_at(logging.ERROR, caplog) as lines, Channel(db, Tick).listen(lambda tick: [][tick.n]):
        Channel(db, Tick).publish(Tick(n=1))
        soon(lambda: caplog.records)
    assert lines == ["tick: IndexError: list index out of range"]


def test_leaving_waits_for_the_message_in_hand_and_is_quick_otherwise(db: Database) -> None:
    done: list[int] = []

    def slow(tick: Tick) -> None:
        time.sleep(0.3)
        done.append(tick.n)

    with Channel(db, Tick).listen(slow):
        for n in range(5):
            Channel(db, Tick).publish(Tick(n=n))
        time.sleep(0.1)
    assert done == [0]
    started = time.monotonic()
    with Channel(db, Tick).listen(slow):
        pass
    assert time.monotonic() - started < 1


def test_handler_may_close_its_listener(db: Database) -> None:
    closed = threading.Event()

    def once(_: Tick) -> None:
        listener.close()
        closed.set()

    listener = Channel(db, Tick).listen(once)
    with listener:
        Channel(db, Tick).publish(Tick(n=1))
        assert closed.wait(2)
        soon(lambda: subscribers(db, "tick") == 0)


def test_coroutine_function_is_refused_where_it_would_not_be_awaited(db: Database) -> None:
    async def handle(*_: object) -> None: ...

    with pytest.raises(TypeError, match=r"listen: .* is a coroutine function.*use AsyncChannel"):
        Channel(db, Tick).listen(handle)
    for channel in (Channel(db, Tick), AsyncChannel(db, Tick)):
        with pytest.raises(TypeError, match=r"on_error: .* is a coroutine function"):
            channel.subscribe(on_error=handle)

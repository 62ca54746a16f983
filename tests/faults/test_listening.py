"""Subscriptions through cuts, restarts, silent servers and full buffers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from redisorm import AsyncChannel, Channel, Database, Message
from redisorm.drivers import subscription
from tests.listening import Tick, lines_at, soon, soon_async, subscribers
from tests.servers import Server


class ShardedTick(Message, channel="tick", sharded=True):
    n: int


TICKS = pytest.mark.parametrize("kind", [Tick, ShardedTick])


def kill_subscribers(db: Database) -> None:
    assert db.client.client_kill_filter(_type="pubsub") > 0


def told(lines: list[str], words: str) -> int:
    return sum(words in line for line in lines)


@TICKS
def test_feed_subscribes_again_after_a_cut(server: Server, caplog: pytest.LogCaptureFixture, kind: Any) -> None:
    with Database(server.url) as db, lines_at(logging.WARNING, caplog) as lines, Channel(db, kind).subscribe() as feed:
        for n in range(3):
            kill_subscribers(db)
            assert feed.get(timeout=0.3) is None
            assert Channel(db, kind).publish(kind(n=n)) == 1
            assert feed.get(timeout=2) == kind(n=n)
    assert told(lines, "the subscription to 'tick' was lost") == 3


@TICKS
def test_feed_subscribes_again_after_a_cut_async(server: Server, kind: Any) -> None:
    async def main() -> None:
        async with Database(server.url) as db, AsyncChannel(db, kind).subscribe() as feed:
            for n in range(3):
                await db.async_client.client_kill_filter(_type="pubsub")
                assert await feed.get(timeout=0.3) is None
                assert await AsyncChannel(db, kind).publish(kind(n=n)) == 1
                assert await feed.get(timeout=2) == kind(n=n)

    asyncio.run(main())


def test_listener_outlives_a_server_that_is_down_for_longer_than_redis_py_retries(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    got: list[int] = []
    with (
        Database(server.url, retry=Retry(ConstantBackoff(0.05), 3)) as db,
        lines_at(logging.WARNING, caplog) as warnings,
        lines_at(logging.INFO, caplog) as infos,
        Channel(db, Tick).listen(lambda tick: got.append(tick.n)),
    ):
        server.kill()
        time.sleep(1)
        server.start()
        soon(lambda: subscribers(db, "tick") == 1)
        Channel(db, Tick).publish(Tick(n=1))
        soon(lambda: got == [1])
    assert told(warnings, "the subscription to 'tick' was lost") == 1
    assert told(infos, "subscribed to 'tick' again") == 1


def test_listener_outlives_a_server_that_is_down_async(server: Server) -> None:
    async def main() -> None:
        got: list[int] = []
        async with Database(server.url) as db, AsyncChannel(db, Tick).listen(lambda tick: got.append(tick.n)):
            server.kill()
            await asyncio.sleep(1)
            server.start()
            await soon_async(lambda: server.ask("PUBSUB", "NUMSUB", "tick").endswith(b":1\r\n"))
            await AsyncChannel(db, Tick).publish(Tick(n=1))
            await soon_async(lambda: got == [1])

    asyncio.run(main())


def test_leaving_while_the_server_is_down_takes_less_than_a_second(server: Server) -> None:
    with Database(server.url) as db:
        with Channel(db, Tick).listen(lambda _: None):
            server.kill()
            time.sleep(0.5)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("redisorm tick")]


def test_server_that_fell_silent_is_noticed_and_left(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscription, "IDLE_S", 0.2)
    caplog.set_level(logging.INFO, logger="redisorm")
    got: list[int] = []
    with Database(server.url, timeout=0.5) as db, Channel(db, Tick).listen(lambda tick: got.append(tick.n)):
        time.sleep(0.6)  # it is asked, and answers
        server.suspend()
        soon(lambda: told(caplog.messages, "the subscription to 'tick' was lost (no answer to PING") == 1, within_s=20)
        server.resume()
        soon(lambda: told(caplog.messages, "subscribed to 'tick' again") == 1)  # the server may still count the connection that was left
        Channel(db, Tick).publish(Tick(n=1))
        soon(lambda: got == [1])


def test_server_that_fell_silent_is_noticed_and_left_async(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscription, "IDLE_S", 0.2)
    caplog.set_level(logging.INFO, logger="redisorm")

    async def main() -> None:
        got: list[int] = []
        async with Database(server.url, timeout=0.5) as db, AsyncChannel(db, Tick).listen(lambda tick: got.append(tick.n)):
            await asyncio.sleep(1.5)
            server.suspend()
            await soon_async(lambda: told(caplog.messages, "the subscription to 'tick' was lost (no answer to PING") == 1, within_s=20)
            server.resume()
            await soon_async(lambda: told(caplog.messages, "subscribed to 'tick' again") == 1)
            await AsyncChannel(db, Tick).publish(Tick(n=1))
            await soon_async(lambda: got == [1])

    asyncio.run(main())


def test_server_that_drops_a_slow_subscriber_is_subscribed_to_again(redis7: Server) -> None:
    class Blob(Message, channel="blob"):
        text: str

    redis7.flush()
    redis7.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
    try:
        with Database(redis7.url) as db, Channel(db, Blob).subscribe() as feed:
            blob = Blob(text="x" * 200_000)
            soon(lambda: Channel(db, Blob).publish(blob) == 0)  # the feed is not read, so the server closes it
            while feed.get(timeout=0.5) is not None:
                pass
            soon(lambda: Channel(db, Blob).publish(Blob(text="after")) == 1)
            got: Any = soon(lambda: feed.get(timeout=1))
            assert got.text == "after"
    finally:
        redis7.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")


# ---- what a listener is for --------------------------------------------------------------------------------------------------


def run_by_redis_py(server: Server, handler: Any) -> tuple[Any, threading.Thread]:
    """Listen as redis-py does it; its client, and the thread."""
    client: Any = redis.Redis.from_url(server.url)
    listener = client.pubsub()
    listener.subscribe(tick=handler)
    thread: threading.Thread = listener.run_in_thread(sleep_time=0.1, daemon=True)
    return client, thread


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_of_redis_py_ends_with_the_first_error_of_a_handler(server: Server) -> None:
    def fail(message: Any) -> None:
        raise ValueError(message)

    client, thread = run_by_redis_py(server, fail)
    with Database(server.url) as db:
        soon(lambda: subscribers(db, "tick") == 1)
        Channel(db, Tick).publish(Tick(n=1))
        thread.join(5)
        assert not thread.is_alive()
    client.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_of_redis_py_ends_while_the_server_is_down(server: Server) -> None:
    client, thread = run_by_redis_py(server, lambda message: None)
    with Database(server.url) as db:
        soon(lambda: subscribers(db, "tick") == 1)
    server.kill()
    thread.join(20)
    assert not thread.is_alive()
    client.close()
    server.start()

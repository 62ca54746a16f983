"""Live structures beside hand-written redis-py calls that do the same: one table of ratios.

python bench/structures.py [--server valkey|redis7|redis8] [--rounds N] [--quick]

Both sides take turns within each round, and each cell is a median. The hand-written side encodes and decodes what it stores,
as anyone has to who wants a typed queue; it looks at no types of keys and checks no values.

Beside what reads a thousand plain items stands the floor, as a part of the hand-written time: a packet made before, a bare socket or a
stream of asyncio, hiredis, and nothing else but what makes the result. It knows no handle, no pool, no timeout and no error.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from hiredis import Reader
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import redisorm
from bench.sides import pin
from redisorm.drivers.packing import packed
from tests.servers import KINDS, Server

SINGLE, BULK = 1.15, 0.7


class Item(BaseModel):
    id: int
    name: str


@dataclass(frozen=True)
class Job:
    """One thing to do, by hand, by handle, and bare where there is a floor: each a function of its side and a number, done many times."""

    name: str
    aim: float
    operations: int
    by_hand: Callable[[Any, int], Any]
    by_handle: Callable[[Any, int], Any]
    bare: Callable[[Any, int], Any] | None = None


class Handles:
    """The handles of one colour."""

    def __init__(self, db: redisorm.Database, colour: str) -> None:
        def of(kind: str) -> Any:
            return getattr(redisorm, colour + kind)

        self.queue: Any = of("RedisList")[Item]("queue", db=db)
        self.names: Any = of("RedisList")[str]("names", db=db)
        self.tags: Any = of("RedisSet")[str]("tags", db=db)
        self.board: Any = of("RedisSortedSet")[str]("board", db=db)
        self.settings: Any = of("RedisDict")[str, int]("settings", db=db)
        self.hits: Any = of("RedisCounter")("hits", db=db)
        self.token: Any = of("RedisValue")[str]("token", db=db, ttl=3600)


class Bare:
    """A socket, and hiredis behind it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader(encoding="utf-8")
        self._buffer = bytearray(1 << 16)

    def ask(self, packet: bytes) -> Any:
        """Send a packet and receive one reply."""
        reader, buffer, received = self._reader, self._buffer, self._socket.recv_into
        self._socket.sendall(packet)
        while (reply := reader.gets()) is False:
            reader.feed(buffer, 0, received(buffer))  # type: ignore[arg-type]  # hiredis takes any buffer
        return reply

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class AsyncBare:
    """A stream of asyncio, and hiredis behind it."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self._read, self._write = loop.run_until_complete(asyncio.open_connection("127.0.0.1", port))
        self._reader = Reader(encoding="utf-8")

    async def ask(self, packet: bytes) -> Any:
        """Send a packet and receive one reply."""
        self._write.write(packet)
        while (reply := self._reader.gets()) is False:
            self._reader.feed(await self._read.read(1 << 18))
        return reply

    def close(self) -> None:
        """Close the stream."""
        self._write.close()


ITEMS = [Item(id=number, name=f"name {number}") for number in range(1000)]
NAMES = [f"name {number}" for number in range(1000)]
SCORES = {name: float(place) for place, name in enumerate(NAMES)}
ENTRIES = {name: place for place, name in enumerate(NAMES)}


def jobs(awaited: bool) -> list[Job]:
    """What is compared. Results that are decoded are decoded on both sides."""

    def decoded(call: Callable[[Any, int], Any], decode: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
        if not awaited:
            return lambda client, number: decode(call(client, number))

        async def wait(client: Any, number: int) -> Any:
            return decode(await call(client, number))

        return wait

    def single(name: str, by_hand: Callable[[Any, int], Any], by_handle: Callable[[Any, int], Any]) -> Job:
        return Job(name, SINGLE, 500, by_hand, by_handle)

    def bulk(
        name: str,
        by_hand: Callable[[Any, int], Any],
        by_handle: Callable[[Any, int], Any],
        words: Sequence[str] = (),
        result: Callable[[Any], Any] = list,
    ) -> Job:
        if not words:
            return Job(name, BULK, 30, by_hand, by_handle)
        packet = packed(words)
        return Job(name, BULK, 30, by_hand, by_handle, decoded(lambda c, _: c.ask(packet), result))

    def item(text: str) -> Item:
        return Item.model_validate_json(text)

    return [
        single("push a model", lambda c, n: c.rpush("queue", ITEMS[n].model_dump_json()), lambda h, n: h.queue.push(ITEMS[n])),
        single("pop a model", decoded(lambda c, n: c.lpop("queue"), item), lambda h, n: h.queue.pop_left()),
        single("push a text", lambda c, n: c.rpush("names", NAMES[n]), lambda h, n: h.names.push(NAMES[n])),
        single("wait and pop", decoded(lambda c, n: c.blpop("names", 1), lambda told: told[1]), lambda h, n: h.names.pop_left(timeout=1)),
        single("add to a set", lambda c, n: c.sadd("tags", NAMES[n]), lambda h, n: h.tags.add(NAMES[n])),
        single("in a set", lambda c, n: c.sismember("tags", NAMES[n]), lambda h, n: h.tags.contains(NAMES[n])),
        single("raise a score", lambda c, n: c.zincrby("board", 1, NAMES[n]), lambda h, n: h.board.increment(NAMES[n])),
        single("top ten", lambda c, n: c.zrange("board", 0, 9, desc=True, withscores=True), lambda h, n: h.board.top(10)),
        single("set an entry", lambda c, n: c.hset("settings", NAMES[n], n), lambda h, n: h.settings.set(NAMES[n], n)),
        single("get an entry", decoded(lambda c, n: c.hget("settings", NAMES[n]), int), lambda h, n: h.settings.get(NAMES[n])),
        single("count", lambda c, n: c.incrby("hits", 1), lambda h, n: h.hits.increment()),
        single("set a value", lambda c, n: c.set("token", "user_id=1", px=3_600_000, get=True), lambda h, n: h.token.set("user_id=1")),
        single("get a value", lambda c, n: c.get("token"), lambda h, n: h.token.get()),
        bulk("push 1,000 models", lambda c, n: c.rpush("queue", *(i.model_dump_json() for i in ITEMS)), lambda h, n: h.queue.push(*ITEMS)),
        bulk(
            "pop 1,000 models",
            decoded(lambda c, n: c.lpop("queue", 1000), lambda told: list(map(item, told))),
            lambda h, n: h.queue.pop_left(count=1000),
        ),
        bulk("push 1,000 texts", lambda c, n: c.rpush("names", *NAMES), lambda h, n: h.names.push(*NAMES)),
        bulk(
            "read 1,000 texts",
            lambda c, n: c.lrange("names", 0, 999),
            lambda h, n: h.names.items(0, 1000),
            ("LRANGE", "names", "0", "999"),
            lambda texts: texts,
        ),
        bulk("add 1,000 to a set", lambda c, n: c.sadd("tags", *NAMES), lambda h, n: h.tags.update(NAMES)),
        bulk(
            "read 1,000 of a set",
            lambda c, n: c.smembers("tags"),
            lambda h, n: h.tags.items(),
            ("SSCAN", "tags", "0", "COUNT", "1100"),  # in steps, as the handle: Valkey is faster at it than at SMEMBERS, Redis slower
            lambda told: set(told[1]),
        ),
        bulk(
            "look for 1,000",
            lambda c, n: c.smismember("tags", NAMES),
            lambda h, n: h.tags.contains_many(NAMES),
            ("SMISMEMBER", "tags", *NAMES),
            lambda told: list(map(bool, told)),
        ),
        bulk("set 1,000 scores", lambda c, n: c.zadd("board", SCORES), lambda h, n: h.board.update(SCORES)),
        bulk(
            "top 1,000",
            lambda c, n: c.zrange("board", 0, 999, desc=True, withscores=True),
            lambda h, n: h.board.top(1000),
        ),
        bulk(
            "get 1,000 scores",
            lambda c, n: c.zmscore("board", NAMES),
            lambda h, n: h.board.get_many(NAMES),
            ("ZMSCORE", "board", *NAMES),
            lambda told: list(map(float, told)),
        ),
        bulk("set 1,000 entries", lambda c, n: c.hset("settings", mapping=ENTRIES), lambda h, n: h.settings.update(ENTRIES)),
        bulk(
            "get 1,000 entries",
            decoded(lambda c, n: c.hmget("settings", NAMES), lambda told: list(map(int, told))),
            lambda h, n: h.settings.get_many(NAMES),
            ("HMGET", "settings", *NAMES),
            lambda told: list(map(int, told)),
        ),
        bulk(
            "read 1,000 entries",
            decoded(lambda c, n: c.hgetall("settings"), lambda told: {name: int(text) for name, text in told.items()}),
            lambda h, n: h.settings.copy(),
        ),
    ]


async def _each(call: Callable[[Any, int], Any], on: Any, times: int) -> None:
    for number in range(times):
        await call(on, number)


def measure(call: Callable[[Any, int], Any], on: Any, times: int, loop: asyncio.AbstractEventLoop | None) -> float:
    """Do a job; microseconds for one operation."""
    gc.collect()
    began = time.perf_counter()
    if loop is not None:
        loop.run_until_complete(_each(call, on, times))
    else:
        for number in range(times):
            call(on, number)
    return (time.perf_counter() - began) / times * 1e6


def compare(port: int, rounds: int, *, awaited: bool) -> dict[str, tuple[float, ...]]:
    """The medians of every job, by hand, by handle and bare, in microseconds; the last is 0 where a job is not done bare."""
    loop = asyncio.new_event_loop() if awaited else None
    clients: dict[bool, Any] = {False: redis.Redis, True: redis.asyncio.Redis}
    url = f"redis://127.0.0.1:{port}/"
    client, db = clients[awaited].from_url(url + "0", decode_responses=True), redisorm.Database(url + "2")
    bare = Bare(port) if loop is None else AsyncBare(port, loop)
    sides: list[tuple[Any, str]] = [(client, "by_hand"), (Handles(db, "Async" if awaited else ""), "by_handle"), (bare, "bare")]
    seen: dict[str, tuple[list[float], ...]] = {}
    for number in range(-1, rounds):  # the first round warms up and does not count
        for job in jobs(awaited):
            for place in (0, 1, 2) if number % 2 else (2, 1, 0):
                on, name = sides[place]
                call = getattr(job, name)
                took = 0.0 if call is None else measure(call, on, job.operations, loop)
                if number >= 0:
                    seen.setdefault(job.name, ([], [], []))[place].append(took)
    bare.close()
    _close(client, db, loop)
    return {name: tuple(map(statistics.median, took)) for name, took in seen.items()}


def _close(client: Any, db: redisorm.Database, loop: asyncio.AbstractEventLoop | None) -> None:
    closing = client.aclose() if loop is not None else client.close()
    if loop is not None and inspect.isawaitable(closing):
        loop.run_until_complete(closing)
        loop.run_until_complete(db.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    db.close()


def _cells(hand: float, ours: float, bare: float) -> str:
    floor = f"{bare / hand:8.2f}" if bare else " " * 8
    return f"{hand:14.1f}{ours:12.1f}{ours / hand:10.2f}{floor}"


def main() -> None:
    """Start a server, compare, print, stop it."""
    parser = argparse.ArgumentParser(description="Time live structures beside hand-written redis-py, as ratios.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round: whether it runs, not how fast")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    with Server(options.server) as server:
        where = pin(server)
        results = {colour: compare(server.port, rounds, awaited=colour == "async") for colour in ("sync", "async")}
    print(f"{options.server}, medians of {rounds} rounds, {where}")
    print(f"{'':20}" + "".join(f"{colour:>44}" for colour in results))
    print(f"{'µs per operation':20}" + f"{'by hand':>14}{'handle':>12}{'ratio':>10}{'floor':>8}" * len(results))
    for job in jobs(awaited=False):
        print(f"{job.name:20}" + "".join(_cells(*medians[job.name]) for medians in results.values()) + f"   aim {job.aim}")


if __name__ == "__main__":
    main()

"""Rate limits, caches and locks beside hand-written redis-py, and beside cashews and limits where these are installed.

python bench/patterns.py [--server valkey|redis7|redis8] [--rounds N] [--quick]

The sides take turns within each round, and each cell is a median. Each side has a database of its own on the same server.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import redis
import redis.asyncio
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.sides import pin
from redisorm import AsyncCache, AsyncLock, AsyncRateLimiter, Cache, Database, Limit, Lock, RateLimiter
from tests.servers import KINDS, Server

Work: TypeAlias = Callable[[], Any]
"""One operation, blocking or awaited."""

# What a careful engineer writes instead of the tutorial's INCR and EXPIRE: one fixed window in one step, and what is left of it.
WINDOW = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""
MANY = 10**9
TEXT = '{"id":1,"name":"Ann","email":"ann@example.org","age":30}'


class Profile(BaseModel):
    id: int
    name: str
    email: str
    age: int


PROFILE = Profile.model_validate_json(TEXT)


def blocking(url: Callable[[], str]) -> dict[str, dict[str, Work]]:
    """The operations of blocking code, by job and side."""
    client, db = redis.Redis.from_url(url()), Database(url())
    window = client.register_script(WINDOW)
    client.set("profile:1", TEXT)
    gcra = RateLimiter(db, "gcra", Limit(MANY, per=60))
    sliding = RateLimiter(db, "sliding", Limit(5000, per=0.2), algorithm="sliding")

    @Cache(db, ttl=3600).memoize("profile:{pk}")
    def profile(pk: int) -> Profile:
        return PROFILE

    def hold(lock: Any) -> None:
        with lock:
            pass

    jobs: dict[str, dict[str, Work]] = {
        "hit of a limit": {
            "by hand": lambda: window(["limit:1"], [60_000]),
            "redisorm": lambda: gcra.hit(1),
            "redisorm sliding": lambda: sliding.hit(1),
        },
        "hit of a cache": {
            "by hand": lambda: Profile.model_validate_json(client.get("profile:1")),  # type: ignore[arg-type]
            "redisorm": lambda: profile(1),
        },
        "lock and unlock": {
            "by hand": lambda: hold(client.lock("lock", timeout=10)),
            "redisorm": lambda: hold(Lock(db, "lock", ttl=10)),
        },
    }
    if find_spec("limits"):
        limits: Any = import_module("limits")
        strategies = limits.strategies.FixedWindowRateLimiter, limits.strategies.MovingWindowRateLimiter
        fixed, moving = (strategy(limits.storage.RedisStorage(url())) for strategy in strategies)
        jobs["hit of a limit"]["limits fixed"] = lambda: fixed.hit(limits.RateLimitItemPerMinute(MANY), "1")
        jobs["hit of a limit"]["limits moving"] = lambda: moving.hit(limits.RateLimitItemPerSecond(5000), "1")
    return jobs


async def awaiting(url: Callable[[], str]) -> dict[str, dict[str, Work]]:
    """The operations of async code, by job and side."""
    client, db = redis.asyncio.Redis.from_url(url()), Database(url())
    window = client.register_script(WINDOW)
    await client.set("profile:1", TEXT)
    gcra = AsyncRateLimiter(db, "gcra", Limit(MANY, per=60))

    @AsyncCache(db, ttl=3600).memoize("profile:{pk}")
    async def profile(pk: int) -> Profile:
        return PROFILE

    async def by_hand() -> Profile:
        return Profile.model_validate_json(await client.get("profile:1"))  # type: ignore[arg-type]

    async def hold(lock: Any) -> None:
        async with lock:
            pass

    jobs: dict[str, dict[str, Work]] = {
        "hit of a limit": {"by hand": lambda: window(["limit:1"], [60_000]), "redisorm": lambda: gcra.hit(1)},
        "hit of a cache": {"by hand": by_hand, "redisorm": lambda: profile(1)},
        "lock and unlock": {
            "by hand": lambda: hold(client.lock("lock", timeout=10)),
            "redisorm": lambda: hold(AsyncLock(db, "lock", ttl=10)),
        },
    }
    if find_spec("cashews"):
        cashews: Any = import_module("cashews")
        cache = cashews.Cache()
        cache.setup(url())

        @cache(ttl="1h", key="profile:{pk}")  # type: ignore[untyped-decorator]
        async def cached(pk: int) -> Profile:
            return PROFILE

        jobs["hit of a cache"]["cashews"] = lambda: cached(1)
    if find_spec("limits"):
        limits: Any = import_module("limits")
        aio: Any = import_module("limits.aio")
        fixed = aio.strategies.FixedWindowRateLimiter(aio.storage.RedisStorage("async+" + url(), implementation="redispy"))
        jobs["hit of a limit"]["limits fixed"] = lambda: fixed.hit(limits.RateLimitItemPerMinute(MANY), "1")
    return jobs


def measure(work: Work, times: int, loop: asyncio.AbstractEventLoop) -> float:
    """Do an operation many times, one after the other; microseconds each."""

    async def awaited() -> float:
        begin = time.perf_counter()
        for _ in range(times):
            await work()
        return time.perf_counter() - begin

    first = work()
    if inspect.isawaitable(first):

        async def once() -> None:
            await first

        loop.run_until_complete(once())
        return loop.run_until_complete(awaited()) / times * 1e6
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times * 1e6


def compare(jobs: dict[str, dict[str, Work]], times: int, rounds: int, loop: asyncio.AbstractEventLoop) -> dict[str, dict[str, float]]:
    """Let all sides do every job in every round; the medians. The first round warms up and does not count."""
    seen: dict[str, dict[str, list[float]]] = {job: {side: [] for side in sides} for job, sides in jobs.items()}
    for number in range(-1, rounds):
        for job, sides in jobs.items():
            for side, work in sides.items() if number % 2 else reversed(sides.items()):
                took = measure(work, times, loop)
                if number >= 0:
                    seen[job][side].append(took)
    return {job: {side: statistics.median(took) for side, took in sides.items()} for job, sides in seen.items()}


def main() -> None:
    """Start a server, compare, print, stop it."""
    parser = argparse.ArgumentParser(description="Time rate limits, caches and locks beside hand-written redis-py and other libraries.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few operations and two rounds: whether it runs, not how fast")
    options = parser.parse_args()
    times, rounds = (50, 2) if options.quick else (1000, options.rounds)
    loop = asyncio.new_event_loop()
    with Server(options.server) as server:
        print(f"{options.server}, medians of {rounds} rounds of {times} operations, {pin(server)}")

        def url() -> str:
            url.number += 1  # type: ignore[attr-defined]
            return f"redis://127.0.0.1:{server.port}/{url.number}"  # type: ignore[attr-defined]

        url.number = 0  # type: ignore[attr-defined]
        for colour, jobs in (("sync", blocking(url)), ("async", loop.run_until_complete(awaiting(url)))):
            for job, sides in compare(jobs, times, rounds, loop).items():
                print(f"\n{colour}: {job}")
                for side, took in sides.items():
                    print(f"  {side:18}{took:10.1f} µs{took / sides['by hand']:8.2f}")
    loop.close()


if __name__ == "__main__":
    main()

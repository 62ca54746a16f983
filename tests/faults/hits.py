"""Clients of a rate limiter that run in processes of their own."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from redisorm import Database, Limit, RateLimiter

__all__ = ["by_own_clock", "for_ever", "hammer", "tutorial"]


def hammer(url: str, threads: int, hits: int, limits: list[list[Any]], algorithm: Any) -> int:
    """Hit from many threads at once; return how many hits were allowed."""
    with Database(url) as db, ThreadPoolExecutor(threads) as pool:
        limiter = RateLimiter(db, "hammer", *(Limit(*limit) for limit in limits), algorithm=algorithm)

        def client(_: int) -> int:
            return sum(limiter.hit("all").allowed for _ in range(hits))

        return sum(pool.map(client, range(threads)))


def for_ever(url: str, algorithm: Any) -> None:
    """Hit ever new subjects until killed."""
    with Database(url) as db:
        limiter = RateLimiter(db, "killed", Limit(3, per=60), Limit(100, per=3600), algorithm=algorithm)
        for number in itertools.count():
            limiter.hit(f"{time.monotonic_ns()}-{number % 7}")
            if number == 20:
                print("ready", flush=True)


def tutorial(url: str) -> None:
    """Do the same as a tutorial does it: INCR, and EXPIRE where it was the first."""
    client: Any = redis.Redis.from_url(url)
    for number in itertools.count():
        key = f"tutorial:{time.monotonic_ns()}-{number}"
        if client.execute_command("INCR", key) == 1:
            client.expire(key, 60)
        if number == 20:
            print("ready", flush=True)


def by_own_clock(url: str, hits: int) -> int:
    """Count hits in a window of the client's own clock, as some libraries do; return how many of 10 in 20 s were allowed."""
    client, allowed = redis.Redis.from_url(url), 0
    for number in range(hits):
        now = time.time()
        client.zremrangebyscore("own", "-inf", now - 20)
        if client.zcard("own") < 10:
            client.zadd("own", {f"{now}-{number}": now})
            allowed += 1
    return allowed

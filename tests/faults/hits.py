"""Clients of a rate limiter that run in processes of their own."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from redisorm import Database, Limit, RateLimiter
from tests.faults.processes import tell

__all__ = ["by_own_clock", "for_ever", "hammer", "tutorial"]


def hammer(url: str, threads: int, limits: list[list[Any]], algorithm: Any, hits: int = 0, seconds: float = 0) -> tuple[int, float, float]:
    """Hit from many threads at once, each so often or for so long; return how many were allowed, and from when to when."""
    with Database(url) as db, ThreadPoolExecutor(threads) as pool:
        limiter = RateLimiter(db, "hammer", *(Limit(*limit) for limit in limits), algorithm=algorithm)
        began = time.monotonic()

        def client(_: int) -> int:
            allowed = 0
            for number in itertools.count():
                if number >= hits and time.monotonic() >= began + seconds:
                    break
                allowed += limiter.hit("all").allowed
            return allowed

        return sum(pool.map(client, range(threads))), began, time.monotonic()


def for_ever(url: str, algorithm: Any) -> None:
    """Hit ever new subjects until killed."""
    with Database(url) as db:
        limiter = RateLimiter(db, "killed", Limit(3, per=60), Limit(100, per=3600), algorithm=algorithm)
        for number in itertools.count():
            limiter.hit(f"{time.monotonic_ns()}-{number % 7}")
            if number == 20:
                tell("ready")


def tutorial(url: str) -> None:
    """Do the same as a tutorial does it: INCR, and EXPIRE where it was the first."""
    client: Any = redis.Redis.from_url(url)
    for number in itertools.count():
        key = f"tutorial:{time.monotonic_ns()}-{number}"
        if client.execute_command("INCR", key) == 1:
            client.expire(key, 60)
        if number == 20:
            tell("ready")


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

"""Rate limits, caches and locks beside hand-written redis-py, limits and cashews: tables of microseconds and ratios.

python bench/patterns.py [--server valkey|redis7|redis8] [--rounds N] [--clock wall|cpu] [--alone] [--markdown] [--quick]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bouts import Jobs, each, each_awaited
from bench.contest import Contest, Peer, command
from redisorm import AsyncCache, AsyncLock, AsyncRateLimiter, Cache, Database, Limit, Lock, RateLimiter

__all__ = ["PATTERNS"]

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


def blocking(url: Callable[[], str]) -> Jobs:
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

    return {
        "hit of a limit": {
            "by hand": each(lambda _: window(["limit:1"], [60_000])),
            "redisorm": each(lambda _: gcra.hit(1)),
            "redisorm sliding": each(lambda _: sliding.hit(1)),
        },
        "hit of a cache": {
            "by hand": each(lambda _: Profile.model_validate_json(client.get("profile:1"))),  # type: ignore[arg-type]
            "redisorm": each(lambda _: profile(1)),
        },
        "lock and unlock": {
            "by hand": each(lambda _: hold(client.lock("lock", timeout=10))),
            "redisorm": each(lambda _: hold(Lock(db, "lock", ttl=10))),
        },
    }


async def awaiting(url: Callable[[], str]) -> Jobs:
    client, db = redis.asyncio.Redis.from_url(url()), Database(url())
    window = client.register_script(WINDOW)
    await client.set("profile:1", TEXT)
    gcra = AsyncRateLimiter(db, "gcra", Limit(MANY, per=60))
    sliding = AsyncRateLimiter(db, "sliding", Limit(5000, per=0.2), algorithm="sliding")

    @AsyncCache(db, ttl=3600).memoize("profile:{pk}")
    async def profile(pk: int) -> Profile:
        return PROFILE

    async def by_hand(_: int) -> Profile:
        return Profile.model_validate_json(await client.get("profile:1"))  # type: ignore[arg-type]

    async def hold(lock: Any) -> None:
        async with lock:
            pass

    return {
        "hit of a limit": {
            "by hand": each_awaited(lambda _: window(["limit:1"], [60_000])),
            "redisorm": each_awaited(lambda _: gcra.hit(1)),
            "redisorm sliding": each_awaited(lambda _: sliding.hit(1)),
        },
        "hit of a cache": {"by hand": each_awaited(by_hand), "redisorm": each_awaited(lambda _: profile(1))},
        "lock and unlock": {
            "by hand": each_awaited(lambda _: hold(client.lock("lock", timeout=10))),
            "redisorm": each_awaited(lambda _: hold(AsyncLock(db, "lock", ttl=10))),
        },
    }


PATTERNS = Contest(blocking, awaiting, (Peer("limits", ("limits[redis]==5.8.0",)), Peer("cashews", ("cashews[redis]==7.6.0", "pydantic"))))

if __name__ == "__main__":
    command(PATTERNS, "Time rate limits, caches and locks beside hand-written redis-py and other libraries.")

"""What a type checker must see of caches, rate limits and locks."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from typing_extensions import assert_type

import redisorm
from redisorm import AsyncCache, AsyncLock, AsyncRateLimiter, Cache, Decision, Limit, Lock, RateLimiter, Session

db = redisorm.connect("memory://", namespace="shop")

cache = Cache(db, prefix="cache", ttl=timedelta(hours=1), on_error="call")


@cache.memoize("user:{user_id}", ttl=60, none_ttl=5, stale=30, tags=("all",))
def load(user_id: int, *, fast: bool = False) -> str | None:
    return None


assert_type(load(1), str | None)
assert_type(load.refresh(user_id=1, fast=True), str | None)
assert_type(load.key_of(1), str)
load.invalidate(1)
load("1")  # error: a text is no int
load.invalidate()  # error: an argument is missing
load(1, slow=True)  # error: no such parameter
Cache(db, on_error="ignore")  # error: not a choice


class Shop:
    @cache.memoize("price:{sku}")
    def price(self, sku: str) -> int:
        return 1


assert_type(Shop().price("a"), int)
Shop().price.invalidate("a")
Shop().price(1)  # error: an int is no text

with Session(db) as session:
    session.invalidate(load, 1)
    session.invalidate(Shop().price, "a")
    session.invalidate(load, "1")  # error: a text is no int

limiter = RateLimiter(db, "login", Limit(5, per=60), Limit(100, per=timedelta(days=1)), algorithm="sliding")
assert_type(limiter.hit(1, cost=2), Decision)
assert_type(limiter.peek("ann").retry_after, float)


@limiter.guard("{user_id}")
def login(user_id: int, password: str) -> bool:
    return True


assert_type(login(1, "x"), bool)
login("1", "x")  # error: a text is no int
RateLimiter(db, "login", algorithm="leaky")  # error: not a choice

with Lock(db, "stocktake", ttl=10, wait=5) as lock:
    assert_type(lock.fence, int)
    lock.check()
Lock(db, "stocktake")  # error: a lock has a time to live


async def main() -> None:
    awaited = AsyncCache(db, ttl=60)

    @awaited.memoize("user:{user_id}")
    async def aload(user_id: int) -> str | None:
        return None

    assert_type(await aload(1), str | None)
    assert_type(await aload.refresh(1), str | None)
    await aload.invalidate(1)
    assert_type(await awaited.invalidate_tag("all"), int)
    await aload("1")  # error: a text is no int

    @AsyncRateLimiter(db, "login", Limit(5, per=60)).guard("{user_id}")
    async def alogin(user_id: int) -> bool:
        return True

    alogged: Coroutine[Any, Any, bool] = alogin(1)
    assert_type(await alogged, bool)
    async with AsyncLock(db, "stocktake", ttl=10) as held:
        assert_type(held.fence, int)
        await held.check()

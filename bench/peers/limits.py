"""limits: a fixed and a moving window, blocking and awaited. Its answer is yes or no; what is left is another call."""

from __future__ import annotations

import asyncio

import limits
import limits.aio

from bench.bouts import Jobs, each, each_awaited

__all__ = ["jobs"]

MANY = limits.RateLimitItemPerMinute(10**9)
FEW = limits.RateLimitItemPerSecond(5000)


def jobs(url: str, loop: asyncio.AbstractEventLoop) -> Jobs:
    del loop  # every peer is asked alike
    storage = limits.storage.RedisStorage(url)
    fixed, moving = limits.strategies.FixedWindowRateLimiter(storage), limits.strategies.MovingWindowRateLimiter(storage)
    awaited = limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
    afixed = limits.aio.strategies.FixedWindowRateLimiter(awaited)
    amoving = limits.aio.strategies.MovingWindowRateLimiter(awaited)
    return {
        "sync: hit of a limit": {
            "limits fixed": each(lambda _: fixed.hit(MANY, "1")),
            "limits moving": each(lambda _: moving.hit(FEW, "1")),
        },
        "async: hit of a limit": {
            "limits fixed": each_awaited(lambda _: afixed.hit(MANY, "1")),
            "limits moving": each_awaited(lambda _: amoving.hit(FEW, "1")),
        },
    }

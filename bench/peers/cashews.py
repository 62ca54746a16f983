"""cashews: a decorator that caches by a template of the arguments, awaited only; values are pickled."""

from __future__ import annotations

import asyncio

import cashews
from pydantic import BaseModel

from bench.bouts import Jobs, each_awaited

__all__ = ["jobs"]


class Profile(BaseModel):
    id: int
    name: str
    email: str
    age: int


PROFILE = Profile(id=1, name="Ann", email="ann@example.org", age=30)


def jobs(url: str, loop: asyncio.AbstractEventLoop) -> Jobs:
    del loop  # every peer is asked alike
    cache = cashews.Cache()
    cache.setup(url)

    @cache(ttl="1h", key="profile:{pk}")
    async def profile(pk: int) -> Profile:
        return PROFILE

    return {"async: hit of a cache": {"cashews": each_awaited(lambda _: profile(1))}}

"""rapyer: a RedisJSON document for each object, and the query engine for queries; awaited only."""

from datetime import datetime
from typing import Any

import rapyer
import redis.asyncio
from rapyer import AtomicRedisModel
from rapyer.fields import Index, Key

from bench.workload import Size, user

__all__ = ["Side"]


class Member(AtomicRedisModel):
    id: Key(str) = ""
    name: str
    email: str
    age: Index(int)
    city: Index(str)
    score: float
    active: bool
    joined: datetime


class Side:
    def __init__(self, url: str, size: Size) -> None:
        self.client = redis.asyncio.Redis.from_url(url, decode_responses=True)
        self.size = size

    async def open(self) -> None:
        await self.client.flushall()
        await rapyer.init_rapyer(self.client)

    async def _made(self, count: int) -> list[Any]:
        keys = [key async for key in self.client.scan_iter(match="Member:*", count=1000)]
        if keys:
            await self.client.delete(*keys)  # FLUSHALL would take the index too
        return [Member(**{**user(number), "id": str(number)}) for number in range(count)]

    async def prepare_bulk_save(self) -> list[Any]:
        return await self._made(self.size.rows)

    async def bulk_save(self, members: list[Any]) -> None:
        await Member.ainsert(*members)

    async def bulk_get(self) -> list[Any]:
        found: list[Any] = await Member.afind(*[f"Member:{number}" for number in range(self.size.rows)])
        return found

    async def query_equal(self) -> list[Any]:
        found: list[Any] = await Member.afind(Member.city == "Oslo", max_results=self.size.rows)
        return found

    async def query_range(self) -> list[Any]:
        found: list[Any] = await Member.afind((Member.age >= 30) & (Member.age <= 34), max_results=self.size.rows)
        return found

    async def prepare_single_save(self) -> list[Any]:
        return await self._made(self.size.singles)

    async def single_save(self, members: list[Any]) -> None:
        for one in members:
            await one.asave()

    async def single_get(self) -> list[Any]:
        return [await Member.aget(str(number)) for number in range(self.size.singles)]

    prepare_partial_update = single_get

    async def partial_update(self, members: list[Any]) -> None:
        for one in members:
            await one.aupdate(name=f"{one.name} changed")

    async def close(self) -> None:
        await self.client.aclose()

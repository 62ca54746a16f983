"""The hand-written side of awaited code: `by_hand` with `await`."""

from __future__ import annotations

from typing import Any

import redis.asyncio

from bench.hand_rows import (
    Objects,
    Post,
    Put,
    Ticket,
    User,
    ask_post,
    decode,
    decode_posts,
    drop_member,
    encode,
    move_member,
    put_account,
    put_member,
    put_post,
    put_tenant,
    put_ticket,
    put_visit,
)
from bench.workload import Size, user

__all__ = ["AsyncByHand"]


class AsyncByHand(Objects):
    def __init__(self, url: str, size: Size) -> None:
        self.client = redis.asyncio.Redis.from_url(url, decode_responses=True)
        self.size = size

    async def bulk_save(self, users: list[User]) -> None:
        for start in range(0, len(users), self.size.batch):
            pipe = self.client.pipeline()
            for one in users[start : start + self.size.batch]:
                pipe.hset(f"user:{one.id}", mapping=encode(one))
            await pipe.execute()

    async def bulk_get(self) -> list[User]:
        found: list[User] = []
        for start in range(0, self.size.rows, self.size.batch):
            pipe = self.client.pipeline(transaction=False)
            for number in range(start, start + self.size.batch):
                pipe.hgetall(f"user:{number}")
            found += map(decode, await pipe.execute())
        return found

    async def single_get(self) -> list[User]:
        client: Any = self.client
        return [decode(await client.hgetall(f"user:{number}")) for number in range(self.size.singles)]

    async def partial_update(self, users: list[User]) -> str:
        client: Any = self.client
        for one in users:
            one.name = "changed by hand"
            await client.hset(f"user:{one.id}", "name", one.name)
        return "changed by hand"

    async def single_save(self, users: list[User]) -> None:
        client: Any = self.client
        for one in users:
            await client.hset(f"user:{one.id}", mapping=encode(one))

    async def companions_save(self, posts: list[Post]) -> None:
        pipe = self.client.pipeline()
        for one in posts:
            put_post(pipe, one)
        await pipe.execute()

    async def companions_get(self) -> list[Post]:
        pipe = self.client.pipeline(transaction=False)
        for number in range(self.size.posts):
            ask_post(pipe, number)
        return decode_posts(await pipe.execute())

    async def indexed_bulk_save(self, users: list[User]) -> None:
        await self._put(put_member, users)

    async def ttl_bulk_save(self, users: list[User]) -> None:
        await self._put(put_visit, users)

    async def ttl_indexed_bulk_save(self, users: list[User]) -> None:
        await self._put(put_tenant, users)

    async def unique_bulk_save(self, users: list[User]) -> None:
        await self._put(put_account, users)

    async def generated_bulk_save(self, tickets: list[Ticket]) -> None:
        await self._put(put_ticket, tickets)

    async def _put(self, put: Put, objects: list[Any]) -> None:
        for some in self.batches(objects):
            pipe = self.client.pipeline()
            for one in some:
                put(pipe, one)
            await pipe.execute()

    async def indexed_single_save(self, users: list[User]) -> None:
        for one in users:
            pipe = self.client.pipeline()
            put_member(pipe, one)
            await pipe.execute()

    async def indexed_update(self, users: list[User]) -> int:
        for one in users:
            one.age += 1
            pipe = self.client.pipeline()
            move_member(pipe, one)
            await pipe.execute()
        return users[1].age

    async def bulk_update(self, users: list[User]) -> str:
        name = self.change()
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                one.name = name
                pipe.hset(f"user:{one.id}", "name", one.name)
            await pipe.execute()
        return name

    async def load_and_update(self) -> str:
        return await self.bulk_update(await self.bulk_get())

    async def companions_update(self, posts: list[Post]) -> str:
        tag = self.change()
        pipe = self.client.pipeline()
        for one in posts:
            one.tags.add(tag)
            pipe.sadd(f"post:{one.id}:tags", tag)
        await pipe.execute()
        return tag

    async def indexed_bulk_update(self, users: list[User]) -> int:
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                one.age += 1
                move_member(pipe, one)
            await pipe.execute()
        return users[1].age

    async def bulk_delete(self, users: list[User]) -> None:
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                pipe.delete(f"user:{one.id}")
            await pipe.execute()

    async def indexed_bulk_delete(self, users: list[User]) -> None:
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                drop_member(pipe, one)
            await pipe.execute()

    async def _load(self, ids: Any) -> list[User]:
        pipe = self.client.pipeline(transaction=False)
        for number in ids:
            pipe.hgetall(f"member:{number}")
        return list(map(decode, await pipe.execute()))

    async def query_equal(self) -> list[User]:
        client: Any = self.client
        return await self._load(await client.smembers("member:by:city:Oslo"))

    async def query_range(self) -> list[User]:
        client: Any = self.client
        return await self._load(await client.zrange("member:by:age", 30, 34, byscore=True))

    async def count(self) -> list[int]:
        client: Any = self.client
        return [await client.scard("member:by:city:Oslo") for _ in range(self.size.singles)]

    async def fill(self) -> None:
        """Store the rows of the iteration."""
        for start in range(0, self.size.walked, self.size.batch):
            await self.indexed_bulk_save([User(**user(number)) for number in range(start, start + self.size.batch)])

    async def iteration(self) -> tuple[int, int]:
        client: Any = self.client
        rows, ages, start = 0, 0, 0
        while ids := await client.zrange("member:by:age", start, start + 999):
            for one in await self._load(ids):
                rows, ages = rows + 1, ages + one.age
            start += 1000
        return rows, ages

    async def close(self) -> None:
        await self.client.aclose()

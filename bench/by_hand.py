"""The hand-written side: what a careful engineer writes with redis-py pipelines and Pydantic objects, in both colours.

It promises less than a mapper: no row is looked at before it is written, and nothing is remembered to find changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

import redis
import redis.asyncio

from bench.rows import PostFields, UserFields
from bench.workload import Size, post, user

__all__ = ["AsyncByHand", "ByHand"]


One = TypeVar("One")


class User(UserFields):
    pass


class Post(PostFields):
    pass


def encode(one: User) -> dict[Any, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "email": one.email,
        "age": one.age,
        "city": one.city,
        "score": one.score,
        "active": int(one.active),
        "joined": one.joined.isoformat(),
    }


def decode(fields: dict[str, str]) -> User:
    return User(
        id=int(fields["id"]),
        name=fields["name"],
        email=fields["email"],
        age=int(fields["age"]),
        city=fields["city"],
        score=float(fields["score"]),
        active=fields["active"] == "1",
        joined=datetime.fromisoformat(fields["joined"]),
    )


def put_member(pipe: Any, one: User) -> None:
    """A row and its two indexes, as one keeps them by hand: a set for each city, one sorted set of ages."""
    pipe.hset(f"member:{one.id}", mapping=encode(one))
    pipe.sadd(f"member:by:city:{one.city}", one.id)
    pipe.zadd("member:by:age", {str(one.id): one.age})


def move_member(pipe: Any, one: User) -> None:
    pipe.hset(f"member:{one.id}", "age", one.age)
    pipe.zadd("member:by:age", {str(one.id): one.age})


def drop_member(pipe: Any, one: User) -> None:
    pipe.delete(f"member:{one.id}")
    pipe.srem(f"member:by:city:{one.city}", one.id)
    pipe.zrem("member:by:age", one.id)


def put_post(pipe: Any, one: Post) -> None:
    pipe.hset(f"post:{one.id}", mapping={"id": one.id, "title": one.title})
    pipe.sadd(f"post:{one.id}:tags", *one.tags)
    pipe.rpush(f"post:{one.id}:items", *one.items)


def ask_post(pipe: Any, number: int) -> None:
    pipe.hgetall(f"post:{number}")
    pipe.smembers(f"post:{number}:tags")
    pipe.lrange(f"post:{number}:items", 0, -1)


def decode_posts(replies: list[Any]) -> list[Post]:
    return [
        Post(id=int(fields["id"]), title=fields["title"], tags=tags, items=items)
        for fields, tags, items in zip(replies[::3], replies[1::3], replies[2::3], strict=True)
    ]


class _Objects:
    """The objects of the jobs that write, made before the clock starts."""

    size: Size
    changes = 0

    def change(self) -> str:
        """Another text each time."""
        self.changes += 1
        return f"changed {self.changes}"

    def batches(self, objects: list[One]) -> Iterator[list[One]]:
        return (objects[start : start + self.size.batch] for start in range(0, len(objects), self.size.batch))

    def prepare_bulk_save(self) -> list[User]:
        return [User(**user(number)) for number in range(self.size.rows)]

    def prepare_single_save(self) -> list[User]:
        return [User(**user(number)) for number in range(self.size.singles)]

    prepare_partial_update = prepare_single_save

    def prepare_companions_save(self) -> list[Post]:
        return [Post(**post(number)) for number in range(self.size.posts)]

    prepare_indexed_bulk_save = prepare_bulk_save
    prepare_indexed_single_save = prepare_single_save
    prepare_indexed_update = prepare_single_save
    prepare_bulk_update = prepare_bulk_delete = prepare_indexed_bulk_update = prepare_indexed_bulk_delete = prepare_bulk_save
    prepare_companions_update = prepare_companions_save


class ByHand(_Objects):
    def __init__(self, url: str, size: Size) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.size = size

    def bulk_save(self, users: list[User]) -> None:
        for start in range(0, len(users), self.size.batch):
            pipe = self.client.pipeline()
            for one in users[start : start + self.size.batch]:
                pipe.hset(f"user:{one.id}", mapping=encode(one))
            pipe.execute()

    def bulk_get(self) -> list[User]:
        found: list[User] = []
        for start in range(0, self.size.rows, self.size.batch):
            pipe = self.client.pipeline(transaction=False)
            for number in range(start, start + self.size.batch):
                pipe.hgetall(f"user:{number}")
            found += map(decode, pipe.execute())
        return found

    def single_get(self) -> list[User]:
        client: Any = self.client
        return [decode(client.hgetall(f"user:{number}")) for number in range(self.size.singles)]

    def partial_update(self, users: list[User]) -> str:
        for one in users:
            one.name = "changed by hand"
            self.client.hset(f"user:{one.id}", "name", one.name)
        return "changed by hand"

    def single_save(self, users: list[User]) -> None:
        for one in users:
            self.client.hset(f"user:{one.id}", mapping=encode(one))

    def companions_save(self, posts: list[Post]) -> None:
        pipe = self.client.pipeline()
        for one in posts:
            put_post(pipe, one)
        pipe.execute()

    def companions_get(self) -> list[Post]:
        pipe = self.client.pipeline(transaction=False)
        for number in range(self.size.posts):
            ask_post(pipe, number)
        return decode_posts(pipe.execute())

    def indexed_bulk_save(self, users: list[User]) -> None:
        for start in range(0, len(users), self.size.batch):
            pipe = self.client.pipeline()
            for one in users[start : start + self.size.batch]:
                put_member(pipe, one)
            pipe.execute()

    def indexed_single_save(self, users: list[User]) -> None:
        for one in users:
            pipe = self.client.pipeline()
            put_member(pipe, one)
            pipe.execute()

    def indexed_update(self, users: list[User]) -> int:
        for one in users:
            one.age += 1
            pipe = self.client.pipeline()
            move_member(pipe, one)
            pipe.execute()
        return users[1].age

    def bulk_update(self, users: list[User]) -> str:
        name = self.change()
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                one.name = name
                pipe.hset(f"user:{one.id}", "name", one.name)
            pipe.execute()
        return name

    def load_and_update(self) -> str:
        return self.bulk_update(self.bulk_get())

    def companions_update(self, posts: list[Post]) -> str:
        tag = self.change()
        pipe = self.client.pipeline()
        for one in posts:
            one.tags.add(tag)
            pipe.sadd(f"post:{one.id}:tags", tag)
        pipe.execute()
        return tag

    def indexed_bulk_update(self, users: list[User]) -> int:
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                one.age += 1
                move_member(pipe, one)
            pipe.execute()
        return users[1].age

    def bulk_delete(self, users: list[User]) -> None:
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                pipe.delete(f"user:{one.id}")
            pipe.execute()

    def indexed_bulk_delete(self, users: list[User]) -> None:
        for some in self.batches(users):
            pipe = self.client.pipeline()
            for one in some:
                drop_member(pipe, one)
            pipe.execute()

    def _load(self, ids: Any) -> list[User]:
        pipe = self.client.pipeline(transaction=False)
        for number in ids:
            pipe.hgetall(f"member:{number}")
        return list(map(decode, pipe.execute()))

    def query_equal(self) -> list[User]:
        return self._load(self.client.smembers("member:by:city:Oslo"))

    def query_range(self) -> list[User]:
        return self._load(self.client.zrange("member:by:age", 30, 34, byscore=True))

    def count(self) -> list[int]:
        client: Any = self.client
        return [client.scard("member:by:city:Oslo") for _ in range(self.size.singles)]

    def fill(self) -> None:
        """Store the rows of the iteration."""
        for start in range(0, self.size.walked, self.size.batch):
            self.indexed_bulk_save([User(**user(number)) for number in range(start, start + self.size.batch)])

    def iteration(self) -> tuple[int, int]:
        rows, ages, start = 0, 0, 0
        while ids := self.client.zrange("member:by:age", start, start + 999):
            for one in self._load(ids):
                rows, ages = rows + 1, ages + one.age
            start += 1000
        return rows, ages

    def close(self) -> None:
        self.client.close()


class AsyncByHand(_Objects):
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
        for start in range(0, len(users), self.size.batch):
            pipe = self.client.pipeline()
            for one in users[start : start + self.size.batch]:
                put_member(pipe, one)
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

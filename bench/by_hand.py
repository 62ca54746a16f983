"""The hand-written side: what a careful engineer writes with redis-py pipelines and Pydantic objects, in blocking code.

It promises less than a mapper: no row is looked at before it is written, and nothing is remembered to find changes.
"""

from __future__ import annotations

from typing import Any

import redis

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

__all__ = ["ByHand"]


class ByHand(Objects):
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
        self._put(put_member, users)

    def ttl_bulk_save(self, users: list[User]) -> None:
        self._put(put_visit, users)

    def ttl_indexed_bulk_save(self, users: list[User]) -> None:
        self._put(put_tenant, users)

    def unique_bulk_save(self, users: list[User]) -> None:
        self._put(put_account, users)

    def generated_bulk_save(self, tickets: list[Ticket]) -> None:
        self._put(put_ticket, tickets)

    def _put(self, put: Put, objects: list[Any]) -> None:
        for some in self.batches(objects):
            pipe = self.client.pipeline()
            for one in some:
                put(pipe, one)
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

"""What both colours of the hand-written side share: their objects, how these are spelled, and the commands of one row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from bench.rows import PostFields, TicketFields, UserFields
from bench.workload import LIFE_S, Size, person, post, user

__all__ = [
    "Objects",
    "Post",
    "Put",
    "Ticket",
    "User",
    "ask_post",
    "decode",
    "decode_posts",
    "drop_member",
    "encode",
    "move_member",
    "put_account",
    "put_member",
    "put_post",
    "put_tenant",
    "put_ticket",
    "put_visit",
]

One = TypeVar("One")


class User(UserFields):
    pass


class Ticket(TicketFields):
    pass


class Post(PostFields):
    pass


Put: TypeAlias = Callable[[Any, Any], None]
"""Gives a pipeline the commands that store a row."""


def encode(one: User | Ticket) -> dict[Any, Any]:
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


def put_visit(pipe: Any, one: User) -> None:
    """A row that expires."""
    key = f"visit:{one.id}"
    pipe.hset(key, mapping=encode(one))
    pipe.expire(key, LIFE_S)


def put_tenant(pipe: Any, one: User) -> None:
    """A row that expires, and the indexes that redisorm keeps of it: who is in a city until when, and one sorted set of ages."""
    key = f"tenant:{one.id}"
    pipe.hset(key, mapping=encode(one))
    pipe.expire(key, LIFE_S)
    pipe.zadd(f"tenant::city:{one.city}", {str(one.id): int(time.time() + LIFE_S) * 1000})
    pipe.zadd("tenant::age", {str(one.id): one.age})


def put_account(pipe: Any, one: User) -> None:
    """A row, and whose its address is unless it is somebody else's."""
    pipe.hset(f"account:{one.id}", mapping=encode(one))
    pipe.set(f"account::unique:email:{one.email}", one.id, nx=True)


def put_ticket(pipe: Any, one: Ticket) -> None:
    fields = encode(one)
    fields["id"] = text = str(one.id)
    pipe.hset(f"ticket:{text}", mapping=fields)


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


class Objects:
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
    prepare_ttl_bulk_save = prepare_ttl_indexed_bulk_save = prepare_unique_bulk_save = prepare_bulk_save

    def prepare_generated_bulk_save(self) -> list[Ticket]:
        return [Ticket(**person(number)) for number in range(self.size.rows)]

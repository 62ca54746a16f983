"""The rows both sides store, and what is checked of them. It knows models and values, and neither side's way of storing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

import redis

__all__ = ["JOINED", "LIFE_S", "POST_PARTS", "Job", "PostLike", "Size", "UserLike", "iteration", "jobs", "person", "post", "user"]

CITIES = ("Oslo", "Paris", "Lima", "Pune", "Cairo", "Osaka", "Quito", "Turin", "Accra", "Dakar")
JOINED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
POST_PARTS = 10
LIFE_S = 3600
"""How long rows live that expire."""


@dataclass(frozen=True)
class Size:
    """How much one round does.

    Attributes:
        rows: Rows of a bulk job.
        batch: Rows of one commit, or of one pipeline.
        singles: Operations of a job that does one row at a time.
        posts: Rows of a job with companions, one commit.
        walked: Rows of the iteration.
    """

    rows: int = 2000
    batch: int = 1000
    singles: int = 500
    posts: int = 500
    walked: int = 100_000


class UserLike(Protocol):
    """What is checked of a user, whichever side made it."""

    id: int
    name: str
    age: int
    city: str
    score: float
    active: bool
    joined: datetime


class PostLike(Protocol):
    """What is checked of a post."""

    id: int
    tags: set[str]
    items: list[str]


def user(number: int) -> dict[str, Any]:
    """The fields of a user."""
    return {"id": number, **person(number)}


def person(number: int) -> dict[str, Any]:
    """The same without a key."""
    return {
        "name": f"name{number}",
        "email": f"u{number}@example.com",
        "age": 18 + number % 60,
        "city": CITIES[number % 10],
        "score": number * 0.5,
        "active": number % 2 == 0,
        "joined": JOINED,
    }


def post(number: int) -> dict[str, Any]:
    """The fields of a post: ten tags and ten items."""
    return {
        "id": number,
        "title": f"title{number}",
        "tags": {f"tag{number}-{part}" for part in range(POST_PARTS)},
        "items": [f"item{number}-{part}" for part in range(POST_PARTS)],
    }


@dataclass(frozen=True)
class Job:
    """One line of the table. A side has a method of this name, and may have one more that prepares its argument untimed.

    Attributes:
        name: The name of the methods: `bulk_save`, `prepare_bulk_save`.
        operations: By how many the time is divided.
        empty: Whether the database is emptied before.
    """

    name: str
    operations: int
    empty: bool = False

    def check(self, result: Any, size: Size, store: redis.Redis) -> None:
        """Raise `AssertionError` unless the job did its work: by its result where it reads, by the store where it writes."""
        if self.name in ("bulk_get", "single_get"):
            _check_users(result, self.operations)
        elif self.name in ("query_equal", "query_range"):
            assert len(result) == self.operations
            assert all(one.city == "Oslo" if self.name == "query_equal" else 30 <= one.age <= 34 for one in result)
        elif self.name == "count":
            assert result == [size.rows // 10] * self.operations
        elif self.name == "iteration":
            assert result == (size.walked, sum(18 + number % 60 for number in range(size.walked)))
        elif self.name in ("indexed_update", "indexed_bulk_update"):
            assert store.hget("member:1", "age") == str(result)
            assert "1" in store.zrange(self.age_index(store), result, result, byscore=True)
        elif self.name in ("indexed_bulk_save", "indexed_single_save"):
            last = self.operations - 1
            assert store.hget(f"member:{last}", "name") == f"name{last}"
            assert store.zscore(self.age_index(store), str(last)) == 18 + last % 60
        elif self.name == "companions_get":
            _check_posts(result, self.operations)
        elif self.name == "companions_save":
            assert store.dbsize() == 3 * size.posts
            assert store.scard("post:1:tags") == store.llen("post:1:items") == POST_PARTS
        elif self.name == "companions_update":
            assert all(store.sismember(f"post:{number}:tags", result) for number in (0, size.posts - 1))
        elif self.name in ("bulk_delete", "indexed_bulk_delete"):
            assert store.dbsize() == 0
        elif self.name in _CHECKS:
            _CHECKS[self.name](self.operations - 1, store)
        elif self.name in ("partial_update", "bulk_update", "load_and_update"):
            assert store.hget("user:1", "name") == store.hget(f"user:{self.operations - 1}", "name") == result
            assert store.hget("user:1", "city") == "Paris"
        else:
            last = self.operations - 1
            assert store.dbsize() == self.operations
            assert store.hget(f"user:{last}", "name") == f"name{last}"
            assert store.hlen(f"user:{last}") == len(user(last))

    @staticmethod
    def age_index(store: redis.Redis) -> str:
        """The sorted set of ages, whichever side keeps it."""
        return "member::age" if store.exists("member::age") else "member:by:age"


def _check_users(users: Sequence[UserLike], count: int) -> None:
    assert len(users) == count
    for number, one in enumerate(users):
        assert (one.id, one.age, one.score, one.joined) == (number, 18 + number % 60, number * 0.5, JOINED)
        assert type(one.active) is bool


def _check_posts(posts: Sequence[PostLike], count: int) -> None:
    assert len(posts) == count
    for number, one in enumerate(posts):
        assert one.tags == post(number)["tags"]
        assert one.items == post(number)["items"]


def _check_visits(last: int, store: Any) -> None:
    assert store.dbsize() == last + 1
    assert store.hget(f"visit:{last}", "name") == f"name{last}"
    assert LIFE_S - 60 < store.ttl(f"visit:{last}") <= LIFE_S


def _check_tenants(last: int, store: Any) -> None:
    assert store.hget(f"tenant:{last}", "name") == f"name{last}"
    assert LIFE_S - 60 < store.ttl(f"tenant:{last}") <= LIFE_S
    assert store.zscore("tenant::age", str(last)) == 18 + last % 60
    assert store.zscore(f"tenant::city:{CITIES[last % 10]}", str(last)) > JOINED.timestamp() * 1000


def _check_accounts(last: int, store: Any) -> None:
    assert store.hget(f"account:{last}", "name") == f"name{last}"
    assert store.get(f"account::unique:email:u{last}@example.com") == str(last)


def _check_tickets(last: int, store: Any) -> None:
    assert store.dbsize() == last + 1
    key = store.randomkey()
    assert store.hget(key, "id") == key.partition(":")[2]
    assert store.hlen(key) == len(user(last))


_CHECKS: dict[str, Callable[[int, Any], None]] = {
    "ttl_bulk_save": _check_visits,
    "ttl_indexed_bulk_save": _check_tenants,
    "unique_bulk_save": _check_accounts,
    "generated_bulk_save": _check_tickets,
}
"""Of rows that are saved together, by job: given the number of the last one."""


def iteration(size: Size) -> Job:
    """The job that goes over a whole class, with memory for a part of it."""
    return Job("iteration", size.walked)


def jobs(size: Size) -> list[Job]:
    """The jobs in the order they run; those that read find the rows of the one before."""
    return [
        Job("bulk_save", size.rows, empty=True),
        Job("bulk_get", size.rows),
        Job("single_get", size.singles),
        Job("partial_update", size.singles),
        Job("bulk_update", size.rows),
        Job("load_and_update", size.rows),
        Job("bulk_delete", size.rows),
        Job("single_save", size.singles, empty=True),
        Job("companions_save", size.posts, empty=True),
        Job("companions_get", size.posts),
        Job("companions_update", size.posts),
        Job("indexed_single_save", size.singles, empty=True),
        Job("indexed_bulk_save", size.rows, empty=True),
        Job("query_equal", size.rows // 10),
        Job("query_range", sum(30 <= 18 + number % 60 <= 34 for number in range(size.rows))),
        Job("count", size.singles),
        Job("indexed_update", size.singles),
        Job("indexed_bulk_update", size.rows),
        Job("indexed_bulk_delete", size.rows),
        Job("ttl_bulk_save", size.rows, empty=True),
        Job("ttl_indexed_bulk_save", size.rows, empty=True),
        Job("unique_bulk_save", size.rows, empty=True),
        Job("generated_bulk_save", size.rows, empty=True),
    ]

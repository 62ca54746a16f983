"""redis-om: a hash for each object, and the query engine for queries. It loads rows one by one; for many keys at once it has no verb."""

from __future__ import annotations

import os
from datetime import datetime
from itertools import zip_longest
from typing import Any

from bench.workload import Size, user

__all__ = ["Side"]


def model(url: str) -> Any:
    """The class, bound to the server: redis-om reads its URL when it is imported."""
    os.environ["REDIS_OM_URL"] = url
    from redis_om import Field, HashModel, Migrator

    class Member(HashModel, index=True):
        id: str = Field(primary_key=True)
        name: str
        email: str
        age: int = Field(index=True)
        city: str = Field(index=True)
        score: float
        active: bool
        joined: datetime

    Member.db().flushall()
    Migrator().run()
    return Member


class Side:
    def __init__(self, url: str, size: Size) -> None:
        self.model = model(url)
        self.size = size

    def _made(self, count: int) -> list[Any]:
        database = self.model.db()
        for keys in zip_longest(*[database.scan_iter(match=f"{self.model.make_key('')}*", count=1000)] * 500):
            database.delete(*filter(None, keys))  # FLUSHALL would take the index too
        return [self.model(**{**user(number), "id": str(number)}) for number in range(count)]

    def prepare_bulk_save(self) -> list[Any]:
        return self._made(self.size.rows)

    def bulk_save(self, members: list[Any]) -> None:
        self.model.add(members)

    def bulk_get(self) -> list[Any]:
        return [self.model.get(str(number)) for number in range(self.size.rows)]

    def query_equal(self) -> list[Any]:
        found: list[Any] = self.model.find(self.model.city == "Oslo").all()
        return found

    def query_range(self) -> list[Any]:
        found: list[Any] = self.model.find((self.model.age >= 30) & (self.model.age <= 34)).all()
        return found

    def prepare_single_save(self) -> list[Any]:
        return self._made(self.size.singles)

    def single_save(self, members: list[Any]) -> None:
        for one in members:
            one.save()

    def single_get(self) -> list[Any]:
        return [self.model.get(str(number)) for number in range(self.size.singles)]

    prepare_partial_update = single_get

    def partial_update(self, members: list[Any]) -> None:
        for one in members:
            one.update(name=f"{one.name} changed")

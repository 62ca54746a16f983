"""pydantic-redis: a hash for each object and no indexes, so that there are no queries."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import redis

from bench.workload import Size, user

__all__ = ["Side"]


def model(url: str) -> Any:
    from pydantic_redis import Model, RedisConfig, Store

    class Member(Model):
        _primary_key_field: str = "id"
        id: str
        name: str
        email: str
        age: int
        city: str
        score: float
        active: bool
        joined: datetime

    port = urlsplit(url).port
    store = Store(name="bench", redis_config=RedisConfig(host="127.0.0.1", port=port, db=0), life_span_in_seconds=3600)
    store.register_model(Member)
    return Member


class Side:
    def __init__(self, url: str, size: Size) -> None:
        self.client = redis.Redis.from_url(url)
        self.model = model(url)
        self.size = size

    def _made(self, count: int) -> list[Any]:
        self.client.flushdb()
        return [self.model(**{**user(number), "id": str(number)}) for number in range(count)]

    def prepare_bulk_save(self) -> list[Any]:
        return self._made(self.size.rows)

    def bulk_save(self, members: list[Any]) -> None:
        self.model.insert(members)

    def bulk_get(self) -> list[Any]:
        found: list[Any] = self.model.select(ids=[str(number) for number in range(self.size.rows)])
        return found

    def prepare_single_save(self) -> list[Any]:
        return self._made(self.size.singles)

    def single_save(self, members: list[Any]) -> None:
        for one in members:
            self.model.insert(one)

    def single_get(self) -> list[Any]:
        return [self.model.select(ids=[str(number)])[0] for number in range(self.size.singles)]

    prepare_partial_update = single_get

    def partial_update(self, members: list[Any]) -> None:
        for one in members:
            self.model.update(_id=one.id, data={"name": f"{one.name} changed"})

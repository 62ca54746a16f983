"""rom: a hash for each object and indexes of its own, by one script each, also where a session saves many. It numbers objects itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import redis

from bench.workload import Size, user

__all__ = ["Side"]


def model(url: str) -> Any:
    import rom
    from rom import util

    util.set_connection_settings(host="127.0.0.1", port=urlsplit(url).port)

    class Member(rom.Model):
        name = rom.Text()
        email = rom.Text()
        age = rom.Integer(index=True)
        city = rom.Text(index=True, keygen=rom.IDENTITY)
        score = rom.Float()
        active = rom.Boolean()
        joined = rom.DateTime()

    return Member


class Side:
    def __init__(self, url: str, size: Size) -> None:
        from rom import util

        self.client = redis.Redis.from_url(url)
        self.model = model(url)
        self.session = util.session
        self.size = size
        self.ids: list[int] = []

    def _made(self, count: int) -> list[Any]:
        self.session.rollback()
        self.client.flushdb()
        made = []
        for number in range(count):
            fields = user(number)
            del fields["id"]
            made.append(self.model(**{**fields, "joined": fields["joined"].replace(tzinfo=None)}))
        self.ids = [one.id for one in made]
        return made

    def prepare_bulk_save(self) -> list[Any]:
        return self._made(self.size.rows)

    def bulk_save(self, members: list[Any]) -> None:
        assert self.session.save(*members, full=True) > 0

    def prepare_bulk_get(self) -> list[int]:
        self.session.rollback()  # else it answers from memory
        return self.ids

    def bulk_get(self, ids: list[int]) -> list[Any]:
        found: list[Any] = self.model.get(ids)
        return found

    def prepare_query_equal(self) -> tuple[str, Any]:
        self.session.rollback()
        return "city", "Oslo"

    def query_equal(self, condition: tuple[str, Any]) -> list[Any]:
        found: list[Any] = self.model.query.filter(**dict([condition])).all()
        return found

    def prepare_query_range(self) -> tuple[str, Any]:
        self.session.rollback()
        return "age", (30, 34)

    query_range = query_equal

    def prepare_single_save(self) -> list[Any]:
        return self._made(self.size.singles)

    def single_save(self, members: list[Any]) -> None:
        for one in members:
            one.save(full=True)

    prepare_single_get = prepare_bulk_get

    def single_get(self, ids: list[int]) -> list[Any]:
        return [self.model.get(number) for number in ids]

    def prepare_partial_update(self) -> list[Any]:
        return self.bulk_get(self.prepare_bulk_get())

    def partial_update(self, members: list[Any]) -> None:
        for one in members:
            one.name = f"{one.name} changed"
            one.save()

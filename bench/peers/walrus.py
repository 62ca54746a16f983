"""walrus: a hash for each object and indexes of its own, command by command, without batches. It takes a primary key of 0 for none."""

from __future__ import annotations

from typing import Any

from bench.workload import Size, user

__all__ = ["Side"]


def model(database: Any) -> Any:
    import walrus

    class Member(walrus.Model):
        __database__ = database
        id = walrus.IntegerField(primary_key=True)
        name = walrus.TextField()
        email = walrus.TextField()
        age = walrus.IntegerField(index=True)
        city = walrus.TextField(index=True)
        score = walrus.FloatField()
        active = walrus.BooleanField()
        joined = walrus.DateTimeField()

    return Member


class Side:
    def __init__(self, url: str, size: Size) -> None:
        import walrus

        self.database: Any = walrus.Database.from_url(url)
        self.model = model(self.database)
        self.size = size

    def _made(self, count: int) -> list[Any]:
        self.database.flushdb()
        rows = [user(number) for number in range(count)]
        return [self.model(**{**fields, "id": fields["id"] + 1, "joined": fields["joined"].replace(tzinfo=None)}) for fields in rows]

    def prepare_bulk_save(self) -> list[Any]:
        return self._made(self.size.rows)

    def bulk_save(self, members: list[Any]) -> None:
        for one in members:
            one.save(_is_create=True)  # as create() does; else it deletes and indexes anew

    def bulk_get(self) -> list[Any]:
        return [self.model.load(number + 1) for number in range(self.size.rows)]

    def query_equal(self) -> list[Any]:
        return list(self.model.query(self.model.city == "Oslo"))

    def query_range(self) -> list[Any]:
        return list(self.model.query((self.model.age >= 30) & (self.model.age <= 34)))

    def prepare_single_save(self) -> list[Any]:
        return self._made(self.size.singles)

    single_save = bulk_save

    def single_get(self) -> list[Any]:
        return [self.model.load(number + 1) for number in range(self.size.singles)]

    prepare_partial_update = single_get

    def partial_update(self, members: list[Any]) -> None:
        for one in members:
            one.name = f"{one.name} changed"
            one.save()

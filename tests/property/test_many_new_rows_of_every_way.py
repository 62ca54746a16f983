"""Many new rows leave the same behind as each by itself: entered into indexes by the script, in words under WATCH, or one by one."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, create_model

from redisorm import Database, Field, GeoPoint, IndexValueError, RedisModel, Session, SortedSet
from tests.reckoning import content, without_versions
from tests.servers import Server
from tests.ways import ways
from tests.zoo.scalars import CHOICES, Scalars

COMMITS = int(os.environ.get("REDISORM_HISTORIES", "3")) * 8


class Named(RedisModel, prefix="named"):
    """A key that is text, and may need escaping in the keys of rows."""

    id: str
    city: str = Field(default="", index=True)
    age: int = Field(default=0, index=True)


class Boxed(RedisModel, prefix="boxed"):
    """Collections beside the hash."""

    id: int
    city: str = Field(default="", index=True)
    tags: set[str] = set()
    jobs: list[int] = []
    scores: SortedSet[str] = SortedSet()


class Mortal(RedisModel, prefix="mortal", ttl=3600):
    """Rows that expire, with indexes of every kind, and a collection."""

    id: int
    city: str | None = Field(default=None, index=True)
    name: str = Field(default="", index="lex")
    age: int | None = Field(default=None, index=True)
    day: date = Field(default=date(2026, 1, 1), index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[int] = Field(default=[], index=True)


class Taker(RedisModel, prefix="taker", unique_together=(("city", "number"),)):
    """Unique values of several types."""

    id: int
    email: str | None = Field(default=None, unique=True)
    price: Decimal = Field(unique=True)
    city: str = ""
    number: int = 0


class MortalTaker(Taker, prefix="mortal-taker", ttl=3600):
    """The same for as long as a row lives."""


class Numbered(RedisModel, prefix="numbered", ttl=3600):
    """Keys that a counter gives out."""

    name: str = ""
    number: int | None = None
    city: str = Field(default="", index=True)
    age: int = Field(default=0, index=True)
    id: int | None = None


class Street(BaseModel):
    """What stands inside of a row."""

    name: str
    number: int | None = None


class Nested(RedisModel, prefix="nested", versioned=True):
    """Nested models, and values that can change in place."""

    id: UUID = Field(default_factory=uuid4)
    street: Street | None = None
    notes: dict[str, int] = {}
    steps: list[Street] = []
    level: Literal["low", "high"] = Field(default="low", index=True)


WIDE: dict[str, Any] = {"id": (int, ...), **{f"f{number}": (int, 0) for number in range(80)}}
Wide = create_model("Wide", __base__=RedisModel, __cls_kwargs__={"prefix": "wide"}, **WIDE)
"""More fields than a script writes out in one call."""


def wide(chance: random.Random, count: int) -> list[dict[str, Any]]:
    return [{"id": pk, **{f"f{number}": chance.randrange(100) for number in range(80)}} for pk in range(count)]


def scalars(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Rows of few shapes: mostly whole columns of one type."""
    names = [name for name in Scalars.model_fields if name in CHOICES]
    loose = set(chance.sample(names, chance.choice((0, 0, 1, 3))))
    columns: dict[str, list[Any]] = {}
    good = chance.random() < 0.8
    for name in names:
        choices = [value for value in CHOICES[name] if not good or (value == value and value != 2**53 + 1)]  # noqa: PLR0124 - NaN
        first = chance.choice(choices)
        alike = [value for value in choices if name in loose or type(value) is type(first)]
        columns[name] = [chance.choice(alike) for _ in range(count)]
    return [{"id": pk, **{name: column[pk] for name, column in columns.items()}} for pk in range(count)]


def named(chance: random.Random, count: int) -> list[dict[str, Any]]:
    marks = chance.choice(("", "", ":", "%", "é", "\0", "{}"))
    return [{"id": f"{marks}{pk}", "city": chance.choice(("Oslo", "a:b", "")), "age": chance.randrange(9)} for pk in range(count)]


def boxed(chance: random.Random, count: int) -> list[dict[str, Any]]:
    def some() -> list[int]:
        return [chance.randrange(5) for _ in range(chance.randrange(4))]

    return [
        {
            "id": pk,
            "city": chance.choice(("Oslo", "")),
            "tags": set(map(str, some())),
            "jobs": some(),
            "scores": {str(one): chance.choice((0.5, -1, float("inf"))) for one in some()},
        }
        for pk in range(count)
    ]


def mortal(chance: random.Random, count: int) -> list[dict[str, Any]]:
    def maybe(*choices: Any) -> Any:
        return chance.choice((None, *choices)) if loose else chance.choice(choices)

    loose = chance.random() < 0.5
    return [
        {
            "id": pk,
            "city": maybe("Oslo", "Lima", "a:b"),
            "name": chance.choice(("a", "b\0", "é")),
            "age": maybe(1, 2, -3),
            "day": date(2026, 1, chance.randrange(1, 28)),
            "place": chance.choice((None, GeoPoint(10, 60), GeoPoint(-70.5, -12))) if loose else None,
            "tags": {chance.choice(("a:b", "é", "x")) for _ in range(chance.randrange(3))},
            "jobs": [chance.randrange(3) for _ in range(chance.randrange(4))],
        }
        for pk in range(count)
    ]


def numbered(chance: random.Random, count: int) -> list[dict[str, Any]]:
    return [{"city": chance.choice(("Oslo", "")), "number": chance.choice((None, 1)), "age": chance.randrange(9)} for _ in range(count)]


def takers(chance: random.Random, count: int) -> list[dict[str, Any]]:
    loose = chance.random() < 0.5
    return [
        {
            "id": pk,
            "email": None if loose and pk % 3 == 0 else f"{pk}:@x",
            "price": Decimal(pk).scaleb(chance.choice((0, 20))) if loose else Decimal(pk),
            "city": chance.choice(("", "a:b", "Oslo")),
            "number": pk,
        }
        for pk in range(count)
    ]


def nested(chance: random.Random, count: int) -> list[dict[str, Any]]:
    def street() -> dict[str, Any]:
        return {"name": chance.choice(("a", "")), "number": chance.choice((None, 1))}

    return [
        {
            "id": UUID(int=pk),
            "street": chance.choice((None, street())),
            "notes": {str(one): one for one in range(chance.randrange(3))},
            "steps": [street() for _ in range(chance.randrange(3))],
            "level": chance.choice(("low", "high")),
        }
        for pk in range(count)
    ]


def store(database: Database, model: type[RedisModel], rows: list[dict[str, Any]], together: bool, life: int | None) -> str:
    parts = [rows] if together else [[row] for row in rows]
    try:
        for part in parts:
            with Session(database) as session:
                session.add_all([model.model_validate(row) for row in part], ttl=life)
                session.commit()
    except IndexValueError:
        return "refused"  # together the first column that has a bad value is told, one by one the first row
    return "written"


KINDS = [
    (Scalars, scalars),
    (Named, named),
    (Boxed, boxed),
    (Wide, wide),
    (Mortal, mortal),
    (Taker, takers),
    (MortalTaker, takers),
    (Nested, nested),
    (Numbered, numbered),
]


@pytest.mark.parametrize(("model", "rows_of"), KINDS)
def test_many_rows_leave_behind_what_each_by_itself_does(
    server: Server, model: type[RedisModel], rows_of: Callable[[random.Random, int], list[dict[str, Any]]]
) -> None:
    written = 0
    with ways(server) as databases:
        for number in range(COMMITS):
            server.ask("FLUSHALL")
            chance = random.Random(number)
            rows = rows_of(chance, chance.choice((4, 5, 30)))
            life = chance.choice((None, None, 60, 7200))
            came_to = [store(database, model, rows, together, life) for database, _, together in databases]
            assert len(set(came_to)) == 1
            if came_to[0] != "written":
                assert [one.dbsize() for _, one, together in databases if together] == [0, 0]
                continue
            written += 1
            first, *others = (without_versions(content(one)) for _, one, _ in databases)
            assert first == others[0] == others[1]
            assert databases[0][0].check(model).problems == []
    assert written > COMMITS / 2


def test_more_rows_than_one_command_of_a_script_takes(server: Server) -> None:
    with Database(server.url) as db, Session(db) as session:
        session.add_all([Named(id=str(pk), city="Oslo", age=pk % 7) for pk in range(9000)])
        assert session.commit().round_trips == 1
        assert db.client.zcard("named::city:Oslo") == db.client.zcard("named::age") == db.client.zcard("named::all") == 9000

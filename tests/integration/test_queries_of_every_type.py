"""Queries by values of every type that an index holds, and of rows with every type of primary key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import AwareDatetime, NaiveDatetime, PositiveInt, SecretStr

import redisorm
from redisorm import Database, Field, RedisModel, Session, SortedSet, col, desc

EAST, WEST = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@pytest.fixture
def connected(server_url: str) -> Iterator[Database]:
    with redisorm.connect(server_url) as database:
        yield database


def stored(annotation: Any, values: list[Any], index: Any = True) -> Any:
    """A class with an indexed field of a type, and a row for each value."""

    class Row(RedisModel, prefix="row"):
        id: int
        value: annotation | None = Field(default=None, index=index)  # pyright: ignore[reportInvalidTypeForm]

    with Session.begin() as session:
        session.add_all(Row(id=number, value=value) for number, value in enumerate(values))
        session.add(Row(id=99))
    return Row


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (str, ["", "a", "a:b", "%", "null", "None", "é"]),
        (bytes, [b"", b"\xff\x00", b"a:b", b"%"]),
        (bool, [True, False]),
        (UUID, [UUID(int=1), UUID(int=2)]),
        (Color, list(Color)),
        (Level, list(Level)),
        (Literal["a", 1, True], ["a", 1]),
        (IPv4Address, [IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")]),
        (SecretStr, [SecretStr("a"), SecretStr("b")]),
        (int | str, [1, "1", "x"]),
    ],
    ids=str,
)
def test_values_of_every_type_are_found(connected: Database, annotation: Any, values: list[Any]) -> None:
    row = stored(annotation, values)

    for number, value in enumerate(values):
        assert row.find(col(row.value) == value).pks() == [number], value
        assert [one.id for one in row.find(row.value == value)] == [number], value
    assert row.find(value=None).pks() == [99]
    assert row.find(row.value != values[0]).count() == len(values)
    assert row.find(col(row.value).in_([*values, None])).count() == len(values) + 1


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (int, [-(2**53), -1, 0, 1, 2**53]),
        (PositiveInt, [1, 2, 3]),
        (float, [float("-inf"), -1.5, -0.0, 1e-300, 0.1, 1e300, float("inf")]),
        (Decimal, [Decimal("-1E+3"), Decimal("0.1"), Decimal("0.25"), Decimal("1E+20")]),
        (date, [date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(9999, 12, 31)]),
        (time, [time(0), time(12, 0, 0, 1), time(23, 59, 59, 999999)]),
        (timedelta, [timedelta(-1), timedelta(0), timedelta(microseconds=1), timedelta(365)]),
        (datetime, [datetime(1900, 1, 1), datetime(2026, 1, 1, 3, tzinfo=EAST), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=WEST)]),
        (
            AwareDatetime,
            [datetime(2026, 1, 1, 3, tzinfo=EAST), datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 1, tzinfo=WEST)],
        ),
        (NaiveDatetime, [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1)]),
    ],
    ids=str,
)
def test_values_of_every_ordered_type_are_in_order(connected: Database, annotation: Any, values: list[Any]) -> None:
    row, last = stored(annotation, values), len(values) - 1

    assert row.find().order_by(row.value).pks() == [*range(len(values)), 99]
    assert row.find().order_by(desc(row.value)).pks() == [*reversed(range(len(values))), 99]
    for number, value in enumerate(values):
        below, above = list(range(number)), list(range(number + 1, len(values)))
        assert row.find(col(row.value) < value).order_by(row.value).pks() == below
        assert row.find(col(row.value) <= value).order_by(row.value).pks() == [*below, number]
        assert row.find(col(row.value) > value).order_by(row.value).pks() == above
        assert row.find(col(row.value) >= value).order_by(row.value).pks() == [number, *above]
        assert [one.id for one in row.find(row.value == value)] == [number]
        assert row.find(col(row.value).between(values[0], value)).count() == number + 1
    assert [one.id for one in row.find(col(row.value).between(values[0], values[last])).order_by(desc(row.value))] == [
        *reversed(range(len(values)))
    ]


def test_text_is_in_the_order_of_its_characters(connected: Database) -> None:
    texts = ["", "\0", "\0a", "\1", "A", "A\0", "A\0b", "A\1", "AB", "Z", "a", "é", "￿", "𐀀"]
    row = stored(str, texts, index="lex")

    assert texts == sorted(texts)
    assert row.find().order_by(row.value).pks() == [*range(len(texts)), 99]
    for number, text in enumerate(texts):
        assert row.find(col(row.value) < text).count() == number
        assert row.find(col(row.value) <= text).count() == number + 1
        assert row.find(row.value == text).pks() == [number]
        beginning = [place for place, other in enumerate(texts) if other.startswith(text)]
        assert row.find(col(row.value).startswith(text)).order_by(row.value).pks() == beginning


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (str, ["", "a:b", "{x}", "%", "é", "0"]),
        (bytes, [b"", b"\xff", b"a:b"]),
        (UUID, [UUID(int=1), UUID(int=2)]),
        (date, [date(2026, 1, 2), date(2026, 1, 10)]),
        (Decimal, [Decimal("0.1"), Decimal(10)]),
        (Color, [Color.BLUE, Color.RED]),
    ],
    ids=str,
)
def test_rows_with_every_type_of_primary_key_are_found(connected: Database, annotation: Any, values: list[Any]) -> None:
    class Row(RedisModel, prefix="row"):
        id: annotation  # pyright: ignore[reportInvalidTypeForm]
        number: int = Field(default=0, index=True)

    class Bare(RedisModel, prefix="bare"):
        id: annotation  # pyright: ignore[reportInvalidTypeForm]

    with Session.begin() as session:
        session.add_all(Row(id=value, number=number) for number, value in enumerate(values))
        session.add_all(Bare(id=value) for value in values)

    pk: Any = Row.id
    assert [one.id for one in Row.find().order_by(Row.number)] == values
    assert Row.find(Row.number >= 0).order_by(Row.number).pks() == values
    for value in values:
        assert Row.find(pk == value).pks() == [value]
        assert Row.find(pk == value).one().id == value
        assert Row.find(pk != value).count() == len(values) - 1
        assert Bare.find(Bare.id == value).count() == 1
    assert sorted(map(str, Bare.find().pks())) == sorted(map(str, values))
    assert Row.find(pk == values[0]).update(number=7) == 1
    assert Row.find().delete() == Bare.find().delete() == len(values)
    assert connected.client.dbsize() == 0


def test_an_indexed_primary_key_keeps_an_order(connected: Database) -> None:
    class Row(RedisModel, prefix="row"):
        id: int = Field(index=True)

    with Session.begin() as session:
        session.add_all(Row(id=number) for number in range(20))

    assert Row.find(Row.id >= 15).order_by(desc(Row.id)).pks() == [19, 18, 17, 16, 15]
    assert Row.find(Row.id < 3, Row.id != 1).order_by(Row.id).pks() == [0, 2]
    assert Row.find(col(Row.id).between(3, 5)).count() == 3


def test_elements_of_every_kind_of_collection_are_found(connected: Database) -> None:
    class Row(RedisModel, prefix="row"):
        id: int
        words: list[str] = Field(default=[], index=True)
        numbers: set[int] = Field(default=set(), index=True)
        colors: set[Color] = Field(default=set(), index=True)
        scores: SortedSet[str] = Field(default=SortedSet(), index=True)
        maybe: list[int | None] = Field(default=[], index=True)

    with Session.begin() as session:
        session.add(Row(id=1, words=["a", "a", ":"], numbers={1, 2}, colors={Color.RED}, scores=SortedSet({"x": 1}), maybe=[None, 3]))
        session.add(Row(id=2, words=["b"], numbers={2}, colors=set(Color), scores=SortedSet({"x": 5, "y": 2})))

    assert Row.find(col(Row.words).contains("a")).pks() == [1]
    assert Row.find(col(Row.words).contains(":")).one().id == 1
    assert Row.find(col(Row.numbers).contains(2), ~col(Row.numbers).contains(1)).pks() == [2]
    assert Row.find(col(Row.colors).contains(Color.RED)).count() == 2
    assert [one.id for one in Row.find(col(Row.scores).contains("x") & col(Row.scores).contains("y"))] == [2]
    assert Row.find(col(Row.maybe).contains(None)).one().id == 1
    assert Row.find(col(Row.words).contains("nothing")).first() is None

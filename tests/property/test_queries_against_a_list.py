"""Random histories of a class with every kind of index, against a plain list: every kind of query finds what a list comprehension finds.

Creates, overwrites, updates, increments, deletes, lives that end and bulk changes are played in random order. The sizes from which on
a query is walked in pages are made tiny in some histories, so that every way through the planner is taken.

    python -m tests.property.test_queries_against_a_list 200      # plays 200 histories on each server and counts
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from operator import attrgetter
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import BaseModel

import redisorm
from redisorm import AsyncRedisModel, Database, Field, GeoPoint, RedisModel, Session, col, desc
from redisorm.expressions import Column, Expression
from redisorm.flows import candidates, collecting, gathering, probing, searching, surveying
from redisorm.mapping.base import MappedModel
from redisorm.unitofwork import bulk, query, reading

HISTORIES = int(os.environ.get("REDISORM_HISTORIES", "2"))
STEPS = 40
EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)
CITIES = ("Oslo", "Lima", "a:b", "%", "")
NAMES = ("Al", "Ale", "Alex", "\0", "A\1", "é", "Zoë", "al")
TAGS = ("x", "y", "z:z")
CENTRE = GeoPoint(lon=10.7, lat=59.9)


class Address(BaseModel):
    zip: str | None = Field(default=None, index=True)


class People(MappedModel, abstract=True):
    """A field of every kind that can be asked for."""

    id: int
    name: str = Field(index="lex")
    nick: str | None = Field(default=None, index="lex")
    city: str | None = Field(default=None, index=True)
    age: int | None = Field(default=0, index=True)
    worth: Decimal = Field(default=Decimal(0), index=True)
    seen: datetime | None = Field(default=None, index=True)
    email: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    address: Address | None = None
    note: str = ""


class Person(People, RedisModel, prefix="person"):
    pass


class AsyncPerson(People, AsyncRedisModel, prefix="person"):
    pass


class Mortal(Person, prefix="mortal", ttl=1000):
    pass


class Reader(Person, prefix="reader", ttl=1000, ttl_refresh="read"):
    pass


Predicate = Callable[[Person], bool]


@dataclass
class Tally:
    """What was played and compared."""

    operations: int = 0
    comparisons: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


# ---- random conditions ----------------------------------------------------------------------------------------------------


def any_values(chance: random.Random) -> dict[str, Any]:
    return {
        "name": chance.choice(NAMES),
        "nick": chance.choice((None, *NAMES)),
        "city": chance.choice((None, *CITIES)),
        "age": chance.choice((None, 2**53, -3, *range(6))),
        "worth": Decimal(chance.choice(("0", "0.1", "-2.5", "100", "1E+3"))),
        "seen": chance.choice((None, EPOCH + timedelta(hours=chance.randrange(4), microseconds=chance.randrange(2)))),
        "tags": set(chance.sample(TAGS, chance.randrange(4))),
        "place": chance.choice((None, GeoPoint(lon=10.7 + chance.randrange(4) / 10, lat=59.9))),
        "address": chance.choice((None, Address(), Address(zip=chance.choice("12")))),
        "note": str(chance.random()),
    }


def kilometres(point: GeoPoint) -> float:
    from redisorm.mapping.geo import metres

    return metres(point.lon, point.lat, CENTRE.lon, CENTRE.lat) / 1000


def of_order(
    chance: random.Random, column: Column[Any], get: Callable[[Person], Any], bound: Any, other: Any
) -> tuple[Expression, Predicate]:
    def compared(test: Callable[[Any], bool]) -> Predicate:
        return lambda one: get(one) is not None and test(get(one))

    low, high = sorted((bound, other))
    kinds: list[tuple[Expression, Predicate]] = [
        (column < bound, compared(lambda value: value < bound)),
        (column <= bound, compared(lambda value: value <= bound)),
        (column > bound, compared(lambda value: value > bound)),
        (column >= bound, compared(lambda value: value >= bound)),
        (column == bound, lambda one: get(one) == bound),
        (column != bound, lambda one: get(one) != bound),
        (column.between(low, high), compared(lambda value: low <= value <= high)),
        (column.in_([bound, other]), lambda one: get(one) in (bound, other)),
        (column.is_(None), lambda one: get(one) is None),
    ]
    return chance.choice(kinds)


def leaf(chance: random.Random, model: Any) -> tuple[Expression, Predicate]:
    kind = chance.randrange(11)
    if kind == 0:
        city = chance.choice(CITIES)
        return col(model.city) == city, lambda one: one.city == city
    if kind == 1:
        cities = [chance.choice((None, *CITIES)) for _ in range(chance.randrange(4))]
        return col(model.city).in_(cities), lambda one: one.city in cities
    if kind == 2:
        ages = (2**60, -(10**400), 10**400, 2**53 + 1, *range(-4, 7))
        return of_order(chance, col(model.age), lambda one: one.age, chance.choice(ages), chance.choice(ages))
    if kind == 3:
        worths = [Decimal(text) for text in ("0.1", "0.10000000000000001", "-2.5", "99.99999999999999999", "1E+400", "7")]
        return of_order(chance, col(model.worth), lambda one: one.worth, chance.choice(worths), chance.choice(worths))
    if kind == 4:
        bounds = [EPOCH + timedelta(hours=hours, microseconds=1) for hours in range(4)]
        return of_order(
            chance,
            col(model.seen),
            lambda one: one.seen,
            chance.choice(bounds),
            chance.choice(bounds).astimezone(timezone(timedelta(hours=3))),
        )
    if kind == 5:
        return of_order(chance, col(model.nick), lambda one: one.nick, chance.choice(NAMES), chance.choice(("", "B", *NAMES)))
    if kind == 6:
        prefix = chance.choice(("", "A", "Al", "Ale", "\0", "é", "a"))
        return col(model.name).startswith(prefix), lambda one: one.name.startswith(prefix)
    if kind == 7:
        tag = chance.choice(TAGS)
        return col(model.tags).contains(tag), lambda one: tag in one.tags
    if kind == 8:
        km = chance.choice((0.1, 6, 12, 1000))
        within = col(model.place).within(km=km, lon=CENTRE.lon, lat=CENTRE.lat)
        return within, lambda one: one.place is not None and kilometres(one.place) <= km
    if kind == 9:
        emails = chance.choice(([None], ["e1"], ["e1", "e4", None], ["nobody"]))
        return col(model.email).in_(emails), lambda one: one.email in emails
    if chance.random() < 0.5:
        ids = [chance.randrange(14) for _ in range(chance.randrange(4))]
        return col(model.id).in_(ids), lambda one: one.id in ids
    zip_code = chance.choice((None, "1", "2"))
    return model.address.zip == zip_code, lambda one: (one.address.zip if one.address else None) == zip_code


def condition(chance: random.Random, model: Any, depth: int = 3) -> tuple[Expression, Predicate]:
    kind = chance.random()
    if depth == 0 or kind < 0.35:
        return leaf(chance, model)
    left, fits_left = condition(chance, model, depth - 1)
    if kind < 0.5:
        return ~left, lambda one: not fits_left(one)
    right, fits_right = condition(chance, model, depth - 1)
    if kind < 0.8:
        return left & right, lambda one: fits_left(one) and fits_right(one)
    return left | right, lambda one: fits_left(one) or fits_right(one)


def order(chance: random.Random, model: Any) -> tuple[list[Any], list[tuple[Callable[[Person], Any], bool]]]:
    fields = chance.sample(("age", "worth", "seen", "name", "nick", "id"), chance.randrange(4))
    fields_asked: list[Any] = []
    keys: list[tuple[Callable[[Person], Any], bool]] = []
    for name in fields:
        down = chance.random() < 0.5
        fields_asked.append(desc(getattr(model, name)) if down else getattr(model, name))
        keys.append((attrgetter(name), down))
    return fields_asked, keys


def in_order(rows: list[Person], keys: list[tuple[Callable[[Person], Any], bool]]) -> list[tuple[Any, ...]]:
    """The keys of rows in order; ties are not specified."""
    ordered = list(rows)
    for key, down in reversed(keys):
        ordered.sort(key=lambda one: (key(one) is not None) if down else (key(one) is None), reverse=down)
        known = sorted((one for one in ordered if key(one) is not None), key=key, reverse=down)
        ordered = known + [one for one in ordered if key(one) is None]
    return [tuple(key(one) for key, _ in keys) for one in ordered]


# ---- playing --------------------------------------------------------------------------------------------------------------


class History:
    """One history on one database."""

    def __init__(self, database: Database, model: type[Person], chance: random.Random, tally: Tally) -> None:
        self.database, self.model, self.chance, self.tally = database, model, chance, tally
        self.rows: dict[int, Person] = {}
        self.lives = chance.choice(((None,), (None, None, None, 1000, 2000)))

    def noted(self, kind: str) -> None:
        self.tally.operations += 1
        self.tally.kinds[kind] = self.tally.kinds.get(kind, 0) + 1

    def step(self) -> None:
        chance, pk = self.chance, self.chance.randrange(14)
        there = self.rows.get(pk)
        kind = chance.randrange(9)
        with Session(self.database) as session:
            if kind < 3 or there is None:
                one = self.model(id=pk, email=chance.choice((None, f"e{pk}")), **any_values(chance))
                session.add(one, ttl=chance.choice(self.lives))
                self.rows[pk] = one.model_copy(deep=True)
                self.noted("overwrite" if there else "create")
            elif kind < 6:
                for name, value in chance.sample(list(any_values(chance).items()), 3):
                    setattr(session.get_one(self.model, pk), name, value)
                    setattr(there, name, value)
                self.noted("update")
            elif kind == 6 and there.age is not None and there.age < 2**53:
                session.increment(session.get_one(self.model, pk), "age", 2)
                there.age += 2
                self.noted("increment")
            elif kind == 7:
                session.delete(session.get_one(self.model, pk))
                del self.rows[pk]
                self.noted("delete")
            else:
                session.expire(session.get_one(self.model, pk), 0.01)
                del self.rows[pk]
                self.noted("expire")
            session.commit()
        if pk not in self.rows:
            clock.sleep(0.015)

    def bulk(self) -> None:
        expression, fits = condition(self.chance, self.model)
        fitting = [pk for pk, one in self.rows.items() if fits(one)]
        if self.chance.random() < 0.2:
            assert self.model.find(expression).delete() == len(fitting), expression
            for pk in fitting:
                del self.rows[pk]
            self.noted("delete of a query")
            return
        name, value = self.chance.choice([item for item in any_values(self.chance).items() if item[0] != "address"])
        assert self.model.find(expression).update(**{name: value}) == len(fitting), expression
        for pk in fitting:
            setattr(self.rows[pk], name, value)
        self.noted("update of a query")

    def compare(self) -> None:
        expression, fits = condition(self.chance, self.model)
        asked, keys = order(self.chance, self.model)
        fitting = [one for one in self.rows.values() if fits(one)]
        found = self.model.find(expression).order_by(*asked)
        said = f"{found!r} over {sorted(self.rows)}"

        objects = found.all()
        assert {one.id: one for one in objects} == {one.id: one for one in fitting}, said
        assert len(objects) == len(fitting), said
        assert [tuple(key(one) for key, _ in keys) for one in objects] == in_order(fitting, keys), said
        assert found.count() == len(fitting), said
        assert found.exists() is bool(fitting), said
        assert found.pks() == [one.id for one in objects], said
        assert [one.id for one in found] == [one.id for one in objects], said
        size = self.chance.randrange(1, 5)
        pages = [found.offset(start).limit(size).all() for start in range(0, len(fitting) + size, size)]
        assert [one.id for page in pages for one in page] == [one.id for one in objects], said
        first = found.first()
        assert (first and first.id) == (objects[0].id if objects else None), said
        self.tally.comparisons += 8

    async def compare_awaited(self) -> None:
        expression, fits = condition(self.chance, AsyncPerson)
        fitting = {one.id for one in self.rows.values() if fits(one)}
        found = AsyncPerson.find(expression)
        assert {one.id for one in await found.all()} == fitting
        assert {one.id async for one in found} == fitting
        assert await found.count() == len(fitting)
        self.tally.comparisons += 3


@contextmanager
def sizes(small: int, peek: int, due: int, most: int, page: int) -> Iterator[None]:
    """Take sets of so many entries for small, as if they were thousands."""
    with (
        patch.object(gathering, "SMALL", small),
        patch.object(searching, "SMALL", small),
        patch.object(surveying, "SMALL", small),
        patch.object(collecting, "SMALL", small),
        patch.object(probing, "MOST_KEYS", most),
        patch.object(searching, "MOST_WALKS", most),
        patch.object(candidates, "SMALL", small),
        patch.object(candidates, "PAGE", page),
        patch.object(searching, "PAGE", page),
        patch.object(query, "SMALL", small),
        patch.object(surveying, "PEEK", peek),
        patch.object(surveying, "DUE", due),
        patch.object(candidates, "DUE", due),
        patch.object(searching, "DUE", due),
        patch.object(reading, "BATCH", max(small // 2, 1)),
        patch.object(gathering, "BATCH", peek),
        patch.object(probing, "BATCH", 3),
        patch.object(bulk, "ROWS", 3),
    ):
        yield


def play(database: Database, model: type[Person], seed: str, tally: Tally, steps: int = STEPS) -> None:
    """Play one history."""
    chance = random.Random(seed)
    database.client.flushdb()
    history = History(database, model, chance, tally)
    small = chance.choice((10_000, 8, 4, 1))
    with sizes(small, chance.choice((1, 3, 100)), chance.choice((0, 2, 1000)), chance.choice((0, 1, 16)), chance.choice((1, 2, 500))):
        for _ in range(steps):
            history.step()
            if chance.random() < 0.2:
                history.bulk()
            history.compare()
            if model is Person and chance.random() < 0.3:
                asyncio.run(history.compare_awaited())


@pytest.mark.parametrize("model", [Person, Mortal, Reader])
def test_queries_find_what_a_list_comprehension_finds(server_url: str, model: type[Person], request: pytest.FixtureRequest) -> None:
    tally = Tally()
    with redisorm.connect(server_url) as database:
        for seed in range(HISTORIES):
            play(database, model, f"{request.node.name}/{seed}", tally)  # of its own on each server
    assert tally.operations >= HISTORIES * STEPS
    assert tally.comparisons >= HISTORIES * STEPS * 8


def main() -> None:
    from tests.servers import KINDS, Server

    histories, tally = int(sys.argv[1]), Tally()
    for kind in KINDS:
        with Server(kind) as server, redisorm.connect(server.url) as database:
            for model in (Person, Mortal, Reader):
                for seed in range(histories):
                    play(database, model, f"{kind}/{seed}", tally)
        print(f"{kind}: so far {tally.operations:,} operations, {tally.comparisons:,} comparisons, {tally.kinds}")


if __name__ == "__main__":
    main()

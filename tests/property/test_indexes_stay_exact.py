"""Random histories of an indexed class: after every commit its indexes are exactly what a reckoning from the rows says."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from redisorm import ConflictError, Database, Field, RedisModel, UniqueViolationError
from tests.faults.colours import COLOURS, Colour
from tests.reckoning import misfits

HISTORIES = int(os.environ.get("REDISORM_HISTORIES", "2"))
STEPS = 40
ROWS, MANY = 6, 10
CITIES = ("Oslo", "Lima", "Pune")
EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Plain(RedisModel, prefix="plain"):
    """A row that is its hash alone: many new ones go as a table."""

    id: int
    name: str = Field(index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    seen: datetime | None = Field(default=None, index=True)
    note: str = ""


class Person(Plain, prefix="person", unique_together=(("city", "age"),)):
    """Unique values and collections beside."""

    email: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = Field(default=[], index=True)


class Mortal(Person, prefix="mortal", ttl=1000, versioned=True):
    """A life and a version beside."""


def reckon(
    model: type[Plain], pk: str, texts: dict[str, str], companion: Callable[[str], Any]
) -> tuple[dict[str, tuple[str, float | None]], list[str]]:
    entries: dict[str, tuple[str, float | None]] = {"name": (f"{texts['name']}\0{pk}", 0.0), "age": (pk, float(texts["age"]))}
    entries[f"city:{texts['city']}" if "city" in texts else "city:"] = (pk, None)
    if "seen" in texts:
        entries["seen"] = (pk, datetime.fromisoformat(texts["seen"]).timestamp())
    else:
        entries["seen:"] = (pk, None)
    if not issubclass(model, Person):
        return entries, []
    if "email" not in texts:
        entries["email:"] = (pk, None)
    for name in ("tags", "jobs"):
        entries.update({f"{name}:{element}": (pk, None) for element in companion(name)})
    claims = [f"city+age:{texts['city']}:{texts['age']}"] if "city" in texts else []
    return entries, [*claims, *([f"email:{texts['email']}"] if "email" in texts else [])]


def any_values(chance: random.Random, model: type[Plain]) -> dict[str, Any]:
    values = {
        "name": chance.choice("abc"),
        "city": chance.choice((*CITIES, None)),
        "age": chance.randrange(5),
        "email": chance.choice((None, None, *"uvwxyz")),
        "seen": chance.choice((None, EPOCH + timedelta(hours=chance.randrange(3)))),
        "note": str(chance.random()),
        "tags": set(chance.sample("pqr", chance.randrange(3))),
        "jobs": chance.choices("ijk", k=chance.randrange(4)),
    }
    return {name: value for name, value in values.items() if name in model.model_fields}


def many(chance: random.Random, model: type[Plain]) -> list[Plain]:
    """Rows that mostly take no unique value of another: some new, some over rows that are there, in one commit."""
    first = chance.randrange(100)
    rows = []
    for pk in range(first, first + MANY):
        values = any_values(chance, model)
        if issubclass(model, Person) and chance.random() < 0.95:
            values |= {"city": None, "email": f"{pk}@x"}
        rows.append(model(id=pk, **values))
    return rows


def step(chance: random.Random, database: Database, colour: Colour, model: type[Plain]) -> None:
    pk = chance.randrange(ROWS)
    kind = chance.randrange(11)
    with closing(colour.Session(database)) as session:
        one = colour.do(session.get(model, pk))
        if kind < 3 or kind == 10 or one is None:
            blindly = many(chance, model) if kind == 10 else [model(id=pk, **any_values(chance, model))]  # over what is there, where it is
            with closing(colour.Session(database)) as blind:
                blind.add_all(blindly, ttl=chance.choice((None, None, 500)))
                colour.do(blind.commit())
            return
        if kind == 3:
            session.delete(one)
        elif kind == 4:
            session.increment(one, "age", chance.choice((1, -1)))
        elif kind == 5:
            session.expire(one, chance.choice((None, 700)))
        else:
            change(chance, one)
            if (other := colour.do(session.get(model, (pk + 1) % ROWS))) is not None:
                change(chance, other)
        if chance.random() < 0.3:  # somebody else is faster
            with closing(colour.Session(database)) as faster:
                if (theirs := colour.do(faster.get(model, pk))) is not None:
                    change(chance, theirs)
                    colour.do(faster.commit())
        colour.do(session.commit())


def change(chance: random.Random, one: Plain) -> None:
    for name, value in chance.sample(list(any_values(chance, type(one)).items()), chance.randrange(1, 4)):
        setattr(one, name, value)


@pytest.mark.parametrize("awaited", [False, True], ids=[colour.name for colour in COLOURS])
@pytest.mark.parametrize("model", [Plain, Person, Mortal])
def test_indexes_are_what_the_rows_say_after_every_commit(
    server_url: str, model: type[Plain], awaited: bool, request: pytest.FixtureRequest
) -> None:
    refused = 0
    colour = COLOURS[awaited]()
    with colour.open(server_url) as db, Database(server_url) as beside:
        for seed in range(HISTORIES):
            chance = random.Random(f"{request.node.name}/{seed}")  # of its own on each server
            beside.client.flushdb()
            for number in range(STEPS):
                try:
                    step(chance, db, colour, model)
                except ConflictError as error:
                    refused += isinstance(error, UniqueViolationError)
                found = misfits(beside.client, str(model.__redisorm_prefix__), partial(reckon, model))
                assert found == [], f"history {seed}, step {number}"
            assert beside.check(model).problems == [], f"history {seed}"
    colour.close()
    assert (refused > 0) == issubclass(model, Person)

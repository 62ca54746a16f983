"""Random histories of an indexed class: after every commit its indexes are exactly what a reckoning from the rows says."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from redisorm import ConflictError, Database, Field, RedisModel, Session, UniqueViolationError
from tests.reckoning import misfits

HISTORIES = int(os.environ.get("REDISORM_HISTORIES", "6"))
STEPS = 40
CITIES = ("Oslo", "Lima", "Pune")
EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Person(RedisModel, prefix="person", unique_together=(("city", "age"),)):
    id: int
    name: str = Field(index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    email: str | None = Field(default=None, unique=True)
    seen: datetime | None = Field(default=None, index=True)
    note: str = ""
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = Field(default=[], index=True)


class Mortal(Person, prefix="mortal", ttl=1000, versioned=True):
    pass


def reckon(pk: str, texts: dict[str, str], companion: Callable[[str], Any]) -> tuple[dict[str, tuple[str, float | None]], list[str]]:
    entries: dict[str, tuple[str, float | None]] = {"name": (f"{texts['name']}\0{pk}", 0.0), "age": (pk, float(texts["age"]))}
    entries[f"city:{texts['city']}" if "city" in texts else "city:"] = (pk, None)
    if "email" not in texts:
        entries["email:"] = (pk, None)
    if "seen" in texts:
        entries["seen"] = (pk, datetime.fromisoformat(texts["seen"]).timestamp())
    else:
        entries["seen:"] = (pk, None)
    for name in ("tags", "jobs"):
        entries.update({f"{name}:{element}": (pk, None) for element in companion(name)})
    claims = [f"city+age:{texts['city']}:{texts['age']}"] if "city" in texts else []
    return entries, [*claims, *([f"email:{texts['email']}"] if "email" in texts else [])]


def any_values(chance: random.Random) -> dict[str, Any]:
    return {
        "name": chance.choice("abc"),
        "city": chance.choice((*CITIES, None)),
        "age": chance.randrange(5),
        "email": chance.choice((None, None, *"uvwxyz")),
        "seen": chance.choice((None, EPOCH + timedelta(hours=chance.randrange(3)))),
        "note": str(chance.random()),
        "tags": set(chance.sample("pqr", chance.randrange(3))),
        "jobs": chance.choices("ijk", k=chance.randrange(4)),
    }


def step(chance: random.Random, database: Database, model: type[Person]) -> None:
    pk = chance.randrange(6)
    kind = chance.randrange(10)
    with Session(database) as session:
        one = session.get(model, pk)
        if kind < 3 or one is None:
            one = model(id=pk, **any_values(chance))  # a blind overwrite, where the row is there
            with Session(database) as blind:
                blind.add(one, ttl=chance.choice((None, None, 500)))
                blind.commit()
            return
        if kind == 3:
            session.delete(one)
        elif kind == 4:
            session.increment(one, "age", chance.choice((1, -1)))
        elif kind == 5:
            session.expire(one, chance.choice((None, 700)))
        else:
            change(chance, one)
            if (other := session.get(model, (pk + 1) % 6)) is not None:
                change(chance, other)
        if chance.random() < 0.3:  # somebody else is faster
            with Session(database) as faster:
                if (theirs := faster.get(model, pk)) is not None:
                    change(chance, theirs)
                    faster.commit()
        session.commit()


def change(chance: random.Random, one: Person) -> None:
    for name, value in chance.sample(list(any_values(chance).items()), chance.randrange(1, 4)):
        setattr(one, name, value)


@pytest.mark.parametrize("model", [Person, Mortal])
def test_indexes_are_what_the_rows_say_after_every_commit(db: Database, model: type[Person]) -> None:
    refused = 0
    for seed in range(HISTORIES):
        chance = random.Random(seed)
        db.client.flushdb()
        for number in range(STEPS):
            try:
                step(chance, db, model)
            except ConflictError as error:
                refused += isinstance(error, UniqueViolationError)
            found = misfits(db.client, model.__redisorm_prefix__ or "", reckon)
            assert found == [], f"history {seed}, step {number}"
        assert db.check(model).problems == [], f"history {seed}"
    assert refused > 0

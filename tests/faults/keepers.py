"""Clients that write rows of which much is kept, in processes of their own."""

from __future__ import annotations

import random
from typing import Any

from redisorm import ConflictError, Database, Session
from tests.faults.processes import heard, tell
from tests.zoo.kept import Guest, Resident

__all__ = ["write"]

_BEGUN = 20


def write(url: str, seed: int, model: str, rows: int) -> tuple[int, int]:
    """Create, change, replace, expire and delete shared rows until the test says so.

    Return how many commits were made, and how many were refused.
    """
    chance, done, refused = random.Random(seed), 0, 0
    kind = {"guest": Guest, "resident": Resident}[model]
    with Database(url) as db:
        while not heard():
            try:
                _step(chance, db, kind, seed, rows)
                done += 1
            except ConflictError:
                refused += 1
            if done + refused == _BEGUN:
                tell("begun")
    return done, refused


def _step(chance: random.Random, db: Database, model: type[Resident], seed: int, rows: int) -> None:
    pk = chance.randrange(rows)
    values: dict[str, Any] = {
        "name": chance.choice("abc"),
        "city": chance.choice(("Oslo", "Lima", None)),
        "age": pk * 1000 + chance.randrange(5),  # no two rows have one city and age
        "email": chance.choice((None, f"{seed}-{chance.randrange(5)}-{pk}")),
        "tags": set(chance.sample("pqr", chance.randrange(3))),
        "jobs": chance.choices("ij", k=chance.randrange(3)),
    }
    with Session(db) as session:
        one = session.get(model, pk)
        kind = chance.randrange(8)
        if one is None or kind == 0:
            with Session.begin(db) as blind:
                blind.add(model(id=pk, **values), ttl=chance.choice((None, 0.05, 500)))
            return
        if kind == 1:
            session.delete(one)
        elif kind == 2:
            session.increment(one, "age", 1)
        elif kind == 3:
            session.expire(one, chance.choice((None, 0.05, 700)))
        else:
            for name in chance.sample(list(values), chance.randrange(1, 4)):
                setattr(one, name, values[name])
        session.commit()

"""A commit of one row leaves the same behind whichever way it goes: one command, few steps, the general way; by script or WATCH."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis

from redisorm import BackendError, ConflictError, Database, Field, IndexValueError, RedisModel, Session, StaleObjectError
from redisorm.commands import Flow
from redisorm.flows import committing
from redisorm.flows.conditional import sets_alone, write_conditionally
from redisorm.flows.lonerow import lone_row, watch_row, write_row
from redisorm.flows.richrow import rich_row, write_rich_row
from tests.faults.users import EVERY_USER, allow_all, as_user
from tests.reckoning import content, without_versions
from tests.servers import Server
from tests.zoo.scalars import CHOICES, Scalars

HISTORIES = int(os.environ.get("REDISORM_HISTORIES", "3"))
SEED = os.environ.get("REDISORM_SEED", "")
STEPS = 60
ROWS = 5


class Sample(Scalars, prefix="sample"):
    """A field more, which is JSON."""

    words: list[str] = Field(default=[], inline=True)


class Bare(RedisModel, prefix="bare"):
    """A row that is its hash alone."""

    id: int
    name: str = ""
    age: int | None = None


class Counted(RedisModel, prefix="counted"):
    """A row with a number of its own making."""

    id: int | None = None
    name: str = Field(default="", index=True)
    age: int = 0


drawing = random.Random()


class Drawn(RedisModel, prefix="drawn"):
    """A row with a random key of its own making, which nothing has to be known for."""

    id: UUID = Field(default_factory=lambda: UUID(int=drawing.getrandbits(128)))
    name: str = Field(default="", index=True)
    age: int = 0


class Fleeting(RedisModel, prefix="fleeting", ttl=3600):
    """A row that expires."""

    id: int
    name: str = ""
    age: int | None = None


class Listed(RedisModel, prefix="listed", ttl=3600):
    """A row that expires, with indexes and a unique value."""

    id: int | None = None
    name: str = Field(default="", index="lex")
    age: int | None = Field(default=None, index=True)
    city: str | None = Field(default=None, unique=True)


class Dated(RedisModel, prefix="dated", ttl=3600, versioned=True):
    """A row that expires and whose writes are counted, with indexes."""

    id: int
    name: str = Field(default="", index="lex")
    age: int | None = Field(default=None, index=True)
    city: str | None = Field(default=None, index=True)
    words: list[str] = Field(default=[], inline=True)


class Logged(RedisModel, prefix="logged", versioned=True):
    """A row whose writes are counted, with indexes for ever."""

    id: int
    name: str = Field(default="", index=True)
    age: int | None = None


class Owned(RedisModel, prefix="owned"):
    """A row with a unique value, and another life for some."""

    id: int
    name: str = Field(default="", unique=True)
    age: int = 0


class Kept(RedisModel, prefix="kept", ttl=3600, ttl_refresh="never", versioned=True):
    """A row whose writes are counted, and whose life nothing restarts."""

    id: int
    name: str = ""
    age: int | None = None


def some_values(chance: random.Random, model: type[RedisModel], most: int) -> dict[str, Any]:
    names = [name for name in model.model_fields if name in CHOICES]
    return {name: chance.choice(CHOICES[name]) for name in chance.sample(names, chance.randrange(1, min(most, len(names)) + 1))}


class Ways:
    """Five databases, one for each way.

    Attributes:
        told: What the few steps came to, each time they were tried.
    """

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        allow_all(server)
        urls = [server.url.removesuffix("/0") + f"/{number}" for number in range(5)]
        mine = [url if number < 3 else as_user(url, "watching") for number, url in enumerate(urls)]
        ways = ("short command", "short script", "script", "short watch", "watch")
        self.databases = dict(zip(ways, map(Database, mine), strict=True))
        self.stores = [redis.Redis.from_url(url) for url in urls]
        self.told: list[bool] = []
        self._way = ""
        monkeypatch.setattr(committing, "lone_row", lambda change: lone_row(change) if "short" in self._way else None)
        monkeypatch.setattr(committing, "rich_row", lambda *given: rich_row(*given) if "short" in self._way else None)
        monkeypatch.setattr(committing, "write_rich_row", lambda *given, framed: self._noted(write_rich_row(*given, framed=framed)))
        monkeypatch.setattr(committing, "sets_alone", lambda change: "command" in self._way and sets_alone(change))
        monkeypatch.setattr(
            committing, "write_conditionally", lambda *given, framed: self._noted(write_conditionally(*given, framed=framed))
        )
        monkeypatch.setattr(committing, "write_row", lambda *given, framed: self._noted(write_row(*given, framed=framed)))
        monkeypatch.setattr(committing, "watch_row", lambda *arguments: self._noted(watch_row(*arguments)))

    def _noted(self, writing: Flow[bool | None]) -> Flow[bool | None]:
        written = yield from writing
        if written is not None:
            self.told.append(written)
        return written

    def each(self, work: Callable[[Database], str]) -> None:
        """Do the same in each, and compare what became of it and all that lies there."""
        came_to, left = [], []
        for (way, database), store in zip(self.databases.items(), self.stores, strict=True):
            self._way = way
            came_to.append(work(database))
            left.append(without_versions(content(store)))
        assert came_to == came_to[:1] * 5
        for other in left[1:]:
            assert {key: value for key, value in other.items() if left[0].get(key) != value} == {}
            assert {key: value for key, value in left[0].items() if other.get(key) != value} == {}

    def close(self) -> None:
        for database, store in zip(self.databases.values(), self.stores, strict=True):
            database.close()
            store.close()


def step(seed: str, model: type[RedisModel], database: Database) -> str:
    """Store or change one object, while others may be faster; what became of it."""
    chance = random.Random(seed)
    number, kind = chance.randrange(1, ROWS), chance.randrange(10)
    pk: Any = UUID(int=number) if model is Drawn else number
    with Session(database) as session:
        mine = session.get(model, pk)
    try:
        if mine is None or kind < 2:
            kind = kind % 2
            drawing.seed(seed)
            given = {} if kind and model in (Counted, Drawn, Listed) else {"id": pk}
            mine = model.model_validate({**given, **some_values(chance, model, 20)})
        else:
            if kind < 5:
                meddle(chance, database, model, pk)
            for name, value in some_values(chance, model, 4).items():
                setattr(mine, name, value)
        with Session(database) as session:
            if kind == 9:
                session.delete(mine)
            else:
                session.add(mine, ttl=chance.choice((None, None, None, 7200)))
            session.commit()
    except (ConflictError, IndexValueError) as error:
        return re.sub(r"[0-9]{9,}", "", str(error))  # versions are random
    return "written"


def meddle(chance: random.Random, database: Database, model: type[RedisModel], pk: object) -> None:
    """Be faster with the same row, or do something to it by hand."""
    way, row, client = chance.randrange(6), f"{model.__name__.lower()}:{pk}", database.client
    if way == 0:
        client.hset(row, "age" if model is Owned else "name", chance.choice("12"))  # a unique value that lies there by hand is nobody's
        return
    with Session(database) as session:
        theirs: Any = session.get_one(model, pk)
        if way == 1:
            session.delete(theirs)
        elif way == 2:
            theirs.name = chance.choice(CHOICES["name"])
        else:
            session.expire(theirs, chance.choice((5000, None)))
        session.commit()
    if way > 3:  # it expires, and what is remembered of it stays
        fields: Any = client.hgetall(row)
        client.delete(row)
        if way > 4:
            client.hset(row, mapping={name: text for name, text in fields.items() if name != b":ttl"})


@pytest.mark.parametrize("model", [Sample, Bare, Counted, Drawn, Fleeting, Listed, Dated, Logged, Owned, Kept])
def test_every_way_leaves_the_same_behind(server: Server, model: type[RedisModel], monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(server, monkeypatch)
    try:
        for history in range(HISTORIES):
            server.ask("FLUSHALL")
            for number in range(STEPS):
                ways.each(partial(step, f"{SEED}{history}/{number}", model))
    finally:
        ways.close()
    assert ways.told.count(True) > HISTORIES * STEPS / {Listed: 8, Owned: 3}.get(model, 2)
    assert ways.told.count(False) > HISTORIES


@pytest.mark.parametrize("user", EVERY_USER)
def test_threads_that_fight_for_rows_leave_indexes_exact(server: Server, user: str) -> None:
    """Each takes the row to be as it loaded it; who was slower looks, and no entry of what another wrote in between stays."""

    def work(number: int) -> None:
        chance = random.Random(number)
        with Database(as_user(server.url, user)) as own:
            for _ in range(STEPS):
                try:
                    with Session(own) as session:
                        pk = chance.randrange(1, 3)
                        one: Any = session.get(Sample, pk)
                        if one is None:
                            session.add(Sample(id=pk))
                        elif chance.random() < 0.1:
                            session.delete(one)
                        else:
                            one.age, one.name = chance.randrange(3), chance.choice("abc")
                            one.city = chance.choice(("Oslo", "Lima"))
                        session.commit()
                except StaleObjectError:
                    pass

    allow_all(server)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with Database(server.url) as db:
        report = db.check(Sample)
        assert report.problems == []


def test_what_a_user_may_not_run_is_refused_before_the_row_is_written(server: Server) -> None:
    server.ask("ACL", "SETUSER", "listless", "reset", "on", ">secret", "~*", "&*", "+@all", "-zadd")
    with Database(as_user(server.url, "listless")) as db, Session(db) as session:
        session.add(Sample(id=1))
        with pytest.raises(BackendError, match="ZADD"):
            session.commit()
        session.rollback()
        assert db.client.dbsize() == 0

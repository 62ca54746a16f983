"""Many changed and deleted rows leave the same behind as each by itself: spelled together for the script, under WATCH, or one by one."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import redis
from pydantic import BaseModel

from redisorm import ConflictError, Database, Field, IndexValueError, RedisModel, Session, SortedSet, StaleObjectError
from tests.reckoning import content
from tests.servers import Server
from tests.ways import ways

COMMITS = int(os.environ.get("REDISORM_HISTORIES", "3")) * 10


class Plain(RedisModel, prefix="plain"):
    """Fields of a hash, without any index."""

    id: int
    name: str = ""
    note: str | None = None
    amount: Decimal = Decimal(0)
    count: int | None = None
    blob: bytes = b""


class Listed(RedisModel, prefix="listed"):
    """The same kinds of fields, in indexes that values tell."""

    id: str
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    rank: int | None = Field(default=None, index=True)
    ratio: float = Field(default=0.0, index=True)
    day: date = Field(default=date(2026, 1, 1), index=True)
    uid: UUID = Field(default=UUID(int=1), index=True)
    note: str | None = None


class Boxed(RedisModel, prefix="boxed"):
    """Collections beside the hash."""

    id: int
    city: str | None = Field(default=None, index=True)
    note: str | None = None
    tags: set[str] = set()
    jobs: list[int] = []
    scores: SortedSet[str] = SortedSet()


class Fading(RedisModel, prefix="fading", ttl=3600):
    """A life that every write restarts, that of collections and structures too."""

    id: int
    name: str = ""
    note: str | None = None
    meta: dict[str, Any] = {}
    tags: set[str] = set()
    jobs: list[int] = []


class Waning(Listed, prefix="waning", ttl=3600):
    """The same life of rows in indexes, with collections beside them and unique values."""

    tags: set[str] = set()
    email: str | None = Field(default=None, unique=True)


class Owned(RedisModel, prefix="owned", unique_together=(("email", "name"),)):
    """Unique values, and values that are unique together."""

    id: int
    name: str = ""
    note: str | None = None
    email: str | None = Field(default=None, unique=True)
    rank: int | None = Field(default=None, index=True)


class Kept(RedisModel, prefix="kept", ttl=3600, ttl_refresh="never"):
    """A life that no write restarts."""

    id: int
    name: str = ""
    note: str | None = None


class Aged(RedisModel, prefix="aged", ttl=3600, ttl_refresh="never"):
    """The same of rows in indexes."""

    id: int
    name: str = Field(default="", index="lex")
    rank: int | None = Field(default=None, index=True)
    tags: set[str] = set()


class Labelled(RedisModel, prefix="labelled"):
    """Collections whose elements stand in an index."""

    id: int
    city: str | None = Field(default=None, index=True)
    note: str | None = None
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[int] = []


class Note(BaseModel):
    """A nested model that may store nothing."""

    text: str | None = None
    marks: list[int] | None = Field(default=None, inline=True)


class Place(BaseModel):
    """A nested model with an index, and one that may store nothing nested in it."""

    city: str = Field(default="", index=True)
    note: Note | None = None


class Nested(RedisModel, prefix="nested"):
    """JSON, nested models and unique values."""

    id: int
    meta: dict[str, Any] = {}
    maybe: int | str | None = Field(default=None, index=True)
    place: Place | None = None
    home: Place = Place(city="x")
    aside: Note | None = Note(text="x")
    email: str | None = Field(default=None, unique=True)
    name: str = Field(default="", index="lex")


VALUES: dict[str, list[Any]] = {
    "name": ["", "Ann", "a:b", "é\0", "Ann", "zz"],
    "note": [None, "", "long", None],
    "amount": [Decimal(0), Decimal("1.50"), Decimal("1.5")],
    "count": [None, 0, 7, 2**70],
    "blob": [b"", b"\xff\0", b"x"],
    "city": [None, "", "Oslo", "a:b", "%"],
    "age": [0, 1, -5, 2**53],
    "rank": [None, 0, 3],
    "ratio": [0.0, -0.0, 1.5, float("inf")],
    "day": [date(2026, 1, 1), date(1900, 2, 3)],
    "uid": [UUID(int=1), UUID(int=2)],
    "meta": [{}, {"a": 1}, {"a": 1.0}, {"a": [1, None, "é"]}],
    "maybe": [None, 1, "1", "x"],
    "place": [None, Place(), Place(city="Oslo", note=Note()), Place(note=Note(text="x"))],
    "home": [Place(city="x"), Place(note=Note(marks=[])), Place(city="Oslo", note=Note(text="y", marks=[1]))],
    "aside": [None, Note(), Note(text="x"), Note(marks=[1, 2])],
    "email": [None, None],
    "tags": [set(), {"a"}, {"a", "b", "é"}],
    "jobs": [[], [1, 2], [1, 2, 3], [2, 1]],
    "scores": [{}, {"a": 1.5}, {"a": 2.5, "b": float("inf")}],
}


HAPPENINGS = ("changed", "expiring", "permanent", "not listed", "forgotten", "sooner", "gone", "gone", "expired", "taken")
"""What another writer may do meanwhile."""

BY_HAND = ("not listed", "forgotten", "sooner", "expired")
"""What leaves a class otherwise than this library would."""

COUNTED: dict[Any, str] = {Plain: "count", Listed: "rank", Waning: "rank", Owned: "rank"}


def some(chance: random.Random, names: list[str]) -> dict[str, Any]:
    return {name: deepcopy(chance.choice(VALUES[name])) for name in names}


class Plan:
    """What happens in one round, the same in each database."""

    def __init__(self, chance: random.Random, model: type[RedisModel]) -> None:
        self.count = chance.choice((4, 6, 40))
        names = [name for name in model.model_fields if name != "id"]
        pk: Callable[[int], Any] = str if issubclass(model, Listed) else int
        self.rows = [{"id": pk(number), **some(chance, names)} for number in range(self.count)]
        for number, row in enumerate(self.rows):
            row.update(self._unique(chance, number, row))
        alike = chance.sample(names, chance.choice((1, 2, len(names))))
        self.changes: dict[int, dict[str, Any]] = {}
        for number in range(self.count):
            if chance.random() < 0.8:
                changed = some(chance, alike if chance.random() < 0.7 else chance.sample(names, 2))
                self.changes[number] = changed | self._unique(chance, number, changed)
        self.deleted = set(chance.sample(range(self.count), chance.choice((0, 0, 1, 5 if self.count > 4 else 4))))
        wishful = chance.sample(range(self.count), 2) if chance.random() < 0.4 else []
        self.wishes = {number: chance.choice(("increment", "expire", "both")) for number in wishful}
        self.behind = chance.choice((None, None, None, *HAPPENINGS))
        self.other = chance.randrange(self.count)
        self.aside = some(chance, names)

    @staticmethod
    def _unique(chance: random.Random, number: int, values: dict[str, Any]) -> dict[str, Any]:
        """A value of its own for the unique field among others."""
        return {"email": chance.choice((None, f"{number}@a", f"{number}@b"))} if "email" in values else {}

    @property
    def wanted(self) -> str:
        """A unique value that the other row may get."""
        return f"{self.other}@b"

    def happens_behind(self, model: type[RedisModel], database: Database, store: redis.Redis) -> None:
        """What another writer does between the reading and the writing."""
        with Session(database) as session:
            row = session.get_one(model, self.rows[self.other]["id"])
            if self.behind == "changed":
                for name, value in self.aside.items():
                    setattr(row, name, value)
            elif self.behind == "expiring":
                session.expire(row, 1000)
            elif self.behind == "permanent":
                session.expire(row, None)
            elif self.behind == "gone":
                session.delete(row)
            elif self.behind == "taken" and self.rows[self.other].get("email", self.wanted) != self.wanted:
                session.add(model.model_validate({"id": type(row.pk)(999), "email": self.wanted}))
            session.commit()
        key = f"{model.__redisorm_mapper__.options.prefix}:{self.rows[self.other]['id']}"
        if self.behind == "not listed":  # another program wrote it
            store.hdel(key, "id", "note")
        elif self.behind == "forgotten":
            store.delete(f"{key}::memo")
        elif self.behind == "sooner" and model.__redisorm_mapper__.options.ttl_ms is not None:
            store.pexpire(key, 1_000_000)
        elif self.behind == "expired":
            for name in (key, *(f"{key}:{one}" for one in ("tags", "jobs", "scores"))):
                store.delete(name)

    def carry_out(self, model: type[RedisModel], database: Database, store: redis.Redis, together: bool) -> str:
        objects: list[Any] = database_rows(model, database, self.rows)
        if self.behind is not None:
            self.happens_behind(model, database, store)
        try:
            if together:
                self._together(database, objects)
            else:
                self._one_by_one(database, objects)
        except (ConflictError, IndexValueError) as error:
            return type(error).__name__
        return "written"

    def _together(self, database: Database, objects: list[Any]) -> None:
        with Session(database) as session:
            session.add_all(objects)
            for number in range(self.count):
                self._do(session, number, objects[number])
            session.commit()

    def _one_by_one(self, database: Database, objects: list[Any]) -> None:
        for number in range(self.count):
            with Session(database) as session:
                session.add(objects[number])
                self._do(session, number, objects[number])
                session.commit()

    def _do(self, session: Session, number: int, obj: Any) -> None:
        for name, value in self.changes.get(number, {}).items():
            setattr(obj, name, deepcopy(value))
        if isinstance(obj, Nested):
            self._change_in_place(number, obj)
        if self.wishes.get(number) in ("expire", "both"):
            session.expire(obj, 900)
        if self.wishes.get(number) in ("increment", "both") and (field := COUNTED.get(type(obj))):
            session.increment(obj, field, 3)
        if number in self.deleted:
            session.delete(obj)

    def _change_in_place(self, number: int, obj: Nested) -> None:
        if number % 3 == 0:
            obj.meta["b"] = number % 2
            obj.home.note = Note() if obj.home.note is None else None
        if number % 3 == 1 and obj.aside is not None:
            obj.aside.text, obj.aside.marks = None, [] if obj.aside.marks is None else None
        if number % 5 == 0:
            obj.email = f"{number}@x"


def database_rows(model: type[RedisModel], database: Database, rows: list[dict[str, Any]]) -> list[Any]:
    with Session(database) as session:
        session.add_all([model.model_validate(deepcopy(row)) for row in rows])
        session.commit()
    with Session(database) as session:
        return session.get_many(model, [row["id"] for row in rows])


class Page(RedisModel, prefix="page", versioned=True):
    """A versioned row."""

    id: int
    text: str = ""
    part: int = Field(default=0, index=True)
    tags: set[str] = set()


def versions(db: Database) -> list[int]:
    client: Any = db.client
    return [int(client.hget(f"page:{pk}", ":version")) for pk in range(50)]


def test_no_version_is_overwritten_that_moved_meanwhile_and_each_grows_by_one(server: Server) -> None:
    with Database(server.url) as db, Session(db) as session:
        pages = database_rows(Page, db, [{"id": pk} for pk in range(50)])
        before = versions(db)
        session.add_all(pages)
        for page in pages:
            page.part += 1
        pages[3].tags.add("x")
        pages[4].text = "new"
        assert session.commit().objects == 50
        assert versions(db) == [one + 1 for one in before]
        with Session(db) as other:
            other.get_one(Page, 7).text = "another's"
            other.commit()
        was = content(db.client)
        for page in pages:
            page.part += 1
        with pytest.raises(StaleObjectError, match="Page 7 was changed by another writer"):
            session.commit()
        session.rollback()
        for page in pages[7:]:
            session.delete(page)
        with pytest.raises(StaleObjectError, match="Page 7 was changed by another writer"):
            session.commit()
        assert content(db.client) == was
        session.rollback()
        session.refresh(pages[7])
        for page in pages[7:]:
            session.delete(page)
        session.commit()
        assert sorted(session.find(Page).pks()) == list(range(7))
        assert db.check(Page).problems == []


@pytest.mark.parametrize("model", [Plain, Listed, Boxed, Nested, Fading, Waning, Owned, Labelled, Kept, Aged])
def test_many_changes_leave_behind_what_each_by_itself_does(server: Server, model: type[RedisModel]) -> None:
    outcomes: dict[str, int] = {}
    with ways(server) as databases:
        for number in range(COMMITS):
            server.ask("FLUSHALL")
            plan = Plan(random.Random(number), model)
            came_to = [plan.carry_out(model, *each) for each in databases]
            assert len(set(came_to)) == 1, (number, came_to)
            outcomes[came_to[0]] = outcomes.get(came_to[0], 0) + 1
            first, second, alone = (content(store) for _, store, _ in databases)
            assert first == second, number
            if came_to[0] == "written":
                assert first == alone, number
            if plan.behind not in BY_HAND:
                assert databases[0][0].check(model).problems == [], number
    assert outcomes["written"] > COMMITS / 2
    assert outcomes["StaleObjectError"] > 0

"""A session in which every kind of work waits, and a store whose every byte can be compared: what a fault is let loose on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from redisorm import Database, Field, RedisModel, Session, SortedSet
from tests.faults.colours import Colour
from tests.reckoning import everything, misfits

__all__ = ["Entry", "Item", "Scene", "stored"]


class Item(RedisModel, prefix="item", ttl=1000):
    """Indexes of each kind, a unique value, companions and a life: a commit of it sends every kind of command."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    stock: int = Field(default=0, ge=0, index=True)
    email: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = []
    scores: SortedSet[str] = SortedSet()


class Entry(RedisModel, prefix="entry", versioned=True):
    """A versioned row."""

    id: int
    amount: int = 0


def reckon(pk: str, texts: dict[str, str], companion: Callable[[str], Any]) -> tuple[dict[str, tuple[str, float | None]], list[str]]:
    """The index entries and unique values an item has to have."""
    entries: dict[str, tuple[str, float | None]] = {"name": (f"{texts['name']}\0{pk}", 0.0), "stock": (pk, float(texts["stock"]))}
    entries[f"city:{texts['city']}" if "city" in texts else "city:"] = (pk, None)
    entries.update({f"tags:{tag}": (pk, None) for tag in companion("tags")})
    if "email" not in texts:
        entries["email:"] = (pk, None)
    return entries, [f"email:{texts['email']}"] if "email" in texts else []


def stored(port: int) -> dict[str, Any]:
    """Everything a server holds: content and deadline of each key."""
    with redis.Redis(port=port) as store:
        return {key.decode(): (held.content, held.deadline_ms) for key, held in everything(store).items()}


class Scene:
    """Rows in a store, and a session with an update, a delete, an increment, a new life, a new row and a version waiting.

    Attributes:
        session: The session; nothing of it is committed.
        before: What the store held before.
    """

    def __init__(self, colour: Colour, db: Database, port: int) -> None:
        self.colour, self.port = colour, port
        with redis.Redis(port=port) as store, Database(client=store) as admin, Session.begin(admin) as session:
            session.add_all(Item(id=n, name=f"n{n}", city="Oslo", email=f"{n}@x", tags={"a"}, jobs=["j"]) for n in (1, 2, 3, 4))
            session.add(Entry(id=1, amount=10))
        self.session = colour.Session(db)
        first, second, third, fourth = colour.do(self.session.get_many(Item, [1, 2, 3, 4]))
        first.name, first.city, first.email = "other", None, "other@x"
        first.tags.add("b")
        first.jobs.append("k")
        first.scores = SortedSet({"m": 1.5})
        self.session.delete(second)
        self.session.increment(third, "stock", 5)
        self.session.expire(fourth, 500)
        self.session.add(Item(id=5, name="new", email="5@x", tags={"c"}))
        colour.do(self.session.get_one(Entry, 1)).amount -= 3
        self.before = stored(port)

    def commit(self) -> Any:
        """Commit the session."""
        return self.colour.do(self.session.commit())

    def check_nothing_happened(self) -> None:
        """Check that the store is as it was, and that the session has all its work still."""
        assert stored(self.port) == self.before
        assert [item.id for item in self.session.new] == [5]
        assert [item.id for item in self.session.deleted] == [2]
        assert sorted((type(one).__name__, one.id) for one in self.session.dirty) == [("Entry", 1), ("Item", 1), ("Item", 3), ("Item", 4)]

    def check_all_happened(self) -> None:
        """Check that the store has all the work, once, and indexes that fit."""
        with redis.Redis(port=self.port) as store, Database(client=store) as admin, Session(admin) as session:
            first, second, third, fourth, fifth = session.get_many(Item, [1, 2, 3, 4, 5])
            assert first == Item(
                id=1, name="other", email="other@x", tags={"a", "b"}, jobs=["j", "k"], scores=SortedSet({"m": 1.5}), city=None, stock=0
            )
            assert (second, fourth is None) == (None, False)
            assert third is not None
            assert third.stock == 5
            assert fifth == Item(id=5, name="new", email="5@x", tags={"c"})
            assert 0 < store.ttl("item:4") <= 500
            assert store.ttl("item:4:tags") == store.ttl("item:4")
            assert session.get_one(Entry, 1).amount == 7
            assert misfits(store, "item", reckon) == []

    def is_settled(self) -> bool:
        """Whether the session has nothing waiting any more."""
        return not (self.session.new or self.session.dirty or self.session.deleted)

    def close(self) -> None:
        """Discard the session."""
        self.session.close()

"""Classes of which everything is kept that can be: entries of every kind, unique values, memos, collections; and what it has to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Literal

from redisorm import Database, Field, GeoPoint, RedisModel, Report, Session
from redisorm.commands import Flow, Watch
from redisorm.mapping.base import MappedModel

__all__ = ["COLOURS", "Colour", "Guest", "Resident", "interrupted", "kinds", "reckon", "store", "upkeep"]

Colour = Literal["sync", "async"]
COLOURS: tuple[Colour, ...] = ("sync", "async")


class Resident(RedisModel, prefix="resident", unique_together=(("city", "age"),)):
    """A row for ever."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    email: str | None = Field(default=None, unique=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = Field(default=[], index=True)


class Guest(Resident, prefix="guest", ttl=1000):
    """A row that expires."""


def reckon(pk: str, texts: dict[str, str], companion: Callable[[str], Any]) -> tuple[dict[str, tuple[str, float | None]], list[str]]:
    """Say what has to be kept of a row without a place."""
    entries: dict[str, tuple[str, float | None]] = {"name": (f"{texts['name']}\0{pk}", 0.0), "age": (pk, float(texts["age"]))}
    entries[f"city:{texts['city']}" if "city" in texts else "city:"] = (pk, None)
    entries["place:"] = (pk, None)
    if "email" not in texts:
        entries["email:"] = (pk, None)
    for name in ("tags", "jobs"):
        entries.update({f"{name}:{element}": (pk, None) for element in companion(name)})
    claims = [f"city+age:{texts['city']}:{texts['age']}"] if "city" in texts else []
    return entries, [*claims, *([f"email:{texts['email']}"] if "email" in texts else [])]


def store(db: Database, *objects: MappedModel, ttl: float | None = None) -> None:
    """Commit objects."""
    with Session.begin(db) as session:
        for obj in objects:
            session.add(obj, ttl=ttl)


def upkeep(
    db: Database, colour: Colour, verb: Literal["check", "repair", "reindex", "sweep"], model: type[MappedModel], **options: Any
) -> Any:
    """Call `db.check` or `await db.acheck`, and so on."""
    if colour == "sync":
        return getattr(db, verb)(model, **options)
    return asyncio.run(getattr(db, f"a{verb}")(model, **options))


def kinds(report: Report) -> set[str]:
    """The kinds of problems in a report."""
    return {problem.kind for problem in report.problems}


def interrupted(flow: Flow[Any], meanwhile: Callable[[], object]) -> Generator[Any, Any, Any]:
    """Run something between the first look under WATCH and what follows it."""
    request, done = next(flow), False
    while True:
        answer = yield request
        if isinstance(request, Watch) and not done:
            done = True
            meanwhile()
        try:
            request = flow.send(answer)
        except StopIteration as end:
            return end.value

"""What memory is held: by iterations, whatever the size of the class, and by loaded objects beside plain ones."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from redisorm import AsyncSession, Database, Field, RedisModel, Session, connect
from tests.servers import Server


class Plain(BaseModel):
    id: int
    name: str
    city: str
    age: int
    score: float


class Row(RedisModel, prefix="row"):
    id: int
    name: str
    city: str = Field(index=True)
    age: int
    score: float


def rows(begin: int, end: int) -> list[Row]:
    return [Row(id=one, name=f"name {one}", city="Oslo", age=one % 90, score=one / 2) for one in range(begin, end)]


def store(db: Database, begin: int, end: int) -> None:
    with Session(db) as session:
        session.add_all(rows(begin, end))
        session.commit(batch=1000)


def peak(work: Callable[[], Any]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def held(make: Callable[[], Any]) -> int:
    make()  # what is compiled once does not count
    gc.collect()
    tracemalloc.start()
    try:
        kept = make()
        gc.collect()
        assert kept
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def walk(db: Database, **conditions: str) -> None:
    with Session(db) as session:
        assert sum(1 for _ in session.find(Row, **conditions)) > 0


def walk_awaited(db: Database) -> None:
    async def walking() -> int:
        async with AsyncSession(db) as session:
            return len([None async for _ in session.find(Row)])

    assert asyncio.run(walking()) > 0


@pytest.mark.parametrize(
    "work",
    [walk, lambda db: walk(db, city="Oslo"), walk_awaited],
    ids=["all", "condition", "awaited"],
)
def test_iteration_holds_no_more_of_a_class_four_times_as_large(valkey: Server, work: Callable[[Database], None]) -> None:
    """What is held of the same replies does not depend on who sent them."""
    with Database(valkey.flush().url) as db:
        store(db, 0, 1500)
        work(db)
        few = peak(lambda: work(db))
        store(db, 1500, 6000)
        many = peak(lambda: work(db))

    assert many < 1.5 * few
    assert many < 8e6


def test_loaded_object_holds_at_most_half_more_than_a_plain_one() -> None:
    with connect("memory://") as db:
        store(db, 0, 500)
        texts = [one.model_dump_json() for one in rows(0, 500)]

        plain = held(lambda: [Plain.model_validate_json(text) for text in texts])

        assert held(lambda: Row.get_many(range(500))) < 1.5 * plain


def wide(fields: int) -> Any:
    """A class that has saved an object, so that everything is compiled."""
    named: dict[str, Any] = {f"field{place}": (str, ...) for place in range(fields)}
    model: Any = create_model(f"Wide{fields}", __base__=RedisModel, id=(int, ...), **named)
    model(id=1, **{name: f"text of {name}" for name in named}).save()
    return model


def test_memory_of_a_class_and_of_its_objects_is_linear_in_its_fields() -> None:
    with connect("memory://"):
        of_class = {fields: held(lambda fields=fields: wide(fields)) for fields in (20, 200)}  # type: ignore[misc]
        few, many = wide(20), wide(200)

        assert of_class[200] < 12.5 * of_class[20]
        assert held(lambda: many.get_many([1] * 50)) < 12.5 * held(lambda: few.get_many([1] * 50))

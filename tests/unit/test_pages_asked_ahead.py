"""The keys of the next page of a query are asked for while the rows of one are read: what is sent, and that nothing else changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from redisorm import BackendError, Database, Field, RedisModel, Session, col
from redisorm.commands import Batch, Watch
from redisorm.flows.loading import BATCH, SLICE
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork.reading import Alone, Reading
from tests.unit.desk import Desk, async_session_on, session_on, talk

ROWS = 2 * BATCH + 3 * SLICE + 1


class Walker(RedisModel, prefix="walker"):
    id: int
    age: int = Field(default=0, index=True)


@pytest.fixture(scope="module")
def store() -> Iterator[Database]:
    with Database("memory://") as database:
        with Session.begin(database) as session:
            session.add_all(Walker(id=pk, age=pk) for pk in range(ROWS))
        yield database


class Answering:
    """Answers from a store, and refuses what some question begins with from the given time on."""

    def __init__(self, store: Database, refused: str = "", after: int = 0) -> None:
        self._client: Any = store.client
        self._refused = refused
        self._after = after

    def __call__(self, batch: Batch | Watch) -> Any:
        if batch.commands[0][0] == self._refused:
            self._after -= 1
            if self._after < 0:
                return BackendError("refused")
        return [self._client.execute_command(*command) for command in batch.commands]


def firsts(desk: Desk) -> list[str]:
    """The first command of each batch; those of the rows of one page are one."""
    names = [str(request.commands[0][0]) for request in talk(desk)]
    return [name for place, name in enumerate(names) if place == 0 or name != names[place - 1]]


def by_age() -> Any:
    return col(Walker.age) >= 0


def test_each_further_page_costs_one_round_trip(store: Database) -> None:
    desk = Desk(Answering(store))

    found = [one.id for one in session_on(desk).find(Walker, by_age())]

    assert found == list(range(ROWS))
    assert firsts(desk) == ["ZRANGE", "HMGET", "ZRANK", "HMGET", "ZRANK", "HMGET"]
    assert desk.round_trips == 4


def test_each_further_page_costs_one_round_trip_awaited(store: Database) -> None:
    desk = Desk(Answering(store))

    async def main() -> list[int]:
        return [one.id async for one in async_session_on(desk).find(Walker, by_age())]

    assert asyncio.run(main()) == list(range(ROWS))
    assert desk.round_trips == 4


def test_no_more_is_asked_ahead_than_was_asked_for(store: Database) -> None:
    desk = Desk(Answering(store))

    found = session_on(desk).find(Walker, by_age()).limit(BATCH + 1).all()

    assert len(found) == BATCH + 1
    assert firsts(desk) == ["ZRANGE", "HMGET", "ZRANK", "HMGET"]
    assert [command[-1] for command in desk.commands if command[0] == "ZRANK"] == [str(BATCH - 1).encode()]


def test_pages_of_few_rows_are_asked_ahead_too(store: Database) -> None:
    desk = Desk(Answering(store))
    reading: Reading[Walker] = Reading(session_on(desk).find(Walker, by_age())._asked, Alone(""), "")
    pages: list[list[int]] = []
    while len(pages) < 3:
        pages.append([one.id for one in desk.run(reading.batch(1))])

    assert pages == [[0], [1], [2]]
    assert desk.round_trips == 4


def test_page_that_a_session_has_whole_leaves_the_next_to_be_asked_by_itself(store: Database) -> None:
    desk = Desk(Answering(store))
    session = session_on(desk)
    kept = session.get_many(Walker, range(BATCH))
    before = desk.round_trips

    found = [one.id for one in session.find(Walker, by_age())]

    assert found == list(range(ROWS))
    assert len(kept) == BATCH
    assert desk.round_trips - before == 4


def test_rows_that_are_gone_when_they_are_read_are_left_out(store: Database) -> None:
    desk = Desk(Answering(store))
    going = iter(session_on(desk).find(Walker, by_age()))
    first = next(going)
    keys = mapper_of(Walker).keyspace("").rows([str(BATCH), str(BATCH + 1)])
    row: Any = [store.client.hgetall(key) for key in keys]
    store.client.delete(*keys)
    try:
        found = [first.id, *(one.id for one in going)]
    finally:
        for key, texts in zip(keys, row, strict=True):
            store.client.hset(key, mapping=texts)

    assert found == [pk for pk in range(ROWS) if pk not in (BATCH, BATCH + 1)]


def test_error_of_the_next_page_does_not_take_the_rows_of_the_one_before(store: Database) -> None:
    desk = Desk(Answering(store, "ZRANK", after=1))
    found: list[int] = []

    with pytest.raises(BackendError, match="refused"):
        found.extend(one.id for one in session_on(desk).find(Walker, by_age()))

    assert found == list(range(2 * BATCH))


def test_nothing_is_under_way_between_two_pages(store: Database) -> None:
    desk = Desk(Answering(store))
    going = iter(session_on(desk).find(Walker, by_age()))
    next(going)

    assert not desk._posted
    going.close()  # type: ignore[attr-defined]
    assert len(session_on(desk).find(Walker, by_age()).limit(5).all()) == 5

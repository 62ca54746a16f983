"""Many new, changed and deleted rows in one commit while connections break and others write: all happens or nothing, and indexes fit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import BackendError, CommitUnknownError, ConnectionFailedError, Database, Field, RedisModel, Session, StaleObjectError, col
from tests.faults.colours import Colour, Open
from tests.faults.proxy import Fault, Proxy
from tests.faults.scene import stored
from tests.faults.test_refused_commits import REFUSALS, suffering
from tests.faults.users import as_user
from tests.servers import Server

M = TypeVar("M", bound=RedisModel)

CHANGED, DELETED, NEW = range(12), range(12, 20), range(20, 26)
THREADS, ROUNDS = 4, 8


class Place(RedisModel, prefix="place"):
    """A row in indexes."""

    id: int
    city: str = Field(default="", index=True)
    rank: int = Field(default=0, index=True)
    note: str = ""


class Sheet(RedisModel, prefix="sheet", versioned=True):
    """A versioned row."""

    id: int
    count: int = 0


def waiting(colour: Colour, db: Database, port: int) -> Any:
    """A session in which rows of every kind wait to be written."""
    with redis.Redis(port=port) as store, Database(client=store) as admin, Session.begin(admin) as session:
        session.add_all(Place(id=pk, city="Oslo", rank=pk) for pk in (*CHANGED, *DELETED))
    session = colour.Session(db)
    for place in colour.do(session.get_many(Place, [*CHANGED, *DELETED])):
        if place.id in DELETED:
            session.delete(place)
        elif place.id == 3:
            session.increment(place, "rank", 100)
        else:
            place.city, place.rank = "Bergen", 100 + place.id
    session.add_all(Place(id=pk, city="Bergen", rank=100 + pk) for pk in NEW)
    return session


def check_all_happened(port: int) -> None:
    with redis.Redis(port=port) as store, Database(client=store) as admin, Session(admin) as session:
        assert [place.id for place in session.find(Place).order_by(col(Place.rank)).all()] == [*CHANGED, *NEW]
        assert session.find(Place, Place.city == "Bergen").count() == len(CHANGED) + len(NEW) - 1
        assert session.find(Place, Place.rank >= 100).count() == len(CHANGED) + len(NEW)
        assert admin.check(Place).problems == []


@pytest.mark.parametrize("kind", ["lose", "cut", "halve"])
@pytest.mark.parametrize("command", ["WATCH", "HMGET", "MULTI", "HSET", "EXEC"])
def test_commit_of_many_rows_writes_all_or_nothing_where_its_connection_breaks(
    kind: Any, command: str, proxy: Proxy, colour: Colour, opened: Open, server: Server, user: str
) -> None:
    db = opened(as_user(proxy.url, user), timeout=5, retry=Retry(NoBackoff(), 2), max_connections=1, pool_timeout=1)
    session = waiting(colour, db, server.port)
    before = stored(server.port)
    fault = proxy.arm(Fault(kind, command))
    try:
        colour.do(session.commit())
    except (ConnectionFailedError, CommitUnknownError):
        proxy.heal()
        if stored(server.port) == before:
            assert len(session.new) == len(NEW)
            assert len(session.dirty) == len(CHANGED)
            assert len(session.deleted) == len(DELETED)
            colour.do(session.commit())
        else:
            session.rollback()
    assert fault.times == (user == "scripting" and command in ("WATCH", "HMGET", "HSET"))
    check_all_happened(server.port)
    assert [list(left) for left in (session.new, session.dirty, session.deleted)] == [[], [], []]
    session.close()


@pytest.mark.parametrize("kind", ["lose", "halve"])
def test_lost_answer_to_many_rows_is_unknown_and_they_are_written_once(
    kind: Any, proxy: Proxy, colour: Colour, opened: Open, server: Server, user: str
) -> None:
    db = opened(as_user(proxy.url, user), timeout=5, retry=Retry(NoBackoff(), 2), max_connections=1, pool_timeout=1)
    session = waiting(colour, db, server.port)
    sent = proxy.delivered["EXEC"]
    proxy.arm(Fault(kind, "EXEC", times=5))
    with pytest.raises(CommitUnknownError, match="not sent again by itself"):
        colour.do(session.commit())
    assert proxy.delivered["EXEC"] - sent == 1
    proxy.heal()
    check_all_happened(server.port)
    session.rollback()
    session.close()


def rows_of(session: Session, model: type[M]) -> list[M]:
    """The eight rows on which many threads write."""
    rows = [row for row in session.get_many(model, range(8)) if row is not None]
    assert len(rows) == 8
    return rows


@pytest.mark.parametrize("name", ["full", "replica", "busy", "may not HSET", "may not ZADD", "may not UNLINK", "may not EXEC"])
def test_commit_of_many_rows_that_is_refused_writes_nothing_and_can_be_made_again(
    name: str, colour: Colour, opened: Open, server: Server, user: str
) -> None:
    fault, code = REFUSALS[name]
    db = opened(as_user(server.url, user), timeout=5, retry=Retry(NoBackoff(), 1))
    session = waiting(colour, db, server.port)
    before = stored(server.port)
    with suffering(fault, server):
        for _ in range(2):
            with pytest.raises(BackendError) as caught:
                colour.do(session.commit())
            assert caught.value.code == code
    assert stored(server.port) == before
    colour.do(session.commit())
    check_all_happened(server.port)
    session.close()


def all_at_once(work: Callable[[int], None]) -> None:
    """Do something in each of many threads, which begin together."""
    barrier = threading.Barrier(THREADS)

    def one(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(one, range(THREADS)))


def test_many_versioned_rows_lose_no_update_of_others(server: Server, user: str) -> None:
    with Database(as_user(server.url, user)) as db:
        with Session.begin(db) as session:
            session.add_all(Sheet(id=pk) for pk in range(8))

        def count(_: int) -> None:
            done = 0
            while done < ROUNDS:
                try:
                    with Session.begin(db) as session:
                        for sheet in rows_of(session, Sheet):
                            sheet.count += 1
                except StaleObjectError:
                    continue
                done += 1

        all_at_once(count)
        with Session(db) as session:
            assert [sheet.count for sheet in rows_of(session, Sheet)] == [THREADS * ROUNDS] * 8


def test_many_rows_that_others_write_at_once_are_never_mixed_and_their_indexes_fit(server: Server, user: str) -> None:
    with Database(as_user(server.url, user)) as db:
        with Session.begin(db) as session:
            session.add_all(Place(id=pk) for pk in range(8))

        def move(number: int) -> None:
            for turn in range(ROUNDS):
                with Session.begin(db) as session:
                    places = rows_of(session, Place)
                    assert len({(place.city, place.rank) for place in places}) == 1
                    for place in places:
                        place.city, place.rank = f"city{number}", number * 100 + turn

        all_at_once(move)
        with Session(db) as session:
            ((city, rank),) = {(place.city, place.rank) for place in rows_of(session, Place)}
            assert session.find(Place, Place.city == city, Place.rank == rank).count() == 8
        assert db.check(Place).problems == []

"""Hundreds of threads, thousands of tasks and forked children share one database: nothing crosses over."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from redisorm import AsyncSession, BackendTimeoutError, Database, Session, SessionError
from redisorm.commands import Batch, Flow, Watch
from tests.faults.worker import Account, Hits
from tests.servers import Server
from tests.zoo.models import Board, User


def own_row(db: Database, number: int) -> None:
    """Store, change and reread a row that nobody else touches, in sessions of this thread."""
    with Session.begin(db) as session:
        session.add(Board(id=number, name=str(number), tags={str(number)}))
    for _ in range(3):
        with Session.begin(db) as session:
            board = session.get_one(Board, number)
            assert (board.name, board.tags) == (str(number), {str(number)})
            board.jobs.append(str(number))
    with Session(db) as session:
        assert session.get_one(Board, number).jobs == [str(number)] * 3
        assert Board.get(number) is session.get_one(Board, number)  # verbs join the session of their own thread


def test_hundreds_of_threads_share_a_database(server_url: str) -> None:
    with Database(server_url, max_connections=8, pool_timeout=60) as db, ThreadPoolExecutor(200) as threads:
        list(threads.map(lambda number: own_row(db, number), range(200)))
        with Session(db) as session:
            assert [board and board.id for board in session.get_many(Board, range(200))] == list(range(200))


def test_thousands_of_tasks_share_a_database(server_url: str) -> None:
    async def own(db: Database, number: int) -> None:
        async with AsyncSession.begin(db) as session:
            session.add(User(id=number, name=str(number)))
        async with AsyncSession.begin(db) as session:
            user = await session.get_one(User, number)
            await asyncio.sleep(0)
            assert user.name == str(number)
            user.age = number

    async def main() -> None:
        async with Database(server_url, max_connections=20, pool_timeout=60) as db:
            await asyncio.gather(*(own(db, number) for number in range(2_000)))
            async with AsyncSession(db) as session:
                assert [user and user.age for user in await session.get_many(User, range(2_000))] == list(range(2_000))

    asyncio.run(main())


def test_threads_and_tasks_of_several_loops_mix(server_url: str) -> None:
    with Database(server_url, max_connections=8, pool_timeout=60) as db:
        with Session.begin(db) as session:
            session.add(Hits(id=1))

        async def crowd() -> None:
            async def one() -> None:
                async with AsyncSession.begin(db) as session:
                    session.increment(await session.get_one(Hits, 1), "plain", 1)

            await asyncio.gather(*(one() for _ in range(20)))

        def blocking() -> None:
            for _ in range(20):
                with Session.begin(db) as session:
                    session.increment(session.get_one(Hits, 1), "plain", 1)

        threads = [threading.Thread(target=lambda: asyncio.run(crowd())) for _ in range(3)]
        threads += [threading.Thread(target=blocking) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with Session(db) as session:
            assert session.get_one(Hits, 1).plain == 120


def test_pool_that_stays_exhausted_is_a_clear_error_in_bounded_time(server_url: str) -> None:
    with Database(server_url, max_connections=1, pool_timeout=0.2) as db:
        with Session.begin(db) as session:
            session.add(User(id=1, name="Ann"))

        def holding() -> Flow[None]:
            yield Watch(["user:1"], [("HGET", "user:1", "name")])
            with Session(db) as session, pytest.raises(BackendTimeoutError, match="raise max_connections or pool_timeout"):
                session.get(User, 1)
            yield Batch([("HSET", "user:1", "name", "Bob")], atomic=True)

        db.run(holding())
        with Session(db) as session:
            assert session.get_one(User, 1).name == "Bob"


def test_session_used_from_many_threads_at_once_serves_one_and_tells_the_others(server: Server) -> None:
    with Database(server.url) as db, Session(db) as session, ThreadPoolExecutor(16) as threads:
        session.add_all(User(id=number, name="Ann") for number in range(50))
        session.commit()
        together = threading.Barrier(16)
        told: list[bool] = []

        def ask(number: int) -> None:
            together.wait()
            try:
                session.refresh(session.get_one(User, number))
                told.append(False)
            except SessionError:
                told.append(True)

        list(threads.map(ask, range(16)))
        assert len(told) == 16
        assert not all(told)
        assert session.get_one(User, 3).name == "Ann"  # and it still works


@contextmanager
def forked(work: Callable[[], None]) -> Iterator[None]:
    """Do something in a forked child meanwhile; it must come to a good end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    yield
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_fork_after_connect_shares_no_connection_and_loses_no_update(server: Server) -> None:
    with Database(server.url) as db:
        with Session.begin(db) as session:
            session.add_all([Hits(id=1), Account(id=0)])

        def work() -> None:
            for _ in range(50):
                with Session.begin(db) as session:
                    session.increment(session.get_one(Hits, 1), "plain", 1)
                    assert session.get_one(Account, 0).id == 0

        with Session(db) as before:
            kept = before.get_one(Hits, 1)
            with forked(work), forked(work):
                work()
            before.increment(kept, "plain", 1)
            before.commit()
            assert kept.plain == 151
        assert int(db.client.info("clients")["connected_clients"]) < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_session_that_was_open_at_the_fork_commits_in_both_processes(server: Server) -> None:
    with Database(server.url) as db:
        with Session.begin(db) as session:
            session.add(User(id=1, name="Ann"))
        with Session(db) as session:
            user = session.get_one(User, 1)

            def in_child() -> None:
                user.name = "child"
                session.commit()

            user.age = 7
            with forked(in_child):
                session.commit()
        with Session(db) as session:
            assert session.get_one(User, 1) == User(id=1, name="child", age=7)

"""Cancelled or interrupted at any instant, a commit is written whole or not at all, and the connections stay good."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from pydantic import ValidationError

import redisorm
from redisorm import AsyncSession, Database, Session
from redisorm.commands import Batch, Command, Watch
from redisorm.keys import VERSION
from tests.faults.scene import Entry, Item
from tests.faults.users import allow_all, as_user
from tests.servers import Server
from tests.unit.desk import Desk, session_on
from tests.zoo.models import Account, User

USER_OPTIONS = ("memory", "scripting", "watching")


@pytest.fixture(params=USER_OPTIONS)
def url(request: pytest.FixtureRequest) -> str:
    """In memory, and on a server by script and by WATCH."""
    if request.param == "memory":
        return "memory://"
    server: Server = request.getfixturevalue("valkey").flush()
    allow_all(server)
    return as_user(server.url, request.param)


class CancelledAt(Awaitable[Any]):
    """An awaitable that has its task cancelled where it waits for the n-th time, as `task.cancel()` does from outside.

    Attributes:
        waits: How often it waited.
    """

    def __init__(self, inner: Awaitable[Any], at: int) -> None:
        self._inner = inner
        self._at = at
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._inner.__await__()
        sent: Any = None
        raised: BaseException | None = None
        while True:
            try:
                waiting = steps.throw(raised) if raised is not None else steps.send(sent)
            except StopIteration as end:
                return end.value
            raised = None
            self.waits += 1
            if self.waits == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001 - it is handed on
                raised = error


def seed(db: Database) -> None:
    db.client.delete("entry:1")  # a new versioned object expects no row
    with Session.begin(db) as session:
        session.add_all([User(id=1, name="a", age=50), User(id=2, name="b", age=50), Entry(id=1, amount=1)])
        session.add(Item(id=1, name="a", city="Oslo", tags={"a"}))


def total(db: Database) -> tuple[int, int, int, bool]:
    with Session(db) as session:
        one, two, entry, item = session.get_one(User, 1), session.get_one(User, 2), session.get_one(Entry, 1), session.get_one(Item, 1)
        return one.age, two.age, entry.amount, item.city == "Lima" and item.tags == {"b"}


async def transfer(session: AsyncSession) -> None:
    one, two = await session.get_many(User, [1, 2])
    entry, item = await session.get_one(Entry, 1), await session.get_one(Item, 1)
    assert one is not None
    assert two is not None
    one.age, two.age, entry.amount, item.city, item.tags = 40, 60, 2, "Lima", {"b"}
    await session.commit()


BEFORE, AFTER = (50, 50, 1, False), (40, 60, 2, True)


def test_cancelling_at_every_await_leaves_all_or_nothing_and_a_healthy_pool(url: str) -> None:
    outcomes: set[Any] = set()

    async def once(db: Database, at: int) -> bool:
        seed(db)
        session = AsyncSession(db)
        cancelled = CancelledAt(transfer(session), at)
        try:
            await asyncio.wait_for(asyncio.ensure_future(running(cancelled)), 5)
        except asyncio.CancelledError:
            outcomes.add("cancelled")
        found = total(db)
        assert found in (BEFORE, AFTER), at
        outcomes.add(found)
        # The one connection of the pool is free and answers what it is asked, and the same session goes on.
        session.rollback()
        assert [user and user.id for user in await session.get_many(User, [2, 3, 1])] == [2, None, 1]
        session.close()
        fresh = AsyncSession(db)
        (await fresh.get_one(User, 1)).age += 1
        await asyncio.wait_for(fresh.commit(), 5)
        fresh.close()
        assert total(db)[0] == found[0] + 1
        return cancelled.waits < at

    async def main() -> None:
        async with Database(url, max_connections=1, pool_timeout=2) as db:
            for at in range(1, 200):
                if await once(db, at):
                    return
            raise AssertionError("it waits for ever")

    asyncio.run(main())
    assert outcomes >= {"cancelled", BEFORE, AFTER} or url == "memory://"


async def running(cancelled: Awaitable[Any]) -> Any:
    return await cancelled


def test_cancelling_at_random_times_leaves_all_or_nothing(url: str) -> None:
    chance = random.Random(1)
    outcomes: list[Any] = []

    async def main() -> None:
        async with Database(url, max_connections=4, pool_timeout=2) as db:
            for _ in range(60):
                seed(db)
                sessions = [AsyncSession(db) for _ in range(3)]
                tasks = [asyncio.ensure_future(transfer(session)) for session in sessions]
                await asyncio.sleep(chance.random() * 0.004)
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                outcomes.extend(type(result) for result in results)
                assert total(db) in (BEFORE, AFTER)
                for session in sessions:
                    session.close()
            assert len(await asyncio.gather(*(AsyncSession(db).get_one(User, 1) for _ in range(50)))) == 50

    asyncio.run(main())
    assert asyncio.CancelledError in outcomes or url == "memory://"


# ---- at every request, without a server -----------------------------------------------------------------------------------


class Interrupting(Desk):
    """A scripted server at which the n-th request is interrupted, where the awaited face waits once before each answer."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        super().__init__(self._reply)
        self._at = at
        self._error = error
        self._stored = {"id": b"1", "balance": b"5", VERSION: b"3"}

    def _reply(self, request: Batch | Watch) -> Any:
        if self.round_trips == self._at:
            return self._error()
        return [self._answer_to(command) for command in request.commands]

    def _answer_to(self, command: Command) -> Any:
        if command[0] == "HMGET":
            return [self._stored.get(str(name)) for name in command[2:]]
        return [] if command[0] == "LRANGE" else 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_commit_interrupted_at_any_request_keeps_the_work_and_sends_nothing_more(error: type[BaseException]) -> None:
    for at in range(1, 10):
        desk = Interrupting(at + 1, error)  # the load is the first
        session = session_on(desk)
        account = session.get_one(Account, 1)
        account.balance = 9
        try:
            session.commit()
        except error:
            assert desk.round_trips == at + 1
        else:
            assert at > 1
            return
        assert session.dirty == [account]
        session.commit()
        assert session.dirty == []
        assert ("HSET", "account:1", "balance", 9, VERSION, 4) in desk.commands
    raise AssertionError("it asks for ever")


# ---- at every line of the library -----------------------------------------------------------------------------------------

LIBRARY = str(Path(redisorm.__file__).parent)


ROUNDS = 8
"""In how many rounds a line of a loop is interrupted; a later round is as the one before."""


class InterruptedAt:
    """Raises KeyboardInterrupt where the n-th line of the drivers is about to run, those of later rounds of loops left out.

    Attributes:
        lines: How many lines ran.
        where: The line that did not.
    """

    def __init__(self, at: int, below: str = "drivers") -> None:
        self._at = at
        self._below = str(Path(LIBRARY) / below)
        self._rounds: Counter[tuple[CodeType, int]] = Counter()
        self.lines = 0
        self.where = ""

    def __enter__(self) -> InterruptedAt:
        self._former = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._former)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._below) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and not self.where:
            self._rounds[frame.f_code, frame.f_lineno] += 1
            self.lines += self._rounds[frame.f_code, frame.f_lineno] <= ROUNDS
            if self.lines == self._at:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._line


def note_transfer(session: Session) -> None:
    one, two = session.get_one(User, 1), session.get_one(User, 2)
    entry, item = session.get_one(Entry, 1), session.get_one(Item, 1)
    one.age, two.age, entry.amount, item.city, item.tags = 40, 60, 2, "Lima", {"b"}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of a connection that nobody could close before it was dropped
def test_interrupt_at_every_line_of_the_drivers_leaves_all_or_nothing_and_a_healthy_pool(url: str) -> None:
    with Database(url, max_connections=1, pool_timeout=0.05) as db:
        seed(db)
        for at in range(1, 2_000):
            session = Session(db)
            note_transfer(session)
            interruption = InterruptedAt(at)
            try:
                with interruption:
                    session.commit()
            except KeyboardInterrupt:
                pass
            found = total(db)
            assert found in (BEFORE, AFTER), interruption.where
            if found == AFTER:
                seed(db)
            if not interruption.where:
                return
        raise AssertionError("it runs for ever")


PACKING = """
import random, signal
from redisorm.commands import Batch
from redisorm.drivers import exchange
from redisorm.drivers.server import KnownServer

signal.signal(signal.SIGALRM, signal.default_int_handler)
batch, server, interrupts = Batch([("HSET", "user:1", *range(50))] * 20), KnownServer(), 0
while interrupts < 300:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.001))
        while True:
            exchange.batch(batch, server)
    except KeyboardInterrupt:
        interrupts += 1
print(interrupts)
"""


def test_interrupt_while_a_command_is_packed_does_not_kill_the_interpreter() -> None:
    done = subprocess.run([sys.executable, "-c", PACKING], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "300"), done.stderr


@pytest.fixture
def alarmed() -> Iterator[Callable[[float], None]]:
    """Presses Ctrl-C after some seconds."""
    former = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    interrupting = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, former)
    signal.signal(signal.SIGINT, interrupting)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python drops an interrupt that comes in a __del__
def test_signals_at_random_times_leave_all_or_nothing_and_a_healthy_pool(url: str, alarmed: Callable[[float], None]) -> None:
    chance = random.Random(2)
    interrupted = 0
    with Database(url, max_connections=2, pool_timeout=0.5) as db:
        for _ in range(150):
            seed(db)
            session = Session(db)
            try:
                alarmed(chance.uniform(0.0001, 0.003))
                note_transfer(session)
                session.commit()
                alarmed(0)
            except (KeyboardInterrupt, ValidationError):  # Pydantic takes an interrupt in a validator for an error of the value
                interrupted += 1
            alarmed(0)
            assert total(db) in (BEFORE, AFTER)
    assert interrupted > 10

"""Workers that write a bill for each event and count bills, in processes of their own that are killed at random."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from redis.exceptions import ResponseError

from redisorm import AsyncSession, AsyncWorker, Database, Event, Field, RedisModel, Session, Worker

__all__ = ["Bill", "Placed", "Slip", "Total", "billing", "endure"]

PROCESSES = 4
LEASE_S = 1.0
PATIENCE_S = 150.0


class Placed(Event, stream="placed"):
    number: int


class Bill(RedisModel, prefix="bill"):
    """Has a key of its own each time it is made, so that an event billed twice has two."""

    id: str = Field(default_factory=lambda: uuid4().hex)
    number: int


class Slip(RedisModel, prefix="slip"):
    """A bill that is one row and nothing beside it: a shorter script commits it."""

    id: str
    number: int


class Total(RedisModel, prefix="total"):
    id: int
    bills: int = 0


def _bill(event: Placed, session: Session) -> None:
    session.add(Bill(number=event.number))
    session.increment(session.get_one(Total, 1), "bills")


async def _bill_awaiting(event: Placed, session: AsyncSession) -> None:
    session.add(Bill(number=event.number))
    session.increment(await session.get_one(Total, 1), "bills")


def _slip(event: Placed, session: Session | AsyncSession) -> None:
    session.add(Slip(id=uuid4().hex, number=event.number))


def billing(db: Database, handler: Callable[[Placed, Session], None] = _bill) -> Worker:
    """A worker that bills. What was read by one that died has lost an attempt, whether it was begun or not."""
    worker = Worker(db, group="billing", retries=100, lease=LEASE_S)
    worker.on(Placed)(handler)
    return worker


def _work(url: str, handler: Callable[[Placed, Session], None] = _bill) -> None:
    """Bill until killed."""
    with Database(url) as db:
        billing(db, handler).run()


def _work_awaiting(url: str, handler: Callable[[Placed, AsyncSession], object] = _bill_awaiting) -> None:
    """Do the same in async code."""

    async def main() -> None:
        async with Database(url) as db:
            worker = AsyncWorker(db, group="billing", retries=100, lease=LEASE_S)
            worker.on(Placed)(handler)
            await worker.run()

    asyncio.run(main())


def _work_apart(url: str) -> None:
    """Do the same as it is often done: commit each, and acknowledge what was read after that."""
    with Database(url) as db:
        client: Any = db.client
        name = uuid4().hex
        try:
            client.xgroup_create("placed", "billing", id="0")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        while True:
            _, entries, _ = client.xautoclaim("placed", "billing", name, round(LEASE_S * 1000), count=20)
            entries = entries or _read(client, name)
            for _, fields in entries:
                with Session.begin(db) as session:
                    _bill(Placed.model_validate({"number": dict(fields)[b"number"]}), session)
            if entries:
                client.xack("placed", "billing", *(entry_id for entry_id, _ in entries))


def _read(client: Any, name: str) -> list[Any]:
    reply = client.xreadgroup("billing", name, {"placed": ">"}, count=20, block=100)
    return [entry for _, entries in (reply.items() if isinstance(reply, dict) else reply) for entry in entries]


_WORKERS: dict[str, tuple[Callable[[str], None], Callable[[str], None]]] = {
    "as one": (_work, _work_awaiting),
    "as one row": (partial(_work, handler=_slip), partial(_work_awaiting, handler=_slip)),
    "apart": (_work_apart, _work_apart),
}


def endure(url: str, acknowledging: str, seed: int) -> int:
    """Let processes bill, and kill one of them at random times while there are unread events; return how many were killed.

    Args:
        acknowledging: `"as one"` with the commit, in both colours, also of slips `"as one row"`, or `"apart"` from it.
    """
    starting, chance = multiprocessing.get_context("fork"), random.Random(seed)
    deadline, kills = time.monotonic() + PATIENCE_S, 0

    def start(place: int) -> Any:
        process = starting.Process(target=_WORKERS[acknowledging][place % 2], args=(url,), daemon=True)
        process.start()
        return process

    with Database(url) as db:
        worker = billing(db)
        processes = [start(place) for place in range(PROCESSES)]

        def until(over: Callable[[], bool]) -> bool:
            assert time.monotonic() < deadline
            return over()

        while not until(lambda: worker.backlog().waiting == 0):
            time.sleep(chance.uniform(0.01, 0.08))
            victim = chance.randrange(PROCESSES)
            processes[victim].kill()
            processes[victim].join()
            kills += 1
            processes[victim] = start(victim)
        while not until(lambda: worker.backlog().pending == 0):
            time.sleep(0.05)
        for process in processes:
            process.kill()
            process.join()
    return kills

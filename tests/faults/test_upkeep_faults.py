"""Several processes write, and are killed, while a class is swept, checked and reindexed: nothing is lost and nothing is left."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from redisorm import Database, Field, RedisModel, Report
from tests.faults.processes import Client
from tests.reckoning import misfits
from tests.servers import Server
from tests.zoo.kept import Guest, Resident, reckon, store

ROWS = 300


class Before(RedisModel, prefix="resident"):
    id: int
    name: str = Field(default="", index=True)
    city: str | None = None
    age: int = 0
    email: str | None = None
    tags: set[str] = set()
    jobs: list[str] = Field(default=[], index=True)


def settled(db: Database, model: type[Resident]) -> None:
    """Let what expires expire, sweep it, and see that all is well."""
    time.sleep(0.06)
    db.sweep(model)
    assert db.check(model) == Report(ok=True, problems=[])
    assert misfits(db.client, model.__redisorm_prefix__ or "", reckon) == []


@contextmanager
def writing(server: Server, model: str, rows: int) -> Iterator[None]:
    """Let four processes write meanwhile; each must get something done."""
    with ExitStack() as stack:
        work = partial(Client, "tests.faults.keepers:write", url=server.url, model=model, rows=rows)
        writers = [stack.enter_context(work(seed=seed)) for seed in range(4)]
        for writer in writers:
            assert writer.told() == "begun"
        yield
        for writer in writers:
            writer.say("stop")
        for done, refused in [writer.result() for writer in writers]:
            assert done > refused


def test_reindex_while_four_processes_write_loses_none_of_their_writes(server: Server) -> None:
    with Database(server.url) as db:
        store(db, *(Before(id=pk, name=f"n{pk}", city="Oslo", age=pk * 1000, tags={"t"}, jobs=["j"]) for pk in range(ROWS)))
        with writing(server, "resident", ROWS):
            for _ in range(3):
                assert db.reindex(Resident) > 0
        db.reindex(Resident)
        settled(db, Resident)


def test_check_and_sweep_beside_four_writers_find_nothing_that_is_not_so(server: Server) -> None:
    with Database(server.url) as db:
        with writing(server, "guest", 30):
            for _ in range(10):
                report = db.check(Guest)
                assert {problem.kind for problem in report.problems} <= {"expired but unswept"}, report.problems
                db.sweep(Guest)
        settled(db, Guest)


def test_writer_killed_in_mid_commit_again_and_again_leaves_all_exact(server: Server) -> None:
    chance = random.Random(server.kind)
    with Database(server.url) as db:
        for seed in range(8):
            with Client("tests.faults.keepers:write", url=server.url, seed=seed, model="guest", rows=30) as writer:
                assert writer.told() == "begun"
                time.sleep(chance.random() / 20)
        settled(db, Guest)
        assert db.client.dbsize() > 0

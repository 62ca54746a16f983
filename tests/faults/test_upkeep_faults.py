"""Several processes write, and are killed, while a class is swept, checked and reindexed: nothing is lost and nothing is left."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

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


def test_reindex_while_four_processes_write_loses_none_of_their_writes(server: Server) -> None:
    with Database(server.url) as db, ExitStack() as stack:
        store(db, *(Before(id=pk, name=f"n{pk}", city="Oslo", age=pk * 1000, tags={"t"}, jobs=["j"]) for pk in range(ROWS)))
        writers = [
            stack.enter_context(Client("tests.faults.keepers:write", url=server.url, seed=seed, commits=150, model="resident", rows=ROWS))
            for seed in range(4)
        ]
        rounds = 0
        while any(writer.process.poll() is None for writer in writers):
            assert db.reindex(Resident) > 0
            rounds += 1
        assert all(writer.result() < 150 for writer in writers)
        db.reindex(Resident)
        assert rounds > 1
        settled(db, Resident)


def test_check_and_sweep_beside_four_writers_find_nothing_that_is_not_so(server: Server) -> None:
    with Database(server.url) as db, ExitStack() as stack:
        writers = [
            stack.enter_context(Client("tests.faults.keepers:write", url=server.url, seed=seed, commits=100, model="guest", rows=30))
            for seed in range(4)
        ]
        checks = 0
        while any(writer.process.poll() is None for writer in writers):
            report = db.check(Guest)
            assert {problem.kind for problem in report.problems} <= {"expired but unswept"}, report.problems
            db.sweep(Guest)
            checks += 1
        assert all(writer.result() < 100 for writer in writers)
        assert checks > 1
        settled(db, Guest)


def test_writer_killed_in_mid_commit_again_and_again_leaves_all_exact(server: Server) -> None:
    chance = random.Random(server.kind)
    with Database(server.url) as db:
        for seed in range(4):
            with Client("tests.faults.keepers:write_for_ever", url=server.url, seed=seed, model="guest", rows=30) as writer:
                assert writer.line() == "begun"
                time.sleep(chance.random() / 10)
        settled(db, Guest)
        assert db.client.dbsize() > 0

"""Several processes on the same rows: every increment counts, no update is lost, nothing is torn, no fragment is left."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack

import pytest
import redis

from redisorm import Database, Session
from tests.faults.processes import Client, start_together
from tests.faults.scene import Item, reckon
from tests.faults.users import allow_all, as_user
from tests.faults.worker import ACCOUNTS, EMAILS, PER_ACCOUNT, Account, Ghost, Hits, Phantom, is_torn
from tests.reckoning import misfits
from tests.servers import Server

PROCESSES = 3


@pytest.fixture(params=["redis7", "redis8", "valkey"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of server in turn, empty, with two users."""
    lent: Server = request.getfixturevalue(request.param)
    allow_all(lent.flush())
    return lent


@pytest.fixture
def url(server: Server) -> str:
    """By script, and on one of the servers by WATCH."""
    return as_user(server.url, {"redis7": "scripting", "redis8": "watching", "valkey": "commanding"}[server.kind])


def at_once(url: str, *jobs: str, count: int) -> list[Counter[str]]:
    """Run each job in a process of its own, all at the same time."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client("tests.faults.worker:work", job=job, url=url, seed=seed, count=count))
            for seed, job in enumerate(jobs)
        ]
        start_together(*clients)
        return [client.result(timeout_s=120) for client in clients]


def test_increments_are_exact(url: str) -> None:
    with Database(url) as db:
        with Session.begin(db) as session:
            session.add(Hits(id=1))
        at_once(url, *["increment"] * PROCESSES, count=100)
        with Session(db) as session:
            assert session.get_one(Hits, 1) == Hits(id=1, plain=100 * PROCESSES, indexed=200 * PROCESSES)
        assert (
            db.client.zrange("hits::indexed", 0, -1, withscores=True) == [(b"1", 200.0 * PROCESSES)]
            or db.client.zscore("hits::indexed", "1") == 200.0 * PROCESSES
        )


def test_read_modify_write_of_a_versioned_row_with_retry_is_exact(url: str) -> None:
    with Database(url) as db:
        with Session.begin(db) as session:
            session.add(Account(id=0))
        at_once(url, *["deposit"] * PROCESSES, count=60)
        with Session(db) as session:
            account = session.get_one(Account, 0)
            assert account.balance == 60 * PROCESSES
            assert account.log == [str(number) for number in range(1, 60 * PROCESSES + 1)]


def test_transfers_are_never_seen_torn(url: str) -> None:
    with Database(url) as db:
        with Session.begin(db) as session:
            session.add_all(Account(id=pk, balance=PER_ACCOUNT) for pk in range(ACCOUNTS))
        *_, reader = at_once(url, *["transfer"] * PROCESSES, "watch_sum", count=80)
        assert (reader["reads"], reader["torn"]) == (80, 0)
        with Session(db) as session:
            balances = [account.balance for account in session.get_many(Account, range(ACCOUNTS)) if account is not None]
        assert sum(balances) == ACCOUNTS * PER_ACCOUNT


@pytest.mark.parametrize(("job", "model"), [("haunt", Ghost), ("haunt_versioned", Phantom)])
def test_updates_deletes_expiries_and_new_lives_leave_no_fragment(url: str, server: Server, job: str, model: type[Ghost]) -> None:
    told = at_once(url, *[job] * PROCESSES, count=150)
    assert [seen["torn"] for seen in told] == [0] * PROCESSES
    assert sum(seen["stale"] for seen in told) > 0
    time.sleep(0.02)
    with redis.Redis(port=server.port) as store, Database(url) as db:
        for pk in range(3):
            key = f"{model.__redisorm_prefix__}:{pk}"
            parts = [store.exists(f"{key}:{name}") for name in ("tags", "jobs")]
            with Session(db) as session:
                ghost = session.get(model, pk)
            if ghost is None:
                assert (store.exists(key), parts) == (0, [0, 0])
            else:
                assert not is_torn(ghost)
        db.sweep(model)
        report = db.check(model)
        assert report.ok, report.problems


def test_unique_values_have_one_owner_under_a_storm(url: str, server: Server) -> None:
    told = at_once(url, *["claim"] * PROCESSES, count=80)
    assert sum(seen["torn"] for seen in told) == 0
    assert sum(seen["won"] for seen in told) > EMAILS
    with redis.Redis(port=server.port) as store, Database(url) as db:
        assert misfits(store, "item", reckon) == []
        assert db.check(Item).ok
        assert store.keys("item::unique:*") == []


def test_each_row_is_created_by_one_process(url: str, server: Server) -> None:
    told = at_once(url, *["create"] * PROCESSES, count=100)
    assert sum(seen["created"] for seen in told) == 100
    assert sum(seen["refused"] for seen in told) == 100 * (PROCESSES - 1)

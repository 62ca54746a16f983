"""Workers that are killed at random: every event is handled, and its writes are in Redis exactly once.

A worker that commits and acknowledges apart bills some events twice under the same kills; that is a test too, so that it is seen
that these kills come at the instants that matter.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest

from redisorm import Backlog, Database, Session
from tests.faults.billing import Bill, Placed, Slip, Total, billing
from tests.faults.processes import Client
from tests.faults.proxy import Proxy
from tests.faults.users import allow_all, as_user
from tests.listening import soon
from tests.servers import KINDS, Server


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
        bills: How many bills each event has.
        total: What the counter says.
        kills: How many workers were killed.
        claims: How often a worker took an event from one that had died.
        backlog: What is left.
    """

    bills: Counter[int]
    total: int
    kills: int
    claims: int
    backlog: Backlog


def place(db: Database, *numbers: int) -> None:
    with Session.begin(db) as session:
        if session.get(Total, 1) is None:
            session.add(Total(id=1))
        for number in numbers:
            session.emit(Placed(number=number))


def billed(db: Database, kind: type[Bill] | type[Slip] = Bill) -> Counter[int]:
    with Session(db) as session:
        return Counter(bill.number for bill in session.find(kind))


def total(db: Database) -> int:
    with Session(db) as session:
        return session.get_one(Total, 1).bills


def bill_under_kills(db: Database, url: str, acknowledging: str, events: int) -> Outcome:
    place(db, *range(events))
    with Client("tests.faults.billing:endure", url=url, acknowledging=acknowledging, seed=events) as client:
        kills = client.result(timeout_s=180)
    claims = int(db.client.hget("placed::consumer-group:billing", "claims") or 0)
    return Outcome(billed(db), total(db), kills, claims, billing(db).backlog())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("user", ["scripting", "watching"])
def test_killed_workers_lose_no_event_and_write_each_exactly_once(kind: str, user: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    allow_all(server.flush())
    events = 1_700
    with Database(server.url) as db:
        began = time.monotonic()
        outcome = bill_under_kills(db, as_user(server.url, user), "as one", events)
        took = time.monotonic() - began

    print(f"{kind}, {user}: {events} events, {outcome.kills} workers killed, {outcome.claims} claims, {took:.1f} s")
    assert outcome.bills == dict.fromkeys(range(events), 1)
    assert outcome.total == events
    assert outcome.backlog == Backlog(0, 0, 0.0, 0, 0)
    assert outcome.kills > 5
    assert outcome.claims > 5


@pytest.mark.parametrize("kind", KINDS)
def test_killed_workers_write_an_event_that_is_one_row_exactly_once(kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    with Database(server.flush().url) as db:
        outcome = bill_under_kills(db, server.url, "as one row", 1_500)

        print(f"{kind}: {outcome.kills} workers killed, {outcome.claims} claims")
        assert billed(db, Slip) == dict.fromkeys(range(1_500), 1)
        assert outcome.backlog == Backlog(0, 0, 0.0, 0, 0)
        assert outcome.claims > 5


def test_killed_workers_that_acknowledge_apart_from_their_commit_write_some_events_twice(redis7: Server) -> None:
    with Database(redis7.flush().url) as db:
        outcome = bill_under_kills(db, redis7.url, "apart", 2_500)

    print(f"{outcome.kills} workers killed, {outcome.total - 2_500} bills too many")
    assert set(outcome.bills) == set(range(2_500))
    assert outcome.total > 2_500


@pytest.mark.parametrize(
    ("user", "command", "skip"),
    [
        ("scripting", "XREADGROUP", 0),
        ("scripting", "EVALSHA", 3),
        ("watching", "XREADGROUP", 1),
        ("watching", "XPENDING", 3),
        ("watching", "XACK", 3),
    ],
)
def test_worker_whose_answers_are_lost_handles_every_event_once(server: Server, proxy: Proxy, user: str, command: str, skip: int) -> None:
    allow_all(server)
    with Database(server.url) as db, Database(as_user(proxy.url, user)) as cut:
        place(db, *range(50))
        fault = proxy.lose(command, skip=skip)
        billing(cut).run(once=True)
        assert fault.times == 0
        assert billed(db) == dict.fromkeys(range(50), 1)
        assert total(db) == 50
        assert billing(db).backlog() == Backlog(0, 0, 0.0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_worker_outlives_a_server_that_is_down(kind: str, start: Callable[..., Server]) -> None:
    lasting = start(kind, "--appendonly", "yes", "--appendfsync", "always")
    with Database(lasting.url) as db:
        place(db, 0, 1, 2)
        worker = billing(db)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            soon(lambda: total(db) == 3)
            lasting.kill()
            time.sleep(1)
            lasting.start()
            place(db, 3, 4, 5)
            soon(lambda: total(db) == 6)
        finally:
            worker.stop()
            thread.join()
        assert billed(db) == dict.fromkeys(range(6), 1)
        assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)

"""Workers on every server, in both colours: events handled, retried, buried, claimed, counted and given back."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from redisorm import (
    AsyncSession,
    AsyncStream,
    AsyncWorker,
    Backlog,
    ConflictError,
    Database,
    DecodeError,
    Event,
    NotFoundError,
    RedisModel,
    Session,
    Stream,
    Worker,
)
from redisorm.keys import GroupKeys
from redisorm.patterns import consumer
from redisorm.patterns.groups import RELEASED, Group
from tests.listening import soon
from tests.servers import Server


class Invoice(RedisModel, prefix="invoice"):
    id: int
    times: int = 0


class OrderPlaced(Event, stream="orders"):
    order_id: int


class Refund(Event, stream="refunds"):
    order_id: int


class Kept(Event, stream="kept", maxlen=100):
    n: int


def place(db: Database, *numbers: int) -> list[str]:
    return [Stream(db, OrderPlaced).append(OrderPlaced(order_id=number)) for number in numbers]


def billed(db: Database) -> dict[int, int]:
    """How often each order was billed."""
    return {int(key.rpartition(b":")[2]): int(db.client.hget(key, "times") or 0) for key in db.client.scan_iter("invoice:*")}


def bill(event: OrderPlaced, session: Session) -> None:
    invoice = session.get(Invoice, event.order_id) or Invoice(id=event.order_id)
    invoice.times += 1
    session.add(invoice)


async def bill_async(event: OrderPlaced, session: AsyncSession) -> None:
    invoice = await session.get(Invoice, event.order_id) or Invoice(id=event.order_id)
    invoice.times += 1
    session.add(invoice)


def billing(db: Database, handler: Any = bill, **options: Any) -> Worker:
    worker = Worker(db, group="billing", **{"retry_delay": 0.01, **options})
    worker.on(OrderPlaced)(handler)
    return worker


def consumers(db: Database) -> dict[str, int]:
    """The consumers of the group and how many entries each has."""
    return {one["name"].decode(): one["pending"] for one in db.client.xinfo_consumers("orders", "billing")}


@contextmanager
def running(worker: Worker) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(10)
        assert not thread.is_alive()


def failing(times: int, then: Callable[[OrderPlaced, Session], None] = bill) -> Callable[[OrderPlaced, Session], None]:
    """A handler that fails so often."""
    left = [times]

    def handler(event: OrderPlaced, session: Session) -> None:
        if left[0]:
            left[0] -= 1
            session.add(Invoice(id=1000 + event.order_id))
            raise ValueError("not yet")
        then(event, session)

    return handler


# ---- handling ---------------------------------------------------------------------------------------------------------------


def test_every_event_is_handled_once_and_acknowledged_with_its_writes(db: Database) -> None:
    place(db, *range(50))
    worker = billing(db)
    assert worker.backlog() == Backlog(waiting=50, pending=0, oldest_idle=0.0, dead=0, trimmed=0)
    worker.run(once=True)
    assert billed(db) == dict.fromkeys(range(50), 1)
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)
    assert consumers(db) == {}


def test_every_event_is_handled_once_and_acknowledged_with_its_writes_async(db: Database) -> None:
    async def main() -> None:
        for number in range(50):
            await AsyncStream(db, OrderPlaced).append(OrderPlaced(order_id=number))
        worker = AsyncWorker(db, group="billing")
        worker.on(OrderPlaced)(bill_async)
        assert await worker.backlog() == Backlog(50, 0, 0.0, 0, 0)
        await worker.run(once=True)
        assert await worker.backlog() == Backlog(0, 0, 0.0, 0, 0)

    asyncio.run(main())


def test_acknowledgement_and_writes_are_one_round_trip_where_the_server_runs_scripts(server: Server) -> None:
    with Database(server.url) as db:
        place(db, *range(20))
        worker = Worker(db, group="billing")
        seen: list[int] = []

        @worker.on(OrderPlaced)
        def add(event: OrderPlaced, session: Session) -> None:
            seen.append(db.traffic.round_trips)
            session.add(Invoice(id=event.order_id))

        worker.run(once=True)
        counts = seen[1:]  # the first commit asks what the server can do
        assert {after - before for before, after in pairwise(counts)} == {1}


def test_event_emitted_before_the_first_worker_is_delivered(db: Database) -> None:
    with Session.begin(db) as session:
        session.emit(OrderPlaced(order_id=1))
    billing(db).run(once=True)
    assert billed(db) == {1: 1}


def test_worker_handles_what_comes_while_it_runs_until_it_is_stopped(db: Database) -> None:
    worker = billing(db)
    with running(worker):
        place(db, 1)
        soon(lambda: billed(db) == {1: 1})
        place(db, 2, 3)
        soon(lambda: billed(db) == {1: 1, 2: 1, 3: 1})
        started = time.monotonic()
        worker.stop()
    assert time.monotonic() - started < 1.5
    place(db, 4)
    time.sleep(0.05)
    assert 4 not in billed(db)


def test_worker_handles_what_comes_while_it_runs_until_it_is_stopped_async(db: Database) -> None:
    async def main() -> None:
        done: list[int] = []
        worker = AsyncWorker(db, group="billing")

        @worker.on(OrderPlaced)
        def plain(event: OrderPlaced, session: AsyncSession) -> None:
            done.append(event.order_id)

        task = asyncio.create_task(worker.run())
        for number in (1, 2):
            await AsyncStream(db, OrderPlaced).append(OrderPlaced(order_id=number))
        while len(done) < 2:  # noqa: ASYNC110 - a test waits for anything
            await asyncio.sleep(0.01)
        threading.Timer(0.1, worker.stop).start()
        await asyncio.wait_for(task, 2)
        assert done == [1, 2]
        assert {one.get_name() for one in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]

    asyncio.run(main())


def test_stop_before_run_ends_that_run_and_no_other(db: Database) -> None:
    place(db, 1)
    worker = billing(db)
    worker.stop()
    worker.run()
    assert billed(db) == {}
    worker.run(once=True)
    assert billed(db) == {1: 1}


def test_several_workers_share_the_events(db: Database) -> None:
    place(db, *range(100))
    took: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def handler_of(place_: int) -> Callable[[OrderPlaced, Session], None]:
        def handler(event: OrderPlaced, session: Session) -> None:
            took[place_].append(event.order_id)
            time.sleep(0.001)
            bill(event, session)

        return handler

    workers = [billing(db, handler_of(n), batch=5) for n in took]
    threads = [threading.Thread(target=worker.run, kwargs={"once": True}) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert billed(db) == dict.fromkeys(range(100), 1)
    assert sorted(number for numbers in took.values() for number in numbers) == list(range(100))


def test_groups_do_not_take_from_each_other(db: Database) -> None:
    place(db, 1)
    seen: list[str] = []
    for group in ("a", "b"):
        worker = Worker(db, group=group)
        worker.on(OrderPlaced)(lambda event, session: seen.append(repr(event)))
        worker.run(once=True)
    assert seen == ["OrderPlaced(order_id=1)"] * 2


def test_worker_handles_several_streams(db: Database) -> None:
    place(db, 1, 2)
    Stream(db, Refund).append(Refund(order_id=1))
    seen: list[Event] = []
    worker = Worker(db, group="billing")
    worker.on(OrderPlaced)(lambda event, session: seen.append(event))
    worker.on(Refund)(lambda event, session: seen.append(event))
    assert worker.backlog().waiting == 3
    assert worker.backlog(Refund).waiting == 1
    worker.run(once=True)
    assert sorted(map(repr, seen)) == ["OrderPlaced(order_id=1)", "OrderPlaced(order_id=2)", "Refund(order_id=1)"]


def test_names_have_the_namespace(server_url: str) -> None:
    with Database(server_url, namespace="shop") as db:
        place(db, 1)
        worker = billing(db, failing(9), retries=0)
        worker.run(once=True)
        assert {str(key, "ascii").partition("::")[0] for key in db.client.scan_iter()} == {"shop:orders"}
        assert db.client.xlen("shop:orders::dead-letters:billing") == 1


def test_entries_of_other_programs_are_handled(db: Database) -> None:
    db.client.xgroup_create("orders", "billing", id="0", mkstream=True)
    db.client.xadd("orders", {"order_id": 7, "item": "laptop"})
    billing(db).run(once=True)
    assert billed(db) == {7: 1}


def test_handler_that_commits_itself_acknowledges_with_that_commit(db: Database) -> None:
    place(db, 1)

    def handler(event: OrderPlaced, session: Session) -> None:
        bill(event, session)
        session.commit()
        assert consumers(db) == {next(iter(consumers(db))): 0}

    worker = billing(db, handler)
    worker.run(once=True)
    assert billed(db) == {1: 1}
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_rollback_of_a_handler_drops_its_writes_and_not_the_acknowledgement(db: Database) -> None:
    place(db, 1)

    def handler(event: OrderPlaced, session: Session) -> None:
        bill(event, session)
        session.rollback()

    worker = billing(db, handler)
    worker.run(once=True)
    assert billed(db) == {}
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_handler_may_emit_and_its_models_join_the_session(db: Database) -> None:
    place(db, 1)

    def handler(event: OrderPlaced, session: Session) -> None:
        Invoice(id=event.order_id).save()
        session.emit(Refund(order_id=event.order_id))
        assert db.client.exists("invoice:1") == 0

    billing(db, handler).run(once=True)
    assert billed(db) == {1: 0}
    assert [entry.event for entry in Stream(db, Refund).read()] == [Refund(order_id=1)]


# ---- failing ----------------------------------------------------------------------------------------------------------------


def test_failing_handler_is_tried_again_and_leaves_nothing_of_its_failures(db: Database) -> None:
    ids = place(db, 1)
    errors: list[Any] = []
    worker = billing(db, failing(2), retries=2, on_error=lambda error, raw: errors.append((repr(error), raw)))
    worker.run(once=True)
    assert billed(db) == {1: 1}
    assert [(error, raw.stream, raw.id, raw.fields, raw.attempts) for error, raw in errors] == [
        ("ValueError('not yet')", "orders", ids[0], {"order_id": "1"}, attempt) for attempt in (1, 2)
    ]
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_failing_handler_is_tried_again_and_leaves_nothing_of_its_failures_async(db: Database) -> None:
    async def main() -> None:
        await AsyncStream(db, OrderPlaced).append(OrderPlaced(order_id=1))
        errors: list[Exception] = []
        worker = AsyncWorker(db, group="billing", retries=2, retry_delay=0.01, on_error=lambda error, raw: errors.append(error))

        @worker.on(OrderPlaced)
        async def handler(event: OrderPlaced, session: AsyncSession) -> None:
            session.add(Invoice(id=len(errors)))
            if len(errors) < 2:
                raise ValueError("not yet")

        await worker.run(once=True)
        assert len(errors) == 2
        async with AsyncSession(db) as session:
            assert [await session.exists(Invoice, n) for n in range(3)] == [False, False, True]

    asyncio.run(main())


def test_retry_waits_for_its_delay_and_others_flow_meanwhile(db: Database) -> None:
    place(db, 1, 2, 3)
    begun: list[tuple[int, float]] = []

    def handler(event: OrderPlaced, session: Session) -> None:
        begun.append((event.order_id, time.monotonic()))
        if event.order_id == 1 and len(begun) == 1:
            raise ValueError("not yet")

    billing(db, handler, retry_delay=0.3).run(once=True)
    assert [number for number, _ in begun] == [1, 2, 3, 1]
    assert begun[3][1] - begun[0][1] >= 0.3


def test_event_that_always_fails_is_a_dead_letter_with_its_reason(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    ids = place(db, 1, 2)
    tried: list[int] = []

    def handler(event: OrderPlaced, session: Session) -> None:
        tried.append(event.order_id)
        if event.order_id == 1:
            raise ValueError("poison")
        bill(event, session)

    worker = billing(db, handler, retries=3)
    with caplog.at_level(logging.ERROR, logger="redisorm"):
        worker.run(once=True)
    assert tried.count(1) == 4
    assert billed(db) == {2: 1}
    (letter,) = worker.dead_letters(OrderPlaced)
    assert (letter.id, letter.event, letter.fields, letter.reason, letter.attempts) == (
        ids[0],
        OrderPlaced(order_id=1),
        {"order_id": "1"},
        "ValueError: poison",
        4,
    )
    assert worker.backlog() == Backlog(0, 0, 0.0, 1, 0)
    assert [record.getMessage() for record in caplog.records][-1] == (
        f"event {ids[0]} of orders is a dead letter of group 'billing' after 4 attempts: ValueError: poison"
    )


def test_event_without_retries_is_tried_once(db: Database) -> None:
    place(db, 1, 2)
    worker = billing(db, failing(1), retries=0)
    worker.run(once=True)
    assert [letter.attempts for letter in worker.dead_letters(OrderPlaced)] == [1]
    assert billed(db) == {2: 1}


def test_entry_that_does_not_fit_is_a_dead_letter_at_once(db: Database) -> None:
    db.client.xadd("orders", {"order_id": "one", b"\xff": b"\xfe"})
    place(db, 2)
    errors: list[Exception] = []
    worker = billing(db, on_error=lambda error, raw: errors.append(error))
    worker.run(once=True)
    (letter,) = worker.dead_letters(OrderPlaced)
    assert letter.event is None
    assert letter.fields == {"order_id": "one", "\udcff": "\udcfe"}
    assert letter.attempts == 1
    assert letter.reason.startswith("DecodeError: orders ")
    assert [type(error) for error in errors] == [DecodeError]
    assert billed(db) == {2: 1}


def test_failing_hook_does_not_end_a_run(db: Database) -> None:
    place(db, 1)

    def hook(error: Exception, raw: Any) -> None:
        raise RuntimeError("the hook fails too")

    billing(db, failing(1), on_error=hook).run(once=True)
    assert billed(db) == {1: 1}


def test_conflict_of_a_handlers_commit_is_a_failure_like_others(db: Database) -> None:
    with Session.begin(db) as session:
        session.add(Invoice(id=1, times=5))
    place(db, 1)
    errors: list[Exception] = []

    def handler(event: OrderPlaced, session: Session) -> None:
        invoice = session.get_one(Invoice, 1)
        invoice.times += 1
        if not errors:
            db.client.delete("invoice:1")

    worker = billing(db, handler, retries=0, on_error=lambda error, raw: errors.append(error))
    worker.run(once=True)
    assert [type(error).__name__ for error in errors] == ["StaleObjectError"]
    assert len(worker.dead_letters(OrderPlaced)) == 1


# ---- dead letters ---------------------------------------------------------------------------------------------------------


def buried(db: Database) -> Worker:
    """A worker whose first event is a dead letter."""
    place(db, 1)
    worker = billing(db, failing(1), retries=0, lease=5)
    worker.run(once=True)
    assert worker.backlog().dead == 1
    return worker


def test_requeued_letter_is_handled_by_its_group_alone_as_if_it_were_new(db: Database) -> None:
    worker = buried(db)
    other = Worker(db, group="other")
    seen: list[Event] = []
    other.on(OrderPlaced)(lambda event, session: seen.append(event))
    other.run(once=True)
    (letter,) = worker.dead_letters(OrderPlaced)
    assert letter.requeue() == letter.id
    assert worker.backlog()[:2] == (0, 1)
    worker.run(once=True)
    other.run(once=True)
    assert billed(db) == {1: 1}
    assert len(seen) == 1
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_requeued_letter_has_all_its_attempts_again(db: Database) -> None:
    place(db, 1)
    tried: list[int] = []

    def handler(event: OrderPlaced, session: Session) -> None:
        tried.append(1)
        raise ValueError("poison")

    worker = billing(db, handler, retries=1)
    worker.run(once=True)
    worker.dead_letters(OrderPlaced)[0].requeue()
    worker.run(once=True)
    assert len(tried) == 4
    assert worker.dead_letters(OrderPlaced)[0].attempts == 2


def test_letter_whose_entry_was_trimmed_is_appended_anew(db: Database) -> None:
    worker = buried(db)
    db.client.xtrim("orders", maxlen=0, approximate=False)
    (letter,) = worker.dead_letters(OrderPlaced)
    again = letter.requeue()
    assert again != letter.id
    assert [entry.id for entry in Stream(db, OrderPlaced).read()] == [again]
    worker.run(once=True)
    assert billed(db) == {1: 1}


def test_letter_is_requeued_once(db: Database) -> None:
    worker = buried(db)
    (one,), (two,) = worker.dead_letters(OrderPlaced), worker.dead_letters(OrderPlaced)
    one.requeue()
    with pytest.raises(NotFoundError, match=r"is not in orders::dead-letters:billing any more"):
        two.requeue()


def test_letter_can_be_discarded(db: Database) -> None:
    worker = buried(db)
    (letter,) = worker.dead_letters(OrderPlaced)
    assert letter.discard()
    assert not letter.discard()
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_letters_are_listed_and_requeued_async(db: Database) -> None:
    buried(db)

    async def main() -> None:
        worker = AsyncWorker(db, group="billing", lease=5)
        worker.on(OrderPlaced)(bill_async)
        (letter,) = await worker.dead_letters(OrderPlaced)
        assert (letter.event, letter.reason) == (OrderPlaced(order_id=1), "ValueError: not yet")
        await letter.requeue()
        assert not await letter.discard()
        await worker.run(once=True)
        assert await worker.backlog() == Backlog(0, 0, 0.0, 0, 0)

    asyncio.run(main())
    assert billed(db) == {1: 1}


# ---- leases -----------------------------------------------------------------------------------------------------------------


def abandon(db: Database, count: int = 1, times: int = 1) -> None:
    """Let a consumer that is gone have read so many events, and begun them so often."""
    db.client.xgroup_create("orders", "billing", id="0", mkstream=True)
    found: Any = db.client.xreadgroup("billing", "gone", {"orders": ">"}, count=count)
    ((_, entries),) = found
    for entry_id, _ in entries:
        db.client.xclaim("orders", "billing", "gone", 0, [entry_id], retrycount=times, justid=True)


def test_events_of_a_dead_worker_are_claimed_after_the_lease_and_no_sooner(db: Database) -> None:
    place(db, 1)
    abandon(db)
    worker = billing(db, lease=0.4)
    worker.run(once=True)
    assert billed(db) == {}
    assert worker.backlog().pending == 1
    time.sleep(0.5)
    worker.run(once=True)
    assert billed(db) == {1: 1}
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_event_whose_workers_died_as_often_as_it_may_be_tried_is_a_dead_letter(db: Database) -> None:
    place(db, 1)
    abandon(db, times=3)
    time.sleep(0.15)
    worker = billing(db, lease=0.1, retries=2)
    worker.run(once=True)
    (letter,) = worker.dead_letters(OrderPlaced)
    assert letter.attempts == 3
    assert letter.reason == "gone left it alone in attempt 3: its worker died, or took longer than the lease"
    assert billed(db) == {}


def left_behind(db: Database, *names: str) -> list[str]:
    """Let consumers read one event each, as workers would that are killed then."""
    ids = place(db, *range(len(names)))
    db.client.xgroup_create("orders", "billing", "0")
    for name in names:
        db.client.xreadgroup("billing", name, {"orders": ">"}, count=1)
    return ids


def test_consumers_of_killed_workers_are_removed_when_they_have_nothing_and_were_silent_for_long(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = left_behind(db, "finished", "busy")
    db.client.xack("orders", "billing", ids[0])
    time.sleep(0.05)
    billing(db, lease=0.02).run(once=True)
    assert consumers(db) == {"finished": 0, "busy": 0}
    assert billed(db) == {1: 1}
    monkeypatch.setattr(consumer, "_FORGOTTEN_MS", 0)
    billing(db).run(once=True)
    assert consumers(db) == {"finished": 0, "busy": 0}
    time.sleep(0.25)
    billing(db, lease=0.02).run(once=True)
    assert consumers(db) == {}


def test_consumer_that_is_removed_gives_back_what_it_has(db: Database) -> None:
    ids = left_behind(db, "gone")
    group = Group(GroupKeys("", "orders", "billing"), "billing")
    db.run(group.claim("gone", ids[0], 0))
    db.run(group.retire("gone"))
    assert consumers(db) == {RELEASED: 1}
    (entry,) = db.client.xpending_range("orders", "billing", "-", "+", 10)
    assert (entry["message_id"], entry["consumer"], entry["times_delivered"]) == (ids[0].encode(), RELEASED.encode(), 2)
    assert db.client.hget(group.keys.state, "claims") == b"2"
    time.sleep(0.05)
    billing(db, lease=0.02).run(once=True)
    assert billed(db) == {0: 1}


def test_handler_that_takes_longer_than_the_lease_keeps_it(db: Database) -> None:
    place(db, 1)
    begun: list[str] = []

    def slow(event: OrderPlaced, session: Session) -> None:
        begun.append(threading.current_thread().name)
        time.sleep(1.2)
        bill(event, session)

    one, two = billing(db, slow, lease=0.4), billing(db, slow, lease=0.4)
    with running(one), running(two):
        soon(lambda: billed(db) == {1: 1})
    assert len(begun) == 1


def test_handler_that_takes_longer_than_the_lease_keeps_it_async(db: Database) -> None:
    async def main() -> None:
        await AsyncStream(db, OrderPlaced).append(OrderPlaced(order_id=1))
        begun: list[int] = []

        async def slow(event: OrderPlaced, session: AsyncSession) -> None:
            begun.append(event.order_id)
            await asyncio.sleep(1.2)

        workers = [AsyncWorker(db, group="billing", lease=0.4) for _ in range(2)]
        for worker in workers:
            worker.on(OrderPlaced)(slow)
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        await asyncio.sleep(1.6)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*tasks)
        assert begun == [1]

    asyncio.run(main())


def test_handler_whose_event_was_given_to_another_worker_commits_nothing(db: Database) -> None:
    ids = place(db, 1)
    errors: list[Exception] = []

    def robbed(event: OrderPlaced, session: Session) -> None:
        bill(event, session)
        group = Group(GroupKeys("", "orders", "billing"), "billing")
        assert db.run(group.claim("thief", ids[0], 0)).fields is not None

    worker = billing(db, robbed, retries=5, on_error=lambda error, raw: errors.append(error))
    worker.run(once=True)
    (error,) = errors
    assert isinstance(error, ConflictError)
    assert (error.key, error.found) == ("orders", "thief")
    assert "it is thief's now; nothing was written" in str(error)
    assert billed(db) == {}
    assert consumers(db) == {"thief": 1}


def test_handler_whose_event_was_acknowledged_elsewhere_commits_nothing(db: Database) -> None:
    ids = place(db, 1)
    errors: list[Exception] = []

    def overtaken(event: OrderPlaced, session: Session) -> None:
        bill(event, session)
        db.client.xack("orders", "billing", ids[0])

    billing(db, overtaken, on_error=lambda error, raw: errors.append(error)).run(once=True)
    assert [type(error) for error in errors] == [ConflictError]
    assert billed(db) == {}


def test_stop_gives_back_what_was_not_begun_for_others_to_take_at_once(db: Database) -> None:
    place(db, *range(10))
    first: Worker = billing(db, lambda event, session: first.stop(), lease=60, batch=10)
    first.run()
    assert consumers(db) == {"released": 9}
    begun: list[int] = []
    second = billing(db, lambda event, session: begun.append(event.order_id), lease=60, retries=1)
    second.run(once=True)
    assert begun == list(range(1, 10))
    assert consumers(db) == {"released": 0}


def test_event_that_was_read_and_given_back_has_lost_no_attempt(db: Database) -> None:
    place(db, *range(3))
    first: Worker = billing(db, lambda event, session: first.stop(), lease=60, batch=10)
    first.run()
    pending = db.client.xpending_range("orders", "billing", "-", "+", 10)
    assert [one["times_delivered"] for one in pending] == [0, 0]


def test_event_that_waits_for_its_retry_is_given_back_with_what_is_left_of_the_delay(db: Database) -> None:
    place(db, 1)
    worker = billing(db, failing(1, then=bill), lease=60, retry_delay=30)
    with running(worker):
        soon(lambda: worker.backlog().pending == 1)
        time.sleep(0.1)
    (one,) = db.client.xpending_range("orders", "billing", "-", "+", 10)
    assert one["consumer"] == b"released"
    assert 29_000 <= int(one["time_since_delivered"]) <= 31_500
    assert one["times_delivered"] == 1


def test_sigterm_in_the_main_thread_finishes_the_event_in_hand(db: Database) -> None:
    place(db, 1, 2)

    def handler(event: OrderPlaced, session: Session) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        bill(event, session)

    before = signal.getsignal(signal.SIGTERM)
    billing(db, handler, lease=60).run()
    assert billed(db) == {1: 1}
    assert signal.getsignal(signal.SIGTERM) is before
    assert consumers(db) == {"released": 1}


def test_sigterm_in_the_main_thread_finishes_the_event_in_hand_async(db: Database) -> None:
    async def main() -> None:
        done: list[int] = []
        for number in (1, 2):
            await AsyncStream(db, OrderPlaced).append(OrderPlaced(order_id=number))
        worker = AsyncWorker(db, group="billing")

        @worker.on(OrderPlaced)
        async def handler(event: OrderPlaced, session: AsyncSession) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            done.append(event.order_id)

        await asyncio.wait_for(worker.run(), 5)
        assert done == [1]

    asyncio.run(main())


def test_interrupt_in_a_handler_gives_everything_back_and_is_raised(db: Database) -> None:
    place(db, 1, 2)

    def handler(event: OrderPlaced, session: Session) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        billing(db, handler, lease=60).run()
    assert [one["times_delivered"] for one in db.client.xpending_range("orders", "billing", "-", "+", 10)] == [1, 0]
    assert consumers(db) == {"released": 2}
    assert not [thread for thread in threading.enumerate() if thread.name == "redisorm leases"]


def test_cancelled_run_gives_everything_back(db: Database) -> None:
    async def main() -> None:
        for number in (1, 2):
            await AsyncStream(db, OrderPlaced).append(OrderPlaced(order_id=number))
        worker = AsyncWorker(db, group="billing", lease=60)
        begun = asyncio.Event()

        @worker.on(OrderPlaced)
        async def handler(event: OrderPlaced, session: AsyncSession) -> None:
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(worker.run())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert consumers(db) == {"released": 2}


def test_closed_database_ends_a_run(server_url: str) -> None:
    db = Database(server_url)
    worker = billing(db)
    thread = threading.Thread(target=worker.run)
    thread.start()
    time.sleep(0.3)
    db.close()
    thread.join(5)
    assert not thread.is_alive()


# ---- counting -------------------------------------------------------------------------------------------------------------


def test_backlog_tells_how_long_the_oldest_was_left_alone(db: Database) -> None:
    place(db, 1, 2, 3)
    abandon(db, count=2)
    time.sleep(0.25)
    backlog = billing(db).backlog()
    assert backlog[:2] == (1, 2)
    assert 0.2 <= backlog.oldest_idle <= 5


def test_backlog_of_a_stream_that_is_not_there_is_empty(db: Database) -> None:
    assert billing(db).backlog() == Backlog(0, 0, 0.0, 0, 0)


def test_backlog_counts_after_entries_were_deleted_by_hand(db: Database) -> None:
    ids = place(db, *range(10))
    abandon(db, count=2)
    db.client.xdel("orders", ids[5], ids[7])
    assert billing(db).backlog()[:2] == (6, 2)


def test_events_trimmed_before_they_were_read_are_counted_and_told(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(db, group="billing", batch=5)
    seen: list[int] = []
    worker.on(Kept)(lambda event, session: seen.append(event.n))
    with caplog.at_level(logging.ERROR, logger="redisorm"):
        for n in range(10):
            Stream(db, Kept).append(Kept(n=n))
        worker.run(once=True)
        with db.client.pipeline(transaction=False) as pipe:
            for n in range(10, 40):
                pipe.xadd("kept", {"n": n})
            pipe.xtrim("kept", maxlen=12, approximate=False)
            pipe.execute()
        assert worker.backlog() == Backlog(12, 0, 0.0, 0, 18)
        worker.run(once=True)
    assert seen == [*range(10), *range(28, 40)]
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 18)
    (record,) = caplog.records
    assert record.getMessage().startswith("18 events of kept were removed from the stream before group 'billing' had dealt with them")


def test_events_trimmed_again_and_again_are_counted_each_time(db: Database) -> None:
    worker = Worker(db, group="billing", batch=2)
    seen: list[int] = []
    sent = [0]

    def send(count: int, keep: int) -> None:
        with db.client.pipeline(transaction=True) as pipe:
            for n in range(sent[0], sent[0] + count):
                pipe.xadd("kept", {"n": n})
            pipe.xtrim("kept", maxlen=keep, approximate=False)
            pipe.execute()
        sent[0] += count

    @worker.on(Kept)
    def handler(event: Kept, session: Session) -> None:
        seen.append(event.n)
        if len(seen) in (2, 6):
            send(10, 4)

    send(4, 4)
    worker.run(once=True)
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, sent[0] - len(seen))
    assert len(seen) == 10
    send(3, 1)
    assert worker.backlog() == Backlog(1, 0, 0.0, 0, sent[0] - len(seen) - 1)


def test_stream_trimmed_to_nothing_is_counted_once_when_the_next_event_comes(db: Database) -> None:
    place(db, 1)
    worker = billing(db)
    worker.run(once=True)
    place(db, 2, 3)
    db.client.xtrim("orders", maxlen=0, approximate=False)
    assert worker.backlog().trimmed == 2
    with running(worker):
        time.sleep(0.8)
        place(db, 4)
        soon(lambda: 4 in billed(db))
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 2)
    assert set(billed(db)) == {1, 4}


def test_pending_event_that_was_trimmed_is_counted_when_it_is_claimed(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    place(db, 1, 2)
    abandon(db, count=1)
    db.client.xtrim("orders", maxlen=1, approximate=False)
    time.sleep(0.15)
    worker = billing(db, lease=0.1)
    with caplog.at_level(logging.ERROR, logger="redisorm"):
        worker.run(once=True)
    assert billed(db) == {2: 1}
    assert worker.backlog() == Backlog(0, 0, 0.0, 0, 1)


def test_event_in_hand_that_is_trimmed_is_handled_all_the_same(db: Database) -> None:
    place(db, 1, 2)

    def handler(event: OrderPlaced, session: Session) -> None:
        db.client.xtrim("orders", maxlen=0, approximate=False)
        time.sleep(0.4)  # leases are renewed meanwhile
        bill(event, session)

    worker = billing(db, handler, lease=0.6)
    worker.run(once=True)
    assert billed(db) == {1: 1, 2: 1}
    assert worker.backlog()[:2] == (0, 0)


# ---- what is destroyed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("destroy", ["group", "stream"])
def test_group_that_is_destroyed_is_made_again_from_the_beginning(db: Database, destroy: str, caplog: pytest.LogCaptureFixture) -> None:
    worker = billing(db)
    with caplog.at_level(logging.WARNING, logger="redisorm"), running(worker):
        place(db, 1)
        soon(lambda: billed(db) == {1: 1})
        if destroy == "group":
            db.client.xgroup_destroy("orders", "billing")
        else:
            db.client.delete("orders")
        place(db, 2)
        soon(lambda: 2 in billed(db))
    assert billed(db) == ({1: 2, 2: 1} if destroy == "group" else {1: 1, 2: 1})
    assert [record for record in caplog.records if "is gone" in record.getMessage()]


def test_group_destroyed_under_a_handler_commits_nothing_and_the_event_is_handled_again(db: Database) -> None:
    place(db, 1)
    errors: list[Exception] = []

    def handler(event: OrderPlaced, session: Session) -> None:
        bill(event, session)
        if not errors:
            db.client.xgroup_destroy("orders", "billing")

    billing(db, handler, on_error=lambda error, raw: errors.append(error)).run(once=True)
    assert len(errors) == 1
    assert billed(db) == {1: 1}


# ---- asking for the wrong thing -------------------------------------------------------------------------------------------------


def test_stream_has_one_handler_in_a_worker() -> None:
    class Other(Event, stream="orders"):
        n: int

    with Database("memory://") as db:
        worker = billing(db)
        with pytest.raises(ValueError, match="the stream 'orders' has a handler for OrderPlaced in this worker: give Other a stream"):
            worker.on(Other)(lambda event, session: None)


def test_coroutine_function_is_refused_where_it_would_not_be_awaited() -> None:
    async def bill(event: Any, session: Any) -> None: ...

    class Billing:
        async def __call__(self, event: Any, session: Any) -> None: ...

    with Database("memory://") as db:
        for handler in (bill, Billing(), partial(bill, session=None)):
            with pytest.raises(TypeError, match=r"worker\.on: .* is a coroutine function.*use AsyncWorker"):
                Worker(db, group="billing").on(OrderPlaced)(handler)
        for worker in (Worker, AsyncWorker):
            with pytest.raises(TypeError, match=r"on_error: .* is a coroutine function"):
                worker(db, group="billing", on_error=bill)


def test_worker_without_a_handler_does_not_run() -> None:
    with Database("memory://") as db, pytest.raises(ValueError, match="handles no event: register a handler"):
        Worker(db, group="billing").run()


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"retries": 1.5}, {"batch": 0}, {"lease": 0}, {"lease": float("inf")}, {"retry_delay": -1}, {"group": ""}]
)
def test_number_out_of_its_range_is_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with Database("memory://") as db, pytest.raises(ValueError, match=f"{name}="):
        Worker(db, **{"group": "billing", **options})

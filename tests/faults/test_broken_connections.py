"""A connection that breaks at the worst moment: a write is sent once, what is not known is said, and the session goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import AsyncSession, BackendError, BackendTimeoutError, CommitUnknownError, ConnectionFailedError, Database, StaleObjectError
from redisorm.unitofwork import verbs
from tests.faults.colours import Awaiting, Blocking, Colour, Open
from tests.faults.proxy import Fault, Proxy
from tests.faults.scene import Item, Scene, stored
from tests.faults.users import EVERY_USER, as_user
from tests.servers import KINDS, Server
from tests.zoo.models import Numbers, Ticket, User

WRITING = {"commanding": "HSETEX", "scripting": "EVALSHA", "watching": "EXEC"}
"""The command by which each user writes one row."""

TIMEOUT = 0.3
AMPLE = 5.0
RETRIES = 2

EXECUTED = {
    "lost": Fault("lose", "EXEC"),
    "halved": Fault("halve", "EXEC"),
    "silent": Fault("silence", "EXEC"),
    "late": Fault("delay", "EXEC", seconds=2 * TIMEOUT),
}


def patience(kind: str) -> float:
    """How long an answer may take: a busy machine is no fault, where the fault is not that nothing comes."""
    return TIMEOUT if kind in ("silence", "delay") else AMPLE


def retrying(times: int = RETRIES) -> Retry:
    return Retry(NoBackoff(), times)


@pytest.fixture
def db(proxy: Proxy, opened: Open, user: str) -> Database:
    return opened(as_user(proxy.url, user), timeout=AMPLE, retry=retrying(), max_connections=1, pool_timeout=1)


def copy_of(fault: Fault, **changes: Any) -> Fault:
    return Fault(**{**{name: getattr(fault, name) for name in Fault.__slots__}, **changes})


@pytest.mark.parametrize("name", EXECUTED)
def test_lost_answer_to_exec_is_unknown_and_was_executed_once(
    name: str, proxy: Proxy, colour: Colour, opened: Open, server: Server, user: str
) -> None:
    db = opened(as_user(proxy.url, user), timeout=patience(EXECUTED[name].kind), retry=retrying(), max_connections=1, pool_timeout=1)
    scene = Scene(colour, db, server.port)
    proxy.arm(copy_of(EXECUTED[name], times=5))
    sent = proxy.delivered["EXEC"]

    with pytest.raises(CommitUnknownError, match="not sent again by itself; read the rows again") as caught:
        scene.commit()

    assert caught.value.command == "EXEC"
    assert caught.value.key is not None
    assert caught.value.key in str(caught.value)
    assert isinstance(caught.value.__cause__, (redis.RedisError, OSError))
    assert proxy.delivered["EXEC"] - sent == 1
    assert ("WATCH" in proxy.delivered, "HSET" in proxy.delivered) == ((False, False) if user == "scripting" else (True, True))
    proxy.heal()
    scene.check_all_happened()
    # A version in the commit makes a second attempt safe: it tells that the first was executed.
    with pytest.raises(StaleObjectError):
        scene.commit()
    scene.check_all_happened()
    scene.session.rollback()
    scene.close()


def test_commit_cut_off_before_exec_can_be_made_again(proxy: Proxy, colour: Colour, db: Database, server: Server) -> None:
    scene = Scene(colour, db, server.port)
    proxy.cut("EXEC")
    with pytest.raises(CommitUnknownError):
        scene.commit()
    scene.check_nothing_happened()
    scene.commit()
    assert scene.is_settled()
    scene.check_all_happened()
    scene.close()


@pytest.mark.parametrize("user", EVERY_USER, indirect=True)
@pytest.mark.parametrize("kind", ["lose", "halve", "silence", "delay", "cut"])
def test_lost_answer_to_the_write_of_one_row_is_unknown_and_it_is_not_sent_again(
    kind: Any, proxy: Proxy, colour: Colour, opened: Open, server: Server, user: str
) -> None:
    if user == "commanding" and server.kind == "redis7":
        pytest.skip("this server has no HSETEX")
    db = opened(as_user(proxy.url, user), timeout=patience(kind), retry=retrying(), max_connections=1, pool_timeout=1)

    def save(one: User) -> None:
        colour.run(db, verbs.save(one, None, db.namespace))

    save(User(id=1, name="Ann"))
    save(two := User(id=2, name="Cid"))
    two.name = "Ann"
    save(two)  # by now it is known what the server can do
    sent = proxy.delivered[WRITING[user]]
    proxy.arm(Fault(kind, WRITING[user], times=5, seconds=6 * TIMEOUT))
    two.name = "Bea"
    with pytest.raises(CommitUnknownError, match="not sent again by itself; read the rows again") as caught:
        save(two)
    assert (caught.value.command, caught.value.key) == (WRITING[user], "user:2")
    proxy.heal()
    executed = kind != "cut"
    assert proxy.delivered[WRITING[user]] - sent == executed
    assert stored(server.port)["user:2"][0][b"name"] == (b"Bea" if executed else b"Ann")
    save(two)
    assert stored(server.port)["user:2"][0][b"name"] == b"Bea"


@pytest.mark.parametrize("kind", ["lose", "cut", "halve"])
@pytest.mark.parametrize("command", ["WATCH", "HMGET", "MULTI"])
def test_commit_whose_reads_break_writes_all_or_nothing(
    kind: Any, command: str, proxy: Proxy, colour: Colour, db: Database, server: Server
) -> None:
    scene = Scene(colour, db, server.port)
    proxy.arm(Fault(kind, command))
    try:
        scene.commit()
    except (ConnectionFailedError, CommitUnknownError):
        proxy.heal()
        if stored(server.port) == scene.before:
            scene.check_nothing_happened()
            scene.commit()
        else:
            scene.session.rollback()
    scene.check_all_happened()
    assert scene.is_settled()
    scene.close()


def test_watching_connection_that_breaks_is_told_as_nothing_executed(server: Server, colour: Colour, opened: Open) -> None:
    with Proxy(server.port) as proxy:
        server.ask("ACL", "SETUSER", "watching", "reset", "on", ">secret", "~*", "&*", "+@all", "-eval", "-evalsha")
        db = opened(as_user(proxy.url, "watching"), timeout=TIMEOUT, retry=retrying())
        scene = Scene(colour, db, server.port)
        proxy.delay("WATCH", TIMEOUT / 3)
        breaking = threading.Timer(TIMEOUT / 6, proxy.refuse)
        breaking.start()
        with pytest.raises(ConnectionFailedError):
            scene.commit()
        breaking.join()
        scene.check_nothing_happened()
        proxy.heal()
        scene.commit()
        scene.check_all_happened()
        scene.close()


@pytest.mark.parametrize("kind", ["lose", "cut", "halve", "silence"])
@pytest.mark.parametrize(("command", "word"), [("MULTI", None), ("HMGET", "item:1"), ("EXEC", None)])
def test_reads_are_sent_again_as_often_as_the_policy_says(
    kind: Any, command: str, word: str | None, proxy: Proxy, colour: Colour, opened: Open, server: Server
) -> None:
    db = opened(proxy.url, timeout=patience(kind), retry=retrying(), max_connections=1, pool_timeout=1)
    Scene(colour, db, server.port).close()
    fault = proxy.arm(Fault(kind, command, word, times=RETRIES))
    session = colour.Session(db)

    items = colour.do(session.get_many(Item, [1, 2]))

    assert [item.id for item in items] == [1, 2]
    assert fault.times == 0
    session.close()

    fault = proxy.arm(Fault(kind, command, word, times=10))
    session = colour.Session(db)
    started = time.monotonic()
    with pytest.raises(BackendError) as caught:
        colour.do(session.get_many(Item, [1, 2]))
    assert fault.times == 10 - (RETRIES + 1)
    assert isinstance(caught.value, BackendTimeoutError if kind == "silence" else ConnectionFailedError)
    assert caught.value.key == "item:1"
    assert time.monotonic() - started < (RETRIES + 1) * TIMEOUT + 1
    proxy.heal()
    assert len(colour.do(session.get_many(Item, [1, 2]))) == 2
    session.close()


@pytest.mark.parametrize("kind", ["lose", "cut", "halve", "silence"])
@pytest.mark.parametrize(("command", "word"), [("ZRANK", None), ("HMGET", "item:1999")])
def test_rows_come_once_where_the_connection_breaks_between_pages(
    kind: Any, command: str, word: str | None, proxy: Proxy, colour: Colour, opened: Open, server: Server
) -> None:
    db = opened(proxy.url, timeout=patience(kind), retry=retrying(), max_connections=1, pool_timeout=1)
    with redis.Redis(port=server.port) as client:
        pipe = client.pipeline()
        for number in range(2100):
            pipe.hset(f"item:{number}", mapping={"id": number, "stock": number})
            pipe.zadd("item::stock", {str(number): number})
        pipe.execute()
    fault = proxy.arm(Fault(kind, command, word))
    session = colour.Session(db)

    items = colour.do(session.find(Item, Item.stock >= 0).all())

    assert [item.id for item in items] == list(range(2100))
    assert fault.times == 0
    session.close()


@pytest.mark.parametrize("kind", ["delay", "halve", "lose", "silence"])
def test_answer_that_comes_late_is_nobody_elses(kind: Any, proxy: Proxy, colour: Colour, opened: Open) -> None:
    db = opened(proxy.url, timeout=patience(kind), retry=retrying(0), max_connections=1, pool_timeout=1)
    session = colour.Session(db)
    session.add_all(User(id=n, name=f"n{n}") for n in range(20))
    colour.do(session.commit())
    session.close()
    session = colour.Session(db)
    proxy.arm(Fault(kind, "HMGET", seconds=TIMEOUT * 1.2))
    with pytest.raises(BackendError):
        colour.do(session.get(User, 0))
    for n in range(20):
        assert colour.do(session.get_one(User, n)).name == f"n{n}"
        time.sleep(TIMEOUT / 30)
    session.close()


def test_lost_number_is_left_out(proxy: Proxy, colour: Colour, db: Database, server: Server) -> None:
    session = colour.Session(db)
    session.add(ticket := Ticket(title="a"))
    proxy.lose("INCRBY")
    with pytest.raises(CommitUnknownError, match=r"INCRBY on 'ticket::id:next' was sent"):
        colour.do(session.commit())
    assert [key for key in stored(server.port) if not key.endswith(":next")] == []
    assert list(session.new) == [ticket]
    colour.do(session.commit())
    assert ticket.id == 2
    session.close()


def test_second_commit_of_unknown_outcome_writes_the_same_numbered_row(proxy: Proxy, colour: Colour, db: Database, server: Server) -> None:
    session = colour.Session(db)
    session.add(User(id=1, name="Ann"))
    colour.do(session.commit())  # which connects, and the server knows the script
    session.add(ticket := Ticket(title="a"))
    proxy.lose("EXEC")
    with pytest.raises(CommitUnknownError):
        colour.do(session.commit())
    proxy.heal()
    colour.do(session.commit())
    assert ticket.id == 1
    assert sorted(stored(server.port)) == ["ticket:1", "ticket::id:next", "user:1"]
    session.close()


def test_increment_of_unknown_outcome_is_found_out_by_reading_again(proxy: Proxy, colour: Colour, db: Database) -> None:
    session = colour.Session(db)
    session.add(numbers := Numbers(id=1))
    colour.do(session.commit())
    session.increment(numbers, "hits", 1)
    colour.do(session.commit())  # the server knows the script now, so that the next answer is not that it does not
    session.increment(numbers, "hits", 5)
    proxy.lose("EXEC")
    with pytest.raises(CommitUnknownError):
        colour.do(session.commit())
    proxy.heal()
    assert numbers.hits == 11

    session.rollback()
    colour.do(session.refresh(numbers))

    assert numbers.hits == 16
    assert not session.dirty
    session.close()


# ---- the server itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_killed_server_comes_back_and_the_session_commits(kind: str, start: Callable[..., Server], colour: Colour, opened: Open) -> None:
    server = start(kind, "--appendonly", "yes", "--appendfsync", "always")
    db = opened(server.url, retry=retrying())
    scene = Scene(colour, db, server.port)
    server.kill()
    with pytest.raises(ConnectionFailedError):
        scene.commit()
    with pytest.raises(ConnectionFailedError) as caught:
        scene.commit()
    assert str(server.port) in str(caught.value)
    server.start()
    scene.check_nothing_happened()
    scene.commit()
    scene.check_all_happened()
    server.kill()
    server.start()
    scene.check_all_happened()
    scene.close()


def test_suspended_server_is_given_up_in_time_and_executes_once_or_never(server: Server, colour: Colour, user: str, opened: Open) -> None:
    db = opened(as_user(server.url, user), retry=retrying(), timeout=TIMEOUT)
    scene = Scene(colour, db, server.port)
    server.suspend()
    try:
        started = time.monotonic()
        with pytest.raises((CommitUnknownError, BackendTimeoutError)):
            scene.commit()
        took = time.monotonic() - started
    finally:
        server.resume()
    assert took < (RETRIES + 1) * TIMEOUT + 1
    time.sleep(0.1)
    if stored(server.port) == scene.before:
        scene.check_nothing_happened()
        scene.commit()
    scene.check_all_happened()
    scene.session.rollback()
    scene.close()


CROWD = 20
IN_TURN = CROWD * TIMEOUT
"""How long a crowd waits at the least where one waits behind the other, however fast the machine is."""


def test_dead_server_costs_each_of_many_threads_its_own_time_only(server: Server) -> None:
    colour = Blocking()
    with colour.open(server.url, retry=retrying(0), timeout=TIMEOUT) as db:
        server.suspend()
        took: list[float] = []

        def ask() -> None:
            started = time.monotonic()
            with pytest.raises(BackendTimeoutError):
                colour.Session(db).get(User, 1)
            took.append(time.monotonic() - started)

        threads = [threading.Thread(target=ask) for _ in range(CROWD)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            server.resume()
        assert len(took) == CROWD
        assert max(took) < IN_TURN / 2


def test_dead_server_costs_each_of_many_tasks_its_own_time_only(server: Server) -> None:
    colour = Awaiting()

    async def ask(db: Database) -> None:
        session = AsyncSession(db)
        with pytest.raises(BackendTimeoutError):
            await session.get(User, 1)
        session.close()

    async def crowd(db: Database) -> None:
        await asyncio.gather(*(ask(db) for _ in range(CROWD)))

    with colour.open(server.url, retry=retrying(0), timeout=TIMEOUT) as db:
        server.suspend()
        started = time.monotonic()
        try:
            colour.do(crowd(db))
        finally:
            server.resume()
        assert time.monotonic() - started < IN_TURN / 2
    colour.close()

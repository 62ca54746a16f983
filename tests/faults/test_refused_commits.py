"""A server that refuses: nothing is written, the error says which operation and why, and the session can commit again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import BackendError, Database, SortedSet, WrongTypeError
from tests.faults.colours import Colour, Open
from tests.faults.scene import Scene, stored
from tests.faults.users import USERS, allow_all, as_user
from tests.servers import KINDS, Server
from tests.zoo.models import Board, User

Fault: TypeAlias = Callable[[Server], Iterator[None]]


def configured(name: str, value: str, healthy: str) -> Fault:
    """A fault that is a setting of the server."""

    def fault(server: Server) -> Iterator[None]:
        assert server.ask("CONFIG", "SET", name, value) == b"+OK\r\n"
        try:
            yield
        finally:
            server.ask("CONFIG", "SET", name, healthy)

    return fault


def replica(server: Server) -> Iterator[None]:
    """The server is a replica, of a primary that is not there."""
    server.ask("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        server.ask("REPLICAOF", "NO", "ONE")


def busy(server: Server) -> Iterator[None]:
    """A script runs and runs."""
    server.ask("CONFIG", "SET", "busy-reply-threshold", "1")
    script = threading.Thread(target=lambda: server.ask("EVAL", "while true do end", "0"))
    script.start()
    while not server.ask("GET", "x").startswith(b"-BUSY"):
        time.sleep(0.01)
    try:
        yield
    finally:
        server.ask("SCRIPT", "KILL")
        script.join()
        server.ask("CONFIG", "SET", "busy-reply-threshold", "5000")


def denying(*rules: str) -> Fault:
    """The users' rights are cut, in the middle of a session."""

    def fault(server: Server) -> Iterator[None]:
        for user in USERS:
            assert server.ask("ACL", "SETUSER", user, *rules) == b"+OK\r\n"
        try:
            yield
        finally:
            allow_all(server)

    return fault


@pytest.fixture
def db(server: Server, opened: Open, user: str) -> Database:
    return opened(as_user(server.url, user), timeout=2, retry=Retry(NoBackoff(), 1))


@contextmanager
def suffering(fault: Fault, server: Server) -> Iterator[None]:
    yield from fault(server)


REFUSALS: dict[str, tuple[Fault, str]] = {
    "full": (configured("maxmemory", "1", "0"), "OOM"),
    "replica": (replica, "READONLY"),
    "too few replicas": (configured("min-replicas-to-write", "1", "0"), "NOREPLICAS"),
    "busy": (busy, "BUSY"),
    "may not HSET": (denying("-hset"), "NOPERM"),
    "may not ZADD": (denying("-zadd"), "NOPERM"),
    "may not SADD": (denying("-sadd"), "NOPERM"),
    "may not UNLINK": (denying("-unlink"), "NOPERM"),
    "may not PEXPIREAT": (denying("-pexpireat"), "NOPERM"),
    "may not EXEC": (denying("-exec"), "NOPERM"),
    "may not touch indexes": (denying("resetkeys", "~item:?", "~item:?:*", "~entry:*", "%R~item::*"), "NOPERM"),
    "may not touch a companion": (
        denying("resetkeys", "~item:?", "~item::*", "~item:?::memo", "~item:?:jobs", "~item:?:scores", "~entry:*"),
        "NOPERM",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_commit_writes_nothing_and_can_be_made_again(name: str, server: Server, colour: Colour, db: Database) -> None:
    fault, code = REFUSALS[name]
    scene = Scene(colour, db, server.port)

    with suffering(fault, server):
        with pytest.raises(BackendError):
            scene.commit()
        with pytest.raises(BackendError) as caught:
            scene.commit()

    error = caught.value
    assert error.code == code
    assert error.command
    assert str(error).startswith(f"{error.command} on {error.key!r}: {code}" if error.key else f"{error.command}: {code}")
    assert error.key or error.command in ("MULTI", "EXEC")
    assert isinstance(error.__cause__, redis.RedisError)
    scene.check_nothing_happened()
    scene.commit()
    assert scene.is_settled()
    scene.check_all_happened()
    scene.close()


def test_flushed_scripts_are_sent_again_unnoticed(server: Server, colour: Colour, db: Database) -> None:
    for _ in range(2):
        scene = Scene(colour, db, server.port)
        server.ask("SCRIPT", "FLUSH")
        scene.commit()
        scene.check_all_happened()
        scene.close()
        server.ask("FLUSHALL")


@pytest.mark.parametrize("kind", ["string", "list"])
@pytest.mark.parametrize(
    ("foreign", "field", "needed"),
    [("board:1", "id", "hash"), ("board:1:tags", "tags", "set"), ("board:2", "id", "hash"), ("board:2:scores", "scores", "zset")],
)
def test_key_of_another_type_is_told_with_both_types(
    server: Server, colour: Colour, db: Database, kind: str, foreign: str, field: str, needed: str
) -> None:
    session = colour.Session(db)
    session.add(Board(id=1, name="old"))
    colour.do(session.commit())
    board = colour.do(session.get_one(Board, 1))
    board.name = "new"
    board.tags.add("a")
    session.add(Board(id=2, scores=SortedSet({"m": 1})))
    session.add(User(id=1, name="Ann"))
    server.ask("DEL", foreign)
    server.ask(*({"string": ("SET", foreign, "theirs"), "list": ("RPUSH", foreign, "theirs")}[kind]))
    before = stored(server.port)

    for _ in range(2):
        with pytest.raises(WrongTypeError, match="nothing was written") as caught:
            colour.do(session.commit())
        assert (caught.value.key, caught.value.expected, caught.value.found) == (foreign, needed, kind)
        assert stored(server.port) == before

    assert len(session.new) == 2
    session.rollback()
    session.close()


@pytest.mark.parametrize("kind", KINDS)
def test_loading_server_is_waited_for_by_the_retry_policy_or_told(
    kind: str, start: Callable[..., Server], colour: Colour, opened: Open
) -> None:
    slow = start(kind, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024", "--key-load-delay", "1000")
    hasty, patient = opened(slow.url, retry=Retry(NoBackoff(), 1), timeout=2), opened(slow.url, timeout=2)
    scene = Scene(colour, hasty, slow.port)
    slow.ask("DEBUG", "POPULATE", "600", "filler", "100")
    scene.before = stored(slow.port)
    loading = threading.Thread(target=lambda: slow.ask("DEBUG", "RELOAD"))
    loading.start()
    while not slow.ask("GET", "x").startswith(b"-LOADING"):
        assert loading.is_alive()
    with pytest.raises(BackendError, match="try again in a moment") as refused:
        scene.commit()
    session = colour.Session(hasty)
    with pytest.raises(BackendError, match="try again in a moment") as unread:
        colour.do(session.get(User, 1))
    session.close()
    assert (refused.value.code, unread.value.code) == ("LOADING", "LOADING")
    session = colour.Session(patient)
    assert colour.do(session.get(User, 1)) is None
    session.close()
    loading.join()

    scene.check_nothing_happened()
    scene.commit()
    scene.check_all_happened()
    scene.close()


def test_session_outlives_the_removal_of_its_user(server: Server, colour: Colour, opened: Open) -> None:
    allow_all(server)
    db = opened(as_user(server.url, "scripting"), retry=Retry(NoBackoff(), 1))
    scene = Scene(colour, db, server.port)
    server.ask("ACL", "DELUSER", "scripting")  # which ends the connections of the user
    time.sleep(0.05)
    with pytest.raises(BackendError) as caught:
        scene.commit()
    assert caught.value.code in ("WRONGPASS", "NOAUTH")
    assert "secret" not in str(caught.value)
    scene.check_nothing_happened()
    allow_all(server)
    scene.commit()
    scene.check_all_happened()
    scene.close()

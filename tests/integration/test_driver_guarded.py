"""A transaction that is queued while it is read whether it may be executed: both colours, in memory and on real servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm.commands import Batch, Command, Flow, Guarded
from redisorm.drivers.database import Database
from redisorm.errors import BackendError, BackendTimeoutError, CommitUnknownError, ConnectionFailedError, WrongTypeError
from tests.faults.proxy import Proxy
from tests.integration.performing import Perform
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("replies_read")

ROWS: list[list[Command]] = [[("SET", f"k{number}", number) for number in range(start, start + 50)] for start in range(0, 300, 50)]
KEYS = [f"k{number}" for number in range(300)]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def absent(pieces: Iterable[Sequence[Command]], keys: Sequence[str] = KEYS, meanwhile: Callable[[], object] = lambda: None) -> Flow[Any]:
    """Execute where none of the keys is there."""
    return (yield Guarded(keys, [[("EXISTS", *keys)]], [0].__eq__, pieces, meanwhile))


def ask(*commands: Command) -> Flow[Any]:
    return (yield Batch(commands, resend=True))


def once_warm(breaking: Callable[[], object]) -> Flow[Any]:
    """The same on a connection that is known to work, and then does not."""
    yield Batch([("PING",)])
    breaking()
    return (yield from absent(ROWS))


def test_what_is_as_expected_is_executed_whole(db: Database, perform: Perform) -> None:
    seen: list[str] = []
    before = db.traffic
    assert perform(db, absent(ROWS, meanwhile=lambda: seen.append("executing"))) == [b"OK"] * 300
    assert seen == ["executing"]
    spent = db.traffic.commands - before.commands, db.traffic.round_trips - before.round_trips
    assert spent in ((300 + 4, 2), (300 + 4 + 4, 3))  # the first use of a loop asks for the server
    assert perform(db, ask(("MGET", "k0", "k299"))) == [[b"0", b"299"]]


def test_what_is_otherwise_is_not_executed(db: Database, perform: Perform) -> None:
    perform(db, ask(("SET", "k7", "theirs")))
    assert perform(db, absent(ROWS, meanwhile=lambda: pytest.fail("nothing is executed"))) is None
    assert perform(db, ask(("EXISTS", *KEYS), ("GET", "k7"))) == [1, b"theirs"]


def test_key_that_changes_in_between_leaves_all_as_it_is(server: Server, perform: Perform) -> None:
    def pieces() -> Iterator[Sequence[Command]]:
        yield ROWS[0]
        server.ask("SET", "k299", "theirs")
        yield from ROWS[1:]

    with Database(server.url) as db:
        for watched in (KEYS, ["k299"]):
            # Whether it came before or after the look, it is seen by one of the two.
            assert perform(db, absent(pieces(), watched)) is None
            assert perform(db, ask(("EXISTS", *KEYS), ("GET", "k299"))) == [1, b"theirs"]
            server.ask("FLUSHALL")
        assert perform(db, absent(ROWS)) == [b"OK"] * 300, "nothing is watched any more"


def test_connection_watches_nothing_afterwards(server_url: str, perform: Perform) -> None:
    with Database(server_url, max_connections=1) as db, Database(server_url) as other:

        def flow() -> Flow[Any]:
            yield from absent([[("SET", "a", 1)]], ["a"])
            yield from absent([[("SET", "a", 2)]], ["a"])
            other.run(ask(("SET", "a", 3)))
            return (yield Batch([("GET", "a")], atomic=True))

        assert perform(db, flow()) == [b"3"]


def test_command_that_is_refused_at_queueing_executes_nothing(db: Database, perform: Perform) -> None:
    with pytest.raises(BackendError, match="nothing was executed"):
        perform(db, absent([[("SET", "a", 1)], [("SET", "b")]], ["a"]))
    assert perform(db, ask(("EXISTS", "a"))) == [0]


def test_refusal_inside_exec_is_told(db: Database, perform: Perform) -> None:
    perform(db, ask(("SET", "text", "x")))
    with pytest.raises(WrongTypeError, match="the other commands of the transaction were applied"):
        perform(db, absent([[("SET", "a", 1)], [("LPUSH", "text", "y")]], ["a"]))
    assert perform(db, ask(("EXISTS", "a"))) == [1]


def test_read_that_is_refused_executes_nothing(db: Database, perform: Perform) -> None:
    perform(db, ask(("SET", "text", "x")))

    def flow() -> Flow[Any]:
        reads: list[list[Command]] = [[("HLEN", "text")], [("EXISTS", "a")]]
        return (yield Guarded(["text"], reads, lambda _: pytest.fail("there is nothing to compare"), [[("SET", "a", 1)]], lambda: None))

    for _ in range(2):
        assert perform(db, flow()) is None
        assert perform(db, ask(("EXISTS", "a"))) == [0]


@pytest.mark.parametrize("wrong", [None, "\ud800"])
def test_piece_that_cannot_be_spelled_executes_nothing(server: Server, perform: Perform, wrong: Any) -> None:
    with Database(server.url, max_connections=1, pool_timeout=1) as db:
        for _ in range(2):
            with pytest.raises((TypeError, UnicodeEncodeError)):
                perform(db, absent([*ROWS, [("SET", "z", wrong)]]))
            assert perform(db, ask(("EXISTS", *KEYS))) == [0]


def test_piece_that_raises_executes_nothing(db: Database, perform: Perform) -> None:
    def pieces() -> Iterator[Sequence[Command]]:
        yield from ROWS
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        perform(db, absent(pieces()))
    assert perform(db, ask(("EXISTS", *KEYS))) == [0]


def test_lost_answer_to_exec_is_unknown_and_it_is_not_sent_again(server: Server, proxy: Proxy, perform: Perform) -> None:
    with Database(proxy.url, retry=Retry(NoBackoff(), 3), timeout=2) as db:
        with pytest.raises(CommitUnknownError, match=r"EXEC of a batch of 300 commands, the first SET on 'k0', was sent"):
            perform(db, once_warm(lambda: proxy.lose("EXEC", times=3)))
        assert proxy.delivered["EXEC"] == 2  # and that of the driver's first question
        assert server.ask("DBSIZE") == b":300\r\n"


def test_silence_after_exec_is_unknown(proxy: Proxy, perform: Perform) -> None:
    with Database(proxy.url, retry=Retry(NoBackoff(), 0), timeout=0.3) as db, pytest.raises(CommitUnknownError):
        perform(db, once_warm(lambda: proxy.silence("EXEC")))


@pytest.mark.parametrize("command", ["MULTI", "SET"])
@pytest.mark.parametrize("kind", ["lose", "cut", "silence"])
def test_what_breaks_while_it_is_queued_executes_all_or_nothing(
    server: Server, proxy: Proxy, perform: Perform, command: str, kind: str
) -> None:
    with Database(proxy.url, retry=Retry(NoBackoff(), 3), timeout=0.5) as db:
        with pytest.raises((CommitUnknownError, ConnectionFailedError, BackendTimeoutError)) as caught:
            perform(db, once_warm(partial(getattr(proxy, kind), command)))
        proxy.heal()
        time.sleep(0.05)  # what is on its way to the server arrives
        executed = server.ask("DBSIZE")
        assert executed == b":0\r\n" or (executed == b":300\r\n" and caught.type is CommitUnknownError)


@pytest.mark.parametrize("command", ["WATCH", "EXISTS"])
@pytest.mark.parametrize("kind", ["lose", "cut", "silence"])
def test_what_breaks_before_exec_has_executed_nothing(server: Server, proxy: Proxy, perform: Perform, command: str, kind: str) -> None:
    with Database(proxy.url, retry=Retry(NoBackoff(), 3), timeout=0.5) as db:
        with pytest.raises((ConnectionFailedError, BackendTimeoutError), match="nothing was executed"):
            perform(db, once_warm(partial(getattr(proxy, kind), command)))
        assert server.ask("DBSIZE") == b":0\r\n"
        proxy.heal()
        assert perform(db, absent(ROWS)) == [b"OK"] * 300


def test_cancelled_in_the_middle_it_executes_nothing_and_leaves_a_healthy_pool(server: Server, proxy: Proxy) -> None:
    async def main(db: Database) -> None:
        await db.arun(ask(("PING",)))
        proxy.silence("EXISTS")
        task = asyncio.create_task(db.arun(absent(ROWS)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.heal()
        assert await db.arun(ask(("EXISTS", *KEYS))) == [0]

    with Database(proxy.url, max_connections=1, pool_timeout=1) as db:
        asyncio.run(main(db))
    assert server.ask("DBSIZE") == b":0\r\n"


def test_user_who_may_not_use_transactions_is_told_before_anything_is_sent(server: Server, perform: Perform) -> None:
    server.ask("ACL", "SETUSER", "plain", "reset", "on", ">secret", "~*", "+@all", "-multi")
    with (
        Database(server.url.replace("redis://", "redis://plain:secret@")) as db,
        pytest.raises(BackendError, match=r"MULTI: NOPERM.*nothing was executed"),
    ):
        perform(db, absent(ROWS))
    assert server.ask("DBSIZE") == b":0\r\n"

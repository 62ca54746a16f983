"""What a flow asks is what it gets: both colours, in memory and on real servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from redisorm.commands import Batch, Clock, Collect, Command, Flow, Pause, Post, Supports, Watch, WatchLimit
from redisorm.drivers import awaiting, blocking
from redisorm.drivers.database import Database
from redisorm.errors import BackendError, UnsupportedServerError, WrongTypeError
from redisorm.mapping.encoder import as_bytes
from tests.integration.performing import Perform
from tests.servers import Server

pytestmark = pytest.mark.usefixtures("replies_read")


def send(*commands: Command, atomic: bool = False, resend: bool = False) -> Flow[Any]:
    return (yield Batch(commands, atomic=atomic, resend=resend))


def partially(*commands: Command, atomic: bool) -> Flow[Any]:
    return (yield Batch(commands, atomic=atomic, resend=True, partial=True))


def test_replies_are_bytes_numbers_and_containers_of_them(db: Database, perform: Perform) -> None:
    replies = perform(db, send(("HSET", "h", "a", 1, "b", b"\xff"), ("HMGET", "h", "a", "b", "c"), ("SET", "s", "é"), ("GET", "s")))
    assert replies == [2, [b"1", b"\xff", None], b"OK", "é".encode()]
    assert perform(db, send(("HGETALL", "h"), ("ZADD", "z", 1, "m"), ("ZSCORE", "z", "m"))) == [{b"a": b"1", b"b": b"\xff"}, 1, 1.0]


def test_words_may_come_decoded_where_a_batch_says_so(db: Database, perform: Perform) -> None:
    def decoded(*commands: Command) -> Flow[Any]:
        return (yield Batch(commands, resend=True, text=True))

    perform(db, send(("RPUSH", "l", "a", "é"), ("RPUSH", "raw", b"\xff")))
    for _ in range(2):
        (reply,) = perform(db, decoded(("LRANGE", "l", 0, -1)))
        assert [as_bytes(word) for word in reply] == [b"a", "é".encode()]
        assert perform(db, send(("LRANGE", "l", 0, -1))) == [[b"a", "é".encode()]], "those of others stay as they are"
        with suppress(UnicodeDecodeError):
            assert perform(db, decoded(("LRANGE", "raw", 0, -1))) == [[b"\xff"]]
        assert perform(db, send(("LRANGE", "raw", 0, -1))) == [[b"\xff"]]
        assert db.client.lrange("raw", 0, -1) == [b"\xff"]


def test_atomic_batch_answers_with_the_replies_of_its_commands(db: Database, perform: Perform) -> None:
    assert perform(db, send(("SET", "a", "1"), ("INCR", "a"), ("GET", "a"), atomic=True)) == [b"OK", 2, b"2"]
    assert perform(db, send(atomic=True)) == []


def test_many_replies_come_in_the_order_of_their_commands(db: Database, perform: Perform) -> None:
    commands: list[Command] = [("ECHO", str(number)) for number in range(3000)]
    expected = [str(number).encode() for number in range(3000)]
    assert perform(db, send(*commands)) == expected
    assert perform(db, send(*commands, atomic=True)) == expected


def test_refusals_among_many_replies_stand_where_their_commands_did(db: Database, perform: Perform) -> None:
    perform(db, send(("SET", "s", "1")))
    commands: list[Command] = [("LPUSH" if number % 7 == 3 else "GET", "s", *(("x",) if number % 7 == 3 else ())) for number in range(700)]
    for atomic in (False, True):
        replies = perform(db, partially(*commands, atomic=atomic))
        assert [isinstance(reply, WrongTypeError) for reply in replies] == [number % 7 == 3 for number in range(700)]
        assert set(replies[::7]) == {b"1"}


def test_refused_command_of_a_plain_batch_leaves_the_connection_usable(db: Database, perform: Perform) -> None:
    perform(db, send(("SET", "s", "1")))
    with pytest.raises(WrongTypeError) as caught:
        perform(db, send(("LPUSH", "s", "x"), ("SET", "t", "2")))
    assert (caught.value.key, caught.value.command) == ("s", "LPUSH")
    assert perform(db, send(("GET", "t"))) == [b"2"]


def test_refusal_inside_exec_applies_the_others(db: Database, perform: Perform) -> None:
    perform(db, send(("SET", "s", "1")))
    with pytest.raises(WrongTypeError, match="were applied"):
        perform(db, send(("SET", "a", "1"), ("LPUSH", "s", "x"), ("SET", "b", "2"), atomic=True))
    assert perform(db, send(("MGET", "a", "b"))) == [[b"1", b"2"]]


@pytest.mark.parametrize(("wrong", "kind"), [(("LPUSH", "s"), BackendError), (("NOSUCH", "x"), UnsupportedServerError)])
def test_refusal_at_queueing_applies_nothing(db: Database, perform: Perform, wrong: Command, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="nothing was executed"):
        perform(db, send(("SET", "a", "1"), wrong, atomic=True))
    assert perform(db, send(("GET", "a"), ("SET", "a", "2"), atomic=True)) == [None, b"OK"]


def test_long_command_arrives_as_it_was_written(db: Database, perform: Perform) -> None:
    words = [str(number) if number % 3 else number if number % 2 else b"\xff%d" % number for number in range(5000)]
    expected = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    for atomic in (False, True):
        replies = perform(
            db, send(("DEL", "l"), ("RPUSH", "l", *words), ("LRANGE", "l", 0, 2999), ("LRANGE", "l", 3000, -1), atomic=atomic)
        )
        assert replies[2] + replies[3] == expected
    with pytest.raises(UnicodeEncodeError):
        perform(db, send(("DEL", "l"), ("RPUSH", "l", *words, "\ud800"), atomic=True))
    assert perform(db, send(("LLEN", "l"))) == [5000]


# ---- sending without waiting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("resend", [False, True])
def test_batch_without_commands_is_answered_at_once(db: Database, perform: Perform, resend: bool) -> None:
    assert perform(db, send(resend=resend)) == []
    assert perform(db, send(("ECHO", "x"))) == [b"x"]


def posted(*batches: Batch) -> Flow[list[Any]]:
    for batch in batches:
        yield Post(batch)
    answers = []
    for _ in batches:
        try:
            answers.append((yield Collect()))
        except BackendError as error:
            answers.append(type(error))
    return answers


def test_posted_batches_are_answered_in_their_order(db: Database, perform: Perform) -> None:
    batches = [Batch([("INCR", "n"), ("ECHO", str(number))], atomic=number % 2 == 0) for number in range(40)]
    assert perform(db, posted(*batches)) == [[number + 1, str(number).encode()] for number in range(40)]
    assert perform(db, send(("GET", "n"))) == [b"40"]


def test_posted_batches_are_one_round_trip_over_one_connection(server: Server, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Batch([("SET", "n", 0)])
        before = db.traffic.round_trips
        answers = yield from posted(*[Batch([("CLIENT", "ID")])] * 3)
        return len({number for (number,) in answers}), db.traffic.round_trips - before

    with Database(server.url) as db:
        assert perform(db, flow()) == (1, 1)


def test_refusal_of_a_posted_batch_is_raised_when_it_is_collected(db: Database, perform: Perform) -> None:
    batches = [Batch([("SET", "s", "1")]), Batch([("LPUSH", "s", "x")]), Batch([("LPUSH", "s", "x")], atomic=True), Batch([("GET", "s")])]
    assert perform(db, posted(*batches)) == [[b"OK"], WrongTypeError, WrongTypeError, [b"1"]]


def test_flow_that_posted_may_post_again_and_may_watch_afterwards(db: Database, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Post(Batch([("SET", "n", 1)]))
        yield Post(Batch([("INCR", "n")]))
        first = yield Collect()
        yield Post(Batch([("INCR", "n")]))
        rest = [(yield Collect()), (yield Collect())]
        read = yield Watch(["n"], [("GET", "n")])
        return [first, *rest, read, (yield Batch([("INCR", "n")], atomic=True))]

    assert perform(db, flow()) == [[b"OK"], [2], [3], [b"3"], [4]]


def test_answers_that_nobody_collected_are_never_those_of_another(db: Database, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Post(Batch([("ECHO", "a")]))
        yield Post(Batch([("ECHO", "b")]))
        yield Collect()
        raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            perform(db, flow())
        assert perform(db, send(("ECHO", "mine"))) == [b"mine"]


def test_error_is_thrown_into_the_flow_which_may_go_on(db: Database, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Batch((("SET", "s", "1"),))
        try:
            yield Batch((("LPUSH", "s", "1"),))
        except WrongTypeError:
            return (yield Batch((("GET", "s"),)))

    assert perform(db, flow()) == [b"1"]


def guarded(rival: Callable[[], None], *, reads_again: bool = False) -> Flow[Any]:
    """Watch, read, let a rival act, write on what was read."""
    read = yield Watch(["n"], [("GET", "n")])
    if reads_again:
        read += yield Watch(["m"], [("GET", "m")])
        read += yield Batch([("GET", "other")])
    rival()
    done = yield Batch([("SET", "n", int(read[0] or 0) + 1), ("SET", "written", "yes")], atomic=True)
    return read, done


def nobody() -> None:
    return None


def test_watch_reads_and_commits(db: Database, perform: Perform) -> None:
    perform(db, send(("SET", "n", 5), ("SET", "other", "x")))
    assert perform(db, guarded(nobody)) == ([b"5"], [b"OK", b"OK"])
    assert perform(db, guarded(nobody, reads_again=True)) == ([b"6", None, b"x"], [b"OK", b"OK"])
    assert perform(db, send(("GET", "n"))) == [b"7"]


@pytest.mark.parametrize("key", ["n", "m"])
def test_watched_key_that_changed_answers_none_and_writes_nothing(db: Database, perform: Perform, key: str) -> None:
    perform(db, send(("SET", "n", 5)))
    read, done = perform(db, guarded(lambda: db.run(send(("SET", key, 9))), reads_again=True))
    assert read[0] == b"5"
    assert done is None
    assert perform(db, send(("GET", "written"))) == [None]


def test_watched_key_that_expired_answers_none(db: Database, perform: Perform) -> None:
    perform(db, send(("SET", "n", 5, "PX", 400)))
    read, done = perform(db, guarded(lambda: time.sleep(0.6)))
    assert read == [b"5"]
    assert done is None
    assert perform(db, send(("MGET", "n", "written"))) == [[None, None]]


def test_flow_that_ends_while_it_watches_gives_its_connection_back_clean(server_url: str, perform: Perform) -> None:
    with Database(server_url, max_connections=1) as db:

        def leaving(error: Exception | None) -> Flow[str]:
            yield Watch(["n"], [("GET", "n")])
            if error is not None:
                raise error
            return "left"

        assert perform(db, leaving(None)) == "left"
        with pytest.raises(LookupError, match="mine"):
            perform(db, leaving(LookupError("mine")))
        perform(db, send(("SET", "n", 1)))
        assert perform(db, send(("SET", "n", 2), atomic=True)) == [b"OK"]


def test_connection_that_watched_is_free_again_after_exec(server_url: str, perform: Perform) -> None:
    with Database(server_url, max_connections=1, pool_timeout=1) as db:

        def flow() -> Flow[Any]:
            yield Watch(["n"])
            first = yield Batch([("SET", "n", 1)], atomic=True)
            second = yield Batch([("GET", "n")])
            yield Watch(["n"])
            third = yield Batch([("INCR", "n")], atomic=True)
            return first, second, third

        assert perform(db, flow()) == ([b"OK"], [b"1"], [2])


def test_commit_after_a_failed_watch_is_refused(db: Database, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Batch([("SET", "s", "1")])
        with pytest.raises(WrongTypeError):
            yield Watch(["s"], [("HGET", "s", "x")])
        with pytest.raises(BackendError, match="nothing was executed"):
            yield Batch([("SET", "s", "2")], atomic=True)
        yield Watch(["s"])
        return (yield Batch([("GET", "s")], atomic=True))

    assert perform(db, flow()) == [b"1"]


def test_clock_is_the_servers_and_costs_nothing_after_the_first_time(db: Database, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        first = yield Clock()
        [(seconds, micros)] = yield Batch([("TIME",)])
        before = db.traffic.round_trips
        second = yield Clock()
        return first, int(seconds) * 1000 + int(micros) / 1000, second, db.traffic.round_trips - before

    first, server_ms, second, trips = perform(db, flow())
    assert isinstance(first, int)
    assert abs(first - server_ms) < 100
    assert abs(second - server_ms) < 100
    assert trips == 0


def test_supports_is_asked_once(db: Database, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        has = yield Supports("hgetall")
        lacks = yield Supports("NOSUCH")
        before = db.traffic
        again = yield Supports("HGETALL")
        return has, lacks, again, db.traffic == before

    assert perform(db, flow()) == (True, False, True, True)


def test_watch_limit_is_for_redis_only(db: Database, perform: Perform, server_url: str) -> None:
    def flow() -> Flow[Any]:
        return (yield WatchLimit())

    limit = perform(db, flow())
    version = "" if server_url.startswith("memory") else str(db.client.info("server"))
    assert limit == (1000 if version and "valkey" not in version else None)


def test_pause_sleeps_for_a_part_of_its_limit(db: Database, perform: Perform, monkeypatch: pytest.MonkeyPatch) -> None:
    def flow() -> Flow[Any]:
        return (yield Pause(30))

    perform(db, send(("PING",)))
    monkeypatch.setattr(blocking, "random", lambda: 0.001)
    monkeypatch.setattr(awaiting, "random", lambda: 0.001)
    started = time.monotonic()
    assert perform(db, flow()) is None
    assert 0.02 < time.monotonic() - started < 30


def test_traffic_counts_packets_and_commands_of_both_colours(db: Database) -> None:
    db.run(send(("PING",)))
    asyncio.run(db.arun(send(("PING",))))
    commands, round_trips = db.traffic
    db.run(send(("SET", "a", 1), ("GET", "a"), atomic=True))
    asyncio.run(_many(db))
    assert db.traffic.round_trips - round_trips >= 3
    after = db.traffic
    db.run(guarded(nobody))
    assert (db.traffic.commands - after.commands, db.traffic.round_trips - after.round_trips) == (6, 2)
    assert after.commands - commands >= 6


async def _many(db: Database) -> None:
    await asyncio.gather(*(db.arun(send(("GET", "a"))) for _ in range(2)))


def test_large_batches_and_values(db: Database, perform: Perform) -> None:
    value = b"x" * 300_000
    replies = perform(db, send(*(("SET", f"k{i}", value if i % 100 == 0 else i) for i in range(1000)), atomic=True))
    assert replies == [b"OK"] * 1000
    replies = perform(db, send(*(("GET", f"k{i}") for i in range(1000)), resend=True))
    assert replies[200] == value
    assert replies[999] == b"999"

"""Packets and the reading apart of replies, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import pytest
from redis import exceptions as theirs
from redis.connection import DefaultParser

from redisorm.commands import Batch, Command, ForEach, Watch
from redisorm.drivers import exchange as make
from redisorm.drivers import questions
from redisorm.drivers.packing import LONG, PIECE, Long, packed, packed_few, packed_together
from redisorm.drivers.server import KnownServer
from redisorm.errors import (
    BackendError,
    BackendTimeoutError,
    CommitUnknownError,
    ConnectionFailedError,
    UnsupportedServerError,
    WrongTypeError,
)

COMMANDS: Sequence[Command] = (("HSET", "a", "x", 1), ("LPUSH", "b", b"\xff"))


def batch(*, atomic: bool = False, resend: bool = False, commands: Sequence[Command] = COMMANDS) -> make.Exchange:
    return make.batch(Batch(commands, atomic=atomic, resend=resend), KnownServer())


class Loud(str):
    """A text that is printed as another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def refusal(line: str) -> Exception:
    error: Exception = DefaultParser.parse_error(line)  # type: ignore[no-untyped-call]
    return error


WRONGTYPE = refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
ABORT = refusal("EXECABORT Transaction discarded because of previous errors.")
ARITY = refusal("ERR wrong number of arguments for 'lpush' command")


def test_words_are_packed_as_the_protocol_spells_them() -> None:
    assert (
        b"".join(batch().packet()) == b"*4\r\n$4\r\nHSET\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\n1\r\n*3\r\n$5\r\nLPUSH\r\n$1\r\nb\r\n$1\r\n\xff\r\n"
    )


@pytest.mark.parametrize("word", ["name", "", "x" * 300, "é", b"\xff", b"", 5])
def test_few_commands_are_packed_as_each_is(word: str | bytes | int) -> None:
    commands: list[Command] = [("HSETEX", "user:1", "XX", "FIELDS", "1", "name", word), ("HMGET", "user:1", ":ttl"), ("PING",)]
    assert packed_few(commands) == b"".join(map(packed, commands))
    assert packed_few(commands * 2) == b"".join(map(packed, commands * 2))
    assert packed_together(commands * 9) == b"".join(map(packed, commands * 9))


@pytest.mark.parametrize("words", [(), ("name", "é", b"\xff", 5)])
def test_one_command_for_each_key_is_packed_as_if_each_were_written_out(words: Sequence[str | bytes | int]) -> None:
    each = ForEach("HMGET", ["user:1", "", "ü:2"], words)
    written: list[Command] = [("HMGET", "user:1", *words), ("HMGET", "", *words), ("HMGET", "ü:2", *words)]
    assert batch(commands=each).chunks == batch(commands=written).chunks
    assert batch(commands=ForEach("HMGET", [])).chunks == []
    with pytest.raises(UnicodeEncodeError):
        batch(commands=ForEach("GET", ["\ud800"]))


def test_long_command_goes_out_in_pieces_that_are_together_what_it_is_in_one() -> None:
    words = [str(number) if number % 2 else number for number in range(5000)]
    long = batch(commands=[("GET", "a"), ("RPUSH", "l", *words), ("GET", "b")], atomic=True)
    pieces = list(long.packet())
    spelled = [packed(("MULTI",)), packed(("GET", "a")), packed(("RPUSH", "l", *words)), packed(("GET", "b")), packed(("EXEC",))]
    assert b"".join(pieces) == b"".join(spelled)
    assert len(pieces) > 5
    assert list(long.packet()) == pieces, "it may have to be sent again"
    assert len(list(batch(commands=[("RPUSH", "l", *words[:400])]).packet())) == 1
    assert [bytes(chunk) for chunk in long.chunks] == spelled


@pytest.mark.parametrize("word", ["x" * 300, "", "é", b"\xff", 5, Loud("a")])
def test_long_command_is_spelled_as_hiredis_spells_it(word: Any) -> None:
    for count in (LONG, 2 * PIECE + 1, 3 * PIECE - 1):
        command = ("RPUSH", "l", *map(str, range(count)), word)
        (long,) = batch(commands=[command]).chunks
        assert isinstance(long, Long)
        assert bytes(long) == packed(command)
        sizes = [piece.count(b"$") for piece in long]
        assert sum(sizes) == len(command)
        assert max(sizes) < 2 * PIECE
        assert min(sizes) > PIECE // 2, "no piece is too short to be worth its way"


def test_words_come_decoded_outside_transactions_alone() -> None:
    wish = Batch(COMMANDS, text=True)
    assert make.batch(wish, KnownServer()).text
    wish.atomic = True
    assert not make.batch(wish, KnownServer()).text
    assert not batch().text


def test_one_command_for_each_key_is_a_list_of_them() -> None:
    each = ForEach("GET", ["a", "b", "c"], (1,))
    assert each == [("GET", "a", 1), ("GET", "b", 1), ("GET", "c", 1)]
    assert (len(each), each[1], each[1:]) == (3, ("GET", "b", 1), ForEach("GET", ["b", "c"], (1,)))
    assert each != 5
    assert repr(each) == "ForEach('GET', ['a', 'b', 'c'], (1,))"


def test_atomic_batch_is_one_packet_from_multi_to_exec() -> None:
    chunks = batch(atomic=True).chunks
    assert len(chunks) == 4
    assert chunks[0] == b"*1\r\n$5\r\nMULTI\r\n"
    assert chunks[-1] == b"*1\r\n$4\r\nEXEC\r\n"


@pytest.mark.parametrize("word", ["\ud800", None, object()])
def test_a_word_that_cannot_be_packed_fails_before_anything_is_sent(word: Any) -> None:
    with pytest.raises((TypeError, UnicodeEncodeError)):
        batch(commands=[("SET", "a", word)])
    with pytest.raises((TypeError, UnicodeEncodeError)):
        packed_few([("SET", "a", word)])
    with pytest.raises((TypeError, UnicodeEncodeError)):
        packed_together([("SET", "a", word)])


def test_replies_of_a_plain_batch_are_the_answer() -> None:
    assert batch().answer([1, 2]) == [1, 2]


def test_first_refusal_of_a_plain_batch_is_raised() -> None:
    with pytest.raises(WrongTypeError, match=r"LPUSH on 'b'.*other commands sent with it were executed"):
        batch().answer([1, WRONGTYPE])


def test_answer_of_a_transaction() -> None:
    assert batch(atomic=True).answer([b"OK", b"QUEUED", b"QUEUED", [1, 2]]) == [1, 2]


def test_transaction_whose_watched_key_changed_answers_none() -> None:
    assert batch(atomic=True).answer([b"OK", b"QUEUED", b"QUEUED", None]) is None


def test_refusal_inside_exec_tells_that_the_others_were_applied() -> None:
    with pytest.raises(WrongTypeError, match="other commands of the transaction were applied") as caught:
        batch(atomic=True).answer([b"OK", b"QUEUED", b"QUEUED", [1, WRONGTYPE]])
    assert caught.value.key == "b"


def test_refusal_at_queueing_tells_that_nothing_was_executed() -> None:
    exchange = batch(atomic=True)
    replies = [b"OK", b"QUEUED", ARITY, ABORT]
    assert not exchange.unfinished(replies)
    with pytest.raises(BackendError, match="nothing was executed") as caught:
        exchange.answer(replies)
    assert (caught.value.command, caught.value.key) == ("LPUSH", "b")


def test_refused_exec_leaves_the_connection_unfinished() -> None:
    exchange = batch(atomic=True)
    replies = [b"OK", b"QUEUED", b"QUEUED", refusal("NOPERM User bob has no permissions to run the 'exec' command")]
    assert exchange.unfinished(replies)
    with pytest.raises(BackendError, match="EXEC: NOPERM"):
        exchange.answer(replies)


def test_refused_multi_says_that_the_commands_ran_one_by_one() -> None:
    with pytest.raises(BackendError, match="one by one"):
        batch(atomic=True).answer([refusal("NOPERM no"), 1, 2, refusal("ERR EXEC without MULTI")])


def test_known_denial_of_multi_refuses_a_transaction_before_it_is_sent() -> None:
    server = KnownServer()
    server.denies_transactions = refusal("NOPERM User bob has no permissions to run the 'multi' command")
    with pytest.raises(BackendError, match=r"MULTI: NOPERM.*nothing was executed"):
        make.batch(Batch(COMMANDS, atomic=True), server)
    assert make.batch(Batch(COMMANDS), server).answer([1, 2]) == [1, 2]


def test_something_else_than_queued_is_told() -> None:
    with pytest.raises(BackendError, match="QUEUED was due"):
        batch(atomic=True).answer([b"OK", b"QUEUED", 1, [1]])


def test_watch_answers_with_its_reads_only() -> None:
    assert make.watch(Watch(["a", "b"], [("HGET", "a", "x")])).answer([b"OK", b"1"]) == [b"1"]
    assert make.watch(Watch(["a"])).answer([b"OK"]) == []
    assert make.watch(Watch([], [("HGET", "a", "x")])).answer([b"1"]) == [b"1"]


def test_broken_before_it_left_means_nothing_was_executed() -> None:
    error = batch(atomic=True).failure(theirs.ConnectionError("refused"))
    assert isinstance(error, ConnectionFailedError)
    assert "nothing was executed" in str(error)


def test_lost_answer_of_a_write_is_unknown() -> None:
    exchange = batch(atomic=True)
    exchange.maybe_executed = True
    cause = theirs.TimeoutError("Timeout reading from socket")
    error = exchange.failure(cause)
    assert isinstance(error, CommitUnknownError)
    assert error.__cause__ is cause


def test_lost_answer_of_a_read_is_only_a_failure() -> None:
    exchange = batch(resend=True)
    exchange.maybe_executed = True
    assert type(exchange.failure(theirs.TimeoutError("late"))) is BackendTimeoutError
    assert type(exchange.failure(theirs.ConnectionError("gone"))) is ConnectionFailedError


def test_refusal_that_redis_py_takes_for_a_broken_connection_is_no_lost_answer() -> None:
    exchange = batch(atomic=True)
    exchange.maybe_executed = True
    error = exchange.failure(refusal("LOADING Redis is loading the dataset in memory"))
    assert type(error) is BackendError
    assert error.code == "LOADING"


def test_only_a_single_command_or_a_transaction_is_all_or_nothing() -> None:
    assert batch(atomic=True).all_or_nothing
    assert batch(commands=COMMANDS[:1]).all_or_nothing
    assert not batch().all_or_nothing


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (("BLPOP", "a", "b", "1.5"), 1.5),
        (("BLMPOP", 2, 1, "a", "LEFT"), 2.0),
        (("BLMOVE", "a", "b", "LEFT", "RIGHT", 0), inf),
        (("XREAD", "BLOCK", 500, "STREAMS", "s", "$"), 0.5),
        (("XREAD", "STREAMS", "s", "0"), 0.0),
        (("WAIT", 1, 250), 0.25),
        (("GET", "BLOCK"), 0.0),
    ],
)
def test_a_command_that_waits_is_waited_for(command: Command, seconds: float) -> None:
    exchange = batch(commands=[command])
    assert exchange.waits_s == seconds
    assert exchange.patience(5.0) == (None if seconds == inf else 5.0 + seconds)
    assert exchange.patience(None) is None


def hello(name: str, version: str) -> dict[bytes, bytes]:
    return {b"server": name.encode(), b"version": version.encode()}


@pytest.mark.parametrize("reply", [hello("redis", "6.2.14"), [b"server", b"redis", b"version", b"6.2.14"], {}])
def test_old_redis_is_refused_by_its_version(reply: Any) -> None:
    asked = questions.greeting()
    with pytest.raises(UnsupportedServerError, match=r"6\.2\.14|unknown"):
        questions.introduce(KnownServer(), asked, [reply, [b"1700000000", b"500000"], b"OK", []])


@pytest.mark.parametrize(
    ("reply", "limit"),
    [
        (hello("redis", "7.0.15"), 1000),
        (hello("valkey", "9.1.2"), None),
        (hello("redis", "255.255.255"), 1000),
        (hello("dragonfly", "1.2"), 1000),
    ],
)
def test_introduction_tells_name_version_and_watch_limit(reply: Any, limit: int | None) -> None:
    server = KnownServer()
    assert questions.introduce(server, questions.greeting(), [reply, [b"1700000000", b"500000"], b"OK", []])
    assert server.version == reply[b"version"].decode()
    assert server.watch_limit == limit
    assert server.denies_transactions is None


def test_denied_hello_is_made_up_for_by_info() -> None:
    server = KnownServer()
    no = refusal("NOPERM no")
    assert not questions.introduce(server, questions.greeting(), [no, no, no, no])
    assert server.denies_transactions is no
    server.introduce_by_info(b"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n")
    assert (server.name, server.version) == ("valkey", "9.1.2")
    with pytest.raises(UnsupportedServerError):
        server.introduce_by_info(b"# Server\r\nredis_version:6.0.1\r\n")


@pytest.mark.parametrize(
    ("replies", "known"),
    [
        ([[[b"hset", -4]]], True),
        ([[None]], False),
        ([[]], False),
        ([refusal("NOPERM no")], None),
        ([b"OK", ARITY, ABORT], True),
        ([b"OK", b"QUEUED", b"OK"], True),
        ([b"OK", refusal("ERR unknown command 'NOPE', with args beginning with: "), b"OK"], False),
        ([b"OK", refusal("NOPERM no"), b"OK"], False),
    ],
)
def test_whether_a_command_is_known(replies: list[Any], known: bool | None) -> None:
    assert questions.is_known(replies) is known

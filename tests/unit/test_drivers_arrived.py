"""The private names of redis-py that the drivers know, and what they do with them. Fails first where redis-py has changed them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import hiredis
import pytest
import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser, _HiredisParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from redisorm.drivers import arrived
from redisorm.drivers.arrived import KNOWN_MAJOR, parser_of, take_arrived


@pytest.fixture(params=[_HiredisParser, _AsyncHiredisParser], ids=["blocking", "awaiting"])
def connection(request: pytest.FixtureRequest) -> Any:
    """A connection whose parser has just been told that it is connected."""
    parser = request.param(65536)
    encoder = SimpleNamespace(encoding="utf-8", encoding_errors="strict", decode_responses=True)
    connection = SimpleNamespace(_parser=parser, _sock=None, _reader=None, socket_timeout=None, encoder=encoder)
    parser.on_connect(connection)
    return connection


def fed(connection: Any, packet: bytes) -> Any:
    parser = parser_of(connection)
    assert parser is not None
    parser._reader.feed(packet)
    return parser


def test_this_redis_py_is_one_whose_names_are_known() -> None:
    assert redis.__version__.startswith(f"{KNOWN_MAJOR}."), "are these still its names? see drivers/arrived.py"
    assert (_HiredisParser, _AsyncHiredisParser) == arrived._PARSERS
    assert arrived._NOT_ENOUGH is NOT_ENOUGH_DATA


def test_what_has_arrived_is_taken_as_bytes_up_to_a_count(connection: Any) -> None:
    parser = fed(connection, b"$1\r\na\r\n:2\r\n$-1\r\n*2\r\n$1\r\n\xff\r\n:3\r\n+OK\r\n")
    replies: list[Any] = [b"before"]
    assert take_arrived(parser, replies, 5) == []
    assert replies == [b"before", b"a", 2, None, [b"\xff", 3]]
    assert take_arrived(parser, replies, 9) == []
    assert replies[5:] == [b"OK"]


def test_reply_that_has_arrived_in_part_is_left(connection: Any) -> None:
    parser = fed(connection, b":1\r\n$3\r\nab")
    replies: list[Any] = []
    take_arrived(parser, replies, 2)
    assert replies == [1]
    parser._reader.feed(b"c\r\n")
    take_arrived(parser, replies, 2)
    assert replies == [1, b"abc"]


def test_refusals_stand_in_their_places(connection: Any) -> None:
    parser = fed(connection, b":1\r\n-WRONGTYPE no\r\n:2\r\n")
    replies: list[Any] = []
    take_arrived(parser, replies, 3)
    assert isinstance(replies[1], ResponseError)
    assert replies[::2] == [1, 2]


def test_what_was_pushed_is_no_reply(connection: Any) -> None:
    parser = fed(connection, b":1\r\n>2\r\n$3\r\nfoo\r\n:9\r\n:2\r\n:3\r\n")
    replies: list[Any] = []
    pushed = take_arrived(parser, replies, 3)
    assert (pushed, replies) == ([[b"foo", 9]], [1, 2])
    assert take_arrived(parser, replies, 3) == []
    assert replies == [1, 2, 3]


def test_reply_that_says_the_connection_is_of_no_use_is_raised(connection: Any) -> None:
    parser = fed(connection, b":1\r\n-LOADING Redis is loading the dataset in memory\r\n")
    with pytest.raises(RedisConnectionError):
        take_arrived(parser, [], 2)


@pytest.mark.parametrize("version", ["7.4.0", "9.0.0", "80.0"])
def test_of_another_redis_py_nothing_private_is_touched(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(redis, "__version__", version)
    assert arrived._known_parsers() == ((), None)


def test_where_a_name_is_gone_nothing_private_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived, "import_module", lambda _: SimpleNamespace())
    assert arrived._known_parsers() == ((), None)


@pytest.mark.parametrize("reader", [None, object()])
def test_connection_with_another_parser_is_left_to_redis_py(reader: object) -> None:
    parser: Any = _HiredisParser(65536)  # type: ignore[no-untyped-call]
    parser._reader = reader
    for strange in (SimpleNamespace(), SimpleNamespace(_parser=None), SimpleNamespace(_parser=parser)):
        assert parser_of(strange) is None
    assert type(hiredis.Reader()) is hiredis.Reader

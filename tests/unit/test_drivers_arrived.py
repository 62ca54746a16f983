"""The private names of redis-py that the drivers know, and what they do with them. Fails first where redis-py has changed them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import hiredis
import pytest
import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser, _HiredisParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from redisorm.drivers import arrived
from redisorm.drivers.arrived import (
    KNOWN_MAJOR,
    NotSent,
    Streams,
    converse,
    is_quiet,
    keeps_bytes,
    parser_of,
    receive,
    streams_of,
    take_arrived,
)


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


def test_words_that_have_arrived_are_decoded_as_the_reader_is_told(connection: Any) -> None:
    parser = fed(connection, b"*3\r\n$2\r\n\xc3\xa9\r\n:3\r\n$-1\r\n")
    replies: list[Any] = []
    assert take_arrived(parser, replies, 1, text=True) == []
    assert replies == [["é", 3, None]]


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
    assert (pushed, replies) == ([[b"foo", 9]], [1, 2, 3])
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


# ---- the streams of asyncio -----------------------------------------------------------------------------------------------


class Peer(asyncio.Transport):
    """A socket whose other side is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closing = False

    def write(self, data: Any) -> None:
        self.sent += data

    def writelines(self, list_of_data: Any) -> None:
        self.sent += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


_writers: list[asyncio.StreamWriter] = []


def connected(peer: Peer) -> tuple[Any, asyncio.StreamReader]:
    """A connection of redis-py over a socket."""
    reader = asyncio.StreamReader()
    writer = asyncio.StreamWriter(peer, asyncio.StreamReaderProtocol(reader), reader, asyncio.get_running_loop())
    _writers.append(writer)
    parser: Any = _AsyncHiredisParser(65536)
    encoder = SimpleNamespace(encoding="utf-8", encoding_errors="strict", decode_responses=False)
    connection = SimpleNamespace(_parser=parser, _reader=reader, _writer=writer, encoder=encoder)
    parser.on_connect(connection)
    return connection, reader


def of(connection: Any) -> Streams:
    streams = streams_of(connection)
    assert streams is not None
    return streams


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        asyncio.run(main())
    finally:
        while _writers:
            _writers.pop().close()


def test_streams_without_anything_to_read_are_quiet_and_open() -> None:
    async def main() -> None:
        connection, _ = connected(Peer())
        assert of(connection).are_quiet
        assert not of(connection).are_closed

    run(main)


def test_streams_with_bytes_in_them_are_not_quiet_but_open() -> None:
    async def main() -> None:
        connection, reader = connected(Peer())
        reader.feed_data(b"+OK\r\n")
        assert not of(connection).are_quiet
        assert not of(connection).are_closed
        connection, _ = connected(Peer())
        connection._parser._reader.feed(b"+O")
        assert not of(connection).are_quiet
        assert not of(connection).are_closed

    run(main)


def test_streams_that_have_ended_are_neither_quiet_nor_open() -> None:
    async def main() -> None:
        connection, reader = connected(Peer())
        reader.feed_eof()
        assert (of(connection).are_quiet, of(connection).are_closed) == (False, True)
        connection, reader = connected(Peer())
        reader.set_exception(ConnectionResetError())
        assert (of(connection).are_quiet, of(connection).are_closed) == (False, True)
        peer = Peer()
        connection, _ = connected(peer)
        peer.closing = True
        assert (of(connection).are_quiet, of(connection).are_closed) == (False, True)

    run(main)


def test_conversation_sends_a_packet_and_waits_for_all_its_replies() -> None:
    async def main() -> None:
        peer = Peer()
        connection, reader = connected(peer)
        replies: list[Any] = []
        task = asyncio.ensure_future(of(connection).converse([b"PING\r\n", b"PING\r\n"], replies, 2))
        for part in (b"", b"+PO", b"NG\r\n-ERR no\r", b"\n"):
            reader.feed_data(part)
            await asyncio.sleep(0.001)
        await task
        assert peer.sent == b"PING\r\nPING\r\n"
        assert replies[0] == b"PONG"
        assert isinstance(replies[1], ResponseError)
        assert of(connection).are_quiet

    run(main)


def test_packet_may_be_sent_without_waiting_and_its_replies_come_along_with_others() -> None:
    async def main() -> None:
        connection, reader = connected(Peer())
        streams, first, second = of(connection), list[Any](), list[Any]()
        await streams.converse([b"PING\r\n"], first, 0)
        assert first == []
        await streams.converse([b"PING\r\n"], first, 0)
        reader.feed_data(b":1\r\n:2\r\n:3\r\n")
        await streams.converse([], first, 1)
        await streams.converse([], second, 2)
        assert (first, second) == ([1], [2, 3])
        assert streams.are_quiet

    run(main)


def test_conversation_decodes_its_own_replies_alone() -> None:
    async def main() -> None:
        connection, reader = connected(Peer())
        assert keeps_bytes(connection)
        streams, replies = of(connection), list[Any]()
        reader.feed_data(b"$2\r\n\xc3\xa9\r\n$1\r\na\r\n")
        await streams.converse([b"PING\r\n"], replies, 1, text=True)
        await streams.converse([], replies, 2)
        assert replies == ["é", b"a"]
        reader.feed_data(b"$1\r\n\xff\r\n$1\r\nb\r\n")
        with pytest.raises(UnicodeDecodeError):
            await streams.converse([b"PING\r\n"], replies, 3, text=True)
        await streams.converse([], replies, 3)
        assert replies == ["é", b"a", b"b"]
        assert connection._parser._reader.gets() is NOT_ENOUGH_DATA

    run(main)


def test_what_is_pushed_into_a_conversation_is_handed_to_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        connection, reader = connected(Peer())
        pushed: list[Any] = []

        async def handle(message: Any) -> None:
            pushed.append(message)

        monkeypatch.setattr(connection._parser, "handle_push_response", handle)
        reader.feed_data(b">2\r\n$3\r\nfoo\r\n:9\r\n:1\r\n")
        replies: list[Any] = []
        await of(connection).converse([b"PING\r\n"], replies, 1)
        assert (pushed, replies) == ([[b"foo", 9]], [1])

    run(main)


@pytest.mark.parametrize("end", [lambda reader: reader.feed_eof(), lambda reader: reader.set_exception(ConnectionResetError(104, "reset"))])
def test_conversation_that_breaks_off_is_a_failed_connection(end: Callable[[asyncio.StreamReader], None]) -> None:
    async def main() -> None:
        connection, reader = connected(Peer())
        end(reader)
        with pytest.raises(RedisConnectionError):
            await of(connection).converse([b"PING\r\n"], [], 1)

    run(main)


def test_connection_over_other_streams_is_left_to_redis_py() -> None:
    async def main() -> None:
        for strange in ({"_reader": None}, {"_writer": None}, {"_reader": object()}, {"_parser": None}):
            connection, _ = connected(Peer())
            vars(connection).update(strange)
            assert streams_of(connection) is None

    run(main)


@pytest.fixture
def line() -> Iterator[tuple[Any, socket.socket]]:
    """A blocking connection, and the other end of its socket."""
    near, far = socket.socketpair()
    encoder = SimpleNamespace(encoding="utf-8", encoding_errors="strict", decode_responses=False)
    parser: Any = _HiredisParser
    connection: Any = SimpleNamespace(_parser=parser(65536), _sock=near, socket_timeout=None, encoder=encoder)
    connection._parser.on_connect(connection)
    near.settimeout(0.05)
    with near, far:
        yield connection, far


def test_connection_is_quiet_while_nothing_has_come(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    assert is_quiet(connection)
    far.sendall(b":1\r\n:2\r\n")
    assert not is_quiet(connection)
    replies: list[Any] = []
    receive(connection, replies, 1)
    assert not is_quiet(connection)  # the second one waits in the parser's buffer
    receive(connection, replies, 2)
    assert replies == [1, 2]
    assert is_quiet(connection)
    far.close()
    assert not is_quiet(connection)


def test_reply_is_decoded_for_those_who_ask_for_it_alone(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    parser, replies = connection._parser, list[Any]()
    far.sendall(b"*2\r\n$2\r\n\xc3\xa9\r\n:1\r\n$2\r\n\xc3\xa9\r\n")
    receive(connection, replies, 1, text=True)
    receive(connection, replies, 2)
    assert replies == [["é", 1], "é".encode()]
    assert keeps_bytes(connection)
    connection.encoder.decode_responses = True
    far.sendall(b"$2\r\n\xc3\xa9\r\n")
    receive(connection, replies, 3, text=True)
    assert replies.pop() == "é".encode(), "that of a client that decodes by itself is left as it is"
    connection.encoder.decode_responses = False
    far.sendall(b"$1\r\n\xff\r\n$1\r\na\r\n")
    with pytest.raises(UnicodeDecodeError):
        receive(connection, replies, 3, text=True)
    assert parser._reader.gets() == b"a", "as redis-py itself would read"


@pytest.mark.parametrize("patience_s", [0.2, None])
def test_reply_may_be_waited_for_longer_than_usual(line: tuple[Any, socket.socket], patience_s: float | None) -> None:
    connection, far = line
    connection._parser._socket_timeout = 0.05
    sender = threading.Timer(0.1, far.sendall, args=(b":1\r\n",))
    sender.start()
    replies: list[Any] = []
    receive(connection, replies, 1, patience_s=patience_s)
    sender.join()
    assert replies == [1]
    assert connection._sock.gettimeout() == 0.05
    with pytest.raises(RedisTimeoutError):
        receive(connection, replies, 2, patience_s=0.06)
    assert connection._sock.gettimeout() == 0.05


def test_connection_that_is_none_yet_or_not_one_of_the_system_is_looked_at_closer(line: tuple[Any, socket.socket]) -> None:
    connection, _ = line
    connection._parser._sock = object()
    assert not receive(connection, [], 1)
    connection._parser.on_disconnect()
    assert not is_quiet(connection)
    assert not receive(SimpleNamespace(), [], 1)
    assert not is_quiet(SimpleNamespace(_parser=type(connection._parser)(65536)))
    assert not is_quiet(SimpleNamespace())


def test_reply_that_does_not_come_and_an_end_are_errors_of_redis_py(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    far.sendall(b":1\r\n:")
    replies: list[Any] = []
    with pytest.raises(RedisTimeoutError):
        receive(connection, replies, 2)
    assert replies == [1]
    far.close()
    with pytest.raises(RedisConnectionError, match="closed"):
        receive(connection, replies, 2)


def test_packet_and_its_replies_are_one_conversation(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    far.sendall(b"+OK\r\n-ERR no\r\n:1\r\n")
    replies = converse(connection, b"packet", 3)
    assert replies is not None
    assert (replies[0], str(replies[1]), replies[2]) == (b"OK", "no", 1)
    assert far.recv(100) == b"packet"


def test_conversation_waits_for_replies_that_come_in_parts(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    connection._parser._sock.settimeout(5)
    far.sendall(b"$3\r\na")
    sender = threading.Timer(0.02, far.sendall, (b"bc\r\n:7\r\n",))
    sender.start()
    assert converse(connection, b"x", 2) == [b"abc", 7]
    sender.join()


def test_conversation_decodes_for_those_who_ask_for_it_alone(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    far.sendall(b"*1\r\n$2\r\n\xc3\xa9\r\n")
    assert converse(connection, b"x", 1, text=True) == [["é"]]
    far.sendall(b"$2\r\n\xc3\xa9\r\n")
    assert converse(connection, b"x", 1) == ["é".encode()]
    sender = threading.Timer(0.02, far.sendall, ("é\r\n".encode(),))
    far.sendall(b"$1\r\na\r\n$2\r\n")
    sender.start()
    assert converse(connection, b"x", 2, text=True) == ["a", "é"], "those that came later too"
    sender.join()
    connection.encoder.decode_responses = True
    far.sendall(b"$1\r\na\r\n")
    assert converse(connection, b"x", 1, text=True) == [b"a"], "that of a client that decodes by itself is left as it is"


def test_conversation_that_cannot_be_decoded_leaves_the_parser_as_it_was(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    far.sendall(b"$1\r\n\xff\r\n$1\r\na\r\n")
    with pytest.raises(UnicodeDecodeError):
        converse(connection, b"x", 2, text=True)
    assert connection._parser._reader.gets() == b"a", "as redis-py itself would read"


def test_conversation_of_an_unknown_connection_is_not_begun() -> None:
    assert converse(SimpleNamespace(), b"packet", 1) is None


def test_packet_that_cannot_leave_says_so(line: tuple[Any, socket.socket]) -> None:
    connection, _ = line
    connection._parser._sock.shutdown(socket.SHUT_WR)
    with pytest.raises(RedisConnectionError) as caught:
        converse(connection, b"packet", 1)
    assert isinstance(caught.value, NotSent)


def test_answer_to_a_packet_that_never_comes_is_an_error_of_redis_py(line: tuple[Any, socket.socket]) -> None:
    connection, far = line
    with pytest.raises(RedisTimeoutError):
        converse(connection, b"packet", 1)
    far.close()
    with pytest.raises(RedisConnectionError):
        converse(connection, b"packet", 1)


def test_packet_that_nobody_takes_is_given_up(line: tuple[Any, socket.socket]) -> None:
    connection, _ = line
    with pytest.raises(RedisTimeoutError) as caught:
        converse(connection, b"x" * 50_000_000, 1)
    assert isinstance(caught.value, NotSent)

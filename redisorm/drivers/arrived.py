"""Bytes of a connection past redis-py's functions: replies that have arrived taken in one go, sockets and streams.

redis-py reads one reply a call, through five functions of its own in blocking code and five coroutines in asyncio, which costs
as much as all else a driver does. So where replies have to be waited for, a blocking driver waits for the socket and an
awaiting one for the stream, and all that came is taken here. This is the only room that knows private names of redis-py's
connections: their parser, the reader of hiredis in it, their socket and their streams. Where one of them is not what it was,
there is `None` instead, and redis-py does it all.
"""

from __future__ import annotations

import select
import socket
from asyncio import StreamReader, StreamWriter
from functools import partial
from importlib import import_module
from itertools import islice, repeat
from typing import Any, NamedTuple, Protocol

import redis
from hiredis import PushNotification, Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from redisorm.drivers.exchange import ANSWERS

__all__ = [
    "KNOWN_MAJOR",
    "NotSent",
    "Parser",
    "Streams",
    "converse",
    "is_quiet",
    "keeps_bytes",
    "parser_of",
    "receive",
    "streams_of",
    "take_arrived",
]

KNOWN_MAJOR = "8"
"""The major version of redis-py whose private names these are."""


class Parser(Protocol):
    """A parser of redis-py that reads with hiredis, of either colour. What `handle_push_response` returns is awaitable in asyncio."""

    _reader: Any

    def handle_push_response(self, response: Any) -> Any:
        """Take in what the server has pushed between replies."""


def _known_parsers() -> tuple[tuple[type, ...], object]:
    """The classes of the parsers, and what their readers return where no whole reply has arrived."""
    if redis.__version__.partition(".")[0] != KNOWN_MAJOR:
        return (), None
    try:
        theirs = import_module("redis._parsers.hiredis")
        return (theirs._HiredisParser, theirs._AsyncHiredisParser), theirs.NOT_ENOUGH_DATA
    except (ImportError, AttributeError):
        return (), None


_PARSERS, _NOT_ENOUGH = _known_parsers()
_AT_ONCE = 1 << 18
_CLOSED = "Connection closed by server."
_UNHEARD = "Timeout reading from socket"
_poll: Any = getattr(select, "poll", None)
_POLLIN = getattr(select, "POLLIN", 0)
_Socket = socket.socket
_Polled = None if _poll is None else socket.socket


def parser_of(connection: Any) -> Parser | None:
    """The parser of a connected connection, where it is one whose buffer can be read; `None` for all others."""
    parser: Any = getattr(connection, "_parser", None)
    return parser if type(parser) in _PARSERS and type(getattr(parser, "_reader", None)) is Reader else None


def is_quiet(connection: Any) -> bool:
    """Whether a blocking connection is surely connected, with neither replies nor an end to read; `False` calls for a closer look."""
    try:
        parser = connection._parser
        sock = parser._sock
        # What a TLS connection has decrypted already is not to be seen at its socket, and not every system has poll().
        if type(sock) is not _Polled or type(parser) not in _PARSERS or parser._reader.has_data():
            return False
    except AttributeError:
        return False
    poller = _poll()
    poller.register(sock, _POLLIN)
    return not poller.poll(0)


def keeps_bytes(connection: Any) -> bool:
    """Whether the parser of a connection decodes nothing for redis-py itself, so that it may be told to decode for once."""
    return not connection.encoder.decode_responses


def receive(connection: Any, replies: list[Any], count: int, *, text: bool = False, patience_s: float | None = 0) -> bool:
    """Wait for the replies of a blocking connection and append them, refusals among them, until there are `count`.

    Args:
        text: Whether words are decoded, where the connection keeps bytes.
        patience_s: How long to wait, in seconds, with `None` for ever; with 0 the usual time.

    Returns:
        `False` where that is left to redis-py, and nothing was read.

    Raises:
        redis.ConnectionError: The connection was closed, or a reply says that it is of no use.
        redis.TimeoutError: Nothing came in time.
        UnicodeDecodeError: A word to be decoded is no UTF-8.
    """
    parser = _reading_parser(connection)
    if parser is None:
        return False
    sock, reader = parser._sock, parser._reader
    text = text and keeps_bytes(connection)
    try:
        if patience_s != 0:
            sock.settimeout(patience_s)
        if text:
            reader.set_encoding("utf-8")
        _receive(parser, replies, count, has_some=reader.has_data(), text=text)  # of an answer that came along with the one before
        return True
    finally:
        if text:
            reader.set_encoding()
        if patience_s != 0:
            sock.settimeout(parser._socket_timeout)


def _reading_parser(connection: Any) -> Any:
    """The parser of a connected blocking connection, where it reads a socket of the operating system; `None` for all others."""
    try:
        parser = connection._parser
        return parser if isinstance(parser._sock, _Socket) and type(parser) in _PARSERS else None
    except AttributeError:
        return None


def _receive(parser: Any, replies: list[Any], count: int, *, has_some: bool = False, text: bool = False) -> None:
    sock, buffer, reader = parser._sock, parser._buffer, parser._reader
    try:
        while len(replies) < count:
            if not has_some:
                size = sock.recv_into(buffer)
                if not size:
                    raise RedisConnectionError(_CLOSED)
                reader.feed(buffer, 0, size)
            has_some = False
            for pushed in take_arrived(parser, replies, count, text=text):
                parser.handle_push_response(pushed)
    except TimeoutError as error:
        raise RedisTimeoutError(_UNHEARD) from error
    except OSError as error:
        raise _broken(error) from error


def _broken(error: OSError) -> RedisConnectionError:
    return RedisConnectionError(f"Error while reading from socket: {error}")


class NotSent(Exception):  # noqa: N818 - what is raised is one of those of redis-py, and this too
    """A packet did not leave in full."""


class _BrokenOffError(NotSent, RedisConnectionError):
    pass


class _TooLateError(NotSent, RedisTimeoutError):
    pass


def converse(connection: Any, packet: bytes, count: int, *, text: bool = False) -> list[Any] | None:
    """Send a packet over a blocking connection and wait for its replies, as `receive` does.

    Args:
        text: Whether words are decoded, as in `receive`.

    Returns:
        The replies, refusals among them; `None` where that is left to redis-py, and nothing was sent.

    Raises:
        redis.ConnectionError: The connection was closed, or a reply says that it is of no use.
        redis.TimeoutError: Nothing came, or the packet did not leave, in the usual time.
        NotSent: Both of them are, where the packet did not leave in full.
        UnicodeDecodeError: A word to be decoded is no UTF-8.
    """
    parser = _reading_parser(connection)
    if parser is None:
        return None
    if not (text and keeps_bytes(connection)):
        return _converse(parser, packet, count)
    parser._reader.set_encoding("utf-8")
    try:
        return _converse(parser, packet, count, text=True)
    finally:
        parser._reader.set_encoding()


def _converse(parser: Any, packet: bytes, count: int, *, text: bool = False) -> list[Any]:
    sock, reader, buffer, sent = parser._sock, parser._reader, parser._buffer, False
    try:
        sock.sendall(packet)
        sent = True
        size = sock.recv_into(buffer)
    except TimeoutError as error:
        raise RedisTimeoutError(_UNHEARD) if sent else _TooLateError("Timeout writing to socket") from error
    except OSError as error:
        raise _broken(error) if sent else _BrokenOffError(f"Error while writing to socket: {error}") from error
    if not size:
        raise RedisConnectionError(_CLOSED)
    reader.feed(buffer, 0, size)
    replies = list(map(reader.gets, repeat(text, count)))
    if not ANSWERS.issuperset(map(type, replies)):  # something was refused or pushed, or is still to come
        replies = [reply for reply in replies if reply is not _NOT_ENOUGH]
        for pushed in _pushed(replies, 0):
            parser.handle_push_response(pushed)
        _receive(parser, replies, count, has_some=True, text=text)
    return replies


def take_arrived(parser: Parser, replies: list[Any], count: int, *, text: bool = False) -> list[Any]:
    """Append what has arrived to the replies, refusals among them, until there are `count`; return what was pushed in between.

    Args:
        text: Whether words are decoded, as the reader was told to.

    Raises:
        redis.ConnectionError: A reply says that the connection is of no use.
    """
    messages: list[Any] = []
    whole = iter(partial(parser._reader.gets, text), _NOT_ENOUGH)
    while True:
        have = len(replies)
        replies.extend(islice(whole, count - have))
        pushed = _pushed(replies, have)
        if not pushed:
            return messages
        messages += pushed  # and once more, for those in whose places they stood


def _pushed(replies: list[Any], have: int) -> list[Any]:
    """Take what was pushed out of the replies after the first few.

    Raises:
        redis.ConnectionError: A reply says that the connection is of no use.
    """
    new = replies[have:]
    if ANSWERS.issuperset(map(type, new)):
        return []
    for reply in new:
        if isinstance(reply, RedisConnectionError):
            raise reply
    pushed = [reply for reply in new if type(reply) is PushNotification]
    if pushed:
        replies[have:] = [reply for reply in new if type(reply) is not PushNotification]
    return pushed


class Streams(NamedTuple):
    """A connected connection of asyncio: the two ends of its socket, and what parses in between."""

    parser: Parser
    reader: StreamReader
    writer: StreamWriter

    @property
    def are_quiet(self) -> bool:
        """Whether there is nothing to read, neither replies nor an end, as between two conversations."""
        stream: Any = self.reader
        return not (stream._buffer or self.parser._reader.has_data() or self.are_closed)

    @property
    def are_closed(self) -> bool:
        """Whether the other side, or this one, has closed."""
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()

    async def converse(self, packet: list[bytes], replies: list[Any], count: int, *, text: bool = False) -> None:
        """Send a packet and append its replies, refusals among them, until there are `count`.

        Args:
            packet: Its pieces; none where it was sent before, and its replies may have come along with those to another.
            count: How many; with 0 return when the packet has left, but for a rest.
            text: Whether words are decoded, as in `receive`.

        Raises:
            redis.ConnectionError: The connection was closed, or a reply says that it is of no use.
        """
        parser, reader = self.parser, self.reader
        may_have_come = not packet
        try:
            if packet:
                self.writer.writelines(packet)  # what does not leave at once goes while the answer is waited for
            if not count:
                await self.writer.drain()
            if text:
                parser._reader.set_encoding("utf-8")
            while len(replies) < count:
                if not may_have_come:
                    some = await reader.read(_AT_ONCE)
                    if not some:
                        raise RedisConnectionError(_CLOSED)
                    parser._reader.feed(some)
                may_have_come = False
                for message in take_arrived(parser, replies, count, text=text):
                    await parser.handle_push_response(message)
        except OSError as error:
            raise RedisConnectionError(f"Error while reading: {error}") from error
        finally:
            if text:
                parser._reader.set_encoding()


def streams_of(connection: Any) -> Streams | None:
    """The streams of a connected connection of asyncio, where they can be used without redis-py; `None` for all others."""
    try:
        parser, reader, writer = connection._parser, connection._reader, connection._writer
    except AttributeError:
        return None
    known = type(reader) is StreamReader and type(writer) is StreamWriter and type(parser) in _PARSERS and type(parser._reader) is Reader
    return Streams(parser, reader, writer) if known else None

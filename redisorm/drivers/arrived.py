"""Replies that have arrived already, taken out of the parser's buffer in one go.

redis-py reads one reply a call, through five functions of its own in blocking code and five coroutines in asyncio, which for
a batch of a thousand commands costs more than all else a driver does. So the first reply is read by redis-py, which waits for
it, and those that came with it are taken here. This is the only room that knows private names of redis-py: the parser of a
connection, and the reader of hiredis in it. Where one of them is not what it was, `parser_of` returns `None`, and redis-py
reads every reply.
"""

from __future__ import annotations

import socket
from importlib import import_module
from typing import Any, Protocol

import redis
from hiredis import PushNotification, Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["KNOWN_MAJOR", "Parser", "parser_of", "receive", "socket_of", "take_arrived"]

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


def parser_of(connection: Any) -> Parser | None:
    """The parser of a connected connection, where it is one whose buffer can be read; `None` for all others."""
    parser: Any = getattr(connection, "_parser", None)
    return parser if type(parser) in _PARSERS and type(parser._reader) is Reader else None


def socket_of(parser: Parser) -> socket.socket | None:
    """The socket that a parser of a blocking connection reads, where it is one of the operating system's; `None` for all others."""
    sock: Any = getattr(parser, "_sock", None)
    return sock if isinstance(sock, socket.socket) else None


def receive(parser: Parser, sock: socket.socket, replies: list[Any], count: int) -> None:
    """Wait for the replies of a blocking connection and append them, refusals among them, until there are `count`.

    Raises:
        redis.ConnectionError: The connection was closed, or a reply says that it is of no use.
        redis.TimeoutError: Nothing came in the usual time.
    """
    line: Any = parser
    buffer, reader = line._buffer, line._reader
    has_some = reader.has_data()  # of an answer that came along with the one before
    try:
        while len(replies) < count:
            if not has_some:
                size = sock.recv_into(buffer)
                if not size:
                    raise RedisConnectionError("Connection closed by server.")
                reader.feed(buffer, 0, size)
            has_some = False
            for pushed in take_arrived(parser, replies, count):
                parser.handle_push_response(pushed)
    except TimeoutError as error:
        raise RedisTimeoutError("Timeout reading from socket") from error
    except OSError as error:
        raise RedisConnectionError(f"Error while reading from socket: {error}") from error


def take_arrived(parser: Parser, replies: list[Any], count: int) -> list[Any]:
    """Append what has arrived to the replies, refusals among them, until there are `count`; return what was pushed in between.

    Raises:
        redis.ConnectionError: A reply says that the connection is of no use.
    """
    have = len(replies)
    gets = parser._reader.gets
    for _ in range(count - have):
        reply = gets(False)
        if reply is _NOT_ENOUGH:
            break
        replies.append(reply)
    kinds = set(map(type, replies[have:]))
    if PushNotification not in kinds and not any(issubclass(kind, Exception) for kind in kinds):
        return []
    for reply in replies[have:]:
        if isinstance(reply, RedisConnectionError):
            raise reply
    pushed = [reply for reply in replies[have:] if type(reply) is PushNotification]
    replies[have:] = [reply for reply in replies[have:] if type(reply) is not PushNotification]
    return pushed

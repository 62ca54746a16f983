"""What a blocking driver says and hears over one connection: a packet and all its replies, each once.

Which connection, and what becomes of a conversation that broke off, is for `blocking_exchanges` to say. `awaiting_talk` is its twin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from redisorm.drivers.arrived import NotSent, converse, parser_of, receive, take_arrived
from redisorm.drivers.exchange import Exchange, Queueing
from redisorm.drivers.wire import Connection

__all__ = ["BlockingTalk"]


class BlockingTalk:
    """Conversations, counted.

    Attributes:
        commands: How many commands were sent; MULTI, EXEC and WATCH count. Counted without a lock.
        round_trips: How many packets were sent and answered.
    """

    def __init__(self) -> None:
        self.commands: int = 0
        self.round_trips: int = 0

    def _converse(self, connection: Connection, exchange: Exchange, *, check_health: bool = True) -> list[Any]:
        """Send the packet once and read all its replies, errors among them. The connection is closed where that breaks off."""
        try:
            if check_health and connection.health_check_interval:
                connection.check_health()
            is_short = exchange.is_short and not connection.health_check_interval
            replies = self._at_once(connection, exchange) if is_short else None
            if replies is None:
                self._send(connection, exchange)
                replies = self._receive(connection, exchange)
        except BaseException:
            connection.disconnect()
            raise
        self.round_trips += 1
        return replies

    def _at_once(self, connection: Connection, exchange: Exchange) -> list[Any] | None:
        """Send a short packet and read its replies, in as few steps as there are; `None` where redis-py has to, and nothing was sent."""
        count, exchange.sent_at = len(exchange.chunks), time.monotonic()
        try:
            replies = converse(connection, b"".join(self._packet(exchange)), count, text=exchange.text)
        except NotSent:
            exchange.maybe_executed = not exchange.all_or_nothing
            raise
        except BaseException:
            exchange.maybe_executed = True
            raise
        if replies is not None:
            exchange.received_at = time.monotonic()
            if exchange.unfinished(replies):
                connection.disconnect()
            self.commands += count
        return replies

    def _send(self, connection: Connection, exchange: Exchange) -> None:
        exchange.maybe_executed = not exchange.all_or_nothing
        exchange.sent_at = time.monotonic()
        connection.send_packed_command(self._packet(exchange), check_health=False)
        exchange.maybe_executed = True

    def _receive(self, connection: Connection, exchange: Exchange) -> list[Any]:
        replies = self._replies(connection, exchange, len(exchange.chunks))
        exchange.received_at = time.monotonic()
        if exchange.unfinished(replies):
            connection.disconnect()
        return replies

    def _replies(self, connection: Connection, exchange: Exchange, count: int) -> list[Any]:
        replies: list[Any] = []
        patience_s = exchange.patience(connection.socket_timeout) if exchange.waits_s else 0
        is_ours = not connection.health_check_interval
        if not (is_ours and receive(connection, replies, count, text=exchange.text, patience_s=patience_s)):
            self._read(connection, exchange, replies, count)
        self.commands += count
        return replies

    def _read(self, connection: Connection, exchange: Exchange, replies: list[Any], count: int) -> None:
        """Read as redis-py does."""
        parser, read = parser_of(connection), connection.read_response
        if exchange.waits_s:
            read = partial(read, timeout=exchange.patience(connection.socket_timeout))
        while len(replies) < count:
            try:
                replies.append(read(disable_decoding=True))
            except ResponseError as refusal:
                replies.append(refusal.with_traceback(None))
            if parser is not None and len(replies) < count:
                for pushed in take_arrived(parser, replies, count):
                    parser.handle_push_response(pushed)

    def _packet(self, exchange: Exchange) -> Iterable[bytes]:
        return exchange.packet()

    def _converse_queueing(self, connection: Connection, exchange: Queueing, meanwhile: Callable[[], object]) -> list[Any] | None:
        """Queue a transaction while what it depends on is read, and execute it; `None` where that is otherwise and it is discarded."""
        try:
            if connection.health_check_interval:
                connection.check_health()
            connection.send_packed_command(exchange.opening(), check_health=False)
            fits = exchange.fits(self._replies(connection, exchange, exchange.looks))
            connection.send_packed_command((exchange.closing(execute=fits),), check_health=False)
            if fits:
                meanwhile()
            replies = self._replies(connection, exchange, exchange.count)
            if exchange.unfinished(replies):
                connection.disconnect()
        except BaseException:
            connection.disconnect()
            raise
        self.round_trips += 2
        return replies if fits else None

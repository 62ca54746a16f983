"""What an awaiting driver says and hears over one connection: a packet and all its replies, each once.

Which connection, and what becomes of a conversation that broke off, is for `awaiting_exchanges` to say. `blocking_talk` is its twin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from redisorm.drivers.awaiting_wire import Wire
from redisorm.drivers.exchange import Exchange, Queueing
from redisorm.drivers.wire import AsyncConnection

__all__ = ["AwaitingTalk"]


class AwaitingTalk:
    """Conversations, counted.

    Attributes:
        commands: How many commands were sent; MULTI, EXEC and WATCH count. Counted without a lock.
        round_trips: How many packets were sent and answered.
    """

    def __init__(self) -> None:
        self._wire = Wire()
        self.commands: int = 0
        self.round_trips: int = 0

    async def _converse(self, connection: AsyncConnection, exchange: Exchange, *, check_health: bool = True) -> list[Any]:
        """Send the packet once and read all its replies, errors among them. The connection is closed where that breaks off."""
        try:
            if check_health and connection.health_check_interval:
                await connection.check_health()
            replies = await self._talk(connection, exchange, send=True, receive=True)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self.round_trips += 1
        return replies

    async def _talk(self, connection: AsyncConnection, exchange: Exchange, *, send: bool = False, receive: bool = False) -> list[Any]:
        replies: list[Any] = []
        count, packet = len(exchange.chunks) if receive else 0, list(self._packet(exchange)) if send else []
        if send:
            # What a transport has taken in leaves even after it was closed, so from here on nobody knows.
            exchange.maybe_executed = True
            exchange.sent_at = time.monotonic()
        await self._wire.talk(connection, packet, replies, count, exchange.patience(connection.socket_timeout), text=exchange.text)
        if receive:
            exchange.received_at = time.monotonic()
            if exchange.unfinished(replies):
                await connection.disconnect(nowait=True)
            self.commands += len(replies)
        return replies

    def _packet(self, exchange: Exchange) -> Iterable[bytes]:
        return exchange.packet()

    async def _converse_queueing(
        self, connection: AsyncConnection, exchange: Queueing, meanwhile: Callable[[], object]
    ) -> list[Any] | None:
        """Queue a transaction while what it depends on is read, and execute it; `None` where that is otherwise and it is discarded."""
        try:
            if connection.health_check_interval:
                await connection.check_health()
            for piece in exchange.opening():
                await self._heard(connection, exchange, [piece], 0)
            fits = exchange.fits(await self._heard(connection, exchange, [], exchange.looks))
            await self._heard(connection, exchange, [exchange.closing(execute=fits)], 0)
            if fits:
                meanwhile()
            replies = await self._heard(connection, exchange, [], exchange.count)
            if exchange.unfinished(replies):
                await connection.disconnect(nowait=True)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self.round_trips += 2
        return replies if fits else None

    async def _heard(self, connection: AsyncConnection, exchange: Exchange, packet: list[bytes], count: int) -> list[Any]:
        replies: list[Any] = []
        await self._wire.talk(connection, packet, replies, count, exchange.patience(connection.socket_timeout), text=exchange.text)
        self.commands += count
        return replies

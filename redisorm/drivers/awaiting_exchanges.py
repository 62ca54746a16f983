"""Exchanges of an awaiting driver: over which connection of a client's pools, and what becomes of those that break off.

What is sent again is what may be, as often as the client's retry policy says. Nothing here knows a flow; what its requests mean
is for `awaiting` to say. `blocking_exchanges` is its twin.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from redisorm.commands import Batch
from redisorm.drivers import exchange as make
from redisorm.drivers.arrived import streams_of
from redisorm.drivers.awaiting_pool import ReadyPool
from redisorm.drivers.awaiting_talk import AwaitingTalk
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.packing import packed_few
from redisorm.drivers.pin import Pin
from redisorm.drivers.server import KnownServer
from redisorm.drivers.waiting import async_waiting_pool
from redisorm.drivers.wire import AsyncConnection, AsyncPool

__all__ = ["AwaitingExchanges"]


def _cancellations() -> int:
    """How often this task was asked to end. redis-py connects under `asyncio.wait_for`, which before Python 3.12 may swallow that."""
    task = asyncio.current_task() if sys.version_info < (3, 12) else None
    count: Callable[[], int] | None = getattr(task, "cancelling", None)
    return 0 if count is None else count()


class AwaitingExchanges(AwaitingTalk):
    """Exchanges over the connections of one client. Belongs to its event loop."""

    commands: int
    round_trips: int
    _takes_few_steps: bool = True

    def __init__(self, client: redis.asyncio.Redis, server: KnownServer) -> None:
        super().__init__()
        self._client = client
        self._pool = cast("AsyncPool", client.connection_pool)
        self._waiting: AsyncPool | None = None
        self._server = server

    @property
    def waiting(self) -> AsyncPool:
        """The connections on which one may wait, made at first use."""
        if self._waiting is None:
            self._waiting = async_waiting_pool(self._client)
        return self._waiting

    async def close(self) -> None:
        """Close the connections that wait, also under those who do. The client is its owner's to close."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await waiting.disconnect()

    async def _exchange(self, exchange: Exchange, pin: Pin[AsyncConnection] | None = None) -> Any:
        """Converse over a free connection and give it back, or leave it in the pin."""
        connection = None
        pool = self.waiting if exchange.waits_s else self._pool
        try:
            connection = await self._free_connection(pool)
            replies = await (self._reach if exchange.resend else self._converse)(connection, exchange)
            if pin is not None:
                pin.connection, connection = connection, None
        except (RedisError, OSError) as error:
            self._server.clock.doubt()
            raise exchange.failure(error) from error
        finally:
            if connection is not None:
                await self._give_back(connection, pool)
        return exchange.answer(replies)

    async def _small(self, request: Batch) -> Any:
        """Exchange few commands over a free connection: what `_exchange` does where nothing goes wrong, in as few steps as there are."""
        connection, replies, is_sent = None, list[Any](), False
        packet = [packed_few(request.commands)]
        try:
            connection = await self._free_connection(self._pool)
            try:
                if connection.health_check_interval:
                    await connection.check_health()
                is_sent = True  # as far as anybody knows: what a transport has taken in leaves even after it was closed
                await self._wire.talk(connection, packet, replies, len(request.commands), connection.socket_timeout, text=request.text)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        except (RedisError, OSError) as error:
            return await self._recovered(request, connection, error, is_sent=is_sent)
        finally:
            if connection is not None:
                await self._give_back(connection, self._pool)
        self.round_trips += 1
        self.commands += len(replies)
        return replies if make.ANSWERS.issuperset(map(type, replies)) else make.batch(request, self._server).answer(replies)

    async def _recovered(self, request: Batch, connection: AsyncConnection | None, error: Exception, *, is_sent: bool) -> Any:
        """Do what is right after a first attempt has failed."""
        self._server.clock.doubt()
        exchange = make.batch(request, self._server)
        exchange.maybe_executed = is_sent
        if connection is None or not request.resend:
            raise exchange.failure(error) from error
        try:
            replies = await self._again(connection, exchange, error)
        except (RedisError, OSError) as last:
            raise exchange.failure(last) from last
        return exchange.answer(replies)

    async def _free_connection(self, pool: AsyncPool) -> AsyncConnection:
        """Wait for a free connection that is open."""
        if isinstance(pool, ReadyPool) and (ready := pool.take_ready()) is not None:
            return cast("AsyncConnection", ready)
        cancelled = _cancellations()
        connection = await pool.get_connection()
        try:
            if _cancellations() > cancelled:
                raise asyncio.CancelledError
            streams = streams_of(connection)
            # redis-py hands out what was closed where the server may announce maintenance. Its can_read() tells no end from a message.
            if await connection.can_read() if streams is None else streams.are_closed:
                await connection.disconnect(nowait=True)
                await connection.connect()
        except BaseException:
            await self._give_back(connection, pool)
            raise
        return connection

    async def _give_back(self, connection: AsyncConnection, pool: AsyncPool) -> None:
        try:
            await pool.release(connection)
        except asyncio.CancelledError:
            # Cancelled while it waited for the pool's lock: without a second try the pool would be one connection short.
            with suppress(KeyError):
                await pool.release(connection)
            raise

    async def _reach(self, connection: AsyncConnection, exchange: Exchange) -> list[Any]:
        """Converse, and again over a new connection as the client's retry policy says, since that is harmless."""
        try:
            return await self._converse(connection, exchange)
        except (RedisError, OSError) as error:
            return await self._again(connection, exchange, error)

    async def _again(self, connection: AsyncConnection, exchange: Exchange, error: Exception) -> list[Any]:
        """Converse once more after a first attempt has failed, as often as the client's retry policy says."""
        failures = [error]

        async def attempt() -> list[Any]:
            if failures:  # the first attempt was the one above
                raise failures.pop()
            # connect() would run the retry policy once more inside each of its attempts.
            if not connection.is_connected:
                await connection.connect_check_health(retry_socket_connect=False)
            return await self._converse(connection, exchange)

        async def failed(_: Exception) -> None:
            self._server.clock.doubt()

        return await connection.retry.call_with_retry(attempt, failed)

    # ---- sending without waiting ------------------------------------------------------------------------------------------

    async def _post(self, exchange: Exchange, pin: Pin[AsyncConnection]) -> None:
        """Send and go on. What breaks is told when the batch is collected."""
        begins = pin.post(exchange)
        try:
            if len(pin.posted) == 1:
                pin.line = await self._free_connection(self._pool)
                await pin.line.check_health()
            if pin.line is not None:
                self.round_trips += begins
                await self._talk(pin.line, exchange, send=True)
        except (RedisError, OSError) as error:
            await self._line_broke(pin, error)
        except BaseException:
            await self._drop_line(pin)
            raise

    async def _collect(self, pin: Pin[AsyncConnection]) -> Any:
        """Receive the oldest answer; where the connection broke, ask again what may be asked again."""
        exchange = pin.posted[0]
        if pin.line is not None:
            try:
                replies = await self._talk(pin.line, exchange, receive=True)
            except (RedisError, OSError) as error:
                await self._line_broke(pin, error)
            except UnicodeDecodeError as error:
                pin.collect()
                await self._line_broke(pin, error)  # under those that were posted behind it
                raise
            except BaseException:
                await self._drop_line(pin)
                raise
            else:
                pin.collect()
                if not pin.posted:
                    await self._release_line(pin)
                return exchange.answer(replies)
        pin.collect()
        if exchange.broken_by is None or exchange.resend:
            return await self._exchange(exchange)
        raise exchange.failure(exchange.broken_by) from exchange.broken_by

    async def _line_broke(self, pin: Pin[AsyncConnection], error: Exception) -> None:
        await self._drop_line(pin)
        self._server.clock.doubt()
        pin.broke(error)

    async def _drop_line(self, pin: Pin[AsyncConnection]) -> None:
        if pin.line is not None:
            await pin.line.disconnect(nowait=True)
            await self._release_line(pin)

    async def _release_line(self, pin: Pin[AsyncConnection]) -> None:
        line, pin.line = pin.line, None
        if line is not None:
            await self._give_back(line, self._pool)

    # ---- the connection that watches ---------------------------------------------------------------------------------------

    async def _exchange_pinned(self, exchange: Exchange, pin: Pin[AsyncConnection]) -> Any:
        """Converse over the pinned connection as long as it is the one that watches."""
        try:
            connection = pin.connection
            if connection is None or not connection.is_connected:
                # redis-py would connect anew, and EXEC would no longer depend on the watched keys.
                raise RedisConnectionError("the connection was closed while it watched")
            replies = await self._converse(connection, exchange, check_health=False)
        except BaseException as error:
            await self._drop(pin)
            if isinstance(error, (RedisError, OSError)):
                self._server.clock.doubt()
                raise exchange.failure(error) from error
            raise
        return exchange.answer(replies)

    async def _drop(self, pin: Pin[AsyncConnection]) -> None:
        if pin.connection is not None:
            await pin.connection.disconnect(nowait=True)
            await self._release(pin)

    async def _release(self, pin: Pin[AsyncConnection]) -> None:
        connection, pin.connection = pin.connection, None
        if connection is not None:
            await self._give_back(connection, self._pool)

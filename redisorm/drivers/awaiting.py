"""The awaiting driver: performs a flow's requests over the connections of a `redis.asyncio.Redis`.

It takes connections from the client's own pool and speaks to them through redis-py's public names, so that TLS,
authentication, retries, health checks and reconnecting are redis-py's. Packets are made and replies are read apart in
`exchange`; this module only waits. `blocking` is its twin: a change here is a change there.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from random import random
from typing import Any, TypeVar, cast

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from redisorm.commands import Batch, Clock, Collect, Flow, Guarded, Post, Request, Supports, Watch, WatchLimit
from redisorm.drivers import exchange as make
from redisorm.drivers import questions
from redisorm.drivers.arrived import streams_of
from redisorm.drivers.awaiting_pool import ReadyPool
from redisorm.drivers.awaiting_talk import AwaitingTalk
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.pin import Pin
from redisorm.drivers.server import KnownServer
from redisorm.drivers.waiting import async_waiting_pool
from redisorm.drivers.wire import AsyncConnection, AsyncPool
from redisorm.errors import RedisormError

__all__ = ["AwaitingDriver"]

R = TypeVar("R")


def _cancellations() -> int:
    """How often this task was asked to end. redis-py connects under `asyncio.wait_for`, which before Python 3.12 may swallow that."""
    task = asyncio.current_task() if sys.version_info < (3, 12) else None
    count: Callable[[], int] | None = getattr(task, "cancelling", None)
    return 0 if count is None else count()


class AwaitingDriver(AwaitingTalk):
    """Runs flows to their end, each in the calling task. Belongs to the event loop of its client."""

    commands: int
    round_trips: int

    def __init__(self, client: redis.asyncio.Redis, server: KnownServer) -> None:
        super().__init__()
        self._client = client
        self._pool = cast("AsyncPool", client.connection_pool)
        self._waiting: AsyncPool | None = None
        self._server = server
        self._greeted = False

    async def run(self, flow: Flow[R]) -> R:
        """Perform a flow and return its result.

        Raises:
            RedisormError: What the flow raises, or lets through of the errors thrown into it.
        """
        pin = self._new_pin()
        try:
            request = next(flow)
            while True:
                try:
                    answer = await self._answer(request, pin)
                except BaseException as error:  # noqa: BLE001 - an interrupt, too, must reach the flow's `finally`
                    request = flow.throw(error)
                else:
                    request = flow.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result
        finally:
            flow.close()
            if pin.line is not None:
                await self._drop_line(pin)  # answers are under way on it
            if pin.connection is not None:
                await self._unpin(pin)

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

    def _new_pin(self) -> Pin[AsyncConnection]:
        return Pin()

    async def _answer(self, request: Request, pin: Pin[AsyncConnection]) -> Any:
        if not self._greeted:
            await self._greet()
        if isinstance(request, Batch):
            return await self._batch(request, pin)
        if isinstance(request, Supports):
            return await self._supports(request.command.upper())
        if isinstance(request, Watch):
            return await self._watch(request, pin)
        if isinstance(request, Guarded):
            return await self._guarded(request, pin)
        if isinstance(request, Post):
            return await self._post(make.batch(request.batch, self._server), pin)
        if isinstance(request, Collect):
            return await self._collect(pin)
        if isinstance(request, Clock):
            return await self._now_ms(pin)
        if isinstance(request, WatchLimit):
            return self._server.watch_limit
        await asyncio.sleep(random() * request.limit_s)
        return None

    async def _batch(self, request: Batch, pin: Pin[AsyncConnection]) -> Any:
        if request.needs and not await self._supports(request.needs):
            return None
        exchange = make.batch(request, self._server)
        if request.atomic and pin.watches:
            return await self._commit(exchange, pin)
        return await self._exchange(exchange) if pin.connection is None else await self._exchange_pinned(exchange, pin)

    async def _watch(self, request: Watch, pin: Pin[AsyncConnection]) -> Any:
        exchange = make.watch(request)
        try:
            if pin.connection is None:
                pin.watches = (request,)
                return await self._exchange(exchange, pin)
            pin.watches = (*pin.watches, request)
            return await self._exchange_pinned(exchange, pin)
        except RedisormError:
            await self._drop(pin)  # nobody knows what is watched now, so no commit may rely on it
            raise

    async def _guarded(self, request: Guarded, pin: Pin[AsyncConnection]) -> Any:
        exchange = make.queueing(request, self._server)
        connection = None
        try:
            connection = await self._free_connection(self._pool)
            replies = await self._converse_queueing(connection, exchange, request.meanwhile)
        except (RedisError, OSError) as error:
            self._server.clock.doubt()
            raise exchange.failure(error) from error
        finally:
            if connection is not None:
                await self._give_back(connection, self._pool)
        return None if replies is None else exchange.answer(replies)

    async def _commit(self, exchange: Exchange, pin: Pin[AsyncConnection]) -> Any:
        if pin.connection is None:
            raise pin.broken()
        exchange.resend = False  # a new connection would watch nothing
        try:
            return await self._exchange_pinned(exchange, pin)
        finally:
            pin.watches = ()
            await self._release(pin)

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

    async def _reach(self, connection: AsyncConnection, exchange: Exchange) -> list[Any]:
        """Converse, and again over a new connection as the client's retry policy says, since that is harmless."""
        try:
            return await self._converse(connection, exchange)
        except (RedisError, OSError) as error:
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

    async def _unpin(self, pin: Pin[AsyncConnection]) -> None:
        """Give the connection back without its watches: with them, EXEC of its next user would do nothing."""
        try:
            await self._exchange_pinned(questions.unwatch(), pin)
        except RedisormError:
            return  # the connection was closed and given back: nothing is watched any more
        await self._release(pin)

    async def _drop(self, pin: Pin[AsyncConnection]) -> None:
        if pin.connection is not None:
            await pin.connection.disconnect(nowait=True)
            await self._release(pin)

    async def _release(self, pin: Pin[AsyncConnection]) -> None:
        connection, pin.connection = pin.connection, None
        if connection is not None:
            await self._give_back(connection, self._pool)

    async def _give_back(self, connection: AsyncConnection, pool: AsyncPool) -> None:
        try:
            await pool.release(connection)
        except asyncio.CancelledError:
            # Cancelled while it waited for the pool's lock: without a second try the pool would be one connection short.
            with suppress(KeyError):
                await pool.release(connection)
            raise

    async def _greet(self) -> None:
        # Tasks that come at once each ask: behind a lock they would wait out one another's timeouts where no server answers.
        greeting = questions.greeting()
        if not questions.introduce(self._server, greeting, await self._exchange(greeting)):
            self._server.introduce_by_info((await self._exchange(questions.info()))[0])
        self._greeted = True

    async def _now_ms(self, pin: Pin[AsyncConnection]) -> int:
        now = self._server.clock.now_ms(time.monotonic())
        if now is not None:
            return now
        question = questions.time_of()
        # A flow that waited for a second connection while it holds one could wait for others that do the same.
        asked = self._exchange(question) if pin.connection is None else self._exchange_pinned(question, pin)
        questions.learn_time(self._server, question, (await asked)[0])
        return self._server.clock.at_ms(time.monotonic())

    def _question(self, command: str) -> Exchange:
        return questions.known(command)

    async def _supports(self, command: str) -> bool:
        known = self._server.commands.get(command)
        if known is None:
            asking = questions.supports(command, self._question)
            question = next(asking)
            try:
                while True:
                    question = asking.send(await self._exchange(question))
            except StopIteration as end:
                known = self._server.commands[command] = bool(end.value)
        return known

"""The awaiting driver: performs a flow's requests over the connections of a `redis.asyncio.Redis`.

It takes connections from the client's own pool and speaks to them through redis-py's public names, so that TLS,
authentication, retries, health checks and reconnecting are redis-py's (`awaiting_exchanges`). Packets are made and replies are read
apart in `exchange`. `blocking` is its twin: a change here is a change there.
"""

from __future__ import annotations

import asyncio
import time
from random import random
from typing import Any, TypeVar

import redis.asyncio
from redis.exceptions import RedisError

from redisorm.commands import Batch, Clock, Collect, Flow, Guarded, Post, Request, Supports, Watch, WatchLimit
from redisorm.drivers import exchange as make
from redisorm.drivers import questions
from redisorm.drivers.awaiting_exchanges import AwaitingExchanges
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.pin import Pin
from redisorm.drivers.server import KnownServer
from redisorm.drivers.wire import AsyncConnection
from redisorm.errors import RedisormError

__all__ = ["AwaitingDriver"]

R = TypeVar("R")


class AwaitingDriver(AwaitingExchanges):
    """Runs flows to their end, each in the calling task. Belongs to the event loop of its client."""

    def __init__(self, client: redis.asyncio.Redis, server: KnownServer) -> None:
        super().__init__(client, server)
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
        if request.needs and not (self._server.commands.get(request.needs) or await self._supports(request.needs)):
            return None
        if self._takes_few_steps and not request.atomic and pin.connection is None and make.is_small(request.commands):
            return await self._small(request)
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

    async def _unpin(self, pin: Pin[AsyncConnection]) -> None:
        """Give the connection back without its watches: with them, EXEC of its next user would do nothing."""
        try:
            await self._exchange_pinned(questions.unwatch(), pin)
        except RedisormError:
            return  # the connection was closed and given back: nothing is watched any more
        await self._release(pin)

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

"""The blocking driver: performs a flow's requests over the connections of a `redis.Redis`.

It takes connections from the client's own pool and speaks to them through redis-py's public names, so that TLS,
authentication, retries, health checks and reconnecting are redis-py's. Packets are made and replies are read apart in
`exchange`; this module only waits. `awaiting` is its twin: a change here is a change there.
"""

from __future__ import annotations

import threading
import time
from random import random
from typing import Any, TypeVar, cast

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from redisorm.commands import Batch, Clock, Collect, Flow, Guarded, Post, Request, Supports, Watch, WatchLimit
from redisorm.drivers import exchange as make
from redisorm.drivers import questions
from redisorm.drivers.arrived import NotSent, converse
from redisorm.drivers.blocking_talk import BlockingTalk
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.packing import packed
from redisorm.drivers.pin import Pin
from redisorm.drivers.server import KnownServer
from redisorm.drivers.waiting import waiting_pool
from redisorm.drivers.wire import Connection, Pool
from redisorm.errors import RedisormError

__all__ = ["BlockingDriver", "connect_once"]

R = TypeVar("R")


def connect_once(connection: Any) -> None:
    """Connect, unless connected, and do not try again."""
    # connect() would run the retry policy once more inside each of its attempts; a caching connection has nothing else.
    if hasattr(connection, "connect_check_health"):
        connection.connect_check_health(retry_socket_connect=False)
    else:
        connection.connect()


class BlockingDriver(BlockingTalk):
    """Runs flows to their end, each in the calling thread. Safe to share between threads."""

    commands: int
    round_trips: int
    _takes_few_steps: bool = True

    def __init__(self, client: redis.Redis, server: KnownServer) -> None:
        super().__init__()
        self._client = client
        self._pool = cast("Pool", client.connection_pool)
        self._waiting: Pool | None = None
        self._server = server
        self._greeted = False
        self._opening = threading.Lock()

    def run(self, flow: Flow[R]) -> R:
        """Perform a flow and return its result.

        Raises:
            RedisormError: What the flow raises, or lets through of the errors thrown into it.
        """
        pin = self._new_pin()
        try:
            request = next(flow)
            while True:
                try:
                    answer = self._answer(request, pin)
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
                self._drop_line(pin)  # answers are under way on it
            if pin.connection is not None:
                self._unpin(pin)

    @property
    def waiting(self) -> Pool:
        """The connections on which one may wait, made at first use."""
        with self._opening:
            if self._waiting is None:
                self._waiting = waiting_pool(self._client)
            return self._waiting

    def close(self) -> None:
        """Close the connections that waited; who still waits on one finishes. The client is its owner's to close."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.disconnect(inuse_connections=False)

    def _new_pin(self) -> Pin[Connection]:
        return Pin()

    def _answer(self, request: Request, pin: Pin[Connection]) -> Any:
        if not self._greeted:
            self._greet()
        if isinstance(request, Batch):
            return self._batch(request, pin)
        if isinstance(request, Supports):
            return self._supports(request.command.upper())
        if isinstance(request, Watch):
            return self._watch(request, pin)
        if isinstance(request, Guarded):
            return self._guarded(request, pin)
        if isinstance(request, Post):
            return self._post(make.batch(request.batch, self._server), pin)
        if isinstance(request, Collect):
            return self._collect(pin)
        if isinstance(request, Clock):
            return self._now_ms(pin)
        if isinstance(request, WatchLimit):
            return self._server.watch_limit
        time.sleep(random() * request.limit_s)
        return None

    def _batch(self, request: Batch, pin: Pin[Connection]) -> Any:
        if request.needs and not (self._server.commands.get(request.needs) or self._supports(request.needs)):
            return None
        if self._takes_few_steps and not (request.atomic or request.text) and pin.connection is None and make.is_small(request.commands):
            return self._small(request)
        exchange = make.batch(request, self._server)
        if request.atomic and pin.watches:
            return self._commit(exchange, pin)
        return self._exchange(exchange) if pin.connection is None else self._exchange_pinned(exchange, pin)

    def _watch(self, request: Watch, pin: Pin[Connection]) -> Any:
        exchange = make.watch(request)
        try:
            if pin.connection is None:
                pin.watches = (request,)
                return self._exchange(exchange, pin)
            pin.watches = (*pin.watches, request)
            return self._exchange_pinned(exchange, pin)
        except RedisormError:
            self._drop(pin)  # nobody knows what is watched now, so no commit may rely on it
            raise

    def _guarded(self, request: Guarded, pin: Pin[Connection]) -> Any:
        exchange = make.queueing(request, self._server)
        connection = None
        try:
            connection = self._pool.get_connection()
            replies = self._converse_queueing(connection, exchange, request.meanwhile)
        except (RedisError, OSError) as error:
            self._server.clock.doubt()
            raise exchange.failure(error) from error
        finally:
            if connection is not None:
                self._pool.release(connection)
        return None if replies is None else exchange.answer(replies)

    def _commit(self, exchange: Exchange, pin: Pin[Connection]) -> Any:
        if pin.connection is None:
            raise pin.broken()
        exchange.resend = False  # a new connection would watch nothing
        try:
            return self._exchange_pinned(exchange, pin)
        finally:
            pin.watches = ()
            self._release(pin)

    def _exchange(self, exchange: Exchange, pin: Pin[Connection] | None = None) -> Any:
        """Converse over a free connection and give it back, or leave it in the pin."""
        connection = None
        pool = self.waiting if exchange.waits_s else self._pool
        try:
            connection = pool.get_connection()
            replies = self._reach(connection, exchange) if exchange.resend else self._converse(connection, exchange)
            if pin is not None:
                pin.connection, connection = connection, None
        except (RedisError, OSError) as error:
            self._server.clock.doubt()
            raise exchange.failure(error) from error
        finally:
            if connection is not None:
                pool.release(connection)
        return exchange.answer(replies)

    def _small(self, request: Batch) -> Any:
        """Exchange few commands over a free connection: what `_exchange` does where nothing goes wrong, in as few steps as there are."""
        connection, count = None, len(request.commands)
        packet = b"".join(map(packed, request.commands))
        try:
            connection = self._pool.get_connection()
            try:
                replies = None if connection.health_check_interval else converse(connection, packet, count)
            except BaseException:
                connection.disconnect()
                raise
        except (RedisError, OSError) as error:
            return self._recovered(request, connection, error)
        finally:
            if connection is not None:
                self._pool.release(connection)
        if replies is None:  # and so it is with all connections of this client
            self._takes_few_steps = False
            return self._exchange(make.batch(request, self._server))
        self.round_trips += 1
        self.commands += count
        return replies if make.ANSWERS.issuperset(map(type, replies)) else make.batch(request, self._server).answer(replies)

    def _recovered(self, request: Batch, connection: Connection | None, error: Exception) -> Any:
        """Do what is right after a first attempt has failed."""
        self._server.clock.doubt()
        exchange = make.batch(request, self._server)
        exchange.maybe_executed = connection is not None and not (exchange.all_or_nothing and isinstance(error, NotSent))
        if connection is None or not request.resend:
            raise exchange.failure(error) from error
        try:
            replies = self._again(connection, exchange, error)
        except (RedisError, OSError) as last:
            raise exchange.failure(last) from last
        return exchange.answer(replies)

    def _reach(self, connection: Connection, exchange: Exchange) -> list[Any]:
        """Converse, and again over a new connection as the client's retry policy says, since that is harmless."""
        try:
            return self._converse(connection, exchange)
        except (RedisError, OSError) as error:
            return self._again(connection, exchange, error)

    def _again(self, connection: Connection, exchange: Exchange, error: Exception) -> list[Any]:
        """Converse once more after a first attempt has failed, as often as the client's retry policy says."""
        failures = [error]

        def attempt() -> list[Any]:
            if failures:  # the first attempt was the one above
                raise failures.pop()
            if not connection.is_connected:
                connect_once(connection)
            return self._converse(connection, exchange)

        def failed(_: Exception) -> None:
            self._server.clock.doubt()

        return connection.retry.call_with_retry(attempt, failed)

    def _exchange_pinned(self, exchange: Exchange, pin: Pin[Connection]) -> Any:
        """Converse over the pinned connection as long as it is the one that watches."""
        try:
            connection = pin.connection
            if connection is None or not connection.is_connected:
                # redis-py would connect anew, and EXEC would no longer depend on the watched keys.
                raise RedisConnectionError("the connection was closed while it watched")
            replies = self._converse(connection, exchange, check_health=False)
        except BaseException as error:
            self._drop(pin)
            if isinstance(error, (RedisError, OSError)):
                self._server.clock.doubt()
                raise exchange.failure(error) from error
            raise
        return exchange.answer(replies)

    # ---- sending without waiting ------------------------------------------------------------------------------------------

    def _post(self, exchange: Exchange, pin: Pin[Connection]) -> None:
        """Send and go on. What breaks is told when the batch is collected."""
        begins = pin.post(exchange)
        try:
            if len(pin.posted) == 1:
                pin.line = self._pool.get_connection()
                pin.line.check_health()
            if pin.line is not None:
                self.round_trips += begins
                self._send(pin.line, exchange)
        except (RedisError, OSError) as error:
            self._line_broke(pin, error)
        except BaseException:
            self._drop_line(pin)
            raise

    def _collect(self, pin: Pin[Connection]) -> Any:
        """Receive the oldest answer; where the connection broke, ask again what may be asked again."""
        exchange = pin.posted[0]
        if pin.line is not None:
            try:
                replies = self._receive(pin.line, exchange)
            except (RedisError, OSError) as error:
                self._line_broke(pin, error)
            except BaseException:
                self._drop_line(pin)
                raise
            else:
                pin.collect()
                if not pin.posted:
                    self._release_line(pin)
                return exchange.answer(replies)
        pin.collect()
        if exchange.broken_by is None or exchange.resend:
            return self._exchange(exchange)
        raise exchange.failure(exchange.broken_by) from exchange.broken_by

    def _line_broke(self, pin: Pin[Connection], error: Exception) -> None:
        self._drop_line(pin)
        self._server.clock.doubt()
        pin.broke(error)

    def _drop_line(self, pin: Pin[Connection]) -> None:
        if pin.line is not None:
            pin.line.disconnect()
            self._release_line(pin)

    def _release_line(self, pin: Pin[Connection]) -> None:
        line, pin.line = pin.line, None
        if line is not None:
            self._pool.release(line)

    def _unpin(self, pin: Pin[Connection]) -> None:
        """Give the connection back without its watches: with them, EXEC of its next user would do nothing."""
        try:
            self._exchange_pinned(questions.unwatch(), pin)
        except RedisormError:
            return  # the connection was closed and given back: nothing is watched any more
        self._release(pin)

    def _drop(self, pin: Pin[Connection]) -> None:
        if pin.connection is not None:
            pin.connection.disconnect()
            self._release(pin)

    def _release(self, pin: Pin[Connection]) -> None:
        connection, pin.connection = pin.connection, None
        if connection is not None:
            self._pool.release(connection)

    def _greet(self) -> None:
        # Threads that come at once each ask: behind a lock they would wait out one another's timeouts where no server answers.
        greeting = questions.greeting()
        if not questions.introduce(self._server, greeting, self._exchange(greeting)):
            self._server.introduce_by_info(self._exchange(questions.info())[0])
        self._greeted = True

    def _now_ms(self, pin: Pin[Connection]) -> int:
        now = self._server.clock.now_ms(time.monotonic())
        if now is not None:
            return now
        question = questions.time_of()
        # A flow that waited for a second connection while it holds one could wait for others that do the same.
        asked = self._exchange(question) if pin.connection is None else self._exchange_pinned(question, pin)
        questions.learn_time(self._server, question, asked[0])
        return self._server.clock.at_ms(time.monotonic())

    def _question(self, command: str) -> Exchange:
        return questions.known(command)

    def _supports(self, command: str) -> bool:
        known = self._server.commands.get(command)
        if known is None:
            asking = questions.supports(command, self._question)
            question = next(asking)
            try:
                while True:
                    question = asking.send(self._exchange(question))
            except StopIteration as end:
                known = self._server.commands[command] = bool(end.value)
        return known

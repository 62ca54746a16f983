"""Exchanges of a blocking driver: over which connection of a client's pools, and what becomes of those that break off.

What is sent again is what may be, as often as the client's retry policy says. Nothing here knows a flow; what its requests mean
is for `blocking` to say. `awaiting_exchanges` is its twin.
"""

from __future__ import annotations

import threading
from typing import Any, cast

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from redisorm.commands import Batch
from redisorm.drivers import exchange as make
from redisorm.drivers.arrived import NotSent, converse
from redisorm.drivers.blocking_talk import BlockingTalk
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.packing import packed_few
from redisorm.drivers.pin import Pin
from redisorm.drivers.server import KnownServer
from redisorm.drivers.waiting import waiting_pool
from redisorm.drivers.wire import Connection, Pool

__all__ = ["BlockingExchanges", "connect_once"]


def connect_once(connection: Any) -> None:
    """Connect, unless connected, and do not try again."""
    # connect() would run the retry policy once more inside each of its attempts; a caching connection has nothing else.
    if hasattr(connection, "connect_check_health"):
        connection.connect_check_health(retry_socket_connect=False)
    else:
        connection.connect()


class BlockingExchanges(BlockingTalk):
    """Exchanges over the connections of one client. Safe to share between threads."""

    commands: int
    round_trips: int
    _takes_few_steps: bool = True

    def __init__(self, client: redis.Redis, server: KnownServer) -> None:
        super().__init__()
        self._client = client
        self._pool = cast("Pool", client.connection_pool)
        self._waiting: Pool | None = None
        self._server = server
        self._opening = threading.Lock()

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
        packet = packed_few(request.commands)
        try:
            connection = self._pool.get_connection()
            try:
                replies = None if connection.health_check_interval else converse(connection, packet, count, text=request.text)
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
            except UnicodeDecodeError as error:
                pin.collect()
                self._line_broke(pin, error)  # under those that were posted behind it
                raise
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

    # ---- the connection that watches ---------------------------------------------------------------------------------------

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

    def _drop(self, pin: Pin[Connection]) -> None:
        if pin.connection is not None:
            pin.connection.disconnect()
            self._release(pin)

    def _release(self, pin: Pin[Connection]) -> None:
        connection, pin.connection = pin.connection, None
        if connection is not None:
            self._pool.release(connection)

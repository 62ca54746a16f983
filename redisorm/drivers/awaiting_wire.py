"""What goes over one connection of asyncio: a packet and its replies, in a limited time.

Where redis-py's private names are known that is a write to a stream and reads from it, else redis-py does it. What is sent, when it is sent
again, and what becomes of a connection that broke is for `awaiting_exchanges` to say.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from redisorm.drivers.arrived import keeps_bytes, parser_of, streams_of, take_arrived
from redisorm.drivers.deadlines import Deadlines, timeout
from redisorm.drivers.wire import AsyncConnection

__all__ = ["Wire"]


class Wire:
    """All connections of one event loop."""

    def __init__(self) -> None:
        self._deadlines = Deadlines()

    async def talk(
        self, connection: AsyncConnection, packet: list[bytes], replies: list[Any], count: int, limit_s: float | None, *, text: bool = False
    ) -> None:
        """Send a packet and append its replies, refusals among them.

        Args:
            packet: Its pieces; none where it was sent before.
            count: How many replies to wait for.
            limit_s: How long all that may take, in seconds; `None` for ever.
            text: Whether words may come decoded.

        Raises:
            redis.ConnectionError: The connection broke.
            redis.TimeoutError: It took too long. The connection is of no use then.
        """
        streams = streams_of(connection)
        if streams is None:
            await self._by_redis_py(connection, packet, replies, count, limit_s)
            return
        transport = streams.writer.transport
        self._deadlines.begin(transport, limit_s)
        try:
            await streams.converse(packet, replies, count, text=text and keeps_bytes(connection))
        except RedisConnectionError as error:
            if self._deadlines.end(transport):
                raise
            raise _too_late(limit_s) from error
        finally:
            self._deadlines.end(transport)
        if connection.health_check_interval:
            connection.next_health_check = asyncio.get_running_loop().time() + connection.health_check_interval

    async def _by_redis_py(
        self, connection: AsyncConnection, packet: list[bytes], replies: list[Any], count: int, limit_s: float | None
    ) -> None:
        usual_s = connection.socket_timeout
        # One timeout round the whole exchange: redis-py's own, round each reply, cost as much as the replies.
        connection.socket_timeout = None
        try:
            async with timeout(limit_s):
                if packet:
                    await connection.send_packed_command(packet, check_health=False)
                await self._read(connection, replies, count)
        except asyncio.TimeoutError as error:
            raise _too_late(limit_s) from error
        finally:
            # A server that announces maintenance makes redis-py set a longer one meanwhile, which stays.
            if connection.socket_timeout is None:
                connection.socket_timeout = usual_s

    async def _read(self, connection: AsyncConnection, replies: list[Any], count: int) -> None:
        read = connection.read_response
        parser = parser_of(connection)
        while len(replies) < count:
            try:
                replies.append(await read(disable_decoding=True))
            except ResponseError as refusal:
                replies.append(refusal.with_traceback(None))
            if parser is not None and len(replies) < count:
                for pushed in take_arrived(parser, replies, count):
                    await parser.handle_push_response(pushed)


def _too_late(limit_s: float | None) -> RedisTimeoutError:
    return RedisTimeoutError(f"no answer within {limit_s} s")

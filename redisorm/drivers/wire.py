"""What the drivers use of redis-py: these public names of its connections and pools, and no others.

redis-py's own annotations say little here. Both colours are written out, so that a type checker holds the drivers to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from redis.asyncio.retry import Retry as AsyncRetry
from redis.retry import Retry

__all__ = ["AsyncConnection", "AsyncPool", "Connection", "Pool"]


class Connection(Protocol):
    """A `redis.connection.AbstractConnection`, or the one that caches."""

    retry: Retry
    is_connected: bool
    socket_timeout: float | None
    health_check_interval: float

    def check_health(self) -> None:
        """PING where `health_check_interval` is over."""

    def connect(self) -> None:
        """Connect as often as the retry policy says, unless connected."""

    def disconnect(self) -> None:
        """Close the socket; nothing happens where it is closed."""

    def send_packed_command(self, command: Iterable[bytes], check_health: bool = ...) -> None:
        """Hand all bytes to the kernel; connects where there is no socket."""

    def connect_check_health(self, *, retry_socket_connect: bool = ...) -> None:
        """Connect, unless connected; once where it is not to try again."""

    def can_read(self, timeout: float = ...) -> bool:
        """Wait so many seconds at most for something to read; a connection that the server has closed is raised."""
        ...

    def read_response(self, disable_decoding: bool = ..., *, timeout: float | None = ..., push_request: bool = ...) -> Any:
        """Wait for one reply, without a limit where that is `None`; an error reply is raised. What is pushed counts where asked for."""


class Pool(Protocol):
    """A `redis.ConnectionPool`."""

    def get_connection(self) -> Connection:
        """Wait for a free connection and see that it is connected."""
        ...

    def release(self, connection: Connection) -> None:
        """Take a connection back."""

    def disconnect(self, inuse_connections: bool = ...) -> None:
        """Close all connections, those in use too unless told otherwise."""


class AsyncConnection(Protocol):
    """A `redis.asyncio.connection.AbstractConnection`."""

    retry: AsyncRetry
    is_connected: bool
    socket_timeout: float | None
    health_check_interval: float
    next_health_check: float

    async def check_health(self) -> None:
        """PING where `health_check_interval` is over."""

    async def connect(self) -> None:
        """Connect as often as the retry policy says, unless connected."""

    async def can_read(self) -> bool:
        """Whether something waits to be read, be it the end of a connection that was closed."""
        ...

    async def connect_check_health(self, *, retry_socket_connect: bool = ...) -> None:
        """Connect, unless connected; once where it is not to try again."""

    async def disconnect(self, nowait: bool = ...) -> None:
        """Close the socket; nothing happens where it is closed."""

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = ...) -> None:
        """Hand all bytes to the transport; connects where there is none."""

    async def read_response(
        self, disable_decoding: bool = ..., timeout: float | None = ..., *, disconnect_on_error: bool = ..., push_request: bool = ...
    ) -> Any:
        """Wait for one reply, without a limit where that is infinity; an error reply is raised. What is pushed counts where asked for."""


class AsyncPool(Protocol):
    """A `redis.asyncio.ConnectionPool`."""

    async def get_connection(self) -> AsyncConnection:
        """Wait for a free connection and see that it is connected."""
        ...

    async def release(self, connection: AsyncConnection) -> None:
        """Take a connection back."""

    async def disconnect(self) -> None:
        """Close all connections, those in use too."""

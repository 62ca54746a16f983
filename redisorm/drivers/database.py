"""A `Database`: the clients of one server in both colours, made at first use, and the drivers over them.

It decides what is connected and when it is closed. Conversations belong to `blocking` and `awaiting`, models to the floors
above. redis-py and fakeredis are imported at the first use, so that importing redisorm stays light.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakSet, finalize

from typing_extensions import Self

from redisorm.commands import Flow
from redisorm.drivers.url import Location, locate
from redisorm.errors import ConnectionFailedError
from redisorm.keys import check_namespace

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from redisorm.drivers.awaiting import AwaitingDriver
    from redisorm.drivers.blocking import BlockingDriver
    from redisorm.drivers.sources import Source

__all__ = ["AsyncClient", "Client", "Database", "Traffic"]

R = TypeVar("R")

Client: TypeAlias = "redis.Redis"
AsyncClient: TypeAlias = "redis.asyncio.Redis"


class Traffic(NamedTuple):
    """What a `Database` has sent so far, both colours together.

    Attributes:
        commands: How many commands; MULTI, EXEC and WATCH count.
        round_trips: How many packets, each sent and answered once.
    """

    commands: int
    round_trips: int


class _AsyncSide(NamedTuple):
    """What belongs to one event loop. The keeper is suspended until the loop ends and then closes what was opened for it."""

    client: redis.asyncio.Redis
    driver: AwaitingDriver
    keeper: AsyncGenerator[None, None]


class Database:
    """The connections of one database, a namespace, and the way to run flows. `redisorm.Database` derives from it and tells its arguments.

    Safe to share between threads and event loops. Opening one sends nothing; the first use connects. As a context manager in both
    colours it closes the clients it made; clients that were handed in stay open.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "",
        client: redis.Redis | None = None,
        async_client: redis.asyncio.Redis | None = None,
        max_connections: int = 50,
        pool_timeout: float = 5,
        timeout: float | None = 5,
        **options: Any,
    ) -> None:
        self.namespace: str = check_namespace(namespace)
        self._location: Location | None = None
        self._source: Source | None = None
        if client is not None or async_client is not None:
            if url is not None:
                raise ValueError("a url and a client were both given; give one of them")
            from redisorm.drivers.sources import GivenSource

            self._source = GivenSource(client, async_client)
        else:
            self._location = locate(url)
        self._pool_options = (max_connections, pool_timeout, timeout)
        self._options = options
        self._lock = threading.RLock()
        self._closed = False
        self._client: redis.Redis | None = None
        self._driver: BlockingDriver | None = None
        self._sides: dict[asyncio.AbstractEventLoop, _AsyncSide] = {}
        self._inherited: list[object] = []
        self._sent = Traffic(0, 0)
        self._release_server: finalize[[], Database] | None = None
        _databases.add(self)

    def __repr__(self) -> str:
        where = "a client made elsewhere" if self._location is None else repr(self._location.public)
        return f"<Database {where} namespace={self.namespace!r}{' closed' if self._closed else ''}>"

    @property
    def client(self) -> redis.Redis:
        """The `redis.Redis` underneath, made at first use: for everything this library has no word for."""
        with self._lock:
            if self._client is None:
                self._client = self._opened().client()
            return self._client

    @property
    def async_client(self) -> redis.asyncio.Redis:
        """The `redis.asyncio.Redis` of the running event loop, made at first use and closed at the end of the loop.

        Raises:
            RuntimeError: No event loop is running.
        """
        return self._side().client

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def driver(self) -> BlockingDriver:
        """The driver of all threads, made at first use.

        Raises:
            ConnectionFailedError: The database is closed.
        """
        return self._connect() if self._driver is None else self._driver

    @property
    def async_driver(self) -> AwaitingDriver:
        """The driver of the running event loop, made at first use.

        Raises:
            ConnectionFailedError: The database is closed.
            RuntimeError: No event loop is running.
        """
        return self._side().driver

    @property
    def traffic(self) -> Traffic:
        """What was sent so far."""
        drivers: list[BlockingDriver | AwaitingDriver] = [side.driver for side in list(self._sides.values())]
        if self._driver is not None:
            drivers.append(self._driver)
        return Traffic(
            self._sent.commands + sum(driver.commands for driver in drivers),
            self._sent.round_trips + sum(driver.round_trips for driver in drivers),
        )

    def run(self, flow: Flow[R]) -> R:
        """Perform a flow in this thread and return its result."""
        driver = self._driver
        return (self._connect() if driver is None else driver).run(flow)

    async def arun(self, flow: Flow[R]) -> R:
        """Perform a flow in this task and return its result."""
        return await self.async_driver.run(flow)

    def close(self) -> None:
        """Close the connections of all threads, and end an embedded server. Those of an event loop end with it, or by `aclose`."""
        with self._lock:
            self._closed = True
            if self._driver is not None:
                self._count(self._driver)
                self._driver.close()
            client, self._client, self._driver = self._client, None, None
            if client is not None and self._location is not None:
                client.close()
            if self._release_server is not None and not self._sides:
                self._release_server()

    async def aclose(self) -> None:
        """Close the connections of all threads and of the running event loop, and end an embedded server."""
        side = self._sides.get(asyncio.get_running_loop())
        if side is not None:
            await side.keeper.aclose()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def _opened(self) -> Source:
        """Return the source of clients. The lock is held."""
        if self._closed:
            raise ConnectionFailedError(f"{self!r} is closed; open a new Database")
        if self._source is None:
            assert self._location is not None
            self._source = self._make_source(self._location)
        return self._source

    def _make_source(self, location: Location) -> Source:
        from redisorm.drivers.sources import ServerSource, StoreSource, unix_url

        max_connections, pool_timeout, timeout = self._pool_options
        if location.scheme == "memory":
            from redisorm.drivers.store import store_named

            return StoreSource(store_named(location.name), max_connections, pool_timeout, self._options)
        url = location.url
        if location.scheme == "embedded":
            from redisorm.drivers.embedded import launch

            server = launch(location.name)
            self._release_server = finalize(self, server.release)
            url = unix_url(server.socket_path)
        return ServerSource(url, max_connections, pool_timeout, timeout, self._options)

    def _connect(self) -> BlockingDriver:
        with self._lock:
            if self._driver is None:
                self._driver = self._opened().driver(self.client)
            return self._driver

    def _side(self) -> _AsyncSide:
        loop = asyncio.get_running_loop()
        side = self._sides.get(loop)
        if side is None or self._closed:
            with self._lock:
                side = self._open_side(loop)
        return side

    def _open_side(self, loop: asyncio.AbstractEventLoop) -> _AsyncSide:
        source = self._opened()
        for ended in [known for known in list(self._sides) if known.is_closed()]:
            self._count(self._sides.pop(ended).driver)
        client = source.async_client()
        driver = source.async_driver(client)
        keeper = self._keep(loop, client, driver)
        # Its first step tells the loop about it: asyncio.run lets it come to its end before the loop is closed.
        with suppress(StopIteration):
            keeper.asend(None).send(None)
        side = self._sides[loop] = _AsyncSide(client, driver, keeper)
        return side

    async def _keep(
        self, loop: asyncio.AbstractEventLoop, client: redis.asyncio.Redis, driver: AwaitingDriver
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self._sides.pop(loop, None) is not None:
                self._count(driver)
            await driver.close()
            if self._location is not None:
                await client.aclose()
            if self._closed:
                self.close()

    def _count(self, driver: BlockingDriver | AwaitingDriver) -> None:
        self._sent = Traffic(self._sent.commands + driver.commands, self._sent.round_trips + driver.round_trips)

    def _forget_parent(self) -> None:
        """Begin anew in a forked child: no lock may stay held, no connection may be shared."""
        self._lock = threading.RLock()
        if self._driver is not None:
            self._count(self._driver)
        self._driver = None
        # The parent's event loops must not be collected here: closing their sockets would reach into the parent's selector.
        self._inherited.append(self._sides)
        self._sides = {}


_databases: WeakSet[Database] = WeakSet()


def _after_fork() -> None:
    for database in list(_databases):
        database._forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

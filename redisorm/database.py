"""`Database` as users have it: the connections of `drivers` and the flows that a database can perform for a class.

It joins two floors that must not know each other, and does nothing of its own.
"""

from __future__ import annotations

from typing import Any

from redisorm.drivers import database as drivers
from redisorm.drivers.database import AsyncClient, Client
from redisorm.drivers.default import Default
from redisorm.errors import SessionError
from redisorm.flows import checking, sweeping
from redisorm.flows.report import Report
from redisorm.flows.sweeping import Progress
from redisorm.keys import Keyspace
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.mapping.mapper import Mapper

__all__ = ["Database", "connect", "default_database"]


class Database(drivers.Database):
    """One Redis or Valkey database: connections, a namespace, and the upkeep of what lies in it.

    Safe to share between threads and event loops. Opening one sends nothing; the first use connects. As a context manager in both
    colours it closes the clients it made; clients that were handed in stay open.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `memory://` or `embedded://`; without one `$REDISORM_URL`, else `$REDIS_URL`,
            else `memory://` with a warning.
        namespace: Goes before every key, with a colon.
        client: A `redis.Redis` made elsewhere, instead of a URL.
        async_client: A `redis.asyncio.Redis` made elsewhere, for one event loop.
        max_connections: How many connections each pool may open: one pool for all threads, and one for each event loop.
        pool_timeout: How long callers wait for a free connection, in seconds.
        timeout: How long an answer may take, in seconds; `None` waits for ever.
        **options: Any other option of redis-py's connections: `password`, `ssl_ca_certs`, `protocol`, `retry`, …

    Raises:
        ValueError: The URL has an unknown form, or the namespace has braces or NUL in it.
        UnsupportedServerError: A cluster or Sentinel is asked for.
    """

    def check(self, model: type[MappedModel], *, progress: Progress | None = None) -> Report:
        """Compare everything that is kept of a class with its rows, and report what is wrong. Writes nothing.

        That is entries, unique keys, memos, collections and deadlines, of the whole class, in steps of about 500 keys. The application
        may run meanwhile: what seems wrong is looked at again under WATCH before it is reported.

        Args:
            progress: Is called after each step with how many rows were seen, and how many there are, or `None` where nobody knows.

        Raises:
            SessionError: The class has a database of its own, which is another.
            ConcurrentUpdateError: One row was changed every time it was looked at.
        """
        return self.run(checking.check(*self._kept(model), progress))

    async def acheck(self, model: type[MappedModel], *, progress: Progress | None = None) -> Report:
        """Compare everything that is kept of a class with its rows, and report what is wrong. Writes nothing.

        That is entries, unique keys, memos, collections and deadlines, of the whole class, in steps of about 500 keys. The application
        may run meanwhile: what seems wrong is looked at again under WATCH before it is reported.

        Args:
            progress: Is called after each step with how many rows were seen, and how many there are, or `None` where nobody knows.

        Raises:
            SessionError: The class has a database of its own, which is another.
            ConcurrentUpdateError: One row was changed every time it was looked at.
        """
        return await self.arun(checking.check(*self._kept(model), progress))

    def repair(self, model: type[MappedModel], *, progress: Progress | None = None) -> Report:
        """Mend what `check` finds, and report it; `ok` says that nothing is left.

        Each row is settled by what lies there, under WATCH: no row is brought back to life, no concurrent write is lost. What people
        must decide (two rows with one unique value, rows that cannot be read or indexed, keys of another type) is reported and left as
        it is. It goes in steps, takes arguments and raises errors as `check` does.
        """
        return self.run(checking.repair(*self._kept(model), progress))

    async def arepair(self, model: type[MappedModel], *, progress: Progress | None = None) -> Report:
        """Mend what `check` finds, and report it; `ok` says that nothing is left.

        Each row is settled by what lies there, under WATCH: no row is brought back to life, no concurrent write is lost. What people
        must decide (two rows with one unique value, rows that cannot be read or indexed, keys of another type) is reported and left as
        it is. It goes in steps, takes arguments and raises errors as `check` does.
        """
        return await self.arun(checking.repair(*self._kept(model), progress))

    def reindex(self, model: type[MappedModel], *, progress: Progress | None = None) -> int:
        """Build what is kept of all rows as the class declares it now, take away what it no longer does, and return how many rows.

        For a class whose indexes or unique fields were changed. The application may run meanwhile, as long as all its processes know
        the new class; no concurrent write is lost. It goes in steps, takes arguments and raises errors as `check` does.
        """
        return self.run(checking.reindex(*self._kept(model), progress))

    async def areindex(self, model: type[MappedModel], *, progress: Progress | None = None) -> int:
        """Build what is kept of all rows as the class declares it now, take away what it no longer does, and return how many rows.

        For a class whose indexes or unique fields were changed. The application may run meanwhile, as long as all its processes know
        the new class; no concurrent write is lost. It goes in steps, takes arguments and raises errors as `check` does.
        """
        return await self.arun(checking.reindex(*self._kept(model), progress))

    def sweep(self, model: type[MappedModel], *, progress: Progress | None = None) -> int:
        """Take away what the rows that have expired by now left behind in indexes and memos, and return how many rows.

        Three round trips for every 250 rows. A row that lives on, since somebody gave it another deadline by hand, is settled by that.

        Args:
            progress: Is called after each step with how many rows were swept, and of how many.

        Raises:
            SessionError: The class has a database of its own, which is another.
            ConcurrentUpdateError: One row was changed every time it was looked at.
        """
        return self.run(sweeping.sweep_all(*self._kept(model), progress))

    async def asweep(self, model: type[MappedModel], *, progress: Progress | None = None) -> int:
        """Take away what the rows that have expired by now left behind in indexes and memos, and return how many rows.

        Three round trips for every 250 rows. A row that lives on, since somebody gave it another deadline by hand, is settled by that.

        Args:
            progress: Is called after each step with how many rows were swept, and of how many.

        Raises:
            SessionError: The class has a database of its own, which is another.
            ConcurrentUpdateError: One row was changed every time it was looked at.
        """
        return await self.arun(sweeping.sweep_all(*self._kept(model), progress))

    def _kept(self, model: type[MappedModel]) -> tuple[Mapper[Any], Keyspace]:
        mapper = mapper_of(model)
        own = mapper.options.database
        if own is not None and own is not self:
            raise SessionError(f"{model.__name__} has a database of its own, {own!r}: call this there, not on {self!r}", model=model)
        return mapper, mapper.keyspace(self.namespace)


def connect(
    url: str | None = None,
    *,
    namespace: str = "",
    client: Client | None = None,
    async_client: AsyncClient | None = None,
    max_connections: int = 50,
    pool_timeout: float = 5,
    timeout: float | None = 5,
    **options: Any,
) -> Database:
    """Open a `Database`, with the same arguments, and make it the default. One that was the default before stays open."""
    database = Database(
        url,
        namespace=namespace,
        client=client,
        async_client=async_client,
        max_connections=max_connections,
        pool_timeout=pool_timeout,
        timeout=timeout,
        **options,
    )
    default.set(database)
    return database


def default_database() -> Database:
    """Return the default `Database`, connecting as `connect()` would where there is none."""
    return default.get()


default = Default(Database)
"""The default `Database` of the process."""

"""What every awaited handle does alike: it performs flows on its database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Concatenate, ParamSpec, TypeVar, cast

from redisorm.commands import Flow
from redisorm.database import Database, default_database
from redisorm.flows.structures import typed
from redisorm.flows.structures.typed import TypedKey, Write
from redisorm.unitofwork.handles import Handle, Refresh

__all__ = ["Structure"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Structure(Handle[T]):
    """A typed handle on one Redis key. It sends nothing until a method is called.

    As a field of a model, `followers: RedisSet[int] = Field(init=False)`, it means a key beside the object's row. While the object
    belongs to an open session, writes wait for its commit and return `None`, and what needs an answer is a `SessionError`.

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    def __init__(
        self, key: str, *, db: Database | None = None, ttl: float | timedelta | None = None, ttl_refresh: Refresh = "write"
    ) -> None:
        super().__init__(key, db=db, ttl=ttl, ttl_refresh=ttl_refresh)

    def _database(self) -> Database:
        database: Database | None = self._home()
        return default_database() if database is None else database

    async def _ask(self, flow: Callable[Concatenate[TypedKey[T], P], Flow[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Perform a flow that reads."""
        database = self._database()
        key = self._typed_key(database.namespace)
        return await database.arun(typed.typed([key], flow(key, *args, **kwargs)))

    async def _act(self, flow: Callable[Concatenate[TypedKey[T], P], Flow[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Perform a flow that writes what its replies decide."""
        if self._session is not None:
            raise self._unanswered()
        return await self._ask(flow, *args, **kwargs)

    async def _write(self, write: Callable[Concatenate[TypedKey[T], P], Write[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Perform a write, or leave it to the commit of the session that the object of the handle belongs to."""
        session = self._session
        if session is not None:
            return cast("R", self._noted(session, lambda key: write(key, *args, **kwargs)))
        database = self._database()
        key = self._typed_key(database.namespace)
        made = write(key, *args, **kwargs)
        return await database.arun(typed.typed([key, *made.others], typed.apply(key, made)))

    async def exists(self) -> bool:
        """Tell whether the key is there; one that holds no item never is. EXISTS, O(1)."""
        return await self._ask(typed.exists)

    async def delete(self) -> bool:
        """Remove the key and all it holds; tell whether it was there. UNLINK under WATCH, O(1); two round trips.

        Raises:
            WrongTypeError: The key is of another type; it was left alone.
        """
        return await self._write(typed.delete)

    async def expire(self, ttl: float | timedelta | None) -> bool:
        """Give the key a life, in seconds, or none with `None`; tell whether it was there. PEXPIRE or PERSIST, O(1); two round trips.

        Raises:
            ValueError: The life is zero or less.
            SessionError: It is a field, and lives as long as its object.
            WrongTypeError: The key is of another type; it was left alone.
        """
        if self._obj is not None:
            raise self._lives_with_its_object()
        return await self._write(typed.expire, ttl)

    async def time_to_live(self) -> timedelta | None:
        """Ask how long the key will live; `None` for ever, and where there is none. PTTL, O(1)."""
        return await self._ask(typed.time_to_live)

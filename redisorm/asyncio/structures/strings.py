"""The awaited value and counter."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, TypeVar

from redisorm.database import Database
from redisorm.flows.structures import strings
from redisorm.flows.structures.queues import UNSAID
from redisorm.flows.structures.strings import Only, Ttl
from redisorm.flows.structures.typed import RedisType
from redisorm.unitofwork.handles import Refresh

from .base import Structure

__all__ = ["AsyncRedisCounter", "AsyncRedisValue"]

T = TypeVar("T")


class AsyncRedisValue(Structure[T]):
    """One typed value under a Redis key.

    ::

        token = AsyncRedisValue[str]("session:abc", ttl=3600)
        await token.set("user_id=1")              # SET session:abc user_id=1 GET PX 3600000

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long each value that is set lives, in seconds; `None` for ever.
    """

    kind: ClassVar[RedisType] = "string"

    def __init__(self, key: str, *, db: Database | None = None, ttl: float | timedelta | None = None) -> None:
        super().__init__(key, db=db, ttl=ttl)

    async def get(self) -> T | None:
        """Return the value; `None` where there is none. GET, O(1).

        Raises:
            DecodeError: What is stored does not fit the type.
        """
        return await self._ask(strings.get)

    async def set(self, value: T, *, ttl: Ttl = UNSAID, only: Only | None = None, keep_ttl: bool = False) -> bool:
        """Set the value with its life, in one step; tell whether it was set. SET with GET, which refuses a key of another type, O(1).

        Args:
            ttl: Its life in seconds instead of that of the handle; `None` for ever.
            only: `"new"`: only where there is none; `"existing"`: only where there is one.
            keep_ttl: Leave the life as it is.

        Raises:
            ValidationError: The value does not fit the type. Nothing was sent.
        """
        return await self._write(strings.set_value, value, ttl, only, keep=keep_ttl)

    async def get_and_set(self, value: T, *, ttl: Ttl = UNSAID, keep_ttl: bool = False) -> T | None:
        """Set the value and return the one before it, in one step. SET with GET, O(1)."""
        return await self._write(strings.get_and_set, value, ttl, keep=keep_ttl)

    async def get_and_delete(self) -> T | None:
        """Return the value and remove it, in one step: only one of many callers gets it. GETDEL, O(1)."""
        return await self._write(strings.get_and_delete)

    async def get_and_refresh(self, ttl: Ttl = UNSAID) -> T | None:
        """Return the value and restart its life, in one step. GETEX, O(1).

        Args:
            ttl: Its life in seconds instead of that of the handle; `None` for ever.
        """
        return await self._write(strings.get_and_refresh, ttl)

    async def compare_and_set(self, expected: T | None, value: T, *, ttl: Ttl = UNSAID, keep_ttl: bool = False) -> bool:
        """Set the value only where it equals what was expected, `None` for none; tell whether. GET and SET under WATCH; two round trips."""
        return await self._act(strings.compare_and_set, expected, value, ttl, keep=keep_ttl)

    async def delete(self) -> bool:
        """Remove the value; tell whether there was one. GETDEL, which refuses a key of another type, O(1)."""
        return await self._write(strings.delete)


class AsyncRedisCounter(Structure[int]):
    """An integer that many processes count with.

    ::

        hits = AsyncRedisCounter("hits:today", ttl=86_400)
        await hits.increment()                    # SET hits:today 0 PX 86400000 NX · INCRBY hits:today 1

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long it counts before it begins anew, in seconds; `None` for ever.
        ttl_refresh: `"never"`: the life begins with the first count; `"write"`: each count restarts it.
    """

    kind: ClassVar[RedisType] = "string"

    def __init__(
        self, key: str, *, db: Database | None = None, ttl: float | timedelta | None = None, ttl_refresh: Refresh = "never"
    ) -> None:
        super().__init__(key, db=db, ttl=ttl, ttl_refresh=ttl_refresh)

    async def get(self) -> int:
        """Return the number, 0 where it was never counted. GET, O(1).

        Raises:
            DecodeError: What is stored is no integer.
        """
        return await self._ask(strings.count)

    async def increment(self, by: int = 1) -> int:
        """Add to the number, with its life in the same step, and return the new one. INCRBY, O(1).

        Raises:
            CommitUnknownError: The answer was lost: it was counted once or not at all.
            DecodeError: What is stored is no integer.
        """
        return await self._write(strings.add, by)

    async def decrement(self, by: int = 1) -> int:
        """Take from the number, as `increment` adds to it. INCRBY, O(1)."""
        return await self._write(strings.add, -by)

    async def increment_within(self, by: int = 1, *, low: int | None = None, high: int | None = None) -> int | None:
        """Add to the number only where the new one lies within bounds, both included; it, or `None` where nothing was changed.

        INCRBY under WATCH: two round trips.
        """
        return await self._act(strings.add_within, by, low, high)

    async def set(self, value: int) -> int:
        """Set the number with its life and return the one before it, in one step. SET with GET, O(1)."""
        return await self._write(strings.set_count, value)

    async def compare_and_set(self, expected: int, value: int) -> bool:
        """Set the number only where it is what was expected; tell whether. GET and SET under WATCH; two round trips."""
        return await self._act(strings.swap_count, expected, value)

    async def reset(self) -> int:
        """Count from 0 again and return the number before it, in one step. GETDEL, O(1)."""
        return await self._write(strings.reset)

    async def delete(self) -> bool:
        """Remove the number; tell whether there was one. GETDEL, which refuses a key of another type, O(1)."""
        return await self._write(strings.delete)

"""The awaited dict."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar, Generic, TypeVar, overload

from redisorm.flows.structures import dicts
from redisorm.flows.structures.queues import UNSAID
from redisorm.flows.structures.typed import RedisType

from .base import Structure

__all__ = ["AsyncRedisDict"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class AsyncRedisDict(Structure[V], Generic[K, V]):
    """A Redis hash as a dict of typed keys and values whose methods are awaited.

    ::

        settings = AsyncRedisDict[str, int]("settings")
        await settings.set("x", 1)          # HSET settings x 1

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "hash"

    # ---- reading ----------------------------------------------------------------------------------------------------------

    async def size(self) -> int:
        """Count the entries. HLEN, O(1)."""
        return await self._ask(dicts.size)

    @overload
    async def get(self, key: object) -> V | None: ...
    @overload
    async def get(self, key: object, default: V) -> V: ...
    @overload
    async def get(self, key: object, default: D) -> V | D: ...
    async def get(self, key: object, default: Any = None) -> Any:
        """Return the value of a key, or the default where it has none. HGET, O(1)."""
        return await self._ask(dicts.get, key, default)

    async def get_many(self, keys: Iterable[object]) -> list[V | None]:
        """Return the values of keys in order; `None` for each that has none. HMGET, O(keys)."""
        return await self._ask(dicts.get_many, keys)

    async def contains(self, key: object) -> bool:
        """Tell whether a key has a value. HEXISTS, O(1)."""
        return await self._ask(dicts.contains, key)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    async def set(self, key: K, value: V) -> None:
        """Set the value of a key. HSET, O(1).

        Raises:
            ValidationError: The key or the value does not fit its type. Nothing was sent.
        """
        await self._write(dicts.set_item, key, value)

    async def update(self, other: Any = (), /, **values: V) -> None:
        """Set many values in one step, from a mapping or from pairs. HSET, O(entries)."""
        await self._write(dicts.update, other, values)

    async def setdefault(self, key: K, default: V = None) -> V:  # type: ignore[assignment]
        """Return the value of a key, setting it first where it has none. HSETNX and HGET in one transaction, O(1)."""
        return await self._write(dicts.set_default, key, default)

    async def increment(self, key: K, by: Any = 1) -> V:
        """Add to the number of a key, 0 where it has none, and return the new one. HGET and HSET under WATCH; two round trips.

        Computed here, so that floats and Decimals are exact and constraints of the type hold.

        Raises:
            ValidationError: The new number does not fit the type. Nothing was written.
            TypeError: The value is no number.
        """
        return await self._act(dicts.increment, key, by)

    async def remove(self, key: object) -> None:
        """Remove a key. HDEL, O(1).

        Raises:
            KeyError: It has no value.
        """
        await self._write(dicts.drop, key)

    async def discard(self, *keys: object) -> int:
        """Remove keys; how many had a value. HDEL, O(keys)."""
        return await self._write(dicts.remove, *keys)

    @overload
    async def pop(self, key: object) -> V: ...
    @overload
    async def pop(self, key: object, default: V) -> V: ...
    @overload
    async def pop(self, key: object, default: D) -> V | D: ...
    async def pop(self, key: object, default: Any = UNSAID) -> Any:
        """Remove a key and return its value; without a default a `KeyError` where it has none. HGET and HDEL in one transaction."""
        return await self._write(dicts.pop, key, default)

    async def popitem(self) -> tuple[K, V]:
        """Remove and return any entry. HRANDFIELD and HDEL under WATCH; two round trips.

        Raises:
            KeyError: The dict is empty.
        """
        return await self._act(dicts.pop_item)

    async def clear(self) -> None:
        """Remove all entries. UNLINK under WATCH, O(1)."""
        await self.delete()

    async def keys(self) -> list[K]:
        """The keys, in no order. HSCAN in steps of about 1,000."""
        return list(await self.copy())

    async def items(self) -> list[tuple[K, V]]:
        """The entries, in no order. HSCAN in steps of about 1,000."""
        return list((await self.copy()).items())

    async def values(self) -> list[V]:
        """The values, in no order. HSCAN in steps of about 1,000."""
        return list((await self.copy()).values())

    async def copy(self) -> dict[K, V]:
        """Return everything as a plain dict. HSCAN in steps of about 1,000: not a snapshot where others write meanwhile."""
        return await self._ask(dicts.items)

    async def __aiter__(self) -> AsyncIterator[K]:
        cursor = 0
        while True:
            cursor, batch = await self._ask(dicts.scan, cursor)
            for key, _ in batch:
                yield key
            if not cursor:
                return

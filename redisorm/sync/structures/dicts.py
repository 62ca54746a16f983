"""The blocking dict."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

from typing_extensions import Self

from redisorm.flows.structures import dicts
from redisorm.flows.structures.queues import UNSAID
from redisorm.flows.structures.typed import RedisType

from .base import Structure
from .mappings import Entries, Values

__all__ = ["RedisDict"]

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class RedisDict(Structure[V], MutableMapping[K, V], Generic[K, V]):
    """A Redis hash as a Python dict of typed keys and values.

    ::

        settings = RedisDict[str, int]("settings")
        settings["x"] = 1                   # HSET settings x 1

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "hash"

    # ---- reading ----------------------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Count the entries. HLEN, O(1)."""
        return self._ask(dicts.size)

    @overload
    def get(self, key: object) -> V | None: ...
    @overload
    def get(self, key: object, default: V) -> V: ...
    @overload
    def get(self, key: object, default: D) -> V | D: ...
    def get(self, key: object, default: Any = None) -> Any:
        """Return the value of a key, or the default where it has none. HGET, O(1)."""
        return self._ask(dicts.get, key, default)

    def get_many(self, keys: Iterable[object]) -> list[V | None]:
        """Return the values of keys in order; `None` for each that has none. HMGET, O(keys)."""
        return self._ask(dicts.get_many, keys)

    def contains(self, key: object) -> bool:
        """Tell whether a key has a value. HEXISTS, O(1)."""
        return self._ask(dicts.contains, key)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    def set(self, key: K, value: V) -> None:
        """Set the value of a key. HSET, O(1).

        Raises:
            ValidationError: The key or the value does not fit its type. Nothing was sent.
        """
        self._write(dicts.set_item, key, value)

    def update(self, other: Any = (), /, **values: V) -> None:
        """Set many values in one step, from a mapping or from pairs. HSET, O(entries)."""
        self._write(dicts.update, other, values)

    def setdefault(self, key: K, default: V = None) -> V:  # type: ignore[assignment]
        """Return the value of a key, setting it first where it has none. HSETNX and HGET in one transaction, O(1)."""
        return self._write(dicts.set_default, key, default)

    def increment(self, key: K, by: Any = 1) -> V:
        """Add to the number of a key, 0 where it has none, and return the new one. HGET and HSET under WATCH; two round trips.

        Computed here, so that floats and Decimals are exact and constraints of the type hold.

        Raises:
            ValidationError: The new number does not fit the type. Nothing was written.
            TypeError: The value is no number.
        """
        return self._act(dicts.increment, key, by)

    def remove(self, key: object) -> None:
        """Remove a key. HDEL, O(1).

        Raises:
            KeyError: It has no value.
        """
        self._write(dicts.drop, key)

    def discard(self, *keys: object) -> int:
        """Remove keys; how many had a value. HDEL, O(keys)."""
        return self._write(dicts.remove, *keys)

    @overload
    def pop(self, key: object) -> V: ...
    @overload
    def pop(self, key: object, default: V) -> V: ...
    @overload
    def pop(self, key: object, default: D) -> V | D: ...
    def pop(self, key: object, default: Any = UNSAID) -> Any:
        """Remove a key and return its value; without a default a `KeyError` where it has none. HGET and HDEL in one transaction."""
        return self._write(dicts.pop, key, default)

    def popitem(self) -> tuple[K, V]:
        """Remove and return any entry. HRANDFIELD and HDEL under WATCH; two round trips.

        Raises:
            KeyError: The dict is empty.
        """
        return self._act(dicts.pop_item)

    def clear(self) -> None:
        """Remove all entries. UNLINK under WATCH, O(1)."""
        self.delete()

    # ---- as a Python dict -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.size()

    def __getitem__(self, key: object) -> V:
        return cast("V", self._ask(dicts.get, key))

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: object) -> None:
        self.remove(key)

    def __contains__(self, key: object) -> bool:
        return self.contains(key)

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self._walk())

    def items(self) -> ItemsView[K, V]:
        """The entries, in no order. HSCAN in steps of about 1,000."""
        return Entries(self)

    def values(self) -> ValuesView[V]:
        """The values, in no order. HSCAN in steps of about 1,000."""
        return Values(self)

    def copy(self) -> dict[K, V]:
        """Return everything as a plain dict. HSCAN in steps of about 1,000: not a snapshot where others write meanwhile."""
        return self._ask(dicts.items)

    def _walk(self) -> Iterator[tuple[K, V]]:
        cursor = 0
        while True:
            cursor, batch = self._ask(dicts.scan, cursor)
            yield from batch
            if not cursor:
                return

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**self.copy(), **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**other, **self.copy()} if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return len(self) == len(other) and self.copy() == dict(other.items())

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

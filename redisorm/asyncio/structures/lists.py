"""The awaited list and queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, overload

from redisorm.database import Database
from redisorm.flows.structures import lists, queues
from redisorm.flows.structures.lists import Side
from redisorm.flows.structures.queues import UNSAID, Wait
from redisorm.flows.structures.typed import RedisType
from redisorm.unitofwork.handles import Refresh

from .base import Structure

__all__ = ["AsyncRedisList"]

T = TypeVar("T")


class AsyncRedisList(Structure[T]):
    """A Redis list as a list whose methods are awaited, and as a queue.

    ::

        queue = AsyncRedisList[str]("queue:jobs")
        await queue.push("paint", "dry")          # RPUSH queue:jobs paint dry
        await queue.pop_left(timeout=5)           # BLMPOP: first in, first out

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        maxlen: How many items it keeps: a push drops what is then too much at the other end.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "list"

    def __init__(
        self,
        key: str,
        *,
        db: Database | None = None,
        ttl: float | timedelta | None = None,
        maxlen: int | None = None,
        ttl_refresh: Refresh = "write",
    ) -> None:
        super().__init__(key, db=db, ttl=ttl, ttl_refresh=ttl_refresh)
        if maxlen is not None and maxlen < 1:
            raise ValueError(f"{type(self).__name__}({key!r}): maxlen {maxlen} must be 1 or more")
        self._maxlen = maxlen

    # ---- reading ----------------------------------------------------------------------------------------------------------

    async def size(self) -> int:
        """Count the items. LLEN, O(1)."""
        return await self._ask(lists.size)

    async def get(self, index: int) -> T:
        """Return one item. LINDEX, O(n) from the nearer end.

        Raises:
            IndexError: The list is shorter.
        """
        return await self._ask(lists.get, index)

    async def items(self, start: int | None = None, stop: int | None = None, step: int | None = None) -> list[T]:
        """Return the items of a slice, without arguments all of them. LRANGE, O(start + items); one round trip."""
        return await self._ask(lists.items, slice(start, stop, step))

    async def copy(self) -> list[T]:
        """Return all items. LRANGE, O(n); one round trip."""
        return await self.items()

    async def contains(self, value: object) -> bool:
        """Tell whether an item equals a value. LPOS, O(n)."""
        return await self._ask(lists.contains, value)

    async def count(self, value: object) -> int:
        """Count the items that equal a value. LPOS, O(n)."""
        return await self._ask(lists.count, value)

    async def index(self, value: object, start: int = 0, stop: int | None = None) -> int:
        """Return the first position of an item that equals a value. LPOS, O(n).

        Raises:
            ValueError: There is none.
        """
        return await self._ask(lists.find, value, start, stop)

    # ---- the ends ---------------------------------------------------------------------------------------------------------

    async def push(self, *values: T) -> int:
        """Put items at the right end, all in one step, and return the length after it. RPUSH, O(items).

        Raises:
            ValidationError: An item does not fit the type. Nothing was sent.
            CommitUnknownError: The answer was lost: all items were put there, or none.
        """
        return await self._write(lists.push, values, "right")

    async def push_left(self, *values: T) -> int:
        """Put items at the left end one after the other, so that the last one is the first then. LPUSH, O(items)."""
        return await self._write(lists.push, values, "left")

    @overload
    async def pop(self, index: int = -1) -> T: ...
    @overload
    async def pop(self, *, timeout: float | timedelta | None) -> T | None: ...
    @overload
    async def pop(self, *, count: int, timeout: Wait = ...) -> list[T]: ...
    async def pop(self, index: int = -1, *, timeout: Wait = UNSAID, count: int | None = None) -> Any:
        """Take an item from the right end, or from a position, as a list does. RPOP or LPOP, O(1); else two round trips, O(n).

        Args:
            index: The position. Only the right end can be waited for.
            timeout: How long to wait for an item, in seconds; `None` is for ever, 0 not at all. The result is `None` where
                none came. BLMPOP; while it waits it has a connection of its own, beside the pool.
            count: Take up to so many, in the order they leave the list; the result is a list, empty where none came.

        Raises:
            IndexError: The list is empty or shorter, and neither `timeout` nor `count` was given.
            CommitUnknownError: The answer was lost: an item may have been taken and is lost with it. `move` keeps it.
            DecodeError: A taken item does not fit the type; its text is the error's `value`.
        """
        return await self._act(queues.pop, index, timeout, count, self._token())

    @overload
    async def pop_left(self) -> T: ...
    @overload
    async def pop_left(self, *, timeout: float | timedelta | None) -> T | None: ...
    @overload
    async def pop_left(self, *, count: int, timeout: Wait = ...) -> list[T]: ...
    async def pop_left(self, *, timeout: Wait = UNSAID, count: int | None = None) -> Any:
        """Take an item from the left end, as `pop` does from the right: with `push`, first in, first out. LPOP or BLMPOP, O(1)."""
        return await self._act(queues.pop_left, timeout, count)

    async def move(self, target: AsyncRedisList[T], *, take: Side = "left", put: Side = "right", timeout: Wait = UNSAID) -> T | None:
        """Move an item to the end of another list, atomically, and return it; `None` where there is none. LMOVE or BLMOVE, O(1).

        For work that must not get lost: move it to a list of work in progress, and `remove` it there when it is done.

        Args:
            target: The other list, or this one, on the same database.
            take: The end it is taken from.
            put: The end it is put at.
            timeout: How long to wait for an item, in seconds; `None` is for ever. Without it nothing is waited for.

        Raises:
            ValueError: The other list is on another database, or cannot be waited with since it has a `maxlen` or a `ttl`.
            DecodeError: The item does not fit the type; it is in the other list.
        """
        return await self._act(queues.move, self._on_server(target), take, put, timeout)

    # ---- positions --------------------------------------------------------------------------------------------------------

    async def set(self, index: int, value: T) -> None:
        """Put an item in the place of another. LSET, O(n) from the nearer end.

        Raises:
            IndexError: The list is shorter.
        """
        await self._act(lists.set_at, index, value)

    async def insert(self, index: int, value: T) -> None:
        """Put an item before a position, as a list does. LINSERT under WATCH, O(n); two round trips."""
        await self._act(lists.insert, index, value, self._token())

    async def append(self, value: T) -> None:
        """Put an item at the right end. RPUSH, O(1)."""
        await self._write(lists.push, (value,), "right")

    async def extend(self, values: Iterable[T]) -> None:
        """Put items at the right end, all in one step. RPUSH, O(items)."""
        await self._write(lists.push, values, "right")

    async def remove(self, value: object) -> None:
        """Take out the first item that equals a value. LREM, O(n).

        Raises:
            ValueError: There is none.
        """
        await self._write(lists.remove, value)

    async def trim(self, start: int | None = None, stop: int | None = None) -> None:
        """Keep only the items of a slice. LTRIM, O(items removed)."""
        await self._write(lists.trim, slice(start, stop))

    async def reverse(self) -> None:
        """Reverse the order. Reads and writes the whole list under WATCH, O(n); two round trips."""
        await self._act(lists.rewrite, lists.reversed_order)

    async def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Sort as `list.sort` does. Reads and writes the whole list under WATCH, O(n log n); two round trips."""
        await self._act(lists.rewrite, lists.sorted_order(key, reverse))

    async def clear(self) -> None:
        """Remove all items. LTRIM, O(n)."""
        await self._write(lists.clear)

    async def __aiter__(self) -> AsyncIterator[T]:
        start = 0
        while batch := await self._ask(lists.batch, start):
            for value in batch:
                yield value
            start += len(batch)

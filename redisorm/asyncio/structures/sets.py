"""The awaited set."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar, TypeVar, overload

from redisorm.flows.structures import sets
from redisorm.flows.structures.sets import Combination
from redisorm.flows.structures.typed import RedisType

from .base import Structure

__all__ = ["AsyncRedisSet"]

T = TypeVar("T")


class AsyncRedisSet(Structure[T]):
    """A Redis set as a set whose methods are awaited.

    ::

        tags = AsyncRedisSet[str]("tags:post:1")
        await tags.add("python")                  # SADD tags:post:1 python
        await tags.intersection(other)      # SINTER, where the other is a AsyncRedisSet of the same database

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "set"

    # ---- reading ----------------------------------------------------------------------------------------------------------

    async def size(self) -> int:
        """Count the members. SCARD, O(1)."""
        return await self._ask(sets.size)

    async def contains(self, value: object) -> bool:
        """Tell whether a value is a member. SISMEMBER, O(1)."""
        return await self._ask(sets.contains, value)

    async def contains_many(self, values: Iterable[object]) -> list[bool]:
        """Tell of each value whether it is a member. SMISMEMBER, O(values)."""
        return await self._ask(sets.which, values)

    async def items(self) -> set[T]:
        """Return all members. SSCAN in steps of about 1,000, O(n): not a snapshot where others write meanwhile."""
        return await self._ask(sets.members)

    async def copy(self) -> set[T]:
        """Return all members, as `items` does. SSCAN, O(n)."""
        return await self.items()

    async def sample(self, count: int = 1) -> list[T]:
        """Return so many different members at random, or all where there are fewer. SRANDMEMBER, O(count)."""
        return await self._ask(sets.sample, count)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    async def add(self, value: T) -> bool:
        """Take a value in; tell whether it is new. SADD, O(1).

        Raises:
            ValidationError: It does not fit the type. Nothing was sent.
        """
        return await self._write(sets.add, value)

    async def update(self, *others: Iterable[T]) -> int:
        """Take in all values, in one step; how many are new. SADD, O(values). See `|=` for a set on the same server."""
        return await self._write(sets.update, *others)

    async def discard(self, value: object) -> bool:
        """Remove a value; tell whether it was a member. SREM, O(1)."""
        return await self._write(sets.discard, value)

    async def remove(self, value: object) -> None:
        """Remove a member. SREM, O(1).

        Raises:
            KeyError: It is none.
        """
        await self._write(sets.remove, value)

    async def remove_many(self, values: Iterable[object]) -> int:
        """Remove values, in one step; how many were members. SREM, O(values)."""
        return await self._write(sets.take, values)

    @overload
    async def pop(self) -> T: ...
    @overload
    async def pop(self, count: int) -> set[T]: ...
    async def pop(self, count: int | None = None) -> Any:
        """Take out a member at random, or with a count up to so many as a set. SPOP, O(1) each.

        Raises:
            KeyError: The set is empty, and no count was given.
            CommitUnknownError: The answer was lost, and perhaps the member with it.
        """
        return await self._write(sets.pop, count)

    async def move(self, value: object, target: AsyncRedisSet[T]) -> bool:
        """Move a member to another set, atomically; tell whether it was one. SMOVE, O(1)."""
        return await self._act(sets.move, self._on_server(target), value)

    async def clear(self) -> None:
        """Remove all members. UNLINK, O(1)."""
        await self.delete()

    # ---- algebra ----------------------------------------------------------------------------------------------------------

    async def intersection(self, *others: Iterable[Any]) -> set[T]:
        """Return the members that are in all others too. SINTER, O(n · sets); SMISMEMBER, O(values), with plain ones alone."""
        return await self._combined("SINTER", others)

    async def union(self, *others: Iterable[Any]) -> set[T]:
        """Return the members of any of them. SUNION, O(n)."""
        return await self._combined("SUNION", others)

    async def difference(self, *others: Iterable[Any]) -> set[T]:
        """Return the members that are in none of the others. SDIFF, O(n)."""
        return await self._combined("SDIFF", others)

    async def symmetric_difference(self, other: Iterable[Any]) -> set[T]:
        """Return what is in one of the two only. SDIFF both ways in one transaction, O(n)."""
        return await self._ask(sets.symmetric_difference, self._peer(other), other)

    async def intersection_store(self, target: AsyncRedisSet[T], *others: AsyncRedisSet[Any]) -> int:
        """Put the intersection in the place of another set's members; its size. SINTERSTORE under WATCH, O(n · sets).

        The target keeps its deadline, or gets that of its `ttl`. Nothing travels to the client.

        Raises:
            ValueError: A set is on another database.
            WrongTypeError: The target's key is of another type; it was left alone.
        """
        return await self._stored("SINTER", target, others)

    async def union_store(self, target: AsyncRedisSet[T], *others: AsyncRedisSet[Any]) -> int:
        """Put the union in the place of another set's members, as `intersection_store` does. SUNIONSTORE, O(n)."""
        return await self._stored("SUNION", target, others)

    async def difference_store(self, target: AsyncRedisSet[T], *others: AsyncRedisSet[Any]) -> int:
        """Put the difference in the place of another set's members, as `intersection_store` does. SDIFFSTORE, O(n)."""
        return await self._stored("SDIFF", target, others)

    async def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep only the members that are in all others too. SINTERSTORE, or SMEMBERS and SREM with plain ones; under WATCH."""
        if all(self._peer(other) for other in others):
            await self._stored("SINTER", self, others)
        else:
            await self._act(sets.keep, others)

    async def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members that are in another. SDIFFSTORE under WATCH, or SREM of plain ones."""
        if others and all(self._peer(other) for other in others):
            await self._stored("SDIFF", self, others)
        else:
            await self._write(sets.take, *others)

    async def symmetric_difference_update(self, other: Iterable[T]) -> None:
        """Remove what is in both and take in what is in the other only. SREM and SADD under WATCH, O(n)."""
        await self._act(sets.symmetric_update, self._peer(other), other)

    async def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Tell whether no member is in the other. SINTERCARD with LIMIT 1, or SMISMEMBER."""
        return await self._ask(sets.is_disjoint, self._peer(other), other)

    async def issubset(self, other: Iterable[Any]) -> bool:
        """Tell whether all members are in the other. SCARD and SINTERCARD, or SMISMEMBER; in one transaction."""
        return await self._ask(sets.is_subset, self._peer(other), other)

    async def issuperset(self, other: Iterable[Any]) -> bool:
        """Tell whether all of the other are members. SCARD and SINTERCARD, or SMISMEMBER; in one transaction."""
        return await self._ask(sets.is_superset, self._peer(other), other)

    async def _combined(self, command: Combination, others: tuple[Iterable[Any], ...]) -> set[T]:
        peers = [peer for other in others if (peer := self._peer(other)) is not None]
        return await self._ask(sets.combine, command, peers, [other for other in others if self._peer(other) is None])

    async def _stored(self, command: Combination, target: AsyncRedisSet[Any], others: Iterable[Any]) -> int:
        return await self._act(sets.store, command, self._on_server(target), [self._on_server(other) for other in others])

    async def __aiter__(self) -> AsyncIterator[T]:
        cursor = 0
        while True:
            cursor, batch = await self._ask(sets.scan, cursor)
            for value in batch:
                yield value
            if not cursor:
                return

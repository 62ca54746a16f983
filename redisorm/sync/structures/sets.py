"""The blocking set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, TypeVar, overload

from typing_extensions import Self

from redisorm.flows.structures import sets
from redisorm.flows.structures.sets import Combination
from redisorm.flows.structures.typed import RedisType

from .base import Structure

__all__ = ["RedisSet"]

T = TypeVar("T")


class RedisSet(Structure[T], MutableSet[T]):
    """A Redis set as a Python set.

    ::

        tags = RedisSet[str]("tags:post:1")
        tags.add("python")                  # SADD tags:post:1 python
        tags & other                        # SINTER, where the other is a RedisSet of the same database

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "set"

    # ---- reading ----------------------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Count the members. SCARD, O(1)."""
        return self._ask(sets.size)

    def contains(self, value: object) -> bool:
        """Tell whether a value is a member. SISMEMBER, O(1)."""
        return self._ask(sets.contains, value)

    def contains_many(self, values: Iterable[object]) -> list[bool]:
        """Tell of each value whether it is a member. SMISMEMBER, O(values)."""
        return self._ask(sets.which, values)

    def items(self) -> set[T]:
        """Return all members. SSCAN in steps of about 1,000, O(n): not a snapshot where others write meanwhile."""
        return self._ask(sets.members)

    def copy(self) -> set[T]:
        """Return all members, as `items` does. SSCAN, O(n)."""
        return self.items()

    def sample(self, count: int = 1) -> list[T]:
        """Return so many different members at random, or all where there are fewer. SRANDMEMBER, O(count)."""
        return self._ask(sets.sample, count)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    def add(self, value: T) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - a set tells nothing
        """Take a value in; tell whether it is new. SADD, O(1).

        Raises:
            ValidationError: It does not fit the type. Nothing was sent.
        """
        return self._write(sets.add, value)

    def update(self, *others: Iterable[T]) -> int:
        """Take in all values, in one step; how many are new. SADD, O(values). See `|=` for a set on the same server."""
        return self._write(sets.update, *others)

    def discard(self, value: object) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Remove a value; tell whether it was a member. SREM, O(1)."""
        return self._write(sets.discard, value)

    def remove(self, value: object) -> None:
        """Remove a member. SREM, O(1).

        Raises:
            KeyError: It is none.
        """
        self._write(sets.remove, value)

    def remove_many(self, values: Iterable[object]) -> int:
        """Remove values, in one step; how many were members. SREM, O(values)."""
        return self._write(sets.take, values)

    @overload
    def pop(self) -> T: ...
    @overload
    def pop(self, count: int) -> set[T]: ...
    def pop(self, count: int | None = None) -> Any:
        """Take out a member at random, or with a count up to so many as a set. SPOP, O(1) each.

        Raises:
            KeyError: The set is empty, and no count was given.
            CommitUnknownError: The answer was lost, and perhaps the member with it.
        """
        return self._write(sets.pop, count)

    def move(self, value: object, target: RedisSet[T]) -> bool:
        """Move a member to another set, atomically; tell whether it was one. SMOVE, O(1)."""
        return self._act(sets.move, self._on_server(target), value)

    def clear(self) -> None:
        """Remove all members. UNLINK, O(1)."""
        self.delete()

    # ---- algebra ----------------------------------------------------------------------------------------------------------

    def intersection(self, *others: Iterable[Any]) -> set[T]:
        """Return the members that are in all others too. SINTER, O(n · sets); SMISMEMBER, O(values), with plain ones alone."""
        return self._combined("SINTER", others)

    def union(self, *others: Iterable[Any]) -> set[T]:
        """Return the members of any of them. SUNION, O(n)."""
        return self._combined("SUNION", others)

    def difference(self, *others: Iterable[Any]) -> set[T]:
        """Return the members that are in none of the others. SDIFF, O(n)."""
        return self._combined("SDIFF", others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[T]:
        """Return what is in one of the two only. SDIFF both ways in one transaction, O(n)."""
        return self._ask(sets.symmetric_difference, self._peer(other), other)

    def intersection_store(self, target: RedisSet[T], *others: RedisSet[Any]) -> int:
        """Put the intersection in the place of another set's members; its size. SINTERSTORE under WATCH, O(n · sets).

        The target keeps its deadline, or gets that of its `ttl`. Nothing travels to the client.

        Raises:
            ValueError: A set is on another database.
            WrongTypeError: The target's key is of another type; it was left alone.
        """
        return self._stored("SINTER", target, others)

    def union_store(self, target: RedisSet[T], *others: RedisSet[Any]) -> int:
        """Put the union in the place of another set's members, as `intersection_store` does. SUNIONSTORE, O(n)."""
        return self._stored("SUNION", target, others)

    def difference_store(self, target: RedisSet[T], *others: RedisSet[Any]) -> int:
        """Put the difference in the place of another set's members, as `intersection_store` does. SDIFFSTORE, O(n)."""
        return self._stored("SDIFF", target, others)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep only the members that are in all others too. SINTERSTORE, or SMEMBERS and SREM with plain ones; under WATCH."""
        if all(self._peer(other) for other in others):
            self._stored("SINTER", self, others)
        else:
            self._act(sets.keep, others)

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members that are in another. SDIFFSTORE under WATCH, or SREM of plain ones."""
        if others and all(self._peer(other) for other in others):
            self._stored("SDIFF", self, others)
        else:
            self._write(sets.take, *others)

    def symmetric_difference_update(self, other: Iterable[T]) -> None:
        """Remove what is in both and take in what is in the other only. SREM and SADD under WATCH, O(n)."""
        self._act(sets.symmetric_update, self._peer(other), other)

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Tell whether no member is in the other. SINTERCARD with LIMIT 1, or SMISMEMBER."""
        return self._ask(sets.is_disjoint, self._peer(other), other)

    def issubset(self, other: Iterable[Any]) -> bool:
        """Tell whether all members are in the other. SCARD and SINTERCARD, or SMISMEMBER; in one transaction."""
        return self._ask(sets.is_subset, self._peer(other), other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Tell whether all of the other are members. SCARD and SINTERCARD, or SMISMEMBER; in one transaction."""
        return self._ask(sets.is_superset, self._peer(other), other)

    def _combined(self, command: Combination, others: tuple[Iterable[Any], ...]) -> set[T]:
        peers = [peer for other in others if (peer := self._peer(other)) is not None]
        return self._ask(sets.combine, command, peers, [other for other in others if self._peer(other) is None])

    def _stored(self, command: Combination, target: RedisSet[Any], others: Iterable[Any]) -> int:
        return self._act(sets.store, command, self._on_server(target), [self._on_server(other) for other in others])

    # ---- as a Python set --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.size()

    def __contains__(self, value: object) -> bool:
        return self.contains(value)

    def __iter__(self) -> Iterator[T]:
        cursor = 0
        while True:
            cursor, batch = self._ask(sets.scan, cursor)
            yield from batch
            if not cursor:
                return

    def __and__(self, other: AbstractSet[Any]) -> set[T]:
        return self.intersection(other) if isinstance(other, AbstractSet) else NotImplemented

    def __or__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.union(other) if isinstance(other, AbstractSet) else NotImplemented

    def __sub__(self, other: AbstractSet[Any]) -> set[T]:
        return self.difference(other) if isinstance(other, AbstractSet) else NotImplemented

    def __xor__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.symmetric_difference(other) if isinstance(other, AbstractSet) else NotImplemented

    __rand__ = __and__
    __ror__ = __or__
    __rxor__ = __xor__

    def __rsub__(self, other: AbstractSet[Any]) -> set[Any]:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        values = list(other)
        return {value for value, here in zip(values, self.contains_many(values), strict=True) if not here}

    def __iand__(self, other: AbstractSet[Any]) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ior__(self, other: AbstractSet[T]) -> Self:  # type: ignore[override,misc]
        if not isinstance(other, AbstractSet):
            return NotImplemented
        if self._peer(other):
            self._stored("SUNION", self, [self, other])
        else:
            self.update(other)
        return self

    def __isub__(self, other: AbstractSet[Any]) -> Self:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: AbstractSet[T]) -> Self:  # type: ignore[override,misc]
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    def __le__(self, other: AbstractSet[Any]) -> bool:
        return self.issubset(other) if isinstance(other, AbstractSet) else NotImplemented

    def __ge__(self, other: AbstractSet[Any]) -> bool:
        return self.issuperset(other) if isinstance(other, AbstractSet) else NotImplemented

    def __lt__(self, other: AbstractSet[Any]) -> bool:
        return self._ask(sets.is_subset, self._peer(other), other, proper=True) if isinstance(other, AbstractSet) else NotImplemented

    def __gt__(self, other: AbstractSet[Any]) -> bool:
        return self._ask(sets.is_superset, self._peer(other), other, proper=True) if isinstance(other, AbstractSet) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self._ask(sets.equals, self._peer(other), other) if isinstance(other, AbstractSet) else NotImplemented

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

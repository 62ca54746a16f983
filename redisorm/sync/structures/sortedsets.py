"""The blocking sorted set and leaderboard."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast, overload

from redisorm.flows.structures import sortedsets
from redisorm.flows.structures.queues import UNSAID, Wait
from redisorm.flows.structures.sortedsets import Only
from redisorm.flows.structures.typed import RedisType

from .base import Structure
from .mappings import Entries, Values

__all__ = ["RedisSortedSet"]

T = TypeVar("T")
D = TypeVar("D")


class RedisSortedSet(Structure[T], MutableMapping[T, float]):
    """A Redis sorted set as a mapping of member to score that iterates in ascending score order, and as a leaderboard.

    ::

        board = RedisSortedSet[str]("leaderboard")
        board["Alice"] = 1500               # ZADD leaderboard 1500 Alice
        board.increment("Alice", 50)        # ZINCRBY leaderboard 50 Alice
        board.top(3)                        # ZRANGE leaderboard 0 2 REV WITHSCORES

    Members with one score are ordered by the bytes of their texts; from the highest down the order is exactly the reverse.

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "zset"

    # ---- reading ----------------------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Count the members. ZCARD, O(1)."""
        return self._ask(sortedsets.size)

    @overload
    def get(self, member: object) -> float | None: ...
    @overload
    def get(self, member: object, default: float) -> float: ...
    @overload
    def get(self, member: object, default: D) -> float | D: ...
    def get(self, member: object, default: Any = None) -> Any:
        """Return the score of a member, or the default where it is none. ZSCORE, O(1)."""
        return self._ask(sortedsets.get, member, default)

    def get_many(self, members: Iterable[object]) -> list[float | None]:
        """Return the scores of members in order; `None` for each that is none. ZMSCORE, O(members)."""
        return self._ask(sortedsets.scores, members)

    def contains(self, member: object) -> bool:
        """Tell whether a value is a member. ZSCORE, O(1)."""
        return self._ask(sortedsets.contains, member)

    def top(self, n: int) -> list[tuple[T, float]]:
        """Return the `n` pairs with the highest scores, highest first. ZRANGE with REV, O(log N + n)."""
        return self._ask(sortedsets.ends, n, ascending=False)

    def bottom(self, n: int) -> list[tuple[T, float]]:
        """Return the `n` pairs with the lowest scores, lowest first. ZRANGE, O(log N + n)."""
        return self._ask(sortedsets.ends, n, ascending=True)

    def ranked(self, start: int | None = None, stop: int | None = None, *, ascending: bool = False) -> list[tuple[T, float]]:
        """Return the pairs of a slice of the ranks: a page of the leaderboard. ZRANGE, O(log N + pairs).

        Args:
            start: The first rank; 0 is the highest score, negative ones count from the other end.
            stop: The rank before which it ends; `None` for all.
            ascending: Rank 0 is the lowest score.
        """
        return self._ask(sortedsets.ranked, start, stop, ascending=ascending)

    def between(self, low: float, high: float, *, offset: int = 0, limit: int | None = None) -> list[tuple[T, float]]:
        """Return the pairs whose score is from `low` to `high`, both included, ascending. ZRANGE BYSCORE, O(log N + pairs)."""
        return self._ask(sortedsets.between, low, high, offset, limit)

    def count_between(self, low: float, high: float) -> int:
        """Count the members whose score is from `low` to `high`, both included. ZCOUNT, O(log N)."""
        return self._ask(sortedsets.count_between, low, high)

    def rank(self, member: object, *, ascending: bool = False) -> int | None:
        """Return the place of a member, 0 for the highest score, or with `ascending` the lowest; `None` for none. ZREVRANK, O(log N)."""
        return self._ask(sortedsets.rank, member, ascending=ascending)

    def around(self, member: object, n: int, *, ascending: bool = False) -> list[tuple[T, float]]:
        """Return a member with up to `n` neighbours on either side, highest first; empty where it is none.

        ZREVRANK, and then that again with ZRANGE in one transaction: two round trips, O(log N + n).
        """
        return self._ask(sortedsets.around, member, n, ascending=ascending)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    def set(self, member: T, score: float) -> None:
        """Set the score of a member, new or not. ZADD, O(log N).

        Raises:
            ValidationError: The member does not fit the type. Nothing was sent.
            ValueError: The score is NaN.
        """
        self._write(sortedsets.add, member, score, None)

    def add(self, member: T, score: float, *, only: Only | None = None) -> bool:
        """Set the score of a member where a condition holds; tell whether anything changed. ZADD, O(log N).

        Args:
            only: `"new"`: not where it is a member; `"existing"`: only there; `"higher"`, `"lower"`: new members, and others
                where the score would rise or fall.
        """
        return self._write(sortedsets.add, member, score, only)

    def update(self, other: Any = (), /, **scores: float) -> None:
        """Set many scores in one step, from a mapping or from pairs. ZADD, O(members · log N)."""
        self._write(sortedsets.update, other, scores)

    def increment(self, member: T, by: float = 1.0) -> float:
        """Add to the score of a member, 0 where it is new, and return the new one. ZINCRBY, O(log N)."""
        return self._write(sortedsets.increment, member, by)

    def setdefault(self, member: T, score: float = 0.0) -> float:  # pyright: ignore[reportIncompatibleMethodOverride] - None is no score
        """Return the score of a member, setting it first where it is new. ZADD NX and ZSCORE in one transaction, O(log N)."""
        return self._write(sortedsets.set_default, member, score)

    def remove(self, member: object) -> None:
        """Remove a member. ZREM, O(log N).

        Raises:
            KeyError: It is none.
        """
        self._write(sortedsets.drop, member)

    def discard(self, *members: object) -> int:
        """Remove values; how many were members. ZREM, O(values · log N)."""
        return self._write(sortedsets.remove, *members)

    def remove_between(self, low: float, high: float) -> int:
        """Remove the members whose score is from `low` to `high`, both included; how many. ZREMRANGEBYSCORE, O(log N + removed)."""
        return self._write(sortedsets.remove_between, low, high)

    def remove_ranks(self, start: int | None = None, stop: int | None = None, *, ascending: bool = False) -> int:
        """Remove a slice of the ranks, as `ranked` counts them; how many. `remove_ranks(100)` keeps the best 100.

        ZREMRANGEBYRANK, O(log N + removed).
        """
        return self._write(sortedsets.remove_ranks, start, stop, ascending=ascending)

    @overload
    def pop(self, member: object) -> float: ...
    @overload
    def pop(self, member: object, default: float) -> float: ...
    @overload
    def pop(self, member: object, default: D) -> float | D: ...
    def pop(self, member: object, default: Any = UNSAID) -> Any:
        """Remove a member and return its score; without a default a `KeyError` where it is none. ZSCORE and ZREM in one transaction."""
        return self._write(sortedsets.pop, member, default)

    def popitem(self) -> tuple[T, float]:
        """Remove and return the pair with the highest score. ZPOPMAX, O(log N).

        Raises:
            KeyError: The sorted set is empty.
        """
        return cast("tuple[T, float]", self._act(sortedsets.pop_end, "MAX", UNSAID, None))

    @overload
    def pop_lowest(self) -> tuple[T, float]: ...
    @overload
    def pop_lowest(self, *, timeout: float | timedelta | None) -> tuple[T, float] | None: ...
    @overload
    def pop_lowest(self, *, count: int, timeout: Wait = ...) -> list[tuple[T, float]]: ...
    def pop_lowest(self, *, timeout: Wait = UNSAID, count: int | None = None) -> Any:
        """Remove and return the pair with the lowest score: a queue by priority or by time. ZPOPMIN, O(log N).

        Args:
            timeout: How long to wait for one, in seconds; `None` is for ever, 0 not at all. The result is `None` where none
                came. BZMPOP; while it waits it has a connection of its own, beside the pool.
            count: Remove up to so many; the result is a list, empty where none came.

        Raises:
            KeyError: The sorted set is empty, and neither `timeout` nor `count` was given.
            CommitUnknownError: The answer was lost: a pair may have been taken and is lost with it.
        """
        return self._act(sortedsets.pop_end, "MIN", timeout, count)

    @overload
    def pop_highest(self) -> tuple[T, float]: ...
    @overload
    def pop_highest(self, *, timeout: float | timedelta | None) -> tuple[T, float] | None: ...
    @overload
    def pop_highest(self, *, count: int, timeout: Wait = ...) -> list[tuple[T, float]]: ...
    def pop_highest(self, *, timeout: Wait = UNSAID, count: int | None = None) -> Any:
        """Remove and return the pair with the highest score, as `pop_lowest` does with the lowest. ZPOPMAX or BZMPOP, O(log N)."""
        return self._act(sortedsets.pop_end, "MAX", timeout, count)

    def clear(self) -> None:
        """Remove all members. UNLINK under WATCH, O(1)."""
        self.delete()

    # ---- as a Python mapping ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.size()

    def __getitem__(self, member: object) -> float:
        return cast("float", self._ask(sortedsets.get, member))

    def __setitem__(self, member: T, score: float) -> None:
        self.set(member, score)

    def __delitem__(self, member: object) -> None:
        self.remove(member)

    def __contains__(self, member: object) -> bool:
        return self.contains(member)

    def __iter__(self) -> Iterator[T]:
        return (member for member, _ in self._walk())

    def __reversed__(self) -> Iterator[T]:
        return (member for member, _ in self._walk(ascending=False))

    def items(self) -> ItemsView[T, float]:
        """The pairs in ascending score order. ZRANGE in steps of 1,000."""
        return Entries(self)

    def values(self) -> ValuesView[float]:
        """The scores in ascending order. ZRANGE in steps of 1,000."""
        return Values(self)

    def _walk(self, *, ascending: bool = True) -> Iterator[tuple[T, float]]:
        start = 0
        while batch := self._ask(sortedsets.batch, start, ascending=ascending):
            yield from batch
            start += len(batch)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return len(self) == len(other) and dict(self.items()) == dict(other.items())

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

"""The awaited sorted set and leaderboard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast, overload

from redisorm.flows.structures import sortedsets
from redisorm.flows.structures.queues import UNSAID, Wait
from redisorm.flows.structures.sortedsets import Only
from redisorm.flows.structures.typed import RedisType

from .base import Structure

__all__ = ["AsyncRedisSortedSet"]

T = TypeVar("T")
D = TypeVar("D")


class AsyncRedisSortedSet(Structure[T]):
    """A Redis sorted set as a mapping of member to score whose methods are awaited, and as a leaderboard.

    ::

        board = AsyncRedisSortedSet[str]("leaderboard")
        await board.set("Alice", 1500)      # ZADD leaderboard 1500 Alice
        await board.increment("Alice", 50)        # ZINCRBY leaderboard 50 Alice
        await board.top(3)                        # ZRANGE leaderboard 0 2 REV WITHSCORES

    Members with one score are ordered by the bytes of their texts; from the highest down the order is exactly the reverse.

    Args:
        key: The name of the key, behind the namespace of the database.
        db: The database; where it is left out, the default one at each use.
        ttl: How long the key lives, in seconds; `None` for ever, or as it was.
        ttl_refresh: `"write"`: each write that adds or changes restarts the life; `"never"`: only the first one sets it.
    """

    kind: ClassVar[RedisType] = "zset"

    # ---- reading ----------------------------------------------------------------------------------------------------------

    async def size(self) -> int:
        """Count the members. ZCARD, O(1)."""
        return await self._ask(sortedsets.size)

    @overload
    async def get(self, member: object) -> float | None: ...
    @overload
    async def get(self, member: object, default: float) -> float: ...
    @overload
    async def get(self, member: object, default: D) -> float | D: ...
    async def get(self, member: object, default: Any = None) -> Any:
        """Return the score of a member, or the default where it is none. ZSCORE, O(1)."""
        return await self._ask(sortedsets.get, member, default)

    async def get_many(self, members: Iterable[object]) -> list[float | None]:
        """Return the scores of members in order; `None` for each that is none. ZMSCORE, O(members)."""
        return await self._ask(sortedsets.scores, members)

    async def contains(self, member: object) -> bool:
        """Tell whether a value is a member. ZSCORE, O(1)."""
        return await self._ask(sortedsets.contains, member)

    async def top(self, n: int) -> list[tuple[T, float]]:
        """Return the `n` pairs with the highest scores, highest first. ZRANGE with REV, O(log N + n)."""
        return await self._ask(sortedsets.ends, n, ascending=False)

    async def bottom(self, n: int) -> list[tuple[T, float]]:
        """Return the `n` pairs with the lowest scores, lowest first. ZRANGE, O(log N + n)."""
        return await self._ask(sortedsets.ends, n, ascending=True)

    async def ranked(self, start: int | None = None, stop: int | None = None, *, ascending: bool = False) -> list[tuple[T, float]]:
        """Return the pairs of a slice of the ranks: a page of the leaderboard. ZRANGE, O(log N + pairs).

        Args:
            start: The first rank; 0 is the highest score, negative ones count from the other end.
            stop: The rank before which it ends; `None` for all.
            ascending: Rank 0 is the lowest score.
        """
        return await self._ask(sortedsets.ranked, start, stop, ascending=ascending)

    async def between(self, low: float, high: float, *, offset: int = 0, limit: int | None = None) -> list[tuple[T, float]]:
        """Return the pairs whose score is from `low` to `high`, both included, ascending. ZRANGE BYSCORE, O(log N + pairs)."""
        return await self._ask(sortedsets.between, low, high, offset, limit)

    async def count_between(self, low: float, high: float) -> int:
        """Count the members whose score is from `low` to `high`, both included. ZCOUNT, O(log N)."""
        return await self._ask(sortedsets.count_between, low, high)

    async def rank(self, member: object, *, ascending: bool = False) -> int | None:
        """Return the place of a member, 0 for the highest score, or with `ascending` the lowest; `None` for none. ZREVRANK, O(log N)."""
        return await self._ask(sortedsets.rank, member, ascending=ascending)

    async def around(self, member: object, n: int, *, ascending: bool = False) -> list[tuple[T, float]]:
        """Return a member with up to `n` neighbours on either side, highest first; empty where it is none.

        ZREVRANK, and then that again with ZRANGE in one transaction: two round trips, O(log N + n).
        """
        return await self._ask(sortedsets.around, member, n, ascending=ascending)

    # ---- writing ----------------------------------------------------------------------------------------------------------

    async def set(self, member: T, score: float) -> None:
        """Set the score of a member, new or not. ZADD, O(log N).

        Raises:
            ValidationError: The member does not fit the type. Nothing was sent.
            ValueError: The score is NaN.
        """
        await self._write(sortedsets.add, member, score, None)

    async def add(self, member: T, score: float, *, only: Only | None = None) -> bool:
        """Set the score of a member where a condition holds; tell whether anything changed. ZADD, O(log N).

        Args:
            only: `"new"`: not where it is a member; `"existing"`: only there; `"higher"`, `"lower"`: new members, and others
                where the score would rise or fall.
        """
        return await self._write(sortedsets.add, member, score, only)

    async def update(self, other: Any = (), /, **scores: float) -> None:
        """Set many scores in one step, from a mapping or from pairs. ZADD, O(members · log N)."""
        await self._write(sortedsets.update, other, scores)

    async def increment(self, member: T, by: float = 1.0) -> float:
        """Add to the score of a member, 0 where it is new, and return the new one. ZINCRBY, O(log N)."""
        return await self._write(sortedsets.increment, member, by)

    async def setdefault(self, member: T, score: float = 0.0) -> float:
        """Return the score of a member, setting it first where it is new. ZADD NX and ZSCORE in one transaction, O(log N)."""
        return await self._write(sortedsets.set_default, member, score)

    async def remove(self, member: object) -> None:
        """Remove a member. ZREM, O(log N).

        Raises:
            KeyError: It is none.
        """
        await self._write(sortedsets.drop, member)

    async def discard(self, *members: object) -> int:
        """Remove values; how many were members. ZREM, O(values · log N)."""
        return await self._write(sortedsets.remove, *members)

    async def remove_between(self, low: float, high: float) -> int:
        """Remove the members whose score is from `low` to `high`, both included; how many. ZREMRANGEBYSCORE, O(log N + removed)."""
        return await self._write(sortedsets.remove_between, low, high)

    async def remove_ranks(self, start: int | None = None, stop: int | None = None, *, ascending: bool = False) -> int:
        """Remove a slice of the ranks, as `ranked` counts them; how many. `remove_ranks(100)` keeps the best 100.

        ZREMRANGEBYRANK, O(log N + removed).
        """
        return await self._write(sortedsets.remove_ranks, start, stop, ascending=ascending)

    @overload
    async def pop(self, member: object) -> float: ...
    @overload
    async def pop(self, member: object, default: float) -> float: ...
    @overload
    async def pop(self, member: object, default: D) -> float | D: ...
    async def pop(self, member: object, default: Any = UNSAID) -> Any:
        """Remove a member and return its score; without a default a `KeyError` where it is none. ZSCORE and ZREM in one transaction."""
        return await self._write(sortedsets.pop, member, default)

    async def popitem(self) -> tuple[T, float]:
        """Remove and return the pair with the highest score. ZPOPMAX, O(log N).

        Raises:
            KeyError: The sorted set is empty.
        """
        return cast("tuple[T, float]", await self._act(sortedsets.pop_end, "MAX", UNSAID, None))

    @overload
    async def pop_lowest(self) -> tuple[T, float]: ...
    @overload
    async def pop_lowest(self, *, timeout: float | timedelta | None) -> tuple[T, float] | None: ...
    @overload
    async def pop_lowest(self, *, count: int, timeout: Wait = ...) -> list[tuple[T, float]]: ...
    async def pop_lowest(self, *, timeout: Wait = UNSAID, count: int | None = None) -> Any:
        """Remove and return the pair with the lowest score: a queue by priority or by time. ZPOPMIN, O(log N).

        Args:
            timeout: How long to wait for one, in seconds; `None` is for ever, 0 not at all. The result is `None` where none
                came. BZMPOP; while it waits it has a connection of its own, beside the pool.
            count: Remove up to so many; the result is a list, empty where none came.

        Raises:
            KeyError: The sorted set is empty, and neither `timeout` nor `count` was given.
            CommitUnknownError: The answer was lost: a pair may have been taken and is lost with it.
        """
        return await self._act(sortedsets.pop_end, "MIN", timeout, count)

    @overload
    async def pop_highest(self) -> tuple[T, float]: ...
    @overload
    async def pop_highest(self, *, timeout: float | timedelta | None) -> tuple[T, float] | None: ...
    @overload
    async def pop_highest(self, *, count: int, timeout: Wait = ...) -> list[tuple[T, float]]: ...
    async def pop_highest(self, *, timeout: Wait = UNSAID, count: int | None = None) -> Any:
        """Remove and return the pair with the highest score, as `pop_lowest` does with the lowest. ZPOPMAX or BZMPOP, O(log N)."""
        return await self._act(sortedsets.pop_end, "MAX", timeout, count)

    async def clear(self) -> None:
        """Remove all members. UNLINK under WATCH, O(1)."""
        await self.delete()

    async def keys(self) -> list[T]:
        """The members in ascending score order. ZRANGE in steps of 1,000."""
        return [member for member, _ in await self.items()]

    async def items(self) -> list[tuple[T, float]]:
        """The pairs in ascending score order. ZRANGE in steps of 1,000."""
        return await self._ask(sortedsets.items)

    async def values(self) -> list[float]:
        """The scores in ascending order. ZRANGE in steps of 1,000."""
        return [score for _, score in await self.items()]

    async def __aiter__(self) -> AsyncIterator[T]:
        start = 0
        while batch := await self._ask(sortedsets.batch, start):
            for member, _ in batch:
                yield member
            start += len(batch)

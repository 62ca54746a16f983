"""A Redis sorted set as a mapping of member to score, and as a leaderboard.

Members with one score are ordered by the bytes of their texts, ascending; the order from the highest score down is
exactly the reverse. Scores are doubles; NaN is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any, Literal, TypeVar

from redisorm.commands import Batch, Command, Flow, Reply
from redisorm.errors import ConcurrentUpdateError
from redisorm.flows.pieces import chunks
from redisorm.mapping.scores import plain_scores

from .queues import UNSAID, Wait, seconds_to_wait, waiting
from .typed import BATCH, TypedKey, Write, ask, ask_each, ask_items, columns, kept, pairs

__all__ = [
    "Only",
    "add",
    "around",
    "batch",
    "between",
    "contains",
    "count_between",
    "drop",
    "ends",
    "get",
    "increment",
    "items",
    "pop",
    "pop_end",
    "rank",
    "ranked",
    "remove",
    "remove_between",
    "remove_ranks",
    "score",
    "scores",
    "set_default",
    "size",
    "take",
    "update",
]

T = TypeVar("T")

Only = Literal["new", "existing", "higher", "lower"]
_FLAGS: dict[Only, str] = {"new": "NX", "existing": "XX", "higher": "GT", "lower": "LT"}
_ATTEMPTS = 16


def _spelled(member: object, value: float) -> str:
    number = float(value)
    if isnan(number):
        raise ValueError(f"the score of {member!r} is NaN, which no sorted set can order: give it a number")
    return repr(number)


def _spelled_many(numbers: Mapping[Any, float]) -> Iterable[str]:
    values = list(map(float, numbers.values()))
    return map(_spelled, numbers, values) if isnan(sum(values)) else plain_scores(values)


def _bound(value: float, name: str) -> str:
    if isnan(value):
        raise ValueError(f"{name} is NaN, which is neither below nor above any score")
    return repr(float(value))


def _read(key: TypedKey[T], reply: Reply) -> list[tuple[T, float]]:
    texts, numbers = columns(reply)
    return list(zip(key.items.read_many(texts, key.name), map(float, numbers), strict=True))


# ---- reading ------------------------------------------------------------------------------------------------------------


def size(key: TypedKey[Any]) -> Flow[int]:
    """ZCARD."""
    (count,) = yield from ask(("ZCARD", key.name))
    return int(count)


def score(key: TypedKey[Any], member: object) -> Flow[float | None]:
    """ZSCORE; `None` where it is absent."""
    text = key.items.sought(member)
    if text is None:
        return None
    (number,) = yield from ask(("ZSCORE", key.name, text))
    return None if number is None else float(number)


def get(key: TypedKey[Any], member: object, default: Any = UNSAID) -> Flow[Any]:
    """ZSCORE; without a default a `KeyError` where it is absent."""
    found = yield from score(key, member)
    if found is not None:
        return found
    if default is UNSAID:
        raise KeyError(member)
    return default


def contains(key: TypedKey[Any], member: object) -> Flow[bool]:
    """ZSCORE."""
    return (yield from score(key, member)) is not None


def scores(key: TypedKey[Any], members: Iterable[object]) -> Flow[list[float | None]]:
    """ZMSCORE; `None` for each that is absent."""
    numbers = yield from ask_each(key, "ZMSCORE", key.items.sought_many(members))
    try:
        return list(map(float, numbers))
    except TypeError:  # not all of them are there
        return [None if number is None else float(number) for number in numbers]


def ranked(key: TypedKey[T], start: int | None, stop: int | None, *, ascending: bool = False) -> Flow[list[tuple[T, float]]]:
    """ZRANGE by rank with REV: the pairs of a slice of the ranks, 0 being the highest score, or with `ascending` the lowest."""
    if stop == 0:
        return []
    low, high = 0 if start is None else start, -1 if stop is None else stop - 1
    (reply,) = yield from ask_items(key, ("ZRANGE", key.name, low, high, *(() if ascending else ("REV",)), "WITHSCORES"))
    return _read(key, reply)


def ends(key: TypedKey[T], count: int, *, ascending: bool) -> Flow[list[tuple[T, float]]]:
    """The first ranks; none where the count is zero or less."""
    return (yield from ranked(key, 0, max(count, 0), ascending=ascending))


def batch(key: TypedKey[T], start: int, *, ascending: bool = True) -> Flow[list[tuple[T, float]]]:
    """The next pairs of an iteration."""
    return (yield from ranked(key, start, start + BATCH, ascending=ascending))


def items(key: TypedKey[T]) -> Flow[list[tuple[T, float]]]:
    """All pairs, in the steps of an iteration."""
    found: list[tuple[T, float]] = []
    while step := (yield from batch(key, len(found))):
        found += step
    return found


def between(key: TypedKey[T], low: float, high: float, offset: int, limit: int | None) -> Flow[list[tuple[T, float]]]:
    """ZRANGE BYSCORE: the pairs from one score to another, both included, ascending."""
    words = (_bound(low, "low"), _bound(high, "high"), "BYSCORE")
    page = () if limit is None and not offset else ("LIMIT", offset, -1 if limit is None else limit)
    (reply,) = yield from ask_items(key, ("ZRANGE", key.name, *words, *page, "WITHSCORES"))
    return _read(key, reply)


def count_between(key: TypedKey[Any], low: float, high: float) -> Flow[int]:
    """ZCOUNT."""
    (count,) = yield from ask(("ZCOUNT", key.name, _bound(low, "low"), _bound(high, "high")))
    return int(count)


def rank(key: TypedKey[Any], member: object, *, ascending: bool = False) -> Flow[int | None]:
    """ZREVRANK or ZRANK; `None` where it is absent."""
    text = key.items.sought(member)
    if text is None:
        return None
    (place,) = yield from ask((_rank_command(ascending), key.name, text))
    return None if place is None else int(place)


def around(key: TypedKey[T], member: object, count: int, *, ascending: bool = False) -> Flow[list[tuple[T, float]]]:
    """ZREVRANK, then that again and ZRANGE in one transaction: until the rank the range was made for is the right one."""
    place = yield from rank(key, member, ascending=ascending)
    text = key.items.sought(member)
    for _ in range(_ATTEMPTS):
        if place is None or text is None:
            return []
        low, high = max(place - count, 0), place + count
        again, reply = yield from ask(
            (_rank_command(ascending), key.name, text),
            ("ZRANGE", key.name, low, high, *(() if ascending else ("REV",)), "WITHSCORES"),
        )
        if again == place:
            return _read(key, reply)
        place = again
    raise ConcurrentUpdateError(
        f"{key.name}: the rank of {member!r} changed {_ATTEMPTS} times in a row while it was looked up: try again", key=key.name
    )


def _rank_command(ascending: bool) -> str:
    return "ZRANK" if ascending else "ZREVRANK"


# ---- writing ------------------------------------------------------------------------------------------------------------


def add(key: TypedKey[T], member: T, number: float, only: Only | None) -> Write[bool]:
    """ZADD with CH, and NX, XX, GT or LT; tell whether a score was set that was not there."""
    text = key.items.spell(member, key.name)
    flags = () if only is None else (_FLAGS[only],)
    return Write([("ZADD", key.name, *flags, "CH", _spelled(member, number), text)], lambda replies: bool(replies[0]))


def update(key: TypedKey[Any], scored: Any, named: Mapping[str, float]) -> Write[None]:
    """ZADD of many: those of a mapping or of pairs, and those given by name."""
    numbers: dict[Any, float] = dict(scored, **named)
    words: list[Any] = [None] * (2 * len(numbers))
    words[::2] = _spelled_many(numbers)
    words[1::2] = key.items.spell_many(numbers, key.name)
    return Write(chunks("ZADD", key.name, words), lambda _: None)


def increment(key: TypedKey[T], member: T, by: float) -> Write[float]:
    """ZINCRBY; the new score."""
    text = key.items.spell(member, key.name)
    return Write([("ZINCRBY", key.name, _spelled(member, by), text)], lambda replies: float(replies[0]))


def set_default(key: TypedKey[T], member: T, number: float) -> Write[float]:
    """ZADD NX and ZSCORE; the score that is there then."""
    text = key.items.spell(member, key.name)
    commands: list[Command] = [("ZADD", key.name, "NX", _spelled(member, number), text), ("ZSCORE", key.name, text)]
    return Write(commands, lambda replies: float(replies[1]), asks=True)


def remove(key: TypedKey[Any], *members: object) -> Write[int]:
    """ZREM; how many were there."""
    texts = [text for text in key.items.sought_many(members) if text is not None]
    return Write(chunks("ZREM", key.name, texts), sum, renews=False)


def drop(key: TypedKey[Any], member: object) -> Write[None]:
    """ZREM; `KeyError` where it is absent."""
    removal = remove(key, member)

    def dropped(replies: Sequence[Reply]) -> None:
        if not sum(replies):
            raise KeyError(member)

    return Write(removal.commands, dropped, renews=False)


def pop(key: TypedKey[Any], member: object, default: Any = UNSAID) -> Write[Any]:
    """ZSCORE and ZREM: the score it had; without a default a `KeyError` where it was absent."""
    text = key.items.sought(member)

    def popped(replies: Sequence[Reply]) -> Any:
        if replies and replies[0] is not None:
            return float(replies[0])
        if default is UNSAID:
            raise KeyError(member)
        return default

    commands: list[Command] = [] if text is None else [("ZSCORE", key.name, text), ("ZREM", key.name, text)]
    return Write(commands, popped, renews=False, asks=True)


def remove_between(key: TypedKey[Any], low: float, high: float) -> Write[int]:
    """ZREMRANGEBYSCORE; how many were removed."""
    return Write([("ZREMRANGEBYSCORE", key.name, _bound(low, "low"), _bound(high, "high"))], lambda replies: int(replies[0]), renews=False)


def remove_ranks(key: TypedKey[Any], start: int | None, stop: int | None, *, ascending: bool = False) -> Write[int]:
    """ZREMRANGEBYRANK of a slice of the ranks, 0 being the highest score; how many were removed."""
    low, high = 0 if start is None else start, -1 if stop is None else stop - 1
    if not ascending:  # the command counts from the lowest
        low, high = -1 - high, -1 - low
    commands: list[Command] = [] if stop == 0 else [("ZREMRANGEBYRANK", key.name, low, high)]
    return Write(commands, sum, renews=False)


def pop_end(key: TypedKey[T], end: Literal["MIN", "MAX"], timeout: Wait, count: int | None) -> Flow[Any]:
    """ZPOPMIN or ZPOPMAX, and BZMPOP where it waits; what is returned depends on what was said (see the faces)."""
    taken = yield from take(key, end, 1 if count is None else count, timeout)
    if count is not None:
        return taken
    if not taken and timeout is UNSAID:
        raise KeyError(f"pop from the empty sorted set {key.name}")
    return taken[0] if taken else None


def take(key: TypedKey[T], end: Literal["MIN", "MAX"], count: int, timeout: Wait) -> Flow[list[tuple[T, float]]]:
    """Take up to so many pairs from an end, in the order they leave it."""
    if count < 1:
        raise ValueError(f"count {count} must be 1 or more")
    seconds = seconds_to_wait(timeout)
    if not seconds:
        (reply,) = yield Batch([(f"ZPOP{end}", key.name, count)])
    else:
        (told,) = yield Batch([("BZMPOP", waiting(seconds), 1, key.name, end, "COUNT", count)])
        reply = [] if told is None else told[1]
    with kept(key, pairs(reply)):
        return _read(key, reply)

"""A Redis list as a Python list, and as a queue. Positions are those of Python: negative ones count from the end.

What Redis has no command for is an edit under WATCH, made of commands that it has (`editing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import index as as_index
from typing import Any, Literal, SupportsIndex, TypeVar

from redisorm.commands import Batch, Flow, Reply
from redisorm.errors import BackendError
from redisorm.flows.pieces import chunks

from .editing import MOST, out_of_range, overwritten, place_of, region_of, span_of, trimmed, with_items, without
from .typed import BATCH, TypedKey, Write, apply, ask, ask_items, done, first, guarded

__all__ = [
    "Side",
    "batch",
    "batch_before",
    "clear",
    "contains",
    "count",
    "delete_at",
    "drop_at",
    "find",
    "get",
    "insert",
    "items",
    "pop",
    "pop_at",
    "push",
    "remove",
    "repeated_order",
    "replace",
    "reversed_order",
    "rewrite",
    "set_at",
    "size",
    "sorted_order",
    "trim",
]

T = TypeVar("T")

Side = Literal["left", "right"]
_PUSH = {"left": "LPUSH", "right": "RPUSH"}
_POP = {"left": "LPOP", "right": "RPOP"}


# ---- reading ------------------------------------------------------------------------------------------------------------


def size(key: TypedKey[Any]) -> Flow[int]:
    """LLEN."""
    (length,) = yield from ask(("LLEN", key.name))
    return int(length)


def get(key: TypedKey[T], position: int) -> Flow[T]:
    """LINDEX; `IndexError` where the list is shorter."""
    place = place_of(position)
    (text,) = yield from ask(("LINDEX", key.name, place))
    if text is None:
        raise out_of_range(key, position)
    return key.items.read(text, key.name, position)


def items(key: TypedKey[T], wanted: slice) -> Flow[list[T]]:
    """LRANGE of the region of a slice; steps are taken here."""
    step = 1 if wanted.step is None else as_index(wanted.step)
    region = region_of(wanted, step)
    if region is None:
        return []
    (texts,) = yield from ask_items(key, ("LRANGE", key.name, *region))
    low, high = region
    first_place = low if low >= 0 else high + 1 - len(texts)  # counted from the end where the slice was
    found = key.items.read_many(texts, key.name, lambda place: first_place + place)
    return found if step == 1 else found[::step]


def batch(key: TypedKey[T], start: int) -> Flow[list[T]]:
    """The next items of an iteration from the left."""
    return (yield from items(key, slice(start, start + BATCH)))


def batch_before(key: TypedKey[T], stop: int) -> Flow[list[T]]:
    """The next items of an iteration from the right; nothing is sent at the beginning of the list."""
    return (yield from items(key, slice(max(stop - BATCH, 0), stop))) if stop > 0 else []


def contains(key: TypedKey[Any], value: object) -> Flow[bool]:
    """LPOS."""
    text = key.items.sought(value)
    if text is None:
        return False
    (place,) = yield from ask(("LPOS", key.name, text))
    return place is not None


def count(key: TypedKey[Any], value: object) -> Flow[int]:
    """LPOS with COUNT 0."""
    text = key.items.sought(value)
    if text is None:
        return 0
    (places,) = yield from ask(("LPOS", key.name, text, "COUNT", 0))
    return len(places)


def find(key: TypedKey[Any], value: object, start: int, stop: int | None) -> Flow[int]:
    """LPOS: the first position from `start` on and before `stop`; `ValueError` where there is none."""
    text = key.items.sought(value)
    place: int | None = None
    if text is not None and start == 0 and stop is None:
        (place,) = yield from ask(("LPOS", key.name, text))
    elif text is not None:
        length, places = yield from ask(("LLEN", key.name), ("LPOS", key.name, text, "COUNT", 0))
        low, high, _ = slice(start, stop).indices(length)
        place = next((one for one in places if low <= one < high), None)
    if place is None:
        raise ValueError(f"{value!r} is not in the list {key.name}")
    return place


# ---- the ends -----------------------------------------------------------------------------------------------------------


def push(key: TypedKey[T], values: Iterable[T], side: Side) -> Write[int]:
    """RPUSH or LPUSH, and LTRIM of the other end where the list has a `maxlen`; the length after it."""
    texts = key.items.spell_many(values, key.name)
    if not texts:
        return Write([("LLEN", key.name)], first, renews=False)
    commands = chunks(_PUSH[side], key.name, texts)
    last, most = len(commands) - 1, key.maxlen
    if most is None:
        return Write(commands, lambda replies: int(replies[last]))
    commands.append(("LTRIM", key.name, -most, -1) if side == "right" else ("LTRIM", key.name, 0, most - 1))
    return Write(commands, lambda replies: min(int(replies[last]), most))


def pop(key: TypedKey[T], side: Side) -> Write[T]:
    """LPOP or RPOP; `IndexError` where the list is empty."""

    def popped(replies: Sequence[Reply]) -> T:
        if replies[0] is None:
            raise IndexError(f"pop from the empty list {key.name}")
        return key.items.read(replies[0], key.name, 0 if side == "left" else -1)

    return Write([(_POP[side], key.name)], popped, renews=False, asks=True)


# ---- positions ----------------------------------------------------------------------------------------------------------


def set_at(key: TypedKey[T], position: int, value: T) -> Flow[None]:
    """LSET; `IndexError` where the list is shorter."""
    place, text = place_of(position), key.items.spell(value, key.name, position)
    try:
        return (yield from apply(key, Write([("LSET", key.name, place, text)], done)))
    except BackendError as error:
        if "index out of range" in str(error) or "no such key" in str(error):
            raise out_of_range(key, position) from error
        raise


def pop_at(key: TypedKey[T], position: int, token: bytes) -> Flow[T]:
    """Take out one item: LPOP and RPOP at the ends, LSET and LREM between; `IndexError` where the list is shorter."""
    place = place_of(position)
    if place in (0, -1):
        return (yield from apply(key, pop(key, "left" if place == 0 else "right")))

    def plan(replies: list[Reply]) -> Write[bytes]:
        length, text = replies
        if text is None:
            raise out_of_range(key, position)
        return Write(without(key.name, length, range(place % length, place % length + 1), token), lambda _: text, renews=False)

    text = yield from guarded([key], [("LLEN", key.name), ("LINDEX", key.name, place)], plan)
    return key.items.read(text, key.name, position)


def drop_at(key: TypedKey[Any], position: int, token: bytes) -> Flow[None]:
    """Take out one item without reading it; `IndexError` where the list is shorter."""
    place = place_of(position)

    def plan(replies: list[Reply]) -> Write[None]:
        length = replies[0]
        if not -length <= place < length:
            raise out_of_range(key, position)
        return Write(without(key.name, length, range(place % length, place % length + 1), token), done, renews=False)

    yield from guarded([key], [("LLEN", key.name)], plan)


def insert(key: TypedKey[T], position: int, value: T, token: bytes) -> Flow[None]:
    """Put an item before a position, with `maxlen` dropping what is then too much at the left."""
    place, text = max(min(as_index(position), MOST), -MOST), key.items.spell(value, key.name, position)

    def plan(replies: list[Reply]) -> Write[None]:
        length, before = replies
        start = slice(place, None).indices(length)[0]
        return Write([*with_items(key.name, length, start, [text], before, token), *trimmed(key)], done)

    yield from guarded([key], [("LLEN", key.name), ("LINDEX", key.name, place)], plan)


def remove(key: TypedKey[T], value: object) -> Write[None]:
    """LREM of the first item that equals a value; `ValueError` where none does."""
    text = key.items.sought(value)

    def removed(replies: Sequence[Reply]) -> None:
        if not replies or not replies[0]:
            raise ValueError(f"{value!r} is not in the list {key.name}")

    return Write([] if text is None else [("LREM", key.name, 1, text)], removed, renews=False)


def trim(key: TypedKey[Any], wanted: slice) -> Write[None]:
    """LTRIM: keep only the items of a slice."""
    region = region_of(wanted, 1)
    return Write([("LTRIM", key.name, *(region or (1, 0)))], done, renews=False)


def clear(key: TypedKey[Any]) -> Write[None]:
    """LTRIM to nothing, which, unlike UNLINK, a key of another type refuses."""
    return Write([("LTRIM", key.name, 1, 0)], done, renews=False)


# ---- slices -------------------------------------------------------------------------------------------------------------


def delete_at(key: TypedKey[Any], wanted: slice, token: bytes) -> Flow[None]:
    """Take out the items of a slice: LTRIM at an end, LSET and LREM between."""

    def plan(replies: list[Reply]) -> Write[None]:
        return Write(without(key.name, replies[0], span_of(wanted, replies[0]), token), done, renews=False)

    yield from guarded([key], [("LLEN", key.name)], plan)


def replace(key: TypedKey[T], wanted: slice, values: Iterable[T], token: bytes) -> Flow[None]:
    """Put items in the place of those of a slice, as a list does; `ValueError` where a slice with a step has another size."""
    texts = key.items.spell_many(values, key.name)

    def plan(replies: list[Reply]) -> Flow[Write[None]]:
        length = replies[0]
        span = span_of(wanted, length)
        if span.step != 1:
            return Write(overwritten(key.name, span, texts), done)
        edit = overwritten(key.name, span[: len(texts)], texts[: len(span)])
        if len(texts) <= len(span):
            edit += without(key.name, length, span[len(texts) :], token)
        else:
            before = None
            if 0 < span.stop < length:
                (before,) = yield Batch([("LINDEX", key.name, span.stop)], resend=True)
            edit += with_items(key.name, length, span.stop, texts[len(span) :], before, token)
        return Write([*edit, *trimmed(key)] if edit else [], done)

    yield from guarded([key], [("LLEN", key.name)], plan)


def rewrite(key: TypedKey[T], arrange: Callable[[Sequence[T]], Iterable[int]]) -> Flow[None]:
    """Put all items in another order, or several times, or none of them: LRANGE and RPUSH of everything, and LTRIM.

    The key is never gone in between, so that its deadline stays.
    """

    def plan(replies: list[Reply]) -> Write[None]:
        texts = replies[0]
        order = arrange(key.items.read_many(texts, key.name, lambda place: place))
        commands = chunks("RPUSH", key.name, [texts[place] for place in order])
        return Write([*commands, ("LTRIM", key.name, len(texts), -1), *trimmed(key)] if texts else [], done)

    yield from guarded([key], [("LRANGE", key.name, 0, -1)], plan)


def reversed_order(values: Sequence[Any]) -> Iterable[int]:
    """The places of values in reverse."""
    return reversed(range(len(values)))


def repeated_order(times: SupportsIndex) -> Callable[[Sequence[Any]], Iterable[int]]:
    """The places of values, so many times."""
    return lambda values: list(range(len(values))) * times


def sorted_order(key: Callable[[Any], Any] | None, reverse: bool) -> Callable[[Sequence[Any]], Iterable[int]]:
    """The places of values as `sorted` would have them."""

    def order(values: Sequence[Any]) -> Iterable[int]:
        ranks = values if key is None else [key(value) for value in values]
        return sorted(range(len(values)), key=ranks.__getitem__, reverse=reverse)

    return order

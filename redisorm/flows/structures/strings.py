"""A Redis string as one value, and as a counter.

SET alone would overwrite a key of any type. With GET it refuses another type, and says what was there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from operator import index as as_index
from typing import Any, Literal, TypeVar

from redisorm.commands import Command, Flow, Reply
from redisorm.mapping.layout import seconds_ms

from .queues import UNSAID, Unsaid
from .typed import TypedKey, Write, ask, guarded

__all__ = [
    "Only",
    "Ttl",
    "add",
    "add_within",
    "compare_and_set",
    "count",
    "delete",
    "get",
    "get_and_delete",
    "get_and_refresh",
    "get_and_set",
    "reset",
    "set_count",
    "set_value",
    "swap_count",
]

T = TypeVar("T")

Only = Literal["new", "existing"]
_FLAGS: dict[Only, str] = {"new": "NX", "existing": "XX"}
Ttl = float | timedelta | None | Unsaid


def _read(key: TypedKey[T], text: bytes | None) -> T | None:
    return None if text is None else key.items.read(text, key.name)


def _life(key: TypedKey[Any], ttl: Ttl, *, keep: bool = False) -> list[Any]:
    """The words of SET for a life: the one given, or that of the key, or none; `keep` leaves the one that is there."""
    if key.row is not None and not isinstance(ttl, Unsaid):
        raise ValueError(f"{key.name} lives as long as its object: give that a life")
    if isinstance(ttl, Unsaid):
        if keep:
            return ["KEEPTTL"]
        return [] if key.life is None else ["PX", key.life.ms]
    return [] if ttl is None else ["PX", seconds_ms(ttl, key.name)]


# ---- values -------------------------------------------------------------------------------------------------------------


def get(key: TypedKey[T]) -> Flow[T | None]:
    """GET; `None` where it is absent."""
    (text,) = yield from ask(("GET", key.name))
    return _read(key, text)


def set_value(key: TypedKey[T], value: T, ttl: Ttl, only: Only | None, *, keep: bool) -> Write[bool]:
    """SET with GET; tell whether it was set."""
    command = _set(key, value, _life(key, ttl, keep=keep), only)

    def was_set(replies: Sequence[Reply]) -> bool:
        return only is None or (replies[0] is None) == (only == "new")

    return Write([command], was_set, renews=key.row is not None)


def _set(key: TypedKey[T], value: T, life: Sequence[Any], only: Only | None = None) -> Command:
    flags = () if only is None else (_FLAGS[only],)
    return ("SET", key.name, key.items.spell(value, key.name), *flags, "GET", *life)


def get_and_set(key: TypedKey[T], value: T, ttl: Ttl, *, keep: bool) -> Write[T | None]:
    """SET with GET; what was there before."""
    return Write(
        [_set(key, value, _life(key, ttl, keep=keep))], lambda replies: _read(key, replies[0]), renews=key.row is not None, asks=True
    )


def get_and_delete(key: TypedKey[T]) -> Write[T | None]:
    """GETDEL."""
    return Write([("GETDEL", key.name)], lambda replies: _read(key, replies[0]), renews=False, asks=True)


def get_and_refresh(key: TypedKey[T], ttl: Ttl) -> Write[T | None]:
    """GETEX: the value, and its life anew; with `None` for ever."""
    if isinstance(ttl, Unsaid):
        if key.life is None:
            raise ValueError(f"{key.name} has no ttl to restart: give one here, or to the handle")
        words: list[Any] = ["PX", key.life.ms]
    else:
        words = ["PERSIST"] if ttl is None else ["PX", seconds_ms(ttl, key.name)]
    return Write([("GETEX", key.name, *words)], lambda replies: _read(key, replies[0]), renews=False, asks=True)


def delete(key: TypedKey[Any]) -> Write[bool]:
    """GETDEL, which refuses a key of another type; tell whether it was there."""
    return Write([("GETDEL", key.name)], lambda replies: replies[0] is not None, renews=False)


def compare_and_set(key: TypedKey[T], expected: object, value: T, ttl: Ttl, *, keep: bool) -> Flow[bool]:
    """SET under WATCH, only where the stored value equals what was expected, `None` for none; tell whether it was set."""
    command = _set(key, value, _life(key, ttl, keep=keep))

    def plan(replies: list[Reply]) -> Write[bool]:
        found = _read(key, replies[0])
        if (found is None) != (expected is None) or found != expected:
            return Write([], lambda _: False)
        return Write([command], lambda _: True, renews=key.row is not None)

    return (yield from guarded([key], [("GET", key.name)], plan))


# ---- counters -----------------------------------------------------------------------------------------------------------


def count(key: TypedKey[int]) -> Flow[int]:
    """GET; 0 where it is absent."""
    return (yield from get(key)) or 0


def add(key: TypedKey[int], by: int) -> Write[int]:
    """INCRBY, behind SET NX with the life where only the first count begins it; the new number.

    Only where nothing is there does SET NX do anything, so that no key of another type is given a deadline.
    """
    count: Command = ("INCRBY", key.name, as_index(by))
    if key.life is None or key.life.restarts:
        return Write([count], lambda replies: int(replies[0]))
    return Write([("SET", key.name, 0, "PX", key.life.ms, "NX"), count], lambda replies: int(replies[1]), renews=False)


def add_within(key: TypedKey[int], by: int, low: int | None, high: int | None) -> Flow[int | None]:
    """INCRBY under WATCH, only where the new number lies within bounds, both included; `None` where it would not."""

    def plan(replies: list[Reply]) -> Write[int | None]:
        after = (_read(key, replies[0]) or 0) + by
        if (low is not None and after < low) or (high is not None and after > high):
            return Write([], lambda _: None)
        commands: list[Command] = [("INCRBY", key.name, by)]
        if replies[0] is None and key.life is not None and not key.life.restarts:
            commands.append(("PEXPIRE", key.name, key.life.ms))
        return Write(commands, lambda replies: int(replies[0]), renews=key.row is not None or (key.life is not None and key.life.restarts))

    return (yield from guarded([key], [("GET", key.name)], plan))


def swap_count(key: TypedKey[int], expected: int, number: int) -> Flow[bool]:
    """SET under WATCH, only where the number, 0 where there is none, is what was expected; tell whether it was set."""

    def plan(replies: list[Reply]) -> Write[bool]:
        if (_read(key, replies[0]) or 0) != expected:
            return Write([], lambda _: False)
        return Write([_set(key, number, _life(key, UNSAID))], lambda _: True, renews=key.row is not None)

    return (yield from guarded([key], [("GET", key.name)], plan))


def set_count(key: TypedKey[int], number: int) -> Write[int]:
    """SET with GET; what was there before."""
    return Write([_set(key, number, _life(key, UNSAID))], lambda replies: _read(key, replies[0]) or 0, renews=key.row is not None)


def reset(key: TypedKey[int]) -> Write[int]:
    """GETDEL: count from 0 again; what was there before."""
    return Write([("GETDEL", key.name)], lambda replies: _read(key, replies[0]) or 0, renews=False)

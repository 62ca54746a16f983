"""A Redis list as a queue: several items at once, waiting for the first to come, and moving them to another list.

A command that takes an item away is never sent twice: where its answer is lost, that is a `CommitUnknownError`, and the
item may be gone. Who cannot afford that moves items to a list of work in progress (LMOVE) and removes them when it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from math import inf, isnan
from typing import Any, Literal, TypeVar

from redisorm.commands import Batch, Command, Flow, Reply

from . import lists
from .lists import Side
from .typed import TypedKey, Write, apply, kept, once, typed

__all__ = ["UNSAID", "Unsaid", "Wait", "move", "pop", "pop_left", "seconds_to_wait", "take", "waiting"]

T = TypeVar("T")


class Unsaid(Enum):
    """What stands for an argument that was left out, where `None` means something."""

    UNSAID = "unsaid"


UNSAID: Literal[Unsaid.UNSAID] = Unsaid.UNSAID

Wait = float | timedelta | None | Unsaid
"""How long to wait: seconds, `None` for ever, 0 not at all."""


def seconds_to_wait(timeout: Wait) -> float:
    """Turn a timeout into seconds: 0 for not at all, infinity for ever.

    Raises:
        ValueError: It is negative or NaN.
    """
    if timeout is None:
        return inf
    if isinstance(timeout, Unsaid):
        return 0.0
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
    if isnan(seconds) or seconds < 0:
        raise ValueError(f"timeout {timeout!r} must be seconds, zero or more; None waits for ever")
    return seconds


def waiting(seconds: float) -> str:
    """Spell a timeout for a command that waits, where 0 is for ever: never less than its one millisecond."""
    return "0" if seconds == inf else f"{max(seconds, 0.001):.3f}"


def take(key: TypedKey[T], side: Side, count: int, timeout: Wait) -> Flow[list[T]]:
    """Take up to so many items from an end, in the order they leave it: LPOP or RPOP, and BLMPOP where it waits.

    Raises:
        DecodeError: An item does not fit the type. All that were taken are its `value`.
    """
    if count < 1:
        raise ValueError(f"count {count} must be 1 or more")
    seconds = seconds_to_wait(timeout)
    if not seconds:
        (texts,) = yield Batch([("LPOP" if side == "left" else "RPOP", key.name, count)])
    else:
        (reply,) = yield Batch([("BLMPOP", waiting(seconds), 1, key.name, side.upper(), "COUNT", count)])
        texts = None if reply is None else reply[1]
    with kept(key, texts or ()):
        return key.items.read_many(texts or (), key.name, lambda place: place if side == "left" else -1 - place)


def pop(key: TypedKey[T], index: int, timeout: Wait, count: int | None, token: bytes) -> Flow[Any]:
    """Take from the right, or from a position; what is returned depends on what was said (see the faces)."""
    if timeout is UNSAID and count is None:
        return (yield from lists.pop_at(key, index, token))
    if index != -1:
        raise TypeError(f"pop({index}): only the ends can be waited for or give several items; leave out the index, or take pop_left()")
    return (yield from _pop(key, "right", timeout, count))


def pop_left(key: TypedKey[T], timeout: Wait, count: int | None) -> Flow[Any]:
    """Take from the left, likewise."""
    if timeout is UNSAID and count is None:
        return (yield from apply(key, lists.pop(key, "left")))
    return (yield from _pop(key, "left", timeout, count))


def _pop(key: TypedKey[T], side: Side, timeout: Wait, count: int | None) -> Flow[list[T] | T | None]:
    taken = yield from take(key, side, 1 if count is None else count, timeout)
    return taken if count is not None else taken[0] if taken else None


def move(key: TypedKey[T], target: TypedKey[Any], take_from: Side, put_at: Side, timeout: Wait) -> Flow[T | None]:
    """LMOVE, or BLMOVE where it waits: one item to another list, atomically; `None` where there was none.

    Raises:
        DecodeError: The item does not fit the type. It is in the other list.
        ValueError: The other list has a `maxlen` or a life, or belongs to an object, which a command that waits cannot see to.
    """
    seconds = seconds_to_wait(timeout)
    words: list[Any] = [key.name, target.name, take_from.upper(), put_at.upper()]

    def moved(replies: Sequence[Reply]) -> T | None:
        return None if replies[0] is None else key.items.read(replies[0], target.name, 0 if put_at == "left" else -1)

    if not seconds:
        commands: list[Command] = [("LMOVE", *words)]
        if target.maxlen is not None:
            kept = (-target.maxlen, -1) if put_at == "right" else (0, target.maxlen - 1)
            commands.append(("LTRIM", target.name, *kept))
        return (yield from typed([key, target], apply(target, Write(commands, moved, others=[key]))))
    if target.maxlen is not None or target.life is not None or target.row is not None:
        raise ValueError(
            f"{target.name} has a maxlen or a ttl, or belongs to an object, which BLMOVE cannot see to in the same step: "
            "move without timeout=, or to a list without them"
        )
    return moved((yield from typed([key, target], once(("BLMOVE", *words, waiting(seconds))))))

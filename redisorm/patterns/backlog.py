"""How much is left to do for a group: what it has not read, what it has not finished, what it gave up, and what it lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from redisorm.commands import Batch, Flow
from redisorm.keys import TRIMMED

from .groups import Group, Standing
from .streams import PAGE

__all__ = ["Backlog", "backlog"]


class Backlog(NamedTuple):
    """What is left to do for a group, over all its streams.

    Attributes:
        waiting: Events that no worker has read.
        pending: Events that a worker has, or that wait to be tried again.
        oldest_idle: How long nobody has touched the pending event that was left longest, in seconds; 0.0 where none is pending.
        dead: Dead letters.
        trimmed: Events that were removed from their stream before they were dealt with.
    """

    waiting: int
    pending: int
    oldest_idle: float
    dead: int
    trimmed: int


def backlog(groups: Iterable[Group]) -> Flow[Backlog]:
    """Count what is left to do. One round trip for a stream without pending events, and for each 1,000 of these one more."""
    total = Backlog(0, 0, 0.0, 0, 0)
    for group in groups:
        one = yield from _of(group)
        total = Backlog(
            total.waiting + one.waiting,
            total.pending + one.pending,
            max(total.oldest_idle, one.oldest_idle),
            total.dead + one.dead,
            total.trimmed + one.trimmed,
        )
    return total


def _of(group: Group) -> Flow[Backlog]:
    keys = group.keys
    length, dead, counted = yield Batch([("XLEN", keys.stream), ("XLEN", keys.dead), ("HGET", keys.state, TRIMMED)], resend=True)
    trimmed = int(counted or 0)
    standing: Standing | None = None
    exists = length or (yield Batch([("EXISTS", keys.stream)], resend=True))[0]
    if exists:
        standing = group.standing(*(yield Batch(group.questions(), atomic=True, resend=True)))
    if standing is None:  # a group begins at the beginning
        return Backlog(int(length), 0, 0.0, int(dead), trimmed)
    waiting = standing.waiting
    if waiting is None:
        waiting = yield from _count_after(group, standing.read)
    pending, oldest = yield from _pending(group)
    return Backlog(waiting, pending, oldest, int(dead), trimmed + standing.trimmed)


def _count_after(group: Group, read: str) -> Flow[int]:
    """Count the entries after one by looking at them: entries were deleted by hand, and the server has lost count."""
    count, start = 0, read
    while True:
        (page,) = yield Batch([("XRANGE", group.keys.stream, f"({start}", "+", "COUNT", PAGE)], resend=True)
        count += len(page)
        if len(page) < PAGE:
            return count
        start = bytes(page[-1][0]).decode()


def _pending(group: Group) -> Flow[tuple[int, float]]:
    """Count the pending entries, and find for how long the one left longest has been."""
    count, oldest_ms, start = 0, 0, "-"
    while True:
        (page,) = yield Batch([("XPENDING", group.keys.stream, group.name, start, "+", PAGE)], resend=True)
        count += len(page)
        oldest_ms = max(oldest_ms, *(int(entry[2]) for entry in page), 0)
        if len(page) < PAGE:
            return count, oldest_ms / 1000
        start = f"({bytes(page[-1][0]).decode()}"

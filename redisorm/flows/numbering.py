"""Automatic primary keys: numbers that a counter of the class at the server gives out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from redisorm.commands import Batch, Command, Flow

from .changes import Change
from .plan import Plan, Seen
from .seeing import Tally

__all__ = ["Unnumbered", "give_key", "number", "number_rows", "taken"]


def number(changes: Sequence[Change], tally: Tally, *, skip: int = 0) -> Flow[None]:
    """Give automatic primary keys their numbers: one INCRBY a class. `skip` leaves numbers out, after a counter was lost."""
    waiting: dict[str, list[Change]] = {}
    for change in changes:
        waiting.setdefault(change.keyspace.counter, []).append(change)
    if not waiting:
        return
    numbers = yield from _counted({counter: len(group) for counter, group in waiting.items()}, tally, skip)
    for counter, group in waiting.items():
        for value, change in zip(numbers[counter], group, strict=True):
            give_key(change, value)


def _counted(wanted: Mapping[str, int], tally: Tally, skip: int) -> Flow[dict[str, range]]:
    """Take so many numbers from each counter, in one round trip."""
    commands: list[Command] = [("INCRBY", counter, count + skip) for counter, count in wanted.items()]
    replies = yield Batch(commands)
    tally.add(len(commands))
    return {counter: range(last - count + 1, last + 1) for (counter, count), last in zip(wanted.items(), replies, strict=True)}


class Unnumbered(Protocol):
    """Rows of which some want numbers."""

    def unnumbered(self) -> Mapping[str, int]:
        """How many, by the key of the counter."""
        ...

    def give_numbers(self, numbers: Mapping[str, Sequence[int]]) -> None:
        """Give them theirs."""


def number_rows(rows: Unnumbered, tally: Tally) -> Flow[None]:
    """The same for rows that are spelled together."""
    wanted = rows.unnumbered()
    if wanted:
        rows.give_numbers((yield from _counted(wanted, tally, 0)))


def give_key(change: Change, value: int) -> None:
    """Give a new object the number of its automatic key."""
    mapper, difference = change.mapper, change.difference
    assert difference is not None
    if change.numbered:  # the number before this one turned out to be taken
        del difference.sets[:2]
    difference.sets[:0] = (mapper.pk_name, value)
    difference.after = difference.after.with_value(mapper.slots.place(mapper.pk_name), value)
    change.pk, change.key, change.numbered = value, change.keyspace.row(mapper.pk_text(value)), True


def taken(plan: Plan, seen: Seen) -> list[Change]:
    """The new objects whose number from the counter belongs to a row already."""
    return [change for change in plan.changes if change.numbered and seen.of(change).exists]

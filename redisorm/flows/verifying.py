"""What a commit takes for granted as reads under WATCH, and what their replies must be: what the script looks at, for who may run none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from redisorm.commands import Command, ForEach, Reply
from redisorm.errors import ConflictError, WrongTypeError
from redisorm.mapping.encoder import as_bytes

from .assuming import Assumption
from .guarding import Guard
from .plan import EXISTS_AT_ONCE, Plan
from .scripts import keys_of
from .tables import Held, Rows

__all__ = ["Verification"]

Holds = Callable[[Sequence[Reply]], bool]


@dataclass(slots=True)
class Verification:
    """What is looked at before a commit writes.

    Attributes:
        watched: The keys that must not change between the reads and the writes.
        reads: What is read of them, some at a time.
    """

    watched: list[str]
    reads: list[Sequence[Command]] = field(default_factory=list)
    _each: list[Holds] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan, guards: Sequence[Guard], assumed: Assumption, together: Sequence[Rows]) -> Verification:
        """Tell what has to be looked at. A guard says itself what has to be watched for it."""
        tables = [table for one in together for table in one.tables]
        absent = [*chain.from_iterable(table.keys for table in tables if not table.is_known), *assumed.absent]
        held = [(table.keys, table.held) for table in tables if table.held is not None]
        others = [guard.watched for guard in guards] + [keys_of(command) for command, _ in assumed.reads]
        watched = dict.fromkeys(chain(plan.watched, absent, assumed.types, *others, *(keys for keys, _ in held)))
        found = cls(list(watched))
        found._count(absent, 0)
        found._add([("TYPE", key) for key in assumed.types], partial(_of_types, list(assumed.types.values())))
        found._add([guard.read for guard in guards], partial(_pass, guards))
        found._add([command for command, _ in assumed.reads], [reply for _, reply in assumed.reads].__eq__)
        for keys, one in held:
            if not one.present:  # of a row that has nothing HMGET does not tell that it is there
                found._count(keys, 1)
            found._add(ForEach("HMGET", keys, one.fields), partial(_are_held, one))
        return found

    def _count(self, keys: Sequence[str], each: int) -> None:
        """Ask how many of some keys are there: all or none."""
        for start in range(0, len(keys), EXISTS_AT_ONCE):
            asked = keys[start : start + EXISTS_AT_ONCE]
            self._add([("EXISTS", *asked)], [each * len(asked)].__eq__)

    def _add(self, reads: Sequence[Command], holds: Holds) -> None:
        if reads:
            self.reads.append(reads)
            self._each.append(holds)

    @property
    def count(self) -> int:
        """How many reads there are."""
        return sum(map(len, self.reads))

    def holds(self, replies: Sequence[Reply]) -> bool:
        """Whether everything is as it was taken to be."""
        start = 0
        for reads, holds in zip(self.reads, self._each, strict=True):
            if not holds(replies[start : start + len(reads)]):
                return False
            start += len(reads)
        return True


def _of_types(kinds: Iterable[str], replies: Sequence[Reply]) -> bool:
    return all(reply in (b"none", kind.encode()) for kind, reply in zip(kinds, replies, strict=True))


def _pass(guards: Sequence[Guard], replies: Sequence[Reply]) -> bool:
    try:
        for guard, reply in zip(guards, replies, strict=True):
            guard.check(reply)
    except (ConflictError, WrongTypeError):  # it is told by who looks at one after the other
        return False
    return True


def _are_held(held: Held, replies: Sequence[Reply]) -> bool:
    size, nothing = held.present, [None] * (len(held.fields) - held.present)
    if not size:
        return replies == [nothing] * len(replies)
    texts: list[Any] = list(map(as_bytes, held.texts))
    return replies == [texts[start : start + size] + nothing for start in range(0, len(texts), size)]

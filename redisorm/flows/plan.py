"""What one attempt of a commit reads before it writes: the plan, and what was seen. It yields nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redisorm.commands import Command
from redisorm.keys import Keyspace
from redisorm.mapping.mapper import Mapper

from .changes import Change, Kind
from .entries import claims_of
from .guarding import Guard
from .guards import ABSENT, Observed, read_companions
from .standing import Standing

__all__ = ["MOST_COUNTED", "Plan", "Seen"]

EXISTS_AT_ONCE = 5000
MOST_COUNTED = 2**62
"""Explicit keys above this do not raise the counter, which must not overflow."""


@dataclass(slots=True)
class Plan:
    """The reads of one attempt.

    Attributes:
        changes: What to do, deletions first, so that another object can take the key of a deleted one in the same commit.
        watched: The keys that must not change between the reads and the writes.
        rows: The changes of rows that must be there.
        absent: The keys that are expected to be absent, which share one EXISTS.
        counters: The highest explicit number by counter.
        guards: What must hold beside.
    """

    changes: Sequence[Change]
    watched: list[str] = field(default_factory=list)
    rows: list[Change] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    guards: Sequence[Guard] = ()

    @classmethod
    def of(cls, changes: Sequence[Change], guards: Sequence[Guard] = ()) -> Plan:
        """Plan an attempt."""
        plan = cls(changes if len(changes) < 2 else sorted(changes, key=lambda change: change.kind is not Kind.DELETE))
        for change in plan.changes:
            if change.is_new:
                plan._expect_absence(change)
            elif change.is_guarded:
                plan.rows.append(change)
                plan.watched.append(change.key)
                plan.watched += [change.keyspace.companion(change.key, one.name) for one in read_companions(change)]
        for guard in guards:
            plan.watched += guard.watched
        plan.guards = guards
        return plan

    @property
    def is_blind(self) -> bool:
        """Whether nothing need be known before writing."""
        return not self.watched and not self.guards

    def _expect_absence(self, change: Change) -> None:
        mapper, keyspace = change.mapper, change.keyspace
        if mapper.uniques:
            claimed = [keyspace.own(name) for name in claims_of(mapper, change.texts())]
            self.watched += claimed
            self.absent += claimed
        if not change.is_guarded:
            return
        self.watched.append(change.key)
        self.absent.append(change.key)
        if mapper.beside:
            self.absent += change.companion_keys()
        if mapper.indexed:
            memo = Keyspace.memo(change.key)
            self.watched.append(memo)
            self.absent.append(memo)
        if mapper.automatic and not change.numbered and change.pk <= MOST_COUNTED:
            self.counters[keyspace.counter] = max(change.pk, self.counters.get(keyspace.counter, 0))

    @property
    def shared(self) -> list[Command]:
        """EXISTS of everything that is expected to be absent."""
        return [("EXISTS", *self.absent[start : start + EXISTS_AT_ONCE]) for start in range(0, len(self.absent), EXISTS_AT_ONCE)]

    def keys(self) -> list[str]:
        """Every key the attempt may read or write of rows; those of indexes are for their commands to say."""
        rows = [key for change in self.changes for key in (change.key, *change.companion_keys())]
        return list(dict.fromkeys([*self.watched, *self.absent, *rows, *self.counters]))


@dataclass(slots=True)
class Seen:
    """What the server holds for the changes of a plan.

    Attributes:
        rows: Of rows that must be there, by class and key: two classes may map one row.
        new: Under the keys of new objects; left out where nothing is.
        owners: Whose unique values are, by key: the text of a primary key.
        raises: The commands that raise counters.
        standings: What changes of these do to the indexes of their classes, where it is known already.
    """

    rows: dict[tuple[Mapper[Any], str], Observed] = field(default_factory=dict)
    new: dict[str, Observed] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    raises: list[Command] = field(default_factory=list)
    standings: dict[tuple[Mapper[Any], str], Standing] = field(default_factory=dict)

    def of(self, change: Change) -> Observed:
        """What was seen under the key of a change."""
        return self.new.get(change.key, ABSENT) if change.is_new else self.rows.get((change.mapper, change.key), ABSENT)

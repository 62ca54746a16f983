"""From what was seen to the commands of one transaction: every change decided, spelled, and joined with its indexes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from redisorm.commands import Command, Reply
from redisorm.keys import LEDGER, Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.mapper import Mapper

from .changes import UNTOLD, Change, Kind, Outcome
from .decoding import text_of
from .fate import Fate, fate_of
from .guards import ABSENT, Observed, decide, incremented, number_texts
from .indexing import Upkeep
from .living import LiveWrite, live_commands
from .persistence import writes
from .plan import Plan, Seen
from .scope import scope_of
from .standing import Standing, stand
from .tables import Rows

__all__ = ["Due", "Spelled", "spell"]

SKIPPED = Outcome(skipped=True)
_NONE: Mapping[str, Text] = {}


class Due(NamedTuple):
    """Rows of one class that have expired and left something behind.

    Attributes:
        pk_texts: Their primary keys.
    """

    mapper: Mapper[Any]
    keyspace: Keyspace
    pk_texts: list[str]


@dataclass(slots=True)
class Spelled:
    """The commands of a plan, and where in them the answers are that matter.

    Attributes:
        commands: The commands.
        deletions: Where each row is deleted: only the answer tells whether it was there.
        questions: Where it is asked which rows of a class are due to be swept.
        due: The answers to these.
    """

    commands: list[Command]
    deletions: list[tuple[int, Change]] = field(default_factory=list)
    questions: list[tuple[int, Mapper[Any], Keyspace]] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)

    def settled(self, replies: Sequence[Reply] | None) -> bool:
        """Take in the answer; `False` where nothing was executed."""
        if replies is None:
            return False
        for place, change in self.deletions:
            change.outcome = Outcome(was_there=bool(replies[place]))
        for place, mapper, keyspace in self.questions:
            pk_texts = list(map(text_of, replies[place]))
            self.due += [Due(mapper, keyspace, pk_texts)] if pk_texts else []
        return True

    def ask_for_due(self, mortals: Mapping[Keyspace, tuple[Mapper[Any], int]], now_ms: int) -> None:
        """Ask which rows have expired and were not swept yet: two for each that the commit writes, so that sweeping keeps up."""
        for keyspace, (mapper, count) in mortals.items():
            self.questions.append((len(self.commands), mapper, keyspace))
            self.commands.append(("ZRANGE", keyspace.own(LEDGER), "-inf", now_ms, "BYSCORE", "LIMIT", 0, 2 * count))


def spell(
    plan: Plan,
    seen: Seen,
    riders: Sequence[Command],
    now_ms: int,
    new_version: Callable[[], int],
    together: Sequence[Rows] = (),
    lives: Sequence[LiveWrite] = (),
) -> Spelled:
    """Decide every change and spell it; what does not fit raises here, before anything is sent.

    Raises:
        ConflictError: The server holds something else than a change relies on.
        IndexValueError: An index cannot hold a value.
    """
    making = _Making(seen, now_ms, new_version, Spelled(list(seen.raises)))
    for change in plan.changes:
        making.add(change)
    for rows in together:
        rows.enter(making.upkeep)
        if rows.counts_on_sweeps:
            making.count_mortals(rows.mapper, rows.keyspace, len(rows.keys))
    spelled = making.spelled
    spelled.commands += chain.from_iterable(rows.fill() for rows in together)
    spelled.commands += making.upkeep.commands()
    spelled.commands += live_commands(lives, making.made, plan.guards)
    spelled.ask_for_due(making.mortals, now_ms)
    spelled.commands += riders
    return spelled


@dataclass(slots=True)
class _Making:
    """The commands of a plan while they are made.

    Attributes:
        removed: The keys of deleted rows, which another object may take in the same commit.
        made: The changes by key, and when their rows will expire.
        mortals: The classes whose rows expire, and how many of each are written.
    """

    seen: Seen
    now_ms: int
    new_version: Callable[[], int]
    spelled: Spelled
    upkeep: Upkeep = field(default_factory=Upkeep)
    removed: set[str] = field(default_factory=set)
    made: dict[str, tuple[Change, Fate]] = field(default_factory=dict)
    mortals: dict[Keyspace, tuple[Mapper[Any], int]] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Decide one change and spell it."""
        observed = ABSENT if change.is_new and change.key in self.removed else self.seen.of(change)
        if (change.touch or change.only_if is not None) and not (observed.exists and observed.fits):
            change.outcome = SKIPPED
            return
        decide(change, observed)
        commands = self.spelled.commands
        if change.kind is Kind.DELETE:
            self.removed.add(change.key)
            self.spelled.deletions.append((len(commands), change))
        numbers = incremented(change, observed) if change.increments else {}
        change.outcome = _outcome(change, observed, numbers, self.new_version)
        texts = number_texts(change, numbers) if numbers else _NONE
        fate = fate_of(change, observed, self.now_ms)
        self.made[change.key] = change, fate
        if change.mapper.indexed:
            self._keep_indexes(change, observed, fate)
        commands += writes(change, observed, texts, fate, now_ms=self.now_ms, version=change.outcome.version or 0)

    def _keep_indexes(self, change: Change, observed: Observed, fate: Fate) -> None:
        standing = None if change.is_new else self.seen.standings.get((change.mapper, change.key))
        if standing is None and (scope := scope_of(change, fate, forgotten=observed.forgotten)) is not None:
            standing = stand(change, observed, fate, scope)
        if standing is not None:
            _free_only_its_own(standing, change, self.seen)
            standing.keep(change, self.upkeep)
        if fate.deadline_ms is not None or change.mapper.options.ttl_ms is not None:
            self.count_mortals(change.mapper, change.keyspace, 1)

    def count_mortals(self, mapper: Mapper[Any], keyspace: Keyspace, more: int) -> None:
        """Note that so many rows of a class are written which expire."""
        mapper, count = self.mortals.get(keyspace, (mapper, 0))
        self.mortals[keyspace] = mapper, count + more


def _free_only_its_own(standing: Standing, change: Change, seen: Seen) -> None:
    """Leave alone what another row took over after the former life that a memo tells of."""
    own, pk_text = change.keyspace.own, standing.pk_text
    if standing.freed and seen.owners:
        standing.freed = [name for name in standing.freed if seen.owners.get(own(name), pk_text) == pk_text]


def _outcome(change: Change, seen: Observed, numbers: dict[str, Any], new_version: Callable[[], int]) -> Outcome:
    """What a change will have come to when the server has agreed."""
    versioned = change.mapper.options.versioned
    life = change.life if isinstance(change.life, int) else None if change.is_new else seen.life
    if not versioned and life is None and not numbers:
        return UNTOLD
    version = change.version if change.touch else new_version() if change.version is None else change.version + 1
    return Outcome(version if versioned else None, life, numbers)

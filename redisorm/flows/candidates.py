"""The primary keys that a query finds, in its order: all of them at hand, or walked page by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from redisorm.commands import Command, Flow

from .planning import Plan, Sort
from .probing import Probe
from .sources import SMALL, Lexical, Scored, Source
from .walking import Entry, Walk

__all__ = ["DUE", "Candidates", "Known", "Walked", "due_of", "in_order"]

PAGE = 500
"""So many entries at least are read at once where not all of them may fit."""

DUE = 1000
"""So many rows that are due are simply left out; where there are more, each row is asked for its deadline."""


class Candidates(Protocol):
    """Primary keys in order."""

    def take(self, count: int) -> Flow[list[bytes]]:
        """Hand out about so many more; none at the end."""
        ...


class Known:
    """Primary keys that are all at hand."""

    def __init__(self, members: Sequence[bytes]) -> None:
        self._members = members
        self._taken = 0

    def take(self, count: int) -> Flow[list[bytes]]:
        """Hand out so many more. Sends nothing."""
        yield from ()
        part = list(self._members[self._taken : self._taken + count])
        self._taken += len(part)
        return part


def due_of(plan: Plan) -> Command:
    """Read the rows that are due but not swept yet: few, most of the time none."""
    return ("ZRANGE", plan.ledger.key, "-inf", plan.now_ms, "BYSCORE", "LIMIT", 0, DUE + 1)


def in_order(plan: Plan, members: Iterable[bytes], sorts: Sequence[Sort], values: Mapping[str, Mapping[bytes, Any]]) -> list[bytes]:
    """Sort rows, those without a value last, ties by primary key.

    Args:
        values: What to sort by, by field and row. The primary key needs none.
    """
    ordered = sorted(members, reverse=bool(plan.sorts) and plan.sorts[0].descending)
    for sort in reversed(sorts):
        if sort.index is None:
            keys = plan.mapper.pk_values([member.decode() for member in ordered])
            known: Mapping[bytes, Any] = dict(zip(ordered, keys, strict=True))
        else:
            known = values[sort.name]
        last = [member for member in ordered if member not in known]
        ordered = [member for member in ordered if member in known]
        ordered.sort(key=known.__getitem__, reverse=sort.descending)
        ordered += last
    return ordered


class Walked:
    """Primary keys as walks through one or several sources find them.

    A row is handed out where the first of the sources that has it comes by.

    Args:
        sources: What to walk through, one after the other.
        probe: What to ask of the rows of each page; `None` where they all fit.
        sorts: What to sort rows by that have the same place in a source.
        known: The rows of sources that cannot be asked of a row.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Sequence[Scored | Lexical],
        probe: Probe | None,
        sorts: Sequence[Sort] = (),
        known: Mapping[Source, set[bytes]] | None = None,
    ) -> None:
        self._plan = plan
        self._known = known or {}
        self._sources = sources
        self._probe = probe
        self._sorts = sorts
        self._reverse = bool(plan.sorts) and plan.sorts[0].descending
        self._leg = 0
        self._walk = Walk(sources[0], reverse=self._reverse)
        self._group: list[Entry] = []
        self._values: dict[str, dict[bytes, Any]] = {sort.name: {} for sort in sorts}
        self._ready: list[bytes] = []

    def take(self, count: int) -> Flow[list[bytes]]:
        """Hand out about so many more: one round trip, or two where rows are asked for other sources."""
        size = count if self._probe is None else max(count, PAGE)
        while not self._ready and self._leg < len(self._sources):
            yield from self._step(size)
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    def begin(self, count: int, size: int) -> Flow[bool]:
        """Read the first page, of so many entries; whether as many rows fit, in the order they have where all are read at once.

        Without an order that is the order of their primary keys, which entries have only as far as their rows do not expire.
        """
        if self._goes_by_key:
            return False
        entries = yield from self._step(size)
        return len(self._ready) >= count and (bool(self._plan.sorts) or all(score == float("inf") for _, score in entries[:1]))

    def _step(self, size: int) -> Flow[list[Entry]]:
        """Make the rows of the next page ready that fit."""
        entries = yield from self._page(size)
        self._arrange(entries)
        if self._walk.ended:
            self._ready += self._sorted_group()
            self._leg += 1
            if self._leg < len(self._sources):
                self._walk = Walk(self._sources[self._leg], reverse=self._reverse)
        return entries

    @property
    def _is_mortal(self) -> bool:
        """Whether it goes by deadlines."""
        return isinstance(self._walk.source, Scored) and self._walk.source.mortal

    @property
    def _goes_by_key(self) -> bool:
        """Whether pages must be read in the order of primary keys."""
        options = self._plan.mapper.options
        return self._is_mortal and (options.ttl_ms is not None or options.ttl_refresh == "read" or bool(self._plan.sorts))

    def _page(self, count: int) -> Flow[list[Entry]]:
        """The next rows that fit."""
        if self._goes_by_key:
            return (yield from self._by_key(count))
        if self._probe is not None or self._is_mortal:
            entries, _ = yield from self._walk.page(count)
            return (yield from self._fitting(entries, self._probe))
        entries, (due,) = yield from self._walk.page(count, [due_of(self._plan)])
        self._plan.met.extend(due)
        if len(due) > DUE:
            return (yield from self._fitting(entries, Probe(self._plan, (), ledger=True)))
        gone = set(due)
        return [entry for entry in entries if entry[0] not in gone] if gone else entries

    def _by_key(self, count: int) -> Flow[list[Entry]]:
        """The rows by primary key, where they are few: every write moves a deadline, and pages must not move with it.

        Where reading moves deadlines too, all keys are read before the first row is.
        """
        is_whole = not self._walk.begun
        entries, _ = yield from self._walk.page(SMALL + 1)
        while not self._walk.ended and self._plan.mapper.options.ttl_refresh == "read":
            more, _ = yield from self._walk.page(SMALL)
            entries += more
        if self._walk.ended and is_whole:
            entries.sort(key=itemgetter(0), reverse=self._reverse)
        return (yield from self._fitting(entries, self._probe))

    def _fitting(self, entries: list[Entry], probe: Probe | None) -> Flow[list[Entry]]:
        """Of entries those that fit the condition and are in no earlier source."""
        if probe is None:
            return entries
        members = [member for member, _ in entries]
        answer = yield from probe.ask(members)
        for name, values in answer.values.items():
            self._values[name].update(values)
        chosen = answer.choose(self._plan, set(members), {**self._known, self._walk.source: set(members)})
        for earlier in self._sources[: self._leg]:
            chosen -= answer.found.get(earlier, set())
        return [entry for entry in entries if entry[0] in chosen]

    def _arrange(self, entries: list[Entry]) -> None:
        """Make rows ready: at once, or with all others of the same value where these have an order of their own."""
        if not self._sorts:
            self._ready += [member for member, _ in entries]
            return
        for entry in entries:  # rows without a value, whose entries have deadlines, are all alike
            if self._group and not self._is_mortal and self._group[0][1] != entry[1]:
                self._ready += self._sorted_group()
            self._group.append(entry)

    def _sorted_group(self) -> list[bytes]:
        members = [member for member, _ in self._group]
        ordered = in_order(self._plan, members, self._sorts, self._values)
        self._group = []
        for known in self._values.values():
            for member in members:
                known.pop(member, None)
        return ordered

"""Where a row stands in the indexes of its class before a change and after it. Plain functions over what was seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from redisorm.keys import Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.indexes import Unique

from .changes import Change, Kind
from .entries import Entries, claims_of, entries_around, entries_of
from .fate import Fate
from .guards import Observed, texts_after
from .indexing import Upkeep, memo_of
from .persistence import merged
from .scope import UNIQUE, Scope

__all__ = ["Standing", "entries_in", "leaving", "refuse_values", "stand"]


@dataclass(slots=True)
class Standing:
    """What a change does to the indexes.

    Attributes:
        pk_text: The row's primary key.
        fate: When it will expire.
        leaving: The members to take out, by entry; empty for the primary key.
        entering: The entries to put in, or to move to another deadline.
        freed: Unique values it gives up, by what comes after `prefix::`.
        claims: Unique values it will have.
        held: Those it has already.
        memo_before: What was remembered of it.
        memo_after: What will have to be.
        enlisted: Whether the list of all rows must be told.
        gone: Whether the row is deleted.
    """

    pk_text: str
    fate: Fate
    leaving: dict[str, str]
    entering: Entries
    freed: list[str]
    claims: dict[str, Unique]
    held: Collection[str]
    memo_before: Mapping[str, str]
    memo_after: Mapping[str, str]
    enlisted: bool
    gone: bool = False

    def keep(self, change: Change, upkeep: Upkeep) -> None:
        """Add the commands to those of the commit."""
        keyspace, memo = change.keyspace, Keyspace.memo(change.key)
        upkeep.leave(keyspace, self.pk_text, self.leaving)
        for name in self.freed:
            upkeep.free(keyspace.own(name))
        if self.gone:
            upkeep.unlist(keyspace, self.pk_text)
            upkeep.forget(memo)
            return
        if self.enlisted:
            upkeep.enlist(keyspace, self.pk_text, self.fate.deadline_ms)
        upkeep.enter(keyspace, self.entering, self.fate.deadline_ms)
        for name in self.claims:
            if self.fate.moved or name not in self.held:
                upkeep.take(keyspace.own(name), self.pk_text, self.fate.deadline_ms)
        if self.fate.deadline_ms is not None:
            upkeep.remember(memo, self.memo_before, self.memo_after)
        elif self.memo_before:
            upkeep.forget(memo)


def stand(change: Change, seen: Observed, fate: Fate, scope: Scope) -> Standing:
    """Work out what a change does to the indexes that it touches.

    Raises:
        IndexValueError: An index cannot hold a value.
    """
    pk_text, gone = change.mapper.pk_text(change.pk), change.kind is Kind.DELETE
    texts = {} if gone else texts_after(change, seen)
    former, after = _entries_around(change, seen, scope, pk_text, texts)
    held = claims_of(change.mapper, seen.texts, scope.uniques) if scope.uniques and seen.exists else {}
    claims = claims_of(change.mapper, texts, scope.uniques) if scope.uniques and not gone else {}
    before, owned = memo_of(former, {}, pk_text), list(held)
    remembered: Mapping[str, str] = {}
    if seen.recalled:
        remembered = memo_of(former, held, pk_text) if held else before
    elif seen.memo:
        remembered = {name: member for name, member in seen.memo.items() if scope.holds(name)}
        before = entries_in({**remembered, **before})
        owned += [name for name in remembered if name.startswith(UNIQUE) and name not in held]
    return Standing(
        pk_text,
        fate,
        leaving=leaving(before, after, pk_text),
        entering=after if scope.whole else {name: entry for name, entry in after.items() if former.get(name) != entry},
        freed=[name for name in owned if name not in claims],
        claims=claims,
        held=held,  # what an earlier life had has expired with it
        memo_before=remembered,
        memo_after={} if fate.deadline_ms is None else memo_of(after, claims, pk_text),
        enlisted=scope.whole and not gone,
        gone=gone,
    )


def _entries_around(
    change: Change, seen: Observed, scope: Scope, pk_text: str, texts: Mapping[str, Text | None]
) -> tuple[Entries, Entries]:
    """The entries that a row has and will have."""
    mapper, key, stored = change.mapper, change.key, (seen.texts, seen.elements)
    if change.kind is Kind.DELETE:
        return (entries_of(mapper, key, pk_text, *stored, strict=False, indexes=scope.indexes) if seen.exists else {}), {}
    elements = _elements(change, seen)
    if not seen.exists:
        return {}, entries_of(mapper, key, pk_text, texts, elements, strict=True, indexes=scope.indexes)
    return entries_around(key, pk_text, scope.indexes, stored, (texts, elements))


def refuse_values(changes: Iterable[Change]) -> None:
    """Refuse what a change itself writes into an index that cannot hold it, whatever the server holds.

    Raises:
        IndexValueError: An index cannot hold a value.
    """
    for change in changes:
        if change.difference is None or change.only_if is not None or not change.mapper.indexed:
            continue
        mapper, texts, elements = change.mapper, change.texts(), change.elements()
        indexes = [index for name, index in mapper.indexes.items() if change.is_new or name in texts or name in elements]
        entries_of(mapper, change.key, mapper.pk_text(change.pk), texts, elements, strict=True, indexes=indexes)


def entries_in(memo: Mapping[str, str]) -> dict[str, str]:
    """The members that are remembered, by entry, without the unique values."""
    return {name: member for name, member in memo.items() if not name.startswith(UNIQUE)}


def leaving(before: Mapping[str, str], after: Entries, pk_text: str) -> dict[str, str]:
    """The members to take out of indexes, where a row stood as one remembers, and will stand otherwise."""
    return {name: member for name, member in before.items() if name not in after or (member or pk_text) != after[name][0]}


def _elements(change: Change, seen: Observed) -> Mapping[str, Sequence[bytes]]:
    """The elements of indexed companions as they will be: what another writer did to them meanwhile stays."""
    if change.is_new:
        return change.elements()
    if change.difference is None or not change.difference.companions:
        return seen.elements
    elements = dict(seen.elements)
    for one in change.difference.companions:
        if one.companion.name in elements:
            elements[one.companion.name] = merged(one, elements[one.companion.name])
    return elements

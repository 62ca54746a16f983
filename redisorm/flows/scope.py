"""Which of the indexes and unique constraints of its class a change touches. What it does not touch is neither read nor written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from redisorm.mapping.indexes import Index, Unique

from .changes import Change, Kind
from .fate import Fate

__all__ = ["UNIQUE", "Scope", "scope_of"]

UNIQUE = "unique:"
"""How the name of an entry begins that is a unique value."""


class Scope(NamedTuple):
    """Indexes and unique constraints.

    Attributes:
        fields: The hash fields they depend on, each once.
        whole: Whether they are all of the class.
    """

    indexes: Collection[Index]
    uniques: Collection[Unique]
    fields: Collection[str]
    whole: bool

    def holds(self, entry: str) -> bool:
        """Whether an entry, or a unique value, is of one of them."""
        if self.whole:
            return True
        if entry.startswith(UNIQUE):
            return any(entry.split(":", 2)[1] == unique.name for unique in self.uniques)
        return any(entry.partition(":")[0] == index.name for index in self.indexes)


def scope_of(change: Change, fate: Fate, *, forgotten: bool = False) -> Scope | None:
    """Work out what a change touches: everything, where the row is made, replaced, deleted, or gets another deadline; `None` for nothing.

    Args:
        forgotten: Whether all must be written since nothing is remembered of the row.
    """
    mapper = change.mapper
    if forgotten or change.is_new or change.kind is Kind.DELETE or fate.moved:
        return Scope(mapper.indexes.values(), mapper.uniques, mapper.index_fields, whole=True)
    written = _written(change)
    indexes = [index for name, index in mapper.indexes.items() if name in written]
    uniques = [unique for unique in mapper.uniques if not written.isdisjoint(unique.names)]
    if not (indexes or uniques):
        return None
    fields = dict.fromkeys([index.name for index in indexes if index.companion is None])
    for unique in uniques:
        fields.update(dict.fromkeys(unique.names))
    return Scope(indexes, uniques, fields.keys(), whole=False)


def _written(change: Change) -> set[Any]:
    """The hash fields and companions that a change writes."""
    written: set[Any] = {increment.leaf.name for increment in change.increments} if change.increments else set()
    if change.difference is not None:
        written.update(change.difference.sets[::2], change.difference.unsets)
        for one in change.difference.companions:
            written.add(one.companion.name)
    return written

"""Which of the indexes and unique constraints of its class a change touches. What it does not touch is neither read nor written."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from redisorm.mapping.indexes import Index, Unique

from .changes import Change, Kind
from .fate import Fate

__all__ = ["UNIQUE", "Scope", "scope_of"]

UNIQUE = "unique:"
"""How the name of an entry begins that is a unique value."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Indexes and unique constraints.

    Attributes:
        whole: Whether they are all of the class.
    """

    indexes: Collection[Index]
    uniques: Collection[Unique]
    whole: bool

    def __bool__(self) -> bool:
        return bool(self.whole or self.indexes or self.uniques)

    @property
    def fields(self) -> list[str]:
        """The hash fields they depend on."""
        names = [index.name for index in self.indexes if index.companion is None]
        return names + [leaf.name for unique in self.uniques for leaf in unique.leaves]

    def holds(self, entry: str) -> bool:
        """Whether an entry, or a unique value, is of one of them."""
        if self.whole:
            return True
        if entry.startswith(UNIQUE):
            return any(entry.split(":", 2)[1] == unique.name for unique in self.uniques)
        return any(entry.partition(":")[0] == index.name for index in self.indexes)


def scope_of(change: Change, fate: Fate, *, forgotten: bool = False) -> Scope:
    """Work out what a change touches: everything, where the row is made, replaced, deleted, or gets another deadline.

    Args:
        forgotten: Whether all must be written since nothing is remembered of the row.
    """
    mapper = change.mapper
    if forgotten or change.is_new or change.kind is Kind.DELETE or fate.moved:
        return Scope(mapper.indexes.values(), mapper.uniques, whole=True)
    written = {*_written(change)}
    indexes = [index for name, index in mapper.indexes.items() if name in written]
    uniques = [unique for unique in mapper.uniques if any(leaf.name in written for leaf in unique.leaves)]
    return Scope(indexes, uniques, whole=False)


def _written(change: Change) -> Iterable[str]:
    """The hash fields and companions that a change writes."""
    if change.difference is not None:
        yield from change.difference.sets[::2]  # type: ignore[misc]  # names, not values
        yield from change.difference.unsets
        yield from (one.companion.name for one in change.difference.companions)
    yield from (increment.leaf.name for increment in change.increments)

"""Many rows of one class that are deleted, spelled together: their keys in few commands, and their entries index by index.

Rows that stand in indexes are taken to be as they were loaded, which is verified before. What needs a closer look row by row is left to
`changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from redisorm.commands import Command, Reply
from redisorm.errors import IndexValueError
from redisorm.keys import LEDGER, LIFE, VERSION, Keyspace
from redisorm.mapping.differences import Values, presence
from redisorm.mapping.mapper import Mapper

from .entering import Entered, Named, entries, hold, owned, recall, remembered
from .indexing import Upkeep, unlinks
from .newentries import unique_values
from .tables import Held, Table

__all__ = ["DeletedRows"]


class DeletedRows:
    """Rows of one class that are deleted.

    Attributes:
        mapper: The mapper of the class.
        keyspace: Its keys.
        keys: The keys of the rows.
        tables: What they must be as; nothing is written of them.
        is_blind: Whether nothing need be known of them before, as of rows without indexes and versions.
    """

    __slots__ = ("_before", "_freed", "_gone", "_reads", "_versions", "is_blind", "keys", "keyspace", "mapper", "tables")

    def __init__(self, mapper: Mapper[Any], keyspace: Keyspace, keys: list[str], before: Values, versions: Sequence[int | None]) -> None:
        """Take in rows.

        Args:
            before: The values of each row as they were loaded, in the order of the slots; empty for a class without indexes.
            versions: The version of each row, for a versioned class.
        """
        self.mapper = mapper
        self.keyspace = keyspace
        self.keys = keys
        self.tables: list[Table] = []
        self.is_blind = not (mapper.indexed or mapper.options.versioned)
        self._before = before
        self._versions = versions
        self._gone: list[tuple[str, list[str]]] = []
        self._freed: list[str] = []
        self._reads: list[tuple[Command, Reply]] = []

    @staticmethod
    def fit(mapper: Mapper[Any]) -> bool:
        """Whether rows of a class can be deleted so: those that nobody looks at before, and those whose values tell their entries."""
        return not mapper.indexed or mapper.told_by_values

    def spell(self) -> bool:
        """Spell what is deleted; `False` where a row has to be looked at by itself. Nothing was sent."""
        if not self.mapper.indexed:
            if self.mapper.options.versioned:
                self.tables.append(Table((), self.keys, [], Held.of({VERSION: list(map(str, self._versions))}, ())))
            return True
        places = list(map(self.mapper.slots.place, self.mapper.index_fields))
        shapes: dict[tuple[Any, ...], list[int]] = {}
        for number, values in enumerate(self._before):
            shapes.setdefault(presence(values, places), []).append(number)
        try:
            for numbers in shapes.values():
                self._spell(numbers)
        except (ValueError, IndexValueError):  # it does not stand there as it was loaded
            return False
        self.keys = [self.keys[number] for numbers in shapes.values() for number in numbers]
        return True

    def _spell(self, numbers: Sequence[int]) -> None:
        """Spell rows that have values in the same fields.

        Raises:
            ValueError: A value has to be checked before one knows its entry.
        """
        mapper, own = self.mapper, Named(self.keyspace.own)
        keys, before = [self.keys[number] for number in numbers], [self._before[number] for number in numbers]
        pk_place = mapper.slots.place(mapper.pk_name)
        pk_texts = mapper.pk_texts([values[pk_place] for values in before])
        self._gone.append((own[LEDGER], pk_texts))
        present, absent = hold(mapper, mapper.index_fields, before, keys)
        entered: list[Sequence[Entered | None]] = []
        for index in mapper.indexes.values():
            assert index.place is not None
            entered.append(entries(index, [values[index.place] for values in before], keys, pk_texts))
            leaving: dict[str, list[str]] = {}
            for entry in entered[-1]:
                if entry:
                    leaving.setdefault(own[entry[0]], []).append(entry[1])
            self._gone += leaving.items()
        claims = unique_values(mapper, before, keys) if mapper.uniques else []
        self._freed += (own[name] for names in claims for name in names)
        self._reads += owned(own, zip(pk_texts, claims))  # noqa: B905 - none of a class without unique values
        if self.counts_on_sweeps:
            tables, reads = recall(keys, remembered(entered, claims, pk_texts))
            self.tables += tables
            self._reads += reads
        if mapper.options.versioned:
            present[VERSION] = [str(self._versions[number]) for number in numbers]
        self.tables.append(Table((), keys, [], Held.of(present, [LIFE, *absent])))

    @property
    def counts_on_sweeps(self) -> bool:
        """Whether the rows would have expired, and stand in indexes until then."""
        return self.mapper.indexed and self.mapper.options.ttl_ms is not None

    def live_from(self, now_ms: int) -> None:
        """When deleted rows would have expired tells nothing any more."""

    def derive(self) -> None:
        """Nothing of deleted rows is left to a script to work out."""

    def absent(self) -> list[str]:
        """The keys that must be absent: a row that stands in indexes for ever has no memo."""
        return list(map(Keyspace.memo, self.keys)) if self.mapper.indexed and not self.counts_on_sweeps else []

    def reads(self) -> Sequence[tuple[Command, Reply]]:
        """Whose the unique values of the rows are, and the memos of those that stand in indexes until they expire."""
        return self._reads

    def types(self) -> Mapping[str, str]:
        """What is removed may be of any type."""
        return {}

    def fill(self) -> list[Command]:
        """The commands beside those of the tables."""
        companions = ((Keyspace.companion(key, one.name) for key in self.keys) for one in self.mapper.beside)
        return list(unlinks([*self.keys, *chain.from_iterable(companions)]))

    def enter(self, upkeep: Upkeep) -> None:
        """Take the rows out of the indexes of their class."""
        for key, members in self._gone:
            upkeep.remove(key, members)
        for key in self._freed:
            upkeep.free(key)
        if self.counts_on_sweeps:
            upkeep.drop(map(Keyspace.memo, self.keys))

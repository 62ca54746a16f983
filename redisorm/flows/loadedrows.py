"""Many loaded rows of one class that changed, spelled column by column rather than object by object.

The common case of a session that loads rows, changes something in each and commits: rows that are a hash, with JSON and nested models in
it, whatever indexes their values tell, and collections beside it. They are taken to be as they were loaded, which a script verifies. What
needs a closer look row by row is left to `changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redisorm.commands import Argument, Command
from redisorm.errors import IndexValueError
from redisorm.keys import LIFE, VERSION, Keyspace
from redisorm.mapping.differences import Alike, alike, column_texts
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import CompanionChange, Snapshot

from .entering import Entered, Named, entries
from .indexing import Upkeep
from .persistence import replaced
from .tables import Held, Table

__all__ = ["LoadedRows"]


class _Move(NamedTuple):
    """How rows of one index leave and enter it: the keys, and for those that enter the scores; the members."""

    leaving: dict[str, list[str]]
    entering: dict[str, list[str]]


class LoadedRows:
    """Loaded rows of one class that changed.

    Attributes:
        mapper: The mapper of the class.
        keyspace: Its keys.
        keys: The keys of the rows, once they are spelled of those that are written.
        tables: What to write.
        is_fresh: That they are not.
    """

    __slots__ = (
        "_after",
        "_before",
        "_collected",
        "_commands",
        "_memos",
        "_moves",
        "_types",
        "_versions",
        "is_fresh",
        "keys",
        "keyspace",
        "mapper",
        "tables",
    )

    def __init__(
        self,
        mapper: Mapper[Any],
        keyspace: Keyspace,
        keys: list[str],
        after: Sequence[Snapshot],
        before: Sequence[Snapshot],
        collected: Mapping[int, Sequence[CompanionChange]],
        versions: Sequence[int | None],
    ) -> None:
        """Take in rows.

        Args:
            after: The rows as the server will have them.
            before: The same as they were loaded.
            collected: By the number of a row the collections that differ.
            versions: The version of each row as it was loaded, for a versioned class.
        """
        self.mapper = mapper
        self.keyspace = keyspace
        self.keys = keys
        self.tables: list[Table] = []
        self.is_fresh = False
        self._after = after
        self._before = before
        self._collected = collected
        self._versions = versions
        self._memos: list[str] = []
        self._types: dict[str, str] = {}
        self._commands: list[Command] = []
        self._moves: list[_Move] = []

    @staticmethod
    def fit(mapper: Mapper[Any]) -> bool:
        """Whether rows of a class can be spelled so: hashes of declared fields, and collections beside them that stand in no index."""
        if not mapper.is_kept_simply or mapper.open or mapper.slots.computed:
            return False
        return not any(index.companion for index in mapper.indexes.values())

    @staticmethod
    def looked_at(mapper: Mapper[Any]) -> list[int]:
        """The slots whose change calls for a look at the row: of its key, of unique values, and of those that do not tell their entries."""
        names = [mapper.pk_name, *(name for unique in mapper.uniques for name in unique.names)]
        names += [name for name, index in mapper.indexes.items() if not index.by_value]
        return list(map(mapper.slots.place, dict.fromkeys(names)))

    def spell(self) -> list[int] | None:
        """Spell what changed: which rows are written, or `None` where a row has to be looked at by itself. Nothing was sent."""
        try:
            groups = alike(self.mapper, self._after, self._before, self.keys)
            others = self._collected.keys() - {number for group in groups for number in group.numbers} if self._collected else ()
            groups += [Alike(sorted(others), {}, ())] if others else []
            for group in groups:
                self._spell(group)
        except (ValueError, IndexValueError):  # it is told of one object, in the order of all
            return None
        for number in self._collected:
            self._collect(self.keys[number], self._collected[number])
        written = [number for one in groups for number in one.numbers]
        self.keys = [self.keys[number] for number in written]
        return written

    def _spell(self, group: Alike) -> None:
        mapper, numbers, names = self.mapper, group.numbers, self.mapper.slots.names
        keys = [self.keys[number] for number in numbers]
        present: dict[str, list[Any]] = {}
        absent = [LIFE]
        touched = [one for one in mapper.indexes.values() if one.place in group.sets or one.place in group.unsets]
        pk_place = mapper.slots.place(mapper.pk_name)
        pk_texts = mapper.pk_texts([self._after[number].values[pk_place] for number in numbers]) if touched else ()
        for index in touched:
            assert index.place is not None
            was, now = ([rows[number].values[index.place] for number in numbers] for rows in (self._before, self._after))
            texts = column_texts(mapper, index.place, was, keys)
            if texts[0] is None:
                absent.append(index.name)
            else:
                present[index.name] = texts
            self._moves.append(self._move(entries(index, was, keys, pk_texts), entries(index, now, keys, pk_texts)))
        if touched:
            self._memos += map(Keyspace.memo, keys)
        columns: dict[Argument, Sequence[Any]] = {names[place]: texts for place, texts in group.sets.items()}
        if mapper.options.versioned:
            versions = [self._versions[number] or 0 for number in numbers]
            present[VERSION], columns[VERSION] = list(map(str, versions)), [version + 1 for version in versions]
        values = [text for row in zip(*columns.values(), strict=True) for text in row]
        self.tables.append(Table(tuple(columns), keys, values, Held.of(present, absent)))
        if group.unsets:
            gone = [names[place] for place in group.unsets]
            self._commands += (("HDEL", key, *gone) for key in keys)

    def _collect(self, row: str, changes: Sequence[CompanionChange]) -> None:
        """Spell what changed in the collections of a row."""
        for change in changes:
            key = Keyspace.companion(row, change.companion.name)
            self._types[key] = change.companion.kind
            self._commands += replaced(key, change)

    def _move(self, before: Sequence[Entered], after: Sequence[Entered]) -> _Move:
        """How rows move from entries of an index to others."""
        move, own = _Move({}, {}), Named(self.keyspace.own)
        for former, entry in zip(before, after, strict=True):
            if former[:2] != entry[:2]:
                move.leaving.setdefault(own[former[0]], []).append(former[1])
            if former != entry:
                move.entering.setdefault(own[entry[0]], []).extend((entry[2], entry[1]))
        return move

    @property
    def counts_on_sweeps(self) -> bool:
        """Whether the rows expire and stand in indexes then."""
        return False

    def live_from(self, now_ms: int) -> None:
        """None of these rows has a deadline."""

    def derive(self) -> None:
        """Nothing of loaded rows is left to a script to work out."""

    def absent(self) -> list[str]:
        """The keys that must be absent: a row that stands in indexes for ever has no memo."""
        return self._memos

    def types(self) -> Mapping[str, str]:
        """The collections that are written, and their types."""
        return self._types

    def fill(self) -> list[Command]:
        """The commands beside those of the tables."""
        return self._commands

    def enter(self, upkeep: Upkeep) -> None:
        """Move the rows in the indexes of their class."""
        for move in self._moves:
            for key, members in move.leaving.items():
                upkeep.remove(key, members)
            for key, words in move.entering.items():
                upkeep.add(key, words)

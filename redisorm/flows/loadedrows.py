"""Many loaded rows of one class that changed, spelled column by column rather than object by object.

The common case of a session that loads rows, changes something in each and commits: rows that are a hash, with JSON and nested models in
it, whatever indexes their values tell, and collections beside it. They are taken to be as they were loaded, which is verified before. What
needs a closer look row by row is left to `changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redisorm.commands import Argument, Command, Reply
from redisorm.errors import IndexValueError
from redisorm.keys import LEDGER, LIFE, VERSION, Keyspace
from redisorm.mapping.differences import Alike, alike
from redisorm.mapping.indexes import Index
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import CompanionChange, Snapshot

from .entering import Entered, Named, entries, hold, owned, recall, remembered
from .indexing import Upkeep, deadline_score
from .newentries import unique_values
from .persistence import replaced
from .tables import Held, Table

__all__ = ["LoadedRows"]


class _Move(NamedTuple):
    """How rows of one index leave and enter it, by key: the members, those that enter at the deadline of their row apart from others.

    Attributes:
        entering: Score and member in turn.
    """

    leaving: dict[str, list[str]]
    entering: dict[str, list[str]]
    expiring: dict[str, list[str]]


class _Claim(NamedTuple):
    """The unique values that a row has, and those that it will have, by what comes after `prefix::` in their keys."""

    pk_text: str
    held: Sequence[str]
    coming: Sequence[str]


class LoadedRows:
    """Loaded rows of one class that changed.

    Attributes:
        mapper: The mapper of the class.
        keyspace: Its keys.
        keys: The keys of the rows, once they are spelled of those that are written.
        tables: What to write, and what memos must hold.
        is_blind: That they must be as they were loaded.
    """

    __slots__ = (
        "_after",
        "_before",
        "_claims",
        "_collected",
        "_commands",
        "_deadline_ms",
        "_life_ms",
        "_memos",
        "_moves",
        "_own",
        "_pk_texts",
        "_reads",
        "_recalled",
        "_remembered",
        "_rows",
        "_types",
        "_versions",
        "is_blind",
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
        self.is_blind = False
        self._after = after
        self._before = before
        self._collected = collected
        self._versions = versions
        self._memos: list[str] = []
        self._types: dict[str, str] = {}
        self._commands: list[Command] = []
        self._moves: list[_Move] = []
        self._rows: list[Table] = []
        self._recalled: list[Table] = []
        self._reads: list[tuple[Command, Reply]] = []
        self._remembered: list[tuple[str, Mapping[str, str], Mapping[str, str]]] = []
        self._pk_texts: list[str] = []
        self._claims: list[_Claim] = []
        self._own = Named(keyspace.own)
        self._life_ms = mapper.options.ttl_ms if mapper.options.ttl_refresh != "never" else None
        self._deadline_ms: int | None = None

    @staticmethod
    def fit(mapper: Mapper[Any]) -> bool:
        """Whether rows of a class can be spelled so: hashes of declared fields, and collections beside them.

        Of a class whose elements stand in an index, those rows are left out whose collections changed.
        """
        options = mapper.options
        if mapper.open or mapper.slots.computed or mapper.slots.lives:
            return False
        if options.ttl_ms is None:
            return True
        if options.ttl_refresh == "never":  # the deadline that a row keeps would have to be read
            return not (mapper.indexed or mapper.companions)
        return not mapper.indexed or mapper.told_by_values

    @staticmethod
    def looked_at(mapper: Mapper[Any]) -> list[int]:
        """The slots whose change calls for a look at the row: of its key, and of those that do not tell their entries."""
        indexes = [one for one in mapper.indexes.values() if one.companion is None and not one.by_value and one.kind != "none"]
        return list(map(mapper.slots.place, dict.fromkeys((mapper.pk_name, *(one.name for one in indexes)))))

    def spell(self) -> list[int] | None:
        """Spell what changed: which rows are written, or `None` where a row has to be looked at by itself. Nothing was sent."""
        try:
            held = self.mapper.index_fields if self._is_entered_anew else [name for one in self.mapper.uniques for name in one.names]
            places = list(map(self.mapper.slots.place, held))
            groups = alike(self.mapper, self._after, self._before, self.keys, self._collected, places)
            for group in groups:
                self._spell(group)
            if not self._takes_what_is_free():
                return None
        except (ValueError, IndexValueError):  # it is told of one object, in the order of all
            return None
        for number in self._collected:
            self._collect(self.keys[number], self._collected[number])
        self.tables = self._rows + self._recalled
        written = [number for one in groups for number in one.numbers]
        self.keys = [self.keys[number] for number in written]
        return written

    @property
    def _is_entered_anew(self) -> bool:
        """Whether each row stands in indexes until its deadline, which moves."""
        return self.mapper.indexed and self._life_ms is not None

    def _spell(self, group: Alike) -> None:
        mapper, numbers, names = self.mapper, group.numbers, self.mapper.slots.names
        keys = [self.keys[number] for number in numbers]
        present, absent = self._stand(group, keys)
        columns: dict[Argument, Sequence[Any]] = {names[place]: texts for place, texts in group.sets.items()}
        if mapper.options.versioned:
            versions = [self._versions[number] or 0 for number in numbers]
            present[VERSION], columns[VERSION] = list(map(str, versions)), [version + 1 for version in versions]
        values = [text for row in zip(*columns.values(), strict=True) for text in row]
        self._rows.append(Table(tuple(columns), keys, values, Held.of(present, absent)))
        if group.unsets:
            gone = [names[place] for place in group.unsets]
            self._commands += (("HDEL", key, *gone) for key in keys)

    def _stand(self, group: Alike, keys: Sequence[str]) -> tuple[dict[str, list[Any]], list[str]]:
        """Work out how rows move in indexes, and which fields they must hold for that, and which not."""
        mapper, anew = self.mapper, self._is_entered_anew
        before, after = ([rows[number].values for number in group.numbers] for rows in (self._before, self._after))
        changed = {mapper.slots.names[place] for place in (*group.sets, *group.unsets)}
        touched = [one for name, one in mapper.indexes.items() if name in changed]
        uniques = [one for one in mapper.uniques if not changed.isdisjoint(one.names)]
        fields = [one.name for one in touched] + [name for one in uniques for name in one.names]
        present, absent = hold(mapper, mapper.index_fields if anew else dict.fromkeys(fields), before, keys)
        absent.insert(0, LIFE)
        if not (anew or fields):
            return present, absent
        pk_place = mapper.slots.place(mapper.pk_name)
        pk_texts = mapper.pk_texts([values[pk_place] for values in after])
        former: list[Sequence[Entered | None]] = []
        coming: list[Sequence[Entered | None]] = []
        for index in mapper.indexes.values() if anew else touched:
            assert index.place is not None
            was, now = ([values[index.place] for values in rows] for rows in (before, after))
            former.append(entries(index, was, keys, pk_texts))
            coming.append(entries(index, now, keys, pk_texts) if index in touched else former[-1])
            self._moves.append(self._move(index, former[-1], coming[-1]))
        concerned = mapper.uniques if anew else uniques
        held = unique_values(mapper, before, keys, concerned) if concerned else []
        claims = unique_values(mapper, after, keys, concerned) if uniques else held
        self._claims += map(_Claim, pk_texts, held, claims)
        if anew:
            memos = remembered(former, held, pk_texts)
            self._pk_texts += pk_texts
            tables, reads = recall(keys, memos)
            self._recalled += tables
            self._reads += reads
            if fields:
                self._remembered += zip(keys, memos, remembered(coming, claims, pk_texts), strict=True)
        else:
            self._memos += map(Keyspace.memo, keys)
        return present, absent

    def _takes_what_is_free(self) -> bool:
        """Whether no unique value goes from one of these rows to another, or to two."""
        taken = [name for one in self._claims for name in one.coming]
        held = {name: one.pk_text for one in self._claims for name in one.held}
        stay = all(held.get(name, one.pk_text) == one.pk_text for one in self._claims for name in one.coming)
        return stay and len(set(taken)) == len(taken)

    def _collect(self, row: str, changes: Sequence[CompanionChange]) -> None:
        """Spell what changed in the collections of a row."""
        for change in changes:
            key = Keyspace.companion(row, change.companion.name)
            self._types[key] = change.companion.kind
            self._commands += replaced(key, change)

    def _move(self, index: Index, before: Sequence[Entered | None], after: Sequence[Entered | None]) -> _Move:
        """How rows move from entries of an index to others; where they are entered anew, also to the same ones."""
        move, own, anew = _Move({}, {}, {}), self._own, self._is_entered_anew
        for former, entry in zip(before, after, strict=True):
            if former and (entry is None or former[:2] != entry[:2]):
                move.leaving.setdefault(own[former[0]], []).append(former[1])
            if entry and (anew or former != entry):
                if entry[0] == index.name:
                    move.entering.setdefault(own[entry[0]], []).extend((entry[2], entry[1]))
                else:
                    move.expiring.setdefault(own[entry[0]], []).append(entry[1])
        return move

    @property
    def counts_on_sweeps(self) -> bool:
        """Whether the rows expire and stand in indexes then."""
        return self._is_entered_anew

    def live_from(self, now_ms: int) -> None:
        """Take in the server's time, from which their lives count anew."""
        self._deadline_ms = None if self._life_ms is None else now_ms + self._life_ms
        for table in self._rows:
            table.deadline_ms = self._deadline_ms

    def derive(self) -> None:
        """Nothing of loaded rows is left to a script to work out."""

    def absent(self) -> list[str]:
        """The keys that must be absent: a row that stands in indexes for ever has no memo, and unique values that are taken are free."""
        return [*self._memos, *(self._own[name] for one in self._claims for name in one.coming if name not in one.held)]

    def reads(self) -> Sequence[tuple[Command, Reply]]:
        """The memos of rows that stand in indexes until they expire, and whose their unique values are."""
        return [*self._reads, *owned(self._own, ((one.pk_text, one.held) for one in self._claims))]

    def types(self) -> Mapping[str, str]:
        """The collections that are written, and their types."""
        return self._types

    def fill(self) -> list[Command]:
        """The commands beside those of the tables."""
        if self._deadline_ms is None:
            return self._commands
        beside = (Keyspace.companion(key, one.name) for one in self.mapper.beside for key in self.keys)
        return [*self._commands, *(("PEXPIREAT", key, self._deadline_ms) for key in beside)]

    def enter(self, upkeep: Upkeep) -> None:
        """Move the rows in the indexes of their class."""
        score = deadline_score(self._deadline_ms)
        if self._is_entered_anew:
            upkeep.score(self._own[LEDGER], score, self._pk_texts)
        for move in self._moves:
            for key, members in move.leaving.items():
                upkeep.remove(key, members)
            for key, words in move.entering.items():
                upkeep.add(key, words)
            for key, members in move.expiring.items():
                upkeep.score(key, score, members)
        for one in self._claims:
            for name in one.held:
                if name not in one.coming:
                    upkeep.free(self._own[name])
            for name in one.coming:
                if self._is_entered_anew or name not in one.held:
                    upkeep.take(self._own[name], one.pk_text, self._deadline_ms)
        for row, before, after in self._remembered:
            upkeep.remember(Keyspace.memo(row), before, after)

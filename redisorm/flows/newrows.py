"""Many new rows of one class, spelled column by column rather than object by object.

The common case of a bulk save: rows that are a hash, with whatever indexes, and collections beside it. All values of a field are spelled in
one go, and the field names are sent once. What needs a closer look row by row is left to `changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from redisorm.commands import Command
from redisorm.keys import LEDGER, Keyspace, none_entry, value_entry
from redisorm.mapping.indexes import Index, lex_member
from redisorm.mapping.layout import Leaf
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Snapshot, ascii_elements

from .derived import Derived, derive, exact_scores
from .indexing import Upkeep
from .persistence import filled
from .tables import Table

__all__ = ["TOLD_BY_VALUE", "NewRows"]


TOLD_BY_VALUE = frozenset((str, int, bool, UUID))
"""Types of which two values are equal where their texts are."""


class NewRows:
    """New rows of one class.

    Attributes:
        mapper: The mapper of the class.
        keyspace: Its keys.
        values: The values of each row, in the order of the slots.
        elements: For each companion the elements of each row, as they are sent.
        keys: The keys of the rows.
        pk_texts: Their primary keys.
        tables: What to write.
    """

    __slots__ = (
        "_collections",
        "_columns",
        "_derived",
        "_unspelled",
        "elements",
        "keys",
        "keyspace",
        "mapper",
        "pk_texts",
        "tables",
        "values",
    )

    def __init__(
        self, mapper: Mapper[Any], keyspace: Keyspace, values: list[tuple[Any, ...]], collections: Sequence[Sequence[Any]] = ()
    ) -> None:
        """Take in rows.

        Args:
            collections: For each companion of the class the collection of each row.
        """
        self.mapper = mapper
        self.keyspace = keyspace
        self.values = values
        self._collections = collections
        self._columns: list[tuple[Any, ...]] = []
        self.elements: list[list[Any]] = []
        self.pk_texts: list[str] = []
        self.keys: list[str] = []
        self.tables: list[Table] = []
        self._derived: Mapping[str, Derived] = {}
        self._unspelled: set[int] = set()

    @staticmethod
    def fit(mapper: Mapper[Any]) -> bool:
        """Whether rows of a class can be spelled so: hashes of which nothing is looked at twice, and collections beside them."""
        if mapper.uniques or mapper.open or mapper.automatic or mapper.generated or mapper.slots.computed:
            return False
        kept = mapper.is_kept_simply and not mapper.options.versioned and all(index.place is not None for index in mapper.indexes.values())
        return kept and all(isinstance(slot, Leaf) and not slot.checked for slot in mapper.slots.order)

    def spell(self) -> bool:
        """Spell keys and columns; `False` where a row has to be looked at by itself. Nothing was sent.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        mapper = self.mapper
        place = mapper.slots.place(mapper.pk_name)
        self.pk_texts = mapper.pk_texts([values[place] for values in self.values])
        self.keys = self.keyspace.rows(self.pk_texts)
        if len(set(self.keys)) < len(self.keys):
            return False
        for companion, collections in zip(mapper.companions, self._collections, strict=True):
            texts = ascii_elements(companion, collections)
            if texts is None:
                of = mapper.encoder.companion
                self.elements.append([of(companion, one, key) for one, key in zip(collections, self.keys, strict=True)])
            else:
                self._unspelled.add(len(self.elements))
                self.elements.append(texts)
        self._columns = columns = list(zip(*self.values, strict=True))
        if all(len(set(map(type, column))) == 1 for column in columns):
            return self._spell_shape(range(len(self.values)), columns)
        shapes: dict[tuple[type, ...], list[int]] = {}
        for number, values in enumerate(self.values):
            shapes.setdefault(tuple(map(type, values)), []).append(number)
        row = self.values.__getitem__
        return all(self._spell_shape(numbers, list(zip(*map(row, numbers), strict=True))) for numbers in shapes.values())

    def _spell_shape(self, numbers: Sequence[int], columns: list[tuple[Any, ...]]) -> bool:
        """Spell rows whose values have the same types."""
        plan = self.mapper.encoder.plan(self.values[numbers[0]])
        if plan.checked or not plan.places:
            return False
        width = len(plan.places)
        flat: list[Any] = [None] * (width * len(numbers))
        slots = self.mapper.slots.order
        for position, place in enumerate(plan.places):
            slot, column = slots[place], columns[place]
            assert isinstance(slot, Leaf)  # else it would not fit
            flat[position::width] = slot.codec.encode_many(type(column[0]), column)
        keys = self.keys if len(numbers) == len(self.keys) else [self.keys[number] for number in numbers]
        self.tables.append(Table(plan.names, keys, flat))
        return True

    def absent(self) -> list[str]:
        """The keys that must be absent, beside those of the tables: what is left, or remembered, of a former life of a row."""
        memos = [Keyspace.memo(key) for key in self.keys] if self.mapper.indexed else []
        return [*memos, *(Keyspace.companion(key, one.name) for one in self.mapper.companions for key in self.keys)]

    def types(self) -> Mapping[str, str]:
        """No key of a new row is there."""
        return {}

    def fill(self) -> list[Command]:
        """The commands that fill the collections."""
        return [
            command
            for companion, elements in zip(self.mapper.companions, self.elements, strict=True)
            for key, one in zip(self.keys, elements, strict=True)
            for command in filled(companion, Keyspace.companion(key, companion.name), one)
        ]

    def snapshots(self) -> list[Snapshot]:
        """The rows as the server will have them."""
        if not self.elements:
            return list(map(Snapshot, self.values))
        columns = [
            [companion.texts(one) for one in elements] if place in self._unspelled else elements
            for place, (companion, elements) in enumerate(zip(self.mapper.companions, self.elements, strict=True))
        ]
        return [Snapshot(values, companions=list(each)) for values, each in zip(self.values, zip(*columns, strict=True), strict=True)]

    @property
    def counts_on_sweeps(self) -> bool:
        """Whether the rows expire and stand in indexes then."""
        return False

    def live_from(self, now_ms: int) -> None:
        """None of these rows has a deadline."""

    def derive(self) -> None:
        """Leave to a script what it can work out: where all rows have one shape, and stand in indexes by the text of a field.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        (table, *others) = self.tables
        pk_name = self.mapper.pk_name
        if others or not self.mapper.indexed or table.column(table.fields.index(pk_name)) != self.pk_texts:
            return
        texts = {str(name): table.column(place) for place, name in enumerate(table.fields)}
        self._derived = derive(self.mapper, self.keyspace, self.keys, self._columns, texts)
        table.member = 1 + table.fields.index(pk_name)
        table.derived = list(self._derived.values())

    def enter(self, upkeep: Upkeep) -> None:
        """Put the rows into the indexes of their class that a script does not work out.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        if not self.mapper.indexed:
            return
        own = self.keyspace.own
        if LEDGER not in self._derived:
            upkeep.score(own(LEDGER), "inf", self.pk_texts)
        for index in self.mapper.indexes.values():
            if index.name in self._derived:
                continue
            assert index.place is not None
            column = self._columns[index.place]
            kinds = set(map(type, column))
            if index.kind == "order" and kinds == {int}:
                upkeep.scores(own(index.name), exact_scores(index, column, self.keys), self.pk_texts)
            elif index.kind == "equality" and len(kinds) == 1 and kinds <= TOLD_BY_VALUE:
                self._enter_by_value(index, column, upkeep)
            else:
                self._enter(index, column, upkeep)

    def _enter_by_value(self, index: Index, column: Sequence[Any], upkeep: Upkeep) -> None:
        grouped: dict[Any, list[str]] = {}
        for pk_text, value in zip(self.pk_texts, column, strict=True):
            grouped.setdefault(value, []).append(pk_text)
        for value, pk_texts in grouped.items():
            upkeep.score(self.keyspace.own(value_entry(index.name, index.text(value))), "inf", pk_texts)

    def _enter(self, index: Index, column: Sequence[Any], upkeep: Upkeep) -> None:
        name, own = index.name, self.keyspace.own
        grouped: dict[str, list[str]] = {}
        for key, pk_text, value in zip(self.keys, self.pk_texts, column, strict=True):
            if value is None:
                grouped.setdefault(none_entry(name), []).append(pk_text)
            elif index.kind == "order":
                upkeep.scores(own(name), (index.checked_score(value, key),), (pk_text,))
            elif index.kind == "lex":
                upkeep.scores(own(name), ("0",), (lex_member(index.text(value), pk_text),))
            else:  # by equality: a position is JSON, and a row that has one is looked at by itself
                grouped.setdefault(value_entry(name, index.text(value)), []).append(pk_text)
        for entry, pk_texts in grouped.items():
            upkeep.score(own(entry), "inf", pk_texts)

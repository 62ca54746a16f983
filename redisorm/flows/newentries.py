"""Where many new rows of one class stand in its indexes, and which unique values they take: index by index rather than row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

from redisorm.keys import LEDGER, Keyspace, value_entry
from redisorm.mapping.differences import column_texts
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.indexes import Index, Unique
from redisorm.mapping.mapper import Mapper

from .derived import Derived, derive, exact_scores
from .entries import BY_DEADLINE, ElementNames, Entry, claims_of, entry_of, entry_of_text
from .indexing import Upkeep, deadline_score, memo_of
from .tables import Table

__all__ = ["TOLD_BY_VALUE", "NewEntries", "unique_values"]

TOLD_BY_VALUE = frozenset((str, int, bool, UUID))
"""Types of which two values are equal where their texts are."""


def unique_values(
    mapper: Mapper[Any], values: Sequence[tuple[Any, ...]], keys: Sequence[str], uniques: Sequence[Unique] | None = None
) -> list[list[str]]:
    """The unique values of each row, by what comes after `prefix::` in their keys.

    Args:
        uniques: Of which constraints; of all of the class where that is left out. There is one at least.

    Raises:
        ValidationError: One does not fit its annotation.
    """
    uniques = mapper.uniques if uniques is None else uniques
    fields = list(dict.fromkeys(leaf.name for unique in uniques for leaf in unique.leaves))
    places = map(mapper.slots.place, fields)
    columns = [column_texts(mapper, place, [row[place] for row in values], keys) for place in places]
    return [list(claims_of(mapper, dict(zip(fields, texts, strict=True)), uniques)) for texts in zip(*columns, strict=True)]


class NewEntries:
    """What new rows of one class have in its indexes.

    Attributes:
        claimed: The keys of the unique values they take.
    """

    __slots__ = (
        "_claims",
        "_columns",
        "_derived",
        "_elements",
        "_found",
        "_keys",
        "_keyspace",
        "_mapper",
        "_pk_texts",
        "_values",
        "claimed",
    )

    def __init__(
        self,
        mapper: Mapper[Any],
        keyspace: Keyspace,
        keys: Sequence[str],
        pk_texts: Sequence[str],
        values: Sequence[tuple[Any, ...]],
        elements: Mapping[str, Sequence[Any]],
    ) -> None:
        """Work out the unique values.

        Args:
            values: The values of each row, in the order of the slots.
            elements: By companion the elements of each row, as they are sent.

        Raises:
            ValidationError: A unique value does not fit its annotation.
        """
        self._mapper = mapper
        self._keyspace = keyspace
        self._keys = keys
        self._pk_texts = pk_texts
        self._values = values
        self._elements = elements
        self._columns: list[tuple[Any, ...]] = list(zip(*values, strict=True))
        self._derived: Mapping[str, Derived] = {}
        self._found: dict[str, list[Sequence[tuple[str, Entry]]]] = {}
        self._claims = unique_values(mapper, values, keys) if mapper.uniques else []
        self.claimed: list[str] = [keyspace.own(name) for names in self._claims for name in names]

    def derive(self, table: Table) -> None:
        """Leave to a script what it can work out of a table of all rows: where they stand in indexes by the text of a field.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        mapper = self._mapper
        if mapper.pk_name not in table.fields or table.column(table.fields.index(mapper.pk_name)) != self._pk_texts:
            return
        if not all(self._is_exact(index) for index in mapper.indexes.values()):
            return
        texts = {str(name): table.column(place) for place, name in enumerate(table.fields)}
        self._derived = derive(mapper, self._keyspace, self._keys, self._columns, texts)
        table.member = 1 + table.fields.index(mapper.pk_name)
        table.derived = list(self._derived.values())

    def _is_exact(self, index: Index) -> bool:
        """Whether the values of a column are of one type, and as a validator leaves them, or all `None`."""
        if index.companion is not None:
            return True
        kinds = self._kinds(index)
        return len(kinds) == 1 and kinds <= index.codec.exact | {type(None)}

    def _kinds(self, index: Index) -> set[type]:
        assert index.place is not None
        return set(map(type, self._columns[index.place]))

    def _is_told_by_value(self, index: Index) -> bool:
        """Whether equal values of a column stand under one key."""
        kinds = self._kinds(index)
        return index.kind == "equality" and len(kinds) == 1 and kinds <= TOLD_BY_VALUE & index.codec.exact

    def enter(self, upkeep: Upkeep, deadline_ms: int | None) -> None:
        """Put the rows into the indexes that a script does not work out, and take their unique values.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        own = self._keyspace.own
        if LEDGER not in self._derived:
            upkeep.score(own(LEDGER), deadline_score(deadline_ms), self._pk_texts)
        for index in self._mapper.indexes.values():
            if index.name not in self._derived:
                self._enter(index, upkeep, deadline_ms)
        for pk_text, names in zip(self._pk_texts, self._claims):  # noqa: B905 - none of a class without unique values
            for name in names:
                upkeep.take(own(name), pk_text, deadline_ms)
        if deadline_ms is not None:
            self._remember(upkeep)

    def _enter(self, index: Index, upkeep: Upkeep, deadline_ms: int | None) -> None:
        if index.place is not None and self._enter_column(index, self._columns[index.place], upkeep, deadline_ms):
            return
        for entries in self._entries(index):
            upkeep.enter(self._keyspace, dict(entries), deadline_ms)

    def _enter_column(self, index: Index, column: Sequence[Any], upkeep: Upkeep, deadline_ms: int | None) -> bool:
        """Put the rows into an index of whole numbers, or of what is told by its value; `False` where it is another."""
        own, kinds = self._keyspace.own, self._kinds(index)
        if index.kind == "order" and kinds == {int}:
            upkeep.scores(own(index.name), exact_scores(index, column, self._keys), self._pk_texts)
            return True
        if not self._is_told_by_value(index):
            return False
        grouped: dict[Any, list[str]] = {}
        for pk_text, value in zip(self._pk_texts, column, strict=True):
            grouped.setdefault(value, []).append(pk_text)
        for value, pk_texts in grouped.items():
            upkeep.score(own(value_entry(index.name, index.text(value))), deadline_score(deadline_ms), pk_texts)
        return True

    def _entries(self, index: Index) -> list[Sequence[tuple[str, Entry]]]:
        """The entries of each row in an index, worked out once: rows that expire are entered and remembered by them."""
        if index.name not in self._found:
            self._found[index.name] = self._worked_out(index)
        return self._found[index.name]

    def _worked_out(self, index: Index) -> list[Sequence[tuple[str, Entry]]]:
        if index.place is None:
            names = ElementNames(index)
            rows = zip(self._elements[index.name], self._pk_texts, strict=True)
            return [[(names[as_bytes(one)], (pk_text, BY_DEADLINE)) for one in dict.fromkeys(some)] for some, pk_text in rows]
        column, kinds = self._columns[index.place], self._kinds(index)
        if self._is_told_by_value(index):
            keys = {value: value_entry(index.name, index.text(value)) for value in dict.fromkeys(column)}
            return [((keys[value], (pk_text, BY_DEADLINE)),) for value, pk_text in zip(column, self._pk_texts, strict=True)]
        if index.kind == "order" and kinds == {int}:
            scores = exact_scores(index, column, self._keys)
            return [((index.name, (pk_text, score)),) for pk_text, score in zip(self._pk_texts, scores, strict=True)]
        each = zip(self._values, self._keys, self._pk_texts, strict=True)
        return [() if (entry := self._entry(index, index.place, *row)) is None else (entry,) for row in each]

    def _entry(self, index: Index, place: int, values: tuple[Any, ...], key: str, pk_text: str) -> tuple[str, Entry] | None:
        value = values[place]
        if value is None or type(value) in index.codec.exact:
            return entry_of(index, value, key, pk_text)
        text = self._mapper.encoder.spell(self._mapper.slots.order[place], values, place, key)
        return entry_of_text(index, text, key, pk_text)

    def _remember(self, upkeep: Upkeep) -> None:
        """Note of each row, which expires, where it stands."""
        columns = [self._entries(index) for index in self._mapper.indexes.values()]
        for number, (key, pk_text) in enumerate(zip(self._keys, self._pk_texts, strict=True)):
            entries = dict(chain.from_iterable(column[number] for column in columns))
            claims = dict.fromkeys(self._claims[number]) if self._claims else {}
            upkeep.remember(Keyspace.memo(key), {}, memo_of(entries, claims, pk_text))

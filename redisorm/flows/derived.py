"""Index entries that the script of a commit works out from the values of new rows, so that no text is sent twice.

A row's primary key is one of its values, a number is its own score, and all rows of one city go under one key: what is left to send
are the keys. Entries that do not follow from the stored texts in one of these ways are spelled out by `NewRows.enter`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from redisorm.commands import Argument
from redisorm.keys import LEDGER, Keyspace, none_entry, value_entry
from redisorm.mapping.indexes import Index
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.scores import EXACT_INTEGER

__all__ = ["Derived", "derive", "exact_scores"]


class Derived(NamedTuple):
    """How all rows of a table enter one index.

    Attributes:
        how: `all` at no deadline, `score` each at its value, `value` each under the key of its value.
        place: Which field the value is, from 1; 0 where none is asked.
        words: The key; for `value` each text and its key.
    """

    how: Literal["all", "score", "value"]
    place: int
    words: Sequence[Argument]

    @property
    def keys(self) -> Sequence[str]:
        """The keys that are written."""
        return [str(key) for key in (self.words[1::2] if self.how == "value" else self.words)]


def derive(
    mapper: Mapper[Any], keyspace: Keyspace, keys: Sequence[str], columns: Sequence[Sequence[Any]], texts: Mapping[str, Sequence[Any]]
) -> dict[str, Derived]:
    """Tell how rows of one shape enter indexes, by name of the index; those left out do not follow from the texts.

    Args:
        keys: The keys of the rows.
        columns: Their values by slot; all of a column are of one type.
        texts: Their texts by field.

    Raises:
        IndexValueError: An index cannot hold a value.
    """
    places = {name: place for place, name in enumerate(texts, 1)}
    found = {LEDGER: Derived("all", 0, (keyspace.own(LEDGER),))}
    for index in mapper.indexes.values():
        if index.place is None:
            continue  # of elements, which stand beside the rows
        column, field = columns[index.place], mapper.slots.names[index.place]
        if column[0] is None:
            found[index.name] = Derived("all", 0, (keyspace.own(none_entry(index.name)),))
        elif field in texts and index.kind == "equality":
            named = [
                word
                for text, value in dict(zip(texts[field], column, strict=True)).items()
                for word in (text, keyspace.own(value_entry(index.name, index.text(value))))
            ]
            found[index.name] = Derived("value", places[field], named)
        elif field in texts and index.kind == "order" and exact_scores(index, column, keys) == list(texts[field]):
            found[index.name] = Derived("score", places[field], (keyspace.own(index.name),))
    return found


def exact_scores(index: Index, column: Sequence[Any], keys: Sequence[str]) -> list[str]:
    """The scores of values of one type.

    Raises:
        IndexValueError: An index cannot hold one of them.
    """
    if type(column[0]) is int and min(column) >= -EXACT_INTEGER and max(column) <= EXACT_INTEGER:
        return list(map(str, column))
    return [index.checked_score(value, key) for value, key in zip(column, keys, strict=True)]

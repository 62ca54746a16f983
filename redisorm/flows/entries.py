"""The index entries and unique values of one row, worked out from its texts. Which commands keep them is for `indexing` to say.

An entry is known by what comes after `prefix::` in its key. A row has one member at most under each key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from pydantic import ValidationError

from redisorm.keys import none_entry, unique_entry, value_entry
from redisorm.mapping.codec import Text
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.indexes import Index, Unique, lex_member
from redisorm.mapping.layout import NULL, Leaf
from redisorm.mapping.mapper import Mapper

__all__ = [
    "BY_DEADLINE",
    "ElementNames",
    "Elements",
    "Entries",
    "Entry",
    "Place",
    "Texts",
    "claims_of",
    "entries_around",
    "entries_of",
    "entry_of",
    "entry_of_text",
]

BY_DEADLINE = None
"""The place of an entry whose score is the deadline of its row."""

Place = str | tuple[str, str] | None
"""Where a member stands in its key: a score, a position, or `BY_DEADLINE`."""

Entry = tuple[str, Place]
"""The member and its place."""

Entries = dict[str, Entry]
"""Entries by what comes after `prefix::` in their keys."""

Texts = Mapping[str, "Text | None"]
"""Hash fields as they are stored, or will be."""

Elements = Mapping[str, Iterable[bytes]]
"""The same of companions."""


def entries_of(
    mapper: Mapper[Any],
    key: str,
    pk_text: str,
    texts: Texts,
    elements: Elements,
    *,
    strict: bool,
    indexes: Iterable[Index] | None = None,
) -> Entries:
    """Work out the entries of a row.

    Args:
        elements: The elements of indexed companions.
        indexes: The indexes to look at, or all.
        strict: Whether a value that an index cannot hold is an error. What lies in the store already is left out instead.

    Raises:
        IndexValueError: An index cannot hold a value.
    """
    entries: Entries = {}
    for index in mapper.indexes.values() if indexes is None else indexes:
        try:
            _enter(entries, index, (texts if index.companion is None else elements).get(index.name), key, pk_text)
        except (ValidationError, UnicodeDecodeError, ValueError):
            if strict:
                raise
    return entries


def entries_around(
    key: str, pk_text: str, indexes: Iterable[Index], before: tuple[Texts, Elements], after: tuple[Texts, Elements]
) -> tuple[Entries, Entries]:
    """Work out the entries of a row before a change and after it; those of what stays as it is only once.

    Args:
        before: Texts and elements as they are stored. What changes and lies there as an index cannot hold it is left out.
        after: The same as they will be; what does not change is the same object.

    Raises:
        IndexValueError: An index cannot hold a value that the row will have.
    """
    former: Entries = {}
    coming: Entries = {}
    for index in indexes:
        place = 0 if index.companion is None else 1
        was, now = before[place].get(index.name), after[place].get(index.name)
        names = None if index.companion is None else ElementNames(index)
        entries: Entries = {}
        _enter(entries, index, now, key, pk_text, names)
        coming.update(entries)
        if was is now:
            former.update(entries)
        else:
            with suppress(ValidationError, UnicodeDecodeError, ValueError):
                _enter(former, index, was, key, pk_text, names)
    return former, coming


class ElementNames(dict[bytes, str]):
    """The keys of the elements of a companion in its index, each spelled once."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self._index = index

    def __missing__(self, element: bytes) -> str:
        self[element] = name = value_entry(self._index.name, self._index.text_of_stored(element))
        return name


def _enter(entries: Entries, index: Index, stored: Any, key: str, pk_text: str, names: ElementNames | None = None) -> None:
    """Add the entries of a row in one index, of the text or the elements it has; `None` for none."""
    if index.companion is not None:
        entry, names = (pk_text, BY_DEADLINE), ElementNames(index) if names is None else names
        for element in stored or ():
            entries[names[element]] = entry
        return
    found = entry_of_text(index, stored, key, pk_text)
    if found is not None:
        entries[found[0]] = found[1]


def entry_of_text(index: Index, text: Text | None, key: str, pk_text: str) -> tuple[str, Entry] | None:
    """Work out the entry for the stored text of a field; `None` where there is none.

    Raises:
        IndexValueError: The index cannot hold the value.
        ValidationError: The text is not one of the field.
    """
    if text is None:
        return entry_of(index, index.absent, key, pk_text)
    stored = as_bytes(text)
    if index.leaf is not None and index.leaf.null and stored == NULL.encode():
        return entry_of(index, None, key, pk_text)
    if index.as_it_is and index.kind in ("equality", "lex"):
        return _text_entry(index, stored.decode(), pk_text)
    return entry_of(index, index.of_stored(stored), key, pk_text)


def entry_of(index: Index, value: Any, key: str, pk_text: str) -> tuple[str, Entry] | None:
    """Work out the entry for one value of a field, `None` among them; `None` where there is none.

    Raises:
        IndexValueError: The index cannot hold the value.
        ValueError: The value has no stored text.
    """
    if value is None:
        return none_entry(index.name), (pk_text, BY_DEADLINE)
    if index.kind == "none":
        return None
    if index.kind == "order":
        return index.name, (pk_text, index.checked_score(value, key))
    if index.kind == "geo":
        return index.name, (pk_text, index.position(value, key))
    return _text_entry(index, index.text(value), pk_text)


def _text_entry(index: Index, text: str, pk_text: str) -> tuple[str, Entry]:
    if index.kind == "lex":
        return index.name, (lex_member(text, pk_text), "0")
    return value_entry(index.name, text), (pk_text, BY_DEADLINE)


def claims_of(mapper: Mapper[Any], texts: Texts, uniques: Iterable[Unique] | None = None) -> dict[str, Unique]:
    """Work out the unique values of a row, by what comes after `prefix::` in their keys. Those with a `None` in them are none."""
    claims: dict[str, Unique] = {}
    for unique in mapper.uniques if uniques is None else uniques:
        words = [_word(leaf, texts.get(leaf.name)) for leaf in unique.leaves]
        if None not in words:
            claims[unique_entry(unique.name, cast("list[str]", words))] = unique
    return claims


def _word(leaf: Leaf, text: Text | None) -> str | None:
    if text is None or (leaf.null and as_bytes(text) == NULL.encode()):
        return None
    try:
        return Unique.of_stored(leaf, as_bytes(text))
    except (ValidationError, UnicodeDecodeError):
        return None

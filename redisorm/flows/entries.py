"""The index entries and unique values of one row, worked out from its texts. Which commands keep them is for `indexing` to say.

An entry is known by what comes after `prefix::` in its key. A row has one member at most under each key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from redisorm.keys import none_entry, unique_entry, value_entry
from redisorm.mapping.codec import Text
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.indexes import Index, Unique, lex_member
from redisorm.mapping.layout import NULL, Leaf
from redisorm.mapping.mapper import Mapper

__all__ = ["BY_DEADLINE", "Entries", "Entry", "Place", "Texts", "claims_of", "entries_of", "entry_of"]

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


def entries_of(
    mapper: Mapper[Any],
    key: str,
    pk_text: str,
    texts: Texts,
    elements: Mapping[str, Iterable[bytes]],
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
            if index.companion is not None:
                for element in elements.get(index.name, ()):
                    entries[value_entry(index.name, index.text_of_stored(element))] = (pk_text, BY_DEADLINE)
            else:
                found = _entry(index, texts.get(index.name), key, pk_text)
                if found is not None:
                    entries[found[0]] = found[1]
        except (ValidationError, UnicodeDecodeError, ValueError):
            if strict:
                raise
    return entries


def _entry(index: Index, text: Text | None, key: str, pk_text: str) -> tuple[str, Entry] | None:
    value = index.absent
    if text is not None and not (index.leaf is not None and index.leaf.null and as_bytes(text) == NULL.encode()):
        stored = as_bytes(text)
        if index.kind in ("equality", "lex") and index.as_it_is:
            return _text_entry(index, stored.decode(), pk_text)
        value = index.of_stored(stored)
    elif text is not None:
        value = None
    return entry_of(index, value, key, pk_text)


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
        words = list(_words(unique.leaves, texts))
        if len(words) == len(unique.leaves):
            claims[unique_entry(unique.name, words)] = unique
    return claims


def _words(leaves: Iterable[Leaf], texts: Texts) -> Iterator[str]:
    for leaf in leaves:
        text = texts.get(leaf.name)
        if text is None or (leaf.null and as_bytes(text) == NULL.encode()):
            return
        try:
            yield Unique.of_stored(leaf, as_bytes(text))
        except (ValidationError, UnicodeDecodeError):
            return

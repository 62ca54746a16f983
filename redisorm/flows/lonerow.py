"""One row that is its hash alone, and its entries in indexes: what most saves are, in one short script.

Such a row needs no plan of reads and no list of commands, and half of a small commit's time went into making them. What is
otherwise than taken for granted is left to the general way, which looks first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redisorm.commands import Command, Flow
from redisorm.keys import LEDGER, LIFE, Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.indexes import Index

from .changes import KEEP, Change, Former
from .entries import entry_of
from .indexing import CHUNK, deadline_score
from .scripts import call_once

__all__ = ["SHA", "lone_row", "write_row"]

_ROW = (files("redisorm.flows") / "lua" / "row.lua").read_text(encoding="utf-8")
SHA = hashlib.sha1(_ROW.encode(), usedforsecurity=False).hexdigest()
"""The name of the script at the server."""

_FOR_EVER = deadline_score(None)


def lone_row(change: Change) -> Command | None:
    """Spell a change that only sets fields of one hash, of which one script can tell whether they may be set; else `None`.

    A new row is taken to be absent, a loaded one to be there, to have no life of its own, which a write would restart, and to hold in the
    indexed fields that change what was loaded.
    """
    mapper, difference = change.mapper, change.difference
    if not mapper.is_plain or difference is None or change.life is not KEEP or change.increments or change.only_if:
        return None
    if difference.unsets or not 0 < len(difference.sets) < CHUNK or not change.is_guarded:
        return None
    try:
        return _new_row(change, difference.sets) if change.is_new else _loaded_row(change, difference.sets)
    except ValueError:  # of a value that an index cannot hold, or that is checked first, the general way tells
        return None


def _new_row(change: Change, sets: Sequence[Text]) -> Command | None:
    mapper, own = change.mapper, change.keyspace.own
    if mapper.automatic and not change.numbered:
        return None
    if not mapper.indexed:
        return (1, change.key, 0, *sets)
    if not mapper.entered_by_values:
        return None
    assert change.difference is not None
    values, pk_text = change.difference.after.values, mapper.pk_text(change.pk)
    keys, moves = [own(LEDGER)], [_FOR_EVER, pk_text]
    for index in mapper.indexes.values():
        name, member, score = _entry(index, values, change.key, pk_text)
        keys.append(own(name))
        moves += (score, member)
    return (2 + len(keys), change.key, Keyspace.memo(change.key), *keys, 0, *moves, *sets)


def _loaded_row(change: Change, sets: Sequence[Text]) -> Command | None:
    mapper = change.mapper
    touched: list[Any] = [name for name in sets[::2] if name in mapper.index_fields] if mapper.indexed else []
    former = None if change.former is None else change.former(touched)
    if former is None or former.life is not None:
        return None
    pk = _held(mapper.pk_leaf.codec.spell(change.pk))
    if not touched:
        return (1, change.key, 2, mapper.pk_name, LIFE, pk, "-", *sets)
    if not mapper.entered_by_values:
        return None
    moves = _moves(change, touched, former)
    keys = (2 + len(moves) // 3, change.key, Keyspace.memo(change.key), *moves[::3])
    held = (2 + len(touched), mapper.pk_name, LIFE, *touched, pk, "-", *(_held(former.texts[name]) for name in touched))
    words: list[Any] = [None] * (len(moves) // 3 * 2)
    words[::2], words[1::2] = moves[1::3], moves[2::3]
    return (*keys, *held, *words, *sets)


def _held(text: Text | None) -> Text:
    """A text as the script compares it."""
    if text is None:
        return "-"
    return b"=" + text if isinstance(text, bytes) else f"={text}"


def _moves(change: Change, touched: Sequence[str], former: Former) -> list[str]:
    """How a row moves in the indexes of fields that change: key, score or an empty word, member."""
    mapper, own, pk_text = change.mapper, change.keyspace.own, change.mapper.pk_text(change.pk)
    assert change.difference is not None
    moves: list[str] = []
    for name in touched:
        was = _entry(mapper.indexes[name], former.values, change.key, pk_text)
        now = _entry(mapper.indexes[name], change.difference.after.values, change.key, pk_text)
        if was[:2] != now[:2]:
            moves += (own(was[0]), "", was[1])
        if was != now:
            moves += (own(now[0]), now[2], now[1])
    return moves


def _entry(index: Index, values: Sequence[Any], key: str, pk_text: str) -> tuple[str, str, str]:
    """The entry of a row, its member and its score.

    Raises:
        ValueError: The index cannot hold the value, or the value has to be checked before one knows.
    """
    assert index.place is not None
    value = values[index.place]
    if value is not None and type(value) not in index.codec.exact:
        raise ValueError(f"{value!r} is not as a validator leaves it")
    entry = entry_of(index, value, key, pk_text)
    assert entry is not None
    name, (member, score) = entry
    assert not isinstance(score, tuple)
    return name, member, _FOR_EVER if score is None else score


def write_row(words: Command) -> Flow[bool]:
    """Write a lone row in one round trip; `False` where it is not as expected and nothing was written."""
    return (yield from call_once(SHA, _ROW, words, atomic=False)) is not None

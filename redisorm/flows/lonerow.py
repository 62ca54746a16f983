"""One row and nothing beside it: what most saves are, in one short script.

A row that is its hash alone needs no plan of reads and no list of commands, and half of a small commit's time went into
making them. What is otherwise than taken for granted is left to the general way, which looks first.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

from redisorm.commands import Command, Flow

from .changes import KEEP, Change
from .indexing import CHUNK
from .scripts import call_once

__all__ = ["SHA", "lone_row", "write_row"]

_ROW = (files("redisorm.flows") / "lua" / "row.lua").read_text(encoding="utf-8")
SHA = hashlib.sha1(_ROW.encode(), usedforsecurity=False).hexdigest()
"""The name of the script at the server."""


def lone_row(change: Change) -> Command | None:
    """Spell a change that only sets fields of one hash, of which one script can tell whether they may be set; else `None`.

    A new row is taken to be absent, a loaded one to be there and to have no life of its own, which a write would restart. What an index
    depends on is not among the fields.
    """
    mapper, difference = change.mapper, change.difference
    if not mapper.is_plain or difference is None or change.life is not KEEP or change.increments or change.only_if:
        return None
    if difference.unsets or not 0 < len(difference.sets) < CHUNK or not change.is_guarded:
        return None
    if mapper.indexed and (change.is_new or any(name in mapper.index_fields for name in difference.sets[::2])):
        return None
    if change.is_new:
        return None if mapper.automatic else (1, change.key, "", "", *difference.sets)
    former = None if change.former is None else change.former(())
    if former is None or former.life is not None:
        return None
    return (1, change.key, mapper.pk_name, mapper.pk_leaf.codec.spell(change.pk), *difference.sets)


def write_row(words: Command) -> Flow[bool]:
    """Write a lone row in one round trip; `False` where it is not as expected and nothing was written."""
    return (yield from call_once(SHA, _ROW, words)) is not None

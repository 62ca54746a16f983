"""From changes to commands: the one place where objects are written. Plain functions that never yield.

Companions are written by the smallest commands: members added and removed, an appended or removed end of a list, or
the whole list where neither fits. Deadlines are one instant for the row and all its companions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import filterfalse
from typing import Any

from redisorm.commands import Command
from redisorm.keys import LIFE, VERSION
from redisorm.mapping.codec import Text
from redisorm.mapping.layout import Companion
from redisorm.mapping.snapshot import CompanionChange, Difference, Snapshot

from .changes import KEEP, Change, Keep, Kind, life_text
from .fate import Fate
from .guards import Observed
from .pieces import chunks

__all__ = ["filled", "merged", "refuse_texts", "replaced", "short_lived", "writes"]


_NOTHING = Difference(Snapshot(()))


def writes(change: Change, seen: Observed, numbers: Mapping[str, Text], fate: Fate, *, now_ms: int, version: int) -> list[Command]:
    """Spell a change as commands, given what the server holds. Indexes are kept by others.

    Args:
        numbers: The texts of incremented fields.
        fate: When the row will expire.
        now_ms: The server's time.
        version: The version the row will have, for a versioned class.
    """
    if change.kind is Kind.DELETE:
        return [("UNLINK", change.key), *_unlink(change.companion_keys())]
    if change.mapper.is_plain and change.is_new and not seen.exists and change.life is KEEP and change.difference is not None:
        return chunks("HSET", change.key, change.difference.sets)  # the common case needs none of what follows
    difference = _NOTHING if change.difference is None else change.difference
    fields, unsets = [*difference.sets], [name for name in difference.unsets if name not in numbers]
    for name, number in numbers.items():
        fields += (name, number)
    if change.mapper.options.versioned and not change.touch:
        fields += (VERSION, version)
    if not isinstance(change.life, Keep):
        fields += (LIFE, life_text(change.life))
    commands: list[Command] = []
    if change.is_new and seen.exists:
        unsets += _unset_of_former(change, fields)
        commands += _unlink(change.companion_keys())
    commands += chunks("HSET", change.key, fields)
    commands += chunks("HDEL", change.key, unsets)
    for one in difference.companions:
        commands += replaced(change.keyspace.companion(change.key, one.companion.name), one)
    if change.mapper.slots.lives:
        commands += _field_deadlines(change, now_ms)
    return commands + _deadlines(change, seen, fate)


def refuse_texts(changes: Iterable[Change]) -> None:
    """Refuse half of a pair of surrogates, which has no UTF-8 form and so cannot be sent, by the field it stands in.

    Raises:
        ValidationError: One stands in a text.
    """
    for change in changes:
        for name, text in change.texts().items():
            try:
                _ = text.encode() if isinstance(text, str) else text
            except UnicodeEncodeError as error:
                raise change.mapper.encoder.refuse(str(name), text, str(error), change.key) from error


def short_lived(change: Change) -> dict[Any, int]:
    """The fields of a change that have a life of their own, and how long it is in milliseconds."""
    lives = change.mapper.slots.lives
    if not lives or change.difference is None:
        return {}
    return {name: lives[name] for name in change.difference.sets[::2] if name in lives}


def _unlink(keys: list[str]) -> list[Command]:
    return [("UNLINK", *keys)] if keys else []


def _unset_of_former(change: Change, fields: list[Any]) -> list[str]:
    """The declared fields of the row that is replaced which the new one does not have. Undeclared ones are left alone."""
    declared = (*change.mapper.fields, *(leaf.name for leaf in change.mapper.slots.computed))
    present = set(fields[::2])
    return [name for name in declared if name not in present]


# ---- life --------------------------------------------------------------------------------------------------------------


def _deadlines(change: Change, seen: Observed, fate: Fate) -> list[Command]:
    if fate.moved and fate.deadline_ms is not None:
        return [("PEXPIREAT", key, fate.deadline_ms) for key in (change.key, *change.companion_keys())]
    if fate.moved:
        return [("PERSIST", key) for key in (change.key, *change.companion_keys())]
    if change.difference is None or seen.deadline_ms is None:
        return []
    # a key made anew has no deadline yet
    companions = [change.keyspace.companion(change.key, one.companion.name) for one in change.difference.companions]
    return [("PEXPIREAT", key, seen.deadline_ms) for key in companions]


def _field_deadlines(change: Change, now_ms: int) -> Iterator[Command]:
    by_life: dict[int, list[str]] = {}
    for name, ttl_ms in short_lived(change).items():
        by_life.setdefault(ttl_ms, []).append(name)
    for ttl_ms, names in by_life.items():
        yield ("HPEXPIREAT", change.key, now_ms + ttl_ms, "FIELDS", len(names), *names)


# ---- companions ---------------------------------------------------------------------------------------------------------


def filled(companion: Companion, key: str, elements: Any) -> list[Command]:
    """Spell how a companion that is not there gets its elements, if it has any."""
    if companion.kind == "zset":
        return chunks("ZADD", key, _scored(elements))
    return chunks("RPUSH" if companion.kind == "list" else "SADD", key, list(elements))


def replaced(key: str, change: CompanionChange) -> list[Command]:
    """Spell how a companion gets from the elements it had to those it has."""
    if not change.after:
        return [("UNLINK", key)]
    if change.companion.kind == "list":
        return _list(key, list(change.before), change.after)
    if change.companion.kind == "set":
        added = list(filterfalse(change.before.__contains__, change.after))
        removed = list(filterfalse(change.after.__contains__, change.before))
        return [*chunks("SADD", key, added), *chunks("SREM", key, removed)]
    before = change.before or {}
    moved = {text: score for text, score in change.after.items() if before.get(text) != score}
    removed = [text for text in before if text not in change.after]
    return [*chunks("ZADD", key, _scored(moved)), *chunks("ZREM", key, removed)]


def _scored(scores: Mapping[bytes, float]) -> list[bytes]:
    return [word for text, score in scores.items() for word in (repr(score).encode(), text)]


def merged(change: CompanionChange, stored: Sequence[bytes]) -> list[bytes]:
    """The elements a companion will have when the commands of a change meet what another writer made of it meanwhile."""
    if not change.after:
        return []
    if change.companion.kind != "list":
        kept = [text for text in stored if text in change.after or text not in change.before]
        return [*kept, *(text for text in change.after if text not in change.before)]
    before, after, found = list(change.before), list(change.after), list(stored)
    kept_size, size = len(before), len(after)
    if after[:kept_size] == before:
        return found + after[kept_size:]
    if before[:size] == after:
        return found[: size - kept_size]
    if before[kept_size - size :] == after:
        return found[kept_size - size :]
    if kept_size and after[size - kept_size :] == before:
        return after[: size - kept_size] + found
    return after


def _list(key: str, before: list[bytes], after: list[bytes]) -> list[Command]:
    """The smallest commands for a list: push to an end, trim an end, or write it anew."""
    kept, size = len(before), len(after)
    if after[:kept] == before:
        return chunks("RPUSH", key, after[kept:])
    if before[:size] == after:
        return [("LTRIM", key, 0, size - kept - 1)]
    if before[kept - size :] == after:
        return [("LTRIM", key, kept - size, -1)]
    if kept and after[size - kept :] == before:
        return chunks("LPUSH", key, after[: size - kept][::-1])
    return [("UNLINK", key), *chunks("RPUSH", key, after)]

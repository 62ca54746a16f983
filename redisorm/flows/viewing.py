"""What lies in the store of given rows: whether they are there, what they own, and whose their unique values are.

It reads all that upkeep goes by, in a handful of round trips for many rows, and judges nothing. Under a watching `Look` the
next transaction is executed only where all of it is still so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redisorm.commands import Command, Flow, Reply
from redisorm.errors import IndexValueError
from redisorm.keys import Keyspace
from redisorm.mapping.layout import Companion
from redisorm.mapping.mapper import Mapper

from .decoding import elements_of, memo_in, text_of
from .entries import Entries, claims_of, entries_of
from .loading import read_elements
from .scope import UNIQUE
from .seeing import Look

__all__ = ["Owner", "Sight", "View", "row_key", "view", "width"]


class Owner(NamedTuple):
    """Whose a unique value is, and until when: `-1` for ever."""

    pk_text: str
    deadline_ms: int


@dataclass(slots=True)
class Sight:
    """What lies in the store of one row.

    Attributes:
        key: Its key; empty where no row can have this primary key.
        kind: The type of the key: `hash` for a row, `none` where nothing is.
        deadline_ms: When it expires; `None` for never.
        memo: What is remembered of it.
        companions: The deadlines of its companions that are there, by field; `-1` for none.
        entries: What the indexes have to hold of it.
        claims: The unique values it must have.
        unindexable: What is wrong with a value that an index cannot hold, or empty.
    """

    pk_text: str
    key: str
    kind: str = "none"
    deadline_ms: int | None = None
    memo: dict[str, str] = field(default_factory=dict)
    companions: dict[str, int] = field(default_factory=dict)
    entries: Entries = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    unindexable: str = ""

    @property
    def there(self) -> bool:
        """Whether there is such a row."""
        return self.kind == "hash"

    def wants(self, name: str, member: bytes) -> bool:
        """Whether an entry is one it must have."""
        return self.there and name in self.entries and self.entries[name][0].encode() == member


@dataclass(slots=True)
class View:
    """What lies in the store of many rows.

    Attributes:
        sights: By primary key.
        owners: By what comes after `prefix::`, whose the unique values are that the rows claim or are remembered to own.
        rivals: Other owners, by primary key.
    """

    sights: dict[str, Sight]
    owners: dict[str, Owner] = field(default_factory=dict)
    rivals: dict[str, Sight] = field(default_factory=dict)

    def owns(self, sight: Sight, name: str) -> bool:
        """Whether a unique value is a row's."""
        return name in self.owners and self.owners[name].pk_text == sight.pk_text

    def rival(self, sight: Sight, name: str) -> Sight | None:
        """The other row that has a unique value and may keep it."""
        owner = self.owners.get(name)
        if owner is None or owner.pk_text == sight.pk_text:
            return None
        rival = self.sights.get(owner.pk_text) or self.rivals.get(owner.pk_text)
        return rival if rival is not None and name in rival.claims else None


def row_key(mapper: Mapper[Any], keyspace: Keyspace, pk_text: str) -> str:
    """Spell the key of a row from the text of its primary key; empty where no row can have it."""
    try:
        return keyspace.row(pk_text) if mapper.pk_text(mapper.pk_value(pk_text)) == pk_text else ""
    except ValueError:  # a ValidationError and a UnicodeError are ones too
        return ""


def width(mapper: Mapper[Any]) -> int:
    """How many keys a view of one row watches, about."""
    return 2 + len(_indexed(mapper)) + 2 * len(mapper.uniques)


def view(mapper: Mapper[Any], keyspace: Keyspace, pk_texts: Iterable[str], look: Look, claimed: Iterable[str] = ()) -> Flow[View]:
    """Find out what lies there of rows.

    One round trip where none of them is there; up to five more for those that are.

    Args:
        claimed: Further unique values whose owners are wanted, by what comes after `prefix::`.
    """
    seen = View({pk_text: Sight(pk_text, row_key(mapper, keyspace, pk_text)) for pk_text in pk_texts})
    yield from _see_rows(mapper, [sight for sight in seen.sights.values() if sight.key], look)
    yield from _see_owners(mapper, keyspace, seen, look, claimed)
    return seen


def _indexed(mapper: Mapper[Any]) -> tuple[Companion, ...]:
    return tuple(one for one in mapper.companions if one.name in mapper.indexes)


def _see_rows(mapper: Mapper[Any], sights: Sequence[Sight], look: Look) -> Flow[None]:
    keys = [key for sight in sights for key in (sight.key, Keyspace.memo(sight.key))]
    commands = [command for sight in sights for command in (("PEXPIRETIME", sight.key), ("HGETALL", Keyspace.memo(sight.key)))]
    replies = (yield from look.ask(keys, commands)) if commands else []
    living: list[Sight] = []
    for sight, deadline, memo in zip(sights, replies[::2], replies[1::2], strict=True):
        sight.memo = memo_in(memo)
        if deadline != -2:
            sight.deadline_ms = None if deadline < 0 else deadline
            living.append(sight)
    if living:
        yield from _see_companions(mapper, living, look)
        yield from _see_texts(mapper, [sight for sight in living if sight.there], look)


def _see_companions(mapper: Mapper[Any], living: Sequence[Sight], look: Look) -> Flow[None]:
    commands: list[Command] = []
    for sight in living:
        companions = [Keyspace.companion(sight.key, one.name) for one in mapper.beside]
        commands += [("TYPE", sight.key), *((name, key) for key in companions for name in ("TYPE", "PEXPIRETIME"))]
    watched = [Keyspace.companion(sight.key, one.name) for sight in living for one in _indexed(mapper)]
    replies = iter((yield from look.ask(watched, commands)))
    for sight in living:
        sight.kind = next(replies).decode()
        for one in mapper.beside:
            kind, deadline = next(replies).decode(), next(replies)
            if kind == one.kind:
                sight.companions[one.name] = deadline


def _see_texts(mapper: Mapper[Any], rows: Sequence[Sight], look: Look) -> Flow[None]:
    if not rows or not mapper.indexed:
        return
    fields = mapper.index_fields
    commands: list[Command] = []
    for sight in rows:
        commands += [("HMGET", sight.key, *fields)] if fields else []
        commands += [read_elements(one, sight.key) for one in _indexed(mapper) if one.name in sight.companions]
    replies = iter((yield from look.ask((), commands)) if commands else ())
    for sight in rows:
        texts: dict[str, Reply] = dict(zip(fields, next(replies), strict=True)) if fields else {}
        elements = {one.name: list(elements_of(one.kind, next(replies))) for one in _indexed(mapper) if one.name in sight.companions}
        sight.claims = claims_of(mapper, texts)
        _find_entries(mapper, sight, texts, elements)


def _find_entries(mapper: Mapper[Any], sight: Sight, texts: dict[str, Reply], elements: dict[str, list[bytes]]) -> None:
    try:
        sight.entries = entries_of(mapper, sight.key, sight.pk_text, texts, elements, strict=True)
        return
    except IndexValueError as error:
        sight.unindexable = f"{error.field}={error.value!r}"
    except ValueError as error:
        sight.unindexable = str(error).splitlines()[0]
    sight.entries = entries_of(mapper, sight.key, sight.pk_text, texts, elements, strict=False)


def _see_owners(mapper: Mapper[Any], keyspace: Keyspace, seen: View, look: Look, claimed: Iterable[str]) -> Flow[None]:
    names = dict.fromkeys(claimed)
    for sight in seen.sights.values():
        names |= dict.fromkeys(sight.claims)
        names |= dict.fromkeys(name for name in sight.memo if name.startswith(UNIQUE))
    if not names:
        return
    keys = [keyspace.own(name) for name in names]
    replies = yield from look.ask(keys, [(command, key) for key in keys for command in ("GET", "PEXPIRETIME")])
    for name, owner, deadline in zip(names, replies[::2], replies[1::2], strict=True):
        if owner is not None:
            seen.owners[name] = Owner(text_of(owner), deadline)
    others = {owner.pk_text for owner in seen.owners.values()} - seen.sights.keys()
    seen.rivals = {pk_text: Sight(pk_text, row_key(mapper, keyspace, pk_text)) for pk_text in others}
    yield from _see_rows(mapper, [sight for sight in seen.rivals.values() if sight.key], look)

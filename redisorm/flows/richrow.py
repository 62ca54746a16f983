"""One row that is its hash alone and has more to it than entries in indexes: a life, a version, unique values. Written in few steps.

One short script verifies and writes, and nothing is planned: what the row relies on and what is written of it are told here at once. It
is the row of a session, of a cache, of a user with an address of their own. What is otherwise than taken for granted, and what needs a
closer look, is left to the general way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import chain
from typing import Any, NamedTuple

from redisorm.commands import Command, Flow
from redisorm.keys import LEDGER, LIFE, VERSION, Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.indexes import Index

from .calling import LuaScript, lua
from .changes import KEEP, PERMANENT, Change, Keep, Outcome, life_text
from .decoding import text_of
from .entering import Entered
from .entries import claims_of
from .indexing import deadline_score
from .lonerow import entry_words, held_text
from .pieces import CHUNK
from .seeing import Tally
from .spelling import Due

__all__ = ["SCRIPT", "RichRow", "rich_row", "write_rich_row"]

_NOTHING: Mapping[str, Mapping[str, Text | None]] = {}


_SOME = "deadline"
"""Stands for the score of entries that go by the deadline of the row."""

SCRIPT = LuaScript(lua("refusing"), lua("taking"), lua("few"))


class RichRow(NamedTuple):
    """What is written of one row, what is taken for granted, and what comes of it.

    Attributes:
        absent: The keys that must be absent.
        held: The fields that hashes must have, and their texts, by key; `None` for none.
        commands: What is written.
        asks: Whether the last command asks which rows of the class have expired.
    """

    commands: Sequence[Command]
    outcome: Outcome
    absent: Sequence[str] = ()
    held: Mapping[str, Mapping[str, Text | None]] = _NOTHING
    asks: bool = False

    def words(self) -> Command:
        """The call of the script, after its name: the count of keys, the keys and the arguments."""
        keys = dict.fromkeys((*self.absent, *self.held, *(str(command[1]) for command in self.commands)))
        words: list[Any] = [len(keys), *keys, len(self.absent), len(self.held)]
        for key, fields in self.held.items():
            words += (key, len(fields), *fields, *map(held_text, fields.values()))
        words.append(len(self.commands))
        for command in self.commands:
            words.append(len(command))
            words += command
        return words


def rich_row(change: Change, now_ms: int, new_version: Callable[[], int]) -> RichRow | None:
    """Spell a change that only sets and removes fields of one hash, and tells by itself whether they may be set; else `None`.

    A new row is taken to be absent, a loaded one to be there, to have no life of its own, and the version that was loaded.
    """
    difference = change.difference
    if not change.mapper.is_lone or difference is None or change.increments or change.only_if is not None:
        return None
    if len(difference.sets) + len(difference.unsets) >= CHUNK:
        return None
    try:
        return _new_row(change, now_ms, new_version) if change.is_new else _loaded_row(change, now_ms)
    except ValueError:  # of a value that an index cannot hold, or that is checked first, the general way tells
        return None


def _new_row(change: Change, now_ms: int, new_version: Callable[[], int]) -> RichRow | None:
    mapper, options, key, own = change.mapper, change.mapper.options, change.key, change.keyspace.own
    if (mapper.automatic and not change.numbered) or not mapper.told_by_values:
        return None
    assert change.difference is not None
    life = options.ttl_ms if isinstance(change.life, Keep) else change.life
    deadline_ms = None if life in (None, PERMANENT) else now_ms + life
    version = new_version() if options.versioned else None
    commands = [("HSET", key, *change.difference.sets, *_beside(change, version))]
    if deadline_ms is not None:
        commands.append(("PEXPIREAT", key, deadline_ms))
    outcome = Outcome(version, None if isinstance(change.life, Keep) else change.life)
    if not mapper.indexed:
        return RichRow(commands, outcome, (key,))
    pk_text, score, values = mapper.pk_text(change.pk), deadline_score(deadline_ms), change.difference.after.values
    entries = [entry for index in mapper.indexes.values() if (entry := _entry(index, values, key, pk_text, score)) is not None]
    claims = list(claims_of(mapper, change.texts())) if mapper.uniques else []
    commands.append(("ZADD", own(LEDGER), score, pk_text))
    commands += (("ZADD", own(name), place, member) for name, member, place in entries)
    until = () if deadline_ms is None else ("PXAT", deadline_ms)
    commands += (("SET", own(claim), pk_text, *until) for claim in claims)
    if deadline_ms is not None:
        memo = _remembered(entries, pk_text) | dict.fromkeys(claims, "")
        commands += [("HSET", Keyspace.memo(key), *chain.from_iterable(memo.items()))] if memo else []
    asks = deadline_ms is not None or options.ttl_ms is not None
    if asks:
        commands.append(("ZRANGE", own(LEDGER), "-inf", now_ms, "BYSCORE", "LIMIT", 0, 2))
    return RichRow(commands, outcome, (key, Keyspace.memo(key), *map(own, claims)), asks=asks)


def _entry(index: Index, values: Sequence[Any], key: str, pk_text: str, score: str) -> Entered | None:
    """The entry of a row in an index; `None` for none.

    Args:
        score: That of entries which go by the deadline of the row.

    Raises:
        ValueError: The index cannot hold the value, or the value has to be checked before one knows.
    """
    assert index.place is not None
    value = values[index.place]
    if index.kind == "none" and value is not None and type(value) in index.codec.exact:
        return None
    return entry_words(index, value, key, pk_text, by_deadline=score)


def _remembered(entries: Iterable[Entered], pk_text: str) -> dict[str, str]:
    """What the memo of a row holds of its entries."""
    return {name: "" if member == pk_text else member for name, member, _ in entries}


def _beside(change: Change, version: int | None) -> list[str]:
    """The fields beside the values: version and life."""
    fields = [] if version is None else [VERSION, str(version)]
    return fields if isinstance(change.life, Keep) else [*fields, LIFE, life_text(change.life)]


def _loaded_row(change: Change, now_ms: int) -> RichRow | None:
    mapper, options, difference = change.mapper, change.mapper.options, change.difference
    assert difference is not None
    names = {*difference.sets[::2], *difference.unsets}
    if change.former_life is not None or change.life is not KEEP or (options.versioned and change.version is None):
        return None
    restarts = options.ttl_ms is not None and options.ttl_refresh != "never"
    deadline_ms = now_ms + options.ttl_ms if restarts and options.ttl_ms is not None else None
    moves = mapper.indexed and (restarts or not names.isdisjoint(mapper.index_fields))
    if moves and (mapper.uniques or not mapper.told_by_values or (options.ttl_ms is not None and not restarts)):
        return None  # whose a value is, an entry, or a deadline would have to be read
    held: dict[str, Text | None] = {mapper.pk_name: mapper.pk_leaf.codec.spell(change.pk), LIFE: None}
    version = None
    if change.version is not None:
        held[VERSION], version = str(change.version), change.version + 1
    commands: list[Command] = []
    if sets := [*difference.sets, *_beside(change, version)]:
        commands.append(("HSET", change.key, *sets))
    if difference.unsets:
        commands.append(("HDEL", change.key, *difference.unsets))
    if deadline_ms is not None:
        commands.append(("PEXPIREAT", change.key, deadline_ms))
    row = RichRow(commands, Outcome(version), held={change.key: held})
    return _moved(change, row, held, names, now_ms, deadline_ms) if moves else row


def _moved(change: Change, row: RichRow, held: dict[str, Text | None], names: Set[Any], now_ms: int, deadline_ms: int | None) -> RichRow:
    """Add what moves a loaded row in its indexes, where it must be as it was loaded: in all of them where its deadline moves.

    Raises:
        ValueError: As of `_entry`.
    """
    mapper, key, own, pk_text = change.mapper, change.key, change.keyspace.own, change.mapper.pk_text(change.pk)
    indexes = [index for name, index in mapper.indexes.items() if deadline_ms is not None or name in names]
    former = None if change.former is None else change.former([index.name for index in indexes])
    assert former is not None  # it was loaded
    assert change.difference is not None
    held.update(former.texts)
    before = [_entry(one, former.values, key, pk_text, _SOME) for one in indexes]
    after = [_entry(one, change.difference.after.values, key, pk_text, _SOME) for one in indexes]
    score, memo = deadline_score(deadline_ms), Keyspace.memo(key)
    commands = [*row.commands]
    for was, now in zip(before, after, strict=True):
        if was and (now is None or was[:2] != now[:2]):
            commands.append(("ZREM", own(was[0]), was[1]))
        if now and (was != now or (now[2] == _SOME and deadline_ms is not None)):
            commands.append(("ZADD", own(now[0]), score if now[2] == _SOME else now[2], now[1]))
    if deadline_ms is None:
        return row._replace(commands=commands, absent=(memo,))
    commands.append(("ZADD", own(LEDGER), score, pk_text))
    remembered, coming = _remembered(filter(None, before), pk_text), _remembered(filter(None, after), pk_text)
    if new := {name: member for name, member in coming.items() if remembered.get(name) != member}:
        commands.append(("HSET", memo, *chain.from_iterable(new.items())))
    if gone := [name for name in remembered if name not in coming]:
        commands.append(("HDEL", memo, *gone))
    commands.append(("ZRANGE", own(LEDGER), "-inf", now_ms, "BYSCORE", "LIMIT", 0, 2))
    return row._replace(commands=commands, held={**row.held, memo: remembered}, asks=True)


def write_rich_row(row: RichRow, change: Change, tally: Tally, due: list[Due], *, framed: bool) -> Flow[bool]:
    """Write such a row by script, in one round trip; `False` where it is not as expected and nothing was written.

    Args:
        due: Takes in which rows of the class have expired.
        framed: Whether MULTI and EXEC stand round the script, which is as atomic without.
    """
    answers = yield from SCRIPT.call(row.words(), framed=framed)
    assert answers is not None  # whether this user may run scripts was asked before
    tally.add(3 if framed else 1)
    if answers[0] is None:
        return False
    change.outcome = row.outcome
    if row.asks and (pk_texts := list(map(text_of, answers[0]))):
        due.append(Due(change.mapper, change.keyspace, pk_texts))
    return True

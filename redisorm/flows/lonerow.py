"""One row that is its hash alone, and its entries in indexes: what most saves are, written in few steps.

Such a row needs no plan of reads and no list of commands, and half of a small commit's time went into making them. One short script
verifies and writes; where scripts are denied it is `WATCH` with the reads of the general way, and then `MULTI` … `EXEC`. What is
otherwise than taken for granted is left to the general way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from redisorm.commands import Batch, Command, Flow, Reply
from redisorm.errors import WrongTypeError
from redisorm.keys import LEDGER, LIFE, Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.indexes import Index
from redisorm.mapping.snapshot import Difference

from .calling import LuaScript, lua
from .changes import KEEP, Change, Former
from .entries import entry_of
from .indexing import deadline_score
from .pieces import CHUNK
from .seeing import Look, Tally, refuse_types

__all__ = ["SCRIPT", "LoneRow", "entry_words", "held_text", "lone_row", "watch_row", "write_fresh", "write_row"]

SCRIPT = LuaScript(lua("refusing"), lua("row"))

_FOR_EVER = deadline_score(None)


class LoneRow(NamedTuple):
    """What is written of one row, and what is taken for granted.

    Attributes:
        key: The key of the row.
        memo: That of its memo, which must be absent, where indexes change; else empty.
        fields: The hash fields it must have; none where it must be absent.
        texts: Their texts; `None` for none.
        keys: The sorted set of each move.
        moves: Of each the score, or an empty word where the row leaves, and the member.
        sets: `field, text, field, text, …`
        unsets: The hash fields to remove.
    """

    key: str
    memo: str
    fields: Sequence[str]
    texts: Sequence[Text | None]
    keys: Sequence[str]
    moves: Sequence[str]
    sets: Sequence[Text]
    unsets: Sequence[str] = ()

    def words(self) -> Command:
        """The call of the script, after its name: the count of keys, the keys and the arguments."""
        held: Command = ("0", "0")
        if self.fields:
            held = (str(len(self.fields)), str(len(self.unsets)), *self.fields, *map(held_text, self.texts), *self.unsets)
        if not self.memo:
            return ("1", self.key, *held, *self.sets)
        return (str(2 + len(self.keys)), self.key, self.memo, *self.keys, *held, *self.moves, *self.sets)

    def writes(self) -> list[Command]:
        """The same as commands."""
        commands: list[Command] = [("HSET", self.key, *self.sets)] if self.sets else []
        if self.unsets:
            commands.append(("HDEL", self.key, *self.unsets))
        for key, score, member in zip(self.keys, self.moves[::2], self.moves[1::2], strict=True):
            commands.append(("ZADD", key, score, member) if score else ("ZREM", key, member))
        return commands


def lone_row(change: Change) -> LoneRow | None:
    """Spell a change that only sets and removes fields of one hash, and tells by itself whether they may be set; else `None`.

    A new row is taken to be absent, a loaded one to be there, to have no life of its own, which a write would restart, and to hold in the
    indexed fields that change what was loaded.
    """
    mapper, difference = change.mapper, change.difference
    if not mapper.is_plain or difference is None or change.life is not KEEP or change.increments or change.only_if:
        return None
    if not 0 < len(difference.sets) + len(difference.unsets) < CHUNK:
        return None
    try:
        return _new_row(change, difference.sets) if change.is_new else _loaded_row(change, difference)
    except ValueError:  # of a value that an index cannot hold, or that is checked first, the general way tells
        return None


def _new_row(change: Change, sets: Sequence[Text]) -> LoneRow | None:
    mapper, own = change.mapper, change.keyspace.own
    if mapper.automatic and not change.numbered:
        return None
    if not mapper.indexed:
        return LoneRow(change.key, "", (), (), (), (), sets)
    if not mapper.entered_by_values:
        return None
    assert change.difference is not None
    values, pk_text = change.difference.after.values, mapper.pk_text(change.pk)
    keys, moves = [own(LEDGER)], [_FOR_EVER, pk_text]
    for index in mapper.indexes.values():
        assert index.place is not None
        name, member, score = entry_words(index, values[index.place], change.key, pk_text)
        keys.append(own(name))
        moves += (score, member)
    return LoneRow(change.key, Keyspace.memo(change.key), (), (), keys, moves, sets)


def _loaded_row(change: Change, difference: Difference) -> LoneRow | None:
    mapper, sets, unsets = change.mapper, difference.sets, difference.unsets
    names = [*sets[::2], *unsets] if unsets else sets[::2]
    touched = [name for name in mapper.index_fields if name in names] if mapper.indexed else []
    former = None if change.former is None else change.former(touched)
    if former is None or change.former_life is not None:
        return None
    pk = mapper.pk_leaf.codec.spell(change.pk)
    if not touched:
        return LoneRow(change.key, "", (mapper.pk_name, LIFE), (pk, None), (), (), sets, unsets)
    if not mapper.entered_by_values:
        return None
    fields, texts = (mapper.pk_name, LIFE, *touched), (pk, None, *map(former.texts.__getitem__, touched))
    return LoneRow(change.key, Keyspace.memo(change.key), fields, texts, *_moves(change, touched, former), sets, unsets)


def held_text(text: Text | None) -> Text:
    """A text as the script compares it."""
    if text is None:
        return "-"
    return b"=" + text if isinstance(text, bytes) else f"={text}"


def _moves(change: Change, touched: Sequence[str], former: Former) -> tuple[list[str], list[str]]:
    """How a row moves in the indexes of fields that change, first out and then in: the keys, and the scores and members."""
    mapper, own, pk_text = change.mapper, change.keyspace.own, change.mapper.pk_text(change.pk)
    assert change.difference is not None
    left: list[str] = []
    entered: list[str] = []
    leaving: list[str] = []
    entering: list[str] = []
    for name in touched:
        index = mapper.indexes[name]
        assert index.place is not None
        was = entry_words(index, former.values[index.place], change.key, pk_text)
        now = entry_words(index, change.difference.after.values[index.place], change.key, pk_text)
        if was[:2] != now[:2]:
            left.append(own(was[0]))
            leaving += ("", was[1])
        if was != now:
            entered.append(own(now[0]))
            entering += (now[2], now[1])
    return left + entered, leaving + entering


def entry_words(index: Index, value: Any, key: str, pk_text: str, by_deadline: str = _FOR_EVER) -> tuple[str, str, str]:
    """The entry of a row, its member and its score.

    Args:
        by_deadline: The score of an entry that goes by the deadline of the row.

    Raises:
        ValueError: The index cannot hold the value, or the value has to be checked before one knows.
    """
    if value is not None and type(value) not in index.codec.exact:
        raise ValueError(f"{value!r} is not as a validator leaves it")
    entry = entry_of(index, value, key, pk_text)
    assert entry is not None
    name, (member, score) = entry
    assert not isinstance(score, tuple)
    return name, member, by_deadline if score is None else score


def write_row(row: LoneRow, tally: Tally, *, framed: bool) -> Flow[bool | None]:
    """Write a lone row by script, in one round trip.

    Args:
        framed: Whether MULTI and EXEC stand round the script, which is as atomic without.

    Returns:
        `None` where this user may run no script, `False` where the row is not as expected and nothing was written.
    """
    answers = yield from SCRIPT.call(row.words(), framed=framed)
    if answers is None:
        return None
    tally.add(3 if framed else 1)
    return answers[0] is not None


def write_fresh(row: LoneRow, tally: Tally) -> Flow[bool]:
    """Write a row whose key was just made at random, so that nothing has to be known before, in one round trip."""
    writes = row.writes()
    yield Batch(writes, atomic=True)
    tally.add(len(writes) + 2)
    return True


def watch_row(row: LoneRow, change: Change, look: Look) -> Flow[bool]:
    """Write a lone row without a script, in two round trips; `False` where it is not as expected and nothing was written.

    Args:
        look: Keeps what was seen where that is otherwise, so that the general way need not ask the same again.

    Raises:
        WrongTypeError: A key of another type is in the way.
    """
    keys = [row.key] if row.fields or not row.memo else [row.key, row.memo]
    reads: list[Command] = _reads(row, change) if row.fields else [("EXISTS", *keys)]
    try:
        replies = yield from look.ask(keys, reads)
    except WrongTypeError:
        yield from refuse_types([change])
        raise
    if not (_is_as_loaded(row, reads, replies) if row.fields else replies == [0]):
        look.known = (keys, reads, replies)
        return False
    writes = row.writes()
    done = yield Batch(writes, atomic=True)
    look.tally.add(len(writes) + 2)
    look.races = int(done is None)
    return done is not None


def _reads(row: LoneRow, change: Change) -> list[Command]:
    """What the general way would read of a loaded row."""
    indexed = change.mapper.index_fields
    if not indexed:
        return [("HMGET", row.key, *row.fields)]
    fields = dict.fromkeys((*row.fields[:2], *indexed))
    return [("HMGET", row.key, *fields), ("PEXPIRETIME", row.key), ("HGETALL", Keyspace.memo(row.key))]


def _is_as_loaded(row: LoneRow, reads: Sequence[Command], replies: Sequence[Reply]) -> bool:
    """Whether a row is as it was loaded; where it can stand in indexes, with no deadline and nothing remembered of it either."""
    found = dict(zip(reads[0][2:], replies[0], strict=True))
    same = all(found[name] == (None if text is None else as_bytes(text)) for name, text in zip(row.fields, row.texts, strict=True))
    return same and (len(replies) == 1 or (replies[1] < 0 and not replies[2]))

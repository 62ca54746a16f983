"""Reading rows: one atomic batch brings a row with its companions, so that an object is never torn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast

from redisorm.commands import Argument, Batch, Command, Flow, Reply
from redisorm.errors import BackendError, DecodeError, RowTypeError, WrongTypeError
from redisorm.keys import Keyspace
from redisorm.mapping.base import MappedModel
from redisorm.mapping.layout import Companion, CompanionKind
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Snapshot, snapshot_of_row

from .changes import life_ms, version_of

__all__ = [
    "BATCH",
    "Loaded",
    "OnError",
    "elements_of",
    "exists",
    "load",
    "load_each",
    "pairs_of",
    "read_elements",
    "sound",
    "time_to_live",
]

M = TypeVar("M", bound=MappedModel)
T = TypeVar("T")

OnError: TypeAlias = Literal["raise", "return"]
"""What becomes of a row that cannot be read: its `DecodeError` is raised, or stands in its place."""

BATCH = 1000
"""Rows of one atomic read."""

_READS: dict[CompanionKind, tuple[Argument, ...]] = {
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}
"""For each kind of companion its command, and what comes after the key."""


@dataclass(slots=True)
class Loaded(Generic[M]):
    """An object as it was read, with what its session has to remember.

    Attributes:
        key: The key of its row.
        snapshot: Its values and texts.
        version: The version of a versioned row; `None` where the row was written without one.
        life: The life of its own, in milliseconds, `PERMANENT`, or `None`.
        deadline_ms: When it expires in the server's time, `-1` for never; `None` where nobody asked.
    """

    obj: M
    key: str
    snapshot: Snapshot
    version: int | None
    life: int | None
    deadline_ms: int | None


def load(mapper: Mapper[M], keyspace: Keyspace, pk_texts: Sequence[str]) -> Flow[list[Loaded[M] | None]]:
    """Load rows in the order of their keys; `None` for each that is not there.

    One round trip for each 1,000 rows, each of them atomic, and one more where a row was not found: HMGET cannot tell
    an absent row from one that has no declared field.

    Raises:
        DecodeError: A stored value does not fit its field, or a key has another type.
    """
    return sound((yield from load_each(mapper, keyspace, pk_texts)))


def sound(found: list[T | DecodeError | None]) -> list[T | None]:
    """Return what was found, or raise the first error in it."""
    for one in found:
        if isinstance(one, DecodeError):
            raise one
    return cast("list[T | None]", found)


def load_each(mapper: Mapper[M], keyspace: Keyspace, pk_texts: Sequence[str]) -> Flow[list[Loaded[M] | DecodeError | None]]:
    """Load rows as `load` does, with the error of each that cannot be read in its place.

    Where a key has another type, two more round trips find out which: the same reads, and the types.
    """
    found: list[Loaded[M] | DecodeError | None] = []
    for start in range(0, len(pk_texts), BATCH):
        part = pk_texts[start : start + BATCH]
        keys = keyspace.rows(part)
        rows, foreign, absent = yield from _view(mapper, keys)
        for key, text, row in zip(keys, part, rows, strict=True):
            found.append(None if key in absent else _loaded_or_error(mapper, key, text, row, foreign))
    return found


def _view(mapper: Mapper[Any], keys: Sequence[str]) -> Flow[tuple[list[_Row], dict[str, str], frozenset[str]]]:
    """Read rows as they are at one instant: the rows, the types of foreign keys, and which rows are not there."""
    reads = _reads(mapper, keys)
    replies, foreign = yield from _replies(reads)
    rows = list(_rows(mapper, replies, len(keys)))
    empty = [key for key, row in zip(keys, rows, strict=True) if row.empty and key not in foreign]
    if not empty:
        return rows, foreign, frozenset()
    (met,) = yield Batch([("EXISTS", *empty)], resend=True)
    if not met:
        return rows, foreign, frozenset(empty)
    # It has none of the declared fields, or was made after the read: only what is seen at one instant can tell.
    replies, foreign = yield from _replies([*reads, *(("EXISTS", key) for key in keys)])
    there = replies[len(reads) :]
    return (
        list(_rows(mapper, replies[: len(reads)], len(keys))),
        foreign,
        frozenset(key for key, found in zip(keys, there, strict=True) if not found),
    )


def _replies(commands: Sequence[Command]) -> Flow[tuple[Sequence[Reply], dict[str, str]]]:
    """Read, and tell the types of the keys that have another one than they should. They read as if they were empty."""
    atomic = len(commands) > 1
    try:
        return (yield Batch(commands, atomic=atomic, resend=True)), {}
    except WrongTypeError:
        replies = list((yield Batch(commands, atomic=atomic, resend=True, partial=True)))
    foreign: dict[str, str] = {}
    for place, reply in enumerate(replies):
        if isinstance(reply, WrongTypeError):
            name, key, *words = commands[place]
            foreign[str(key)] = ""
            replies[place] = [None] * len(words) if name == "HMGET" else {} if name == "HGETALL" else []
        elif isinstance(reply, BackendError):
            raise reply
    types = (yield Batch([("TYPE", key) for key in foreign], resend=True)) if foreign else []
    return replies, dict(zip(foreign, (kind.decode() for kind in types), strict=True))


def _loaded_or_error(mapper: Mapper[M], key: str, pk_text: str, row: _Row, foreign: Mapping[str, str]) -> Loaded[M] | DecodeError:
    if foreign and (error := _foreign_type(mapper, key, foreign)):
        return error
    try:
        return _loaded(mapper, key, pk_text, row)
    except DecodeError as error:
        return error


def _foreign_type(mapper: Mapper[Any], key: str, foreign: Mapping[str, str]) -> RowTypeError | None:
    """The error of a row where its key, or one of its companions', has another type."""
    needed = {key: ("hash", mapper.pk_name)}
    needed |= {Keyspace.companion(key, companion.name): (companion.kind, companion.name) for companion in mapper.companions}
    for where, (kind, field) in needed.items():
        if where in foreign:
            found = f"is a {foreign[where]}" if foreign[where] not in ("none", kind) else "was something else a moment ago"
            return RowTypeError(
                f"{where} {found} where {mapper.model.__name__} needs a {kind}: nothing could be read from it; "
                "move or delete that key, or take another prefix",
                model=mapper.model,
                field=field,
                key=where,
                expected=kind,
                found=foreign[where],
            )
    return None


def exists(keys: Sequence[str]) -> Flow[frozenset[str]]:
    """Tell which rows are there. One round trip."""
    replies = yield Batch([("EXISTS", key) for key in keys], resend=True)
    return frozenset(key for key, reply in zip(keys, replies, strict=True) if reply)


def time_to_live(key: str) -> Flow[int]:
    """Ask how long a row will live, in milliseconds; -1 for ever, -2 where it is not there. One round trip."""
    (reply,) = yield Batch([("PTTL", key)], resend=True)
    return int(reply)


class _Row(NamedTuple):
    texts: Sequence[bytes | None]
    companions: Sequence[Any]
    extra: Mapping[str, bytes]
    deadline_ms: int | None
    empty: bool


def _reads(mapper: Mapper[Any], keys: Sequence[str]) -> list[Command]:
    """The commands that read rows."""
    if mapper.reads_at_once:
        return [("HMGET", key, *mapper.fields) for key in keys]
    return [command for key in keys for command in _parts(mapper, key)]


def _parts(mapper: Mapper[Any], key: str) -> Iterator[Command]:
    """The commands that read one row of several parts."""
    yield ("HGETALL", key) if mapper.open else ("HMGET", key, *mapper.fields)
    for companion in mapper.companions:
        yield read_elements(companion, key)
    if mapper.options.ttl_refresh == "read":
        yield ("PEXPIRETIME", key)


def read_elements(companion: Companion, key: str) -> Command:
    """The command that reads all elements of a companion of a row."""
    name, *arguments = _READS[companion.kind]
    return (name, Keyspace.companion(key, companion.name), *arguments)


def pairs_of(reply: Reply) -> dict[bytes, bytes]:
    """The fields of a hash in one shape, whichever protocol brought them."""
    return dict(reply) if isinstance(reply, dict) else dict(zip(islice(reply, 0, None, 2), islice(reply, 1, None, 2), strict=True))


def _rows(mapper: Mapper[Any], replies: Sequence[Reply], count: int) -> Iterator[_Row]:
    extra: dict[str, bytes] = {}
    if mapper.reads_at_once:
        yield from (_Row(texts, (), extra, None, texts.count(None) == len(texts)) for texts in replies)
        return
    rest = iter(replies)
    for _ in range(count):
        texts = next(rest)
        if mapper.open:
            texts, extra = _declared(mapper, texts)
        companions = [elements_of(companion.kind, next(rest)) for companion in mapper.companions]
        deadline_ms = next(rest) if mapper.options.ttl_refresh == "read" else None
        yield _Row(texts, companions, extra, deadline_ms, not extra and texts.count(None) == len(texts))


def _declared(mapper: Mapper[Any], reply: Reply) -> tuple[list[bytes | None], dict[str, bytes]]:
    """Part the declared fields from the others; a class that keeps undeclared ones reads with HGETALL."""
    pairs = pairs_of(reply)
    texts = [pairs.pop(name.encode(), None) for name in mapper.fields]
    extra = {name.decode("utf-8", "surrogateescape"): text for name, text in pairs.items()}
    return texts, {name: text for name, text in extra.items() if not mapper.encoder.is_taken(name)}


def elements_of(kind: str, reply: Reply) -> Any:
    """The elements of a companion in one shape, whichever protocol brought them."""
    if kind == "list":
        return list(reply)
    if kind == "set":
        return dict.fromkeys(reply)
    if reply and not isinstance(reply[0], (list, tuple)):  # RESP2: member, score, member, score, …
        reply = zip(islice(reply, 0, None, 2), islice(reply, 1, None, 2), strict=True)
    return {member: float(score) for member, score in reply}


def _loaded(mapper: Mapper[M], key: str, pk_text: str, row: _Row) -> Loaded[M]:
    obj = mapper.decoder.row(row.texts, row.companions, key, pk_text, row.extra)
    slots = len(mapper.slots.names)
    version = version_of(row.texts[slots + 1], mapper.model, key) if mapper.options.versioned else None
    snapshot = snapshot_of_row(mapper, obj, row.texts, row.companions, row.extra)
    return Loaded(obj, key, snapshot, version, None if (life := row.texts[slots]) is None else life_ms(life), row.deadline_ms)

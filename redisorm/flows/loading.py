"""Reading rows: one atomic batch brings a row with its companions, so that an object is never torn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from redisorm.commands import Argument, Batch, Collect, Command, Flow, ForEach, Post, Reply
from redisorm.errors import BackendError, DecodeError, RowTypeError, WrongTypeError
from redisorm.keys import Keyspace
from redisorm.mapping.base import MappedModel
from redisorm.mapping.layout import Companion, CompanionKind
from redisorm.mapping.mapper import Mapper

from .ahead import Ahead
from .decoding import LOADED, Loaded, Make, decode, made

__all__ = ["BATCH", "OnError", "exists", "load", "load_each", "read_elements", "sound", "time_to_live"]

M = TypeVar("M", bound=MappedModel)
T = TypeVar("T")

OnError: TypeAlias = Literal["raise", "return"]
"""What becomes of a row that cannot be read: its `DecodeError` is raised, or stands in its place."""

BATCH = 1000
"""Rows of one atomic read."""
SLICE = 50
"""Rows of one atomic read where not all have to be as of one instant: some are decoded while the server reads the next."""
AHEAD = 1000
"""Rows on the way while others are decoded, so that neither side waits for the other, and neither has to hold very much."""

_READS: dict[CompanionKind, tuple[Argument, ...]] = {
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}
"""For each kind of companion its command, and what comes after the key."""


def load(mapper: Mapper[M], keyspace: Keyspace, pk_texts: Sequence[str]) -> Flow[list[Loaded[M] | None]]:
    """Load rows in the order of their keys; `None` for each that is not there.

    One round trip for each 1,000 rows, each of them atomic, and one more where a row was not found: HMGET cannot tell
    an absent row from one that has no declared field.

    Raises:
        DecodeError: A stored value does not fit its field, or a key has another type.
    """
    return sound((yield from load_each(mapper, keyspace, pk_texts, LOADED)))


def sound(found: list[T | DecodeError | None]) -> list[T | None]:
    """Return what was found, or raise the first error in it."""
    for one in found:
        if isinstance(one, DecodeError):
            raise one
    return cast("list[T | None]", found)


def load_each(
    mapper: Mapper[M],
    keyspace: Keyspace,
    pk_texts: Sequence[str],
    make: Make[M, T],
    *,
    at_once: bool = True,
    beside: Ahead[Any] | None = None,
) -> Flow[list[T | DecodeError | None]]:
    """Load rows as `load` does, with the error of each that cannot be read in its place.

    Where a key has another type, one more round trip finds out which. What is read next is on its way while rows are decoded.

    Args:
        make: What becomes of each object and of what a session has to remember of it.
        at_once: Whether all rows, up to 1,000, have to be as of one instant; else up to 50 are.
        beside: What else is asked, behind the reads of the rows and in the same round trip.
    """
    asks = beside is not None and beside.questions
    if len(pk_texts) == 1 and not asks and mapper.reads_at_once:
        return [(yield from _load_one(mapper, keyspace, pk_texts[0], make))]
    size = BATCH if at_once else SLICE
    views = [View(mapper, keyspace, pk_texts[start : start + size], make) for start in range(0, len(pk_texts), size)]
    if len(views) == 1 and not asks:
        views[0].take((yield views[0].batch()))
    elif views:
        yield from _take_in_turn(views, max(2, AHEAD // size), beside)
    found: list[T | DecodeError | None] = []
    for view in views:
        if view.is_odd:
            yield from view.settle()
        found += view.found
    return found


def _load_one(mapper: Mapper[M], keyspace: Keyspace, pk_text: str, make: Make[M, T]) -> Flow[T | DecodeError | None]:
    """Load one row that is a hash alone: the same without a list for everything, unless there is something odd about it."""
    key = keyspace.row(pk_text)
    (texts,) = yield Batch(_reads(mapper, (key,)), resend=True, partial=True)
    if type(texts) is list and texts.count(None) < len(texts):
        return made(mapper, make, key, pk_text, texts)
    view = View(mapper, keyspace, (pk_text,), make)
    view.take([texts])
    if view.is_odd:
        yield from view.settle()
    return view.found[0]


def _take_in_turn(views: Sequence[View[Any, Any]], ahead: int, beside: Ahead[Any] | None) -> Flow[None]:
    """Decode what has come while the server reads what comes next: so many views are on the way at most, and one question behind them."""
    questions = () if beside is None else beside.questions
    batches = chain((view.batch() for view in views), questions)
    for batch in islice(batches, ahead + len(questions)):
        yield Post(batch)
    for view in views:
        replies = yield Collect()
        for batch in islice(batches, 1):
            yield Post(batch)
        view.take(replies)
    if beside is not None:
        yield from beside.collect()


class View(Generic[M, T]):
    """Some rows as they are at one instant.

    Attributes:
        found: What became of each row: an object, its error, or `None` where no row is.
    """

    def __init__(self, mapper: Mapper[M], keyspace: Keyspace, pk_texts: Sequence[str], make: Make[M, T]) -> None:
        self._mapper = mapper
        self._pk_texts = pk_texts
        self._keys = keyspace.rows(pk_texts)
        self._make = make
        self._reads = _reads(mapper, self._keys)
        self._foreign: dict[str, str] = {}
        self._empty: list[int] = []
        self._refusal: BackendError | None = None
        self.found: list[T | DecodeError | None] = []

    def batch(self) -> Batch:
        """The reads of all rows."""
        return Batch(self._reads, atomic=len(self._reads) > 1, resend=True, partial=True)

    @property
    def is_odd(self) -> bool:
        """Whether a row needs another look: something has another type than it should, or there is nothing of a row."""
        return bool(self._foreign or self._empty or self._refusal)

    def take(self, replies: Sequence[Reply], there: Sequence[int] = ()) -> None:
        """Make objects of what was read.

        Args:
            there: Which rows are there, where that was asked at the same instant. Otherwise a row with none of its fields is in doubt.
        """
        self._foreign, self._refusal = {}, None
        if any(issubclass(kind, Exception) for kind in set(map(type, replies))):
            replies = self._without_refusals(replies)
        self.found = decode(self._mapper, self._make, self._keys, self._pk_texts, replies, there)
        self._empty = [place for place, one in enumerate(self.found) if one is None and self._keys[place] not in self._foreign]

    def settle(self) -> Flow[None]:
        """Look again at what was in doubt.

        Raises:
            BackendError: A command was refused for another reason than the type of its key.
        """
        yield from self._learn_types()
        if self._empty:
            (met,) = yield Batch([("EXISTS", *(self._keys[place] for place in self._empty))], resend=True)
            if met:
                # It has none of the declared fields, or was made after the read: only what is seen at one instant can tell.
                asked = [*self._reads, *(("EXISTS", key) for key in self._keys)]
                replies = yield Batch(asked, atomic=True, resend=True, partial=True)
                self.take(replies[: len(self._reads)], replies[len(self._reads) :])
                yield from self._learn_types()
        absent = set(self._empty)
        for place, key in enumerate(self._keys if self._foreign else ()):
            if place not in absent and (error := _foreign_type(self._mapper, key, self._foreign)):
                self.found[place] = error

    def _without_refusals(self, replies: Sequence[Reply]) -> list[Reply]:
        """Note which keys have another type than they should, and what was refused; they read as if they were empty."""
        replies = list(replies)
        for place, reply in enumerate(replies):
            if isinstance(reply, BackendError):
                name, key, *words = self._reads[place]
                if isinstance(reply, WrongTypeError):
                    self._foreign[str(key)] = ""
                else:
                    self._refusal = self._refusal or reply
                replies[place] = [None] * len(words) if name == "HMGET" else {} if name == "HGETALL" else []
        return replies

    def _learn_types(self) -> Flow[None]:
        if self._refusal is not None:
            raise self._refusal
        if self._foreign:
            types = yield Batch([("TYPE", key) for key in self._foreign], resend=True)
            self._foreign = dict(zip(self._foreign, (kind.decode() for kind in types), strict=True))


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


def _reads(mapper: Mapper[Any], keys: Sequence[str]) -> Sequence[Command]:
    """The commands that read rows."""
    if mapper.reads_at_once:
        return ForEach("HMGET", keys, mapper.fields)
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

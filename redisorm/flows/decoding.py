"""From the replies of reads to objects: many rows at once where they can be read column by column. Plain functions that never yield."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from redisorm.commands import Reply
from redisorm.errors import DecodeError
from redisorm.mapping.base import MappedModel
from redisorm.mapping.columnwise import ColumnDecoder
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Snapshot, snapshot_of_columns, snapshot_of_row

from .changes import life_ms, version_of

__all__ = ["LOADED", "Loaded", "Make", "decode", "elements_of", "made", "memo_in", "pairs_of", "score_pairs", "text_of"]

M = TypeVar("M", bound=MappedModel)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Values: TypeAlias = tuple[Any, ...]
Texts: TypeAlias = Mapping[int, bytes]

FEWEST = 4
"""Below this many rows, reading each by itself costs less."""


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


@dataclass(frozen=True, slots=True)
class Make(Generic[M, T_co]):
    """What becomes of objects as they were read, and of what a session has to remember of them.

    Attributes:
        one: Takes what `Loaded` takes, in its order.
        many: Takes the same in columns: object, key, what `snapshot_of_columns` takes, version, and life. All but the first three may go
            on without end.
    """

    one: Callable[[M, str, Snapshot, int | None, int | None, int | None], T_co]
    many: Callable[
        [list[M], Sequence[str], Sequence[Values], Iterable[Texts], Iterable[Values], Iterable[int | None], Iterable[int | None]],
        Sequence[T_co],
    ]


def _loaded(
    objects: list[M],
    keys: Sequence[str],
    values: Sequence[Values],
    texts: Iterable[Texts],
    elements: Iterable[Values],
    versions: Iterable[int | None],
    lives: Iterable[int | None],
) -> list[Loaded[M]]:
    return list(map(Loaded, objects, keys, map(snapshot_of_columns, values, texts, elements), versions, lives, repeat(None)))


LOADED: Make[Any, Loaded[Any]] = Make(Loaded, _loaded)
"""Objects as they were read."""


class _Beside(NamedTuple):
    """What is read of a row beside its declared fields."""

    companions: Sequence[Any] = ()
    extra: Mapping[str, bytes] = {}
    deadline_ms: int | None = None


_NOTHING = _Beside()


def decode(
    mapper: Mapper[M],
    make: Make[M, T],
    keys: Sequence[str],
    pk_texts: Sequence[str],
    replies: Sequence[Reply],
    there: Sequence[int],
) -> list[T | DecodeError | None]:
    """Make objects of some rows, whose reads are those of `View`.

    Args:
        there: As of `View.take`.

    Returns:
        For each row what was made of it, its error, or `None` where there is nothing in it.
    """
    if mapper.columns is None or len(keys) < FEWEST:
        return _made_one_by_one(mapper, make, keys, pk_texts, _rows(mapper, replies), there or repeat(0))
    step = 1 + len(mapper.companions)
    texts = replies[::step]
    held = [_held(one.kind, replies[place::step]) for place, one in enumerate(mapper.companions, 1)]
    if all(map(any, texts)):  # no row without a text
        return _made_together(mapper, mapper.columns, make, keys, pk_texts, texts, held)
    full = [place for place, row in enumerate(texts) if row.count(None) < len(row) or (there and there[place])]
    found: list[T | DecodeError | None] = [None] * len(keys)
    if full:

        def pick(column: Sequence[Any]) -> list[Any]:
            return [column[place] for place in full]

        picked = _made_together(mapper, mapper.columns, make, pick(keys), pick(pk_texts), pick(texts), list(map(pick, held)))
        for place, one in zip(full, picked, strict=True):
            found[place] = one
    return found


def _made_together(
    mapper: Mapper[M],
    columns: ColumnDecoder[M],
    make: Make[M, T],
    keys: Sequence[str],
    pk_texts: Sequence[str],
    texts: Sequence[Sequence[bytes | None]],
    held: Sequence[Sequence[Any]],
) -> list[T | DecodeError | None]:
    """The same for rows that are there, column by column; one by one where it cannot be.

    Args:
        held: For each companion its elements row by row, as `snapshot_of_columns` takes them.
    """
    versions = _versions(mapper, keys, texts)
    read = None if versions is None else columns.read(texts, pk_texts, held)
    if versions is None or read is None:
        besides = (_Beside(snapshot_of_columns((), {}, row).companions) for row in zip(*held, strict=True)) if held else repeat(_NOTHING)
        return _made_one_by_one(mapper, make, keys, pk_texts, zip(texts, besides), repeat(1))  # noqa: B905 - both may have no end
    lives = read.beside[0]
    own = repeat(None) if lives.count(None) == len(lives) else map(life_ms, lives)
    return [*make.many(read.objects, keys, read.values, read.texts, read.elements, versions, own)]


def _held(kind: str, replies: Sequence[Reply]) -> list[Any]:
    """The elements of a companion of many rows, as `snapshot_of_columns` takes them."""
    return list(map(tuple, replies)) if kind == "set" else [elements_of(kind, reply) for reply in replies]


def _versions(mapper: Mapper[Any], keys: Sequence[str], replies: Sequence[Reply]) -> Iterable[int | None] | None:
    """The versions of rows; `None` where one cannot be read."""
    if not mapper.options.versioned:
        return repeat(None)
    place = len(mapper.slots.names) + 1
    try:
        return [version_of(texts[place], mapper.model, key) for texts, key in zip(replies, keys, strict=True)]
    except DecodeError:
        return None


def _made_one_by_one(
    mapper: Mapper[M],
    make: Make[M, T],
    keys: Sequence[str],
    pk_texts: Sequence[str],
    rows: Iterable[tuple[Sequence[bytes | None], _Beside]],
    there: Iterable[int],
) -> list[T | DecodeError | None]:
    found: list[T | DecodeError | None] = []
    for key, pk_text, (texts, beside), is_there in zip(keys, pk_texts, rows, there):  # noqa: B905 - `there` may go on
        is_empty = not is_there and texts.count(None) == len(texts) and not beside.extra
        found.append(None if is_empty else made(mapper, make, key, pk_text, texts, beside))
    return found


def made(
    mapper: Mapper[M], make: Make[M, T], key: str, pk_text: str, texts: Sequence[bytes | None], beside: _Beside = _NOTHING
) -> T | DecodeError:
    """Make an object of one row that is there."""
    try:
        obj = mapper.decoder.row(texts, beside.companions, key, pk_text, beside.extra)
        slots = len(mapper.slots.names)
        version = version_of(texts[slots + 1], mapper.model, key) if mapper.options.versioned else None
        snapshot = snapshot_of_row(mapper, obj, texts, beside.companions, beside.extra)
    except DecodeError as error:
        return error
    return make.one(obj, key, snapshot, version, None if (life := texts[slots]) is None else life_ms(life), beside.deadline_ms)


def pairs_of(reply: Reply) -> dict[bytes, bytes]:
    """The fields of a hash in one shape, whichever protocol brought them."""
    return dict(reply) if isinstance(reply, dict) else dict(zip(islice(reply, 0, None, 2), islice(reply, 1, None, 2), strict=True))


def memo_in(reply: Reply) -> dict[str, str]:
    """What is remembered of an expiring row: members by entry, empty for the primary key."""
    return {name.decode(): member.decode() for name, member in pairs_of(reply).items()}


def text_of(word: bytes) -> str:
    """A primary key as text. What is no UTF-8 in it is kept, and comes back the same where it is encoded in this way again."""
    return word.decode("utf-8", "surrogateescape")


def _rows(mapper: Mapper[Any], replies: Sequence[Reply]) -> Iterator[tuple[Sequence[bytes | None], _Beside]]:
    """The declared fields of each row, and what is beside them."""
    return zip(replies, repeat(_NOTHING)) if mapper.reads_at_once else _rows_in_parts(mapper, iter(replies))


def _rows_in_parts(mapper: Mapper[Any], replies: Iterator[Reply]) -> Iterator[tuple[Sequence[bytes | None], _Beside]]:
    extra: dict[str, bytes] = {}
    for texts in replies:
        if mapper.open:
            texts, extra = _declared(mapper, texts)  # noqa: PLW2901
        companions = [elements_of(companion.kind, next(replies)) for companion in mapper.companions]
        deadline_ms = next(replies) if mapper.options.ttl_refresh == "read" else None
        yield texts, _Beside(companions, extra, deadline_ms)


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
    return dict(score_pairs(reply))


def score_pairs(reply: Reply) -> list[tuple[bytes, float]]:
    """Members with their scores, whichever protocol brought them."""
    if not reply or isinstance(reply[0], (list, tuple)):
        return [(member, score) for member, score in reply]
    return [(member, float(score)) for member, score in zip(islice(reply, 0, None, 2), islice(reply, 1, None, 2), strict=True)]

"""A Redis hash as a Python dict of typed keys and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from redisorm.commands import Command, Flow, Reply
from redisorm.flows.pieces import chunks

from .passes import scan_all, scan_step
from .queues import UNSAID
from .typed import TypedKey, Write, ask, ask_each, columns, done, guarded, is_full

__all__ = [
    "contains",
    "drop",
    "get",
    "get_many",
    "increment",
    "items",
    "pop",
    "pop_item",
    "remove",
    "scan",
    "set_default",
    "set_item",
    "size",
    "update",
]

T = TypeVar("T")


def _value(key: TypedKey[T], field: object, text: bytes) -> T:
    return key.items.read(text, key.name, field)


# ---- reading ------------------------------------------------------------------------------------------------------------


def size(key: TypedKey[Any]) -> Flow[int]:
    """HLEN."""
    (count,) = yield from ask(("HLEN", key.name))
    return int(count)


def contains(key: TypedKey[Any], field: object) -> Flow[bool]:
    """HEXISTS."""
    text = key.fields.sought(field)
    if text is None:
        return False
    (found,) = yield from ask(("HEXISTS", key.name, text))
    return bool(found)


def get(key: TypedKey[T], field: object, default: Any = UNSAID) -> Flow[Any]:
    """HGET; without a default a `KeyError` where it is absent."""
    text = key.fields.sought(field)
    found = None if text is None else (yield from ask(("HGET", key.name, text)))[0]
    if found is not None:
        return _value(key, field, found)
    if default is UNSAID:
        raise KeyError(field)
    return default


def get_many(key: TypedKey[T], fields: Iterable[object]) -> Flow[list[T | None]]:
    """HMGET; `None` for each that is absent."""
    names = list(fields)
    stored = yield from ask_each(key, "HMGET", key.fields.sought_many(names))
    if is_full(stored):
        return [*key.items.read_many(stored, key.name, names.__getitem__)]
    there = [name for name, text in zip(names, stored, strict=True) if text is not None]
    values = iter(key.items.read_many([text for text in stored if text is not None], key.name, there.__getitem__))
    return [None if text is None else next(values) for text in stored]


def scan(key: TypedKey[T], cursor: int) -> Flow[tuple[int, list[tuple[Any, T]]]]:
    """HSCAN: the next pairs of an iteration, and where it goes on; 0 is the end."""
    following, reply = yield from scan_step(key, "HSCAN", cursor)
    return following, _read(key, reply)


def items(key: TypedKey[T]) -> Flow[dict[Any, T]]:
    """HSCAN to the end: everything."""
    found: dict[Any, T] = {}
    yield from scan_all(key, "HSCAN", lambda reply: found.update(_read(key, reply)))
    return found


def _read(key: TypedKey[T], reply: Reply) -> list[tuple[Any, T]]:
    names, texts = columns(reply)
    fields = key.fields.read_many(names, key.name)
    values = key.items.read_many(texts, key.name, fields.__getitem__)
    return list(zip(fields, values, strict=True))


# ---- writing ------------------------------------------------------------------------------------------------------------


def set_item(key: TypedKey[T], field: object, value: T) -> Write[None]:
    """HSET."""
    return Write([("HSET", key.name, key.fields.spell(field, key.name), key.items.spell(value, key.name, str(field)))], done)


def update(key: TypedKey[Any], values: Any, named: Mapping[str, Any]) -> Write[None]:
    """HSET of many: those of a mapping or of pairs, and those given by name."""
    entries = dict(values, **named)
    words: list[Any] = [None] * (2 * len(entries))
    words[::2] = key.fields.spell_many(entries, key.name)
    words[1::2] = key.items.spell_many(entries.values(), key.name, map(str, entries))
    return Write(chunks("HSET", key.name, words), done)


def set_default(key: TypedKey[T], field: object, value: T) -> Write[T]:
    """HSETNX and HGET; the value that is there then."""
    name, text = key.fields.spell(field, key.name), key.items.spell(value, key.name, str(field))
    commands: list[Command] = [("HSETNX", key.name, name, text), ("HGET", key.name, name)]
    return Write(commands, lambda replies: _value(key, field, replies[1]), asks=True)


def remove(key: TypedKey[Any], *fields: object) -> Write[int]:
    """HDEL; how many were there."""
    texts = [text for text in key.fields.sought_many(fields) if text is not None]
    return Write(chunks("HDEL", key.name, texts), sum, renews=False)


def drop(key: TypedKey[Any], field: object) -> Write[None]:
    """HDEL; `KeyError` where it is absent."""

    def dropped(replies: Sequence[Reply]) -> None:
        if not sum(replies):
            raise KeyError(field)

    return Write(remove(key, field).commands, dropped, renews=False)


def pop(key: TypedKey[T], field: object, default: Any = UNSAID) -> Write[Any]:
    """HGET and HDEL; without a default a `KeyError` where it is absent."""
    text = key.fields.sought(field)

    def popped(replies: Sequence[Reply]) -> Any:
        if replies and replies[0] is not None:
            return _value(key, field, replies[0])
        if default is UNSAID:
            raise KeyError(field)
        return default

    commands: list[Command] = [] if text is None else [("HGET", key.name, text), ("HDEL", key.name, text)]
    return Write(commands, popped, renews=False, asks=True)


def pop_item(key: TypedKey[T]) -> Flow[tuple[Any, T]]:
    """HRANDFIELD and HDEL under WATCH: any pair; `KeyError` where there is none."""

    def plan(replies: list[Reply]) -> Write[tuple[Any, T]]:
        if not replies[0]:
            raise KeyError(f"popitem from the empty dict {key.name}")
        (pair,) = _read(key, replies[0])
        (name,), _ = columns(replies[0])
        return Write([("HDEL", key.name, name)], lambda _: pair, renews=False)

    return (yield from guarded([key], [("HRANDFIELD", key.name, 1, "WITHVALUES")], plan))


def increment(key: TypedKey[T], field: object, by: Any) -> Flow[T]:
    """Add to a number, under WATCH: computed here from the stored text, so that floats do not drift and constraints hold."""
    name = key.fields.spell(field, key.name)

    def plan(replies: list[Reply]) -> Write[T]:
        before: Any = by - by if replies[0] is None else _value(key, field, replies[0])
        try:
            after = before + by
        except TypeError as error:
            raise TypeError(f"{key.name}[{field!r}] is {before!r}, which is no number to increment by {by!r}") from error
        text = key.items.spell(after, key.name, str(field))
        return Write([("HSET", key.name, name, text)], lambda _: key.items.check(after))

    return (yield from guarded([key], [("HGET", key.name, name)], plan))

"""A Redis set as a Python set. Two sets on one server are put together by the server; plain values are looked up there.

Members are what their texts are: two values with one text are one member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Literal, TypeVar

from redisorm.commands import Batch, Command, Flow, Reply, Supports
from redisorm.flows.pieces import chunks
from redisorm.mapping.codec import Text
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.items import as_member

from .passes import scan_all, scan_step
from .typed import TypedKey, Write, apply, ask, ask_each, done, guarded, kept, typed

__all__ = [
    "Combination",
    "add",
    "combine",
    "contains",
    "discard",
    "equals",
    "is_disjoint",
    "is_subset",
    "is_superset",
    "keep",
    "members",
    "move",
    "pop",
    "remove",
    "sample",
    "scan",
    "size",
    "store",
    "symmetric_difference",
    "symmetric_update",
    "take",
    "update",
    "which",
]

T = TypeVar("T")

Combination = Literal["SINTER", "SUNION", "SDIFF"]


def _spell(key: TypedKey[T], value: T) -> Text:
    hash(value)  # a set has no other members, and could not be read back
    return key.items.spell(value, key.name)


def _sought(key: TypedKey[Any], value: object) -> bytes | None:
    return key.items.sought(as_member(value))


# ---- reading ------------------------------------------------------------------------------------------------------------


def size(key: TypedKey[Any]) -> Flow[int]:
    """SCARD."""
    (count,) = yield from ask(("SCARD", key.name))
    return int(count)


def contains(key: TypedKey[Any], value: object) -> Flow[bool]:
    """SISMEMBER."""
    text = _sought(key, value)
    if text is None:
        return False
    (found,) = yield from ask(("SISMEMBER", key.name, text))
    return bool(found)


def which(key: TypedKey[Any], values: Iterable[object]) -> Flow[list[bool]]:
    """SMISMEMBER: for each value whether it is there."""
    return list(map(bool, (yield from ask_each(key, "SMISMEMBER", key.items.sought_many(values, hashed=True)))))


def scan(key: TypedKey[T], cursor: int) -> Flow[tuple[int, list[T]]]:
    """SSCAN: the next members of an iteration, and where it goes on; 0 is the end."""
    following, texts = yield from scan_step(key, "SSCAN", cursor)
    return following, key.items.read_many(texts, key.name)


def members(key: TypedKey[T]) -> Flow[set[T]]:
    """SSCAN to the end: all members."""
    found: set[T] = set()
    yield from scan_all(key, "SSCAN", lambda texts: found.update(key.items.read_many(texts, key.name)))
    return found


def sample(key: TypedKey[T], count: int) -> Flow[list[T]]:
    """SRANDMEMBER: so many different members at random."""
    if count < 0:
        raise ValueError(f"count {count} must be 0 or more")
    (texts,) = yield from ask(("SRANDMEMBER", key.name, count))
    return key.items.read_many(list(texts), key.name)


# ---- writing ------------------------------------------------------------------------------------------------------------


def add(key: TypedKey[T], value: T) -> Write[bool]:
    """SADD; tell whether it is new."""
    return Write([("SADD", key.name, _spell(key, value))], lambda replies: bool(replies[0]))


def update(key: TypedKey[T], *groups: Iterable[T]) -> Write[int]:
    """SADD of many; how many are new."""
    texts = key.items.spell_many(groups[0] if len(groups) == 1 else chain.from_iterable(groups), key.name, hashed=True)
    return Write(chunks("SADD", key.name, texts), _sum)


def discard(key: TypedKey[Any], value: object) -> Write[bool]:
    """SREM; tell whether it was there."""
    return Write(_removal(key, [value]), lambda replies: bool(_sum(replies)), renews=False)


def remove(key: TypedKey[Any], value: object) -> Write[None]:
    """SREM; `KeyError` where it was not there."""

    def removed(replies: Sequence[Reply]) -> None:
        if not _sum(replies):
            raise KeyError(value)

    return Write(_removal(key, [value]), removed, renews=False)


def take(key: TypedKey[Any], *groups: Iterable[object]) -> Write[int]:
    """SREM of many; how many were there."""
    return Write(_removal(key, [value for values in groups for value in values]), _sum, renews=False)


def pop(key: TypedKey[T], count: int | None) -> Write[Any]:
    """SPOP: one member at random, `KeyError` where there is none; or a set of up to so many."""
    if count is not None and count < 0:
        raise ValueError(f"count {count} must be 0 or more")

    def popped(replies: Sequence[Reply]) -> Any:
        if count is not None:
            with kept(key, list(replies[0])) as texts:
                return set(key.items.read_many(texts, key.name))
        if replies[0] is None:
            raise KeyError(f"pop from the empty set {key.name}")
        return key.items.read(replies[0], key.name)

    command: Command = ("SPOP", key.name) if count is None else ("SPOP", key.name, count)
    return Write([command], popped, renews=False, asks=True)


def move(key: TypedKey[T], target: TypedKey[Any], value: object) -> Flow[bool]:
    """SMOVE: one member to another set, atomically; tell whether it was there."""
    text = _sought(key, value)
    commands: list[Command] = [] if text is None else [("SMOVE", key.name, target.name, text)]
    write = Write(commands, lambda replies: bool(_sum(replies)), others=[key])
    return (yield from typed([key, target], apply(target, write)))


def _removal(key: TypedKey[Any], values: Iterable[object]) -> list[Command]:
    return chunks("SREM", key.name, [text for text in key.items.sought_many(values, hashed=True) if text is not None])


def _sum(replies: Sequence[Reply]) -> int:
    return sum(replies)


# ---- sets with sets -----------------------------------------------------------------------------------------------------


def combine(key: TypedKey[T], command: Combination, peers: Sequence[TypedKey[Any]], plain: Sequence[Iterable[object]]) -> Flow[set[T]]:
    """SINTER, SUNION or SDIFF with sets of the same server, and then with plain values here.

    An intersection with plain values alone only asks for those.
    """
    if command == "SINTER" and plain and not peers:
        first, *rest = plain
        values = list(first)
        found = yield from which(key, values)
        return _together(command, {value for value, there in zip(values, found, strict=True) if there}, rest)
    if not peers:
        return _together(command, (yield from members(key)), plain)
    (texts,) = yield from typed([key, *peers], ask((command, key.name, *(peer.name for peer in peers))))
    return _together(command, set(key.items.read_many(list(texts), key.name)), plain)


def _together(command: Combination, found: set[Any], plain: Sequence[Iterable[object]]) -> set[Any]:
    merge: dict[Combination, Callable[..., set[Any]]] = {"SINTER": found.intersection, "SUNION": found.union, "SDIFF": found.difference}
    return merge[command](*plain)


def symmetric_difference(key: TypedKey[T], peer: TypedKey[Any] | None, plain: Iterable[object]) -> Flow[set[T]]:
    """SDIFF both ways, or with plain values here."""
    if peer is None:
        return _toggled((yield from members(key)), plain)
    mine, theirs = yield from typed([key, peer], ask(("SDIFF", key.name, peer.name), ("SDIFF", peer.name, key.name)))
    return set(key.items.read_many([*mine, *theirs], key.name))


def _toggled(found: set[Any], plain: Iterable[object]) -> set[Any]:
    return found.symmetric_difference(plain)


def store(key: TypedKey[Any], command: Combination, target: TypedKey[Any], peers: Sequence[TypedKey[Any]]) -> Flow[int]:
    """SINTERSTORE, SUNIONSTORE or SDIFFSTORE; the size of what is stored.

    The target keeps the deadline it had, which the command alone would drop, and is not overwritten where it is of
    another type, which the command alone would do.
    """

    def plan(replies: list[Reply]) -> Write[int]:
        commands: list[Command] = [(f"{command}STORE", target.name, key.name, *(peer.name for peer in peers))]
        if replies[0] > 0:
            commands.append(("PEXPIREAT", target.name, replies[0]))
        return Write(commands, lambda replies: int(replies[0]))

    others = [source for source in (key, *peers) if source.name != target.name]
    return (yield from guarded([target, *others], [("PEXPIRETIME", target.name)], plan))


def keep(key: TypedKey[Any], groups: Sequence[Iterable[object]]) -> Flow[None]:
    """Remove all members but those that are among plain values: SMEMBERS and SREM under WATCH."""
    kept = [{text for value in values if (text := _sought(key, value)) is not None} for values in groups]

    def plan(replies: list[Reply]) -> Write[None]:
        gone = [text for text in replies[0] if not all(text in texts for texts in kept)]
        return Write(chunks("SREM", key.name, gone), done, renews=False)

    yield from guarded([key], [("SMEMBERS", key.name)], plan)


def symmetric_update(key: TypedKey[T], peer: TypedKey[Any] | None, plain: Iterable[T]) -> Flow[None]:
    """Remove the members that are in both and add those that are only in the other: SREM and SADD under WATCH."""
    texts: list[Text] = [] if peer is not None else list(dict.fromkeys(map(as_bytes, key.items.spell_many(plain, key.name, hashed=True))))

    def plan(replies: list[Reply]) -> Write[None]:
        if peer is not None:
            gone, new = (list(reply) for reply in replies)
        else:
            there = [bool(flag) for reply in replies for flag in reply]
            gone = [text for text, found in zip(texts, there, strict=True) if found]
            new = [text for text, found in zip(texts, there, strict=True) if not found]
        return Write([*chunks("SADD", key.name, new), *chunks("SREM", key.name, gone)], done)

    if peer is not None:
        yield from guarded([key, peer], [("SINTER", key.name, peer.name), ("SDIFF", peer.name, key.name)], plan)
    elif texts:
        yield from guarded([key], chunks("SMISMEMBER", key.name, texts), plan)


# ---- comparing ----------------------------------------------------------------------------------------------------------


def is_disjoint(key: TypedKey[Any], peer: TypedKey[Any] | None, plain: Iterable[object]) -> Flow[bool]:
    """SINTERCARD with LIMIT 1, or SMISMEMBER."""
    if peer is None:
        return not any((yield from which(key, plain)))
    counts = yield Supports("SINTERCARD")
    question: Command = ("SINTERCARD", 2, key.name, peer.name, "LIMIT", 1) if counts else ("SINTER", key.name, peer.name)
    (common,) = yield from typed([key, peer], ask(question))
    return not common


def is_subset(key: TypedKey[Any], peer: TypedKey[Any] | None, plain: Iterable[object], *, proper: bool = False) -> Flow[bool]:
    """Whether every member is in the other, and with `proper` the other has more: by the sizes of both and of what they share."""
    mine, common, theirs = yield from _sizes(key, peer, plain)
    return mine == common and (not proper or theirs > mine)


def is_superset(key: TypedKey[Any], peer: TypedKey[Any] | None, plain: Iterable[object], *, proper: bool = False) -> Flow[bool]:
    """Likewise the other way round."""
    mine, common, theirs = yield from _sizes(key, peer, plain)
    return theirs == common and (not proper or mine > theirs)


def equals(key: TypedKey[Any], peer: TypedKey[Any] | None, plain: Iterable[object]) -> Flow[bool]:
    """Whether both have the same members."""
    mine, common, theirs = yield from _sizes(key, peer, plain)
    return mine == common == theirs


def _sizes(key: TypedKey[Any], peer: TypedKey[Any] | None, plain: Iterable[object]) -> Flow[tuple[int, int, int]]:
    """The sizes of the set, of what it shares with the other, and of the other, at one time."""
    if peer is not None:
        counts = yield Supports("SINTERCARD")
        question: Command = ("SINTERCARD", 2, key.name, peer.name) if counts else ("SINTER", key.name, peer.name)
        mine, common, theirs = yield from typed([key, peer], ask(("SCARD", key.name), question, ("SCARD", peer.name)))
        return mine, common if counts else len(common), theirs
    values = set(plain)
    texts = [text for text in key.items.sought_many(values, hashed=True) if text is not None]
    replies: list[Any] = yield Batch([("SCARD", key.name), *chunks("SMISMEMBER", key.name, texts)], atomic=True, resend=True)
    return replies[0], sum(sum(reply) for reply in replies[1:]), len(values)

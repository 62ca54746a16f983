"""A typed key, and what all structures do alike: write with a life, write under a guard, and tell of a key of another type.

A `Write` is data: commands, and what their replies mean. Where a key has a life, its deadline is set in the same atomic
step, and only after its type is known: a stranger's key must not be given a deadline by an EXEC whose other command failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Generic, TypeVar

from redisorm.commands import ATTEMPTS, Batch, Command, Flow, Pause, Reply, Watch
from redisorm.errors import BackendError, ConcurrentUpdateError, DecodeError, WrongTypeError
from redisorm.flows.guards import refuse_type
from redisorm.flows.living import row_is_gone
from redisorm.flows.pieces import chunks
from redisorm.mapping.codec import Text
from redisorm.mapping.items import Items
from redisorm.mapping.layout import seconds_ms
from redisorm.mapping.live import RedisType

from .steps import RowGoneError, run_steps

__all__ = [
    "BATCH",
    "SCAN",
    "Life",
    "RedisType",
    "TypedKey",
    "Write",
    "apply",
    "ask",
    "ask_each",
    "ask_items",
    "columns",
    "decodes",
    "delete",
    "done",
    "exists",
    "expire",
    "first",
    "guarded",
    "is_full",
    "kept",
    "once",
    "pairs",
    "time_to_live",
    "typed",
]

T = TypeVar("T")
R = TypeVar("R")

BATCH = 1000
"""Items of one step of an iteration."""
SCAN = 1100
"""Items of one step of a scan, about: a batch and some more, since only a step that finds fewer is surely the last."""


@dataclass(frozen=True, slots=True)
class Life:
    """How long a structure lives, and whether every write that adds or changes restarts it, or only the first one sets it."""

    ms: int
    restarts: bool

    def command(self, name: str) -> Command:
        """The command that sets the deadline of a key that was just written."""
        return ("PEXPIRE", name, self.ms) if self.restarts else ("PEXPIRE", name, self.ms, "NX")


@dataclass(frozen=True, slots=True)
class TypedKey(Generic[T]):
    """What a handle points at.

    Attributes:
        name: The Redis key, with its namespace.
        kind: The type it must have.
        items: The items of a list or set, the members of a sorted set, the values of a hash or string.
        fields: The fields of a hash.
        life: Its life, or `None` for none.
        maxlen: How many items a list keeps, or `None` for any number.
        row: The key of the row it belongs to, which must be there and whose deadline it has; `None` for a key of its own.
        model: The class of that row.
    """

    name: str
    kind: RedisType
    items: Items[T]
    fields: Items[Any]
    life: Life | None = None
    maxlen: int | None = None
    row: str | None = None
    model: type = object


@dataclass(slots=True)
class Write(Generic[R]):
    """Commands on one key and what their replies mean.

    Attributes:
        commands: Only the first can fail at the server, or all of them fail alike. Several go in one MULTI/EXEC.
        result: Makes the result out of the replies.
        renews: Whether something is added or changed, so that the life of the key applies. What only removes leaves it alone.
        blind: Whether the commands would do their work on a key of another type too, so that its type must be looked at first.
        others: Other keys that the commands use.
        asks: Whether the result is what it is done for, so that it makes no sense where the replies come later.
    """

    commands: Sequence[Command]
    result: Callable[[Sequence[Reply]], R]
    renews: bool = True
    blind: bool = False
    others: Sequence[TypedKey[Any]] = ()
    asks: bool = False


def done(_: Sequence[Reply]) -> None:
    """The result of a write that has none."""


def first(replies: Sequence[Reply]) -> Any:
    """The result of a write that is its first reply."""
    return replies[0]


def ask(*commands: Command) -> Flow[list[Reply]]:
    """Read, in one round trip that may be repeated."""
    replies: list[Reply] = yield Batch(commands, atomic=len(commands) > 1, resend=True)
    return replies


def decodes(key: TypedKey[Any]) -> bool:
    """Whether all that lies under a key is Unicode, so that a driver may decode it."""
    return key.items.decodes and key.fields.decodes


def ask_items(key: TypedKey[Any], *commands: Command) -> Flow[list[Reply]]:
    """Read many items, in one round trip that may be repeated. Where they are Unicode the driver may decode those of one command."""
    if len(commands) > 1 or not decodes(key):
        return (yield from ask(*commands))
    try:
        replies: list[Reply] = yield Batch(commands, resend=True, text=True)
    except UnicodeDecodeError:
        return (yield from ask(*commands))  # as bytes, then, so that the item can be told
    return replies


def ask_each(key: TypedKey[Any], name: str, texts: Sequence[Text | None]) -> Flow[list[Reply]]:
    """Read what is there of each of many texts, by a command that takes them all; `None` of those that are none."""
    sought = texts if is_full(texts) else [text for text in texts if text is not None]
    replies = (yield from ask_items(key, *chunks(name, key.name, sought))) if sought else []
    found: list[Reply] = replies[0] if len(replies) == 1 else list(chain.from_iterable(replies))
    if sought is texts:
        return found
    rest = iter(found)
    return [None if text is None else next(rest) for text in texts]


def is_full(words: Sequence[object]) -> bool:
    """Whether no `None` is among words; most often none is empty, which takes less time to tell."""
    return all(words) or None not in words


def once(command: Command) -> Flow[list[Reply]]:
    """Send one command that must not be sent twice."""
    replies: list[Reply] = yield Batch([command])
    return replies


def columns(reply: Reply) -> tuple[list[Any], list[Any]]:
    """Members and scores, or fields and values, in two lists, whichever protocol brought them."""
    if isinstance(reply, dict):
        return list(reply), list(reply.values())
    if reply and isinstance(reply[0], (list, tuple)):
        members, scores = zip(*reply, strict=True)
        return list(members), list(scores)
    return reply[::2], reply[1::2]


def pairs(reply: Reply) -> list[tuple[bytes, Any]]:
    """The same in pairs."""
    return list(zip(*columns(reply), strict=True))


@contextmanager
def kept(key: TypedKey[Any], taken: Sequence[R]) -> Iterator[Sequence[R]]:
    """Hand over what a command took away: where one item of several does not decode, all of them are in the error."""
    try:
        yield taken
    except DecodeError as error:
        if len(taken) < 2:
            raise
        message = f"{error}; the {len(taken)} items taken with one command are the value of this error"
        every = DecodeError(message, key=key.name, value=list(taken))
        every.position = error.position
        raise every from error.__cause__


# ---- writing ------------------------------------------------------------------------------------------------------------


def apply(key: TypedKey[Any], write: Write[R]) -> Flow[R]:
    """Perform a write, in one atomic step with the deadline of the key. Nothing is sent where there is no command.

    One round trip; two for a blind write, and where there is a life and no script may run.
    """
    if not write.commands:
        return write.result(())
    keys = [key, *write.others]
    if write.blind:
        return (yield from guarded(keys, (), lambda _: write))
    if key.row is not None:
        return (yield from _apply_beside(key, key.row, write))
    if key.life is None or not write.renews:
        replies = yield Batch(write.commands, atomic=len(write.commands) > 1)
        return write.result(replies)
    commands = [*write.commands, key.life.command(key.name)]
    # Its first failing command ends it: a key of another type is given no deadline.
    replies = yield from run_steps([one.name for one in keys], commands)
    if replies is not None:
        return write.result(replies[:-1])
    return (yield from guarded(keys, (), lambda _: write))


def _apply_beside(key: TypedKey[Any], row: str, write: Write[R]) -> Flow[R]:
    """Perform a write to a key that belongs to a row: the row must be there, and the key gets its deadline."""
    keys = [key, *write.others]
    try:
        replies = yield from run_steps([one.name for one in keys], write.commands, row=row, renewed=int(write.renews))
    except RowGoneError:
        raise row_is_gone(key.model, row) from None
    if replies is not None:
        return write.result(replies)
    return (yield from guarded(keys, (), lambda _: write))


def guarded(keys: Sequence[TypedKey[Any]], reads: Sequence[Command], plan: Callable[[list[Reply]], Write[R] | Flow[Write[R]]]) -> Flow[R]:
    """Read under WATCH, let the replies decide what to write, and write it only if no key has changed meanwhile.

    Two round trips for each attempt. The first key is the one that is written, and its life applies.

    Args:
        keys: What is watched. Each must be absent or of its type.
        reads: What is read, in the order `plan` expects the replies.
        plan: Makes the write, or one without commands where there is nothing to do. A flow where more is to be read first.

    Raises:
        ConcurrentUpdateError: Other writers won the race every time; nothing was written.
        WrongTypeError: A key is of another type; nothing was written.
    """
    return (yield from typed(keys, _guarded(keys, reads, plan)))


def _guarded(keys: Sequence[TypedKey[Any]], reads: Sequence[Command], plan: Callable[[list[Reply]], Write[R] | Flow[Write[R]]]) -> Flow[R]:
    names, row = [key.name for key in keys], keys[0].row
    first: list[Command] = [("TYPE", name) for name in names]
    if row is not None:
        first.append(("PEXPIRETIME", row))
    for attempt in range(ATTEMPTS):
        told = yield Watch([*names, row] if row is not None else names, [*first, *reads])
        replies = told[len(first) :]
        for key, kind in zip(keys, told, strict=False):
            refuse_type(key.name, key.kind, kind, "name")
        deadline = -1 if row is None else told[len(names)]
        if row is not None and deadline == -2:
            raise row_is_gone(keys[0].model, row)
        made = plan(replies)
        write = made if isinstance(made, Write) else (yield from made)
        if not write.commands:
            return write.result(())
        commands = list(write.commands)
        if keys[0].life is not None and write.renews:
            commands.append(keys[0].life.command(names[0]))
        if deadline >= 0 and write.renews:
            commands.append(("PEXPIREAT", names[0], deadline))
        answer = yield Batch(commands, atomic=True)
        if answer is not None:
            return write.result(answer[: len(write.commands)])
        yield Pause.after(attempt)
    raise ConcurrentUpdateError(
        f"{names[0]}: other writers changed it {ATTEMPTS} times in a row while this change was made; nothing was written: try again",
        key=names[0],
    )


# ---- keys of another type -----------------------------------------------------------------------------------------------


def typed(keys: Sequence[TypedKey[Any]], flow: Flow[R]) -> Flow[R]:
    """Perform a flow; where the server says only that a type is wrong, find out which key it is and what it holds.

    Raises:
        WrongTypeError: With the key and both types.
        DecodeError: What a counter counts with is no integer.
    """
    try:
        return (yield from flow)
    except WrongTypeError as error:
        if error.found is not None:
            raise
        replies = yield Batch([("TYPE", key.name) for key in keys], resend=True)
        for key, found in zip(keys, replies, strict=True):
            refuse_type(key.name, key.kind, found, "name")
        raise  # it was the wrong one a moment ago
    except BackendError as error:
        if "not an integer" not in str(error):
            raise
        message = f"{keys[0].name}: what is stored is no integer to count with: delete() it, or set() a number"
        raise DecodeError(message, key=keys[0].name) from error


# ---- what every key has -------------------------------------------------------------------------------------------------


def delete(key: TypedKey[Any]) -> Write[bool]:
    """UNLINK: remove the key; tell whether it was there."""
    return Write([("UNLINK", key.name)], lambda replies: bool(replies[0]), renews=False, blind=True)


def exists(key: TypedKey[Any]) -> Flow[bool]:
    """EXISTS."""
    (count,) = yield from ask(("EXISTS", key.name))
    return bool(count)


def expire(key: TypedKey[Any], ttl: float | timedelta | None) -> Write[bool]:
    """PEXPIRE or PERSIST; tell whether the key was there."""
    command: Command = ("PERSIST", key.name) if ttl is None else ("PEXPIRE", key.name, seconds_ms(ttl, key.name))
    return Write([command, ("EXISTS", key.name)], lambda replies: bool(replies[1]), renews=False, blind=True)


def time_to_live(key: TypedKey[Any]) -> Flow[timedelta | None]:
    """PTTL; `None` for ever, and where there is no key."""
    (milliseconds,) = yield from ask(("PTTL", key.name))
    return None if milliseconds < 0 else timedelta(milliseconds=milliseconds)

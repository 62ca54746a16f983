"""A commit of one row, or none, and of what rides along: events, messages, the acknowledgement of an entry, in one short script.

It is what an outbox and a worker do all the time. What is otherwise than taken for granted is left to the general way, which looks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redisorm.commands import Command, Flow

from .calling import LuaScript, lua
from .changes import Change
from .guarding import Guard, KeyType, Ownership
from .lonerow import lone_row
from .pieces import CHUNK
from .scripts import MOST_ARGUMENTS, keys_of

__all__ = ["SCRIPT", "ridden", "write_ridden"]

SCRIPT = LuaScript(lua("refusing"), lua("taking"), "local function write(KEYS, ARGV)", lua("row"), "end", lua("riders"))

_NOBODYS = ("", "", "", "")


def ridden(changes: Sequence[Change], riders: Sequence[Command], guards: Sequence[Guard]) -> Command | None:
    """Spell a commit of at most one lone row with what rides along; `None` where it is more than that, or nothing has to be verified.

    Args:
        guards: What must hold, the types of the riders' keys among it.
    """
    if len(changes) > 1 or not (changes or guards) or any(len(command) > CHUNK for command in riders):
        return None
    row = lone_row(changes[0]) if changes else None
    if changes and row is None:
        return None
    types: list[Any] = []
    entry: tuple[str, ...] = _NOBODYS
    for guard in guards:
        if isinstance(guard, KeyType):
            types += (guard.key, guard.kind)
        elif isinstance(guard, Ownership):
            entry = (guard.stream, guard.group, guard.consumer, guard.entry_id)
        else:
            return None
    count, *rest = ("0",) if row is None else row.words()
    keys, arguments = rest[: int(count)], rest[int(count) :]
    named = dict.fromkeys([*filter(None, entry[:1]), *(key for command in riders for key in keys_of(command))])
    words: list[Any] = [
        len(keys) + len(named),
        *keys,
        *named,
        len(keys),
        len(arguments),
        *arguments,
        len(types) // 2,
        *types,
        *entry,
        len(riders),
    ]
    for command in riders:
        words.append(len(command))
        words += command
    return words if len(words) <= MOST_ARGUMENTS else None


def write_ridden(words: Command) -> Flow[bool]:
    """Write it in one round trip; `False` where something is not as expected and nothing was written."""
    return (yield from SCRIPT.call(words, framed=True)) != [None]

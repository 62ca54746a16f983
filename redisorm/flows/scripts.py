"""Lua: one script that verifies everything a commit relies on, and then writes everything.

EVALSHA names the script; a server that does not have it has executed nothing, so EVAL may follow. All keys are declared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from redisorm.commands import Argument, Batch, Command, Flow, Reply, Supports
from redisorm.errors import BackendError, ConflictError, UnsupportedServerError

from .indexing import CHUNK

__all__ = ["MOST_ARGUMENTS", "require_scripts", "run_commit"]

MOST_ARGUMENTS = 1_000_000
"""Words of one command a server takes (`proto-max-multibulk-len` is 1,048,576)."""

_COMMIT = (files("redisorm.flows") / "lua" / "commit.lua").read_text(encoding="utf-8")
_COMMIT_SHA = hashlib.sha1(_COMMIT.encode(), usedforsecurity=False).hexdigest()


def require_scripts(watched: int, limit: int) -> Flow[None]:
    """Refuse a commit that is too large for WATCH on a server that runs no scripts, before anything is sent."""
    if not (yield Supports("EVALSHA")):
        raise UnsupportedServerError(
            f"a commit that guards {watched} rows needs a script, since WATCH of more than {limit} keys blocks the server, "
            "and this user may not run EVALSHA: commit(batch=1000) splits it, or allow +eval +evalsha; nothing was written",
            command="EVALSHA",
        )


def run_commit(
    keys: Sequence[str],
    reads: Sequence[tuple[Command, Reply]],
    writes: Sequence[Command],
    *,
    absent: Sequence[str] = (),
) -> Flow[list[Reply] | None]:
    """Write where the reads have these replies and the absent keys are absent; `None` where not, and nothing was written.

    Args:
        keys: What is read or written; keys that the writes name need not be among them.

    Raises:
        ConflictError: The commit has more words than one command may have.
    """
    tables, rest = _tables(writes, frozenset(absent))
    rows = [key for table in tables.values() for key in table.keys]
    missing = dict.fromkeys([*rows, *absent])
    every = list(dict.fromkeys([*missing, *keys, *(key for _, command in rest for key in _keys_of(command))]))
    words: list[Any] = [len(missing), len(reads)]
    for command, reply in reads:
        words += (len(command), *command, _spelled(reply))
    words.append(len(tables))
    first = 1
    for fields, table in tables.items():
        words += (len(fields), *fields, first, len(table.keys), *table.values)
        first += len(table.keys)
    words.append(len(rest))
    for _, command in rest:
        words += (len(command), *command)
    if len(every) + len(words) > MOST_ARGUMENTS:
        raise ConflictError(
            f"the commit has {len(every) + len(words)} words, and one transaction by script takes {MOST_ARGUMENTS}: "
            "commit(batch=1000) splits it; nothing was written"
        )
    answer = yield from _run(len(every), every, words)
    if answer is None:
        return None
    replies: list[Reply] = [None] * len(writes)
    for (place, _), reply in zip(rest, answer, strict=True):
        replies[place] = reply
    return replies


def _run(count: int, keys: Sequence[str], words: Sequence[Any]) -> Flow[list[Reply] | None]:
    """Run the script inside MULTI and EXEC, as every commit is; a server that does not have it has executed nothing."""
    try:
        replies = yield Batch([("EVALSHA", _COMMIT_SHA, count, *keys, *words)], atomic=True)
    except BackendError as error:
        if error.code != "NOSCRIPT":
            raise
        replies = yield Batch([("EVAL", _COMMIT, count, *keys, *words)], atomic=True)
    (answer,) = replies
    return None if answer is None else list(answer)


@dataclass(slots=True)
class _Table:
    """New rows of the same fields."""

    keys: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


def _tables(writes: Sequence[Command], absent: frozenset[str]) -> tuple[dict[tuple[Argument, ...], _Table], list[tuple[int, Command]]]:
    """Part the commands that make new rows from the others, which keep their places: field names are then sent once."""
    tables: dict[tuple[Argument, ...], _Table] = {}
    rest: list[tuple[int, Command]] = []
    for place, command in enumerate(writes):
        if command[0] == "HSET" and command[1] in absent and len(command) < CHUNK:
            fields = tuple(command[2::2])
            table = tables.get(fields)
            if table is None:
                table = tables[fields] = _Table()
            table.keys.append(command[1])
            table.values += command[3::2]
        else:
            rest.append((place, command))
    return tables, rest


def _keys_of(command: Command) -> list[str]:
    """The keys a write names: of all the commands of a commit only UNLINK takes more than one."""
    return [str(word) for word in (command[1:] if command[0] == "UNLINK" else command[1:2])]


def _spelled(reply: Reply) -> bytes:
    """A reply as the script spells it, so that both can be compared as text."""
    if reply is None:
        return b"_"
    if isinstance(reply, int):
        return b":%d" % reply
    if isinstance(reply, (list, tuple)):
        return b"*%d" % len(reply) + b"".join(map(_spelled, reply))
    return b"$%d:" % len(reply) + bytes(reply)

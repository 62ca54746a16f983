"""Lua, where one transaction would watch too many keys: the script repeats the reads, compares, and then writes.

EVALSHA names the script; a server that does not have it has executed nothing, so EVAL may follow. All keys are declared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply, Supports
from redisorm.errors import BackendError, ConflictError, UnsupportedServerError

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


def run_commit(keys: Sequence[str], log: Sequence[tuple[Command, Reply]], write: Sequence[Command]) -> Flow[list[Reply] | None]:
    """Write where the reads still have the same replies; `None` where one has not, and nothing was written.

    Raises:
        ConflictError: The commit has more words than one command may have.
    """
    keys = list(dict.fromkeys([*keys, *(key for command in write for key in _keys_of(command))]))
    words: list[Any] = [len(log)]
    for command, reply in log:
        words += (len(command), *command, _spelled(reply))
    words.append(len(write))
    for command in write:
        words += (len(command), *command)
    if len(keys) + len(words) > MOST_ARGUMENTS:
        raise ConflictError(
            f"the commit has {len(keys) + len(words)} words, and one transaction by script takes {MOST_ARGUMENTS}: "
            "commit(batch=1000) splits it; nothing was written"
        )
    try:
        (answer,) = yield Batch([("EVALSHA", _COMMIT_SHA, len(keys), *keys, *words)])
    except BackendError as error:
        if error.code != "NOSCRIPT":
            raise
        (answer,) = yield Batch([("EVAL", _COMMIT, len(keys), *keys, *words)])
    return None if answer is None else list(answer)


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

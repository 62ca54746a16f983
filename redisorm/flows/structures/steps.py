"""Several commands as one step at the server, of which the first that fails ends it: by a script, where one may run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redisorm.commands import Command, Flow, Reply
from redisorm.errors import BackendError
from redisorm.flows.calling import LuaScript, lua

__all__ = ["RowGoneError", "run_steps"]

_STEPS = LuaScript(lua("refusing"), lua("steps"))


class RowGoneError(Exception):
    """The row that the keys belong to is not there; nothing was executed. Never leaves the flows."""


def run_steps(keys: Sequence[str], commands: Sequence[Command], *, row: str | None = None, renewed: int = 1) -> Flow[list[Reply] | None]:
    """Run commands in one step; their replies, or `None` where no script may run and nothing was executed.

    Args:
        keys: Every key the commands use.
        row: A row that must be there.
        renewed: How many of the keys, from the first on, get the deadline of the row.

    Raises:
        RowGoneError: It is not there.
    """
    every = [*keys] if row is None else [row, *keys]
    words: list[Any] = [len(every), *every, "" if row is None else renewed]
    for command in commands:
        words += (len(command), *command)
    try:
        answers = yield from _STEPS.call(words)
    except BackendError as error:
        if error.code != "NOPERM":
            raise
        return None
    if answers is None:
        return None
    (replies,) = answers
    if replies is None:
        raise RowGoneError
    return list(replies)

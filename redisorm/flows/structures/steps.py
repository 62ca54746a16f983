"""Several commands as one step at the server, of which the first that fails ends it: by a script, where one may run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply, Supports
from redisorm.errors import BackendError

__all__ = ["RowGoneError", "run_steps"]

_STEPS = (files("redisorm.flows") / "lua" / "steps.lua").read_text(encoding="utf-8")
_STEPS_SHA = hashlib.sha1(_STEPS.encode(), usedforsecurity=False).hexdigest()


class RowGoneError(Exception):
    """The row that the keys belong to is not there; nothing was executed. Never leaves the flows."""


def run_steps(keys: Sequence[str], commands: Sequence[Command], *, row: str | None = None, renewed: int = 1) -> Flow[list[Reply] | None]:
    """Run commands in one step; their replies, or `None` where no script may run and nothing was executed.

    A server that does not have the script has executed nothing.

    Args:
        keys: Every key the commands use.
        row: A row that must be there.
        renewed: How many of the keys, from the first on, get the deadline of the row.

    Raises:
        RowGoneError: It is not there.
    """
    if not (yield Supports("EVALSHA")):
        return None
    every = [*keys] if row is None else [row, *keys]
    words: list[Any] = [len(every), *every, "" if row is None else renewed]
    for command in commands:
        words += (len(command), *command)
    try:
        try:
            (replies,) = yield Batch([("EVALSHA", _STEPS_SHA, *words)])
        except BackendError as error:
            if error.code != "NOSCRIPT":
                raise
            (replies,) = yield Batch([("EVAL", _STEPS, *words)])
    except BackendError as error:
        if error.code != "NOPERM":
            raise
        return None
    if replies is None:
        raise RowGoneError
    return list(replies)

"""Several commands as one step at the server, of which the first that fails ends it: by a script, where one may run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply, Supports
from redisorm.errors import BackendError

__all__ = ["run_steps"]

_STEPS = (files("redisorm.flows") / "lua" / "steps.lua").read_text(encoding="utf-8")
_STEPS_SHA = hashlib.sha1(_STEPS.encode(), usedforsecurity=False).hexdigest()


def run_steps(keys: Sequence[str], commands: Sequence[Command]) -> Flow[list[Reply] | None]:
    """Run commands in one step; their replies, or `None` where no script may run and nothing was executed.

    A server that does not have the script has executed nothing.

    Args:
        keys: Every key the commands use.
    """
    if not (yield Supports("EVALSHA")):
        return None
    words: list[Any] = [len(keys), *keys]
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
    return list(replies)

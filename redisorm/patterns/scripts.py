"""One step at the server in one round trip: a Lua script, or WATCH and MULTI/EXEC where this user or this server runs no scripts.

EVALSHA names the script; a server that does not have it has executed nothing, so EVAL may follow. All keys are declared.
Both ways answer alike. This room knows neither what the scripts do nor any key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Final, Protocol, TypeVar

from redisorm.commands import Argument, Batch, Flow, Pause, Reply, Supports
from redisorm.errors import BackendError, CommitUnknownError, ConcurrentUpdateError

__all__ = ["LOST", "Lost", "Namespaced", "Script", "step"]

R = TypeVar("R")

_ATTEMPTS = 64
_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


class Namespaced(Protocol):
    """What a pattern wants to know of a database before its flows are handed to a driver."""

    namespace: str


class Lost:
    """The answer of an attempt whose watched keys changed before its EXEC."""


LOST: Final = Lost()


class Script:
    """A Lua script of the folder `lua`."""

    def __init__(self, name: str) -> None:
        self._text = (files("redisorm.patterns") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(self, keys: Sequence[str], words: Sequence[Argument], *, resend: bool) -> Flow[Reply]:
        """Run the script: one round trip, and one more where the server does not have it yet."""
        try:
            (answer,) = yield Batch([("EVALSHA", self._sha, len(keys), *keys, *words)], resend=resend)
        except BackendError as error:
            if error.code != "NOSCRIPT":
                raise
            (answer,) = yield Batch([("EVAL", self._text, len(keys), *keys, *words)], resend=resend)
        return answer


def step(
    script: Script, keys: Sequence[str], words: Sequence[Argument], attempt: Callable[[], Flow[Reply | Lost]], *, resend: bool
) -> Flow[Reply]:
    """Do one step by script, or where that is denied by attempts.

    Args:
        script: The script.
        keys: All keys it may touch.
        words: Its further arguments.
        attempt: The same by WATCH and an atomic batch; `LOST` where that batch was not executed. It answers as the script does.
        resend: Whether doing the step twice is harmless: then it is, where the answer was lost.

    Raises:
        ConcurrentUpdateError: Others kept changing the keys until the attempts were used up. A script never meets this.
    """
    if (yield Supports("EVALSHA")):
        return (yield from script.run(keys, words, resend=resend))
    return (yield from _repeated(keys, attempt, resend=resend))


def _repeated(keys: Sequence[str], attempt: Callable[[], Flow[R | Lost]], *, resend: bool) -> Flow[R]:
    for number in range(_ATTEMPTS):
        try:
            answer = yield from attempt()
        except CommitUnknownError:
            if not resend:
                raise
            continue  # as a script would be sent again over a new connection
        if not isinstance(answer, Lost):
            return answer
        yield Pause(min(_PAUSE_S * 2**number, _LONGEST_PAUSE_S))
    raise ConcurrentUpdateError(
        f"{keys[0]} was changed by others in each of {_ATTEMPTS} attempts; let this user run scripts (+eval +evalsha), "
        "which decide in one step",
        key=keys[0],
    )

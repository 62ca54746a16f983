"""One step at the server in one round trip: a Lua script, or WATCH and MULTI/EXEC where this user or this server runs no scripts.

All keys are declared. Both ways answer alike. This room knows neither what the scripts do nor any key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from redisorm.commands import ATTEMPTS, Argument, Flow, Pause, Reply
from redisorm.errors import CommitUnknownError, ConcurrentUpdateError
from redisorm.flows.calling import LuaScript, lua

__all__ = ["LOST", "Lost", "Namespaced", "now_us", "script", "step"]

R = TypeVar("R")


class Namespaced(Protocol):
    """What a pattern wants to know of a database before its flows are handed to a driver."""

    namespace: str


def now_us(time: Reply) -> int:
    """Read the reply to TIME, in microseconds since 1970."""
    return int(time[0]) * 1_000_000 + int(time[1])


class Lost:
    """The answer of an attempt whose watched keys changed before its EXEC."""


LOST: Final = Lost()


def script(name: str) -> LuaScript:
    """Read a script of the folder `lua` of this package."""
    return LuaScript(lua(name, "redisorm.patterns"))


def step(
    script: LuaScript, keys: Sequence[str], words: Sequence[Argument], attempt: Callable[[], Flow[Reply | Lost]], *, resend: bool
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
    answers = yield from script.call((len(keys), *keys, *words), resend=resend)
    return (yield from _repeated(keys, attempt, resend=resend)) if answers is None else answers[0]


def _repeated(keys: Sequence[str], attempt: Callable[[], Flow[R | Lost]], *, resend: bool) -> Flow[R]:
    for number in range(ATTEMPTS):
        try:
            answer = yield from attempt()
        except CommitUnknownError:
            if not resend:
                raise
            continue  # as a script would be sent again over a new connection
        if not isinstance(answer, Lost):
            return answer
        yield Pause.after(number)
    raise ConcurrentUpdateError(
        f"{keys[0]} was changed by others in each of {ATTEMPTS} attempts; let this user run scripts (+eval +evalsha), "
        "which decide in one step",
        key=keys[0],
    )

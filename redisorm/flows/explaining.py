"""Showing what a flow sends, as a person would type it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

from redisorm.commands import Argument, Batch, Command, Flow, Watch

__all__ = ["first_request", "recorded", "shown"]

R = TypeVar("R")

_WORDS = 12
_ALIKE = 3


def recorded(flow: Flow[R], sent: list[Sequence[Command]]) -> Flow[R]:
    """Perform a flow, and add the commands of each round trip to a list."""
    answer: Any = None
    while True:
        try:
            request = flow.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result
        if isinstance(request, (Batch, Watch)):
            sent.append(request.commands)
        answer = yield request


def first_request(flow: Flow[Any]) -> Sequence[Command]:
    """The commands that a flow would send first. It is not performed."""
    request = next(flow)
    flow.close()
    assert isinstance(request, Batch)
    return request.commands


def shown(sent: Sequence[Sequence[Command]], more_rows: int) -> str:
    """Commands as text, the round trips numbered; what is long or repeated is cut short.

    Args:
        more_rows: How many rows are read like the one of the last round trip.
    """
    lines = [
        f"{number if place == 0 else '':>2}  {line}"
        for number, commands in enumerate(sent, 1)
        for place, line in enumerate(_lines(commands))
    ]
    if more_rows > 0:
        lines.append(f"    … and the same for {more_rows:,} more row{'s' if more_rows > 1 else ''}")
    return "\n".join(lines)


def _lines(commands: Sequence[Command]) -> Iterator[str]:
    for _, group in groupby(commands, key=lambda command: (command[0], len(command), command[2:])):
        alike = list(group)
        shown_ones = alike if len(alike) <= _ALIKE else alike[:1]
        yield from map(_line, shown_ones)
        if len(shown_ones) < len(alike):
            yield f"… and {len(alike) - 1:,} more like it"


def _line(command: Command) -> str:
    words = [_word(argument) for argument in command[:_WORDS]]
    left = len(command) - len(words)
    return " ".join([*words, f"… {left:,} more"] if left else words)


def _word(argument: Argument) -> str:
    text = argument.decode("utf-8", "backslashreplace") if isinstance(argument, bytes) else str(argument)
    return text if text and text.isprintable() and " " not in text else repr(text)

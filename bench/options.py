"""Options of a command line that name several things, joined by commas."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

__all__ = ["several_of"]


def several_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """What `argparse` makes of such an option: the names in it, none where it is empty. A name that is not known is refused."""
    names = tuple(known)

    def parsed(said: str) -> tuple[str, ...]:
        named = tuple(filter(None, said.split(",")))
        for name in named:
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return named

    return parsed

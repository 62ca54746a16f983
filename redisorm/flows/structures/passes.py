"""A pass over all of a set or hash in steps, each asked for before what the one before has brought is decoded.

So the server looks for the next thousand while this side reads one. What the items are is for `sets` and `dicts` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from redisorm.commands import Batch, Collect, Command, Flow, Post, Reply

from .typed import SCAN, TypedKey, ask, ask_items, decodes

__all__ = ["scan_all", "scan_step"]

Scan = Literal["SSCAN", "HSCAN"]


def scan_step(key: TypedKey[Any], name: Scan, cursor: int) -> Flow[tuple[int, Reply]]:
    """One step of an iteration, and where it goes on; 0 is the end."""
    ((following, found),) = yield from ask_items(key, _step(key, name, cursor))
    return int(following), found


def scan_all(key: TypedKey[Any], name: Scan, take: Callable[[Reply], object]) -> Flow[None]:
    """All steps to the end; what each brings is taken while the server makes the next."""
    cursor, found = yield from scan_step(key, name, 0)
    while cursor:
        command = _step(key, name, cursor)
        yield Post(Batch((command,), resend=True, text=decodes(key)))
        take(found)
        try:
            ((following, found),) = yield Collect()
        except UnicodeDecodeError:
            ((following, found),) = yield from ask(command)  # as bytes, so that the item can be told
        cursor = int(following)
    take(found)


def _step(key: TypedKey[Any], name: Scan, cursor: int) -> Command:
    return (name, key.name, cursor, "COUNT", SCAN)

"""When a row expires: the life it was given, the one of its class, and what restarts it."""

from __future__ import annotations

from typing import NamedTuple

from .changes import KEEP, PERMANENT, Change
from .guards import Observed

__all__ = ["Fate", "fate_of"]


class Fate(NamedTuple):
    """When a row will expire.

    Attributes:
        life: Its life, in milliseconds; `PERMANENT`, or `None` for none.
        deadline_ms: The instant in the server's time; `None` for never.
        moved: Whether the change makes it another than it was, or first makes it.
    """

    life: int | None
    deadline_ms: int | None
    moved: bool


def fate_of(change: Change, seen: Observed, now_ms: int) -> Fate:
    """Work out the life of a row: given now, remembered with the row, or that of its class."""
    options = change.mapper.options
    if change.life is not KEEP:
        life: int | None = change.life
    elif not change.is_new and seen.life is not None:
        life = seen.life
    else:
        life = options.ttl_ms
    restarts = options.ttl_refresh != "never" or change.is_new or change.touch or change.life is not KEEP
    if life is not None and life != PERMANENT and restarts:
        return Fate(life, now_ms + life, moved=True)
    if change.is_new or change.life == PERMANENT:
        return Fate(life, None, moved=seen.exists)
    return Fate(life, seen.deadline_ms, moved=False)

"""Which session is the current one: the innermost that was entered in this thread and task and is still open.

Frameworks copy contexts into threads and tasks, and close what they opened in another one. So an entry says where it was
made, and a closed session is skipped rather than reset.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .unit import UnitOfWork

__all__ = ["entered", "has_entries", "innermost", "left"]

_entered: ContextVar[tuple[tuple[UnitOfWork, Hashable], ...]] = ContextVar("redisorm_sessions", default=())


def entered(session: UnitOfWork, place: Hashable) -> None:
    """Note that a session was entered, in this thread and task."""
    still_open = tuple(entry for entry in _entered.get() if entry[0].is_open)
    _entered.set((*still_open, (session, place)))


def left(session: UnitOfWork) -> None:
    """Note that a session was left; does nothing in a context that never saw it."""
    _entered.set(tuple(entry for entry in _entered.get() if entry[0] is not session))


def has_entries() -> bool:
    """Whether any session was entered in this context: saves asking where we are."""
    return bool(_entered.get())


def innermost(kind: type[UnitOfWork], place: Hashable, database: object) -> UnitOfWork | None:
    """The current session of a colour, or `None`.

    Args:
        kind: The colour's session class.
        place: The running thread and task.
        database: The only database that will do, or `None` for any.
    """
    for session, where in reversed(_entered.get()):
        if session.is_open and where == place and isinstance(session, kind) and (database is None or session.database is database):
            return session
    return None

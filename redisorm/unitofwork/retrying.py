"""When a unit of work is worth another attempt, and how long to wait before it."""

from __future__ import annotations

from redisorm.commands import Flow, Pause
from redisorm.errors import ConcurrentUpdateError, ConflictError, StaleObjectError

__all__ = ["pause", "worth_retrying"]


def worth_retrying(more: bool) -> tuple[type[ConflictError], ...]:
    """The conflicts that a fresh session can cure; none where no attempt is left."""
    return (StaleObjectError, ConcurrentUpdateError) if more else ()


def pause(attempt: int) -> Flow[None]:
    """Wait a random part of a time that grows with the attempts."""
    yield Pause(min(0.002 * 2**attempt, 0.25))

"""Users' own handlers: which may be called here, and what happens to an error that has nobody to be raised at."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["OnError", "report", "require_plain"]

OnError: TypeAlias = Callable[[Exception, Any], object]
"""A hook that is given an error and the raw thing it is about."""

_log = logging.getLogger("redisorm")


def require_plain(function: object, owner: str, remedy: str) -> None:
    """Refuse a coroutine function where it is called and not awaited: it would never begin, and nobody would notice.

    Raises:
        TypeError: It is one, or an object whose call is.
    """
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        raise TypeError(f"{owner}: {function!r} is a coroutine function, which is not awaited here: {remedy}")


def report(on_error: OnError | None, error: Exception, raw: Any, where: str) -> None:
    """Give an error to the user's hook, or to the log where there is none. An error of the hook goes to the log too."""
    if on_error is None:
        _log.error("%s: %s: %s", where, type(error).__name__, error, exc_info=error)
        return
    try:
        on_error(error, raw)
    except Exception:  # noqa: BLE001 - the hook is the user's
        _log.exception("%s: on_error failed for %s: %s", where, type(error).__name__, error)

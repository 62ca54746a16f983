"""What happens to an error that has nobody to be raised at: of a payload that does not fit, or of a user's own handler."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["OnError", "report"]

OnError: TypeAlias = Callable[[Exception, Any], object]
"""A hook that is given an error and the raw thing it is about."""

_log = logging.getLogger("redisorm")


def report(on_error: OnError | None, error: Exception, raw: Any, where: str) -> None:
    """Give an error to the user's hook, or to the log where there is none. An error of the hook goes to the log too."""
    if on_error is None:
        _log.error("%s: %s: %s", where, type(error).__name__, error, exc_info=error)
        return
    try:
        on_error(error, raw)
    except Exception:  # noqa: BLE001 - the hook is the user's
        _log.exception("%s: on_error failed for %s: %s", where, type(error).__name__, error)

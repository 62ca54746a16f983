"""What serves where none is named: one for the whole process, opened when it is first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Default"]

D = TypeVar("D")


class Default(Generic[D]):
    """A default, set or else opened once. Safe to share between threads; meant to live as long as the process.

    Args:
        opening: Makes one where none was set.
    """

    def __init__(self, opening: Callable[[], D]) -> None:
        self._opening = opening
        self._one: D | None = None
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = threading.RLock()  # in a forked child: another thread of the parent may have held the former one

    def get(self) -> D:
        """Return it."""
        one = self._one
        if one is not None:
            return one
        with self._lock:
            if self._one is None:
                self._one = self._opening()
            return self._one

    def set(self, one: D | None) -> None:
        """Replace it; the former one is left as it is. With `None` another will be opened."""
        with self._lock:
            self._one = one

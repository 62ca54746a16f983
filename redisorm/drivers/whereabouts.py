"""Where code is running: the thread and the asyncio task, as one hashable value. It knows nothing else of either."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, TypeAlias
from weakref import ReferenceType, ref

__all__ = ["Whereabouts", "here"]

Whereabouts: TypeAlias = tuple[int, "ReferenceType[asyncio.Task[Any]] | None"]
"""A thread's identifier and its running task. Held weakly: a kept place keeps no task alive and equals no later task."""


def here() -> Whereabouts:
    """Return the running thread and asyncio task; the task is `None` outside an event loop."""
    # asyncio exports the underscored name for libraries: get_running_loop() would raise, which costs ten times as much.
    loop = asyncio._get_running_loop()
    task = None if loop is None else asyncio.current_task(loop)
    return threading.get_ident(), None if task is None else ref(task)

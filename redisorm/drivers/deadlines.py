"""When waiting in an event loop has to be over: one timer for all conversations with a server, and a timeout for all else.

A timer for each conversation would be made and given up again with every command. Here one is set for the conversation that ends
first, and those that have ended by then are passed over.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from math import inf
from typing import Any

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    timeout = import_module("async_timeout").timeout  # redis-py brings it along there

__all__ = ["Deadlines", "expire", "timeout"]


def expire(limit: Any) -> None:
    """Let a `timeout` that is being waited in be over now; nothing happens where it is."""
    now = asyncio.get_running_loop().time()
    if not hasattr(limit, "reschedule"):  # async_timeout has other names for both
        if not limit.expired:
            limit.update(now)
    elif not limit.expired():
        limit.reschedule(now)


class Deadlines:
    """The conversations that go on, by the transport that each of them goes over. Belongs to one event loop."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.WriteTransport, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = inf

    def begin(self, transport: asyncio.WriteTransport, limit_s: float | None) -> None:
        """Abort a transport in so many seconds, unless its conversation ends before; with `None` never."""
        loop = asyncio.get_running_loop()
        end = self._ends[transport] = inf if limit_s is None else loop.time() + limit_s
        if end < self._next:
            self._set(loop, end)

    def end(self, transport: asyncio.WriteTransport) -> bool:
        """Tell whether a conversation has ended in time; it has ended, and its transport is no more cared for."""
        return self._ends.pop(transport, None) is not None

    def _set(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = (None, inf) if end == inf else (loop.call_at(end, self._look, loop), end)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Abort what is late, and look again when the next one would be."""
        now = loop.time()
        for transport in [transport for transport, end in self._ends.items() if end <= now]:
            del self._ends[transport]
            transport.abort()
        self._set(loop, min(self._ends.values(), default=inf))

"""What is held at the server for a time: the steps a lease asks for, and who of one process asks for it first.

`blocking_lease` and `awaiting_lease` perform the steps and renew in the background. What the steps say to the server is decided elsewhere.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from redisorm.commands import Flow

__all__ = ["Gates", "Terms"]

G = TypeVar("G")


class Terms(Protocol):
    """The steps of one holder."""

    key: str
    ttl_s: float
    wait_s: float | None

    def attempt(self) -> Flow[float | None]:
        """Take it: `None`, or for how many seconds another has it yet."""
        ...

    def nap(self, limit_s: float) -> Flow[None]:
        """Wait until it is given back, for so many seconds at most."""
        ...

    def renew(self) -> Flow[bool]:
        """Start its time anew; tell whether it is still held."""
        ...

    def release(self) -> Flow[bool]:
        """Give it back; tell whether it was still held."""
        ...

    def timed_out(self, busy_s: float) -> Exception:
        """Return the error of not getting it in time."""
        ...

    def lost(self) -> Exception:
        """Return the error of having lost it."""
        ...


class Gates(Generic[G]):
    """One lock in this process for each thing that is waited for at the server: only one of a process waits there, the others here.

    A gate lives as long as somebody uses it. In a forked child there are none.

    Args:
        make: Makes a gate: a `threading.Lock` or an `asyncio.Lock`.
    """

    def __init__(self, make: Any) -> None:
        self._make = make
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._gates: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()

    def of(self, *name: object) -> G:
        """Return the gate of this name."""
        with self._lock:
            gate = self._gates.get(name)
            if gate is None:
                gate = self._gates[name] = self._make()
            return gate  # type: ignore[no-any-return]

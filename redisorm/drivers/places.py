"""A limited number of places: what is held by one caller at a time, and never lost.

A lock or a counter stays taken for ever where Ctrl-C comes between taking it and noting that it was taken. Here a place is
an object: one that nobody holds any more is free again, whatever became of its holder. Everything shared is changed by
single steps of the interpreter, so that nothing stays half done either.
"""

from __future__ import annotations

import gc
from collections import deque
from queue import Empty, SimpleQueue
from threading import RLock
from weakref import ref

__all__ = ["Place", "Places", "Unlimited"]


class Place:
    """The right to hold what there is a limited number of."""

    __slots__ = ("__weakref__",)


class Unlimited:
    """As many places as anybody wants."""

    def take(self, timeout: float | None) -> Place:
        """Hand out a place at once."""
        return Place()

    def give(self, place: Place) -> None:
        """Take a place back, which nobody waits for."""


class Places:
    """So many places, shared by threads.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[Place] = SimpleQueue()
        self._lost: deque[ref[Place]] = deque()
        self._watched: set[ref[Place]] = set()
        self._restoring = RLock()
        for _ in range(count):
            self._add()

    def take(self, timeout: float | None) -> Place | None:
        """Wait for a place, in seconds, or with `None` for ever; `None` where none became free in time."""
        if self._lost:
            self._restore()
        try:
            return self._free.get_nowait()  # without a look at the clock
        except Empty:
            return self._wait(timeout)

    def _wait(self, timeout: float | None) -> Place | None:
        try:
            return self._free.get(timeout=timeout)
        except Empty:
            if timeout:
                gc.collect()  # an exception that was not looked at may hold the frames that hold a place
                self._restore()
        try:
            return self._free.get_nowait()
        except Empty:
            return None

    def give(self, place: Place) -> None:
        """Give a place back."""
        self._free.put(place)

    def _add(self) -> None:
        place = Place()
        self._watched.add(ref(place, self._lost.append))  # calls no Python code: an interrupt in there would be swallowed
        self._free.put(place)

    def _restore(self) -> None:
        """Make a new place for each that nobody holds any more."""
        with self._restoring:
            while self._lost:
                self._add()
                self._watched.discard(self._lost.popleft())

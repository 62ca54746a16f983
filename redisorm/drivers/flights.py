"""Callers of one process who want the same thing at the same time: the first goes on for all, the others wait for what it brings.

What it brings are bytes, or `None` for nothing that others may use. In a forked child nobody is on the way.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from redisorm.drivers.deadlines import timeout

__all__ = ["AwaitingFlights", "BlockingFlights", "Flight"]

E = TypeVar("E", threading.Event, asyncio.Event)


class Flight(Generic[E]):
    """What the first caller is about to bring.

    Attributes:
        landed: Set when it is there.
        text: It, or `None`.
    """

    __slots__ = ("landed", "text")

    def __init__(self, landed: E) -> None:
        self.landed: E = landed
        self.text: bytes | None = None


class BlockingFlights:
    """What threads are on the way for, by name."""

    def __init__(self) -> None:
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight[threading.Event]] = {}

    def board(self, name: str) -> tuple[Flight[threading.Event], bool]:
        """Return what is on the way under a name, and whether this caller goes for it."""
        with self._lock:
            flight = self._flights.get(name)
            if flight is not None:
                return flight, False
            flight = self._flights[name] = Flight[threading.Event](threading.Event())
            return flight, True

    def wait(self, name: str, flight: Flight[threading.Event], limit_s: float) -> bytes | None:
        """Wait for what is on the way, for so many seconds at most; then somebody else may go."""
        if not flight.landed.wait(limit_s):
            self.forget(name, flight)
        return flight.text

    def land(self, name: str, flight: Flight[threading.Event], text: bytes | None) -> None:
        """Bring what others wait for."""
        self.forget(name, flight)
        flight.text = text
        flight.landed.set()

    def forget(self, name: str, flight: Flight[threading.Event] | None = None) -> None:
        """Let whoever comes from now on go anew, whatever is on the way; those who wait already go on waiting."""
        with self._lock:
            if flight is None or self._flights.get(name) is flight:
                self._flights.pop(name, None)


class AwaitingFlights:
    """What the tasks of each event loop are on the way for, by name."""

    def __init__(self) -> None:
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Flight[asyncio.Event]]] = WeakKeyDictionary()

    @property
    def _flights(self) -> dict[str, Flight[asyncio.Event]]:
        return self._loops.setdefault(asyncio.get_running_loop(), {})

    def board(self, name: str) -> tuple[Flight[asyncio.Event], bool]:
        """Return what is on the way under a name, and whether this caller goes for it."""
        flights = self._flights
        if name in flights:
            return flights[name], False
        flight = flights[name] = Flight(asyncio.Event())
        return flight, True

    async def wait(self, name: str, flight: Flight[asyncio.Event], limit_s: float) -> bytes | None:
        """Wait for what is on the way, for so many seconds at most; then somebody else may go."""
        try:
            async with timeout(limit_s):
                await flight.landed.wait()
        except asyncio.TimeoutError:
            self.forget(name, flight)
        return flight.text

    def land(self, name: str, flight: Flight[asyncio.Event], text: bytes | None) -> None:
        """Bring what others wait for."""
        self.forget(name, flight)
        flight.text = text
        flight.landed.set()

    def forget(self, name: str, flight: Flight[asyncio.Event] | None = None) -> None:
        """Let whoever comes from now on go anew, whatever is on the way; those who wait already go on waiting."""
        flights = self._flights
        if flight is None or flights.get(name) is flight:
            flights.pop(name, None)

"""How two sides are timed: each job in turn on a server of their own, in alternating order, medians of the rounds; and memory apart.

It knows jobs and clocks; what a job does is told in `workload`, how each side does it in `by_hand` and `mapped`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis

from bench.workload import Job, Size
from tests.servers import Server

__all__ = ["Cell", "Side", "compare", "pin", "pinned"]

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""What passes, and what this process was busy: the second one is what to judge by on a machine that does other things too."""


class Cell(NamedTuple):
    """What one job came to on both sides: microseconds for one operation, and the peak of its memory in megabytes."""

    hand_us: float
    ours_us: float
    hand_mb: float
    ours_mb: float

    @property
    def ratio(self) -> float:
        """Our time as a part of the hand-written one."""
        return self.ours_us / self.hand_us


class Side:
    """One way of doing the jobs, on a database of the server of its own.

    Args:
        kind: `ByHand`, `Mapped` or their async twins.
        url: Where its rows lie.
        size: How much one round does.
        loop: Where its coroutines run.
        admin: Where the same database is reached by a user who may do everything.
        clock: A name of `CLOCKS`.
    """

    def __init__(
        self,
        kind: Callable[[str, Size], Any],
        url: str,
        size: Size,
        loop: asyncio.AbstractEventLoop,
        admin: str | None = None,
        clock: str = "wall",
    ) -> None:
        self._size = size
        self._loop = loop
        self._clock = CLOCKS[clock]
        self._store = redis.Redis.from_url(admin or url, decode_responses=True)
        self._does: Any = self._call(_made, kind, url, size)

    def measure(self, job: Job) -> float:
        """Do a job once and check what it did; microseconds for one operation."""
        return self.measure_by(job, float)[0]

    def measure_by(self, job: Job, other: Callable[[], float]) -> tuple[float, float]:
        """Do a job once and check what it did; what one operation took by the clock of the side, in microseconds, and by another one."""
        arguments = self._prepared(job)
        work = getattr(self._does, job.name)
        gc.collect()
        other_begin = other()
        begin = self._clock()
        result = self._call(work, *arguments)
        took = self._clock() - begin
        other_took = other() - other_begin
        job.check(result, self._size, self._store)
        return took / job.operations * 1e6, other_took / job.operations

    def peak_mb(self, job: Job) -> float:
        """Do a job once and return the most that it held of Python's memory at any moment, its result included."""
        arguments = self._prepared(job)
        work = getattr(self._does, job.name)
        gc.collect()
        tracemalloc.start()
        try:
            result = self._call(work, *arguments)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        job.check(result, self._size, self._store)
        return peak / 1e6

    def fill(self) -> None:
        """Empty the database and store the rows of the iteration."""
        self._store.flushdb()
        self._call(self._does.fill)

    def close(self) -> None:
        """Close the connections."""
        self._call(self._does.close)
        self._store.close()

    def _prepared(self, job: Job) -> tuple[Any, ...]:
        if job.empty:
            self._store.flushdb()
        prepare = getattr(self._does, f"prepare_{job.name}", None)
        return () if prepare is None else (self._call(prepare),)

    def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if inspect.iscoroutinefunction(work):
            return self._loop.run_until_complete(work(*arguments))
        return work(*arguments)


async def _made(kind: Callable[[str, Size], Any], url: str, size: Size) -> Any:
    return kind(url, size)


def pin(*servers: Server) -> str:
    """Put client and servers on different cores: a round trip on one core takes a fifth of one between two.

    A process that is started afterwards begins on the core of the client.
    """
    cores = sorted(_cores())
    if len(cores) < 2:
        return "client and server not pinned"
    for server in servers:
        os.sched_setaffinity(server.pid, {cores[-1]})
    os.sched_setaffinity(0, {cores[0]})
    return f"client on core {cores[0]}, server on core {cores[-1]}"


@contextmanager
def pinned(*servers: Server) -> Iterator[str]:
    """The same for a time: the client has its choice of cores again afterwards."""
    cores = _cores()
    yield pin(*servers)
    if cores:
        os.sched_setaffinity(0, cores)


def _cores() -> set[int]:
    """The cores of this process, where the system tells them."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()


def compare(by_hand: Side, mapped: Side, jobs: Iterable[Job], rounds: int) -> dict[str, Cell]:
    """Let both sides do every job in every round, and once more under the eyes of `tracemalloc`; the medians of each job."""
    jobs = list(jobs)
    sides = (by_hand, mapped)
    seen: dict[str, tuple[list[float], list[float]]] = {job.name: ([], []) for job in jobs}
    for number in range(-1, rounds):  # the first round warms up and does not count
        for job in jobs:
            for place in (0, 1) if number % 2 else (1, 0):
                took = sides[place].measure(job)
                if number >= 0:
                    seen[job.name][place].append(took)
    peaks = {job.name: [side.peak_mb(job) for side in sides] for job in jobs}
    return {name: Cell(statistics.median(hand), statistics.median(ours), *peaks[name]) for name, (hand, ours) in seen.items()}

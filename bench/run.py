"""One table: the time redisorm takes, as a ratio of hand-written redis-py for the same rows on the same server.

python bench/run.py [--server valkey|redis7|redis8] [--rounds N] [--quick]

Both sides run in turn within each round, the first one changing from round to round; the table shows medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.by_hand import AsyncByHand, ByHand
from bench.mapped import AsyncMapped, Mapped
from bench.workload import Job, Size, jobs
from tests.servers import KINDS, Server

QUICK = Size(rows=400, batch=200, singles=50, posts=100)
AIMS = {
    "bulk_save": 0.75,
    "bulk_get": 0.75,
    "single_get": 1.1,
    "single_save": 1.1,
    "partial_update": 1.1,
    "indexed_bulk_save": 0.6,
    "query_equal": 0.7,
    "query_range": 0.7,
}


class Side:
    """One way of doing the jobs, on a database of the server of its own."""

    def __init__(self, kind: Callable[[str, Size], Any], url: str, size: Size, loop: asyncio.AbstractEventLoop) -> None:
        self._size = size
        self._loop = loop
        self._store = redis.Redis.from_url(url, decode_responses=True)
        self._does: Any = self._call(_made, kind, url, size)

    def measure(self, job: Job) -> float:
        """Do a job once and check what it did; microseconds per operation."""
        if job.empty:
            self._store.flushdb()
        prepare = getattr(self._does, f"prepare_{job.name}", None)
        arguments = () if prepare is None else (self._call(prepare),)
        work = getattr(self._does, job.name)
        gc.collect()
        begin = time.perf_counter()
        result = self._call(work, *arguments)
        took = time.perf_counter() - begin
        job.check(result, self._size, self._store)
        return took / job.operations * 1e6

    def close(self) -> None:
        """Close the connections."""
        self._call(self._does.close)
        self._store.close()

    def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if inspect.iscoroutinefunction(work):
            return self._loop.run_until_complete(work(*arguments))
        return work(*arguments)


async def _made(kind: Callable[[str, Size], Any], url: str, size: Size) -> Any:
    return kind(url, size)


def pin(server: Server) -> str:
    """Put client and server on different cores: a round trip on one core takes a fifth of one between two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) < 2:
        return "client and server not pinned"
    os.sched_setaffinity(server.pid, {cores[-1]})
    os.sched_setaffinity(0, {cores[0]})
    return f"client on core {cores[0]}, server on core {cores[-1]}"


def compare(by_hand: Side, mapped: Side, size: Size, rounds: int) -> dict[str, tuple[float, float]]:
    """Let both sides do every job in every round; the medians of each job, in microseconds."""
    seen: dict[str, tuple[list[float], list[float]]] = {job.name: ([], []) for job in jobs(size)}
    for number in range(-1, rounds):  # the first round warms up and does not count
        for job in jobs(size):
            sides = [(by_hand, 0), (mapped, 1)]
            for side, place in sides if number % 2 else reversed(sides):
                took = side.measure(job)
                if number >= 0:
                    seen[job.name][place].append(took)
    return {name: (statistics.median(hand), statistics.median(ours)) for name, (hand, ours) in seen.items()}


def table(results: dict[str, dict[str, tuple[float, float]]]) -> str:
    """The table as text."""
    lines = [f"{'':20}" + "".join(f"{colour:>36}" for colour in results)]
    lines.append(f"{'µs per operation':20}" + f"{'by hand':>14}{'redisorm':>12}{'ratio':>10}" * len(results))
    for job in jobs(Size()):
        line = f"{job.name.replace('_', ' '):20}"
        for medians in results.values():
            hand, ours = medians[job.name]
            line += f"{hand:14.1f}{ours:12.1f}{ours / hand:10.2f}"
        aim = AIMS.get(job.name)
        lines.append(line + (f"   aim {aim}" if aim else ""))
    return "\n".join(lines)


def main() -> None:
    """Start a server, compare, print, stop it."""
    parser = argparse.ArgumentParser(description="Time redisorm beside hand-written redis-py, as ratios.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few rows and two rounds: whether it runs, not how fast")
    options = parser.parse_args()
    size, rounds = (QUICK, 2) if options.quick else (Size(), options.rounds)
    loop = asyncio.new_event_loop()
    results: dict[str, dict[str, tuple[float, float]]] = {}
    with Server(options.server) as server:
        where = pin(server)
        for colour, hand_kind, mapped_kind in (("sync", ByHand, Mapped), ("async", AsyncByHand, AsyncMapped)):
            by_hand, mapped = (
                Side(kind, f"redis://127.0.0.1:{server.port}/{number}", size, loop) for number, kind in enumerate((hand_kind, mapped_kind))
            )
            results[colour] = compare(by_hand, mapped, size, rounds)
            by_hand.close()
            mapped.close()
    loop.close()
    print(f"{options.server}, medians of {rounds} rounds, {where}")
    print(table(results))


if __name__ == "__main__":
    main()

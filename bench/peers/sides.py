"""The jobs that every library does, and how one of them is timed: in a process of its own, on a server that is there.

It knows no library. A side is a module here with a class `Side`, whose methods are the jobs; one that a library has no way to do is left
out. It is run in the library's own environment, which has redis-py and not redisorm.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.workload import JOINED, Size

__all__ = ["CALLS", "JOBS", "READS"]

JOBS = ("bulk_save", "bulk_get", "query_equal", "query_range", "single_save", "single_get", "partial_update")
READS = frozenset(("bulk_get", "single_get", "query_equal", "query_range"))
CALLS = 3
"""How often a job is done in one process, after once that does not count."""


def operations(job: str, size: Size) -> int:
    """How many rows a job writes or finds."""
    if job == "query_equal":
        return size.rows // 10
    if job == "query_range":
        return sum(30 <= 18 + number % 60 <= 34 for number in range(size.rows))
    return size.rows if job.startswith("bulk") else size.singles


def check(job: str, result: Any, count: int) -> None:
    """Raise `AssertionError` unless a job that reads has brought all the rows, with values of the right types."""
    if job not in READS:
        return
    assert len(result) == count, f"{job} brought {len(result)} rows of {count}"
    for one in result:
        assert one.name.startswith("name"), f"{job}: the name is {one.name!r}"
        assert isinstance(one.age, int), f"{job}: the age is {one.age!r}"
        assert isinstance(one.score, float), f"{job}: the score is {one.score!r}"
        assert one.joined.replace(tzinfo=None) == JOINED.replace(tzinfo=None), f"{job}: the date is {one.joined!r}"
        assert job != "query_equal" or one.city == "Oslo", f"{job} found {one.city}"
        assert job != "query_range" or 30 <= one.age <= 34, f"{job} found {one.age}"


def timed(side: Any, job: str, call: Callable[..., Any], count: int) -> float:
    """Do a job once; microseconds for one row. What `prepare_…` makes is made before the clock starts."""
    prepare = getattr(side, f"prepare_{job}", None)
    arguments = () if prepare is None else (call(prepare),)
    gc.collect()
    began = time.perf_counter()
    result = call(getattr(side, job), *arguments)
    took = time.perf_counter() - began
    check(job, result, count)
    return took / count * 1e6


def main(module: str, url: str, rows: int, singles: int) -> None:
    """Do every job of a side and print what each took, as JSON."""
    size = Size(rows=rows, singles=singles)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def call(work: Callable[..., Any], *arguments: Any) -> Any:
        done = work(*arguments)
        return loop.run_until_complete(done) if inspect.isawaitable(done) else done

    side = importlib.import_module(f"bench.peers.{module}").Side(url, size)
    if hasattr(side, "open"):
        call(side.open)
    found: dict[str, float] = {}
    for job in JOBS:
        if hasattr(side, job):
            count = operations(job, size)
            times: Sequence[float] = [timed(side, job, call, count) for _ in range(CALLS + 1)][1:]
            found[job] = statistics.median(times)
    if hasattr(side, "close"):
        call(side.close)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

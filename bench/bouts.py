"""Jobs that several sides do in turn: how one is timed, once in this process, or in that of a library that has an environment of its own.

python -m bench.bouts MODULE URL TIMES CLOCK

It does the jobs of `bench.peers.MODULE` and prints what each took, as JSON. Nothing is imported here but the standard library: a peer's
environment has what the peer needs.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Jobs", "Times", "Way", "each", "each_awaited", "one_round"]


class Way(NamedTuple):
    """How a side does a job many times, blocking or awaited.

    Attributes:
        do: Does it with what was prepared.
        prepare: Given how many times, makes what `do` needs before the clock starts; the numbers up to it where nothing is said.
    """

    do: Callable[[Any], Any]
    prepare: Callable[[int], Any] = range


Jobs: TypeAlias = dict[str, dict[str, Way]]
"""By job and side."""

Times: TypeAlias = dict[str, dict[str, float]]
"""Microseconds for doing a job once, by job and side."""

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def each(work: Callable[[Any], object], prepare: Callable[[int], Any] = range) -> Way:
    """Do one thing after the other."""

    def do(items: Iterable[Any]) -> None:
        for item in items:
            work(item)

    return Way(do, prepare)


def each_awaited(work: Callable[[Any], Any], prepare: Callable[[int], Any] = range) -> Way:
    """Do and await one thing after the other."""

    async def do(items: Iterable[Any]) -> None:
        for item in items:
            await work(item)

    return Way(do, prepare)


def measure(way: Way, times: int, loop: asyncio.AbstractEventLoop, clock: str) -> float:
    """Do a job many times; microseconds for each."""

    def call(work: Callable[[Any], Any], argument: Any) -> Any:
        done = work(argument)
        return loop.run_until_complete(done) if inspect.isawaitable(done) else done

    prepared = call(way.prepare, times)
    gc.collect()
    now = CLOCKS[clock]
    began = now()
    call(way.do, prepared)
    return (now() - began) / times * 1e6


def one_round(jobs: Jobs, times: int, loop: asyncio.AbstractEventLoop, clock: str, *, backwards: bool) -> Times:
    """Let all sides do every job, in their order or backwards."""
    took: Times = {job: dict.fromkeys(sides, 0.0) for job, sides in jobs.items()}
    for job, sides in jobs.items():
        for side, way in reversed(sides.items()) if backwards else sides.items():
            took[job][side] = measure(way, times, loop, clock)
    return took


def main(module: str, url: str, times: int, clock: str) -> None:
    """Do the jobs of a peer, once to warm up and once more, and print what each took then."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    jobs: Jobs = importlib.import_module(f"bench.peers.{module}").jobs(url, loop)
    one_round(jobs, times, loop, clock, backwards=False)
    print(json.dumps(one_round(jobs, times, loop, clock, backwards=False)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

"""Where the time of a job goes: how long the client and how long the server are busy with one operation, on both sides.

python bench/remains.py [--server valkey|redis7|redis8] [--rounds N] [--markdown] [--quick]

What is left of a ratio when the client costs nothing is the server's part of it: the script verifies what the hand-written code does
not look at, keeps a list of all rows beside the indexes, and asks for each key whether the user may write it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.by_hand import ByHand
from bench.mapped import Mapped
from bench.run import QUICK
from bench.sides import Side, pin
from bench.tables import Table
from bench.workload import Job, Size, jobs
from tests.servers import KINDS, Server

__all__ = ["Busy", "measured", "table"]


class Busy(NamedTuple):
    """Microseconds of processor time for one operation."""

    client_us: float
    server_us: float


def _server_us(store: redis.Redis) -> float:
    """How long the server's main thread has been busy."""
    told = store.info("cpu")
    return float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"]) * 1e6


def _once(side: Side, job: Job, store: redis.Redis) -> Busy:
    return Busy(*side.measure_by(job, lambda: _server_us(store)))


def measured(server: Server, size: Size, rounds: int) -> dict[str, tuple[Busy, Busy]]:
    """Let both sides do every job in every round, by hand first; the medians of each job."""
    loop = asyncio.new_event_loop()
    store = redis.Redis(port=server.port)
    sides = [Side(kind, f"redis://127.0.0.1:{server.port}/{place}", size, loop, clock="cpu") for place, kind in enumerate((ByHand, Mapped))]
    seen: dict[str, tuple[list[Busy], list[Busy]]] = {job.name: ([], []) for job in jobs(size)}
    for number in range(-1, rounds):  # the first round warms up and does not count
        for job in jobs(size):
            for place in (0, 1) if number % 2 else (1, 0):
                busy = _once(sides[place], job, store)
                if number >= 0:
                    seen[job.name][place].append(busy)
    for side in sides:
        side.close()
    loop.close()
    store.close()
    return {name: (_median(hand), _median(ours)) for name, (hand, ours) in seen.items()}


def _median(found: Sequence[Busy]) -> Busy:
    return Busy(*(statistics.median(column) for column in zip(*found, strict=True)))


def table(results: dict[str, tuple[Busy, Busy]], caption: str) -> Table:
    """What both sides cost client and server."""
    head = ["µs busy", "client: by hand", "redisorm", "ratio", "server: by hand", "redisorm", "ratio"]
    rows = []
    for job, (hand, ours) in results.items():
        row = [job.replace("_", " ")]
        for place in (0, 1):
            row += [f"{hand[place]:.1f}", f"{ours[place]:.1f}", f"{ours[place] / hand[place]:.2f}" if hand[place] else "–"]
        rows.append(row)
    return Table(caption, head, rows)


def main() -> None:
    """Start a server, measure, print, stop it."""
    parser = argparse.ArgumentParser(description="Tell how long client and server are busy with each job.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rows and two rounds: whether it runs, not how much it is")
    options = parser.parse_args()
    size, rounds = (QUICK, 2) if options.quick else (Size(), options.rounds)
    with Server(options.server) as server:
        where = pin(server)
        results = measured(server, size, rounds)
    found = table(results, f"{options.server}, medians of {rounds} rounds, {where}")
    print(found.markdown() if options.markdown else found.text())


if __name__ == "__main__":
    main()

"""One table: the time redisorm takes, as a ratio of hand-written redis-py for the same rows on the same server.

python bench/run.py [--server valkey|redis7|redis8] [--rounds N] [--clock wall|cpu] [--columns NAME,…] [--only JOB,…] [--markdown] [--quick]

Both sides run in turn within each round, the first one changing from round to round; the table shows medians. The third
column is a user to whom scripts are denied: of Valkey alone, since Redis takes quadratic time to watch a thousand rows and is not asked to.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.by_hand import ByHand
from bench.by_hand_awaited import AsyncByHand
from bench.mapped import Mapped
from bench.mapped_awaited import AsyncMapped
from bench.options import several_of
from bench.sides import CLOCKS, Cell, Side, compare, pin
from bench.tables import Table, verdict
from bench.workload import Size, iteration, jobs
from tests.faults.users import allow_all, as_user
from tests.servers import KINDS, Server

__all__ = ["AIMS", "Column", "measured", "table"]

QUICK = Size(rows=400, batch=200, singles=50, posts=100, walked=4000)

AIMS: dict[str, dict[str, float]] = {
    "sync": {
        "bulk_save": 0.65,
        "indexed_bulk_save": 0.55,
        "bulk_get": 0.5,
        "query_equal": 0.55,
        "query_range": 0.55,
        "single_get": 0.95,
        "single_save": 1.0,
        "indexed_single_save": 1.0,
        "partial_update": 1.2,
        "indexed_update": 1.2,
    },
    "async": {
        "bulk_save": 0.45,
        "indexed_bulk_save": 0.45,
        "bulk_get": 0.45,
        "query_equal": 0.55,
        "query_range": 0.55,
        "single_get": 1.05,
        "single_save": 1.05,
        "indexed_single_save": 1.05,
    },
    "no scripts": {
        "indexed_bulk_save": 0.6,
        "single_save": 1.5,
        "indexed_single_save": 1.5,
        "partial_update": 2.0,
        "indexed_update": 2.0,
    },
}
"""The highest ratio that is wanted, for each column and job that has one."""


class Column(NamedTuple):
    """One way of running the jobs: a colour, and whose rights."""

    name: str
    hand: type[ByHand | AsyncByHand]
    ours: type[Mapped | AsyncMapped]
    user: str | None = None


COLUMNS = (
    Column("sync", ByHand, Mapped),
    Column("async", AsyncByHand, AsyncMapped),
    Column("no scripts", ByHand, Mapped, "unscripted"),
)


def columns_of(kind: str) -> tuple[str, ...]:
    """The columns that a kind of server can do: Redis is not asked to watch more than a thousand keys."""
    return tuple(column.name for column in COLUMNS if column.user is None or kind == "valkey")


def measured(
    server: Server, size: Size, rounds: int, clock: str, only: Sequence[str] = (), columns: Sequence[str] = ()
) -> dict[str, dict[str, Cell]]:
    """Run every column that was named, or that the server can do, one after the other."""
    allow_all(server)
    loop = asyncio.new_event_loop()
    wanted = [job for job in jobs(size) if not only or job.name in only or job.empty]
    results = {}
    for column in COLUMNS:
        if column.name not in (columns or columns_of(server.kind)):
            continue
        urls = [f"redis://127.0.0.1:{server.port}/{number}" for number in (0, 1)]
        mine = urls[1] if column.user is None else as_user(urls[1], column.user)
        hand = Side(column.hand, urls[0], size, loop, clock=clock)
        ours = Side(column.ours, mine, size, loop, admin=urls[1], clock=clock)
        results[column.name] = compare(hand, ours, wanted, rounds)
        if not only or "iteration" in only:
            for side in (hand, ours):
                side.fill()
            results[column.name] |= compare(hand, ours, [iteration(size)], min(rounds, 3))
        hand.close()
        ours.close()
    loop.close()
    return results


def table(results: dict[str, dict[str, Cell]], caption: str) -> Table:
    """The times of all columns in one table, and the memory of the first."""
    head = ["µs per operation"]
    for column in results:
        head += [f"{column}: by hand", "redisorm", "ratio", "aim"]
    rows = []
    for job in next(iter(results.values())):
        row = [job.replace("_", " ")]
        for column, found in results.items():
            cell = found[job]
            row += [f"{cell.hand_us:.1f}", f"{cell.ours_us:.1f}", *verdict(cell.ratio, AIMS[column].get(job))]
        first = next(iter(results.values()))[job]
        rows.append([*row, f"{first.hand_mb:.1f}", f"{first.ours_mb:.1f}"])
    return Table(caption, [*head, "peak MB: by hand", "redisorm"], rows)


def main() -> None:
    """Start a server, compare, print, stop it."""
    parser = argparse.ArgumentParser(description="Time redisorm beside hand-written redis-py, as ratios.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: the time this process was busy, on a machine that is")
    names = [column.name for column in COLUMNS]
    parser.add_argument(
        "--columns", type=several_of(names), default="", help="joined by commas; all that the server can do where none is named"
    )
    names = [*(job.name for job in jobs(Size())), "iteration"]
    parser.add_argument(
        "--only", type=several_of(names), default="", help="jobs, joined by commas; those that fill the database run all the same"
    )
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rows and two rounds: whether it runs, not how fast")
    options = parser.parse_args()
    size, rounds = (QUICK, 2) if options.quick else (Size(), options.rounds)
    with Server(options.server) as server:
        where = pin(server)
        results = measured(server, size, rounds, options.clock, options.only, options.columns)
    found = table(results, f"{options.server}, {options.clock} time, medians of {rounds} rounds, {where}")
    print(found.markdown() if options.markdown else found.text())


if __name__ == "__main__":
    main()

"""How costs grow: of a commit with its rows, and of a query with its table.

python bench/growth.py [--server valkey|redis7|redis8] [--rows N] [--rounds N] [--markdown] [--plot DIRECTORY] [--quick]

A commit writes 1 to 10,000 rows with three indexes; what counts is the time for one row. A query finds 50 rows, or the first 50, in
tables of 1,000 to `--rows` rows, so that only the table grows. Beside them stands the query of equality written by hand, on the same
rows and the same index: where both grow alike, it is the server, or the machine. It fails where a query of 100,000 rows takes more than
twice its time of 1,000, and where a curve bends upwards.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import redis
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.plots import Plot
from bench.sides import pin
from bench.tables import Table
from redisorm import Database, Field, RedisModel, Session, col, connect, desc
from tests.servers import KINDS, Server

__all__ = ["Curves", "bends", "beside_hand", "commit_curves", "query_curves", "table"]

COMMITS = (1, 10, 100, 1_000, 10_000)
TABLES = (1_000, 10_000, 100_000, 1_000_000)
SAME = 50
"""How many rows a query finds, however large the table is."""
QUERIES = 40
BEND = 1.5
"""By how much a point may lie above the lowest one before it: the noise of a machine, and the logarithm in a sorted set."""
TWICE = 2.0
EQUALITY = "equality"
BY_HAND = "equality, by hand"
"""The curve that is shown and not judged."""

Curves: TypeAlias = Mapping[str, Mapping[int, float]]
"""By name: microseconds at each size."""


class Parcel(RedisModel, prefix="parcel"):
    """A row with an index of equality, one of order, and one that half of the table is in."""

    id: int
    sender: str
    street: str
    weight: float
    shelf: str = Field(index=True)
    number: int = Field(index=True)
    sent: bool = Field(index=True)
    note: str | None = None


class Plain(BaseModel):
    """The same row for the query by hand."""

    id: int
    sender: str
    street: str
    weight: float
    shelf: str
    number: int
    sent: bool
    note: str | None = None


def parcel(number: int) -> Parcel:
    return Parcel(
        id=number,
        sender=f"sender {number}",
        street=f"street {number % 977}",
        weight=number * 0.25,
        shelf=f"shelf {number // SAME}",
        number=number,
        sent=number % 2 == 0,
    )


def insert(db: Database, parcels: Sequence[Parcel]) -> None:
    with Session.begin(db) as session:
        session.add_all(parcels)


def update(db: Database, parcels: Sequence[Parcel]) -> None:
    with Session.begin(db) as session:
        for one in parcels:
            session.add(one)
            one.number += 1


def commit_curves(db: Database, rounds: int, sizes: Sequence[int] = COMMITS) -> Curves:
    """The time for one row of a commit, by how many rows it has: new ones, and loaded ones whose index entry moves."""
    curves: dict[str, dict[int, float]] = {"insert": {}, "update": {}}
    for size in sizes:
        seen: dict[str, list[float]] = {name: [] for name in curves}
        for number in range(-1, rounds):  # the first round warms up and does not count
            db.client.flushdb()
            parts = [[parcel(one) for one in range(start, start + size)] for start in range(0, max(size, min(1000, 200 * size)), size)]
            for name, write in (("insert", insert), ("update", update)):
                gc.collect()
                began = time.perf_counter()
                for part in parts:
                    write(db, part)
                took = time.perf_counter() - began
                if number >= 0:
                    seen[name].append(took * 1e6 / (size * len(parts)))
        for name, times in seen.items():
            curves[name][size] = statistics.median(times)
    return curves


def find_by_hand(client: Any, shelf: str) -> list[Plain]:
    """Find the rows of a shelf as one does by hand: all of the index, then all rows in a pipeline, whether due or not."""
    pipe = client.pipeline(transaction=False)
    for number in client.zrange(f"parcel::shelf:{shelf}", 0, -1):
        pipe.hgetall(f"parcel:{number}")
    return [Plain(**fields) for fields in pipe.execute()]


def queries(hand: redis.Redis, rows: int, chance: Random) -> dict[str, Callable[[], int]]:
    """The queries of a table, each of a place at random; each says how many rows it has found, or counted."""
    shelf, start = f"shelf {chance.randrange(rows // SAME)}", chance.randrange(rows - SAME)
    return {
        EQUALITY: lambda: len(Parcel.find(shelf=shelf).all()),
        BY_HAND: lambda: len(find_by_hand(hand, shelf)),
        "range": lambda: len(Parcel.find(col(Parcel.number).between(start, start + SAME - 1)).all()),
        "equality and half of the table": lambda: 2 * len(Parcel.find(shelf=shelf, sent=True).all()),
        "sorted, the first 50": lambda: len(Parcel.find().order_by(desc(Parcel.number)).limit(SAME).all()),
        "half of the table, sorted, the first 50": lambda: len(Parcel.find(sent=True).order_by(Parcel.number).limit(SAME).all()),
        "count": lambda: Parcel.find(shelf=shelf).count(),
    }


def fill(db: Database, begin: int, end: int) -> None:
    for start in range(begin, end, 1000):
        insert(db, [parcel(one) for one in range(start, min(start + 1000, end))])


def query_curves(db: Database, hand: redis.Redis, rounds: int, sizes: Sequence[int] = TABLES) -> Curves:
    """The time of each query, by how many rows the table has. The table grows from one size to the next.

    Args:
        db: Where the rows are written and found.
        hand: The same database for the query by hand; it must decode replies.
        rounds: How often each query is asked `QUERIES` times at each size.
        sizes: Of the table, the smallest first.
    """
    curves: dict[str, dict[int, float]] = {}
    chance, there = Random(5), 0
    db.client.flushdb()
    for size in sizes:
        fill(db, there, size)
        there = size
        seen: dict[str, list[float]] = {}
        for number in range(-1, rounds):
            for _ in range(QUERIES):
                for name, query in queries(hand, size, chance).items():
                    began = time.perf_counter()
                    found = query()
                    took = time.perf_counter() - began
                    assert found == SAME, f"{name} found {found} of {size} rows"
                    if number >= 0:
                        seen.setdefault(name, []).append(took * 1e6)
        for name, times in seen.items():
            curves.setdefault(name, {})[size] = statistics.median(times)
    return curves


def bends(curves: Curves) -> Iterator[str]:
    """Say where a curve bends upwards: where a point lies more than `BEND` above the lowest one before it."""
    for name, curve in curves.items():
        if name == BY_HAND:
            continue
        lowest = float("inf")
        for size, us in curve.items():
            if us > BEND * lowest:
                yield f"{name} at {size:,}: {us:.1f} µs, {us / lowest:.1f} times the least before"
            lowest = min(lowest, us)
        if 100_000 in curve and curve[100_000] > TWICE * curve[1_000]:
            yield f"{name}: more than twice as much at 100,000 rows as at 1,000"


def beside_hand(found: Curves) -> str:
    """Say how much the query of equality grows from the smallest table to the largest, and how much by hand."""
    smallest, largest = min(found[EQUALITY]), max(found[EQUALITY])
    ours, hand = (found[name][largest] / found[name][smallest] for name in (EQUALITY, BY_HAND))
    return f"The query of equality takes {ours:.2f} times as long among {largest:,} rows as among {smallest:,}, by hand {hand:.2f} times."


def table(curves: Curves, caption: str) -> Table:
    """The curves, one line each."""
    sizes = list(next(iter(curves.values())))
    rows = [[name, *(f"{us:.1f}" for us in curve.values())] for name, curve in curves.items()]
    return Table(caption, ["µs", *(f"{size:,} row{'s' * (size > 1)}" for size in sizes)], rows)


def plot(directory: Path, commits: Curves, found: Curves) -> None:
    """Draw both families of curves into `growth-commit.svg` and `growth-query.svg`."""
    directory.mkdir(parents=True, exist_ok=True)
    Plot("Commit with three indexes", "rows in the commit", "µs for one row").curves(commits, directory / "growth-commit.svg")
    Plot("Queries that find 50 rows", "rows in the table", "µs for one query").curves(found, directory / "growth-query.svg")


def main() -> int:
    """Measure both, print, draw, and judge."""
    parser = argparse.ArgumentParser(description="How costs grow with rows.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rows", type=int, default=TABLES[-1], help="the largest table")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--plot", type=Path, help="the directory for two pictures; wants matplotlib")
    parser.add_argument("--quick", action="store_true", help="small and one round: whether it runs")
    options = parser.parse_args()
    rounds, largest = (1, 1000) if options.quick else (options.rounds, options.rows)
    with Server(options.server) as server, connect(server.url) as db, redis.Redis.from_url(server.url, decode_responses=True) as hand:
        where = f"{pin(server)}, memory by {hand.info('memory')['mem_allocator']}"
        commits = commit_curves(db, rounds, [size for size in COMMITS if size <= largest])
        found = query_curves(db, hand, rounds, [size for size in TABLES if size <= largest])
    for name, curves in (("A row of a commit", commits), ("A query", found)):
        shown = table(curves, f"{name}: {options.server}, medians, {where}")
        print(shown.markdown() if options.markdown else shown.text(), end="\n\n")
    if options.plot is not None:
        plot(options.plot, commits, found)
    print(beside_hand(found))
    wrong = [*bends(commits), *bends(found)]
    print("no curve bends upwards" if not wrong else "bent: " + "; ".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

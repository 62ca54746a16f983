"""What memory is held: by an iteration over a class, by loaded objects, and by classes of many fields.

python bench/memory.py [--server valkey|redis7|redis8] [--rows N] [--markdown] [--quick]

How far an iteration lets a process grow is the highest resident size that Linux saw, in a process of its own, beyond that of an iteration
over the first thousand rows. Objects and classes are counted by `tracemalloc`, which sees what Python allocates, beside the objects
that `by_hand` makes of the same rows. It fails where an aim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import create_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.by_hand import ByHand
from bench.mapped import Mapped, Member
from bench.mapped_awaited import AsyncMember
from bench.tables import Table, verdict
from bench.workload import Size
from redisorm import RedisModel, Session, connect
from tests.servers import KINDS, Server

__all__ = ["measured", "table"]

GROWTH_MB = 50.0
OBJECT = 1.5
LINEAR = 1.25
QUICK = 5000
"""By how much a field of a class with 200 may cost more than a field of one with 20."""
PEEK = 1000


def _walk() -> None:
    for _ in Member.find():
        pass


def _walk_in_a_session() -> None:
    with Session() as session:
        for _ in session.find(Member):
            pass


def _walk_awaited() -> None:
    async def walk() -> None:
        async for _ in AsyncMember.find():
            pass

    asyncio.run(walk())


WALKS: dict[str, Callable[[], None]] = {
    "iteration": _walk,
    "iteration in a session": _walk_in_a_session,
    "iteration, awaited": _walk_awaited,
}


def _highest_mb() -> float:
    """The highest resident size of this process so far. (`ru_maxrss` begins with that of the process that started it.)"""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _grown(url: str, name: str) -> float:
    """How far a walk lets this process grow beyond one of the first rows, in megabytes."""
    with connect(url):
        for _ in zip(range(PEEK), Member.find(), strict=False):
            pass
        before = _highest_mb()
        WALKS[name]()
        return _highest_mb() - before


def growth(url: str, rows: int) -> Iterator[tuple[str, float]]:
    """Store the rows and walk over them, each way in a new process."""
    Mapped(url, Size(walked=rows)).fill()
    for name in WALKS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield name, pool.apply(_grown, (url, name))


def held(make: Callable[[], Any]) -> float:
    """How much memory the result of a call holds, in bytes."""
    make()
    gc.collect()
    tracemalloc.start()
    try:
        kept = make()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if kept else 0.0
    finally:
        tracemalloc.stop()


def objects(url: str) -> Iterator[tuple[str, float, float]]:
    """The bytes of one object as loaded by hand and by us: of eight fields, with companions, and held by a session."""
    size = Size(rows=1000)
    hand, ours = ByHand(url, size), Mapped(url, size)
    ours.database.client.flushdb()
    hand.bulk_save(hand.prepare_bulk_save())
    plain = held(hand.bulk_get)
    yield "loaded", plain / size.rows, held(ours.bulk_get) / size.rows
    ours.companions_save(ours.prepare_companions_save())
    yield "loaded, with ten tags and ten items", held(hand.companions_get) / size.posts, held(ours.companions_get) / size.posts
    ours.indexed_bulk_save(ours.prepare_indexed_bulk_save())
    with Session(ours.database) as session:
        yield "loaded, with two indexes, in a session", plain / size.rows, held(lambda: session.find(Member).all()) / size.rows
    hand.close()
    ours.close()


def wide(fields: int, number: int) -> type[Any]:
    """A class of many fields: a third of them text, a third numbers, a third dicts in JSON."""
    kinds = (str, int, dict[str, int])
    named: dict[str, Any] = {f"field{place}": (kinds[place % 3], ...) for place in range(fields - 1)}
    return create_model(f"Wide{fields}x{number}", __base__=RedisModel, id=(int, ...), **named)


def _values(fields: int) -> dict[str, Any]:
    made: tuple[Callable[[int], Any], ...] = (str, int, lambda place: {"a": place})
    return {f"field{place}": made[place % 3](place) for place in range(fields - 1)}


def in_use(fields: int, number: int) -> type[Any]:
    """A class that has saved and loaded an object, so that everything is compiled that ever will be."""
    model = wide(fields, number)
    model(id=0, **_values(fields)).save()
    model.get_one(0)
    return model


def field_costs(fields: int) -> dict[str, float]:
    """What one field of a class with so many costs: its class in time and bytes, and its value in saving and loading an object."""
    numbers, rows, values = count(), 4000 // fields, _values(fields)
    first, saves, loads = [], [], []
    for _ in range(5):
        gc.collect()
        began = time.process_time()
        in_use(fields, next(numbers))
        first.append(time.process_time() - began)
    model = in_use(fields, next(numbers))
    for start in range(0, 8 * rows, rows):
        made = [model(id=one, **values) for one in range(start, start + rows)]
        gc.collect()
        began = time.process_time()
        with Session.begin() as session:
            session.add_all(made)
        saved = time.process_time()
        model.get_many(range(start, start + rows))
        saves.append(saved - began)
        loads.append(time.process_time() - saved)
    return {
        "µs to compile": statistics.median(first) / fields * 1e6,
        "bytes of the class": held(lambda: in_use(fields, next(numbers))) / fields,
        "µs to save": statistics.median(saves) / fields / rows * 1e6,
        "µs to load": statistics.median(loads) / fields / rows * 1e6,
        "bytes of an object": held(lambda: model.get_many(range(rows))) / fields / rows,
    }


def measured(server: Server, rows: int) -> list[tuple[str, str, str, float, float]]:
    """Every measure as name, both values as text, and the number that has an aim, with its aim."""
    lines = [(name, "", f"{mb:.1f} MB", mb, GROWTH_MB) for name, mb in growth(server.url, rows)]
    lines += [(name, f"{hand:.0f} B", f"{ours:.0f} B", ours / hand, OBJECT) for name, hand, ours in objects(server.url)]
    with connect(server.url):
        few, many = field_costs(20), field_costs(200)
    lines += [
        (f"a field of 200 beside one of 20: {name}", f"{few[name]:.2f}", f"{many[name]:.2f}", many[name] / few[name], LINEAR)
        for name in few
    ]
    return lines


def table(lines: list[tuple[str, str, str, float, float]], caption: str) -> Table:
    """The measures beside what they are compared with."""
    rows = [[name, left, right, *verdict(value, aim)] for name, left, right, value, aim in lines]
    return Table(caption, ["", "by hand, or of 20", "redisorm, or of 200", "MB or ratio", "aim"], rows)


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description="What memory is held.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rows: whether it runs")
    options = parser.parse_args()
    rows = QUICK if options.quick else options.rows
    with Server(options.server) as server:
        lines = measured(server, rows)
    found = table(lines, f"Memory: {options.server}, {rows:,} rows")
    print(found.markdown() if options.markdown else found.text())
    return int(any(value > aim for *_, value, aim in lines))


if __name__ == "__main__":
    sys.exit(main())

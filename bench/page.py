"""Measure everything anew and write it into `docs/performance.md`, with its pictures.

python bench/page.py [--server valkey|redis7|redis8] [--only PART,…] [--quick]

The page has places for what is measured, between `<!-- PART -->` and `<!-- end -->`; all else of it is written by hand and stays. Each
part is what the benchmark of that name prints.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import contest, growth, imports, memory, remains, run
from bench.events import EVENTS
from bench.patterns import PATTERNS
from bench.peers import run as peers
from bench.plots import Plot
from bench.sides import Cell, pin
from bench.tables import Table
from bench.workload import Size
from redisorm import connect
from tests.servers import KINDS, Server

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "img"


def processor() -> str:
    """The name of the processor, where Linux tells it."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", told.read_text(), re.MULTILINE) if told.exists() else None
    return found[1] if found else platform.machine()


def machine(kind: str, *, quick: bool) -> str:
    del quick  # every part is asked alike
    with Server(kind) as server, connect(server.url) as db:
        told = db.client.info("server") | db.client.info("memory")
    name = told.get("server_name", "redis")
    version = told.get("valkey_version") or told["redis_version"]
    packages = ", ".join(f"{package} {metadata.version(package)}" for package in ("redis", "hiredis", "pydantic"))
    return (
        f"{date.today()}: {processor()}, {os.cpu_count()} cores, {platform.system()}; {platform.python_implementation()} "  # noqa: DTZ011
        f"{platform.python_version()}, {packages}; {name.capitalize()} {version} on the same machine, over TCP, "
        f"its memory by {told['mem_allocator']}."
    )


def missed(results: dict[str, dict[str, Cell]]) -> str:
    """Say how many aims are met, and which are not."""
    aims = [(column, job, aim, results[column][job].ratio) for column, jobs in run.AIMS.items() for job, aim in jobs.items()]
    over = [f"{job.replace('_', ' ')}, {column}: {ratio:.2f} ({aim:g})" for column, job, aim, ratio in aims if ratio > aim]
    line = f"{len(aims) - len(over)} of {len(aims)} aims are met."
    return line + (f" Missed, with the aim in brackets: {'; '.join(over)}." if over else "")


def hand(kind: str, *, quick: bool) -> str:
    size, rounds = (run.QUICK, 2) if quick else (Size(), 7)
    with Server(kind) as server:
        where = pin(server)
        results = run.measured(server, size, rounds, "wall")
    jobs = next(iter(results.values()))
    ratios = {job.replace("_", " "): {column: found[job].ratio for column, found in results.items()} for job in jobs}
    Plot("Time as a part of redis-py by hand", "less is better", "").bars(ratios, PICTURES / "by-hand.svg")
    captions = {column: f"**{column}**: medians of {rounds} rounds, {where}" for column in results}
    shown = [run.table({column: found}, captions[column]).markdown() for column, found in results.items()]
    return "\n\n".join([missed(results), "![Time as a part of redis-py by hand](img/by-hand.svg)", *shown])


def left(kind: str, *, quick: bool) -> str:
    size, rounds = (run.QUICK, 1) if quick else (Size(), 7)
    with Server(kind) as server:
        where = pin(server)
        return remains.table(remains.measured(server, size, rounds), f"Medians of {rounds} rounds, blocking, {where}").markdown()


def others(kind: str, *, quick: bool) -> str:
    size, rounds = (peers.QUICK, 1) if quick else (Size(), 3)
    results, where = peers.measured(kind, size, rounds, frozenset())
    versions = ", ".join(package.replace("==", " ") for peer in peers.PEERS for package in peer.packages)
    return peers.table(results, f"Medians of {rounds} rounds, {where}; {versions}.").markdown()


def patterns(kind: str, *, quick: bool) -> str:
    shown = []
    for one in (PATTERNS, EVENTS):
        times, rounds = (contest.QUICK, 1) if quick else (one.times, 5)
        results, where = contest.measured(one, kind, rounds, times)
        shown += contest.tables(results, f"medians of {rounds} rounds of {times}, {where}; {one.versions}.")
    return "\n\n".join(table.markdown() for table in shown)


def grown(kind: str, *, quick: bool) -> str:
    largest, rounds = (1000, 1) if quick else (growth.TABLES[-1], 5)
    with Server(kind) as server, connect(server.url) as db, redis.Redis.from_url(server.url, decode_responses=True) as hand:
        pin(server)
        commits = growth.commit_curves(db, rounds, [size for size in growth.COMMITS if size <= largest])
        found = growth.query_curves(db, hand, rounds, [size for size in growth.TABLES if size <= largest])
    growth.plot(PICTURES, commits, found)
    bent = [*growth.bends(commits), *growth.bends(found)]
    parts = [
        growth.table(commits, "One row of an indexed commit, by how many rows it has:").markdown(),
        "![Commits](img/growth-commit.svg)",
        growth.table(found, "One query, by how many rows the table has:").markdown(),
        "![Queries](img/growth-query.svg)",
        growth.beside_hand(found),
        "No curve bends upwards." if not bent else f"Bent: {'; '.join(bent)}.",
    ]
    return "\n\n".join(parts)


def held(kind: str, *, quick: bool) -> str:
    rows = memory.QUICK if quick else 100_000
    with Server(kind) as server:
        return memory.table(memory.measured(server, rows), f"{rows:,} rows:").markdown()


def imported(kind: str, *, quick: bool) -> str:
    del kind  # every part is asked alike
    rounds = imports.QUICK if quick else 15
    found: Table = imports.table(imports.measured(rounds), rounds)
    return found.markdown()


PARTS: dict[str, Callable[..., str]] = {
    "machine": machine,
    "hand": hand,
    "remains": left,
    "peers": others,
    "patterns": patterns,
    "growth": grown,
    "memory": held,
    "imports": imported,
}


def filled(page: str, part: str, text: str) -> str:
    """The page with a text in the place of a part."""
    place = re.compile(rf"(<!-- {part} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(page):
        raise SystemExit(f"{PAGE.name} has no place for {part}: <!-- {part} --> … <!-- end -->")
    return place.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def main() -> None:
    """Measure the parts, one after the other, and write each as soon as it is known."""
    parser = argparse.ArgumentParser(description="Write what is measured into docs/performance.md.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, joined by commas")
    parser.add_argument("--quick", action="store_true", help="small: whether it runs. The page is only good for throwing away then")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    for part in options.only.split(","):
        print(part, file=sys.stderr, flush=True)
        text = PARTS[part](options.server, quick=options.quick)
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), part, text), encoding="utf-8")
        if cores is not None:
            os.sched_setaffinity(0, cores)  # a part may have put this process on one core


if __name__ == "__main__":
    main()

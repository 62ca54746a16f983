"""Measure everything anew and write it into `docs/performance.md`, with its pictures.

python bench/page.py [--servers KIND,…] [--only PART,…] [--quick]

The page has places for what is measured, between `<!-- PART -->` and `<!-- end -->`; all else of it is written by hand and stays. Each
part is what the benchmark of that name prints, of the first server, or of each where it says so.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TypeAlias

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import contest, growth, imports, memory, remains, run
from bench.events import EVENTS
from bench.options import several_of
from bench.patterns import PATTERNS
from bench.peers import run as peers
from bench.plots import Plot
from bench.sides import Cell, pinned
from bench.tables import Table
from bench.workload import Size
from redisorm import connect
from tests.servers import KINDS, Server

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "img"

Results: TypeAlias = dict[str, dict[str, Cell]]
"""What `run` has measured, by column and job."""


def processor() -> str:
    """The name of the processor, where Linux tells it."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", told.read_text(), re.MULTILINE) if told.exists() else None
    return found[1] if found else platform.machine()


class Told(NamedTuple):
    """What a server says of itself: its name and version, and what gives it memory."""

    name: str
    memory: str


def told(server: Server) -> Told:
    with redis.Redis.from_url(server.url, decode_responses=True) as store:
        said: dict[str, str] = store.info("server") | store.info("memory")
    name, version = said.get("server_name", "redis"), said.get("valkey_version") or said["redis_version"]
    return Told(f"{name.capitalize()} {version}", said["mem_allocator"])


def machine(kinds: Sequence[str], *, quick: bool) -> str:
    del quick  # every part is asked alike
    servers = []
    for kind in kinds:
        with Server(kind) as server:
            servers.append("{} (memory by {})".format(*told(server)))
    packages = ", ".join(f"{package} {metadata.version(package)}" for package in ("redis", "hiredis", "pydantic"))
    return (
        f"{date.today()}: {processor()}, {os.cpu_count()} cores, {platform.system()}; {platform.python_implementation()} "  # noqa: DTZ011
        f"{platform.python_version()}, {packages}; {' and '.join(servers)} on the same machine, over TCP."
    )


def missed(results: Results, name: str) -> str:
    """Say how many aims are met, and which are not."""
    aims = [(column, job, aim, found[job].ratio) for column, found in results.items() for job, aim in run.AIMS[column].items()]
    over = [f"{job.replace('_', ' ')}, {column}: {ratio:.2f} ({aim:g})" for column, job, aim, ratio in aims if ratio > aim]
    line = f"{len(aims) - len(over)} of {len(aims)} aims are met on {name}."
    return line + (f" Missed, with the aim in brackets: {'; '.join(over)}." if over else "")


def hand(kinds: Sequence[str], *, quick: bool) -> str:
    """Of each server: the aims of all, the picture of the first, and a table for each column."""
    size, rounds = (run.QUICK, 2) if quick else (Size(), 7)
    aims, shown = [], []
    for kind in kinds:
        with Server(kind) as server, pinned(server) as where:
            name = told(server).name
            results = run.measured(server, size, rounds, "wall")
        if kind == kinds[0]:
            draw(results, name)
        aims.append(missed(results, name))
        caption = f"medians of {rounds} rounds, {where}"
        tables = [run.table({column: found}, f"**{column}**: {caption}").markdown() for column, found in results.items()]
        shown += [f"### {name}", *tables]
    return "\n\n".join([*aims, "![Time as a part of redis-py by hand](img/by-hand.svg)", *shown])


def draw(results: Results, name: str) -> None:
    jobs = next(iter(results.values()))
    ratios = {job.replace("_", " "): {column: found[job].ratio for column, found in results.items()} for job in jobs}
    Plot(f"Time as a part of redis-py by hand, {name}", "less is better", "").bars(ratios, PICTURES / "by-hand.svg")


def left(kinds: Sequence[str], *, quick: bool) -> str:
    """Of each server."""
    size, rounds = (run.QUICK, 1) if quick else (Size(), 7)
    shown = []
    for kind in kinds:
        with Server(kind) as server, pinned(server) as where:
            caption = f"**{told(server).name}**: medians of {rounds} rounds, blocking, {where}"
            shown.append(remains.table(remains.measured(server, size, rounds), caption).markdown())
    return "\n\n".join(shown)


def others(kinds: Sequence[str], *, quick: bool) -> str:
    size, rounds = (peers.QUICK, 1) if quick else (Size(), 3)
    results, where = peers.measured(kinds[0], size, rounds, frozenset())
    versions = ", ".join(package.replace("==", " ") for peer in peers.PEERS for package in peer.packages)
    return peers.table(results, f"Medians of {rounds} rounds, {where}; {versions}.").markdown()


def patterns(kinds: Sequence[str], *, quick: bool) -> str:
    shown = []
    for one in (PATTERNS, EVENTS):
        times, rounds = (contest.QUICK, 1) if quick else (one.times, 5)
        results, where = contest.measured(one, kinds[0], rounds, times)
        shown += contest.tables(results, f"medians of {rounds} rounds of {times}, {where}; {one.versions}.")
    return "\n\n".join(table.markdown() for table in shown)


def grown(kinds: Sequence[str], *, quick: bool) -> str:
    """Of each server, with pictures of the first, which gets more rounds."""
    largest = 1000 if quick else growth.TABLES[-1]
    shown = []
    for kind in kinds:
        rounds = 1 if quick else 5 if kind == kinds[0] else 3
        with Server(kind) as server, pinned(server), connect(server.url) as db:
            name, memory = told(server)
            commits = growth.commit_curves(db, rounds, [size for size in growth.COMMITS if size <= largest])
            with redis.Redis.from_url(server.url, decode_responses=True) as by_hand:
                found = growth.query_curves(db, by_hand, rounds, [size for size in growth.TABLES if size <= largest])
        drawn = kind == kinds[0]
        if drawn:
            growth.plot(PICTURES, commits, found)
        bent = [*growth.bends(commits), *growth.bends(found)]
        shown += [
            f"### {name}, memory by {memory}",
            growth.table(commits, "One row of an indexed commit, by how many rows it has:").markdown(),
            *(["![Commits](img/growth-commit.svg)"] if drawn else []),
            growth.table(found, "One query, by how many rows the table has:").markdown(),
            *(["![Queries](img/growth-query.svg)"] if drawn else []),
            growth.beside_hand(found),
            "No curve bends upwards." if not bent else f"Bent: {'; '.join(bent)}.",
        ]
    return "\n\n".join(shown)


def held(kinds: Sequence[str], *, quick: bool) -> str:
    rows = memory.QUICK if quick else 100_000
    with Server(kinds[0]) as server:
        return memory.table(memory.measured(server, rows), f"{rows:,} rows:").markdown()


def imported(kinds: Sequence[str], *, quick: bool) -> str:
    del kinds  # every part is asked alike
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
    parser.add_argument(
        "--servers", type=several_of(KINDS), default="valkey,redis8", help="joined by commas; some parts ask the first alone"
    )
    parser.add_argument("--only", type=several_of(PARTS), default=",".join(PARTS), help="parts, joined by commas")
    parser.add_argument("--quick", action="store_true", help="small: whether it runs. The page is only good for throwing away then")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    for part in options.only:
        print(part, file=sys.stderr, flush=True)
        text = PARTS[part](options.servers, quick=options.quick)
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), part, text), encoding="utf-8")


if __name__ == "__main__":
    main()

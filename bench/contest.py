"""redisorm beside the same by hand, in this process, and beside other libraries, each in a process and an environment of its own.

All take turns within each round, and each figure is a median. It knows no pattern: the jobs are told by who calls it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bench.bouts import CLOCKS, Jobs, Times, one_round
from bench.peers.run import ROOT, environment
from bench.sides import pinned
from bench.tables import Table
from tests.servers import KINDS, Server

__all__ = ["QUICK", "Contest", "Peer", "command", "measured", "tables"]

HAND, OURS = "by hand", "redisorm"
QUICK = 50


class Peer(NamedTuple):
    """A library to compare with: its module in `bench.peers`, and what its environment has."""

    module: str
    packages: tuple[str, ...]


class Contest(NamedTuple):
    """What is compared.

    Attributes:
        blocking: Makes the jobs of blocking code; its argument gives a URL with a database of its own each time.
        awaiting: The same of async code.
        peers: The libraries that do some of these jobs too. Their jobs are called `sync: …` and `async: …`.
        times: How often a job is done in one round.
    """

    blocking: Callable[[Callable[[], str]], Jobs]
    awaiting: Callable[[Callable[[], str]], Awaitable[Jobs]]
    peers: tuple[Peer, ...]
    times: int = 1000

    @property
    def versions(self) -> str:
        """The libraries and their versions, for people."""
        return ", ".join(re.sub(r"(\[.*\])?==", " ", peer.packages[0]) for peer in self.peers)


def _urls(server: Server) -> Callable[[], str]:
    numbers = iter(range(1, 16))
    return lambda: f"redis://127.0.0.1:{server.port}/{next(numbers)}"


def _beside(peer: Peer, url: str, times: int, clock: str) -> Times:
    """Let a library do its jobs in a process of its own."""
    words = [str(environment(peer.packages) / "bin/python"), "-W", "ignore", "-m", "bench.bouts", peer.module, url, str(times), clock]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer.module} failed:\n{done.stderr}")
    found: Times = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(contest: Contest, kind: str, rounds: int, times: int, clock: str = "wall", *, alone: bool = False) -> tuple[Times, str]:
    """The medians by job and side, and where it all ran. The first round of this process warms up and does not count.

    Args:
        alone: Leave the other libraries out.
    """
    peers = () if alone else contest.peers
    for peer in peers:
        environment(peer.packages)
    loop = asyncio.new_event_loop()
    seen: dict[str, dict[str, list[float]]] = {}
    with Server(kind) as server, pinned(server) as where:
        url = _urls(server)
        jobs = {f"sync: {job}": sides for job, sides in contest.blocking(url).items()}
        jobs |= {f"async: {job}": sides for job, sides in loop.run_until_complete(_awaited(contest, url)).items()}
        for number in range(-1, rounds):
            found = [one_round(jobs, times, loop, clock, backwards=bool(number % 2))]
            if number >= 0:
                found += [_beside(peer, server.url, times, clock) for peer in peers]
                _note(found, seen)
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    return {job: {side: statistics.median(took) for side, took in sides.items()} for job, sides in seen.items()}, where


def _note(found: Iterable[Times], seen: dict[str, dict[str, list[float]]]) -> None:
    for times in found:
        for job, sides in times.items():
            for side, took in sides.items():
                seen.setdefault(job, {}).setdefault(side, []).append(took)


async def _awaited(contest: Contest, url: Callable[[], str]) -> Jobs:
    return await contest.awaiting(url)


def tables(results: Times, caption: str) -> list[Table]:
    """One table for each colour: microseconds, and in brackets how many times the hand-written one's that is."""
    found = []
    for colour in ("sync", "async"):
        rows = []
        for job, sides in results.items():
            if job.startswith(f"{colour}: "):
                hand = sides[HAND]
                others = [f"{side} {_cell(took, hand)}" for side, took in sides.items() if side not in (HAND, OURS)]
                rows.append([job.partition(": ")[2], f"{hand:.0f}", _cell(sides[OURS], hand), ", ".join(others) or "–"])
        found.append(Table(f"**{colour}**: {caption}", ["µs for one (× by hand)", HAND, OURS, "others"], rows))
    return found


def _cell(took: float, hand: float) -> str:
    return f"{took:.0f} ({took / hand:.2f})"


def command(contest: Contest, about: str, words: Sequence[str] | None = None) -> None:
    """The command line: start a server, compare, print, stop it."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what passes, or what the client was busy")
    parser.add_argument("--alone", action="store_true", help="by hand and redisorm only")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few operations and one round: whether it runs, not how fast")
    options: Any = parser.parse_args(words)
    times, rounds = (QUICK, 1) if options.quick else (contest.times, options.rounds)
    results, where = measured(contest, options.server, rounds, times, options.clock, alone=options.alone)
    for table in tables(results, f"{options.server}, medians of {rounds} rounds of {times}, {options.clock} clock, {where}"):
        print(table.markdown() if options.markdown else table.text(), end="\n\n")
    sys.stdout.flush()

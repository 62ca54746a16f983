"""What upkeep costs: the server's time for a sweep, and how fast a class is checked, repaired and reindexed.

python bench/sweep.py [--server valkey|redis7|redis8] [--rows N]

The server's time is that of its main thread (`used_cpu_*_main_thread` in INFO, on Redis 7.0 and newer) between two moments.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redisorm import Database, Field, RedisModel, Session
from tests.servers import KINDS, Server

AIM_S = 1.0
"""Server time for a sweep of 20,000 rows with two index entries each."""


class Visitor(RedisModel, prefix="visitor", ttl=3600):
    """An expiring row with two index entries."""

    id: int
    name: str = ""
    city: str = Field(default="", index=True)
    age: int = Field(default=0, index=True)


def fill(db: Database, rows: int, ttl: float | None = None) -> None:
    with Session(db) as session:
        for pk in range(rows):
            session.add(Visitor(id=pk, name=f"visitor {pk}", city=f"city {pk % 50}", age=pk % 90), ttl=ttl)
        session.commit(batch=1000)


def expire(db: Database, rows: int) -> None:
    """Let all rows expire at once, without a commit that would sweep some of them."""
    now_ms = int(db.client.time()[0]) * 1000
    with db.client.pipeline(transaction=False) as pipe:
        for pk in range(rows):
            pipe.pexpireat(f"visitor:{pk}", now_ms)
            pipe.zadd("visitor::all", {str(pk): now_ms})
        pipe.execute()


def cpu_s(db: Database) -> float:
    told: Any = db.client.info("cpu")
    return float(told["used_cpu_user_main_thread"]) + float(told["used_cpu_sys_main_thread"])


def measured(db: Database, name: str, rows: int, work: Callable[[], Any]) -> float:
    """Do it, print what it took, and return the seconds of the server's time."""
    trips, server, started = db.traffic.round_trips, cpu_s(db), time.perf_counter()
    answer = work()
    wall, server = time.perf_counter() - started, cpu_s(db) - server
    trips = db.traffic.round_trips - trips
    print(f"{name:28} {rows:>8} {wall:>8.2f} {server:>9.3f} {wall / rows * 1e6:>10.1f} {trips:>12}  {answer}")
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description="What upkeep costs.")
    parser.add_argument("--server", choices=KINDS, default="redis7")
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    rows = options.rows
    with Server(options.server) as server, Database(server.url) as db:
        print(f"{options.server}\n{'':28} {'rows':>8} {'wall s':>8} {'server s':>9} {'us a row':>10} {'round trips':>12}")
        fill(db, rows)
        measured(db, "check, nothing wrong", rows, lambda: db.check(Visitor).counts)
        db.client.delete("visitor::age")
        measured(db, "check, an index lost", rows, lambda: db.check(Visitor).counts)
        measured(db, "repair, an index lost", rows, lambda: db.repair(Visitor).ok)
        measured(db, "reindex", rows, lambda: db.reindex(Visitor))
        expire(db, rows)
        spent = measured(db, "sweep", rows, lambda: db.sweep(Visitor))
        left = db.client.dbsize()
        print(f"keys left: {left}; server time for 20,000 rows: {spent / rows * 20_000:.2f} s, the aim is under {AIM_S:.0f} s")
        return int(left > 0 or spent / rows * 20_000 > AIM_S)


if __name__ == "__main__":
    sys.exit(main())

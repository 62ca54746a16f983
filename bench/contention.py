"""How far 32 contenders come who all write one row: nobody may starve, and nothing may be lost.

python bench/contention.py [--server valkey|redis7|redis8] [--seconds N] [--processes N] [--threads N]

Each contender is a thread of one of several processes. Three ways of writing: an increment at the server, a read-modify-write
of a versioned row by `Session.retry`, and an update of a row without a version. Each by script, and by WATCH as a user who
may not run scripts. Printed is what all did per second, what the slowest and the fastest contender did, and how many
attempts one write took. At the end the row must hold what all contenders say they wrote.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redisorm import ConflictError, Database, RedisModel, Session
from tests.servers import KINDS, Server

USERS = {"script": (), "WATCH": ("-eval", "-evalsha")}


class Tally(RedisModel, prefix="tally"):
    id: int
    count: int = 0
    note: str = ""


class Ledger(RedisModel, prefix="ledger", versioned=True):
    id: int
    count: int = 0


def increment(db: Database, turn: Callable[[], None]) -> None:
    with Session.begin(db) as session:
        turn()
        session.increment(session.get_one(Tally, 1), "count", 1)


def retry(db: Database, turn: Callable[[], None]) -> None:
    def once(session: Session) -> None:
        turn()
        session.get_one(Ledger, 1).count += 1

    Session.retry(once, db, attempts=1000)


def update(db: Database, turn: Callable[[], None]) -> None:
    with Session.begin(db) as session:
        turn()
        session.get_one(Tally, 1).note = str(time.monotonic_ns())


WAYS = {way.__name__: way for way in (increment, retry, update)}


def contend(way: str, url: str, seconds: float, threads: int) -> None:
    """Be some of the contenders, and print what each did as JSON: writes, attempts, and the conflicts that were told."""
    told: list[tuple[int, int, int]] = []
    with Database(url, max_connections=threads, pool_timeout=60) as db:
        start = threading.Barrier(threads)

        def one() -> None:
            writes = attempts = refused = 0

            def turn() -> None:
                nonlocal attempts
                attempts += 1

            start.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    WAYS[way](db, turn)
                    writes += 1
                except ConflictError:
                    refused += 1
            told.append((writes, attempts, refused))

        crowd = [threading.Thread(target=one) for _ in range(threads)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
    print(json.dumps(told))


def run(way: str, server: Server, user: str, options: argparse.Namespace) -> str:
    """Let all contend one way, check what the row holds, and return a line of the table."""
    server.flush()
    assert server.ask("ACL", "SETUSER", user, "reset", "on", ">secret", "~*", "&*", "+@all", *USERS[user]) == b"+OK\r\n"
    url = server.url.replace("redis://", f"redis://{user}:secret@")
    with Database(server.url) as db, Session.begin(db) as session:
        session.add_all([Tally(id=1), Ledger(id=1)])
    words = [sys.executable, __file__, "--contend", way, "--url", url, "--seconds", str(options.seconds), "--threads", str(options.threads)]
    crowd = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(options.processes)]
    told = [tuple(one) for process in crowd for one in json.loads(process.communicate()[0])]
    writes = sorted(one[0] for one in told)
    total, attempts, refused = sum(writes), sum(one[1] for one in told), sum(one[2] for one in told)
    with Database(server.url) as db, Session(db) as session:
        held = session.get_one(Ledger, 1).count if way == "retry" else session.get_one(Tally, 1).count
    if way != "update" and held != total:
        raise SystemExit(f"{way} by {user}: the row holds {held}, and {total} were written")
    least, middle, most = writes[0], writes[len(writes) // 2], writes[-1]
    line = f"| {way:9} | {user:6} | {total / options.seconds:8.0f} | {least:6} | {middle:6} | {most:6} | {attempts / max(total, 1):8.2f} |"
    return f"{line} {refused:7} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--contend", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        contend(options.contend, options.url, options.seconds, options.threads)
        return
    print(f"{options.processes * options.threads} contenders for one row of {options.server}, {options.seconds:g} s each")
    print("| way       | by     | writes/s |  least | median |   most | attempts | refused |")
    print("| --------- | ------ | -------- | ------ | ------ | ------ | -------- | ------- |")
    with Server(options.server) as server:
        for way in WAYS:
            for user in USERS:
                print(run(way, server, user, options), flush=True)


if __name__ == "__main__":
    main()

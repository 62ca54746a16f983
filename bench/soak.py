"""A soak: several processes work on one server while everything goes wrong at random; then it is proved what came of it.

python bench/soak.py [--server valkey|redis7|redis8] [--minutes N] [--processes N] [--seed N] [--user script|WATCH]

The server is killed and started again (it syncs each write to disk), suspended, filled up and made to forget its scripts;
answers are lost, halved, delayed and silenced and connections cut by a relay; working processes are killed. At the end the
journals of the workers are compared with what lies in the server, and `check` looks at every model. Prints figures, and
ends with 1 where anything was lost, doubled or torn.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.soak_reckoning import Reckoning
from bench.soak_work import MODELS, OVER, Journal, Token, seed
from redisorm import Database
from tests.faults.proxy import Fault, Kind, Proxy
from tests.servers import KINDS, Server

USERS = {"script": (), "WATCH": ("-eval", "-evalsha")}
COMMANDS = ("EXEC", "EXEC", "EVALSHA", "MULTI", "WATCH", "HMGET", "HSET", "GET", "ZADD")


class Chaos:
    """What goes wrong, one thing after the other, until it is stopped.

    Attributes:
        done: How often each thing went wrong.
    """

    def __init__(self, server: Server, relay: Proxy, crowd: Crowd, user: str, chance: random.Random) -> None:
        self._server, self._relay, self._crowd, self._user, self._chance = server, relay, crowd, user, chance
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._armed: list[Fault] = []
        self.done: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it, with everything healthy."""
        self._stopping.set()
        self._thread.join()
        self._relay.heal()
        self._server.start()
        for fault in self._armed:
            self.done[f"answers met by {fault.kind}"] += 1 - fault.times

    def _run(self) -> None:
        ways: list[tuple[float, Callable[[], None]]] = [
            (0.86, self._break_an_answer),
            (0.03, self._drop_all_connections),
            (0.03, self._flush_scripts),
            (0.02, self._suspend_server),
            (0.02, self._fill_server),
            (0.02, self._kill_worker),
            (0.02, self._kill_server),
        ]
        first = self._chance.sample(ways, len(ways))  # each once, however short the soak
        while not self._stopping.wait(self._chance.uniform(0.02, 0.3)):
            _, way = first.pop() if first else self._chance.choices(ways, weights=[weight for weight, _ in ways])[0]
            way()

    def _break_an_answer(self) -> None:
        kind: Kind = self._chance.choice(("lose", "lose", "cut", "halve", "silence", "delay"))
        fault = Fault(kind, self._chance.choice(COMMANDS), seconds=self._chance.uniform(0.1, 1.5))
        self._armed.append(self._relay.arm(fault))

    def _drop_all_connections(self) -> None:
        self._relay.drop()
        self.done["all connections dropped"] += 1

    def _flush_scripts(self) -> None:
        self._server.ask("SCRIPT", "FLUSH")
        self.done["scripts flushed"] += 1

    def _suspend_server(self) -> None:
        self._server.suspend()
        self._stopping.wait(self._chance.uniform(0.1, 2))
        self._server.resume()
        self.done["server suspended"] += 1

    def _fill_server(self) -> None:
        self._server.ask("CONFIG", "SET", "maxmemory", "1")
        self._stopping.wait(self._chance.uniform(0.05, 0.5))
        self._server.ask("CONFIG", "SET", "maxmemory", "0")
        self.done["server full"] += 1

    def _kill_worker(self) -> None:
        self._crowd.kill_one(self._chance)
        self.done["workers killed"] += 1

    def _kill_server(self) -> None:
        self._server.kill()
        self._stopping.wait(self._chance.uniform(0, 1))
        self._server.start()
        allow(self._server, self._user)
        self.done["server killed and restarted"] += 1


class Crowd:
    """The working processes; one that was killed is followed by another."""

    def __init__(self, url: str, directory: Path, number: int) -> None:
        self._directory = directory
        self._words = [sys.executable, str(Path(__file__).with_name("soak_work.py")), url, str(directory)]
        self._number = str(number)
        self._made = 0
        self._working: list[subprocess.Popen[bytes]] = []

    def start_one(self) -> None:
        self._made += 1
        self._working.append(subprocess.Popen([*self._words, f"w{self._made}", self._number]))

    def kill_one(self, chance: random.Random) -> None:
        """Kill a process in the middle of whatever it does, and start another."""
        victim = self._working.pop(chance.randrange(len(self._working)))
        victim.kill()
        victim.wait()
        self.start_one()

    def wait_until_at_work(self) -> None:
        """Wait until each has begun, or has ended with an error already."""
        while len(Journal.names(self._directory)) < self._made and all(process.poll() is None for process in self._working):
            time.sleep(0.05)

    def end(self) -> list[int]:
        """Let all come to their end and wait for it; their exit codes."""
        (self._directory / OVER).touch()
        return [process.wait() for process in self._working]


def allow(server: Server, user: str) -> None:
    """Make the user of the workers."""
    assert server.ask("ACL", "SETUSER", "worker", "reset", "on", ">secret", "~*", "&*", "+@all", *USERS[user]) == b"+OK\r\n"


def soak(options: argparse.Namespace, server: Server, relay: Proxy, directory: Path) -> int:
    """Work, break things, and reckon; how many violations were found."""
    allow(server, options.user)
    with Database(server.url) as db:
        seed(db)
    chance = random.Random(options.seed)
    crowd = Crowd(relay.url.replace("redis://", "redis://worker:secret@"), directory, options.seed)
    for _ in range(options.processes):
        crowd.start_one()
    crowd.wait_until_at_work()
    chaos = Chaos(server, relay, crowd, options.user, chance)
    chaos.start()
    time.sleep(options.minutes * 60)
    chaos.stop()
    codes = crowd.end()
    violations = [f"a worker ended with {code}" for code in codes if code]
    violations += reckon(server, directory, chaos)
    for violation in violations[:50]:
        print("VIOLATION", violation)
    print(f"violations: {len(violations)}")
    return len(violations)


def reckon(server: Server, directory: Path, chaos: Chaos) -> list[str]:
    """Print what was done, and find what came of it that should not have."""
    with redis.Redis(port=server.port, decode_responses=True) as store:
        reckoning = Reckoning(Journal.read(directory), store)
        violations = list(reckoning.violations())
    print(f"deeds: {reckoning.ends.total()} ({', '.join(f'{count} {kind}' for kind, count in reckoning.kinds.most_common())})")
    print(f"ends: {', '.join(f'{count} {end}' for end, count in reckoning.ends.most_common())}")
    print(f"found out: {', '.join(f'{count} {what}' for what, count in sorted(reckoning.settled.items()))}")
    print(f"went wrong: {', '.join(f'{what} {count}' for what, count in sorted(chaos.done.items()))}")
    time.sleep(2.5)
    with Database(server.url) as db:
        print(f"expired rows swept: {db.sweep(Token)}")
        for model in MODELS:
            report = db.check(model)
            violations += [f"check of {model.__name__}: {problem}" for problem in report.problems]
            print(f"check of {model.__name__}: {'ok' if report.ok else report.problems[:3]}")
        leftovers = list(db.client.scan_iter("token:*"))
        violations += [f"left over of an expired row: {key!r}" for key in leftovers]
    return violations


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--user", choices=USERS, default="script")
    options = parser.parse_args()
    words = f"{options.processes} processes on {options.server} by {options.user} for {options.minutes:g} minutes, seed {options.seed}"
    print(words, flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="redisorm-soak-") as directory,
        Server(options.server, "--appendonly", "yes", "--appendfsync", "always") as server,
        Proxy(server.port) as relay,
    ):
        sys.exit(1 if soak(options, server, relay, Path(directory)) else 0)


if __name__ == "__main__":
    main()

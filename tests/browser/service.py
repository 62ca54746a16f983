"""The order service of `examples/orders` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType

__all__ = ["Service"]

ROOT = Path(__file__).parents[2]


class Service:
    """The service at work, `python -m examples.orders` on a free port; a context manager.

    Attributes:
        process: Its process.
        url: Where it listens.
    """

    def __init__(self, *arguments: str) -> None:
        words = [sys.executable, "-W", "error", "-m", "examples.orders", "--port", "0", *arguments]
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        told = self.process.stdout.readline().split()
        assert told[:1] == ["open"], "the service did not start"
        self.url = told[1]

    def order(self, sku: str, quantity: int) -> None:
        """Place an order without a browser."""
        body = json.dumps({"sku": sku, "quantity": quantity}).encode()
        request = urllib.request.Request(f"{self.url}/api/orders", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 201

    def end(self) -> int:
        """Ask the process to end and return its exit status."""
        self.process.terminate()
        return self.process.wait(10)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.end()
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()

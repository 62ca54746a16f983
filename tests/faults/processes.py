"""Clients in processes of their own, for tests that need several of them, their clocks wrong, or one of them killed.

A client is a function of a module, named as `module:function`. It may tell the test something, and hear from it. Clients are forked
from a process that has imported all of it already, so that one starts in hundredths of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from importlib import import_module
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

__all__ = ["Client", "hear", "heard", "start_together", "tell"]

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(
    [
        *(f"tests.faults.{name}" for name in ("billing", "hits", "keepers", "loads", "locks", "processes", "queues", "worker")),
        *("redisorm.drivers.blocking", "redisorm.drivers.awaiting"),
    ]
)


class Client:
    """A function at work in a process of its own: `with Client("tests.faults.hits:hammer", url=url) as client: client.result()`.

    Args:
        function: `module:function`.
        clock_s: How wrong the clock of the process is, in seconds: `time.time` and its like say so.
        **arguments: What the function is called with.
    """

    def __init__(self, function: str, *, clock_s: float = 0, **arguments: Any) -> None:
        self._pipe, theirs = _forking.Pipe()
        self._process = _forking.Process(target=_main, args=(theirs, function, clock_s, arguments))
        self._process.start()
        theirs.close()

    @property
    def running(self) -> bool:
        """Whether the function is still at work; a suspended one is."""
        return self._process.is_alive()

    def told(self, timeout_s: float = 60) -> Any:
        """Wait for the next thing that the function tells."""
        assert self._pipe.poll(timeout_s), f"nothing was told in {timeout_s:g} s"
        return self._pipe.recv()

    def say(self, word: str) -> None:
        """Let the function hear a word."""
        self._pipe.send(word)

    def result(self, timeout_s: float = 60) -> Any:
        """Wait for the end and return what the function returned."""
        result = self.told(timeout_s)
        self._process.join(timeout_s)
        assert self._process.exitcode == 0
        return result

    def suspend(self) -> None:
        """Let the process stand still, until `resume()`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended process go on."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End the process as a crash does."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self._pipe.close()


def start_together(*clients: Client) -> None:
    """Wait until each has told that it is ready, and let all begin: each calls `tell("ready")` and `hear()`."""
    for client in clients:
        assert client.told() == "ready"
    for client in clients:
        client.say("begin")


# ---- in the process of the client ------------------------------------------------------------------------------------------

_test: Connection


def tell(what: Any) -> None:
    """Tell the test something."""
    _test.send(what)


def hear() -> str:
    """Wait for a word of the test."""
    return str(_test.recv())


def heard() -> bool:
    """Whether the test has said something."""
    return _test.poll()


def _set_clock_wrong(seconds: float) -> None:
    import time

    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def _main(test: Connection, function: str, clock_s: float, arguments: dict[str, Any]) -> None:
    global _test  # noqa: PLW0603 - a process has one test
    _test = test
    warnings.simplefilter("error")
    _set_clock_wrong(clock_s)
    module, name = function.split(":")
    tell(getattr(import_module(module), name)(**arguments))

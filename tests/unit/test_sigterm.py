"""SIGTERM ends the runs of workers in the main thread, all of them, and then what handled it before has its turn."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from redisorm.drivers.process import stopping_on_sigterm


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What heard of the signal, in order; `before` was there before."""
    heard: list[str] = []
    former = signal.signal(signal.SIGTERM, lambda *_: heard.append("before"))
    yield heard
    signal.signal(signal.SIGTERM, former)


def enter(heard: list[str], *names: str) -> list[Callable[[], Any]]:
    """Enter one block for each name; the functions that leave them."""
    leave: list[Callable[[], Any]] = []
    for name in names:
        stack = ExitStack()
        stack.enter_context(stopping_on_sigterm(partial(heard.append, name)))
        leave.append(stack.close)
    return leave


def test_what_handled_the_signal_before_is_called_when_the_run_has_ended(told: list[str]) -> None:
    with stopping_on_sigterm(lambda: told.append("worker")):
        signal.raise_signal(signal.SIGTERM)
        assert told == ["worker"]
    assert told == ["worker", "before"]
    signal.raise_signal(signal.SIGTERM)
    assert told == ["worker", "before", "before"]


def test_run_that_ends_by_itself_leaves_everything_as_it_was(told: list[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping_on_sigterm(lambda: told.append("worker")):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert told == []


@pytest.mark.parametrize("first", [0, 1])
def test_runs_may_end_in_any_order_and_each_is_stopped(told: list[str], first: int) -> None:
    leave = enter(told, "one", "two")
    signal.raise_signal(signal.SIGTERM)
    assert told == ["one", "two"]
    leave[first]()
    signal.raise_signal(signal.SIGTERM)
    assert told == ["one", "two", ("two", "one")[first]]
    leave[1 - first]()
    assert told[3:] == ["before"]


def test_signal_whose_default_is_to_end_the_process_is_used_up_by_the_run() -> None:
    heard: list[str] = []
    former = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with stopping_on_sigterm(lambda: heard.append("worker")):
            signal.raise_signal(signal.SIGTERM)
        assert heard == ["worker"]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, former)


def test_handler_installed_meanwhile_stays_and_may_pass_the_signal_on(told: list[str]) -> None:
    (leave,) = enter(told, "worker")
    ours: Any = signal.getsignal(signal.SIGTERM)

    def theirs(number: int, frame: Any) -> None:
        told.append("theirs")
        ours(number, frame)

    signal.signal(signal.SIGTERM, theirs)
    signal.raise_signal(signal.SIGTERM)
    assert told == ["theirs", "worker"]
    leave()
    assert signal.getsignal(signal.SIGTERM) is theirs
    signal.raise_signal(signal.SIGTERM)
    assert told[2:] == ["theirs", "before"]
    (leave,) = enter(told, "another")
    signal.raise_signal(signal.SIGTERM)
    leave()
    assert told[4:] == ["another", "theirs", "before"]


def test_other_threads_leave_signals_alone(told: list[str]) -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with stopping_on_sigterm(lambda: told.append("worker")):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]

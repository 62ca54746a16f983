"""What tests of messages and of what goes on in the background share: waiting for it, and what is logged of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from redisorm import Database, Message

__all__ = ["Tick", "lines_at", "soon", "soon_async", "subscribers"]


class Tick(Message, channel="tick"):
    n: int


def soon(condition: Callable[[], Any], within_s: float = 5.0) -> Any:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + within_s
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert found
    return found


async def soon_async(condition: Callable[[], Any], within_s: float = 5.0) -> Any:
    """Wait for what happens in another task."""
    deadline = time.monotonic() + within_s
    while not (found := condition()) and time.monotonic() < deadline:  # noqa: ASYNC110 - a test waits for anything
        await asyncio.sleep(0.005)
    assert found
    return found


def subscribers(db: Database, channel: str) -> int:
    """How many subscribe to a channel."""
    return int(db.client.pubsub_numsub(channel)[0][1])


@contextmanager
def lines_at(level: int, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged at a level."""
    found: list[str] = []
    with caplog.at_level(logging.INFO, logger="redisorm"):
        yield found
    found += [record.getMessage() for record in caplog.records if record.levelno == level]

"""Performing a flow with the driver of either colour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from redisorm.commands import Flow
from redisorm.drivers.database import Database

__all__ = ["Perform", "awaiting", "blocking"]

Perform: TypeAlias = Callable[[Database, Flow[Any]], Any]


def blocking(db: Database, flow: Flow[Any]) -> Any:
    """Perform it in this thread."""
    return db.run(flow)


def awaiting(db: Database, flow: Flow[Any]) -> Any:
    """Perform it in an event loop of its own."""
    return asyncio.run(db.arun(flow))

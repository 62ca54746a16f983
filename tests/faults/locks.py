"""Holders of a lock that run in processes of their own."""

from __future__ import annotations

import time
from typing import Any

import redis

from redisorm import Database, Lock, LockLost
from tests.faults.processes import tell

__all__ = ["count", "count_unlocked", "hold", "hold_and_tell"]


def _add_one(client: Any) -> None:
    read = int(client.get("count") or 0)
    time.sleep(0.001)
    client.set("count", read + 1)


def hold(url: str, ttl: float) -> None:
    """Take the lock, say so, and hold it until killed."""
    with Database(url) as db, Lock(db, "stock", ttl=ttl) as lock:
        tell(lock.fence)
        time.sleep(60)


def hold_and_tell(url: str, ttl: float, seconds: float) -> str:
    """Hold the lock for a while; return what came of it."""
    with Database(url) as db:
        try:
            with Lock(db, "stock", ttl=ttl) as lock:
                tell(lock.fence)
                time.sleep(seconds)
        except LockLost:
            return "lost"
    return "held"


def count(url: str, times: int) -> None:
    """Add one to a number by reading and writing, under the lock."""
    with Database(url) as db:
        client: Any = db.client
        for _ in range(times):
            with Lock(db, "stock", ttl=5, wait=60):
                _add_one(client)


def count_unlocked(url: str, times: int) -> None:
    """Do the same without a lock."""
    client: Any = redis.Redis.from_url(url)
    for _ in range(times):
        _add_one(client)

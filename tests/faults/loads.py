"""Callers of a cached function that run in processes of their own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from redisorm import Cache, Database
from tests.faults.processes import hear, tell

__all__ = ["ask", "ask_naively", "load_for_ever"]


def _slowly(client: Any) -> str:
    client.incr("loads")
    time.sleep(0.5)
    return "value"


def ask(url: str, threads: int) -> list[str]:
    """Ask for one value from many threads, all at the same moment, when the test says so."""
    with Database(url) as db, ThreadPoolExecutor(threads) as pool:
        client: Any = db.client

        @Cache(db, ttl=60).memoize("x:{number}")
        def load(number: int) -> str:
            return _slowly(client)

        tell("ready")
        hear()
        return sorted(set(pool.map(load, [1] * threads)))


def ask_naively(url: str, threads: int) -> list[str]:
    """Do the same with GET and SETEX."""
    client: Any = redis.Redis.from_url(url, max_connections=threads)

    def load(_: int) -> str:
        found = client.get("naive")
        if found is not None:
            return str(found.decode())
        value = _slowly(client)
        client.set("naive", value, ex=60)
        return value

    with ThreadPoolExecutor(threads) as pool:
        tell("ready")
        hear()
        return sorted(set(pool.map(load, [1] * threads)))


def load_for_ever(url: str, lease: float) -> None:
    """Begin to load, say so, and never end."""
    with Database(url) as db:

        @Cache(db, ttl=60, lease=lease).memoize("x:{number}")
        def load(number: int) -> str:
            tell("loading")
            time.sleep(60)
            return "never"

        load(1)

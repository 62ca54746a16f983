"""Databases in which the same is done in each way that a commit has of going about many rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from redisorm import Database
from tests.faults.users import allow_all, as_user
from tests.servers import Server

__all__ = ["ways"]


@contextmanager
def ways(server: Server) -> Iterator[list[tuple[Database, redis.Redis, bool]]]:
    """Databases, their stores and whether rows go together: by the script, under WATCH, and one by one."""
    allow_all(server)
    urls = [server.url.removesuffix("/0") + f"/{number}" for number in range(3)]
    databases = [Database(urls[0]), Database(as_user(urls[1], "watching")), Database(urls[2])]
    stores = [redis.Redis.from_url(url) for url in urls]
    try:
        yield list(zip(databases, stores, (True, True, False), strict=True))
    finally:
        for database, one in zip(databases, stores, strict=True):
            database.close()
            one.close()

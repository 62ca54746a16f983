"""Rows that expire: nothing of a former life gets in the way of what comes after it, and nothing is left behind."""

from __future__ import annotations

import time

from redisorm import Database, Field, RedisModel, Session


class Guest(RedisModel, prefix="guest", ttl=1000):
    id: int
    email: str | None = Field(default=None, unique=True)


def store(db: Database, *objects: RedisModel) -> None:
    with Session.begin(db) as session:
        session.add_all(objects)


def test_row_that_comes_back_does_not_free_what_another_took_over_meanwhile(db: Database) -> None:
    store(db, Guest(id=1, email="a"))
    for key in ("guest:1", "guest::unique:email:a"):
        db.client.pexpire(key, 1)
    time.sleep(0.01)
    store(db, Guest(id=2, email="a"))

    store(db, Guest(id=1))

    assert db.client.get("guest::unique:email:a") == b"2"

"""Models with indexes and unique values that tests share: one for each way a row can stand in them."""

from __future__ import annotations

from redisorm import Field, GeoPoint, RedisModel, SortedSet

__all__ = ["Citizen", "Guest", "Member", "Stamp", "Talk", "Trophy"]


class Citizen(RedisModel, prefix="citizen"):
    """An index of each kind, over fields and companions: `ZADD citizen::city:Oslo inf 1`, `GEOADD citizen::place 10.5 59.5 1`."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = Field(default=[], index=True)
    note: str = ""


class Member(RedisModel, prefix="member", unique_together=(("city", "number"),)):
    """Unique values, of one field and of two: `SET member::unique:email:a@x 1`."""

    id: int
    email: str | None = Field(default=None, unique=True)
    city: str | None = None
    number: int = 0


class Guest(RedisModel, prefix="guest", ttl=60):
    """Rows that expire, and the memo of what they own: `HSET guest:1::memo city:Oslo "" unique:email:a@x ""`."""

    id: int
    city: str | None = Field(default=None, index=True)
    email: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)
    note: str = ""


class Stamp(RedisModel, prefix="stamp", ttl=60, ttl_refresh="never"):
    """Rows whose life nothing restarts: a write leaves their entries where it need not move them."""

    id: int
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    tags: set[str] = Field(default=set(), index=True)


class Talk(RedisModel, prefix="talk", versioned=True):
    """A versioned row with an index and a list: `LRANGE talk:1:jobs 0 -1` is part of what a commit relies on."""

    id: int
    title: str = Field(default="", index=True)
    jobs: list[str] = Field(default=[], index=True)


class Trophy(RedisModel, prefix="trophy"):
    """An indexed sorted set, whose scores no script compares."""

    id: int
    wins: SortedSet[str] = Field(default=SortedSet(), index=True)

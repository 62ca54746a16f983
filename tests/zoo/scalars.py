"""A class with an index on a field of each scalar type, and values for them, common and odd."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from redisorm import Field, RedisModel

__all__ = ["CHOICES", "Colour", "Scalars"]

UTC = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Colour(Enum):
    RED = "red"
    TAN = "tan:1"


class Scalars(RedisModel, prefix="scalars"):
    """An index of every kind on a row that is its hash alone."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    size: float = Field(default=0.0, index=True)
    price: Decimal | None = Field(default=None, index=True)
    seen: datetime | None = Field(default=None, index=True)
    born: date = Field(default=date(2000, 1, 1), index=True)
    at: time = Field(default=time(), index=True)
    took: timedelta = Field(default=timedelta(), index=True)
    good: bool = Field(default=False, index=True)
    colour: Colour = Field(default=Colour.RED, index=True)
    token: UUID = Field(default=UUID(int=0), index=True)
    raw: bytes = Field(default=b"", index=True)
    rank: int | None = Field(default=7, index=True)
    note: str = ""


CHOICES: dict[str, tuple[Any, ...]] = {
    "name": ("", "a", "a\0b", "\1", "é", "Ann Lee"),
    "city": (None, "", "Oslo", "São:Paulo%", "{x}"),
    "age": (0, 1, -5, 2**53, 2**53 + 1),
    "size": (0.0, -0.0, 0.1, 1e300, float("inf"), float("nan")),
    "price": (None, Decimal("1.0"), Decimal("1.00"), Decimal("0.1"), Decimal("1E+3")),
    "seen": (None, UTC, UTC.astimezone(timezone(timedelta(hours=5))), UTC + timedelta(microseconds=1)),
    "born": (date(1970, 1, 1), date(1, 1, 1), date(2026, 5, 5)),
    "at": (time(), time(23, 59, 59, 999_999)),
    "took": (timedelta(), timedelta(microseconds=-1), timedelta(days=3)),
    "good": (True, False),
    "colour": tuple(Colour),
    "token": (UUID(int=0), UUID(int=2**127)),
    "raw": (b"", b"\xff\0:", b"a"),
    "rank": (None, 7, 8),
    "note": ("", "x", "y"),
    "words": ([], ["a"], ["a", "b"]),
}
"""For each field some values; `words` is for classes that have such a field too."""

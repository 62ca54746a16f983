"""What a type checker must see of conditions and queries."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from typing_extensions import assert_type

from redisorm import AsyncQuery, AsyncRedisModel, AsyncSession, Database, Field, GeoPoint, Query, RedisModel, Session, col, desc
from redisorm.expressions import Column, Expression, Order


class Address(BaseModel):
    city: str = Field(default="", index=True)


class User(RedisModel):
    id: int
    name: str = Field(default="", index="lex")
    email: str | None = Field(default=None, unique=True)
    age: int = Field(default=0, index=True)
    worth: Decimal = Field(default=Decimal(0), index=True)
    seen: datetime | None = Field(default=None, index=True)
    tags: set[str] = Field(default=set(), index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    address: Address | None = None


class AsyncUser(AsyncRedisModel):
    id: int
    age: int = Field(default=0, index=True)


# ---- fields ---------------------------------------------------------------------------------------------------------------

assert_type(User.age, int)
assert_type(col(User.age), Column[int])
assert_type(col(User.email), Column[str])
assert_type(col(User.seen), Column[datetime])
assert_type(col(User.tags), Column[set[str]])
assert_type(col(User.place), Column[GeoPoint])
assert_type(col(col(User.age)), Column[int])
assert_type(col(User.address), Address)
assert_type(col(User.address).city, str)
assert_type(col(col(User.address).city), Column[str])
print(col(User.address).street)  # error: no such field
assert_type(desc(User.age), Order)
assert_type(desc(col(User.age)), Order)

# ---- conditions -----------------------------------------------------------------------------------------------------------

assert_type(User.age >= 18, bool)
assert_type(col(User.age) >= 18, Expression)
assert_type(col(User.age) == 18, Expression)
assert_type(col(User.age) != 18, Expression)
assert_type(col(User.email) == None, Expression)  # noqa: E711
assert_type(col(User.email).is_(None), Expression)
assert_type(col(User.email).is_not(None), Expression)
assert_type(col(User.age).in_([1, 2]), Expression)
assert_type(col(User.age).in_({1, 2}), Expression)
assert_type(col(User.age).between(1, 2), Expression)
assert_type(col(User.name).startswith("A"), Expression)
assert_type(col(User.tags).contains("x"), Expression)
assert_type(col(User.place).within(km=1, lon=2, lat=3.5), Expression)
assert_type((col(User.age) < 18) & (col(User.age) > 1) | ~(col(User.name) == "x"), Expression)
assert_type(col(User.seen) < datetime.now(), Expression)
print(col(User.age) >= "x")  # error: no number
col(User.age).between(1, "x")  # error: no number
col(User.age).in_(["x"])  # error: no numbers
col(User.age).startswith("x")  # error: no text
col(User.name).startswith(3)  # error: no prefix
col(User.name).begins("x")  # error: no such method
col(User.place).within(1, 2, 3)  # error: positional
print(User.age >= "x")  # error: no number

# ---- queries --------------------------------------------------------------------------------------------------------------

query = User.find(User.age >= 18, col(User.name).startswith("A"), (User.age < 3) | (User.name != "x"), city="Oslo")
assert_type(query, Query[User])
assert_type(User.find(), Query[User])
assert_type(query.order_by(User.age, desc(User.name), col(User.seen)), Query[User])
assert_type(query.limit(3).offset(2), Query[User])
assert_type(query.all(), list[User])
assert_type(query.first(), User | None)
assert_type(query.one(), User)
assert_type(query.count(), int)
assert_type(query.exists(), bool)
assert_type(query.pks(), list[Any])
assert_type(query.update(age=3), int)
assert_type(query.delete(), int)
assert_type(query.explain(), str)
for user in query:
    assert_type(user, User)
assert_type(User.get_by(email="x"), User | None)
User.find("age >= 18")  # error: no condition
query.limit("3")  # error: no number


class Member(User):
    level: int = 0


assert_type(Member.find(User.age > 3).first(), Member | None)


def in_session(db: Database) -> None:
    with Session(db) as session:
        assert_type(session.find(User, User.age >= 18, name="x"), Query[User])
        assert_type(session.find(User).all(), list[User])
        assert_type(session.find(AsyncUser).all(), list[AsyncUser])
        assert_type(session.get_by(User, email="x"), User | None)
        session.find(int)  # error: no model


async def awaited(db: Database) -> None:
    found = AsyncUser.find(AsyncUser.age >= 18)
    assert_type(found, AsyncQuery[AsyncUser])
    assert_type(found.order_by(desc(AsyncUser.age)).limit(1), AsyncQuery[AsyncUser])
    assert_type(await found.all(), list[AsyncUser])
    assert_type(await found.first(), AsyncUser | None)
    assert_type(await found.one(), AsyncUser)
    assert_type(await found.count(), int)
    assert_type(await found.exists(), bool)
    assert_type(await found.pks(), list[Any])
    assert_type(await found.update(age=3), int)
    assert_type(await found.delete(), int)
    assert_type(await found.explain(), str)
    async for user in found:
        assert_type(user, AsyncUser)
    assert_type(await AsyncUser.get_by(id=1), AsyncUser | None)
    async with AsyncSession(db) as session:
        assert_type(session.find(AsyncUser), AsyncQuery[AsyncUser])
        assert_type(session.find(User), AsyncQuery[User])
        assert_type(await session.get_by(AsyncUser, id=1), AsyncUser | None)
    list(found)  # error: async for

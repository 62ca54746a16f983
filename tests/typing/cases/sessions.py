"""What a type checker must see of sessions, databases and sorted sets."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager

from typing_extensions import assert_type

import redisorm
from redisorm import AsyncRedisModel, AsyncSession, CommitResult, Database, DecodeError, RedisModel, Session, SortedSet


class User(RedisModel):
    id: int
    name: str = ""


class AsyncUser(AsyncRedisModel):
    id: int
    name: str = ""


def transfer(session: Session) -> int:
    return 1


async def transfer_async(session: AsyncSession) -> int:
    return 1


db = redisorm.connect("memory://", namespace="shop")
assert_type(db, Database)
assert_type(db.namespace, str)

with Session(db) as session:
    assert_type(session, Session)
    assert_type(session.get(User, 1), User | None)
    assert_type(session.get(AsyncUser, 1), AsyncUser | None)
    assert_type(session.get_one(User, 1), User)
    assert_type(session.get_many(User, [1, 2]), list[User | None])
    assert_type(session.get_many(User, [1, 2], on_error="return"), list[User | DecodeError | None])
    assert_type(session.exists(User, 1), bool)
    session.add(User(id=1), ttl=600)
    session.add_all([User(id=1), AsyncUser(id=2)])
    session.delete(User(id=1))
    session.increment(User(id=1), "id", 2)
    session.expire(User(id=1), None)
    session.refresh(User(id=1))
    session.expunge(User(id=1))
    assert_type(User(id=1) in session, bool)
    result = session.commit()
    assert_type(result, CommitResult)
    assert_type(result.commands, int)
    assert_type(result.round_trips, int)
    assert_type(result.objects, int)
    session.commit(batch=1000)
    session.add(3)  # error: no model
    session.get(int, 1)  # error: no model

assert_type(Session.begin(db), AbstractContextManager[Session])
with Session.begin(db) as begun, begun.begin() as same:
    assert_type(begun, Session)
    assert_type(same, Session)
assert_type(Session.retry(transfer, db, attempts=3), int)
assert_type(Session.retry(lambda session: session.get_one(User, 1)), User)
Session.retry(transfer_async(AsyncSession()))  # error: no function


class Shop(Session):
    pass


with Shop(db) as shop:
    assert_type(shop, Shop)
with Shop.begin(db) as shop_begun:
    assert_type(shop_begun, Shop)


async def awaited() -> None:
    async with AsyncSession(db) as session:
        assert_type(session, AsyncSession)
        assert_type(await session.get(AsyncUser, 1), AsyncUser | None)
        assert_type(await session.get(User, 1), User | None)
        assert_type(await session.get_one(User, 1), User)
        assert_type(await session.get_many(User, [1, 2]), list[User | None])
        assert_type(await session.get_many(User, [1, 2], on_error="return"), list[User | DecodeError | None])
        assert_type(await session.exists(User, 1), bool)
        session.add(User(id=1), ttl=600)
        await session.refresh(User(id=1))
        assert_type(await session.commit(), CommitResult)
    assert_type(AsyncSession.begin(db), AbstractAsyncContextManager[AsyncSession])
    async with AsyncSession.begin(db) as begun, begun.begin() as same:
        assert_type(begun, AsyncSession)
        assert_type(same, AsyncSession)
    assert_type(await AsyncSession.retry(transfer_async, db), int)
    print(session.commit().objects)  # error: not awaited


scores = SortedSet[str]({"a": 1})
assert_type(scores, SortedSet[str])
assert_type(scores["a"], float)
assert_type(scores.top(3), list[tuple[str, float]])
assert_type(scores.bottom(3), list[tuple[str, float]])
assert_type(scores.between(1, 2), list[tuple[str, float]])
assert_type(scores.rank("a"), int | None)
assert_type(list(scores), list[str])
assert_type(scores.copy(), SortedSet[str])
scores.add("a", 2)
scores["a"] = 2
scores.add(1, 2)  # error: member

"""Sessions on every server: what one writer promises another, and what time does to rows."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from redisorm import (
    AlreadyExistsError,
    AsyncRedisModel,
    AsyncSession,
    Database,
    Field,
    NotFoundError,
    RedisModel,
    Session,
    StaleObjectError,
    UnsupportedServerError,
)


class User(RedisModel, prefix="user"):
    id: int
    name: str = ""
    age: int = Field(default=0, ge=0)
    tags: set[str] = set()
    jobs: list[str] = []


class AsyncUser(AsyncRedisModel, prefix="user"):
    id: int
    name: str = ""
    age: int = 0


class Account(RedisModel, prefix="account", versioned=True):
    id: int | None = None
    balance: int = 0


class Token(RedisModel, prefix="token", ttl=100):
    id: str
    text: str = ""
    scopes: set[str] = set()


def guarded_round_trips(db: Database) -> int:
    """One where a script verifies and writes; two where there are none, for WATCH and EXEC."""
    return 2 if "memory" in repr(db) else 1


def add(db: Database, *objects: RedisModel) -> None:
    with Session.begin(db) as session:
        session.add_all(objects)


def test_everything_goes_in_one_transaction(db: Database) -> None:
    add(db, User(id=1, name="Ann", tags={"a"}), User(id=2))
    with Session(db) as session:
        ann = session.get_one(User, 1)
        ann.age += 1
        ann.tags.add("b")
        ann.jobs.append("paint")
        session.delete(session.get_one(User, 2))
        session.add(User(id=3), ttl=60)

        result = session.commit()

    assert (result.objects, result.round_trips) == (3, guarded_round_trips(db))
    assert db.client.keys("user:2*") == []
    with Session(db) as session:
        assert session.get_one(User, 1) == User(id=1, name="Ann", age=1, tags={"a", "b"}, jobs=["paint"])
        assert session.get(User, 2) is None


def test_update_never_brings_a_deleted_row_back(db: Database) -> None:
    add(db, User(id=1, name="Ann"))
    with Session(db) as session:
        ann = session.get_one(User, 1)
        db.client.delete("user:1")
        ann.name = "Bob"

        with pytest.raises(StaleObjectError) as caught:
            session.commit()
        session.rollback()

    assert caught.value.key == "user:1"
    assert not db.client.exists("user:1")


def test_two_sessions_race_for_a_versioned_row(db: Database) -> None:
    add(db, Account(id=1))
    with Session(db) as one, Session(db) as two:
        one.get_one(Account, 1).balance = 1
        two.get_one(Account, 1).balance = 2
        one.commit()
        with pytest.raises(StaleObjectError):
            two.commit()
        two.rollback()


def test_retry_loses_no_update_among_threads(db: Database) -> None:
    add(db, Account(id=1))

    def deposit(_: int) -> None:
        def once(session: Session) -> None:
            session.get_one(Account, 1).balance += 1

        Session.retry(once, db, attempts=100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deposit, range(80)))

    with Session(db) as session:
        assert session.get_one(Account, 1).balance == 80


def test_create_lets_exactly_one_win(db: Database) -> None:
    def create(number: int) -> bool:
        try:
            with Session(db) as session:
                session._add_new(User(id=1, name=str(number)))
                session.commit()
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(24))) == 1


def test_automatic_keys_are_never_given_twice(db: Database) -> None:
    add(db, Account(id=5))

    def open_account(_: int) -> int | None:
        account = Account()
        add(db, account)
        return account.id

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(open_account, range(40)))
    db.client.delete("account::id:next")
    late = Account()
    add(db, late)

    assert sorted(numbers, key=int) == list(range(6, 46))  # type: ignore[arg-type]
    assert late.id not in {5, *numbers}


@pytest.mark.parametrize("count", [1500, 5000])
def test_large_commit_is_one_transaction(db: Database, count: int) -> None:
    with Session(db) as session:
        session.add_all(User(id=number, name=str(number)) for number in range(count))
        assert session.commit().objects == count
        for user in session.get_many(User, range(count)):
            assert user is not None
            user.age = 1
        assert session.commit().objects == count

    with Session(db) as session:
        assert [user and user.age for user in session.get_many(User, range(count))] == [1] * count


def test_commit_in_batches(db: Database) -> None:
    with Session(db) as session:
        session.add_all(User(id=number) for number in range(25))
        assert session.commit(batch=10).round_trips == 3 * guarded_round_trips(db)
    assert len(db.client.keys("user:*")) == 25


def test_life_of_class_object_and_row(db: Database) -> None:
    token = Token(id="a", scopes={"r"})
    add(db, token)
    assert db.client.pexpiretime("token:a") == db.client.pexpiretime("token:a:scopes")

    with Session(db) as session:
        session.add(token, ttl=timedelta(seconds=1000))
        session.commit()
        token.scopes.add("w")
        session.commit()
        assert 900_000 < db.client.pttl("token:a") <= 1_000_100  # the offset of a clock is known to half a round trip
        assert db.client.pexpiretime("token:a") == db.client.pexpiretime("token:a:scopes")
        session.expire(token, None)
        session.commit()
        token.text = "later"
        session.commit()
        assert db.client.pttl("token:a") == db.client.pttl("token:a:scopes") == -1

    add(db, Token(id="a"))
    assert 90_000 < db.client.pttl("token:a") <= 100_100


def test_expired_row_is_gone_and_not_brought_back(db: Database) -> None:
    token = Token(id="a", scopes={"r"})
    with Session(db) as session:
        session.add(token, ttl=timedelta(milliseconds=150))
        session.commit()
        time.sleep(0.3)
        token.text = "late"
        with pytest.raises(StaleObjectError):
            session.commit()
        session.rollback()
        session.expunge(token)
        assert session.get(Token, "a") is None
    assert db.client.keys("token:*") == []


def test_reading_restarts_a_life_once_a_tenth_of_it_has_passed(db: Database) -> None:
    class Visit(RedisModel, prefix="visit", ttl=100, ttl_refresh="read"):
        id: int
        pages: list[str] = []

    add(db, Visit(id=1, pages=["a"]))
    db.client.expire("visit:1", 50)
    with Session(db) as session:
        visit = session.get_one(Visit, 1)
        assert db.client.pttl("visit:1") > 90_000
        assert db.client.pexpiretime("visit:1") == db.client.pexpiretime("visit:1:pages")
        db.client.expire("visit:1", 50)
        session.refresh(visit)
    assert db.client.pttl("visit:1") > 90_000


def test_field_with_a_life_of_its_own(db: Database, request: pytest.FixtureRequest) -> None:
    class Login(RedisModel, prefix="login"):
        id: int
        code: str | None = Field(default=None, ttl=1)

    with Session(db) as session:
        session.add(Login(id=1, code="123"))
        if "redis7" in request.node.callspec.id:
            with pytest.raises(UnsupportedServerError, match="HPEXPIREAT"):
                session.commit()
            assert not db.client.exists("login:1")
            session.rollback()
            return
        session.commit()
    deadline = time.monotonic() + 5
    while db.client.hexists("login:1", "code") and time.monotonic() < deadline:
        time.sleep(0.05)
    with Session(db) as session:
        assert session.get_one(Login, 1).code is None


def test_increments_are_exact_and_checked(db: Database) -> None:
    add(db, User(id=1))

    def once(_: int) -> None:
        with Session(db) as session:
            session.increment(session.get_one(User, 1), "age")
            session.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(once, range(40)))

    with Session(db) as session:
        user = session.get_one(User, 1)
        assert user.age == 40
        session.increment(user, "age", -41)
        with pytest.raises(ValueError, match="greater than or equal to 0"):
            session.commit()


def test_both_colours_share_rows_and_sessions(db: Database) -> None:
    async def main() -> None:
        async with AsyncSession(db) as session:
            session.add(AsyncUser(id=1, name="Ann"))
            session.add(User(id=2, name="Bob", tags={"x"}))
            assert (await session.commit()).objects == 2
            ann = await session.get_one(AsyncUser, 1)
            ann.age = 3
            session.increment(await session.get_one(User, 2), "age", 4)
            await session.commit()
            assert await session.exists(User, 2)
            with pytest.raises(NotFoundError):
                await session.get_one(User, 9)

    asyncio.run(main())
    asyncio.run(main())

    with Session(db) as session:
        assert session.get_one(User, 1).age == 3
        assert session.get_one(User, 2).age == 4


def test_cancelled_commit_is_all_or_nothing_and_leaves_the_pool_healthy(db: Database) -> None:
    async def commit(number: int) -> None:
        async with AsyncSession(db) as session:
            session.add_all(AsyncUser(id=number * 10 + n, name="x") for n in range(10))
            await session.commit()

    async def main() -> None:
        for number in range(60):
            task = asyncio.ensure_future(commit(number))
            await asyncio.sleep(number * 0.00003)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with AsyncSession(db) as session:
            for number in range(60):
                rows = await session.get_many(AsyncUser, range(number * 10, number * 10 + 10))
                assert len({row is None for row in rows}) == 1

    asyncio.run(main())

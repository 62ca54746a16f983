"""The verbs of models, outside and inside a session, in both colours, on every server."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from weakref import ref

import pytest

import redisorm
from redisorm import (
    AlreadyExistsError,
    AsyncRedisModel,
    AsyncSession,
    Database,
    DetachedInstanceError,
    NotFoundError,
    RedisModel,
    Session,
    SessionError,
    SessionInUseError,
)


class User(RedisModel, prefix="user"):
    id: int
    name: str = ""
    age: int = 0
    tags: set[str] = set()


class AsyncUser(AsyncRedisModel, prefix="user"):
    id: int
    name: str = ""
    age: int = 0
    tags: set[str] = set()


@pytest.fixture
def here(server_url: str) -> Iterator[Database]:
    with redisorm.connect(server_url, namespace="shop") as database:
        yield database


def test_life_of_an_object_is_asked_where_its_session_is(server_url: str) -> None:
    with redisorm.connect("memory://"), Database(server_url, namespace="elsewhere") as elsewhere:
        with Session(elsewhere) as session:
            session.add(user := User(id=1), ttl=60)
            session.commit()
            assert user.time_to_live() is not None

        async def main() -> None:
            async with elsewhere, AsyncSession(elsewhere) as session:
                session.add(user := AsyncUser(id=2), ttl=60)
                await session.commit()
                assert await user.time_to_live() is not None

        asyncio.run(main())


def test_verbs_of_a_model(here: Database) -> None:
    ann = User(id=1, name="Ann", tags={"a"}).save()

    assert (User.get(1), User.get_one(1), User.get_many([2, 1]), User.get(2)) == (ann, ann, [None, ann], None)
    assert (User.exists(1), User.exists(2), User.key_of(1), ann.pk) == (True, False, "shop:user:1", 1)
    assert User.create(id=2).age == 0
    with pytest.raises(AlreadyExistsError, match="shop:user:2"):
        User.create(id=2)
    with pytest.raises(NotFoundError, match="shop:user:3"):
        User.get_one(3)
    assert (ann.increment("age", 5), ann.age) == (5, 5)
    ann.expire(60)
    lives = ann.time_to_live()
    assert lives is not None
    assert timedelta(seconds=50) < lives <= timedelta(seconds=61)
    ann.expire(None)
    assert ann.time_to_live() is None
    here.client.hset("shop:user:1", "name", "Other")
    ann.refresh()
    assert ann.name == "Other"
    assert (ann.delete(), ann.delete()) == (True, False)
    for gone in (ann.refresh, ann.time_to_live):
        with pytest.raises(NotFoundError):
            gone()
    with pytest.raises(TypeError, match="cannot be incremented"):
        ann.increment("name")


def test_verbs_of_an_async_model(here: Database) -> None:
    async def main() -> None:
        ann = await AsyncUser(id=1, name="Ann", tags={"a"}).save()
        assert (await AsyncUser.get(1), await AsyncUser.get_one(1), await AsyncUser.get_many([2, 1])) == (ann, ann, [None, ann])
        assert (await AsyncUser.exists(1), AsyncUser.key_of(1)) == (True, "shop:user:1")
        await AsyncUser.create(id=2)
        with pytest.raises(AlreadyExistsError):
            await AsyncUser.create(id=2)
        assert (await ann.increment("age", 5), ann.age) == (5, 5)
        await ann.expire(60)
        assert await ann.time_to_live() is not None
        ann.tags.add("b")
        await ann.save()
        other = await AsyncUser.get_one(1)
        assert other.tags == {"a", "b"}
        await ann.refresh()
        assert (await ann.delete(), await ann.delete()) == (True, False)

    asyncio.run(main())


def test_verbs_join_the_open_session(here: Database) -> None:
    User(id=1).save()
    User(id=2).save()
    with Session() as session:
        ann = User.get_one(1)
        assert User.get(1) is ann is session.get(User, 1)
        ann.age = 3
        assert (ann.save(), User.get_one(2).delete(), ann.increment("age", 2)) == (ann, None, None)
        new = User.create(id=3)
        User(id=4).save(ttl=60)
        assert (User.exists(3), User.get(2), here.client.exists("shop:user:3")) == (True, None, 0)
        assert new in session
        session.commit()
        assert (ann.age, here.client.exists("shop:user:2", "shop:user:3", "shop:user:4")) == (2, 2)
        with pytest.raises(SessionError, match="another object"):
            User.create(id=3)
        User.create(id=9)
        here.client.hset("shop:user:9", "id", 9)
        with pytest.raises(AlreadyExistsError, match="shop:user:9"):
            session.commit()
        session.rollback()


def test_async_verbs_join_the_open_session(here: Database) -> None:
    async def main() -> None:
        async with AsyncSession() as session:
            ann = await AsyncUser(id=1).save()
            assert await AsyncUser.get(1) is ann
            await session.commit()
            ann.name = "x"
            await ann.increment("age", 1)
            assert await asyncio.create_task(AsyncUser.get(1)) is not ann  # a task of its own does not join
            await session.commit()
        assert (await AsyncUser.get_one(1)).age == 1

    asyncio.run(main())


def test_only_the_thread_that_entered_joins(here: Database) -> None:
    User(id=1).save()
    with Session() as session:
        mine = User.get_one(1)
        seen: list[User | None] = []
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: seen.append(context.run(User.get, 1)))
        thread.start()
        thread.join()

        assert seen == [mine]
        assert seen[0] is not mine
        assert contextvars.copy_context().run(User.get, 1) is mine
        assert session.is_open


def test_session_may_be_closed_in_another_context(here: Database) -> None:
    session = Session()
    contextvars.copy_context().run(session.__enter__)
    user = User(id=1)
    session.add(user)
    session.commit()
    user.name = "late"
    contextvars.copy_context().run(session.__exit__, None, None, None)

    assert not session.is_open
    assert User.get_one(1).name == ""


def test_nested_sessions_and_begin(here: Database) -> None:
    with Session.begin() as outer:
        User(id=1).save()
        with Session() as inner, inner.begin():
            User(id=2).save()
            assert (len(outer.new), len(inner.new)) == (1, 1)
        assert here.client.exists("shop:user:2") == 1
    assert here.client.exists("shop:user:1") == 1

    with pytest.raises(ZeroDivisionError), Session.begin() as session:
        session.add(User(id=1 // (len(session.new) * 0)))
    assert here.client.exists("shop:user:3") == 0


def test_leaving_with_waiting_work_warns_and_discards(here: Database, caplog: pytest.LogCaptureFixture) -> None:
    ann = User(id=1, tags={"a"}).save()
    with caplog.at_level(logging.WARNING, logger="redisorm"), Session() as session:
        session.add(ann)
        ann.name = "changed"
        ann.tags.add("b")
        session.add(User(id=2))

    assert (ann.name, ann.tags) == ("", {"a"})
    assert "1 new, 1 changed, 0 to delete" in caplog.text


class Plain(RedisModel, prefix="plain"):
    id: int
    name: str = ""


def test_clean_objects_are_let_go_and_changed_ones_kept(here: Database) -> None:
    User(id=1).save()
    for number in (1, 2):
        Plain(id=number).save()
    with Session() as session:
        clean = ref(session.get_one(Plain, 1))
        session.get_one(Plain, 2).name = "kept"
        session.get_one(User, 1).tags.add("kept")
        gc.collect()
        assert clean() is None
        assert {type(obj).__name__ for obj in session.dirty} == {"Plain", "User"}
        session.commit()
    assert (User.get_one(1).tags, Plain.get_one(2).name) == ({"kept"}, "kept")


def test_session_of_two_at_once_is_refused(here: Database, server_url: str) -> None:
    if server_url.startswith("memory"):
        pytest.skip("a store in this process never waits, so nothing happens at once")

    async def main() -> None:
        async with AsyncSession() as session:
            results = await asyncio.gather(*(session.get(AsyncUser, number) for number in range(2)), return_exceptions=True)
            assert sum(isinstance(result, SessionInUseError) for result in results) == 1

    asyncio.run(main())


def test_objects_of_nobody_and_of_others_are_refused(here: Database) -> None:
    ann = User(id=1).save()
    with Session() as one, Session() as two:
        for operation in (one.refresh, one.expunge, lambda obj: one.increment(obj, "age"), lambda obj: one.expire(obj, 5)):
            with pytest.raises(DetachedInstanceError):
                operation(ann)
        one.add(ann)
        with pytest.raises(SessionError, match="another open session"):
            two.add(ann)
        one.expunge(ann)
        two.add(ann)
    with pytest.raises(SessionError, match="closed"):
        one.add(ann)


def test_deleted_row_can_be_replaced_in_the_same_commit(here: Database) -> None:
    User(id=1, name="old", tags={"old"}).save()
    here.client.hset("shop:user:1", "unknown", "x")
    with Session() as session:
        session.delete(session.get_one(User, 1))
        session.add(User(id=1, name="new"))
        session.commit()

    assert User.get_one(1) == User(id=1, name="new")
    assert not here.client.hexists("shop:user:1", "unknown")

"""Queries on every server, in both colours: what they find, what they cost, and what others do meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError, computed_field, field_validator, model_validator

import redisorm
from redisorm import (
    AsyncRedisModel,
    AsyncSession,
    Database,
    Field,
    GeoPoint,
    MultipleFoundError,
    NotFoundError,
    QueryError,
    RedisModel,
    Session,
    UniqueViolationError,
    col,
    desc,
)
from redisorm.flows import candidates, collecting, gathering, searching, surveying
from redisorm.unitofwork import query as querying
from tests.servers import Server


class Address(BaseModel):
    city: str = Field(default="", index=True)


class User(RedisModel, prefix="user", unique_together=(("city", "name"),)):
    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int | None = Field(default=None, index=True)
    email: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    address: Address | None = None
    note: str = ""


class AsyncUser(AsyncRedisModel, prefix="user"):
    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int | None = Field(default=None, index=True)
    email: str | None = Field(default=None, unique=True)
    tags: set[str] = Field(default=set(), index=True)
    note: str = ""


class Job(RedisModel, prefix="job"):
    id: int
    status: str = Field(default="new", index=True)
    owner: str = ""


class Token(RedisModel, prefix="token", ttl=100):
    id: int
    kind: str = Field(default="", index=True)
    code: str | None = Field(default=None, unique=True)
    rank: int = Field(default=0, index=True)


class Cached(RedisModel, prefix="cached", ttl=100, ttl_refresh="read"):
    id: int
    kind: str = Field(default="", index=True)


class Plain(RedisModel, prefix="plain"):
    id: int
    name: str = ""


class Profile(RedisModel, prefix="plain:profile"):
    id: int


@pytest.fixture
def connected(server_url: str) -> Iterator[Database]:
    with redisorm.connect(server_url) as database:
        yield database


def add(database: Database, *objects: RedisModel) -> None:
    with Session.begin(database) as session:
        session.add_all(objects)


def ids(found: Any) -> list[int]:
    return [one.id for one in found]


def people() -> tuple[User, ...]:
    return (
        User(id=1, name="Ann", city="Oslo", age=31, email="ann@x", tags={"admin"}, place=GeoPoint(lon=10.7, lat=59.9)),
        User(id=2, name="Bob", city="Oslo", age=17, email="bob@x", address=Address(city="Oslo")),
        User(id=3, name="Al", city="Lima", age=34, tags={"admin", "staff"}),
        User(id=4, name="Alma", city=None, age=None, place=GeoPoint(lon=10.8, lat=59.9)),
    )


# ---- what they find ---------------------------------------------------------------------------------------------------------


def test_the_queries_of_the_manual(connected: Database) -> None:
    add(connected, *people())
    assert ids(User.find(User.city == "Oslo", col(User.age) >= 30).order_by(desc(User.age)).limit(10)) == [1]
    assert ids(User.find((col(User.age) < 18) | (User.city != "Oslo"), ~(col(User.city) == "Lima"))) == [2, 4]
    assert ids(User.find(col(User.city).in_(["Oslo", "Lima"]), col(User.age).between(30, 34))) == [1, 3]
    assert ids(User.find(col(User.name).startswith("Al")).order_by(User.name)) == [3, 4]
    assert ids(User.find(col(User.tags).contains("admin"))) == [1, 3]
    assert ids(User.find(col(User.place).within(km=10, lon=10.7, lat=59.9))) == [1, 4]
    assert ids(User.find(col(User.place).within(km=1, lon=10.7, lat=59.9))) == [1]
    assert ids(User.find(col(User.address).city == "Oslo")) == [2]
    assert ids(User.find(city="Oslo")) == [1, 2]
    assert ids(User.find(email=None)) == [3, 4]
    assert ids(User.find(col(User.age).is_(None))) == [4]
    assert ids(User.find(col(User.age).is_not(None)).order_by(desc(User.id))) == [3, 2, 1]
    assert ids(User.find().order_by(User.age)) == [2, 1, 3, 4]
    assert ids(User.find().order_by(desc(User.age))) == [3, 1, 2, 4]
    assert User.find(User.city == "Oslo").count() == 2
    assert User.find(User.city != "Oslo").count() == 2
    assert User.find().count() == 4
    assert User.find(User.city == "Oslo").order_by(User.age).pks() == [2, 1]
    assert User.find(User.city == "Pune").exists() is False
    assert User.find(User.city == "Lima").one().id == 3
    found = User.get_by(city="Lima", name="Al")
    assert found is not None
    assert found.id == 3
    with pytest.raises(MultipleFoundError):
        User.find(User.city == "Oslo").one()
    with pytest.raises(NotFoundError):
        User.find(User.city == "Pune").one()


def test_the_awaited_queries(server_url: str) -> None:
    async def main(database: Database) -> None:
        async with AsyncSession.begin(database) as session:
            session.add_all(AsyncUser(id=number, name=f"n{number}", city="Oslo", age=number, email=f"e{number}") for number in range(30))
        found = AsyncUser.find(AsyncUser.city == "Oslo", col(AsyncUser.age) >= 10)
        assert len(await found.all()) == 20
        assert await found.count() == 20
        assert [one.id async for one in found.order_by(desc(AsyncUser.age)).limit(3)] == [29, 28, 27]
        assert await found.order_by(AsyncUser.age).pks() == list(range(10, 30))
        first = await found.order_by(AsyncUser.age).first()
        assert first is not None
        assert (await AsyncUser.find(AsyncUser.id == 5).one()).id == first.id - 5
        assert await found.exists()
        by_email = await AsyncUser.get_by(email="e7")
        assert by_email is not None
        assert by_email.id == 7
        assert await found.update(city="Lima") == 20
        assert await AsyncUser.find(city="Lima").delete() == 20
        assert await AsyncUser.find().count() == 10
        assert "ZRANGE" in await AsyncUser.find(city="Oslo").explain()
        async with AsyncSession(database) as session:
            one = await session.get_one(AsyncUser, 3)
            assert await session.get_by(AsyncUser, email="e3") is one
            assert (await session.find(AsyncUser, AsyncUser.email == "e3").one()) is one
            assert (await AsyncUser.find(AsyncUser.email == "e3").one()) is one

    with redisorm.connect(server_url) as database:
        asyncio.run(main(database))


def test_odd_values_are_only_values(connected: Database) -> None:
    odd = ["a:b", "%", "", "*", "{x}", "a\0b", "\1", "x y", "é", "'\"", "user::all", "-inf", "(5", "a" * 2000]
    add(connected, *(User(id=number, name=text, city=text, email=text, tags={text}) for number, text in enumerate(odd)))

    for number, text in enumerate(odd):
        assert ids(User.find(city=text)) == [number]
        assert ids(User.find(User.name == text)) == [number]
        assert ids(User.find(User.email == text)) == [number]
        assert ids(User.find(col(User.tags).contains(text))) == [number]
        assert number in ids(User.find(col(User.name).startswith(text)))


# ---- what they cost ---------------------------------------------------------------------------------------------------------


def cost(database: Database, query: Any) -> int:
    before = database.traffic.round_trips
    query.all()
    return database.traffic.round_trips - before


def test_up_to_a_thousand_rows_are_two_or_three_round_trips(connected: Database) -> None:
    chance = random.Random(1)
    add(
        connected,
        *(
            User(id=number, name=f"{chance.choice('abc')}{number}", city=chance.choice(("Oslo", "Lima", None)), age=chance.randrange(100))
            for number in range(990)
        ),
    )
    User.find().first()  # connects

    assert cost(connected, User.find()) == 2
    assert cost(connected, User.find(city="Oslo")) == 2
    assert cost(connected, User.find(col(User.age) >= 30)) == 2
    assert cost(connected, User.find(col(User.age) >= 30).order_by(desc(User.age))) == 2
    assert cost(connected, User.find(col(User.name).startswith("a")).order_by(User.name)) == 2
    assert cost(connected, User.find(col(User.id).in_([1, 2, 3]))) == 2
    assert cost(connected, User.find(User.age == 5, User.city == "Oslo")) == 2
    for query in (
        User.find(User.city == "Oslo", col(User.age) >= 30),
        User.find((col(User.age) < 18) | (User.city != "Oslo"), ~(col(User.city) == "Lima")),
        User.find(col(User.city).in_(["Oslo", "Lima"]), col(User.age).between(30, 60)),
        User.find(User.city != "Oslo"),
        User.find(col(User.age) >= 30).order_by(User.name),
        User.find(col(User.age) >= 30, col(User.name).startswith("a")).order_by(User.name, desc(User.age)).limit(20),
        User.find(User.city == "Oslo").order_by(User.age, User.name),
        User.find(~col(User.name).startswith("a"), col(User.age) < 50).order_by(desc(User.age)),
    ):
        assert cost(connected, query) <= 3, query


def test_first_few_of_thousands_are_the_beginning_of_all(connected: Database) -> None:
    add(
        connected,
        *(
            User(id=n, name=f"n{n}", city="Oslo" if n % 2 else "Rome", age=n % 700, tags={"late"} if n % 700 >= 350 else {"soon"})
            for n in range(4000)
        ),
    )
    oslo, soon, late = User.city == "Oslo", col(User.tags).contains("soon"), col(User.tags).contains("late")

    for query, most in (
        (User.find(oslo).order_by(User.age), 4),
        (User.find(oslo, soon).order_by(User.age, desc(User.name)), 4),
        (User.find(oslo, soon).order_by(desc(User.age)), 6),  # they are the last: a page is read in vain
        (User.find(late).order_by(User.age), 6),
        (User.find(oslo, soon), 4),
        (User.find(soon, col(User.age) < 300), 4),
        (User.find(User.city != "Oslo"), 4),
        (User.find(oslo, col(User.age) >= 690), 3),
    ):
        every = ids(query)
        for start, count in ((0, 1), (0, 50), (40, 60), (300, 100), (0, 600)):
            assert ids(query.offset(start).limit(count)) == every[start : start + count], query
        assert cost(connected, query.limit(50)) <= most, query
        assert query.exists()

    User.get_one(3999).expire(1000)
    for query in (User.find(oslo, late), User.find(oslo, soon), User.find(User.city != "Rome")):
        assert ids(query.limit(5)) + ids(query.offset(5).limit(5)) == ids(query)[:10], query


def test_each_further_thousand_rows_are_one_round_trip(connected: Database) -> None:
    add(connected, *(User(id=number, name=f"n{number:04}", city="Oslo", age=number % 100) for number in range(2500)))
    User.find().first()  # connects

    for query in (User.find(), User.find(col(User.age) >= 0), User.find().order_by(desc(User.age)), User.find().order_by(User.name)):
        assert cost(connected, query) == 4, query
        before = connected.traffic.round_trips
        assert len({one.id for one in query}) == 2500
        assert connected.traffic.round_trips - before == 4, query


def test_each_further_thousand_rows_are_one_round_trip_awaited(server_url: str) -> None:
    async def main(database: Database) -> None:
        async with AsyncSession.begin(database) as session:
            session.add_all(AsyncUser(id=number, name=f"n{number}", age=number) for number in range(2500))
        before = database.traffic.round_trips
        assert [one.id async for one in AsyncUser.find().order_by(AsyncUser.age)] == list(range(2500))
        assert database.traffic.round_trips - before == 4

    with redisorm.connect(server_url) as database:
        asyncio.run(main(database))


def test_query_left_half_way_leaves_no_answer_on_its_connection(server_url: str) -> None:
    with redisorm.connect(server_url, max_connections=1, pool_timeout=1) as database:
        add(database, *(User(id=number, name=f"n{number}", age=number) for number in range(2500)))
        going = iter(User.find().order_by(User.age))
        for number, one in zip(range(1500), going, strict=False):
            assert one.id == number
            assert number % 500 or User.get_one(2000).age == 2000  # over the only connection there is
        going.close()  # type: ignore[attr-defined]
        assert User.find().order_by(User.age).limit(1).all()[0].id == 0


@pytest.mark.parametrize(("kind", "large"), [("redis7", 10_000), ("redis8", 1_000), ("valkey", 1_000)])
def test_large_sets_are_walked_in_bounded_steps(
    kind: str, large: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As large as it takes on one server; on the others a tenth counts as large."""
    for room in (candidates, collecting, gathering, querying, searching, surveying):
        monkeypatch.setattr(room, "SMALL", large)
    server: Server = request.getfixturevalue(kind)
    total = 21 * large // 10
    with redisorm.connect(server.flush().url) as database:
        with Session(database) as session:
            session.add_all(
                User(id=number, name=f"{'ab'[number % 2]}{number:05}", city="Oslo", age=number % 100, note=str(number))
                for number in range(total)
            )
            session.commit(batch=3000)
        database.client.config_resetstat()

        both = User.find(User.city == "Oslo", col(User.age) < 98)
        assert both.count() == total * 0.98
        assert sum(1 for _ in both) == total * 0.98
        ordered = User.find(User.city == "Oslo", col(User.name).startswith("a")).order_by(desc(User.age), desc(User.name))
        assert ids(ordered.limit(3)) == [total - 2, total - 102, total - 202]
        assert ids(ordered.offset(total // 100 - 1).limit(2)) == [98, total - 4]
        assert len(User.find(~col(User.name).startswith("a")).pks()) == total // 2
        pages = [ids(both.offset(start).limit(large // 2)) for start in range(0, 5 * large // 2, large // 2)]
        assert sorted(pk for page in pages for pk in page) == sorted(both.pks())
        said: dict[str, Any] = database.client.info("commandstats")
        whole = {"keys", "zinter", "zunion", "zdiff", "zinterstore", "zunionstore", "zrangestore"}
        assert not {f"cmdstat_{name}" for name in whole} & set(said)


# ---- stale entries, expiry --------------------------------------------------------------------------------------------------


def test_rows_changed_by_other_means_are_left_out(connected: Database, caplog: pytest.LogCaptureFixture) -> None:
    add(connected, *(User(id=number, name=f"n{number}", city=f"c{number // 6}", age=5) for number in range(12)))
    connected.client.delete("user:1", "user:4")
    connected.client.hset("user:2", mapping={"city": "Lima", "age": 9})
    connected.client.hset("user:3", "age", "none at all")

    with pytest.raises(redisorm.DecodeError) as unreadable:
        User.find(city="c0").all()
    assert unreadable.value.key == "user:3"
    connected.client.delete("user:3")

    assert ids(User.find(city="c0")) == [0, 5]
    assert ids(User.find(User.age == 5, User.city == "c0")) == [0, 5]
    first = User.find(city="c0").offset(1).first()
    assert first is not None
    assert first.id == 5
    pages = [ids(User.find().offset(start).limit(4)) for start in range(0, 12, 4)]
    assert pages == [[0, 10, 11, 2], [5, 6, 7, 8], [9]]
    assert caplog.records == []  # each read would tell of them again, until somebody repairs


def test_expired_rows_are_in_no_result_and_no_count(connected: Database) -> None:
    with Session.begin(connected) as session:
        for number in range(20):
            session.add(Token(id=number, kind="a", rank=number, code=f"c{number}"), ttl=0.05 if number % 2 else None)
    time.sleep(0.1)

    odd_ones_out = list(range(0, 20, 2))
    assert Token.find(col(Token.rank) >= 10).count() == 5
    assert Token.find(col(Token.rank) < 10).pks() == [0, 2, 4, 6, 8]
    assert Token.find(kind="a").count() == Token.find().count() == 10
    assert Token.find(Token.kind != "b").count() == 10
    assert ids(Token.find(kind="a").order_by(Token.id)) == odd_ones_out
    assert ids(Token.find(~(col(Token.rank) == 4)).order_by(desc(Token.rank))) == [18, 16, 14, 12, 10, 8, 6, 2, 0]
    assert Token.get_by(code="c1") is None
    assert Token.find(Token.code == "c1").exists() is False
    assert Token.create(id=99, code="c1").id == 99


def test_queries_sweep_what_they_meet(connected: Database) -> None:
    with Session.begin(connected) as session:
        for number in range(30):
            session.add(Token(id=number, kind="a", rank=number), ttl=0.02)
    time.sleep(0.05)

    assert Token.find(col(Token.rank) >= 0).count() == 0

    assert connected.client.keys("token*") == []


def test_a_unique_value_is_taken_again_by_the_next_life_of_its_row(connected: Database) -> None:
    with Session.begin(connected) as session:
        session.add(User(id=1, email="a@x"), ttl=0.02)
    time.sleep(0.05)
    User(id=1, email="a@x").save()

    found = User.get_by(email="a@x")

    assert found is not None
    with pytest.raises(UniqueViolationError):
        User(id=2, email="a@x").save()


def test_pages_hold_still_where_reading_moves_deadlines(connected: Database) -> None:
    with Session.begin(connected) as session:
        session.add_all((Cached(id=number, kind="a") for number in range(30)), ttl=0.5)
    time.sleep(0.1)  # more than a tenth of the life, so that reading restarts it

    pages = [ids(Cached.find(kind="a").offset(start).limit(7)) for start in range(0, 35, 7)]

    assert sorted(pk for page in pages for pk in page) == list(range(30))
    assert len({one.id for one in Cached.find(kind="a")}) == 30


# ---- sessions ---------------------------------------------------------------------------------------------------------------


def test_a_session_hands_out_its_objects_as_they_are(connected: Database) -> None:
    add(connected, *people())
    with Session(connected) as session:
        ann, bob = session.get_one(User, 1), session.get_one(User, 2)
        ann.city = "Lima"
        session.delete(bob)
        session.add(User(id=9, city="Oslo"))

        found = session.find(User, User.city == "Oslo").all()
        assert found == [ann]
        assert found[0] is ann
        assert User.find(User.city == "Oslo").first() is ann
        assert session.get_by(User, email="ann@x") is ann
        assert session.get_by(User, email="bob@x") is None
        assert session.find(User, User.city == "Oslo").count() == 2
        al = session.find(User, User.city == "Lima").one()
        al.age = 35
        session.commit()
    assert User.get_one(3).age == 35
    assert ids(User.find(User.city == "Lima")) == [1, 3]


def test_queries_are_bound_where_they_are_performed(connected: Database) -> None:
    add(connected, *people())
    query = User.find(User.city == "Oslo").order_by(User.id)
    with Session(connected) as session:
        assert query.first() is session.get_one(User, 1)
    assert query.first() is not None


def test_going_through_a_query_leaves_the_session_free_between_batches(connected: Database) -> None:
    add(connected, *(Job(id=number) for number in range(1200)))
    with Session(connected) as session:
        for one in session.find(Job):
            one.owner = "me"
            if one.id == 600:
                session.commit()
        session.commit()
    assert {one.owner for one in Job.find()} == {"me"}


# ---- bulk -------------------------------------------------------------------------------------------------------------------


def test_update_and_delete_tell_how_many(connected: Database) -> None:
    add(connected, *(Job(id=number, status="new" if number % 3 else "old") for number in range(1300)))

    assert Job.find(status="new").update(status="done", owner="me") == 866
    assert Job.find(status="new").count() == 0
    assert Job.find(status="done").order_by(Job.id).limit(10).delete() == 10
    assert Job.find(status="done").limit(5).update(status="done") == 5
    assert Job.find().delete() == 1290
    assert connected.client.keys("job*") == []


def test_two_workers_never_claim_one_row_both(connected: Database) -> None:
    add(connected, *(Job(id=number) for number in range(700)))
    gate = threading.Barrier(4)

    def claim(worker: str) -> int:
        gate.wait()
        return Job.find(status="new").update(status="mine", owner=worker)

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(claim, "abcd"))

    owners = [one.owner for one in Job.find(status="mine")]
    assert sum(counts) == len(owners) == 700
    assert counts == [owners.count(worker) for worker in "abcd"]


def test_claims_of_one_row_each_are_all_met(connected: Database) -> None:
    add(connected, *(Job(id=number) for number in range(40)))
    gate = threading.Barrier(4)

    def claim(worker: str) -> int:
        gate.wait()
        return sum(Job.find(status="new").limit(1).update(status="mine", owner=worker) for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(claim, "abcd")) == 40
    assert Job.find(status="new").count() == 0


def test_bulk_changes_act_at_once_and_leave_loaded_objects_alone(connected: Database) -> None:
    add(connected, *people())
    with Session(connected) as session:
        ann = session.get_one(User, 1)
        assert session.find(User, User.city == "Oslo").update(note="x") == 2
        assert ann.note == ""
        assert connected.client.hget("user:1", "note") == b"x"
        assert session.dirty == []
        session.rollback()
    assert User.get_one(1).note == "x"


def test_bulk_values_are_checked_first(connected: Database) -> None:
    add(connected, *people())
    sent = connected.traffic

    with pytest.raises(ValidationError):
        User.find().update(age="old")
    for wrong in ({"id": 5}, {"nothing": 1}, {}, {"address.city": "x"}):
        with pytest.raises(QueryError):
            User.find().update(**wrong)
    assert connected.traffic == sent


def test_bulk_updates_of_unique_values_go_row_by_row(connected: Database) -> None:
    add(connected, *(User(id=number, city="Oslo", name=str(number)) for number in range(3)))

    assert User.find(User.id == 1).update(email="a@x") == 1
    with pytest.raises(UniqueViolationError):
        User.find(city="Oslo").update(email="b@x")
    assert User.find(email="b@x").count() == 1
    assert User.find().update(email=None) == 3
    assert User.find(email=None).count() == 3


class Article(RedisModel, prefix="article"):
    id: int
    title: str = Field(default="", index=True)
    words: list[str] = Field(default=[], index=True)
    address: Address | None = None
    price: int = Field(default=1, ge=0)
    limit: int = 100

    @field_validator("title")
    @classmethod
    def _trimmed(cls, title: str) -> str:
        return title.strip()

    @model_validator(mode="after")
    def _affordable(self) -> Article:
        if self.price > self.limit:
            raise ValueError("too dear")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def slug(self) -> Annotated[str, Field(index=True)]:
        return f"{self.title.lower()}-{self.id}"


def test_bulk_updates_run_the_validators_of_the_class_and_keep_what_is_computed(connected: Database) -> None:
    add(connected, *(Article(id=number, title="Old", limit=number * 10) for number in range(1, 4)))
    slug: Any = Article.slug

    assert Article.find(title="Old").update(title="  New ", words=["a", "b"], address=Address(city="Oslo")) == 3
    assert ids(Article.find(slug == "new-2")) == [2]
    assert ids(Article.find(col(Article.words).contains("b"))) == [1, 2, 3]
    assert ids(Article.find(col(Article.address).city == "Oslo")) == [1, 2, 3]
    assert Article.get_one(2).title == "New"
    assert connected.client.hget("article:2", "slug") == b"new-2"
    with pytest.raises(ValidationError, match="too dear"):
        Article.find().update(price=25)
    assert Article.find(Article.id == 3).update(price=25) == 1
    assert Article.find().update(words=[], address=None) == 3
    assert Article.find(col(Article.words).contains("b")).count() == 0
    assert connected.check(Article).ok


def test_a_row_that_changes_meanwhile_is_passed_over(connected: Database) -> None:
    add(connected, *(Job(id=number) for number in range(5)))
    query = Job.find(status="new")

    from redisorm.unitofwork.bulk import update_rows

    flow = update_rows(query._asked, "", {"owner": "me"})
    commands = connected.run(_first_answer(flow))
    assert commands
    connected.client.hset("job:2", "status", "taken")
    connected.client.delete("job:3")

    assert connected.run(_rest(flow, commands)) == 3
    assert connected.client.hget("job:2", "owner") in (None, b"")
    assert connected.client.exists("job:3") == 0


def _first_answer(flow: Any) -> Any:
    """Perform a flow up to the answer of its first batch."""
    request = next(flow)
    while not hasattr(request, "commands"):
        request = flow.send((yield request))
    return (yield request)


def _rest(flow: Any, answer: Any) -> Any:
    """Perform the rest of it."""
    while True:
        try:
            request = flow.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield request


# ---- without indexes --------------------------------------------------------------------------------------------------------


def test_a_class_without_indexes_is_found_by_scanning(connected: Database) -> None:
    add(connected, *(Plain(id=number, name=str(number)) for number in range(1500)), *(Profile(id=number) for number in range(50)))
    connected.client.set("plain:7x", "no hash")
    connected.client.hset("plain:nobody", "id", "x")
    connected.client.hset("plain:007", "id", "7")

    assert Plain.find().count() == 1500
    assert Profile.find().count() == 50
    assert len(Plain.find().all()) == 1500
    assert len({one.id for one in Plain.find()}) == 1500
    assert Plain.find(Plain.id != 3).count() == 1499
    assert ids(Plain.find(col(Plain.id).in_([3, 9999]))) == [3]
    assert ids(Plain.find().order_by(desc(Plain.id)).limit(2)) == [1499, 1498]
    assert Plain.find(~col(Plain.id).in_(range(2, 1500))).delete() == 2
    assert Plain.find().update(name="all") == 1498
    with pytest.raises(redisorm.NotIndexedError):
        Plain.find(name="all")


def test_nested_prefixes_and_namespaces_are_told_apart(server_url: str) -> None:
    with Database(server_url, namespace="a*b") as one, Database(server_url, namespace="axb") as other:
        add(one, Plain(id=1), Profile(id=2))
        add(other, Plain(id=3))
        with Session(one) as session:
            assert session.find(Plain).pks() == [1]
            assert session.find(Profile).pks() == [2]
        with Session(other) as session:
            assert session.find(Plain).pks() == [3]

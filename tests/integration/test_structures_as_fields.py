"""Live structures that belong to objects, on every server, in both colours: one life with the row, one commit with the session."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from redisorm import (
    AsyncRedisCounter,
    AsyncRedisList,
    AsyncRedisModel,
    AsyncRedisSet,
    AsyncRedisSortedSet,
    AsyncRedisValue,
    AsyncSession,
    Database,
    Field,
    RedisCounter,
    RedisList,
    RedisModel,
    RedisSet,
    RedisSortedSet,
    RedisValue,
    Session,
    SessionError,
    StaleObjectError,
    WrongTypeError,
    connect,
)
from tests.faults.users import USERS, allow_all, as_user
from tests.servers import Server

KEYS = ("fans", "visits", "last", "scores", "note")


class Star(RedisModel, prefix="star"):
    id: int
    name: str = ""
    fans: RedisSet[int] = Field(init=False)
    visits: RedisCounter = Field(init=False)
    last: RedisList[str] = Field(init=False, max_length=3)
    scores: RedisSortedSet[str] = Field(init=False)
    note: RedisValue[str] = Field(init=False)


class Mortal(Star, prefix="mortal", ttl=3600):
    """The same with a life."""


class Indexed(RedisModel, prefix="indexed", versioned=True):
    id: int
    city: str = Field(default="", index=True)
    fans: RedisSet[int] = Field(init=False)


class AsyncStar(AsyncRedisModel, prefix="star"):
    id: int
    name: str = ""
    fans: AsyncRedisSet[int] = Field(init=False)
    visits: AsyncRedisCounter = Field(init=False)
    last: AsyncRedisList[str] = Field(init=False, max_length=3)
    scores: AsyncRedisSortedSet[str] = Field(init=False)
    note: AsyncRedisValue[str] = Field(init=False)


class AsyncMortal(AsyncStar, prefix="mortal", ttl=3600):
    """The same with a life."""


class Colour:
    """`colour.do(star.fans.add(1))` waits for the result, or has it already."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop() if name == "async" else None
        self.Star: Any = AsyncStar if self.loop else Star
        self.Mortal: Any = AsyncMortal if self.loop else Mortal
        self.Session: Any = AsyncSession if self.loop else Session

    def do(self, result: Any) -> Any:
        if self.loop is None or not inspect.isawaitable(result):
            return result

        async def waiting() -> Any:
            return await result

        return self.loop.run_until_complete(waiting())

    def fill(self, star: Any) -> None:
        self.do(star.fans.update([1, 2]))
        self.do(star.visits.increment(5))
        self.do(star.last.push("a", "b", "c", "d"))
        self.do(star.scores.set("x", 1.5))
        self.do(star.note.set("hello"))

    def content(self, star: Any) -> tuple[Any, ...]:
        calls = (star.fans.items(), star.visits.get(), star.last.items(), star.scores.top(5), star.note.get())
        return tuple(self.do(call) for call in calls)


FULL = ({1, 2}, 5, ["b", "c", "d"], [("x", 1.5)], "hello")
EMPTY = (set[int](), 0, list[str](), list[tuple[str, float]](), None)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    chosen = Colour(request.param)
    yield chosen
    if chosen.loop is not None:
        chosen.loop.run_until_complete(chosen.loop.shutdown_asyncgens())
        chosen.loop.close()


@pytest.fixture
def default(server_url: str) -> Iterator[Database]:
    with connect(server_url) as db:
        yield db


def deadlines(db: Database, row: str) -> set[int]:
    return {int(db.client.pexpiretime(key)) for key in (row, *(f"{row}:{name}" for name in KEYS))}


def test_structures_hold_what_is_put_into_them_and_are_never_loaded(default: Database, colour: Colour) -> None:
    star = colour.do(colour.Star(id=1).save())
    assert colour.content(star) == EMPTY

    colour.fill(star)

    before = default.traffic.commands
    again = colour.do(colour.Star.get_one(1))
    assert default.traffic.commands - before == 1
    assert colour.content(again) == FULL
    assert again == star
    assert set(map(bytes.decode, default.client.keys())) == {"star:1", *(f"star:1:{name}" for name in KEYS)}  # type: ignore[arg-type]


def test_structures_are_deleted_with_their_object(default: Database, colour: Colour) -> None:
    star = colour.do(colour.Star(id=1).save())
    colour.fill(star)
    assert colour.do(star.delete())
    assert default.client.keys() == []
    with pytest.raises(SessionError, match="not stored"):
        colour.do(star.fans.add(1))


def test_new_object_over_an_existing_row_begins_with_empty_structures(default: Database, colour: Colour) -> None:
    colour.fill(colour.do(colour.Star(id=1).save()))
    star = colour.do(colour.Star(id=1, name="other").save())
    assert colour.content(star) == EMPTY


def test_structures_expire_with_their_object_to_the_millisecond(default: Database, colour: Colour) -> None:
    star = colour.do(colour.Mortal(id=1).save())
    colour.fill(star)
    assert len(deadlines(default, "mortal:1")) == 1

    star.name = "restarts the life"
    colour.do(star.save())
    assert len(deadlines(default, "mortal:1")) == 1
    colour.do(star.save(ttl=60))
    assert len(deadlines(default, "mortal:1")) == 1
    assert colour.do(star.fans.time_to_live()) <= timedelta(seconds=60)
    colour.do(star.note.set("a new value has no life of its own"))
    colour.do(star.fans.add(3))
    colour.do(star.visits.increment())
    assert len(deadlines(default, "mortal:1")) == 1
    colour.do(star.expire(None))
    assert deadlines(default, "mortal:1") == {-1}
    colour.do(star.expire(60))
    assert len(deadlines(default, "mortal:1")) == 1
    with pytest.raises(SessionError, match="lives as long as its object"):
        colour.do(star.fans.expire(5))
    with pytest.raises(ValueError, match="lives as long as its object"):
        colour.do(star.note.set("x", ttl=5))


def test_every_kind_of_write_gives_a_new_key_the_deadline_of_the_row(default: Database, colour: Colour) -> None:
    star = colour.do(colour.Mortal(id=1).save())
    other = colour.do(colour.Mortal(id=2).save())
    colour.do(other.fans.update([1, 2, 3]))
    colour.do(other.last.extend(["a", "b"]))
    writes: list[Any] = [
        lambda: star.last.insert(0, "x"),
        lambda: star.fans.symmetric_difference_update([1]),
        lambda: other.fans.union_store(star.fans),
        lambda: other.fans.move(1, star.fans),
        lambda: other.last.move(star.last),
        lambda: star.visits.increment_within(1, high=5),
        lambda: star.visits.set(5),
        lambda: star.note.compare_and_set(None, "x"),
        lambda: star.scores.add("a", 1, only="new"),
    ]
    for write in writes:
        colour.do(write())
        (key,) = set(map(bytes.decode, default.client.keys("mortal:1:*")))  # type: ignore[arg-type]
        assert default.client.pexpiretime(key) == default.client.pexpiretime("mortal:1")
        default.client.delete(key)


def test_nothing_is_written_beside_a_row_that_is_gone(default: Database, colour: Colour) -> None:
    star = colour.do(colour.Star(id=1).save())
    default.client.delete("star:1")
    writes: list[Any] = [
        lambda: star.fans.add(1),
        lambda: star.last.insert(0, "x"),
        star.visits.increment,
        lambda: star.note.set("x"),
        lambda: star.note.compare_and_set(None, "x"),
    ]
    for write in writes:
        with pytest.raises(StaleObjectError, match="the row star:1 is gone") as caught:
            colour.do(write())
        assert caught.value.key == "star:1"
    assert default.client.keys() == []
    assert colour.content(star) == EMPTY


def test_key_of_another_type_beside_the_row_is_left_alone(default: Database, colour: Colour) -> None:
    star = colour.do(colour.Mortal(id=1).save())
    default.client.set("mortal:1:fans", "x")
    writes: list[Any] = [
        lambda: star.fans.add(1),
        lambda: star.fans.update([1]),
        star.fans.clear,
        lambda: star.fans.symmetric_difference_update([1]),
    ]
    for write in writes:
        with pytest.raises(WrongTypeError, match="mortal:1:fans is a string where a set is needed"):
            colour.do(write())
    with colour_session(colour, default) as session:
        mine = colour.do(session.get_one(colour.Mortal, 1))
        colour.do(mine.fans.add(1))
        mine.name = "changed"
        with pytest.raises(WrongTypeError, match="mortal:1:fans is a string where a set is needed"):
            colour.do(session.commit())
        session.rollback()
    assert default.client.ttl("mortal:1:fans") == -1
    assert default.client.hget("mortal:1", "name") == b""


class colour_session:  # noqa: N801 - used as a statement
    """A session of a colour on a database."""

    def __init__(self, colour: Colour, db: Database) -> None:
        self._colour, self._session = colour, colour.Session(db)

    def __enter__(self) -> Any:
        return self._session if self._colour.loop else self._session.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._session.close()


def test_writes_in_a_session_wait_for_its_commit_and_reads_see_the_server(default: Database, colour: Colour) -> None:
    colour.fill(colour.do(colour.Mortal(id=1).save()))
    with colour_session(colour, default) as session:
        star = colour.do(session.get_one(colour.Mortal, 1))

        assert colour.do(star.fans.add(3)) is None
        assert colour.do(star.fans.discard(1)) is None
        assert colour.do(star.visits.increment(2)) is None
        assert colour.do(star.last.push("e")) is None
        assert colour.do(star.scores.increment("x")) is None
        assert colour.do(star.note.set("bye")) is None
        star.name = "Ann"

        assert colour.content(star) == FULL  # nobody sees it before the commit, its writer neither
        result = colour.do(session.commit())
        assert (result.objects, result.round_trips) == (1, 2)
        assert colour.content(star) == ({2, 3}, 7, ["c", "d", "e"], [("x", 2.5)], "bye")
        assert len(deadlines(default, "mortal:1")) == 1
        assert colour.do(session.commit()).round_trips == 0


def test_rollback_and_closing_drop_the_writes(default: Database, colour: Colour) -> None:
    colour.fill(colour.do(colour.Star(id=1).save()))
    with colour_session(colour, default) as session:
        star = colour.do(session.get_one(colour.Star, 1))
        colour.do(star.fans.add(3))
        session.rollback()
        assert colour.do(session.commit()).round_trips == 0
        colour.do(star.visits.increment())
    assert colour.content(colour.do(colour.Star.get_one(1))) == FULL
    colour.do(star.fans.add(3))  # the session is over: it acts at once again
    assert colour.do(star.fans.items()) == {1, 2, 3}


def test_leaving_with_waiting_writes_is_logged(default: Database, caplog: pytest.LogCaptureFixture) -> None:
    Star(id=1).save()
    with Session(default) as session:
        session.get_one(Star, 1).fans.add(1)
    assert "0 new, 0 changed, 0 to delete, 1 to send" in caplog.text


def test_new_object_and_its_structures_are_one_commit(default: Database, colour: Colour) -> None:
    with colour_session(colour, default) as session:
        star = colour.Mortal(id=1)
        session.add(star, ttl=60)
        colour.fill(star)
        with pytest.raises(SessionError, match="not stored"):
            colour.do(star.fans.items())
        assert default.client.keys() == []
        colour.do(session.commit())
    assert colour.content(star) == FULL
    assert len(deadlines(default, "mortal:1")) == 1


def test_what_needs_an_answer_is_refused_in_a_session_and_nothing_is_sent(default: Database, colour: Colour) -> None:
    colour.fill(colour.do(colour.Star(id=1).save()))
    with colour_session(colour, default) as session:
        star = colour.do(session.get_one(colour.Star, 1))
        uses: list[Any] = [
            star.last.pop,
            lambda: star.last.pop_left(timeout=1),
            star.fans.pop,
            star.scores.pop_lowest,
            star.note.get_and_delete,
            lambda: star.visits.increment_within(1),
            lambda: star.last.set(0, "x"),
        ]
        for use in uses:
            with pytest.raises(SessionError, match="belongs to an open session, whose commit writes later"):
                colour.do(use())
    assert colour.content(star) == FULL


def test_writes_of_a_deleted_object_are_dropped_with_it(default: Database, colour: Colour) -> None:
    colour.fill(colour.do(colour.Star(id=1).save()))
    with colour_session(colour, default) as session:
        star = colour.do(session.get_one(colour.Star, 1))
        colour.do(star.fans.add(3))
        session.delete(star)
        colour.do(session.commit())
    assert default.client.keys() == []


def test_row_that_is_gone_fails_the_commit_which_may_be_tried_again(default: Database, colour: Colour) -> None:
    colour.do(colour.Star(id=1).save())
    with colour_session(colour, default) as session:
        star = colour.do(session.get_one(colour.Star, 1))
        colour.do(star.fans.add(3))
        default.client.delete("star:1")
        with pytest.raises(StaleObjectError, match="the row star:1 is gone"):
            colour.do(session.commit())
        default.client.hset("star:1", "id", "1")
        colour.do(session.commit())
    assert colour.do(star.fans.items()) == {3}


def test_writes_to_structures_are_no_new_version(default: Database) -> None:
    mine = Indexed(id=1, city="Oslo").save()
    theirs = Indexed.get_one(1)
    with Session(default) as session:
        session.get_one(Indexed, 1).fans.add(1)
        session.commit()
    mine.fans.add(2)
    theirs.city = "Rome"
    theirs.save()
    assert theirs.fans == {1, 2}
    assert Indexed.find(city="Rome").delete() == 1
    assert not default.client.exists("indexed:1:fans")


def test_leftovers_of_rows_deleted_by_hand_are_found_and_removed(default: Database) -> None:
    star = Star(id=1).save()
    star.fans.add(1)
    default.client.delete("star:1")

    report = default.check(Star)
    assert [(problem.kind, problem.key) for problem in report.problems] == [("orphan companion", "star:1:fans")]
    assert default.repair(Star).ok
    assert default.client.keys() == []


def test_wrong_deadlines_of_structures_are_found_and_mended(default: Database) -> None:
    star = Mortal(id=1).save()
    star.fans.add(1)
    default.client.persist("mortal:1:fans")

    assert [problem.kind for problem in default.check(Mortal).problems] == ["wrong deadline"]
    assert default.repair(Mortal).ok
    assert default.client.pexpiretime("mortal:1:fans") == default.client.pexpiretime("mortal:1")


def test_operators_change_the_structure_of_a_field(default: Database) -> None:
    star, other = Star(id=1).save(), Star(id=2).save()
    star.fans |= {1, 2, 3}
    star.fans &= {2, 3, 4}
    other.fans |= star.fans
    other.fans -= {2}
    star.last += ["a", "b"]
    star.scores["x"] = 1

    assert star.fans == {2, 3}
    assert other.fans == {3}
    assert star.last == ["a", "b"]
    assert star.scores == {"x": 1}
    assert star.fans & other.fans == {3}


def test_no_write_is_lost_between_threads(default: Database) -> None:
    Star(id=1).save()

    def count() -> None:
        star = Star.get_one(1)
        for number in range(50):
            star.visits.increment()
            star.fans.add(number)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    star = Star.get_one(1)
    assert (star.visits.get(), star.fans.size()) == (200, 50)


@pytest.mark.parametrize("user", USERS)
def test_users_who_may_run_no_scripts_write_beside_rows_too(server: Server, user: str) -> None:
    allow_all(server)
    with connect(as_user(server.url, user)) as db:
        star = Mortal(id=1).save()
        colour = Colour("sync")
        colour.fill(star)
        assert colour.content(star) == FULL
        assert len(deadlines(db, "mortal:1")) == 1
        db.client.delete("mortal:1")
        with pytest.raises(StaleObjectError):
            star.fans.add(1)

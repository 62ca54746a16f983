"""Many new rows of one class: spelled column by column, verified and written by one script, and looked at one by one where they must be."""

from __future__ import annotations

import gc
import weakref
from datetime import date
from typing import Any, cast

import pytest
from pydantic import ValidationError

from redisorm import (
    AlreadyExistsError,
    BackendError,
    ConnectionFailedError,
    Field,
    GeoPoint,
    IndexValueError,
    RedisModel,
    SessionError,
    SortedSet,
    UnsupportedServerError,
)
from redisorm.commands import Watch
from redisorm.flows.committing import CommitResult
from redisorm.unitofwork.state import Phase, state_of
from tests.unit.desk import NOW, Desk, agreeing, answering, atomic, desk_that_agrees, row_of, script_call, session_on, stored, talk
from tests.zoo.indexed import Citizen, Member
from tests.zoo.models import AsyncUser, Board, Customer, Lease, Memo, Ticket, User


class Plain(RedisModel, prefix="plain"):
    """Indexes of a row that is its hash alone."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    rank: int | None = Field(default=None, index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    ratio: float = Field(default=0.0, index=True)


class Raw(RedisModel, prefix="raw"):
    """A key of bytes."""

    id: bytes
    age: int = Field(default=0, index=True)


class Dated(RedisModel, prefix="dated"):
    """A day is stored as text, and stands in its index at a number."""

    id: int
    day: date = Field(index=True)
    city: str = Field(index=True)


class Name(str):
    """A text of a type of its own."""


def users(*pks: int) -> list[User]:
    return [User(id=pk, name=f"n{pk}") for pk in pks]


# ---- as tables ------------------------------------------------------------------------------------------------------


def test_rows_of_one_shape_are_one_table_whose_keys_must_be_absent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=4)
    call = script_call(talk(desk)[0])
    keys = ["user:1", "user:2", "user:3", "user:4"]
    assert (call.absent, call.writes, call.reads, call.rows) == (keys, [], [], [])
    assert call.tables == [(["id", "name", "age"], keys, ["1", "n1", "0", "2", "n2", "0", "3", "n3", "0", "4", "n4", "0"])]


def test_rows_of_several_shapes_are_several_tables() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([*users(1, 2, 3), User(id=4, name="n4", email="4@x"), User(id=5, name="n5", email="5@x")])
    session.commit()
    assert script_call(talk(desk)[0]).tables == [
        (["id", "name", "age"], ["user:1", "user:2", "user:3"], ["1", "n1", "0", "2", "n2", "0", "3", "n3", "0"]),
        (["id", "name", "age", "email"], ["user:4", "user:5"], ["4", "n4", "0", "4@x", "5", "n5", "0", "5@x"]),
    ]


def test_rows_stand_in_their_indexes_as_if_each_had_been_spelled_by_itself() -> None:
    values: list[dict[str, Any]] = [
        {"name": "a", "city": "Oslo", "age": 1, "rank": 1, "ratio": 0.5},
        {"name": "b", "city": "Oslo", "age": -1, "rank": None, "ratio": float("inf")},
        {"name": "c\0", "city": "", "age": 2, "rank": 2, "ratio": -1.0},
        {"name": "d", "city": None, "age": 3, "rank": 3, "ratio": 0.0},
    ]

    original = list(values)

    def entered(count: int) -> dict[tuple[Any, ...], dict[Any, Any]]:
        """Members and scores by command and key; `count` objects at a time."""
        found: dict[tuple[Any, ...], dict[Any, Any]] = {}
        for start in range(0, len(values), count):
            desk = desk_that_agrees()
            session = session_on(desk)
            session.add_all([Plain(id=start + place, **row) for place, row in enumerate(values[start : start + count])])
            session.commit()
            call = script_call(talk(desk)[0])
            for name, key, *words in [*call.writes, *(("ZADD", *one) for one in call.entered)]:
                found.setdefault((name, key), {}).update(zip(map(str, words[1::2]), map(str, words[::2]), strict=True))
        return found

    assert entered(4) == entered(1)
    alike: list[dict[str, Any]] = [{**row, "rank": None, "city": row["city"] or "Rome"} for row in values]
    values[:] = alike
    assert entered(4) == entered(1)
    values[:] = original
    assert entered(4)["ZADD", "plain::rank"] == {"0": "1", "2": "2", "3": "3"}
    assert entered(4)["ZADD", "plain::rank:"] == {"1": "inf"}
    assert entered(4)["ZADD", "plain::name"] == {"a\0000": "0", "b\0001": "0", "c\1\1\0002": "0", "d\0003": "0"}
    assert entered(4)["ZADD", "plain::city:Oslo"] == {"0": "inf", "1": "inf"}


def test_whole_numbers_enter_their_index_in_one_go_and_memos_of_former_lives_must_be_absent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Plain(id=pk, age=pk * 10) for pk in range(4)])
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.absent == [*(f"plain:{pk}" for pk in range(4)), *(f"plain:{pk}::memo" for pk in range(4))]
    assert [("plain::age", str(pk * 10), str(pk)) for pk in range(4)] == [one for one in call.entered if one[0] == "plain::age"]
    assert [("plain::all", "inf", str(pk)) for pk in range(4)] == [one for one in call.entered if one[0] == "plain::all"]
    assert {name for name, *_ in call.entered} <= set(call.keys)
    assert [command[1] for command in call.writes] == ["plain::name"], "no text of another field is sent twice"


def test_what_does_not_follow_from_the_texts_is_spelled_out() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Dated(id=pk, day=date(2026, 1, 1 + pk), city="Oslo" if pk % 2 else "Lima") for pk in range(4)])
    session.commit()
    call = script_call(talk(desk)[0])
    assert [command[1] for command in call.writes] == ["dated::day"]
    assert [one for one in call.entered if one[0].startswith("dated::city")] == [
        ("dated::city:Lima", "inf", "0"),
        ("dated::city:Oslo", "inf", "1"),
        ("dated::city:Lima", "inf", "2"),
        ("dated::city:Oslo", "inf", "3"),
    ]


def test_rows_whose_key_is_another_text_in_the_row_are_entered_in_words() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Raw(id=bytes([pk, 255]), age=pk) for pk in range(4)])
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.entered == []
    assert {command[1] for command in call.writes} == {"raw::all", "raw::age"}


def test_value_that_an_index_cannot_hold_is_refused_with_its_key_and_nothing_is_sent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Plain(id=pk, age=2**53 + (pk == 2)) for pk in range(4)])
    with pytest.raises(IndexValueError, match=r"Plain\.age: 9007199254740993 of plain:2 cannot be indexed"):
        session.commit()
    assert desk.round_trips == 0
    assert len(session.new) == 4


def test_committed_rows_are_in_the_session_and_know_what_they_were() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = users(1, 2, 3, 4)
    session.add_all(added)
    session.commit()
    assert session.new == []
    assert session.get(User, 2) is added[1]
    assert [state_of(user).phase for user in added] == [Phase.PERSISTENT] * 4
    added[1].name = "other"
    assert session.dirty == [added[1]]
    session.commit()
    assert script_call(talk(desk)[1]).writes == [("HSET", "user:2", "name", "other")]
    added[1].name = "third"
    session.rollback()
    assert added[1].name == "other"


def test_committed_rows_are_let_go_of_when_their_users_do() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = users(1, 2, 3, 4)
    session.add_all(added)
    session.commit()
    kept, dropped = added[0], weakref.ref(added[1])
    added.clear()
    assert session.get(User, 1) is kept
    gc.collect()
    assert dropped() is None


def test_key_assigned_after_an_object_was_added_is_the_one_that_counts() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = users(1, 2, 3, 4)
    session.add_all(added)
    added[0].id = 9
    session.commit()
    assert script_call(talk(desk)[0]).absent == ["user:9", "user:2", "user:3", "user:4"]
    assert session.get(User, 9) is added[0]
    assert desk.round_trips == 1


# ---- one by one -----------------------------------------------------------------------------------------------------


def test_row_that_is_met_makes_the_commit_look_at_each() -> None:
    """One of four is there already: the script wrote nothing, and the row is replaced under WATCH."""
    other = answering([1], [b"hash", b"none", b"none", b"none"])
    assert callable(other)
    desk = Desk(lambda request: [None] if request.commands[0][0] == "EVALSHA" else other(request), supports={"EVALSHA": True})
    session = session_on(desk)
    added = users(1, 2, 3, 4)
    session.add_all(added)
    assert session.commit().objects == 4
    _, watch, _, write = talk(desk)
    keys = [f"user:{pk}" for pk in (1, 2, 3, 4)]
    assert watch == Watch(keys, [("EXISTS", *keys)])
    assert ("HDEL", "user:1", "email", ":ttl") in write.commands
    assert [state_of(user).phase for user in added] == [Phase.PERSISTENT] * 4
    assert session.get(User, 1) is added[0]


def test_fewer_than_four_are_not_worth_a_table_of_their_own() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(users(1, 2, 3))
    session.commit()
    assert [keys for _, keys, _ in script_call(talk(desk)[0]).tables] == [["user:1", "user:2", "user:3"]]


@pytest.mark.parametrize(
    "objects",
    [
        [Lease(id=pk) for pk in range(4)],
        [Member(id=pk) for pk in range(4)],
        [Citizen(id=pk) for pk in range(4)],
        [Customer(id=pk) for pk in range(4)],
        [Plain(id=pk, place=GeoPoint(10, 60)) for pk in range(4)],
        [User(id=pk, name=Name("x")) for pk in range(4)],
    ],
    ids=["lives", "unique", "companions", "nested", "position", "odd type"],
)
def test_rows_that_are_more_than_their_hash_are_spelled_one_by_one(objects: list[RedisModel]) -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(objects)
    assert session.commit().objects == 4
    assert set(script_call(talk(desk)[0]).absent) >= {str(state_of(one).key) for one in objects}


def test_random_keys_need_no_guard_even_if_many() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Memo(text="x") for _ in range(4)])
    session.commit()
    call = script_call(talk(desk)[0])
    assert (call.absent, len(call.tables[0][1])) == ([], 4)


def test_automatic_keys_come_from_one_step_of_the_counter() -> None:
    desk = Desk(lambda request: [14] if request.commands[0][0] == "INCRBY" else agreeing(request), supports={"EVALSHA": True})
    session = session_on(desk)
    tickets = [Ticket(title=str(number)) for number in range(4)]
    session.add_all(tickets)
    session.commit()
    assert talk(desk)[0].commands == [("INCRBY", "ticket::id:next", 4)]
    assert [ticket.id for ticket in tickets] == [11, 12, 13, 14]


def test_life_of_its_own_is_given_to_each_of_many() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = users(1, 2, 3, 4)
    session.add_all(added, ttl=60)
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.deadlines == {f"user:{pk}": NOW + 60_000 for pk in (1, 2, 3, 4)}
    assert call.tables == [
        (
            ["id", "name", "age", ":ttl"],
            ["user:1", "user:2", "user:3", "user:4"],
            ["1", "n1", "0", "60", "2", "n2", "0", "60", "3", "n3", "0", "60", "4", "n4", "0", "60"],
        )
    ]
    assert {state_of(user).life for user in added} == {60_000}
    assert {state_of(user).wanted_life for user in added} == {None}


def test_key_of_a_row_deleted_in_the_same_commit_is_looked_at() -> None:
    old = stored(User, {"id": 1, "name": "old"})
    desk = desk_that_agrees([1], [b"hash", b"none", b"none", b"none"])
    session = session_on(desk)
    session.delete(old)
    session.add_all(users(1, 2, 3, 4))
    session.commit()
    watch, _, write = talk(desk)
    assert isinstance(watch, Watch)
    assert write.commands[:2] == [("UNLINK", "user:1"), ("HSET", "user:1", "id", 1, "name", "n1", "age", 0)]


def test_refusal_of_the_script_is_told_and_the_objects_stay_new() -> None:
    def refuse(_: Any) -> Any:
        return BackendError("OOM command not allowed when used memory > 'maxmemory'", code="OOM")

    session = session_on(Desk(refuse, supports={"EVALSHA": True}))
    session.add_all(users(1, 2, 3, 4))
    with pytest.raises(BackendError, match="OOM"):
        session.commit()
    assert len(session.new) == 4


def test_many_created_objects_are_as_stored_as_added_ones() -> None:
    session = session_on(desk_that_agrees())
    created = users(1, 2, 3, 4)
    for one in created:
        session._add_new(one)
    session.commit()
    assert session.new == session.dirty == []
    assert session._created == set(), "another object may come to have the same id()"


# ---- with collections -----------------------------------------------------------------------------------------------


def boards() -> list[Board]:
    return [
        Board(id=1, name="a", tags={"t"}, jobs=["x", "y"], scores=SortedSet({"m": 1.5})),
        Board(id=2, name="b", jobs=["z"]),
        Board(id=3, name="c"),
        Board(id=4, name="d", tags={"u"}),
    ]


def test_collections_of_new_rows_are_filled_beside_their_table_and_must_be_absent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = boards()
    session.add_all(added)
    session.commit()
    call = script_call(talk(desk)[0])
    rows = [f"board:{pk}" for pk in (1, 2, 3, 4)]
    assert call.absent == [*rows, *(f"{row}:{name}" for name in ("tags", "jobs", "scores") for row in rows)]
    assert call.tables == [(["id", "name"], rows, ["1", "a", "2", "b", "3", "c", "4", "d"])]
    assert sorted(map(tuple, call.writes)) == [
        ("RPUSH", "board:1:jobs", "x", "y"),
        ("RPUSH", "board:2:jobs", "z"),
        ("SADD", "board:1:tags", "t"),
        ("SADD", "board:4:tags", "u"),
        ("ZADD", "board:1:scores", b"1.5", b"m"),
    ]
    assert session.dirty == []
    added[2].jobs.append("later")
    added[0].tags.discard("t")
    assert session.dirty == [added[0], added[2]]


def test_collection_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = boards()
    session.add_all(added)
    added[3].tags.add(cast("Any", 5))
    with pytest.raises(ValidationError, match="tags"):
        session.commit()
    assert desk.round_trips == 0


def test_without_scripts_collections_are_filled_behind_the_rows() -> None:
    desk = Desk(answering([0]))
    session = session_on(desk)
    session.add_all(boards())
    session.commit()
    watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert len(watch.keys) == 16
    assert [command[0] for command in write.commands] == ["HSET"] * 4 + ["SADD", "SADD", "RPUSH", "RPUSH", "ZADD"]


# ---- without scripts ------------------------------------------------------------------------------------------------


def test_without_scripts_new_rows_are_written_where_nothing_is_and_nothing_came_meanwhile() -> None:
    desk = Desk(answering([0]))
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    assert session.commit() == CommitResult(commands=8, round_trips=2, objects=4)
    keys = [f"user:{pk}" for pk in (1, 2, 3, 4)]
    rows = [("HSET", f"user:{pk}", "id", str(pk), "name", f"n{pk}", "age", "0") for pk in (1, 2, 3, 4)]
    assert talk(desk) == [Watch(keys, [("EXISTS", *keys)]), atomic(*rows)]
    assert session.new == session.dirty == []


def test_without_scripts_the_memos_of_indexed_rows_must_be_absent_too_and_what_rides_along_comes_last() -> None:
    desk = Desk(answering([0]))
    session = session_on(desk)
    session.add_all([Plain(id=pk, name="x") for pk in (1, 2, 3, 4)])
    session._ride(("PUBLISH", "news", "4 rows"))
    session.commit()
    watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert watch.keys == [*(f"plain:{pk}" for pk in (1, 2, 3, 4)), *(f"plain:{pk}::memo" for pk in (1, 2, 3, 4))]
    assert [command[0] for command in write.commands[:4]] == ["HSET"] * 4
    assert {command[0] for command in write.commands[4:-1]} == {"ZADD"}
    assert write.commands[-1][0] == "PUBLISH"


def test_without_scripts_rows_are_looked_at_once_more_where_the_connection_broke_before_they_could_be_written() -> None:
    desk = Desk(answering(ConnectionFailedError("it broke"), [0]))
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    session.commit()
    broken, watch, write = talk(desk)
    assert isinstance(broken, Watch)
    assert isinstance(watch, Watch)
    assert watch.keys == [f"user:{pk}" for pk in (1, 2, 3, 4)]
    assert [command[:2] for command in write.commands] == [("HSET", f"user:{pk}") for pk in (1, 2, 3, 4)]
    assert session.new == session.dirty == []


def test_without_scripts_a_row_that_is_there_has_each_looked_at() -> None:
    desk = Desk(answering([1], [1], [b"hash", b"none", b"none", b"none"]))
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    session.commit()
    *_, write = talk(desk)
    assert write.commands[1:3] == [("HDEL", "user:1", "email", ":ttl"), ("PERSIST", "user:1")]
    assert len(write.commands) == 6


def test_without_scripts_a_row_that_came_meanwhile_has_each_looked_at() -> None:
    answers = iter([[0], None, [1], [b"hash", b"none", b"none", b"none"], [1] * 6])
    desk = Desk(lambda _: next(answers))
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    session.commit()
    assert talk(desk)[-1].commands[1] == ("HDEL", "user:1", "email", ":ttl")
    assert session.new == []


def test_without_scripts_more_keys_than_may_be_watched_are_refused_before_anything_is_sent() -> None:
    desk = Desk(watch_limit=6)
    session = session_on(desk)
    session.add_all(users(*range(10)))
    with pytest.raises(UnsupportedServerError, match=r"commit\(batch="):
        session.commit()
    assert desk.round_trips == 0
    assert len(session.new) == 10


def test_two_classes_of_one_prefix_cannot_both_make_a_row() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    session.add_all([AsyncUser(id=pk, name="x") for pk in (4, 5, 6, 7)])
    with pytest.raises(SessionError, match="two new objects have the key user:4"):
        session.commit()
    assert desk.round_trips == 0


def test_two_objects_that_came_to_have_one_key_are_refused_before_anything_is_sent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = users(1, 2, 3, 4)
    session.add_all(added)
    added[3].id = 1
    with pytest.raises(SessionError, match="two new objects have the key user:1: give one another, or expunge it"):
        session.commit()
    assert desk.round_trips == 0
    assert len(session.new) == 4


def test_twin_among_many_is_refused_when_it_is_added() -> None:
    session = session_on(Desk())
    with pytest.raises(SessionError, match="the session has another object for user:1"):
        session.add_all(users(1, 2, 3, 1))


def test_row_of_which_the_session_has_an_object_is_refused_among_many() -> None:
    desk = desk_that_agrees([row_of(User, {"id": 2, "name": "Ann"})][0])
    session = session_on(desk)
    known = session.get(User, 2)
    assert known is not None
    with pytest.raises(SessionError, match="the session has another object for user:2"):
        session.add_all(users(1, 2, 3, 4))


def test_object_added_twice_is_added_once() -> None:
    session = session_on(Desk())
    added = users(1, 2)
    session.add_all(added)
    session.add_all(added)
    assert session.new == added


def test_create_among_many_is_told_of_a_row_that_is_there() -> None:
    other = answering([1], [b"none", b"none", b"none", b"none", b"hash"])
    assert callable(other)
    desk = Desk(lambda request: [None] if request.commands[0][0] == "EVALSHA" else other(request), supports={"EVALSHA": True})
    session = session_on(desk)
    session.add_all(users(1, 2, 3, 4))
    session._add_new(User(id=5, name="created"))
    with pytest.raises(AlreadyExistsError, match="User 5 is already there"):
        session.commit()
    assert len(session.new) == 5

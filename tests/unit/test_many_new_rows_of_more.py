"""Many new rows of classes that ask for more: a life, unique values, a version, random keys, values that change in place."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, computed_field

from redisorm import Field, IndexValueError, RedisModel, RedisSet, UniqueViolationError
from redisorm.commands import Batch, Watch
from redisorm.errors import CommitUnknownError
from redisorm.flows.newrows import NewRows
from redisorm.keys import VERSION
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.unitofwork.state import state_of
from tests.unit.desk import (
    NOW,
    Desk,
    agreeing,
    answering,
    desk_that_agrees,
    desk_that_finds_otherwise,
    script_call,
    session_on,
    stored,
    talk,
)
from tests.zoo.indexed import Citizen
from tests.zoo.models import Account, AsyncTicket, Customer, Document, Ticket, User


class Visit(RedisModel, prefix="visit", ttl=60):
    """Rows that expire, in indexes, with a collection."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    tags: set[str] = set()


class Seat(RedisModel, prefix="seat"):
    """A unique value."""

    id: int
    number: int | None = Field(default=None, unique=True)


class Booking(RedisModel, prefix="booking", ttl=60):
    """A unique value for as long as the row lives."""

    id: int
    seat: str = Field(unique=True)


class Track(RedisModel, prefix="track"):
    """Random keys, in an index."""

    id: UUID = Field(default_factory=uuid4)
    title: str = Field(default="", index=True)


class Ghost(RedisModel, prefix="ghost"):
    """Random keys, and a unique value."""

    id: UUID = Field(default_factory=uuid4)
    name: str = Field(unique=True)


class Fan(RedisModel, prefix="fan"):
    """A live structure beside the row."""

    id: int
    seen: RedisSet[int] = Field(init=False)


class Part(BaseModel):
    """What may store nothing."""

    size: int | None = None


class Holder(RedisModel, prefix="holder"):
    """A nested model that is there or not."""

    id: int
    part: Part | None = None


class Name(str):
    """A text of a type of its own."""


def visits(**values: Any) -> list[Visit]:
    return [Visit(id=pk, name=f"n{pk}", city="Oslo", **values) for pk in range(1, 5)]


def numbers(prefix: str) -> list[str]:
    return [f"{prefix}:{pk}" for pk in range(1, 5)]


# ---- lives ----------------------------------------------------------------------------------------------------------


def test_rows_expire_at_one_instant_and_their_memos_tell_where_they_stand() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(visits())
    assert session.commit().round_trips == 1
    call, deadline = script_call(talk(desk)[0]), NOW + 60_000
    assert call.deadlines == dict.fromkeys(numbers("visit"), deadline)
    assert {(key, score) for key, score, _ in call.entered} == {
        ("visit::all", str(deadline)),
        ("visit::city:Oslo", str(deadline)),
        ("visit::age", "0"),
    }
    (memos,) = (one for one in call.tables if one[1][0].endswith("::memo"))
    assert memos[:2] == (["name", "city:Oslo", "age"], [f"{key}::memo" for key in numbers("visit")])
    assert memos[2][:6] == ["n1\0001", "", "", "n2\0002", "", ""]
    assert ("ZRANGE", "visit::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 8) in call.writes


def test_collections_expire_with_their_rows() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = visits()
    added[1].tags.add("t")
    session.add_all(added)
    session.commit()
    writes = [one for one in script_call(talk(desk)[0]).writes if one[1] == "visit:2:tags"]
    assert writes == [("SADD", "visit:2:tags", "t"), ("PEXPIREAT", "visit:2:tags", NOW + 60_000)]


def test_rows_made_permanent_have_no_deadline_but_may_have_had_one() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = visits()
    session.add_all(added)
    for one in added:
        session.expire(one, None)
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.deadlines == {}
    assert [table[0] for table in call.tables] == [["id", "name", "city", "age", ":ttl"]]
    assert call.tables[0][2][4::5] == ["-1"] * 4
    assert any(command[:2] == ("ZRANGE", "visit::all") for command in call.writes)


def test_rows_that_get_different_lives_are_spelled_one_by_one() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = visits()
    session.add_all(added)
    session.expire(added[0], 5)
    session.commit()
    assert script_call(talk(desk)[0]).deadlines == {}
    assert state_of(added[0]).life == 5000
    assert state_of(added[1]).life is None


def test_without_scripts_deadlines_are_queued_behind_the_rows() -> None:
    desk = Desk(answering([0]))
    session = session_on(desk)
    session.add_all([User(id=pk, name="x") for pk in range(1, 5)], ttl=60)
    session._ride(("PUBLISH", "news", "4 rows"))
    session.commit()
    _, write = talk(desk)
    assert [command[0] for command in write.commands] == ["HSET"] * 4 + ["PEXPIREAT"] * 4 + ["PUBLISH"]
    assert write.commands[4] == ("PEXPIREAT", "user:1", NOW + 60_000)


# ---- unique values --------------------------------------------------------------------------------------------------


def test_unique_values_must_be_absent_and_are_taken_and_none_is_none() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Seat(id=pk, number=pk if pk > 1 else None) for pk in range(1, 5)])
    session.commit()
    call = script_call(talk(desk)[0])
    claims = [f"seat::unique:number:{pk}" for pk in range(2, 5)]
    assert call.absent == [*numbers("seat"), *(f"{key}::memo" for key in numbers("seat")), *claims]
    assert [one for one in call.writes if one[0] != "ZADD"] == [("SET", claim, str(pk)) for pk, claim in enumerate(claims, 2)]


def test_unique_values_of_rows_that_expire_do_so_too_and_are_remembered() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Booking(id=pk, seat=f"s{pk}") for pk in range(1, 5)])
    session.commit()
    call = script_call(talk(desk)[0])
    assert ("SET", "booking::unique:seat:s1", "1", "PXAT", NOW + 60_000) in call.writes
    assert (["unique:seat:s1"], ["booking:1::memo"], [""]) in call.tables


def test_two_new_rows_of_one_unique_value_are_refused_and_nothing_is_sent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Seat(id=pk, number=7 if pk > 2 else pk) for pk in range(1, 5)])
    with pytest.raises(UniqueViolationError, match="number"):
        session.commit()
    assert not any(command[0] == "SET" for request in talk(desk) for command in request.commands)


@pytest.mark.parametrize("with_scripts", [True, False])
def test_two_classes_of_one_prefix_cannot_both_take_a_value(with_scripts: bool) -> None:
    class Chair(RedisModel, prefix="seat"):
        id: int
        number: int = Field(unique=True)

    desk = desk_that_agrees([0], [0]) if with_scripts else Desk(answering([0], [0]))
    session = session_on(desk)
    session.add_all([Seat(id=pk, number=pk) for pk in range(1, 5)])
    session.add_all([Chair(id=10 + pk, number=pk) for pk in range(1, 5)])
    with pytest.raises(UniqueViolationError, match="number"):
        session.commit()
    assert not any(command[0] == "SET" for request in talk(desk) for command in request.commands)


def test_value_that_a_changed_row_takes_in_the_same_commit_is_refused() -> None:
    old = stored(Seat, {"id": 9, "number": 90})
    desk = desk_that_agrees([0] * 4, [0] * 4, [0] * 4)
    session = session_on(desk)
    session.add(old)
    old.number = 3
    session.add_all([Seat(id=pk, number=pk) for pk in range(1, 5)])
    with pytest.raises(UniqueViolationError, match="number"):
        session.commit()
    assert not any(command[0] == "SET" for request in talk(desk) for command in request.commands)


def test_rows_are_entered_under_each_of_their_elements_once() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Citizen(id=pk, name="x", tags={"t"}, jobs=["a", "b", "a"][: pk - 1]) for pk in range(1, 5)])
    session.commit()
    entered = {command[1]: command[2:] for command in script_call(talk(desk)[0]).writes if command[0] == "ZADD"}
    assert entered["citizen::tags:t"] == ("inf", "1", "inf", "2", "inf", "3", "inf", "4")
    assert entered["citizen::jobs:a"] == ("inf", "2", "inf", "3", "inf", "4")
    assert entered["citizen::jobs:b"] == ("inf", "3", "inf", "4")


# ---- versions, and values that change in place ----------------------------------------------------------------------


def test_versions_are_another_for_each_row_and_known_after_the_commit() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = [Account(id=pk) for pk in range(1, 5)]
    session.add_all(added)
    session.commit()
    (table,) = script_call(talk(desk)[0]).tables
    texts = table[2][table[0].index(VERSION) :: len(table[0])]
    assert texts == [str(state_of(one).version) for one in added]
    assert len(set(texts)) == 4


def test_what_changes_in_place_is_known_as_it_was_stored() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = [Document(id=str(pk), meta={"a": pk}, maybe=pk if pk % 2 else "x") for pk in range(1, 5)]
    session.add_all(added)
    session.commit()
    assert session.dirty == []
    added[2].meta["a"] = "other"
    assert session.dirty == [added[2]]
    session.rollback()
    assert added[2].meta == {"a": 3}


def test_nested_models_are_spelled_with_those_of_their_shape() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Customer(id=pk, name="x") for pk in range(1, 5)])
    session.commit()
    (table,) = script_call(talk(desk)[0]).tables
    assert table[0] == ["id", "name", "home.city"]


def test_nested_model_that_stores_nothing_is_marked() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Holder(id=pk, part=Part()) for pk in range(1, 5)])
    session.commit()
    (table,) = script_call(talk(desk)[0]).tables
    assert (table[0], table[2][:2]) == (["id", "part"], ["1", "{}"])


def test_value_of_an_odd_type_stands_in_the_index_by_its_text() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = visits()
    vars(added[0])["city"] = Name("Rome")
    session.add_all(added)
    session.commit()
    call = script_call(talk(desk)[0])
    assert ("ZADD", "visit::city:Rome", str(NOW + 60_000), "1") in call.writes


def test_value_that_an_index_cannot_hold_is_refused_by_its_key() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = visits()
    vars(added[3])["age"] = 2**60 + 1
    session.add_all(added)
    with pytest.raises(IndexValueError, match="visit:4"):
        session.commit()
    assert desk.round_trips == 0


# ---- random keys ----------------------------------------------------------------------------------------------------


def tracks() -> list[Track]:
    return [Track(title="x") for _ in range(4)]


def test_rows_of_random_keys_are_a_table_that_nobody_looks_at() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = tracks()
    session.add_all(added)
    assert session.commit().round_trips == 1
    call = script_call(talk(desk)[0])
    assert (call.absent, call.rows, call.reads) == ([], [], [])
    assert call.tables[0][:2] == (["id", "title"], [f"track:{one.id}" for one in added])
    assert {entry[0] for entry in call.entered} == {"track::all", "track::title:x"}
    assert session.new == session.dirty == []


def test_rows_of_random_keys_are_looked_at_by_nobody_where_others_of_the_commit_are() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added: list[Any] = [*tracks(), *(Seat(id=pk) for pk in range(1, 5))]
    session.add_all(added)
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.absent == [*numbers("seat"), *(f"{key}::memo" for key in numbers("seat"))]
    assert [table[1] for table in call.tables] == [numbers("seat"), [f"track:{one.id}" for one in added[:4]]]


def test_without_scripts_rows_of_random_keys_and_their_entries_are_one_transaction_without_a_guard() -> None:
    desk = Desk(answering())
    session = session_on(desk)
    session.add_all(tracks())
    session._ride(("PUBLISH", "news", "4 rows"))
    result = session.commit()
    (request,) = talk(desk)
    assert [command[0] for command in request.commands] == ["HSET"] * 4 + ["ZADD"] * 2 + ["PUBLISH"]
    assert (result.commands, result.round_trips, result.objects) == (9, 1, 4)
    assert session.new == session.dirty == []


@pytest.mark.parametrize("why", ["given", "created", "tried"])
def test_keys_that_may_be_there_are_guarded(why: str) -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    added = tracks()
    if why == "given":
        added[3] = Track(id=uuid4())
    if why == "tried":
        state_of(added[0]).tried = True
    for one in added:
        session.add(one)
        if why == "created":
            session._created.add(id(one))
    session.commit()
    assert len(script_call(talk(desk)[0]).absent) == 8


def test_random_keys_of_a_commit_whose_answer_was_lost_are_guarded_from_then_on() -> None:
    def lose(request: Batch | Watch) -> Any:
        return CommitUnknownError("lost")

    added = tracks()
    session = session_on(Desk(lose))
    session.add_all(added)
    with pytest.raises(CommitUnknownError):
        session.commit()
    session.close()
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all(added)
    session.commit()
    assert len(script_call(talk(desk)[0]).absent) == 8


def test_unique_values_of_rows_of_random_keys_are_guarded() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Ghost(name=f"n{number}") for number in range(4)])
    session.commit()
    assert "ghost::unique:name:n0" in script_call(talk(desk)[0]).absent


# ---- automatic keys -------------------------------------------------------------------------------------------------


def tickets(count: int = 4) -> list[Ticket]:
    return [Ticket(title=f"t{number}") for number in range(count)]


def counting(*counts: int, then: Any = agreeing, scripts: bool = True) -> Desk:
    """A server whose counters stand at these numbers after each step."""
    steps = iter(counts)

    def answer(request: Batch | Watch) -> Any:
        if isinstance(request, Batch) and request.commands[0][0] == "INCRBY" and not request.atomic:
            return [next(steps) for _ in request.commands]
        return then(request)

    return Desk(answer, supports={"EVALSHA": True} if scripts else {})


@pytest.mark.parametrize("scripts", [True, False])
def test_automatic_keys_are_numbered_in_one_step_and_known_after_the_commit(scripts: bool) -> None:
    desk = counting(14, scripts=scripts, then=agreeing if scripts else answering([0]))
    session = session_on(desk)
    added = tickets()
    session.add_all(added)
    assert session.commit().objects == 4
    assert talk(desk)[0].commands == [("INCRBY", "ticket::id:next", 4)]
    assert [one.id for one in added] == [11, 12, 13, 14]
    assert session.get(Ticket, 12) is added[1]
    assert "id" in added[0].model_fields_set
    assert session.new == session.dirty == []
    if scripts:
        assert script_call(talk(desk)[1]).absent == [f"ticket:{pk}" for pk in range(11, 15)]
    else:
        assert talk(desk)[2].commands[0][:4] == ("HSET", "ticket:11", "id", "11")


def test_object_whose_number_was_given_by_hand_is_looked_at_and_raises_the_counter() -> None:
    desk = counting(4, then=answering([0, b"4"]))
    session = session_on(desk)
    added = [*tickets(), Ticket(id=70, title="given")]
    session.add_all(added)
    session.commit()
    _, watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert [command[1] for command in write.commands if command[0] == "HSET"] == [f"ticket:{pk}" for pk in (70, 1, 2, 3, 4)]
    assert ("INCRBY", "ticket::id:next", 66) in write.commands
    assert [one.id for one in added] == [1, 2, 3, 4, 70]


def test_two_classes_of_one_counter_share_its_step() -> None:
    desk = counting(8)
    session = session_on(desk)
    added: list[Any] = [*tickets(), *(AsyncTicket(title="a") for _ in range(4))]
    session.add_all(added)
    session.commit()
    assert talk(desk)[0].commands == [("INCRBY", "ticket::id:next", 8)]
    assert [one.id for one in added] == list(range(1, 9))


def test_numbers_that_are_taken_are_given_up_for_others() -> None:
    """The counter was lost: the script finds a row, and so does who looks; then others are asked for."""
    other: Any = answering([1], [b"hash", b"none", b"none", b"none"], [0])
    desk = counting(4, 8, then=lambda request: [None] if request.commands[0][0] == "EVALSHA" else other(request))
    session = session_on(desk)
    added = tickets()
    session.add_all(added)
    session.commit()
    assert [one.id for one in added] == [8, 2, 3, 4]


def test_numbers_of_a_commit_whose_answer_was_lost_are_kept() -> None:
    desk = counting(4, then=lambda _: CommitUnknownError("lost"))
    session = session_on(desk)
    added = tickets()
    session.add_all(added)
    with pytest.raises(CommitUnknownError):
        session.commit()
    assert [one.id for one in added] == [1, 2, 3, 4]


def test_numbers_of_a_commit_that_had_to_look_and_whose_answer_was_lost_are_kept() -> None:
    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "EVALSHA":
            return [None]
        return [0] if isinstance(request, Watch) else CommitUnknownError("lost")

    session = session_on(counting(4, then=answer))
    added = tickets()
    session.add_all(added)
    with pytest.raises(CommitUnknownError):
        session.commit()
    assert [one.id for one in added] == [1, 2, 3, 4]


def test_object_without_a_number_that_is_added_twice_is_one() -> None:
    session = session_on(counting(5))
    added = tickets()
    session.add_all([*added, added[0]])
    assert len(session.new) == 4


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_live_structures_of_a_former_life_must_be_absent() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([Fan(id=pk) for pk in range(1, 5)])
    session.commit()
    assert script_call(talk(desk)[0]).absent == [*numbers("fan"), *(f"{key}:seen" for key in numbers("fan"))]


def test_row_that_is_there_makes_the_commit_look_at_each() -> None:
    desk = desk_that_finds_otherwise([0], [0] * 4)
    session = session_on(desk)
    added = visits()
    session.add_all(added)
    assert session.commit().objects == 4
    _, watch, write = talk(desk)
    assert isinstance(watch, Watch)
    assert ("PEXPIREAT", "visit:1", NOW + 60_000) in write.commands
    assert session.dirty == []


class Short(RedisModel, prefix="short"):
    """A field with a life of its own."""

    id: int
    code: str | None = Field(default=None, ttl=5)


class Counted(RedisModel, prefix="counted"):
    """A value that follows from others."""

    id: int

    @computed_field  # type: ignore[prop-decorator]  # as Pydantic says
    @property
    def double(self) -> int:
        return 2 * self.id


class Loose(RedisModel, prefix="loose", extra="allow"):
    """Fields that are not declared."""

    id: int


@pytest.mark.parametrize("model", [Counted, Short, Loose], ids=["computed", "short", "open"])
def test_rows_of_which_more_follows_than_their_values_say_are_spelled_one_by_one(model: type[MappedModel]) -> None:
    assert not NewRows.fit(mapper_of(model))
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add_all([model.model_validate({"id": pk}) for pk in range(1, 5)])
    assert session.commit().objects == 4

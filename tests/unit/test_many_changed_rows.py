"""Many changed or deleted rows of one class: spelled column by column, written by one script, looked at one by one where they must be."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from redisorm import Field, IndexValueError, RedisModel, SessionError, StaleObjectError
from redisorm.commands import Watch
from redisorm.flows.committing import CommitResult
from redisorm.mapping.base import MappedModel
from redisorm.unitofwork.state import Phase, state_of
from tests.unit.desk import (
    NOW,
    Desk,
    atomic,
    committed,
    deleted,
    deletion,
    desk_that_agrees,
    desk_that_finds_otherwise,
    holding,
    script_call,
    session_on,
    stored,
    talk,
)
from tests.zoo.models import Board, User

M = TypeVar("M", bound=MappedModel)


class Plain(RedisModel, prefix="plain"):
    """Indexes of a row that is its hash alone."""

    id: int
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    rank: int | None = Field(default=None, index=True)
    note: str | None = None


class Rated(RedisModel, prefix="rated"):
    """An index whose values have to be checked first."""

    id: int
    grade: int = Field(default=1, index=True, ge=0)
    tier: int | str = Field(default=1, index=True)
    note: str = ""


class Page(RedisModel, prefix="page", versioned=True):
    """A versioned row."""

    id: int
    text: str = ""


class Chapter(RedisModel, prefix="chapter", versioned=True):
    """A versioned row in an index."""

    id: int
    part: int = Field(default=0, index=True)


class AlsoUser(RedisModel, prefix="user"):
    """Another class that reads the rows of `User`."""

    id: int
    name: str


def users(count: int = 4) -> list[User]:
    return [stored(User, {"id": pk, "name": f"n{pk}", "age": pk}) for pk in range(count)]


def plains(count: int = 4) -> list[Plain]:
    return [stored(Plain, {"id": pk, "name": "a", "city": "Oslo", "age": pk, "note": "x"}) for pk in range(count)]


# ---- changed rows -------------------------------------------------------------------------------------------------------


def test_rows_in_which_one_field_changed_are_one_table_that_must_be_there_without_a_life_of_its_own() -> None:
    objects = users()
    desk, session = holding(objects)
    for user in objects:
        user.name = f"new {user.id}"
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=4)
    call = script_call(talk(desk)[0])
    keys = ["user:0", "user:1", "user:2", "user:3"]
    assert (call.keys, call.absent, call.writes, call.reads, call.tables) == (keys, [], [], [], [])
    assert call.loaded == [(["name"], keys, ["new 0", "new 1", "new 2", "new 3"])]
    assert call.rows == [(("HMGET", key, ":ttl"), [b"-"]) for key in keys]


def test_objects_know_afterwards_what_they_are_at_the_server() -> None:
    objects = users()
    desk, session = holding(objects)
    for user in objects:
        user.name = "new"
    session.commit()
    assert session.dirty == []
    objects[1].age = 77
    assert session.dirty == [objects[1]]
    session.rollback()
    assert (objects[1].name, objects[1].age) == ("new", 1)
    objects[1].age = 78
    session.commit()
    assert script_call(talk(desk)[1]).writes == [("HSET", "user:1", "age", 78)]


def test_only_objects_that_changed_are_written() -> None:
    objects = users(9)
    desk, session = holding(objects)
    for user in objects[::2]:
        user.age += 100
    for user in objects[1::2]:
        user.name = f"n{user.id}"  # another text that is equal
    assert session.commit().objects == 5
    assert script_call(talk(desk)[0]).loaded == [(["age"], [f"user:{pk}" for pk in range(0, 9, 2)], [100, 102, 104, 106, 108])]


def test_nothing_is_sent_where_all_values_are_equal_to_those_before() -> None:
    objects = users()
    desk, session = holding(objects)
    for user in objects:
        user.name = f"n{user.id}"
    assert session.commit() == CommitResult(0, 0, 0)
    assert desk.round_trips == 0


def test_value_of_another_type_is_checked_and_compared_as_text() -> None:
    objects = [stored(User, {"id": pk, "name": "n", "age": pk % 2}) for pk in range(4)]
    desk, session = holding(objects)
    for user in objects:
        vars(user)["age"] = bool(user.age)  # 1 == True
    assert session.commit() == CommitResult(0, 0, 0)
    for user in objects:
        vars(user)["age"] = "many"
    with pytest.raises(ValidationError, match="age"):
        session.commit()
    assert desk.round_trips == 0


def test_rows_in_which_different_fields_changed_are_tables_of_their_own() -> None:
    objects = [stored(User, {"id": pk, "name": "n", "age": pk, "email": f"{pk}@x"}) for pk in range(6)]
    desk, session = holding(objects)
    for user in objects[:2]:
        user.name = "new"
    objects[2].name, objects[2].age = "both", 9
    objects[3].email = None
    objects[4].email, objects[4].name = None, "gone"
    objects[5].email = "other"
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.loaded == [
        (["name"], ["user:0", "user:1"], ["new", "new"]),
        (["name", "age"], ["user:2"], ["both", 9]),
        ([], ["user:3"], []),
        (["name"], ["user:4"], ["gone"]),
        (["email"], ["user:5"], ["other"]),
    ]
    assert call.writes == [("HDEL", "user:3", "email"), ("HDEL", "user:4", "email")]


def test_field_that_none_of_the_rows_had_is_set() -> None:
    call = committed(users(), email="a@x")
    assert call.loaded == [(["email"], [f"user:{pk}" for pk in range(4)], ["a@x"] * 4)]
    assert call.rows[0] == (("HMGET", "user:0", ":ttl"), [b"-"])


def test_rows_move_in_the_indexes_of_what_changed_and_must_have_what_they_were_loaded_with() -> None:
    objects = plains()
    desk, session = holding(objects)
    for one in objects:
        one.age, one.city = one.age + 10, "Oslo" if one.id % 2 else "Rome"
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.absent == [f"plain:{pk}::memo" for pk in (0, 2, 1, 3)]
    assert call.loaded == [
        (["city", "age"], ["plain:0", "plain:2"], ["Rome", 10, "Rome", 12]),
        (["age"], ["plain:1", "plain:3"], [11, 13]),
    ]
    assert call.rows[0] == (("HMGET", "plain:0", "city", "age", ":ttl"), [b"=Oslo", b"=0", b"-"])
    assert call.rows[3] == (("HMGET", "plain:3", "age", ":ttl"), [b"=3", b"-"])
    assert call.writes == [
        ("ZREM", "plain::city:Oslo", "0", "2"),
        ("ZADD", "plain::city:Rome", "inf", "0", "inf", "2"),
        ("ZADD", "plain::age", "10", "0", "12", "2", "11", "1", "13", "3"),
    ]
    assert {"plain::city:Oslo", "plain::city:Rome", "plain::age"} <= set(call.keys)


def test_value_that_comes_and_goes_moves_between_the_entries_of_a_value_and_of_none() -> None:
    call = committed(plains(), rank=3, city=None)
    assert call.rows[0] == (("HMGET", "plain:0", "city", ":ttl", "rank"), [b"=Oslo", b"-", b"-"])
    everyone = ["0", "1", "2", "3"]
    assert call.writes == [
        *(("HDEL", f"plain:{pk}", "city") for pk in everyone),
        ("ZREM", "plain::city:Oslo", *everyone),
        ("ZREM", "plain::rank:", *everyone),
        ("ZADD", "plain::city:", "inf", "0", "inf", "1", "inf", "2", "inf", "3"),
        ("ZADD", "plain::rank", "3", "0", "3", "1", "3", "2", "3", "3"),
    ]


def test_entries_of_texts_in_their_order_are_moved_one_by_one() -> None:
    call = committed(plains(), name="b")
    assert call.writes == [
        ("ZREM", "plain::name", *(f"a\0{pk}" for pk in range(4))),
        ("ZADD", "plain::name", *(word for pk in range(4) for word in ("0", f"b\0{pk}"))),
    ]


def test_change_beside_the_indexes_leaves_them_alone() -> None:
    call = committed(plains(), note=None)
    assert (call.absent, call.writes) == ([], [("HDEL", f"plain:{pk}", "note") for pk in range(4)])
    assert call.loaded == [([], [f"plain:{pk}" for pk in range(4)], [])]


def test_value_that_an_index_cannot_hold_is_refused_with_its_key_and_nothing_is_sent() -> None:
    objects = plains()
    desk, session = holding(objects)
    for one in objects:
        one.age = 2**53 + (one.id == 2)
    with pytest.raises(IndexValueError, match=r"Plain\.age: 9007199254740993 of plain:2 cannot be indexed"):
        session.commit()
    assert desk.round_trips == 0
    assert len(session.dirty) == 4


def test_object_that_lacks_a_field_is_refused_by_name_and_nothing_is_sent() -> None:
    objects = users()
    desk, session = holding(objects)
    for user in objects:
        user.age += 1
    del vars(objects[2])["name"]
    with pytest.raises(ValidationError, match="name"):
        session.commit()
    assert desk.round_trips == 0


def test_half_of_a_pair_of_surrogates_is_refused_by_its_field() -> None:
    def unsendable(_: Any) -> Any:
        return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    desk = Desk(unsendable, supports={"EVALSHA": True})
    session = session_on(desk)
    objects = users()
    session.add_all(objects)
    for user in objects:
        user.name = "\ud800"
    with pytest.raises(ValidationError, match=r"User user:0\nname"):
        session.commit()
    assert len(session.dirty) == 4


def test_where_a_row_is_otherwise_each_is_looked_at_and_nothing_is_written_where_one_is_gone() -> None:
    there = [[b"0", None], [b"1", None], [None, None], [b"3", None]]
    desk = desk_that_finds_otherwise(there, [0])
    session = session_on(desk)
    objects = users()
    session.add_all(objects)
    for user in objects:
        user.name = "new"
    with pytest.raises(StaleObjectError, match=r"User 2 is gone"):
        session.commit()
    assert isinstance(talk(desk)[1], Watch)
    assert session.dirty == objects


def test_where_a_row_has_got_a_life_each_is_written_by_itself_and_that_restarts() -> None:
    there = [[b"0", None], [b"1", b"60"], [b"2", None], [b"3", None]]
    desk = desk_that_finds_otherwise(there)
    session = session_on(desk)
    objects = users()
    session.add_all(objects)
    for user in objects:
        user.name = "new"
    session.commit()
    commands = list(talk(desk)[2].commands)
    assert [command[0] for command in commands] == ["HSET", "HSET", "PEXPIREAT", "HSET", "HSET"]
    assert [state_of(user).life for user in objects] == [None, 60_000, None, None]
    assert session.dirty == []


def test_rows_of_fewer_objects_or_with_wishes_of_their_own_are_looked_at_by_themselves() -> None:
    assert committed(users(3), name="new").loaded == []
    assert committed([stored(User, {"id": pk, "name": "n"}, life="60") for pk in range(4)], name="new").loaded == []
    assert committed([stored(Page, {"id": pk}, version=None if pk == 2 else 7) for pk in range(4)], text="new").loaded == []
    assert committed([stored(Rated, {"id": pk, "grade": 1, "tier": 1}) for pk in range(4)], tier=2).loaded == []
    objects = users()
    desk, session = holding(objects)
    for user in objects:
        user.name = "new"
    session.increment(objects[0], "age")
    session.expire(objects[1], 60)
    session.commit()
    assert script_call(talk(desk)[0]).loaded == []


def test_few_rows_with_wishes_of_their_own_are_changes_of_their_own_beside_the_others() -> None:
    objects = [*users(6), stored(User, {"id": 6, "name": "n"}, life="60")]
    desk, session = holding(objects)
    for user in objects[2:]:
        user.name = "new"
    session.increment(objects[0], "age", 5)
    session.expire(objects[1], 60)
    session.delete(objects[4])
    objects.append(stored(User, {"id": 7, "name": "n"}))
    session.add(objects[7])
    objects[7].name = "new"
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=8)
    call = script_call(talk(desk)[0])
    assert call.loaded == [(["name"], ["user:2", "user:3", "user:5", "user:7"], ["new"] * 4)]
    assert {command[1] for command, _ in call.rows} == {f"user:{pk}" for pk in range(8)} - {"user:4"}
    assert call.writes == [
        ("UNLINK", "user:4"),
        ("HSET", "user:0", "age", "5"),
        ("HSET", "user:1", ":ttl", "60"),
        ("PEXPIREAT", "user:1", NOW + 60_000),
        ("HSET", "user:6", "name", "new"),
        ("PEXPIREAT", "user:6", NOW + 60_000),
    ]
    assert (objects[0].age, session.dirty) == (5, [])
    assert [state_of(user).life for user in objects] == [None, 60_000, None, None, None, None, 60_000, None]


def test_row_that_another_program_wrote_without_a_version_is_a_change_of_its_own() -> None:
    call = committed([stored(Page, {"id": pk}, version=None if pk == 2 else 7) for pk in range(5)], text="new")
    assert [keys for _, keys, _ in call.loaded] == [["page:0", "page:1", "page:3", "page:4"]]
    assert [command[1] for command in call.writes] == ["page:2"]


def test_row_that_stands_on_its_own_under_the_key_of_another_is_looked_at_with_it() -> None:
    desk = desk_that_agrees([[b"%d" % pk, None] for pk in (2, 0, 1, 2, 3)])
    session = session_on(desk)
    many, one = users(), stored(AlsoUser, {"id": 2, "name": "n"})
    session.add_all([*many, one])
    for obj in [*many, one]:
        obj.name = "new"
    session.commit()
    look, written = talk(desk)
    assert isinstance(look, Watch)
    assert [command[1] for command in written.commands] == [f"user:{pk}" for pk in (2, 0, 1, 2, 3)]


def test_versioned_rows_must_have_their_versions_and_get_the_next_ones() -> None:
    objects = [stored(Page, {"id": pk, "text": "old"}, version=pk + 7) for pk in range(4)]
    desk, session = holding(objects)
    for page in objects:
        page.text = "new"
    session.commit()
    call = script_call(talk(desk)[0])
    assert call.rows == [(("HMGET", f"page:{pk}", ":version", ":ttl"), [b"=%d" % (pk + 7), b"-"]) for pk in range(4)]
    assert call.loaded == [(["text", ":version"], [f"page:{pk}" for pk in range(4)], ["new", 8, "new", 9, "new", 10, "new", 11])]
    assert [state_of(page).version for page in objects] == [8, 9, 10, 11]


def test_version_that_moved_meanwhile_is_told_and_nothing_is_written() -> None:
    there = [[b"0", None, b"7"], [b"1", None, b"7"], [b"2", None, b"9"], [b"3", None, b"7"]]
    desk = desk_that_finds_otherwise(there)
    session = session_on(desk)
    objects = [stored(Page, {"id": pk, "text": "old"}, version=7) for pk in range(4)]
    session.add_all(objects)
    for page in objects:
        page.text = "new"
    with pytest.raises(StaleObjectError, match="version 7 was expected under page:2, 9 found"):
        session.commit()
    assert [state_of(page).version for page in objects] == [7] * 4
    assert session.dirty == objects


def test_key_assigned_behind_the_back_of_the_class_is_left_to_the_general_way() -> None:
    objects = users()
    desk, session = holding(objects)
    for user in objects:
        vars(user)["id"] = user.id + 100
    session.commit()
    assert script_call(talk(desk)[0]).loaded == []


def test_batches_count_changed_objects() -> None:
    objects = users(12)
    desk, session = holding(objects)
    for user in objects[2:]:
        user.name = "new"
    assert session.commit(batch=5) == CommitResult(commands=6, round_trips=2, objects=10)
    assert [len(script_call(request).loaded[0][1]) for request in talk(desk)] == [5, 5]


def test_new_changed_and_deleted_rows_are_one_script() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    old, gone = users(), [stored(Plain, {"id": pk, "name": "a", "city": "Oslo", "age": pk}) for pk in range(4)]
    session.add_all([*old, *gone])
    session.add_all([User(id=pk, name="new") for pk in range(10, 14)])
    session.add(User(id=14, name="new"), ttl=60)
    gone.append(stored(Plain, {"id": 4, "name": "a", "city": "Oslo", "age": 4}, life="60"))
    for user in old:
        user.name = "changed"
    for one in gone:
        session.delete(one)
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=14)
    call = script_call(talk(desk)[0])
    assert [keys for _, keys, _ in call.tables] == [["user:10", "user:11", "user:12", "user:13"], ["user:14"]]
    assert [keys[0] for _, keys, _ in call.loaded] == ["plain:0", "user:0"]
    assert [command for command in call.writes if command[0] in ("UNLINK", "PEXPIREAT")] == [
        ("UNLINK", "plain:4"),
        ("PEXPIREAT", "user:14", NOW + 60_000),
        ("UNLINK", "plain:0", "plain:1", "plain:2", "plain:3"),
        ("UNLINK", "plain:4::memo"),
    ]
    assert len(session.new) == len(session.dirty) == len(session.deleted) == 0


def test_two_classes_over_one_key_are_looked_at_one_by_one() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    one, other = users(), [stored(AlsoUser, {"id": pk, "name": "n"}) for pk in range(4)]
    session.add_all(one)
    session.add_all(other)
    for obj in [*one, *other]:
        obj.name = "new"
    session.commit()
    assert script_call(talk(desk)[0]).loaded == []


def boards(count: int = 4) -> list[Board]:
    return [stored(Board, {"id": pk, "name": "n"}, [b"a"], [b"1", b"2"], [b"x", b"1"]) for pk in range(count)]


def test_collections_that_changed_are_written_by_the_smallest_commands_and_must_be_of_their_types() -> None:
    objects = boards(6)
    desk, session = holding(objects)
    for board in objects[:4]:
        board.tags.add("b")
    objects[1].name = "new"
    objects[4].jobs.clear()
    assert session.commit() == CommitResult(commands=3, round_trips=1, objects=5)
    call = script_call(talk(desk)[0])
    assert call.loaded == [([], ["board:0", "board:2", "board:3", "board:4"], []), (["name"], ["board:1"], ["new"])]
    assert call.rows == [(("HMGET", f"board:{pk}", ":ttl"), [b"-"]) for pk in (0, 2, 3, 4, 1)]
    assert call.types == {**{f"board:{pk}:tags": "set" for pk in range(4)}, "board:4:jobs": "list"}
    assert call.writes == [*(("SADD", f"board:{pk}:tags", b"b") for pk in range(4)), ("UNLINK", "board:4:jobs")]
    assert session.dirty == []
    objects[0].tags.discard("a")
    session.commit()
    assert script_call(talk(desk)[1]).writes == [("SREM", "board:0:tags", b"a")]


def test_collections_that_are_as_they_were_after_all_are_not_written() -> None:
    objects = boards()
    _, session = holding(objects)
    for board in objects:
        board.tags.add("b")
        board.tags.discard("b")
        board.jobs = ["1", "2"]
    objects[0].name = "new"
    assert session.commit().objects == 1
    assert session.dirty == []


def test_element_that_does_not_fit_is_refused_with_its_key_and_nothing_is_sent() -> None:
    objects = boards()
    desk, session = holding(objects)
    for board in objects:
        board.jobs.append(None if board.id == 2 else "3")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"Board board:2\njobs"):
        session.commit()
    assert desk.round_trips == 0


# ---- stored objects come into a session ---------------------------------------------------------------------------------


def test_many_stored_objects_come_into_a_session_and_are_its_own() -> None:
    objects = users()
    desk, session = holding(objects)
    assert all(one in session for one in objects)
    assert [state_of(one).phase for one in objects] == [Phase.PERSISTENT] * 4
    assert session.get(User, 2) is objects[2]
    assert session.dirty == []
    with pytest.raises(SessionError, match="belongs to another open session"):
        session_on(desk).add_all(objects)


def test_second_object_of_a_row_is_refused() -> None:
    session = session_on(desk_that_agrees())
    session.add_all(users())
    with pytest.raises(SessionError, match="another object for user:0"):
        session.add_all(users())


def test_object_without_its_key_or_of_another_namespace_is_refused() -> None:
    desk = desk_that_agrees()
    desk.namespace = "other:"
    with pytest.raises(SessionError, match="was stored under user:0"):
        session_on(desk).add_all(users())
    objects = users()
    vars(objects[1])["id"] = None
    with pytest.raises(ValidationError):
        session_on(desk_that_agrees()).add_all(objects)


# ---- deleted rows -------------------------------------------------------------------------------------------------------


def test_rows_that_nobody_looks_at_before_are_removed_by_one_command_with_all_that_belongs_to_them() -> None:
    sent = deletion([stored(Board, {"id": pk}, [], [], []) for pk in range(4)])
    names = [f"board:{pk}" for pk in range(4)]
    assert sent == atomic(("UNLINK", *names, *(f"{one}:{name}" for name in ("tags", "jobs", "scores") for one in names)))


def test_rows_with_a_life_of_their_own_lose_it_with_the_row() -> None:
    objects = [stored(User, {"id": pk, "name": "n"}, life="60") for pk in range(4)]
    assert deletion(objects) == atomic(("UNLINK", *(f"user:{pk}" for pk in range(4))))
    assert {state_of(user).life for user in objects} == {None}


def test_rows_in_indexes_must_be_as_loaded_and_leave_them_index_by_index() -> None:
    objects = [stored(Plain, {"id": pk, "name": "a", "city": "Oslo" if pk % 2 else None, "age": pk}) for pk in range(4)]
    call = deleted(objects)
    assert call.absent == [f"plain:{pk}::memo" for pk in (0, 2, 1, 3)]
    assert call.rows[0] == (("HMGET", "plain:0", "name", "age", ":ttl", "city", "rank"), [b"=a", b"=0", b"-", b"-", b"-"])
    assert call.rows[2] == (("HMGET", "plain:1", "name", "city", "age", ":ttl", "rank"), [b"=a", b"=Oslo", b"=1", b"-", b"-"])
    assert call.writes == [
        ("UNLINK", "plain:0", "plain:2", "plain:1", "plain:3"),
        ("ZREM", "plain::all", "0", "2", "1", "3"),
        ("ZREM", "plain::name", "a\x000", "a\x002", "a\x001", "a\x003"),
        ("ZREM", "plain::city:", "0", "2"),
        ("ZREM", "plain::age", "0", "2", "1", "3"),
        ("ZREM", "plain::rank:", "0", "2", "1", "3"),
        ("ZREM", "plain::city:Oslo", "1", "3"),
    ]


def test_versioned_rows_are_deleted_where_they_have_their_versions() -> None:
    call = deleted([stored(Page, {"id": pk}, version=pk + 7) for pk in range(4)])
    assert call.rows == [(("HMGET", f"page:{pk}", ":version"), [b"=%d" % (pk + 7)]) for pk in range(4)]
    indexed = deleted([stored(Chapter, {"id": pk, "part": 1}, version=pk + 7) for pk in range(4)])
    assert indexed.rows[1] == (("HMGET", "chapter:1", "part", ":version", ":ttl"), [b"=1", b"=8", b"-"])


def test_deleted_rows_that_have_to_be_looked_at_are() -> None:
    for objects in (
        [stored(Page, {"id": pk}, version=None if pk == 2 else 7) for pk in range(4)],
        [stored(Plain, {"id": pk, "name": "a", "age": pk}, life="60") for pk in range(4)],
        [stored(Rated, {"id": pk, "grade": 1, "tier": 1}) for pk in range(4)],
    ):
        desk = desk_that_agrees()
        session = session_on(desk)
        for obj in objects:
            session.delete(obj)
        session.commit()
        call = script_call(talk(desk)[0])
        assert call.loaded == []
        assert [key for command in call.writes if command[0] == "UNLINK" for key in map(str, command[1:]) if not key.endswith("memo")] == [
            f"{type(objects[0]).__name__.lower()}:{pk}" for pk in range(4)
        ]


def test_deleted_rows_that_were_never_loaded_are_looked_at_where_they_may_stand_in_indexes() -> None:
    texts = [[b"a", None, b"1", None, str(pk).encode(), None] for pk in range(4)]
    desk = desk_that_agrees([answer for text in texts for answer in (text, -1, [])])
    session = session_on(desk)
    for pk in range(4):
        session.delete(Plain(id=pk, name="a", age=1))
    assert session.commit().round_trips == 2
    assert isinstance(talk(desk)[0], Watch)


def test_value_that_does_not_stand_in_its_index_as_loaded_is_left_to_the_general_way() -> None:
    objects = [stored(Plain, {"id": pk, "name": "a", "age": 2**53 + 1}) for pk in range(4)]
    desk = desk_that_agrees()
    session = session_on(desk)
    for obj in objects:
        session.delete(obj)
    session.commit()
    assert script_call(talk(desk)[0]).loaded == []


def test_new_object_takes_the_key_of_a_deleted_one_in_the_same_commit() -> None:
    desk = desk_that_agrees()
    session = session_on(desk)
    for user in users():
        session.delete(user)
    session.add_all([User(id=pk, name="again") for pk in range(4)])
    session.commit()
    call = script_call(talk(desk)[0])
    assert [command[0] for command in call.writes].count("UNLINK") == 4

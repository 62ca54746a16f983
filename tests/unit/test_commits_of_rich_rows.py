"""One row with a life, a version or unique values: one short script verifies what it is taken for and writes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import create_model

from redisorm import BackendError, Field, IndexValueError, RedisModel
from redisorm.commands import Batch, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.richrow import rich_row
from redisorm.keys import VERSION
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import state_of
from tests.unit.desk import NOW, change_to, desk_that_agrees, script_call, scripting, session_on, stored, talk
from tests.zoo.models import Lease, User


class Visit(RedisModel, prefix="visit", ttl=60):
    """A row that expires, in indexes, with a unique value."""

    id: int
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True)
    seat: str | None = Field(default=None, unique=True)
    note: str = ""


class Session(RedisModel, prefix="session", ttl=60):
    """A row that expires."""

    id: int
    user: int = 0
    note: str | None = None


class Owner(RedisModel, prefix="owner"):
    """A unique value for ever."""

    id: int
    email: str = Field(unique=True)


class Purse(RedisModel, prefix="purse", versioned=True):
    """A row whose writes are counted."""

    id: int
    balance: int = 0


class Vow(RedisModel, prefix="vow", ttl=60, ttl_refresh="never"):
    """A row that expires, whatever is written of it."""

    id: int
    text: str = ""


def saved(obj: RedisModel, ttl: float | None = None) -> ScriptedDriver:
    driver = scripting()
    driver.run(verbs.save(obj, ttl, ""))
    return driver


def test_new_row_expires_from_its_first_write() -> None:
    session = Session(id=1, user=7)
    driver = saved(session)
    (request,) = talk(driver)
    assert isinstance(request, Batch)
    call = script_call(request)
    assert (request.atomic, call.keys, call.absent) == (False, ["session:1"], ["session:1"])
    assert call.writes == [("HSET", "session:1", "id", 1, "user", 7), ("PEXPIREAT", "session:1", NOW + 60_000)]
    assert state_of(session).life is None


def test_each_write_restarts_the_life_of_a_row_that_has_none_of_its_own() -> None:
    session = stored(Session, {"id": 1, "user": 7, "note": "x"})
    session.user, session.note = 8, None
    call = script_call(talk(saved(session))[0])
    assert call.rows == [(("HMGET", "session:1", "id", ":ttl"), [b"=1", b"-"])]
    assert call.writes == [
        ("HSET", "session:1", "user", 8),
        ("HDEL", "session:1", "note"),
        ("PEXPIREAT", "session:1", NOW + 60_000),
    ]


def test_removal_alone_restarts_it_too() -> None:
    session = stored(Session, {"id": 1, "note": "x"})
    session.note = None
    assert [command[0] for command in script_call(talk(saved(session))[0]).writes] == ["HDEL", "PEXPIREAT"]


def test_life_that_nothing_restarts_is_left_alone() -> None:
    vow = stored(Vow, {"id": 1})
    vow.text = "x"
    assert [command[0] for command in script_call(talk(saved(vow))[0]).writes] == ["HSET"]


def test_life_of_its_own_is_remembered_with_a_new_row() -> None:
    user = User(id=1, name="Ann")
    assert script_call(talk(saved(user, 5))[0]).writes == [
        ("HSET", "user:1", "id", 1, "name", "Ann", "age", 0, ":ttl", "5"),
        ("PEXPIREAT", "user:1", NOW + 5000),
    ]
    assert (state_of(user).life, state_of(user).wanted_life) == (5000, None)


def test_new_row_for_ever_of_a_class_that_expires_has_no_deadline_and_no_memo() -> None:
    desk = desk_that_agrees()
    with session_on(desk) as session:
        visit = Visit(id=1)
        session.add(visit)
        session.expire(visit, None)
        session.commit()
    writes = script_call(talk(desk)[0]).writes
    assert [command[0] for command in writes] == ["HSET", "ZADD", "ZADD", "ZADD", "ZADD", "ZRANGE"]
    assert {command[2] for command in writes if command[0] == "ZADD" and command[1] != "visit::age"} == {"inf"}


def test_new_row_that_expires_stands_in_its_indexes_until_then_and_is_remembered() -> None:
    visit = Visit(id=1, city="Oslo", age=3, seat="a1")
    driver = saved(visit)
    call, until = script_call(talk(driver)[0]), NOW + 60_000
    assert call.absent == ["visit:1", "visit:1::memo", "visit::unique:seat:a1"]
    assert call.writes[1:] == [
        ("PEXPIREAT", "visit:1", until),
        ("ZADD", "visit::all", str(until), "1"),
        ("ZADD", "visit::city:Oslo", str(until), "1"),
        ("ZADD", "visit::age", "3", "1"),
        ("SET", "visit::unique:seat:a1", "1", "PXAT", until),
        ("HSET", "visit:1::memo", "city:Oslo", "", "age", "", "unique:seat:a1", ""),
        ("ZRANGE", "visit::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 2),
    ]
    assert set(call.keys) == {*call.absent, *(command[1] for command in call.writes)}


def test_rows_that_are_told_to_have_expired_are_swept() -> None:
    asked: list[Any] = []

    def answer(request: Batch | Watch) -> Any:
        asked.append(request)
        return [[b"9"]] if len(asked) == 1 else BackendError("down")

    driver = ScriptedDriver(answer, supports={"EVALSHA": True})
    driver.run(verbs.save(Visit(id=1), None, ""))  # that it cannot sweep is no matter
    assert "visit:9" in str(asked[1])


def test_unique_value_is_taken_where_it_is_free() -> None:
    call = script_call(talk(saved(Owner(id=1, email="a@x")))[0])
    assert call.absent == ["owner:1", "owner:1::memo", "owner::unique:email:a@x"]
    assert call.writes[1:] == [("ZADD", "owner::all", "inf", "1"), ("SET", "owner::unique:email:a@x", "1")]


class Stay(RedisModel, prefix="stay", ttl=60):
    """A row that expires, in indexes of several kinds."""

    id: int
    city: str | None = Field(default=None, index=True)
    name: str = Field(default="", index="lex")
    age: int = Field(default=0, index=True)
    note: str = ""


def test_write_moves_all_entries_of_a_row_that_expires_to_its_new_deadline() -> None:
    stay = stored(Stay, {"id": 1, "city": "Oslo", "name": "a", "age": 3})
    stay.note = "x"
    call, until = script_call(talk(saved(stay))[0]), str(NOW + 60_000)
    assert call.rows == [
        (("HMGET", "stay:1", "id", ":ttl", "city", "name", "age"), [b"=1", b"-", b"=Oslo", b"=a", b"=3"]),
        (("HMGET", "stay:1::memo", "city:Oslo", "name", "age"), [b"=", b"=a\0" + b"1", b"="]),
    ]
    assert call.writes[2:] == [
        ("ZADD", "stay::city:Oslo", until, "1"),
        ("ZADD", "stay::all", until, "1"),
        ("ZRANGE", "stay::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 2),
    ]


def test_write_moves_a_row_that_expires_from_old_entries_to_new_ones_and_its_memo_tells() -> None:
    stay = stored(Stay, {"id": 1, "city": "Oslo", "name": "a", "age": 3})
    stay.city, stay.name, stay.age = None, "b", 4
    call, until = script_call(talk(saved(stay))[0]), str(NOW + 60_000)
    assert call.writes[3:-1] == [
        ("ZREM", "stay::city:Oslo", "1"),
        ("ZADD", "stay::city:", until, "1"),
        ("ZREM", "stay::name", "a\0" + "1"),
        ("ZADD", "stay::name", "0", "b\0" + "1"),
        ("ZADD", "stay::age", "4", "1"),
        ("ZADD", "stay::all", until, "1"),
        ("HSET", "stay:1::memo", "city:", "", "name", "b\0" + "1"),
        ("HDEL", "stay:1::memo", "city:Oslo"),
    ]


class Post(RedisModel, prefix="post", versioned=True):
    """A row whose writes are counted, in an index for ever."""

    id: int
    topic: str = Field(default="", index=True)


def test_versioned_row_moves_in_its_index_where_nothing_is_remembered_of_it() -> None:
    post = stored(Post, {"id": 1, "topic": "a"}, version=7)
    post.topic = "b"
    call = script_call(talk(saved(post))[0])
    assert call.absent == ["post:1::memo"]
    assert call.rows == [(("HMGET", "post:1", "id", ":ttl", VERSION, "topic"), [b"=1", b"-", b"=7", b"=a"])]
    assert call.writes[1:] == [("ZREM", "post::topic:a", "1"), ("ZADD", "post::topic:b", "inf", "1")]


def test_version_is_expected_and_counted() -> None:
    purse = stored(Purse, {"id": 1}, version=7)
    purse.balance = 5
    call = script_call(talk(saved(purse))[0])
    assert call.rows == [(("HMGET", "purse:1", "id", ":ttl", VERSION), [b"=1", b"-", b"=7"])]
    assert call.writes == [("HSET", "purse:1", "balance", 5, VERSION, "8")]
    assert state_of(purse).version == 8


def test_new_row_of_a_versioned_class_knows_its_version() -> None:
    purse = Purse(id=1)
    call = script_call(talk(saved(purse))[0])
    assert call.writes[0][-2:] == (VERSION, str(state_of(purse).version))


def changed(obj: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(obj, name, value)
    return obj


@pytest.mark.parametrize(
    "obj",
    [
        changed(stored(Purse, {"id": 1}), balance=5),
        changed(stored(Session, {"id": 1}, life="5"), user=5),
        changed(stored(Visit, {"id": 1}), note="x"),
        changed(stored(Visit, {"id": 1}), age=5),
        changed(stored(Lease, {"id": 1}, []), holder="x"),
        Visit.model_construct(id=1, age="5", city=None, seat=None, note=""),
    ],
    ids=["no version", "a life of its own", "entries that move", "another entry", "a collection", "a value to check"],
)
def test_what_needs_a_closer_look_goes_the_general_way(obj: RedisModel) -> None:
    change = change_to(obj)
    assert change is not None
    assert rich_row(change, NOW, lambda: 1) is None


def test_row_of_more_fields_than_one_command_of_a_script_takes_goes_the_general_way() -> None:
    fields: dict[str, Any] = {"id": (int, 1), **{f"f{number}": (int, 0) for number in range(1600)}}
    huge: Any = create_model("Huge", __base__=RedisModel, __cls_kwargs__={"prefix": "huge", "ttl": 60}, **fields)
    change = change_to(huge())
    assert change is not None
    assert rich_row(change, NOW, lambda: 1) is None


def test_automatic_key_that_was_given_by_hand_goes_the_general_way() -> None:
    class Pass(RedisModel, prefix="pass", ttl=60):
        id: int | None = None

    desk = desk_that_agrees([0, None])
    with session_on(desk) as session:
        session.add(Pass(id=7))
        session.commit()
    assert isinstance(talk(desk)[0], Watch)


def test_value_that_an_index_cannot_hold_is_told_and_nothing_is_sent() -> None:
    driver = scripting()
    with pytest.raises(IndexValueError, match="age"):
        driver.run(verbs.save(Visit(id=1, age=2**53 + 1), None, ""))
    assert talk(driver) == []


def test_row_that_is_otherwise_is_looked_at() -> None:
    purse = stored(Purse, {"id": 1}, version=7)
    purse.balance = 5
    driver = ScriptedDriver([[None], [[b"1", None, b"7"]], [0]], supports={"EVALSHA": True})
    driver.run(verbs.save(purse, None, ""))
    _, look, write = talk(driver)
    assert isinstance(look, Watch)
    assert write.commands == [("HSET", "purse:1", "balance", 5, VERSION, 8)]

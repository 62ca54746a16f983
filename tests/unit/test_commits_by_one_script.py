"""Where the server runs scripts, a commit takes for granted what is likely, and one script verifies it and writes."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import BackendError, Field, IndexValueError, RedisModel, StaleObjectError
from redisorm.commands import Batch, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.committing import CommitResult
from redisorm.unitofwork import verbs
from tests.unit.desk import Desk, atomic, script_call, session_on, stored, talk
from tests.zoo.models import Board, Ticket, User


class Barometer(RedisModel, prefix="barometer"):
    id: int
    site: str = Field(index=True)
    note: str = ""


class Gauge(RedisModel, prefix="gauge"):
    id: int
    level: int = Field(default=0, index=True)
    unit: str | None = Field(default=None, index="lex")


def scripting(*answers: Any) -> ScriptedDriver:
    return ScriptedDriver(answers, supports={"EVALSHA": True})


def words(driver: ScriptedDriver, place: int = 0) -> list[Any]:
    """The arguments of the script, after its hash and the count of keys."""
    (command,) = talk(driver)[place].commands
    return list(command[2:])


def test_new_row_that_is_its_hash_alone_is_one_short_script_that_writes_where_nothing_is() -> None:
    driver = scripting([3])
    driver.run(verbs.save(User(id=1, name="Ann", age=30), None, ""))
    (request,) = talk(driver)
    assert isinstance(request, Batch)
    assert (request.atomic, request.resend) == (False, False)
    assert words(driver) == ["1", "user:1", "0", "0", "id", 1, "name", "Ann", "age", 30]


def test_update_of_such_a_row_expects_its_key_and_no_life_of_its_own() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    user.age = 31
    driver = scripting([0])
    driver.run(verbs.save(user, None, ""))
    assert words(driver) == ["1", "user:1", "2", "0", "id", ":ttl", "=1", "-", "age", 31]


def test_update_that_touches_no_index_is_as_short() -> None:
    barometer = stored(Barometer, {"id": 1, "site": "Oslo"})
    barometer.note = "moved"
    driver = scripting([1])
    driver.run(verbs.save(barometer, None, ""))
    assert words(driver) == ["1", "barometer:1", "2", "0", "id", ":ttl", "=1", "-", "note", "moved"]


def test_new_row_with_indexes_enters_them_in_the_same_script() -> None:
    driver = scripting([3])
    driver.run(verbs.save(Barometer(id=1, site="Oslo"), None, ""))
    keys = ["barometer:1", "barometer:1::memo", "barometer::all", "barometer::site:Oslo"]
    assert words(driver) == ["4", *keys, "0", "0", "inf", "1", "inf", "1", "id", 1, "site", "Oslo", "note", ""]


def test_update_that_touches_an_index_expects_what_was_loaded_and_moves() -> None:
    barometer = stored(Barometer, {"id": 1, "site": "Oslo"})
    barometer.site = "Bergen"
    driver = scripting([0])
    driver.run(verbs.save(barometer, None, ""))
    keys = ["barometer:1", "barometer:1::memo", "barometer::site:Oslo", "barometer::site:Bergen"]
    held = ["id", ":ttl", "site", "=1", "-", "=Oslo"]
    assert words(driver) == ["4", *keys, "3", "0", *held, "", "1", "inf", "1", "site", "Bergen"]


def test_without_scripts_the_same_is_watched_and_written() -> None:
    barometer = stored(Barometer, {"id": 1, "site": "Oslo"})
    barometer.site = "Bergen"
    looked = [[b"1", None, b"Oslo"], -1, []]
    driver = ScriptedDriver([looked, [0, 1, 1]])
    driver.run(verbs.save(barometer, None, ""))
    reads = [("HMGET", "barometer:1", "id", ":ttl", "site"), ("PEXPIRETIME", "barometer:1"), ("HGETALL", "barometer:1::memo")]
    writes = [
        ("HSET", "barometer:1", "site", "Bergen"),
        ("ZREM", "barometer::site:Oslo", "1"),
        ("ZADD", "barometer::site:Bergen", "inf", "1"),
    ]
    assert talk(driver) == [Watch(["barometer:1"], reads), atomic(*writes)]


def test_field_that_was_absent_is_expected_to_be_so_still() -> None:
    gauge = stored(Gauge, {"id": 1, "level": 3})
    gauge.unit = "bar"
    driver = scripting([1])
    driver.run(verbs.save(gauge, None, ""))
    keys = ["gauge:1", "gauge:1::memo", "gauge::unit:", "gauge::unit"]
    assert words(driver) == ["4", *keys, "3", "0", "id", ":ttl", "unit", "=1", "-", "-", "", "1", "0", "bar\x001", "unit", "bar"]


def test_field_that_becomes_none_is_removed_by_the_same_script() -> None:
    gauge = stored(Gauge, {"id": 1, "level": 3, "unit": "bar"})
    gauge.unit = None
    driver = scripting([0])
    driver.run(verbs.save(gauge, None, ""))
    keys = ["gauge:1", "gauge:1::memo", "gauge::unit", "gauge::unit:"]
    member = "bar" + chr(0) + "1"
    assert words(driver) == ["4", *keys, "3", "1", "id", ":ttl", "unit", "=1", "-", "=bar", "unit", "", member, "inf", "1"]


def test_field_that_becomes_none_is_removed_without_a_script() -> None:
    gauge = stored(Gauge, {"id": 1, "level": 3, "unit": "bar"})
    gauge.unit = None
    driver = ScriptedDriver([[[b"1", None, b"3", b"bar"], -1, []], [1, 1, 1]])
    driver.run(verbs.save(gauge, None, ""))
    writes = [("HDEL", "gauge:1", "unit"), ("ZREM", "gauge::unit", "bar" + chr(0) + "1"), ("ZADD", "gauge::unit:", "inf", "1")]
    assert talk(driver)[1] == atomic(*writes)


def test_new_row_with_a_counted_key_is_a_number_and_a_script() -> None:
    driver = scripting([7], [2])
    driver.run(verbs.save(Ticket(title="a"), None, ""))
    assert talk(driver)[0].commands == [("INCRBY", "ticket::id:next", 1)]
    assert words(driver, 1) == ["1", "ticket:7", "0", "0", "id", 7, "title", "a"]


def test_value_that_an_index_cannot_hold_is_told_and_nothing_is_sent() -> None:
    gauge = Gauge(id=1, level=2**53 + 1)
    driver = scripting()
    with pytest.raises(IndexValueError, match="level"):
        driver.run(verbs.save(gauge, None, ""))
    assert talk(driver) == []


@pytest.mark.parametrize("scripts", [True, False])
def test_value_that_an_index_cannot_hold_is_told_first_of_a_row_that_is_gone_too(scripts: bool) -> None:
    gauge = stored(Gauge, {"id": 1, "level": 3})
    gauge.level = 2**53 + 1
    gone = [[None, None, None, None], -2, []]
    driver = ScriptedDriver([] if scripts else [gone, [b"none"]], supports={"EVALSHA": scripts})
    with pytest.raises(IndexValueError, match=r"Gauge\.level: 9007199254740993 of gauge:1"):
        driver.run(verbs.save(gauge, None, ""))
    assert driver.round_trips == (0 if scripts else 2)


def test_number_whose_loaded_value_would_not_fit_an_index_is_looked_up_before_it_is_refused() -> None:
    gauge = stored(Gauge, {"id": 1, "level": 2**53})
    driver = ScriptedDriver([[[b"1", None, b"5", None], -1, []], [0, 1]], supports={"EVALSHA": True})
    assert driver.run(verbs.increment(gauge, "level", 1, "")) == 6
    assert talk(driver)[1] == atomic(("HSET", "gauge:1", "level", "6"), ("ZADD", "gauge::level", "6", "1"))


def test_value_of_a_type_that_is_checked_first_goes_the_general_way() -> None:
    gauge = Gauge.model_construct(id=1, level="5")
    driver = scripting([[1, 1, 1]])
    driver.run(verbs.save(gauge, None, ""))
    assert words(driver)[:5] == [5, "gauge:1", "gauge:1::memo", "gauge::all", "gauge::level"]
    assert words(driver)[6] == 2  # that many must be absent: it is the script of all commits


def test_row_with_a_life_of_its_own_is_no_lone_one_since_a_write_restarts_its_life() -> None:
    user = stored(User, {"id": 1, "name": "Ann"}, life="60")
    user.age = 31
    driver = scripting([[0, 1]])
    driver.run(verbs.save(user, None, ""))
    call = script_call(talk(driver)[0])
    assert call.rows == [(("HMGET", "user:1", "id", ":ttl"), [b"=1", b"=60"])]
    assert [command[0] for command in call.writes] == ["HSET", "PEXPIREAT"]


def test_new_rows_are_one_round_trip_that_writes_where_nothing_is() -> None:
    driver = Desk([[[]]], supports={"EVALSHA": True})
    with session_on(driver) as session:
        session.add_all([User(id=1, name="Ann", age=30), User(id=2, name="Bea", age=31)])
        session.commit()
    absent, types, rows, reads, tables, writes = 2, 0, 0, 0, 1, 0
    deadline, held, present, member, indexes = "", 0, 0, 0, 0
    table = [3, "id", "name", "age", 1, 2, deadline, held, present, member, indexes, 1, "Ann", 30, 2, "Bea", 31]
    assert words(driver) == [2, "user:1", "user:2", absent, types, rows, reads, tables, *table, writes]


def test_updates_expect_the_rows_as_they_were_loaded() -> None:
    users = [stored(User, {"id": 1, "name": "Ann"}), stored(User, {"id": 2, "name": "Bea"})]
    driver = Desk([[[0, 0]]], supports={"EVALSHA": True})
    with session_on(driver) as session:
        session.add_all(users)
        for user in users:
            user.age = 31
        session.commit()
    expected = [word for key in (1, 2) for word in ("2", "HMGET", f"user:{key}", "id", ":ttl", b"=%d" % key, b"-")]
    written = [word for key in (1, 2) for word in ("4", "HSET", f"user:{key}", "age", 31)]
    assert words(driver) == [2, "user:1", "user:2", 0, 0, 2, *expected, 0, 0, 2, *written]


def test_companion_that_was_loaded_full_is_expected_to_be_of_its_type() -> None:
    board = stored(Board, {"id": 1}, [b"a"], [], {})
    board.tags.add("b")
    driver = scripting([[1]])
    driver.run(verbs.save(board, None, ""))
    assert words(driver)[words(driver).index("set") - 1] == "board:1:tags"


def test_row_that_is_otherwise_makes_the_commit_look_and_write_under_watch() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    user.age = 31
    driver = scripting([None], [[None, b"60"]], [0, 1])
    driver.run(verbs.save(user, None, ""))
    script, look, write = talk(driver)
    assert isinstance(look, Watch)
    assert [command[0] for command in write.commands] == ["HSET", "PEXPIREAT"]
    assert script.commands[0][0] == "EVALSHA"


def test_row_that_is_gone_is_told_after_a_look() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    user.age = 31
    driver = scripting([None], [[None, None]], [b"none"])
    with pytest.raises(StaleObjectError, match="User 1 is gone"):
        driver.run(verbs.save(user, None, ""))


def test_script_that_the_server_does_not_have_is_sent_whole() -> None:
    driver = scripting(BackendError("NOSCRIPT", code="NOSCRIPT"), [[]])
    driver.run(verbs.save(User(id=1, name="Ann"), None, ""))
    assert [request.commands[0][0] for request in talk(driver)] == ["EVALSHA", "EVAL"]


def test_other_errors_of_a_script_are_told_and_nothing_is_sent_again() -> None:
    driver = scripting(BackendError("NOPERM", code="NOPERM"))
    with pytest.raises(BackendError, match="NOPERM"):
        driver.run(verbs.save(User(id=1, name="Ann"), None, ""))
    assert driver.round_trips == 1


def test_command_that_rides_along_needs_a_key_of_its_type() -> None:
    driver = Desk([[[1, 1]]], supports={"EVALSHA": True})
    with session_on(driver) as session:
        session.add_all([User(id=1, name="Ann"), User(id=2, name="Bea")])
        session._ride(("RPUSH", "queue", "a"), ("EXPIRE", "other", 60))
        session.commit()
    call = script_call(talk(driver)[0])
    assert call.types == {"queue": "list"}
    assert call.writes == [("RPUSH", "queue", "a"), ("EXPIRE", "other", 60)]
    assert call.keys == ["user:1", "user:2", "queue", "other"]


def test_commit_of_a_session_is_a_transaction_however_small_it_is_and_a_verb_is_its_script_alone() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    desk = Desk([[1]], supports={"EVALSHA": True})
    with session_on(desk) as session:
        session.add(user)
        user.age = 31
        assert session.commit() == CommitResult(commands=3, round_trips=1, objects=1)
    other = stored(User, {"id": 2, "name": "Bea"})
    other.age = 32
    driver = scripting([1])
    driver.run(verbs.save(other, None, ""))
    assert [request.atomic for request in (*talk(desk), *talk(driver)) if isinstance(request, Batch)] == [True, False]

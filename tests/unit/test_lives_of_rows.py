"""Lives of rows: of the class, given to one row, remembered with it, restarted by writes and reads, and those of single fields."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from redisorm import Field, NotFoundError, RedisModel, SessionError, UnsupportedServerError
from redisorm.commands import Clock, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.changes import PERMANENT, life_ms, life_text
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import state_of
from tests.unit.desk import NOW, Desk, atomic, look, reads, row_of, script_call, scripting, session_on, stored, talk
from tests.zoo.models import Board, Hot, Lease, Lookup, Pledge, Ticket, User

MINUTE = 60_000
GUARD = ("HMGET", "lease:1", "id", ":ttl")


# ---- how a life is remembered ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "text"), [(60_000, "60"), (1_500, "1.5"), (1, "0.001"), (100_000, "100"), (PERMANENT, "-1"), (2**52, "4503599627370.496")]
)
def test_life_is_remembered_in_seconds_and_read_back_to_the_millisecond(life: int, text: str) -> None:
    assert life_text(life) == text
    assert life_ms(text.encode()) == life


@pytest.mark.parametrize("text", [None, b"", b"soon", b"nan", b"inf", b"0", b"0.0001", b"9e99", b"\xff"])
def test_text_that_is_no_life_counts_as_none(text: bytes | None) -> None:
    """Whatever another program left there, the deadline must be one that Redis takes: a refusal in EXEC does not roll back."""
    assert life_ms(text) is None


@pytest.mark.parametrize("text", [b"-1", b"-5", b"-inf"])
def test_negative_life_is_one_without_end(text: bytes) -> None:
    assert life_ms(text) == PERMANENT


# ---- of the class ---------------------------------------------------------------------------------------------------


def test_row_and_its_companions_get_one_deadline_in_the_transaction_that_makes_them() -> None:
    driver = ScriptedDriver([[0], [1] * 4])
    driver.run(verbs.save(Lease(id=1, tags={"a"}), None, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "lease:1", "id", 1, "holder", "", "hits", 0),
        ("SADD", "lease:1:tags", b"a"),
        ("PEXPIREAT", "lease:1", NOW + MINUTE),
        ("PEXPIREAT", "lease:1:tags", NOW + MINUTE),
    )


def test_write_restarts_the_life_of_the_row_and_of_its_companions() -> None:
    lease = stored(Lease, {"id": 1}, [b"a"])
    lease.holder = "Ann"
    driver = ScriptedDriver([[[b"1", None]], [1] * 3])
    driver.run(verbs.save(lease, None, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "lease:1", "holder", "Ann"),
        ("PEXPIREAT", "lease:1", NOW + MINUTE),
        ("PEXPIREAT", "lease:1:tags", NOW + MINUTE),
    )


def test_life_that_nothing_restarts_is_left_to_run_and_a_new_companion_joins_it() -> None:
    pledge = stored(Pledge, {"id": 1}, [])
    pledge.value = "x"
    pledge.tags.add("a")
    driver = ScriptedDriver([[[b"1", None], b"none", NOW + 5], [1] * 3])
    driver.run(verbs.save(pledge, None, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "pledge:1", "value", "x"), ("SADD", "pledge:1:tags", b"a"), ("PEXPIREAT", "pledge:1:tags", NOW + 5)
    )


def test_deadline_of_a_new_companion_is_looked_at_though_the_rest_could_be_taken_for_granted() -> None:
    pledge = stored(Pledge, {"id": 1}, [])
    pledge.tags.add("a")
    driver = scripting([[[b"1", None], b"none", NOW + 5], [1] * 2])
    driver.run(verbs.save(pledge, None, ""))
    assert isinstance(talk(driver)[0], Watch)


def test_script_takes_the_life_that_was_loaded_to_be_remembered_still() -> None:
    lease = stored(Lease, {"id": 1}, [], life="5")
    lease.hits = 1
    driver = scripting()
    driver.run(verbs.save(lease, None, ""))
    call = script_call(talk(driver)[0])
    assert call.rows == [(GUARD, [b"=1", b"=5"])]
    assert call.writes[1:] == [("PEXPIREAT", "lease:1", NOW + 5_000), ("PEXPIREAT", "lease:1:tags", NOW + 5_000)]


# ---- given to one row -----------------------------------------------------------------------------------------------


def test_life_given_to_one_row_outlives_the_writers_that_have_not_seen_it() -> None:
    lease = stored(Lease, {"id": 1}, [])
    lease.hits = 1
    driver = ScriptedDriver([[[b"1", b"5"]], [1] * 3])
    driver.run(verbs.save(lease, None, ""))
    assert ("PEXPIREAT", "lease:1", NOW + 5_000) in talk(driver)[1].commands
    assert state_of(lease).life == 5_000


def test_row_made_permanent_stays_so_though_its_class_has_a_life() -> None:
    lease = stored(Lease, {"id": 1}, [])
    lease.hits = 1
    driver = ScriptedDriver([[[b"1", b"-1"]], [1]])
    driver.run(verbs.save(lease, None, ""))
    assert talk(driver)[1] == atomic(("HSET", "lease:1", "hits", 1))


def test_life_that_is_replaced_with_its_row_is_forgotten() -> None:
    driver = ScriptedDriver([[1], [b"hash", b"none"], [1] * 5])
    driver.run(verbs.save(Lease(id=1), None, ""))
    assert ("HDEL", "lease:1", ":ttl") in talk(driver)[2].commands
    assert ("PEXPIREAT", "lease:1", NOW + MINUTE) in talk(driver)[2].commands


@pytest.mark.parametrize(("ttl", "text", "life"), [(5, "5", 5_000), (timedelta(minutes=1), "60", MINUTE)])
def test_expire_gives_a_stored_row_a_life_and_writes_nothing_else_of_it(ttl: Any, text: str, life: int) -> None:
    lease = stored(Lease, {"id": 1}, [])
    lease.holder = "changed, not saved"
    driver = ScriptedDriver([[[b"1", None]], [1] * 3])
    driver.run(verbs.expire(lease, ttl, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "lease:1", ":ttl", text), ("PEXPIREAT", "lease:1", NOW + life), ("PEXPIREAT", "lease:1:tags", NOW + life)
    )
    driver = ScriptedDriver([[[b"1", text.encode()]], [1] * 3])
    driver.run(verbs.save(lease, None, ""))
    assert talk(driver)[1].commands[0] == ("HSET", "lease:1", "holder", "changed, not saved")


def test_save_with_a_life_of_an_object_without_changes_writes_the_life() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    driver = ScriptedDriver([[[b"1", None]], [1] * 2])
    driver.run(verbs.save(user, 60, ""))
    assert talk(driver)[1] == atomic(("HSET", "user:1", ":ttl", "60"), ("PEXPIREAT", "user:1", NOW + MINUTE))


def test_life_asked_for_in_a_save_that_failed_is_forgotten() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    driver = ScriptedDriver([[[None, None]], [b"none"]])
    with pytest.raises(Exception, match="is gone"):
        driver.run(verbs.save(user, 60, ""))
    driver = ScriptedDriver()
    driver.run(verbs.save(user, None, ""))
    assert driver.requests == []


@pytest.mark.parametrize("ttl", [True, "60", 0, -1, math.inf, math.nan, 10**13, timedelta(0)])
def test_life_must_be_a_length_of_time(ttl: Any) -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    with pytest.raises((TypeError, ValueError), match="User: ttl"):
        ScriptedDriver().run(verbs.expire(user, ttl, ""))


def test_object_never_loaded_can_be_given_a_life_and_a_number_by_its_key() -> None:
    """Nobody knows how the row was, so the commit looks even where scripts run; the object stays as it is."""
    user = User(id=1, name="x", age=5)
    driver = scripting([[[b"1", None]], [1] * 2])
    driver.run(verbs.expire(user, 60, ""))
    assert isinstance(talk(driver)[0], Watch)
    driver = scripting([[[b"1", None, b"40"]], [0]])
    assert driver.run(verbs.increment(user, "age", 2, "")) == 42
    assert (user.age, state_of(user).snapshot) == (42, None)


# ---- asked for ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reply", "left"), [(1_500, timedelta(seconds=1.5)), (-1, None)])
def test_time_to_live_is_what_the_server_says(reply: int, left: timedelta | None) -> None:
    driver = ScriptedDriver([[reply]])
    assert driver.run(verbs.time_to_live(User(id=1, name="x"), "shop")) == left
    assert talk(driver) == [look(("PTTL", "shop:user:1"))]


def test_time_to_live_of_a_row_that_is_gone_is_told() -> None:
    with pytest.raises(NotFoundError, match="User 1 is not there"):
        ScriptedDriver([[-2]]).run(verbs.time_to_live(stored(User, {"id": 1, "name": "x"}), ""))


def test_object_without_a_key_has_no_life_to_ask_for() -> None:
    with pytest.raises(SessionError, match=r"this Ticket has no primary key yet: save\(\) it first"):
        ScriptedDriver().run(verbs.time_to_live(Ticket(), ""))


# ---- restarted by reads ---------------------------------------------------------------------------------------------


def lookup(deadline_ms: int, **given: Any) -> list[Any]:
    return [*row_of(Lookup, {"id": 1, "value": "x"}, [], **given), deadline_ms]


@pytest.mark.parametrize(
    ("read", "restarts"),
    [
        (lookup(NOW + MINUTE), False),
        (lookup(NOW + 54_001), False),
        (lookup(NOW + 53_999), True),
        (lookup(NOW + 3_999, life="4"), False),
        (lookup(NOW + 3_000, life="4"), True),
        (lookup(-1, life="-1"), False),
        (lookup(-1), False),
    ],
    ids=["fresh", "less than a tenth", "a tenth", "own life fresh", "own life", "permanent", "without a deadline"],
)
def test_read_restarts_a_life_of_which_a_tenth_has_passed(read: list[Any], restarts: bool) -> None:
    driver = ScriptedDriver([read, [[b"1", b"4" if read[0][2] == b"4" else None]], [1] * 2])
    driver.run(verbs.get_one(Lookup, 1, ""))
    assert talk(driver)[0] == reads(
        ("HMGET", "lookup:1", "id", "value", ":ttl"), ("SMEMBERS", "lookup:1:tags"), ("PEXPIRETIME", "lookup:1")
    )
    written = [command for request in talk(driver)[1:] for command in request.commands if command[0] == "PEXPIREAT"]
    life = 4_000 if read[0][2] == b"4" else MINUTE
    assert written == ([("PEXPIREAT", "lookup:1", NOW + life), ("PEXPIREAT", "lookup:1:tags", NOW + life)] if restarts else [])


def test_row_that_goes_while_its_life_is_restarted_is_not_brought_back() -> None:
    driver = ScriptedDriver([lookup(NOW + 5), [[None, None]], [b"none"], [0, 0]])
    loaded = driver.run(verbs.get_one(Lookup, 1, ""))
    assert loaded.value == "x"
    assert not any(command[0] == "HSET" for command in driver.commands)


class Listed(RedisModel, prefix="listed", ttl=60, ttl_refresh="read"):
    id: int
    city: str = Field(default="", index=True)


def test_row_that_goes_while_its_life_is_restarted_enters_no_index() -> None:
    gone = [[None, None, None], -2, []]
    driver = ScriptedDriver([[[b"1", b"Oslo", None], NOW + 5], gone, [b"none"]])
    assert driver.run(verbs.get_one(Listed, 1, "")).city == "Oslo"
    assert [command[0] for command in driver.commands] == ["HMGET", "PEXPIRETIME", "HMGET", "PEXPIRETIME", "HGETALL", "TYPE"]


def test_rows_that_cannot_be_read_are_not_restarted() -> None:
    driver = ScriptedDriver([[*lookup(NOW + 5), [b"2", b"\xff", None], [], NOW + 5], [[b"1", None]], [1] * 2])
    found = driver.run(verbs.get_many(Lookup, [1, 2], "", "return"))
    assert [type(one).__name__ for one in found] == ["Lookup", "DecodeError"]
    assert [command[1] for command in talk(driver)[1].commands] == ["lookup:1"]


def test_reading_restarts_lives_in_one_transaction_for_all_rows() -> None:
    class Seen(RedisModel, prefix="seen", ttl=60, ttl_refresh="read"):
        id: int

    rows = [[[b"1", None], NOW + 5], [[b"2", None], NOW + MINUTE], [[b"3", None], NOW + 5]]
    driver = ScriptedDriver([[word for row in rows for word in row], [[b"1", None], [b"3", None]], [1, 1]])
    driver.run(verbs.get_many(Seen, [1, 2, 3], ""))
    assert [request for request in driver.requests if isinstance(request, Clock)]
    assert talk(driver)[-1] == atomic(("PEXPIREAT", "seen:1", NOW + MINUTE), ("PEXPIREAT", "seen:3", NOW + MINUTE))


# ---- of single fields -----------------------------------------------------------------------------------------------


def test_fields_with_lives_of_their_own_restart_when_they_are_written() -> None:
    hot = stored(Hot, {"id": 1, "code": "a", "cart": "{}"})
    hot.cart["x"] = 1
    hot.code = None
    hot.token = "t"
    driver = ScriptedDriver([[[b"1", None]], [1] * 4])
    driver.run(verbs.save(hot, None, ""))
    assert talk(driver)[1].commands[-2:] == [
        ("HPEXPIREAT", "hot:1", NOW + 30_000, "FIELDS", 1, "token"),
        ("HPEXPIREAT", "hot:1", NOW + 90_000, "FIELDS", 1, "cart"),
    ]


def test_server_that_cannot_let_a_field_expire_is_refused_before_anything_is_sent() -> None:
    driver = ScriptedDriver(supports={"HPEXPIREAT": False})
    with pytest.raises(UnsupportedServerError, match=r"since 7\.4 and Valkey since 9\.0: leave out Field\(ttl=\)") as caught:
        driver.run(verbs.save(Hot(id=1, code="a"), None, ""))
    assert caught.value.command == "HPEXPIREAT"
    assert driver.round_trips == 0


def test_class_with_such_fields_is_written_on_any_server_where_none_of_them_is() -> None:
    hot = stored(Hot, {"id": 1})
    hot.name = "x"
    driver = ScriptedDriver([[[b"1", None]], [1]], supports={"HPEXPIREAT": False})
    driver.run(verbs.save(hot, None, ""))
    assert talk(driver)[1] == atomic(("HSET", "hot:1", "name", "x"))


# ---- a session's own words ------------------------------------------------------------------------------------------


def test_life_of_a_row_with_companions_is_given_to_all_of_them_in_a_session() -> None:
    board = stored(Board, {"id": 1}, [b"a"], [], [])
    desk = Desk([[[b"1", None]], [1] * 5])
    session = session_on(desk)
    session.add(board, ttl=5)
    session.commit()
    assert talk(desk)[1] == atomic(
        ("HSET", "board:1", ":ttl", "5"),
        *(("PEXPIREAT", key, NOW + 5_000) for key in ("board:1", "board:1:tags", "board:1:jobs", "board:1:scores")),
    )

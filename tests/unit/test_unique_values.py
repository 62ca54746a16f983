"""Unique values: who has which, who may take it, and what a commit tells those who may not."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import AlreadyExistsError, StaleObjectError, UniqueViolationError
from redisorm.commands import Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.unitofwork import verbs
from tests.unit.desk import Desk, answering, atomic, look, script_call, scripting, session_on, stored, talk
from tests.zoo.indexed import Guest, Member

READ = ("HMGET", "member:1", "id", ":ttl", "email", "city", "number")


def member(pk: int = 1, **texts: Any) -> Member:
    return stored(Member, {"id": pk, "number": 0, **texts})


def row(pk: int = 1, email: str | None = None, city: str | None = None, number: int = 0) -> list[Any]:
    """The replies to the reads of a member: fields, deadline and memo."""
    return [[None if text is None else str(text).encode() for text in (pk, None, email, city, number)], -1, []]


def owner(email: str | None = None, city: str | None = None, number: int = 0) -> list[bytes | None]:
    """What HMGET of the fields that unique values depend on answers."""
    return [None if text is None else str(text).encode() for text in (email, city, number)]


# ---- taking ---------------------------------------------------------------------------------------------------------


def test_new_row_takes_its_values_where_nobody_has_them() -> None:
    driver = ScriptedDriver([[0], [1] * 5])
    driver.run(verbs.save(Member(id=1, email="a@x", city="Oslo", number=7), None, ""))
    assert talk(driver) == [
        Watch(
            ["member::unique:email:a@x", "member::unique:city+number:Oslo:7", "member:1", "member:1::memo"],
            [("EXISTS", "member::unique:email:a@x", "member::unique:city+number:Oslo:7", "member:1", "member:1::memo")],
        ),
        atomic(
            ("HSET", "member:1", "id", 1, "email", "a@x", "city", "Oslo", "number", 7),
            ("ZADD", "member::all", "inf", "1"),
            ("SET", "member::unique:email:a@x", "1"),
            ("SET", "member::unique:city+number:Oslo:7", "1"),
        ),
    ]


def test_none_is_no_value_and_takes_nothing() -> None:
    driver = ScriptedDriver([[0], [1] * 3])
    driver.run(verbs.save(Member(id=1), None, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "member:1", "id", 1, "number", 0), ("ZADD", "member::all", "inf", "1"), ("ZADD", "member::email:", "inf", "1")
    )


def test_value_of_another_row_is_refused_and_the_error_tells_whose_it_is() -> None:
    absent = [b"string", b"none", b"none"]
    driver = ScriptedDriver([[1], absent, [b"2"], [owner(email="a@x")]])
    taker = Member(id=1, email="a@x")
    with pytest.raises(UniqueViolationError, match="Member 1 cannot have email='a@x': Member 2 has it; nothing was written") as caught:
        driver.run(verbs.save(taker, None, ""))
    error = caught.value
    assert (error.model, error.pk, error.key, error.field, error.value, error.found) == (Member, 1, "member:1", "email", "a@x", 2)
    assert talk(driver)[2:] == [
        look(("GET", "member::unique:email:a@x")),
        Watch(["member:2"], [("HMGET", "member:2", "email", "city", "number")]),
    ]
    driver.done()


def test_values_that_are_unique_together_are_told_together() -> None:
    driver = ScriptedDriver([[1], [b"string", b"none", b"none"], [b"2"], [owner(city="Oslo", number=7)]])
    with pytest.raises(UniqueViolationError, match="city='Oslo', number=7: Member 2 has it") as caught:
        driver.run(verbs.save(Member(id=1, city="Oslo", number=7), None, ""))
    assert (caught.value.field, caught.value.value) == ("city+number", ("Oslo", 7))


@pytest.mark.parametrize("found", [owner(), owner(email="other@x"), [b"\xff", None, None]], ids=["gone", "changed", "garbled"])
def test_value_whose_owner_has_it_no_more_is_taken_over(found: list[bytes | None]) -> None:
    driver = ScriptedDriver([[1], [b"string", b"none", b"none"], [b"2"], [found], [1] * 3])
    driver.run(verbs.save(Member(id=1, email="a@x"), None, ""))
    assert ("SET", "member::unique:email:a@x", "1") in talk(driver)[-1].commands


def test_update_that_takes_a_value_watches_its_key_and_gives_up_the_former_one() -> None:
    one = member(email="a@x")
    one.email = "b@x"
    driver = ScriptedDriver([row(email="a@x"), [b"1", None], [1] * 4])
    driver.run(verbs.save(one, None, ""))
    watch, owners, write = talk(driver)
    assert watch == Watch(["member:1"], [READ, ("PEXPIRETIME", "member:1"), ("HGETALL", "member:1::memo")])
    assert isinstance(owners, Watch)
    assert sorted(owners.keys) == ["member::unique:email:a@x", "member::unique:email:b@x"]
    assert sorted(command[0] for command in owners.commands) == ["GET", "GET"]
    assert write == atomic(
        ("HSET", "member:1", "email", "b@x"),
        ("UNLINK", "member::unique:email:a@x"),
        ("SET", "member::unique:email:b@x", "1"),
    )


def test_update_of_one_field_of_two_moves_the_value_they_make_together() -> None:
    one = member(city="Oslo", number=1)
    one.number = 2
    driver = ScriptedDriver([row(city="Oslo", number=1), [None, None], [1] * 4])
    driver.run(verbs.save(one, None, ""))
    assert talk(driver)[-1] == atomic(
        ("HSET", "member:1", "number", 2),
        ("UNLINK", "member::unique:city+number:Oslo:1"),
        ("SET", "member::unique:city+number:Oslo:2", "1"),
    )


def test_value_set_to_none_is_given_up() -> None:
    one = member(email="a@x")
    one.email = None
    driver = ScriptedDriver([row(email="a@x"), [b"1"], [1] * 3])
    driver.run(verbs.save(one, None, ""))
    assert talk(driver)[-1] == atomic(
        ("HDEL", "member:1", "email"), ("UNLINK", "member::unique:email:a@x"), ("ZADD", "member::email:", "inf", "1")
    )


def test_update_is_refused_a_value_of_another_row() -> None:
    one = member()
    one.email = "b@x"

    def answer(request: Any) -> Any:
        replies = {"HMGET": owner(email="b@x"), "PEXPIRETIME": -1, "HGETALL": [], "GET": b"2"}
        return row() if READ in request.commands else [replies[command[0]] for command in request.commands]

    driver = ScriptedDriver(answer)
    with pytest.raises(UniqueViolationError, match="Member 2 has it"):
        driver.run(verbs.save(one, None, ""))
    assert one.email == "b@x"
    assert all(isinstance(request, Watch) for request in talk(driver))


def test_incremented_value_is_taken_and_told_as_it_becomes() -> None:
    one = member(city="Oslo", number=1)

    def answer(request: Any) -> Any:
        if request.commands[0][0] == "GET":
            return [b"2" if key.endswith(":2") else b"1" for _, key in request.commands]
        if request.commands[0][1] == "member:2":
            return [owner(city="Oslo", number=2)]
        return [[b"1", None, b"1", None, b"Oslo"], -1, []]  # the number comes first, since it is incremented

    driver = ScriptedDriver(answer)
    with pytest.raises(UniqueViolationError, match=r"Member 1 cannot have city='Oslo', number=2: Member 2 has it") as caught:
        driver.run(verbs.increment(one, "number", 1, ""))
    assert (caught.value.field, caught.value.value) == ("city+number", ("Oslo", 2))


def test_deleted_row_gives_up_its_values() -> None:
    driver = ScriptedDriver([row(email="a@x", city="Oslo"), [b"1", b"1"], [1] * 5])
    driver.run(verbs.delete(member(email="a@x", city="Oslo"), ""))
    freed = [set(command[1:]) for command in talk(driver)[-1].commands if "unique" in str(command[1])]
    assert freed == [{"member::unique:email:a@x", "member::unique:city+number:Oslo:0"}]


def test_value_that_another_row_took_over_is_left_alone_with_a_deleted_former_owner() -> None:
    """Guest 1 expired and its memo still names the value; guest 2 has it now."""
    guest = stored(Guest, {"id": 1, "email": "a@x"}, [])
    memo = [b"unique:email:a@x", b""]
    driver = ScriptedDriver(answering([[None] * 4, -2, memo, []], [b"none"], [b"2"]))
    driver.run(verbs.delete(guest, ""))
    assert not any("guest::unique:email:a@x" in command for command in talk(driver)[-1].commands)


# ---- within one commit ----------------------------------------------------------------------------------------------


def test_two_new_objects_that_take_one_value_are_refused_before_anything_is_sent() -> None:
    desk = Desk()
    session = session_on(desk)
    session.add_all([Member(id=1, email="a@x"), Member(id=2, email="a@x")])
    with pytest.raises(UniqueViolationError, match="Member 1 takes it in the same commit") as caught:
        session.commit()
    assert (caught.value.pk, caught.value.found) == (2, 1)
    assert desk.round_trips == 0


def test_two_updates_that_come_to_take_one_value_are_refused_before_anything_is_written() -> None:
    """Each writes another half of what is unique together."""
    one, other = member(1, city="Oslo", number=1), member(2, city="Lima", number=2)
    desk = Desk([[*row(1, city="Oslo", number=1), *row(2, city="Lima", number=2)], [None] * 3])
    session = session_on(desk)
    session.add_all([one, other])
    one.number = 2
    other.city = "Oslo"
    with pytest.raises(UniqueViolationError, match="takes it in the same commit"):
        session.commit()
    assert all(isinstance(request, Watch) for request in talk(desk))


def test_value_given_up_and_taken_in_one_commit_is_handed_over() -> None:
    giver = member(1, email="a@x")
    desk = Desk([[1, *row(1, email="a@x")], [b"string", b"none", b"none"], [b"1"], [1] * 6])
    session = session_on(desk)
    session.add(giver)
    giver.email = None
    session.add(Member(id=2, email="a@x"))
    session.commit()
    write = talk(desk)[-1].commands
    assert ("SET", "member::unique:email:a@x", "2") in write
    assert not any(command[0] == "UNLINK" for command in write)


def test_value_of_a_deleted_row_is_handed_over() -> None:
    giver = member(1, email="a@x")
    desk = Desk([[1, *row(1, email="a@x")], [b"string", b"none", b"none"], [b"1"], [1] * 6])
    session = session_on(desk)
    session.delete(giver)
    session.add(Member(id=2, email="a@x"))
    session.commit()
    assert ("SET", "member::unique:email:a@x", "2") in talk(desk)[-1].commands


def test_values_change_hands_between_two_rows_at_once() -> None:
    one, other = member(1, email="a@x"), member(2, email="b@x")
    owners = {"member::unique:email:a@x": b"1", "member::unique:email:b@x": b"2"}

    def answer(request: Any) -> Any:
        if request.commands[0][0] == "HMGET":
            return [*row(1, email="a@x"), *row(2, email="b@x")]
        if request.commands[0][0] == "GET":
            return [owners[str(key)] for _, key in request.commands]
        return [1] * len(request.commands)

    desk = Desk(answer)
    session = session_on(desk)
    session.add_all([one, other])
    one.email, other.email = "b@x", "a@x"
    session.commit()
    write = talk(desk)[-1].commands
    assert [command for command in write if command[0] == "SET"] == [
        ("SET", "member::unique:email:b@x", "1"),
        ("SET", "member::unique:email:a@x", "2"),
    ]
    assert not any(command[0] == "UNLINK" for command in write)


# ---- at once --------------------------------------------------------------------------------------------------------


def test_script_takes_the_value_to_be_free() -> None:
    driver = scripting()
    driver.run(verbs.save(Member(id=1, email="a@x"), None, ""))
    call = script_call(talk(driver)[0])
    assert call.absent == ["member:1", "member:1::memo", "member::unique:email:a@x"]
    assert ("SET", "member::unique:email:a@x", "1") in call.writes


def test_script_takes_the_row_to_have_its_own_values() -> None:
    one = member(email="a@x")
    one.email = "b@x"
    driver = scripting()
    driver.run(verbs.save(one, None, ""))
    call = script_call(talk(driver)[0])
    assert call.absent == ["member::unique:email:b@x"]
    assert (("GET", "member::unique:email:a@x"), b"$1:1") in call.reads
    assert {"member::unique:email:a@x", "member::unique:email:b@x", "member:1::memo"} <= set(call.keys)


def test_value_that_changes_hands_in_one_commit_is_looked_at() -> None:
    """It cannot be absent for one row and present for the other."""
    giver = member(1, email="a@x")
    desk = Desk([[1, *row(1, email="a@x")], [b"string", b"none", b"none"], [b"1"], [1] * 6], supports={"EVALSHA": True})
    session = session_on(desk)
    session.add(giver)
    giver.email = None
    session.add(Member(id=2, email="a@x"))
    session.commit()
    assert isinstance(talk(desk)[0], Watch)


def test_two_rows_that_would_take_one_value_are_looked_at() -> None:
    one, other = member(1, city="Oslo", number=1), member(2, city="Lima", number=2)
    desk = Desk([[*row(1, city="Oslo", number=1), *row(2, city="Lima", number=2)], [None] * 3], supports={"EVALSHA": True})
    session = session_on(desk)
    session.add_all([one, other])
    one.number = 2
    other.city = "Oslo"
    with pytest.raises(UniqueViolationError):
        session.commit()


# ---- conflicts of rows come first -----------------------------------------------------------------------------------


def test_create_over_a_row_is_told_as_such_though_its_value_is_taken_too() -> None:
    types = [b"string", b"hash", b"none"]
    driver = ScriptedDriver([[2], types, [[b"1", None, b"a@x", None, b"0"], -1, []], [b"1"]])
    with pytest.raises(AlreadyExistsError):
        driver.run(verbs.create(Member(id=1, email="a@x"), ""))


def test_row_that_is_gone_takes_no_value() -> None:
    one = member()
    one.email = "a@x"
    driver = ScriptedDriver([[[None] * 5, -2, []], [b"none"], [None]])
    with pytest.raises(StaleObjectError, match="Member 1 is gone"):
        driver.run(verbs.save(one, None, ""))

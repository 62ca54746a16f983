"""Numbers that grow at the server: from what is stored there, or else the default, checked before anything is written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from redisorm import DecodeError, Field, RedisModel
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.unitofwork import verbs
from tests.unit.desk import atomic, desk_that_agrees, script_call, scripting, session_on, stored, talk
from tests.zoo.models import Numbers


class Tally(RedisModel, prefix="tally"):
    """A number whose absence means another than its `None`."""

    id: int
    count: int | None = 5
    limited: int = Field(default=0, ge=0, le=10)


def incremented(model: Any, field: str, by: Any, text: bytes | None) -> tuple[Any, ScriptedDriver]:
    """The answer of an increment of a field that is stored as a text, and the server's part in it."""
    driver = ScriptedDriver([[[b"1", None, text]], [0]])
    return driver.run(verbs.increment(stored(model, {"id": 1}), field, by, "")), driver


@pytest.mark.parametrize(
    ("model", "field", "text", "by", "result", "written"),
    [
        (Numbers, "hits", b"41", 1, 42, "42"),
        (Numbers, "hits", None, 1, 11, "11"),
        (Numbers, "hits", b"9007199254740993", 1, 2**53 + 2, "9007199254740994"),
        (Numbers, "price", b"0.10", Decimal("0.20"), Decimal("0.30"), "0.30"),
        (Numbers, "ratio", b"0.5", 0.25, 0.75, "0.75"),
        (Numbers, "maybe", None, 3, 3, "3"),
        (Tally, "count", None, 1, 6, "6"),
        (Tally, "count", b"null", 1, 1, "1"),
    ],
)
def test_number_grows_from_what_is_stored_or_else_from_the_default(
    model: Any, field: str, text: bytes | None, by: Any, result: Any, written: str
) -> None:
    answer, driver = incremented(model, field, by, text)
    assert answer == result
    assert type(answer) is type(result)
    prefix = model.__redisorm_prefix__
    assert talk(driver)[0].commands == [("HMGET", f"{prefix}:1", "id", ":ttl", field)]
    assert talk(driver)[1] == atomic(("HSET", f"{prefix}:1", field, written))


@pytest.mark.parametrize(
    ("field", "by", "wanted"),
    [
        ("price", 0.1, "a Decimal or an int"),
        ("ratio", Decimal("0.1"), "a float or an int"),
        ("hits", "1", "a number"),
        ("hits", None, "a number"),
    ],
)
def test_what_cannot_be_added_to_the_number_is_refused_before_anything_is_sent(field: str, by: Any, wanted: str) -> None:
    driver = ScriptedDriver([])
    with pytest.raises(TypeError, match=f"Numbers.{field} cannot be incremented by .*: give {wanted}"):
        driver.run(verbs.increment(stored(Numbers, {"id": 1}), field, by, ""))
    assert driver.round_trips == 0


@pytest.mark.parametrize("text", [b"many", b"\xff", b"", b"1.5"])
def test_stored_text_that_is_no_number_is_told_with_key_and_field(text: bytes) -> None:
    with pytest.raises(DecodeError, match="numbers:1: the stored 'hits' is no number to increment: found") as caught:
        incremented(Numbers, "hits", 1, text)
    assert (caught.value.key, caught.value.field, caught.value.value) == ("numbers:1", "hits", text)


@pytest.mark.parametrize(("text", "by"), [(b"10", 1), (b"0", -1)])
def test_number_that_would_break_its_constraint_is_refused_before_anything_is_written(text: bytes, by: int) -> None:
    tally = stored(Tally, {"id": 1, "limited": 3})
    driver = ScriptedDriver([[[b"1", None, text]]])
    with pytest.raises(ValidationError, match="Tally tally:1") as caught:
        driver.run(verbs.increment(tally, "limited", by, ""))
    assert caught.value.errors()[0]["loc"] == ("limited",)
    assert tally.limited == 3
    assert driver.round_trips == 1


def test_script_takes_the_number_to_be_what_was_loaded() -> None:
    numbers = stored(Numbers, {"id": 1, "hits": 41})
    driver = scripting()
    assert driver.run(verbs.increment(numbers, "hits", 1, "")) == 42
    call = script_call(talk(driver)[0])
    assert call.rows == [(("HMGET", "numbers:1", "id", ":ttl", "hits"), [b"=1", b"-", b"=41"])]
    assert call.writes == [("HSET", "numbers:1", "hits", "42")]


def test_number_whose_loaded_value_would_break_its_constraint_is_looked_up_before_it_is_refused() -> None:
    """Another writer may have changed it since: what counts is what is stored now."""
    tally = stored(Tally, {"id": 1, "limited": 0})
    driver = ScriptedDriver([[[b"1", None, b"9"]], [0]], supports={"EVALSHA": True})
    assert driver.run(verbs.increment(tally, "limited", -1, "")) == 8
    assert talk(driver)[0].commands == [("HMGET", "tally:1", "id", ":ttl", "limited")]
    assert talk(driver)[1] == atomic(("HSET", "tally:1", "limited", "8"))


@pytest.mark.parametrize("assigned", [None, 7])
def test_number_that_was_assigned_and_incremented_grows_from_what_is_stored(assigned: int | None) -> None:
    numbers = stored(Numbers, {"id": 1, "maybe": 2})
    desk = desk_that_agrees()
    session = session_on(desk)
    session.add(numbers)
    numbers.maybe = assigned
    session.increment(numbers, "maybe", 3)
    session.commit()
    assert numbers.maybe == 5
    (write,) = script_call(talk(desk)[0]).writes
    assert (write[0], write[-2:]) == ("HSET", ("maybe", "5"))
    assert session.dirty == []

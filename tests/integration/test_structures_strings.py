"""Values and counters on every server, in both colours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from pydantic import BaseModel, ValidationError

from redisorm import Database, DecodeError, RedisCounter, WrongTypeError
from tests.integration.handles import Colour


class Profile(BaseModel):
    name: str


def test_value_is_plain_text_both_ways(colour: Colour) -> None:
    colour.db.client.set("session:abc", "user_id=1", ex=3600)
    token = colour.Value[str]("session:abc", ttl=3600)

    assert token.get() == "user_id=1"
    assert token.set("user_id=2")
    assert colour.db.client.get("session:abc") == b"user_id=2"
    assert token.time_to_live() > timedelta(seconds=3590)
    assert token.exists()
    assert token.delete()
    assert not token.delete()
    assert token.get() is None


def test_value_is_of_any_type(colour: Colour) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
    for items, value, text in (
        (Profile, Profile(name="Ann"), b'{"name":"Ann"}'),
        (datetime, now, b"2026-11-24T12:00:00+00:00"),
        (bytes, b"\xff", b"\xff"),
        (bool, False, b"0"),
        (list[int], [1, 2], b"[1,2]"),
    ):
        kept = colour.Value[items]("value")
        kept.set(value)
        assert colour.db.client.get("value") == text
        assert kept.get() == value


def test_value_is_set_under_conditions(colour: Colour) -> None:
    value = colour.Value[int]("value")

    assert not value.set(1, only="existing")
    assert value.set(1, only="new")
    assert not value.set(2, only="new")
    assert value.get() == 1
    assert value.set(3, only="existing")
    assert value.get() == 3


def test_value_has_the_life_that_is_said_last(colour: Colour) -> None:
    value = colour.Value[int]("value", ttl=60)
    value.set(1, ttl=5)
    assert value.time_to_live() <= timedelta(seconds=5)
    value.set(2, keep_ttl=True)
    assert value.time_to_live() <= timedelta(seconds=5)
    value.set(3)
    assert timedelta(seconds=50) < value.time_to_live() <= timedelta(seconds=60)
    value.set(4, ttl=None)
    assert value.time_to_live() is None
    assert value.get_and_refresh() == 4
    assert value.time_to_live() > timedelta(seconds=50)
    assert value.get_and_refresh(timedelta(seconds=5)) == 4
    assert value.time_to_live() <= timedelta(seconds=5)
    assert value.get_and_refresh(None) == 4
    assert value.time_to_live() is None
    with pytest.raises(ValueError, match="no ttl to restart"):
        colour.Value[int]("value").get_and_refresh()
    with pytest.raises(ValueError, match="longer than zero"):
        value.set(5, ttl=0)


def test_value_is_exchanged_in_one_step(colour: Colour) -> None:
    value = colour.Value[int]("value", ttl=60)

    assert value.get_and_set(1) is None
    assert value.get_and_set(2) == 1
    assert value.time_to_live() > timedelta(seconds=50)
    assert not value.compare_and_set(1, 3)
    assert value.compare_and_set(2, 3)
    assert not value.compare_and_set(None, 4)
    assert value.get_and_delete() == 3
    assert value.get_and_delete() is None
    assert value.get_and_refresh() is None
    assert value.compare_and_set(None, 4)
    assert value.time_to_live() > timedelta(seconds=50)


def test_value_that_does_not_fit_is_refused_before_anything_is_sent(colour: Colour) -> None:
    value = colour.Value[int]("value")
    sent = colour.db.traffic
    with pytest.raises(ValidationError, match="value"):
        value.set("x")
    assert colour.db.traffic == sent


def test_stored_value_that_does_not_decode_tells_its_key(colour: Colour) -> None:
    colour.db.client.set("value", "x")
    for read in (colour.Value[int]("value").get, colour.Counter("value").get, colour.Counter("value").increment):
        with pytest.raises(DecodeError, match="value: ") as caught:
            read()
        assert caught.value.key == "value"
    assert colour.db.client.get("value") == b"x"


def test_key_of_another_type_is_told_with_both_types_and_left_alone(colour: Colour) -> None:
    colour.db.client.rpush("taken", "x")
    value, counter = colour.Value[int]("taken", ttl=60), colour.Counter("taken", ttl=60)
    uses: list[Callable[[], object]] = [
        value.get,
        lambda: value.set(1),
        lambda: value.set(1, only="new"),
        lambda: value.get_and_set(1),
        value.get_and_delete,
        value.get_and_refresh,
        lambda: value.compare_and_set(None, 1),
        value.delete,
        counter.get,
        counter.increment,
        lambda: colour.Counter("taken", ttl=60, ttl_refresh="write").increment(),
        lambda: counter.increment_within(1, high=5),
        lambda: counter.set(1),
        counter.reset,
    ]
    for use in uses:
        with pytest.raises(WrongTypeError, match="taken is a list where a string is needed") as caught:
            use()
        assert (caught.value.key, caught.value.expected, caught.value.found) == ("taken", "string", "list")
    assert colour.db.client.lrange("taken", 0, -1) == [b"x"]
    assert colour.db.client.ttl("taken") == -1


def test_counter_counts(colour: Colour) -> None:
    hits = colour.Counter("hits")

    assert hits.get() == 0
    assert hits.increment() == 1
    assert hits.increment(41) == 42
    assert hits.decrement(2) == 40
    assert hits.get() == 40
    assert colour.db.client.get("hits") == b"40"
    assert hits.set(7) == 40
    assert hits.compare_and_set(7, 8)
    assert not hits.compare_and_set(7, 9)
    assert hits.reset() == 8
    assert hits.reset() == 0
    assert hits.compare_and_set(0, 1)
    assert hits.delete()
    with pytest.raises(TypeError):
        hits.increment(0.5)


def test_life_of_a_counter_begins_with_the_first_count(colour: Colour) -> None:
    hits = colour.Counter("hits", ttl=60)
    hits.increment()
    assert hits.time_to_live() > timedelta(seconds=50)
    hits.expire(5)
    assert hits.increment() == 2
    assert hits.increment_within(1, high=9) == 3
    assert hits.time_to_live() <= timedelta(seconds=5)
    hits.delete()
    assert hits.increment_within(1, high=9) == 1
    assert hits.time_to_live() > timedelta(seconds=50)


def test_life_of_a_counter_may_restart_with_each_count(colour: Colour) -> None:
    hits = colour.Counter("hits", ttl=60, ttl_refresh="write")
    hits.increment()
    hits.expire(5)
    assert hits.increment() == 2
    assert hits.time_to_live() > timedelta(seconds=50)
    hits.expire(5)
    assert hits.increment_within(1) == 3
    assert hits.time_to_live() > timedelta(seconds=50)


def test_counter_stays_within_its_bounds(colour: Colour) -> None:
    stock = colour.Counter("stock")
    stock.set(2)

    assert stock.increment_within(-1, low=0) == 1
    assert stock.increment_within(-1, low=0) == 0
    assert stock.increment_within(-1, low=0) is None
    assert stock.get() == 0
    assert stock.increment_within(5, low=0, high=5) == 5
    assert stock.increment_within(1, high=5) is None
    stock.set(2**60)
    assert stock.increment_within(1, high=2**60) is None
    assert stock.increment_within(1, high=2**60 + 1) == 2**60 + 1


def test_seats_are_never_sold_twice(db: Database) -> None:
    seats = RedisCounter("seats", db=db)
    seats.set(30)
    sold: list[int | None] = []

    def sell() -> None:
        sold.extend(seats.increment_within(-1, low=0) for _ in range(15))

    threads = [threading.Thread(target=sell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(left for left in sold if left is not None) == list(range(30))
    assert sold.count(None) == 30

"""Dicts on every server, in both colours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError

from redisorm import Database, DecodeError, Field, RedisDict, WrongTypeError
from tests.integration.handles import Colour


class Place(BaseModel):
    city: str
    zip: int = 0


def test_entries_are_plain_text_both_ways(colour: Colour) -> None:
    client = colour.db.client
    client.hset("settings", "x", "1")
    settings = colour.Dict[str, int]("settings")

    settings.set("y", 2)
    settings.update({"z": 3}, w=4)
    settings.update([("v", 5)])

    assert client.hgetall("settings") == {b"x": b"1", b"y": b"2", b"z": b"3", b"w": b"4", b"v": b"5"}
    assert settings.copy() == {"x": 1, "y": 2, "z": 3, "w": 4, "v": 5}
    assert (settings.get("x"), settings.get("nope"), settings.get("nope", 7), settings.get(3)) == (1, None, 7, None)
    assert settings.get_many(["x", "nope", 3, "y"]) == [1, None, None, 2]
    assert settings.get_many([]) == []
    assert settings.contains("x")
    assert not settings.contains(1)
    assert settings.size() == 5
    assert set(settings) == {"x", "y", "z", "w", "v"}


def test_keys_and_values_are_of_any_type(colour: Colour) -> None:
    places = colour.Dict[int, Place | None]("places")

    places.update({1: Place(city="Oslo", zip=150), 2: None})

    assert colour.db.client.hget("places", "1") == b'{"city":"Oslo","zip":150}'
    assert dict(places.items()) == {1: Place(city="Oslo", zip=150), 2: None}
    assert set(places.keys()) == {1, 2}
    assert sorted(map(repr, places.values())) == ["None", "Place(city='Oslo', zip=150)"]


def test_entries_are_removed(colour: Colour) -> None:
    settings = colour.Dict[str, int]("settings")
    settings.update(a=1, b=2, c=3, d=4)

    settings.remove("a")
    with pytest.raises(KeyError, match="'a'"):
        settings.remove("a")
    assert settings.discard("b", "x", 3) == 1
    assert settings.pop("c") == 3
    assert settings.pop("c", None) is None
    for absent in ("c", 3):
        with pytest.raises(KeyError):
            settings.pop(absent)
    assert settings.popitem() == ("d", 4)
    with pytest.raises(KeyError, match="empty dict settings"):
        settings.popitem()
    settings.update(a=1)
    settings.clear()
    assert settings.copy() == {}


def test_default_is_set_only_where_nothing_is(colour: Colour) -> None:
    settings = colour.Dict[str, int]("settings", ttl=60)
    assert settings.setdefault("a", 1) == 1
    assert settings.setdefault("a", 2) == 1
    assert settings.time_to_live() > timedelta(seconds=50)


def test_numbers_are_incremented_exactly(colour: Colour) -> None:
    floats, decimals, counts = colour.Dict[str, float]("floats"), colour.Dict[str, Decimal]("decimals"), colour.Dict[str, int]("counts")
    expected = 0.0
    for _ in range(20):
        expected += 0.1
        assert floats.increment("a", 0.1) == expected
    assert decimals.increment("a", Decimal("0.10")) == Decimal("0.10")
    assert decimals.increment("a", Decimal("0.20")) == Decimal("0.30")
    assert counts.increment("a") == 1
    assert counts.increment("a", 2**80) == 2**80 + 1
    assert colour.db.client.hget("decimals", "a") == b"0.30"


def test_incremented_number_must_fit_the_type(colour: Colour) -> None:
    stock = colour.Dict[str, Annotated[int, Field(ge=0)]]("stock")
    stock.set("apples", 1)

    assert stock.increment("apples", -1) == 0
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        stock.increment("apples", -1)
    assert stock.get("apples") == 0
    names = colour.Dict[str, str]("names")
    names.set("a", "x")
    with pytest.raises(TypeError, match="no number to increment by 1"):
        names.increment("a")


def test_no_increment_is_lost_between_threads(db: Database) -> None:
    counts = RedisDict[str, int]("counts", db=db)

    def count() -> None:
        for _ in range(25):
            counts.increment("a")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts["a"] == 100


def test_entries_that_do_not_fit_are_refused_before_anything_is_sent(colour: Colour) -> None:
    settings = colour.Dict[str, int]("settings")
    sent = colour.db.traffic
    uses: list[Callable[[], object]] = [
        lambda: settings.set("a", "x"),
        lambda: settings.set(1, 1),
        lambda: settings.update({"a": 1, "b": "x"}),
    ]
    for use in uses:
        with pytest.raises(ValidationError, match="settings"):
            use()
    assert colour.db.traffic == sent


def test_stored_entry_that_does_not_decode_tells_its_key(colour: Colour) -> None:
    colour.db.client.hset("settings", "a", "x")
    settings = colour.Dict[str, int]("settings")
    reads: list[Callable[[], object]] = [
        lambda: settings.get("a"),
        settings.copy,
        lambda: settings.get_many(["a"]),
        lambda: list(settings),
        lambda: settings.increment("a"),
    ]
    for read in reads:
        with pytest.raises(DecodeError, match=r"settings\['a'\]") as caught:
            read()
        assert (caught.value.key, caught.value.position, caught.value.value) == ("settings", "a", b"x")
    with pytest.raises(DecodeError) as caught:
        settings.popitem()
    assert settings.size() == 1
    with pytest.raises(DecodeError):
        list(colour.Dict[int, str]("settings"))


@pytest.mark.parametrize("ttl", [None, 60])
def test_key_of_another_type_is_told_with_both_types_and_left_alone(colour: Colour, ttl: int | None) -> None:
    colour.db.client.sadd("taken", "x")
    settings = colour.Dict[str, int]("taken", ttl=ttl)
    uses: list[Callable[[], object]] = [
        settings.size,
        lambda: settings.get("a"),
        settings.copy,
        lambda: settings.set("a", 1),
        lambda: settings.update(a=1),
        lambda: settings.increment("a"),
        lambda: settings.pop("a"),
        settings.popitem,
        settings.delete,
    ]
    for use in uses:
        with pytest.raises(WrongTypeError, match="taken is a set where a hash is needed") as caught:
            use()
        assert (caught.value.key, caught.value.expected, caught.value.found) == ("taken", "hash", "set")
    assert colour.db.client.smembers("taken") == {b"x"}
    assert colour.db.client.ttl("taken") == -1


def test_large_dicts_are_written_and_walked_in_steps(colour: Colour) -> None:
    settings = colour.Dict[str, int]("settings", ttl=60)
    entries = {f"key:{number}": number for number in range(5000)}
    settings.update(entries)
    before = colour.db.traffic.round_trips

    assert settings.copy() == entries

    assert colour.db.traffic.round_trips - before >= 5
    assert settings.get_many(list(entries)) == list(entries.values())


def test_dicts_are_merged_as_those_of_python(db: Database) -> None:
    settings = RedisDict[str, int]("settings", db=db)
    settings |= {"a": 1}
    settings |= [("b", 2)]
    assert settings | {"b": 3} == {"a": 1, "b": 3}
    assert {"b": 3, "c": 4} | settings == {"a": 1, "b": 2, "c": 4}
    assert settings != [("a", 1), ("b", 2)]
    assert 2 in settings.values()
    pairs: Any = [("b", 3)]
    with pytest.raises(TypeError):
        _ = settings | pairs
    with pytest.raises(TypeError):
        _ = pairs | settings

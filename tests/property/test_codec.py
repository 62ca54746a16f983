"""Any value of any kind comes back from its text as it was."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redisorm.mapping.annotations import stored, validator
from redisorm.mapping.codec import codec_of


class Shade(Enum):
    LIGHT = 1
    DARK = "1x"
    NONE = 2.5


text = st.text(st.characters(codec="utf-8"))
zones = st.none() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
floats = st.floats(allow_nan=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers() | st.integers(-(10**300), 10**300)),
    (float, floats),
    (bool, st.booleans()),
    (str, text),
    (bytes, st.binary()),
    (Decimal, decimals),
    (datetime, st.datetimes(timezones=zones)),
    (date, st.dates()),
    (time, st.times(timezones=zones)),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Shade, st.sampled_from(Shade)),
    (int | str, st.integers() | text),
    (datetime | str, st.datetimes() | text | st.datetimes().map(str)),
    (UUID | str, st.uuids() | text | st.uuids().map(str)),
    (Decimal | float, decimals | floats),
    (bytes | str, st.binary() | text),
    (list[int] | set[int], st.lists(st.integers()) | st.sets(st.integers())),
    (dict[str, int | None], st.dictionaries(text, st.none() | st.integers())),
    (tuple[int, str], st.tuples(st.integers(), text)),
    (frozenset[date], st.frozensets(st.dates())),
    (list[dict[str, float]], st.lists(st.dictionaries(text, floats, max_size=3), max_size=3)),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_value_comes_back_from_its_text(kind: Any, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    value = data.draw(values)
    codec = codec_of(stored(kind))

    spelled = codec.spell(value)
    raw = spelled if isinstance(spelled, bytes) else str(spelled).encode()
    (read,) = codec.read_many([raw])
    row: Any = raw.decode("latin-1" if codec.binary else "utf-8")
    in_row = validator(codec.reads).validate_strings(row)

    for back in (read, in_row):
        assert back == value
        assert type(back) is type(value)
        if isinstance(value, datetime):
            assert back.utcoffset() == value.utcoffset()
        if isinstance(value, Decimal):
            assert str(back) == str(value)


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_many_values_of_one_type_are_spelled_as_each_is(kind: Any, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    codec = codec_of(stored(kind))
    drawn = [value for value in data.draw(st.lists(values, max_size=20)) if type(value) in codec.exact]
    for exact in codec.exact:
        alike = [value for value in drawn if type(value) is exact]
        assert list(map(str, codec.encode_many(exact, alike))) == [str(codec.spell(value)) for value in alike]


def test_datetimes_of_any_zone_are_spelled_together_as_each_is() -> None:
    instants = [
        datetime.min + timedelta(days=1),
        datetime.max,
        datetime(2026, 1, 2, 3, 4, 5),
        datetime(2026, 1, 2, 3, 4, 5, 600),
        datetime(999, 1, 1, fold=1),
    ]
    zones = [None, timezone.utc, timezone(timedelta(0)), timezone(timedelta(0), "Z"), timezone(timedelta(hours=1, seconds=7))]
    codec = codec_of(datetime)
    for zone in zones:
        there = [instant.replace(tzinfo=zone) for instant in instants]
        assert codec.encode_many(datetime, there) == [codec.spell(one) for one in there]
    mixed = [instant.replace(tzinfo=zone) for instant in instants for zone in zones]
    assert codec.encode_many(datetime, mixed) == [codec.spell(one) for one in mixed]
    assert codec.encode_many(datetime, []) == []

"""Values as an index holds them: scores that a double holds exactly, members in order, positions, and what is refused before a commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, computed_field

from redisorm import Field, GeoPoint, IndexValueError, MappingError, RedisModel
from redisorm.flows.entries import claims_of, entries_of
from redisorm.mapping.base import mapper_of
from redisorm.mapping.indexes import lex_member, unlex
from redisorm.mapping.scores import SCORES, nearest_score

CET = timezone(timedelta(hours=1))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Token(Enum):
    BLANK = b"\xff"
    PAIR = b"a:b"


class Shape(Enum):
    DOT = (0, 0)
    LINE = (0, 1)


class Held(RedisModel, prefix="held"):
    """One field for each type that an index orders."""

    id: int
    whole: int = Field(default=0, index=True)
    real: float = Field(default=0.0, index=True)
    exact: Decimal = Field(default=Decimal(0), index=True, allow_inf_nan=True)
    moment: datetime | None = Field(default=None, index=True)
    day: date | None = Field(default=None, index=True)
    clock: time | None = Field(default=None, index=True)
    span: timedelta | None = Field(default=None, index=True)


def entries(model: type[RedisModel], texts: Mapping[str, str | bytes | None], *, strict: bool = True) -> dict[str, Any]:
    """The entries of a row with these stored texts."""
    stored = {name: text.encode() if isinstance(text, str) else text for name, text in texts.items()}
    return entries_of(mapper_of(model), "key:1", "1", stored, {}, strict=strict)


@pytest.mark.parametrize(
    ("field", "text", "score"),
    [
        ("whole", "30", "30"),
        ("whole", "-9007199254740992", "-9007199254740992"),
        ("real", "0.1", "0.1"),
        ("real", "inf", "inf"),
        ("real", "-inf", "-inf"),
        ("exact", "0.10", "0.1"),
        ("exact", "1E+3", "1000.0"),
        ("exact", "Infinity", "inf"),
        ("exact", "-Infinity", "-inf"),
        ("moment", "1970-01-01T01:00:00+01:00", "0"),
        ("moment", "1970-01-01T00:00:00", "0"),
        ("moment", "2026-05-06T07:08:09.500000+00:00", "1778051289.5"),
        ("moment", "1969-12-31T23:59:59+00:00", "-1"),
        ("day", "1970-01-02", "86400"),
        ("day", "0001-01-01", "-62135596800"),
        ("clock", "01:00:00", "3600"),
        ("clock", "01:00:00.250000", "3600.25"),
        ("clock", "00:30:00+01:00", "-1800"),
        ("span", "-P1DT0.5S", "-86400.5"),
    ],
)
def test_score_orders_numbers_and_times_by_their_value(field: str, text: str, score: str) -> None:
    assert entries(Held, {field: text})[field] == ("1", score)


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("whole", str(2**53 + 1), "up to 2**53"),
        ("whole", str(-(2**53) - 1), "up to 2**53"),
        ("real", "nan", "NaN has no place"),
        ("exact", "NaN", "NaN has no place"),
        ("exact", "0.1234567890123456789", "does not come back the same"),
        ("exact", "1E+999", "does not come back the same"),
        ("moment", "9999-12-31T23:59:59.999999+00:00", "to the microsecond"),
        ("span", "P999999999DT0.000001S", "to the microsecond"),
    ],
)
def test_value_that_a_double_does_not_hold_is_refused_with_its_field_and_remedy(field: str, text: str, problem: str) -> None:
    with pytest.raises(IndexValueError) as caught:
        entries(Held, {field: text})
    assert problem in str(caught.value)
    assert str(caught.value).endswith("nothing was written: leave the field without index=, or store a value that fits")
    assert (caught.value.model, caught.value.key, caught.value.field) == (Held, "key:1", field)


def test_stored_value_that_no_index_could_hold_has_no_entry_to_take_out() -> None:
    held = entries(Held, {"whole": str(2**53 + 1), "real": "3.5", "moment": "rubbish", "exact": b"\xff"}, strict=False)
    assert "whole" not in held
    assert {"moment", "exact"}.isdisjoint(held)
    assert held["real"] == ("1", "3.5")


@given(st.datetimes(timezones=st.just(timezone.utc)), st.datetimes(timezones=st.just(timezone.utc)))
def test_scores_of_instants_are_in_the_order_of_the_instants(one: datetime, other: datetime) -> None:
    score = SCORES[datetime]
    try:
        scores = score(one), score(other)
    except ValueError:
        return
    assert (float(scores[0]) < float(scores[1])) == (one < other)


@pytest.mark.parametrize(
    ("value", "score", "side"),
    [
        (7, "7", 0),
        (2**53 + 1, "9007199254740992", -1),
        (-(2**53) - 1, "-9007199254740992", 1),
        (10**400, "inf", 1),
        (-(10**400), "-inf", -1),
        (0.5, "0.5", 0),
        (Decimal("0.1"), "0.1", 0),
        (Decimal("0.12345678901234567890"), "0.12345678901234568", 1),
        (datetime(1970, 1, 1, 1, tzinfo=CET), "0", 0),
        (datetime(9999, 12, 31, 23, 59, 59, 999999), "253402300800", 1),
        (date(1970, 1, 2), "86400", 0),
        (time(0, 0, 1), "1", 0),
        (timedelta(milliseconds=1500), "1.5", 0),
        (Level.HIGH, "2", 0),
    ],
)
def test_condition_knows_the_nearest_score_and_on_which_side_of_the_value_it_lies(value: object, score: str, side: int) -> None:
    assert nearest_score(value) == (score, side)


# ---- text -----------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="\0\1\2\3ab é", max_size=8), st.text(alphabet="\0\1ab:", max_size=4))
def test_member_of_a_lex_index_is_read_back(text: str, pk: str) -> None:
    assert unlex(lex_member(text, pk)) == (text, pk)


@given(st.text(alphabet="\0\1\2a", max_size=6), st.text(alphabet="\0\1\2a", max_size=6))
def test_members_of_a_lex_index_are_in_the_order_of_their_values(one: str, other: str) -> None:
    if one != other:
        assert (lex_member(one, "1").encode() < lex_member(other, "1").encode()) == (one.encode() < other.encode())


class Worded(RedisModel, prefix="worded"):
    """One field for each way a value is told by equality or order of text."""

    id: int
    name: str = Field(default="", index="lex")
    city: str = Field(default="", index=True)
    raw: bytes = Field(default=b"", index=True)
    flag: bool = Field(default=False, index=True)
    colour: Colour = Field(default=Colour.RED, index=True)
    level: Level = Field(default=Level.LOW, index=True)
    sign: Token = Field(default=Token.PAIR, index=True)
    shape: Shape = Field(default=Shape.DOT, index=True)
    choice: Literal["a", "b"] = Field(default="a", index=True)
    token: UUID = Field(default=UUID(int=0), index=True)
    either: int | str = Field(default=0, index=True)
    maybe: str | None = Field(default=None, index=True)
    five: int | None = Field(default=5, index=True)


@pytest.mark.parametrize(
    ("field", "text", "entry"),
    [
        ("name", "Ann\0\1", {"name": ("Ann\1\1\1\2\0001", "0")}),
        ("city", "São:{Paulo}%\0", {"city:São%3A%7BPaulo%7D%25%00": ("1", None)}),
        ("city", "", {"city:%": ("1", None)}),
        ("raw", b"\xff:", {"raw:\xff%3A": ("1", None)}),
        ("flag", "1", {"flag:1": ("1", None)}),
        ("flag", "true", {"flag:1": ("1", None)}),
        ("colour", "blue", {"colour:blue": ("1", None)}),
        ("level", "2", {"level:2": ("1", None)}),
        ("sign", b"\xff", {"sign:\xff": ("1", None)}),
        ("sign", None, {"sign:a%3Ab": ("1", None)}),
        ("shape", "[0, 1]", {"shape:[0,1]": ("1", None)}),
        ("choice", "b", {"choice:b": ("1", None)}),
        ("token", "00000000000000000000000000000001", {"token:00000000-0000-0000-0000-000000000001": ("1", None)}),
        ("either", "7", {"either:7": ("1", None)}),
        ("either", '"7"', {'either:"7"': ("1", None)}),
        ("maybe", None, {"maybe:": ("1", None)}),
        ("five", None, {"five": ("1", "5")}),
        ("five", "null", {"five:": ("1", None)}),
    ],
)
def test_text_of_a_value_is_canonical_and_absence_is_told_from_emptiness(
    field: str, text: str | bytes | None, entry: dict[str, Any]
) -> None:
    found = entries(Worded, {field: text})
    assert {name: one for name, one in found.items() if name.partition(":")[0] == field} == entry


class Visitor(RedisModel, prefix="visitor", unique_together=(("city", "born"),)):
    id: int
    email: str | None = Field(default=None, unique=True)
    price: Decimal | None = Field(default=None, unique=True, allow_inf_nan=True)
    ratio: float | None = Field(default=None, unique=True)
    seen: datetime | None = Field(default=None, unique=True)
    token: bytes | None = Field(default=None, unique=True)
    rank: int | None = Field(default=7, unique=True)
    city: str = ""
    born: date | None = None


@pytest.mark.parametrize(
    ("texts", "claims"),
    [
        ({"email": "a:b"}, {"unique:email:a%3Ab"}),
        ({"email": ""}, {"unique:email:%"}),
        ({"price": "1.50"}, {"unique:price:1.5"}),
        ({"price": "1.5"}, {"unique:price:1.5"}),
        ({"price": "1E+2"}, {"unique:price:100"}),
        ({"price": "100"}, {"unique:price:100"}),
        ({"price": "-0.00"}, {"unique:price:0"}),
        ({"price": "1E+999999"}, {"unique:price:1E+999999"}),
        ({"price": "10E+999998"}, {"unique:price:1E+999999"}),
        ({"price": "1.23456789012345678901234567890123456789"}, {"unique:price:1.23456789012345678901234567890123456789"}),
        ({"ratio": "-0.0"}, {"unique:ratio:0.0"}),
        ({"ratio": "1"}, {"unique:ratio:1.0"}),
        ({"price": "NaN"}, {"unique:price:NaN"}),
        ({"seen": "2026-01-01T01:00:00+01:00"}, {"unique:seen:2026-01-01T00%3A00%3A00+00%3A00"}),
        ({"seen": "2026-01-01T00:00:00+00:00"}, {"unique:seen:2026-01-01T00%3A00%3A00+00%3A00"}),
        ({"seen": "2026-01-01T00:00:00"}, {"unique:seen:2026-01-01T00%3A00%3A00"}),
        ({"seen": "0001-01-01T00:00:00+05:00"}, {"unique:seen:-62135614800000000"}),
        ({"seen": "0001-01-01T01:00:00+06:00"}, {"unique:seen:-62135614800000000"}),
        ({"seen": "9999-12-31T23:59:59-05:00"}, {"unique:seen:253402318799000000"}),
        ({"token": b"\xff"}, {"unique:token:\xff"}),
        ({"city": "Oslo", "born": "2000-01-01"}, {"unique:city+born:Oslo:2000-01-01"}),
        ({"city": "Oslo"}, set()),
        ({"rank": "null"}, set()),
        ({"seen": "rubbish"}, set()),
        ({"email": b"\xff"}, set()),
    ],
)
def test_equal_values_claim_one_key_and_none_claims_nothing(texts: dict[str, str | bytes], claims: set[str]) -> None:
    stored = {name: text.encode() if isinstance(text, str) else text for name, text in texts.items()}
    assert set(claims_of(mapper_of(Visitor), stored)) == claims


def test_digits_of_a_unique_decimal_do_not_depend_on_the_precision_of_the_thread() -> None:
    with localcontext() as context:
        context.prec = 3
        claims = claims_of(mapper_of(Visitor), {"price": b"1234.5678"})
    assert set(claims) == {"unique:price:1234.5678"}


def test_index_without_an_order_has_no_scores() -> None:
    with pytest.raises(AssertionError, match="the index has no order"):
        mapper_of(Worded).indexes["city"].checked_score("Oslo", "worded:1")


# ---- positions ------------------------------------------------------------------------------------------------------


class Place(RedisModel, prefix="place"):
    id: int
    at: GeoPoint | None = Field(default=None, index="geo")


@pytest.mark.parametrize(("lat", "fits"), [(85.05112878, True), (-85.05112878, True), (85.06, False), (-90, False)])
def test_position_is_indexed_as_far_as_redis_reaches(lat: float, fits: bool) -> None:
    text = f'{{"lon":10.5,"lat":{lat}}}'
    if fits:
        assert entries(Place, {"at": text}) == {"at": ("1", ("10.5", repr(float(lat))))}
    else:
        with pytest.raises(IndexValueError, match=r"reaches to 85\.05112878 degrees") as caught:
            entries(Place, {"at": text})
        assert caught.value.value == GeoPoint(10.5, lat)


@pytest.mark.parametrize(
    ("lon", "lat", "message"),
    [
        (180.1, 0, "longitude 180.1 must be from -180 to 180"),
        (float("nan"), 0, "longitude nan"),
        (0, -90.1, "latitude -90.1 must be from -90 to 90"),
        (0, float("inf"), "latitude inf"),
    ],
)
def test_point_that_is_nowhere_on_earth_is_refused(lon: float, lat: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeoPoint(lon, lat)


def test_degrees_are_floats_however_they_are_given() -> None:
    point = GeoPoint(lon=-180, lat=True)
    assert (repr(point.lon), repr(point.lat)) == ("-180.0", "1.0")


# ---- what cannot be declared ----------------------------------------------------------------------------------------


class Part(BaseModel):
    text: str = ""


@pytest.mark.parametrize(
    ("annotation", "field", "message"),
    [
        (int, Field(default=0, index="geo"), "index='geo' needs a redisorm.GeoPoint field"),
        (list[str], Field(default=[], index="geo"), "index='geo' needs a redisorm.GeoPoint field"),
        (int, Field(default=0, index="lex"), "index='lex' needs a text field"),
        (bytes, Field(default=b"", index="lex"), "index='lex' needs a text field"),
        (int | str, Field(default=0, index="lex"), "index='lex' needs a text field"),
        (set[str], Field(default=set(), index="lex"), "index='lex' needs a text field"),
        (str, Field(default="", index=cast("Any", "text")), "index='text' must be True, 'lex' or 'geo'"),
        (GeoPoint | None, Field(default=None, index=True), "take index='geo' for a GeoPoint"),
        (dict[str, int], Field(default={}, index=True), "index=True needs a scalar"),
        (list[str], Field(default=[], index=True, inline=True), "index=True needs a scalar"),
        (dict[str, int], Field(default={}, unique=True), "cannot be unique: name fields that hold a text"),
    ],
)
def test_index_that_makes_no_sense_of_a_type_is_refused_when_the_class_is_defined(annotation: Any, field: Any, message: str) -> None:
    with pytest.raises(MappingError, match=r"Wrong\.value") as caught:
        type("Wrong", (RedisModel,), {"__annotations__": {"id": int, "value": annotation}, "value": field, "__module__": __name__})
    assert message in str(caught.value)
    assert caught.value.field == "value"


@pytest.mark.parametrize("name", ["all", "unique"])
def test_indexed_field_cannot_have_the_name_of_the_librarys_own_keys(name: str) -> None:
    body = {"__annotations__": {"id": int, name: str}, name: Field(default="", index=True), "__module__": __name__}
    with pytest.raises(MappingError, match=f"cannot be named '{name}'"):
        type("Wrong", (RedisModel,), body)


def test_index_of_a_field_named_like_the_counter_is_refused_beside_an_automatic_key() -> None:
    with pytest.raises(MappingError, match="would share a key with the counter"):

        class Wrong(RedisModel):
            number: int | None = Field(default=None, primary_key=True)
            id: str = Field(default="", index=True)


@pytest.mark.parametrize(
    ("together", "message"),
    [
        (("city", "born"), "must be a tuple of tuples of field names"),
        ((("city", "nowhere"),), "Wrong.nowhere cannot be unique"),
        ((("city", "tags"),), "Wrong.tags cannot be unique"),
        ((("city", "code"),), "Wrong.code cannot be unique"),
    ],
)
def test_unique_together_names_stored_fields(together: Any, message: str) -> None:
    with pytest.raises(MappingError) as caught:

        class Wrong(RedisModel, unique_together=together):
            id: int
            city: str = ""
            born: date | None = None
            tags: set[str] = set()
            code: str = Field(default="", ttl=5)

    assert message in str(caught.value)


def test_computed_and_nested_fields_are_indexed_under_their_names() -> None:
    class Address(BaseModel):
        city: str = Field(default="Oslo", index=True)

    class Person(RedisModel, prefix="person_of_indexes"):
        id: int
        name: str = ""
        home: Address = Address()
        work: Address | None = None

        @computed_field  # type: ignore[prop-decorator]
        @property
        def initial(self) -> Annotated[str, Field(index=True)]:
            return self.name[:1]

        @computed_field  # type: ignore[prop-decorator]
        @property
        def shout(self) -> str:
            return self.name.upper()

    indexes = mapper_of(Person).indexes
    assert {name: (index.kind, index.place is None) for name, index in indexes.items()} == {
        "home.city": ("equality", False),
        "work.city": ("equality", False),
        "initial": ("equality", True),
    }
    # A model that is always there stands with its default; inside one that may be missing nothing does.
    assert entries(Person, {}) == {"home.city:Oslo": ("1", None), "work.city:": ("1", None), "initial:": ("1", None)}

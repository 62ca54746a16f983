"""The text of each kind of value, which other programs read and write: exactly this one, and back to exactly that value."""

from __future__ import annotations

import math
import pickle
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    EmailStr,
    FutureDatetime,
    Json,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SecretBytes,
    SecretStr,
    ValidationError,
    computed_field,
)
from pydantic import Field as PydanticField
from typing_extensions import TypeAliasType

from redisorm import DecodeError, Field, GeoPoint, MappingError, RedisModel
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.mapping import encoder
from redisorm.mapping.annotations import stored
from redisorm.mapping.base import mapper_of
from redisorm.mapping.codec import Codec, codec_of, element_codec
from redisorm.mapping.encoder import as_bytes, extra_text
from redisorm.mapping.items import items_of
from redisorm.mapping.snapshot import difference, snapshot_of_row, whole
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import Phase, state_of
from tests.unit.desk import stored as loaded


class Shade(Enum):
    LIGHT = "light"
    DARK = "dark"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Twins(Enum):
    """Values that have one text."""

    NUMBER = 1
    TEXT = "1"


class Token(Enum):
    BLANK = b"\xff"
    WORD = b"w"


class Shape(Enum):
    """Values that are no scalars."""

    DOT = (0, 0)
    LINE = (0, 1)


class Name(str):
    __slots__ = ()


class Point(BaseModel):
    x: int
    y: int = 0


Alias = TypeAliasType("Alias", int)

TEXTS: list[tuple[Any, Any, bytes]] = [
    (int, 30, b"30"),
    (int, -(10**40), b"-" + b"1" + b"0" * 40),
    (Alias, 7, b"7"),
    (float, 0.1, b"0.1"),
    (float, -math.inf, b"-inf"),
    (bool, True, b"1"),
    (bool, False, b"0"),
    (str, "", b""),
    (str, "a\0ü", "a\0ü".encode()),
    (bytes, b"\xff\0", b"\xff\0"),
    (Decimal, Decimal("1.50"), b"1.50"),
    (datetime, datetime(2026, 1, 2, 3, 4, 5), b"2026-01-02T03:04:05"),
    (datetime, datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))), b"2026-01-02T00:00:00+01:00"),
    (date, date(2026, 1, 2), b"2026-01-02"),
    (time, time(1, 2), b"01:02:00"),
    (timedelta, timedelta(days=1, microseconds=5), b"P1DT0.000005S"),
    (UUID, UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    (Shade, Shade.DARK, b"dark"),
    (Level, Level.HIGH, b"2"),
    (Token, Token.BLANK, b"\xff"),
    (Twins, Twins.TEXT, b'"1"'),
    (Shape, Shape.LINE, b"[0,1]"),
    (Literal["a", "b"], "b", b"b"),
    (Literal[1, True], True, b"true"),
    (AnyUrl, AnyUrl("https://example.org/a"), b"https://example.org/a"),
    (IPv4Address, IPv4Address("10.0.0.1"), b"10.0.0.1"),
    (PurePosixPath, PurePosixPath("/a/b"), b"/a/b"),
    (SecretStr, SecretStr("hush"), b"hush"),
    (SecretBytes, SecretBytes(b"\xff"), b"\xff"),
    (EmailStr, "a@example.org", b"a@example.org"),
    (FutureDatetime, datetime(2000, 1, 1), b"2000-01-01T00:00:00"),
    (GeoPoint, GeoPoint(1, 2), b'{"lon":1.0,"lat":2.0}'),
    (Point, Point(x=1), b'{"x":1,"y":0}'),
    (list[Point], [Point(x=1)], b'[{"x":1,"y":0}]'),
    (dict[str, Any], {"a": None, "b": [1.5]}, b'{"a":null,"b":[1.5]}'),
    (tuple[int, ...], (1, 2), b"[1,2]"),
    (int | str, 7, b"7"),
    (int | str, "7", b'"7"'),
    (datetime | str, "2026-01-01T00:00:00", b'{"$str":"2026-01-01T00:00:00"}'),
    (datetime | str, "plain", b'"plain"'),
    (UUID | str, str(UUID(int=1)), b'{"$str":"00000000-0000-0000-0000-000000000001"}'),
    (Annotated[int, PydanticField(ge=0)], 5, b"5"),
    (Annotated[str, Json], "[1]", b"[1]"),
]


def text_of(codec: Codec, value: Any) -> bytes:
    return as_bytes(codec.spell(value))


@pytest.mark.parametrize(("annotation", "value", "text"), TEXTS, ids=[f"{kind}-{value!r}" for kind, value, _ in TEXTS])
def test_value_is_this_text_and_nothing_else(annotation: Any, value: Any, text: bytes) -> None:
    codec = codec_of(stored(annotation))
    assert text_of(codec, value) == text
    (back,) = codec.read_many([text])
    assert back == value
    assert type(back) is type(value)


def test_instant_whose_offset_has_seconds_is_told_in_utc() -> None:
    odd = datetime(1900, 1, 1, 12, tzinfo=timezone(timedelta(hours=1, seconds=7)))
    codec = codec_of(datetime)
    assert text_of(codec, odd) == b"1900-01-01T10:59:53+00:00"
    assert codec.read_many([text_of(codec, odd)]) == [odd]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("odd", [timedelta(seconds=1), timedelta(hours=5, seconds=7), timedelta(hours=23, minutes=58, microseconds=1)])
@pytest.mark.parametrize("value", [datetime.min, datetime.max])
def test_instant_whose_offset_has_seconds_is_told_in_minutes_where_utc_lies_outside_of_the_calendar(
    value: datetime, odd: timedelta, sign: int
) -> None:
    moment = value.replace(tzinfo=timezone(sign * odd))
    (back,) = codec_of(datetime).read_many([text_of(codec_of(datetime), moment)])
    assert back - moment == timedelta(0)


@pytest.mark.parametrize(
    ("value", "offset", "text"),
    [
        (time(12), timedelta(hours=1, seconds=7), b"11:59:53+01:00"),
        (time(0), timedelta(hours=1, seconds=7), b"00:00:53+01:01"),
        (time(12), -timedelta(hours=1, seconds=7), b"12:00:07-01:00"),
        (time(23, 59, 59, 5), -timedelta(hours=1, seconds=7), b"23:59:06.000005-01:01"),
    ],
)
def test_time_whose_offset_has_seconds_is_told_at_one_of_minutes_on_its_day(value: time, offset: timedelta, text: bytes) -> None:
    codec = codec_of(time)
    odd = value.replace(tzinfo=timezone(offset))
    assert text_of(codec, odd) == text
    (back,) = codec.read_many([text])
    day = date(2000, 1, 1)
    assert datetime.combine(day, back) - datetime.combine(day, odd) == timedelta(0)


def test_subclass_of_a_scalar_comes_back_as_that_class() -> None:
    class Code(str):
        __slots__ = ()

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            schema = handler(str)
            return {"type": "function-after", "function": {"type": "no-info", "function": cls}, "schema": schema}

    codec = codec_of(Code)
    assert text_of(codec, Code("x")) == b"x"
    (back,) = codec.read_many([b"x"])
    assert type(back) is Code


@pytest.mark.parametrize(
    ("annotation", "text", "problem"),
    [
        (Shade, b"pale", "not one of 'light', 'dark'"),
        (Literal["a", "b"], b"c", "not one of 'a', 'b'"),
        (int, b"x", "unable to parse"),
        (Point, b'{"y":1}', "Field required"),
        (bool, b"maybe", "boolean"),
    ],
)
def test_text_of_no_value_is_told(annotation: Any, text: bytes, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        codec_of(stored(annotation)).read_many([text])


@pytest.mark.parametrize("annotation", [dict[str, Any], list[str | int], int | str])
def test_same_annotation_inline_is_json_however_plain(annotation: Any) -> None:
    assert codec_of(annotation, inline=True).json


def test_enum_of_compound_values_is_read_however_its_json_is_spelled() -> None:
    codec = codec_of(Shape)
    assert codec.read_many([b"[0, 1]"]) == [Shape.LINE]
    for text in (b"[1,1]", b"rubbish"):
        with pytest.raises(ValidationError, match=r"not one of '\[0,0\]', '\[0,1\]'"):
            codec.read_many([text])
    raw = codec_of(Shape, raw_enums=True)
    assert text_of(raw, (0, 1)) == b"[0,1]"
    assert raw.read_many([b"[0,1]"]) == [(0, 1)]


class Things(Enum):
    A = object()


class Same(Enum):
    TEXT = "a"
    BYTES = b"a"


@pytest.mark.parametrize(("kind", "message"), [(Things, "a value of it has no JSON"), (Same, "two of its values have the same JSON")])
def test_enum_whose_values_no_json_tells_apart_is_refused_when_the_class_is_defined(kind: Any, message: str) -> None:
    with pytest.raises(MappingError, match=f"Wrong.value: .* cannot be stored.*{message}"):
        type("Wrong", (RedisModel,), {"__annotations__": {"id": int, "value": kind}, "__module__": __name__})


def test_enum_values_as_they_are_where_the_class_says_so() -> None:
    codec = codec_of(Shade, raw_enums=True)
    assert codec.read_many([b"dark"]) == ["dark"]
    assert text_of(codec, "dark") == b"dark"


def test_union_whose_members_no_text_tells_apart_is_refused_where_it_matters() -> None:
    class Cat(BaseModel):
        name: str

    class Dog(BaseModel):
        name: str

    codec = codec_of(stored(list[Cat | Dog]))
    assert text_of(codec, [Cat(name="a")]) == b'[{"name":"a"}]'
    with pytest.raises(ValueError, match=r"would come back from its JSON as .*: give the union a discriminator, or"):
        codec.spell([Dog(name="a")])


def test_none_among_elements_is_spelled_since_nothing_can_be_absent_there() -> None:
    codec = element_codec(int | None)
    assert (text_of(codec, None), text_of(codec, 5)) == (b"null", b"5")
    assert codec.read_many([b"null", b"5"]) == [None, 5]


# ---- annotations ----------------------------------------------------------------------------------------------------


class Opaque:
    """A type Pydantic knows only by the functions beside it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def opaque(value: Any) -> Opaque:
    return value if isinstance(value, Opaque) else Opaque(str(value))


class Safe(RedisModel, prefix="safe"):
    id: int
    thing: Annotated[Opaque, PlainValidator(opaque), PlainSerializer(lambda value: value.text, return_type=str)] = Opaque("")
    count: Annotated[int, PlainValidator(lambda value: int(value) * 2)] = 0
    mode: Literal["a", None] = None


def test_functions_are_kept_only_where_a_type_is_unknown_without_them() -> None:
    """`count` is doubled when it is given, and not again when it is read."""
    one = Safe.model_validate({"id": 1, "thing": "x", "count": 4, "mode": "a"})
    row = whole(mapper_of(Safe), one, "safe:1")
    assert row.sets == ["id", 1, "thing", "x", "count", 8, "mode", "a"]
    back = loaded(Safe, {"id": 1, "thing": "x", "count": 8, "mode": "a"})
    assert (back.thing, back.count, back.mode) == (Opaque("x"), 8, "a")
    assert loaded(Safe, {"id": 1, "thing": "x"}).mode is None


def test_nested_model_keeps_its_post_init_and_its_further_fields() -> None:
    class Part(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str = ""
        _seen: bool = PrivateAttr(False)

        def model_post_init(self, context: Any, /) -> None:
            self._seen = True

    class Whole(RedisModel, prefix="whole"):
        id: int
        parts: list[Part] = Field(default=[], inline=True)

    (part,) = loaded(Whole, {"id": 1, "parts": '[{"name":"a","weight":5}]'}).parts
    assert (part._seen, part.__pydantic_extra__) == (True, {"weight": 5})


def test_nested_model_that_cannot_be_stored_leaves_nothing_half_made_behind() -> None:
    class Unknown:
        pass

    class Bad(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: Unknown | None = None

    for _ in range(2):
        with pytest.raises(MappingError, match="cannot be stored, since Pydantic does not know how to read it back"):
            type("Holder", (RedisModel,), {"__annotations__": {"id": int, "bads": list[Bad]}, "__module__": __name__})


def test_name_that_is_not_defined_yet_is_told_at_first_use_and_resolved_later() -> None:
    class Later(RedisModel, prefix="later"):
        id: int
        part: "Part | None" = None  # type: ignore[name-defined]  # noqa: F821, UP037  # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(MappingError, match=r"'Part' in its annotations is not defined yet: define it, then call Later.model_rebuild\(\)"):
        mapper_of(Later)
    Later.model_rebuild(_types_namespace={"Part": Point})
    assert mapper_of(Later).fields == ("id", "part.x", "part.y", "part", ":ttl")


@pytest.mark.parametrize(
    ("annotations", "body", "message"),
    [
        (
            {"part": Point},
            {"part": Field(index=True)},
            "a nested model cannot be the primary key, indexed or unique: mark one of its fields",
        ),
        (
            {"code": str},
            {"code": Field(default="", ttl=5, index=True)},
            "a field with a life of its own cannot be a key, indexed or unique",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(annotations: dict[str, Any], body: dict[str, Any], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        type("Wrong", (RedisModel,), {"__annotations__": {"id": int, **annotations}, "__module__": __name__, **body})


def test_key_inside_a_nested_model_is_refused() -> None:
    class Part(BaseModel):
        code: str = Field(primary_key=True)

    with pytest.raises(MappingError, match="a field of a nested model cannot be the primary key; take a field of the class itself"):

        class Wrong(RedisModel):
            id: int
            part: Part


def test_two_fields_of_one_hash_field_are_refused() -> None:
    class Dotted(BaseModel):
        model_config = ConfigDict(extra="forbid")
        city: str = ""

    body = {"__annotations__": {"id": int, "home": Dotted, "home.city": str}, "home.city": "", "__module__": __name__}
    with pytest.raises(MappingError, match=r"two fields would be stored under the name home\.city"):
        type("Wrong", (RedisModel,), body)


Ordered = TypeAliasType("Ordered", Annotated[int, Field(index=True), "a remark"])


def test_options_are_found_behind_aliases_and_inside_annotated_fields() -> None:
    class Found(RedisModel, prefix="found"):
        id: int
        age: Ordered = 0
        rank: Annotated[int | None, PydanticField(ge=0)] = None

    assert list(mapper_of(Found).indexes) == ["age"]


# ---- rows -----------------------------------------------------------------------------------------------------------


class Loose(RedisModel, prefix="loose_texts"):
    id: int
    maybe: int | str = 0
    also: str | float = ""
    raw: bytes = b""


def test_text_that_is_no_json_is_taken_as_text_where_a_field_may_be_one() -> None:
    one = loaded(Loose, {"id": 1, "maybe": "hello", "also": "1.5"})
    assert (one.maybe, one.also) == ("hello", 1.5)


def test_other_field_that_cannot_be_read_is_told_though_text_was_forgiven() -> None:
    class Strict(RedisModel, prefix="strict"):
        id: int
        maybe: int | str = 0
        age: int = 0

    with pytest.raises(DecodeError, match="strict:1: the stored 'age' does not fit Strict") as caught:
        loaded(Strict, {"id": 1, "maybe": "hello", "age": "old"})
    assert caught.value.field == "age"


def test_field_that_is_no_text_is_named_among_binary_ones() -> None:
    with pytest.raises(DecodeError, match=r"the stored 'also' is not UTF-8 text: .* at byte 1; found b'a\\xff'") as caught:
        loaded(Loose, {"id": 1, "maybe": "1", "also": b"a\xff", "raw": b"\xff"})
    assert (caught.value.field, caught.value.value) == ("also", b"a\xff")


def test_long_value_is_shortened_in_its_error() -> None:
    with pytest.raises(DecodeError, match=r"… \(1002 characters\)"):
        loaded(Safe, {"id": 1, "count": "[" * 1000})


class Open(RedisModel, prefix="open_texts", extra="allow"):
    id: int
    name: str = ""


@pytest.mark.parametrize(
    ("value", "text"), [(1, b"1"), ("a", b'"a"'), (b"\xff", b"\xff"), (b"a", b'"a"'), ({"b": [None]}, b'{"b":[null]}')]
)
def test_further_field_is_json_and_bytes_that_are_no_text_are_themselves(value: Any, text: bytes) -> None:
    assert extra_text(value) == text


@pytest.mark.parametrize(("text", "value"), [(b"[1]", [1]), (b"plain", "plain"), (b"\xff", b"\xff")])
def test_further_field_is_read_as_json_or_text_or_bytes(text: bytes, value: Any) -> None:
    assert mapper_of(Open).decoder.extra({"x": text}) == {"x": value}


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({":version": 1}, "must not have the name of a stored one"),
        ({"thing": object()}, "Unable to serialize unknown type"),
    ],
)
def test_further_field_that_cannot_be_stored_is_refused(extra: dict[str, Any], problem: str) -> None:
    one = Open.model_validate({"id": 1, **extra})
    with pytest.raises(ValidationError, match=problem):
        whole(mapper_of(Open), one, "open_texts:1")


def test_only_further_fields_that_changed_are_written() -> None:
    mapper = mapper_of(Open)
    one = loaded_open({b"kept": b"[1, 2]", b"changed": b"1", b"gone": b"1", "grün".encode(): b"1"})
    extra = one.__pydantic_extra__
    assert extra is not None
    assert difference(mapper, one, snapshot_of(one), "k") is None  # `[1, 2]` is how another program spells `[1,2]`
    before = snapshot_of(one)
    extra["changed"] = 2
    extra["added"] = "x"
    del extra["gone"], extra["grün"]
    found = difference(mapper, one, before, "k")
    assert found is not None
    assert (found.sets, found.unsets) == (["changed", b"2", "added", b'"x"'], ["gone", "grün".encode()])


def loaded_open(row: dict[bytes, bytes]) -> Open:
    return ScriptedDriver([[{b"id": b"1", **row}]]).run(verbs.get_one(Open, 1, ""))


def snapshot_of(obj: RedisModel) -> Any:
    return state_of(obj).snapshot


def test_class_of_more_shapes_than_are_remembered_is_spelled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Varied(RedisModel, prefix="varied"):
        id: int
        a: int | None = None
        b: int | None = None

    monkeypatch.setattr(encoder, "MOST_PLANS", 1)
    mapper = mapper_of(Varied)
    for values in ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, {"b": 3}):
        row = whole(mapper, Varied(id=1, **values), "varied:1")
        assert dict(zip(row.sets[::2], row.sets[1::2], strict=True)) == {"id": 1, **values}


def test_value_that_cannot_be_spelled_is_refused_with_its_field_and_key() -> None:
    class Free(RedisModel, prefix="free"):
        id: int
        anything: Any = None
        things: list[Any] = []

    for values in ({"anything": object()}, {"things": [object()]}):
        one = Free.model_validate({"id": 1, **values})
        with pytest.raises(ValidationError, match="Free free:1") as caught:
            whole(mapper_of(Free), one, "free:1")
        (line,) = caught.value.errors()
        assert (line["loc"], line["type"]) == ((next(iter(values)),), "not_storable")


class Many(RedisModel, prefix="many"):
    id: int
    numbers: set[int] = set()
    names: list[str] = []


@pytest.mark.parametrize(
    ("numbers", "names", "where", "problem", "found"),
    [
        ([b"1", b"x"], [], "many:1:numbers", "unable to parse string as an integer", "x"),
        ([], [b"a", b"\xff"], "many:1:names", "not UTF-8 text: invalid start byte", b"\xff"),
    ],
)
def test_element_that_does_not_fit_is_told_with_the_key_of_its_companion(
    numbers: list[bytes], names: list[bytes], where: str, problem: str, found: Any
) -> None:
    with pytest.raises(DecodeError, match=f"{where}: a stored element does not fit Many") as caught:
        loaded(Many, {"id": 1}, numbers, names)
    assert problem in str(caught.value)
    assert (caught.value.key, caught.value.field, caught.value.value) == (where, where.rpartition(":")[2], found)


def test_unions_with_a_discriminator_and_raw_enums_and_further_fields_are_read_as_their_class_says() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"] = "cat"
        lives: int

    class Dog(BaseModel):
        kind: Literal["dog"] = "dog"
        lives: int

    class Home(RedisModel, prefix="home_of_texts"):
        model_config = ConfigDict(use_enum_values=True)
        id: int
        pet: Cat | Dog = PydanticField(discriminator="kind")
        others: list[Annotated[Cat | Dog, PydanticField(discriminator="kind")]] = Field(default=[], inline=True)
        shade: Shade = Shade.LIGHT
        needed: int | None

    home = loaded(Home, {"id": 1, "pet": '{"kind":"dog","lives":1}', "others": '[{"kind":"dog","lives":2}]', "shade": "dark"})
    assert (home.pet, home.others, str(home.shade), home.needed) == (Dog(lives=1), [Dog(lives=2)], "dark", None)


def test_class_is_compiled_at_its_first_use_where_a_name_was_defined_after_it() -> None:
    with pytest.raises(MappingError, match="AfterIt"):
        mapper_of(BeforeIt)
    globals()["AfterIt"] = Point
    assert mapper_of(BeforeIt).fields == ("id", "part.x", "part.y", "part", ":ttl")


class BeforeIt(RedisModel, prefix="before_it"):
    id: int
    part: "AfterIt | None" = None  # type: ignore[name-defined]  # noqa: F821, UP037  # pyright: ignore[reportUndefinedVariable]


def test_stored_object_that_is_pickled_knows_what_it_was_stored_as() -> None:
    one = loaded(Many, {"id": 1}, [b"1"], [])
    state_of(one).wanted_life = 5
    one.names = ["a"]
    back = pickle.loads(pickle.dumps(one))
    state = state_of(back)
    assert (state.phase, state.session, state.key, state.wanted_life) == (Phase.DETACHED, None, "many:1", None)
    found = difference(mapper_of(Many), back, cast("Any", state.snapshot), "many:1")
    assert found is not None
    assert [change.companion.name for change in found.companions] == ["names"]
    never = pickle.loads(pickle.dumps(Many(id=2)))
    assert state_of(never).phase is Phase.TRANSIENT


# ---- what changed ---------------------------------------------------------------------------------------------------


def test_mutable_value_that_could_not_be_read_back_before_is_written_when_it_changes() -> None:
    """The class has changed since: what it stored then no longer fits."""

    class Bag(RedisModel, prefix="bag"):
        id: int
        meta: dict[str, int] = {}

    mapper = mapper_of(Bag)
    bag = Bag(id=1, meta={"a": 1})
    for garbled in (b"no json", b"\xff"):
        before = snapshot_of_row(mapper, bag, [b"1", garbled, None], (), {})
        found = difference(mapper, bag, before, "bag:1")
        assert found is not None
        assert found.sets == ["meta", b'{"a":1}']


def test_mutable_value_set_to_none_is_removed_and_comes_back_with_a_rollback() -> None:
    class Maybe(RedisModel, prefix="maybe"):
        id: int
        meta: dict[str, int] | None = None

    mapper = mapper_of(Maybe)
    one = loaded(Maybe, {"id": 1, "meta": '{"a": 1}'})
    before = snapshot_of(one)
    one.meta = None
    found = difference(mapper, one, before, "maybe:1")
    assert found is not None
    assert (found.sets, found.unsets) == ([], ["meta"])
    assert difference(mapper, one, found.after, "maybe:1") is None


def test_computed_field_is_written_when_what_it_is_made_of_changes() -> None:
    class Person(RedisModel, prefix="person_of_texts"):
        id: int
        name: str = ""
        age: int = 0

        @computed_field  # type: ignore[prop-decorator]
        @property
        def shout(self) -> str | None:
            return self.name.upper() or None

        @computed_field  # type: ignore[prop-decorator]
        @property
        def letters(self) -> list[str]:
            return list(self.name)

    mapper = mapper_of(Person)
    assert whole(mapper, Person(id=1, name="ann"), "k").sets[-4:] == ["shout", "ANN", "letters", b'["a","n","n"]']
    assert whole(mapper, Person(id=1), "k").sets[-2:] == ["letters", b"[]"]
    one = loaded(Person, {"id": 1, "name": "ann"})
    before = snapshot_of(one)
    one.name = "bea"
    found = difference(mapper, one, before, "k")
    assert found is not None
    assert (found.sets, found.unsets) == (["name", "bea", "shout", "BEA", "letters", b'["b","e","a"]'], [])
    one.name = ""
    found = difference(mapper, one, before, "k")
    assert found is not None
    assert (found.sets, found.unsets) == (["name", "", "letters", b"[]"], ["shout"])
    one.name, one.age = "ann", 5
    found = difference(mapper, one, before, "k")
    assert found is not None
    assert found.sets == ["age", 5]


def test_nested_model_whose_absence_must_be_said_is_null() -> None:
    class Part(BaseModel):
        size: int | None = None

    class Kit(RedisModel, prefix="kit"):
        id: int
        part: Part | None = Part()

    mapper = mapper_of(Kit)
    assert whole(mapper, Kit(id=1, part=None), "k").sets == ["id", 1, "part", "null"]
    assert whole(mapper, Kit(id=1), "k").sets == ["id", 1, "part", "{}"]
    assert whole(mapper, Kit(id=1, part=Part(size=2)), "k").sets == ["id", 1, "part.size", "2"]
    assert loaded(Kit, {"id": 1, "part": "null"}).part is None
    assert loaded(Kit, {"id": 1, "part": "{}"}).part == Part()
    assert loaded(Kit, {"id": 1}).part == Part()


# ---- primary keys ---------------------------------------------------------------------------------------------------


def test_keys_are_spelled_as_the_fields_are_checked_and_read_back() -> None:
    class ByBytes(RedisModel, prefix="by_bytes"):
        id: bytes

    class ByChoice(RedisModel, prefix="by_choice"):
        id: Annotated[int, PydanticField(ge=5)]

    class ByNumber(RedisModel, prefix="by_number"):
        id: int

    assert mapper_of(ByBytes).pk_text(b"\xff:") == "\xff:"
    assert mapper_of(ByBytes).pk_value("\xff:") == b"\xff:"
    assert mapper_of(ByNumber).pk_texts([1, 2]) == ["1", "2"]
    assert mapper_of(ByNumber).pk_texts([1, "2"]) == ["1", "2"]
    assert mapper_of(ByChoice).pk_texts([5, 6]) == ["5", "6"]
    with pytest.raises(ValidationError, match="greater than or equal to 5"):
        mapper_of(ByChoice).pk_texts([5, 4])
    assert mapper_of(ByNumber).pk_value("7") == 7


# ---- items of structures --------------------------------------------------------------------------------------------


def test_items_are_refused_with_key_and_position() -> None:
    items = items_of(int)
    with pytest.raises(ValidationError, match="queue") as caught:
        items.spell("x", "queue", 3)
    assert caught.value.errors()[0]["loc"] == (3,)
    with pytest.raises(ValidationError) as caught:
        items.spell_many([1, "x"], "queue")
    assert caught.value.errors()[0]["loc"] == (1,)
    with pytest.raises(ValidationError, match="Unable to serialize unknown type") as caught:
        items_of(Any).spell(object(), "queue", ("odd", "place"))
    assert caught.value.errors()[0]["loc"] == ("('odd', 'place')",)


def test_items_that_are_sets_have_one_text_in_whatever_order_they_are_walked() -> None:
    items = items_of(frozenset[int])
    assert as_bytes(items.spell(frozenset((3, 1, 2)), "k")) == b"[1,2,3]"
    assert items.sought(frozenset((2, 3, 1))) == b"[1,2,3]"


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [(int, 1, b"1"), (int, "1", None), (int, "x", None), (Point, Point(x=1), b'{"x":1,"y":0}'), (Any, object(), None), (float, 1, b"1.0")],
)
def test_what_is_looked_for_is_not_coerced(annotation: Any, value: object, text: bytes | None) -> None:
    assert items_of(annotation).sought(value) == text


def test_stored_item_that_cannot_be_read_is_told_with_its_place() -> None:
    items = items_of(int)
    with pytest.raises(DecodeError, match=r"queue\[1\]: the stored item does not fit int: .*found 'x'") as caught:
        items.read_many([b"1", b"x"], "queue", lambda place: place)
    assert (caught.value.key, caught.value.value, caught.value.position) == ("queue", b"x", 1)
    with pytest.raises(DecodeError, match=r"queue\[b'\\xff'\]: .* not UTF-8 text: invalid start byte at byte 0"):
        items_of(str).read_many([b"\xff"], "queue")
    with pytest.raises(DecodeError, match="queue: the stored item"):
        items.read(b"x", "queue")


def test_item_that_is_no_json_is_taken_as_text_where_it_may_be_one() -> None:
    assert items_of(int | str).read_many([b"5", b"hello"], "queue") == [5, "hello"]


def test_type_of_items_that_pydantic_does_not_know_is_refused() -> None:
    with pytest.raises(MappingError, match="cannot be the type of items"):
        items_of(Opaque)


def test_items_of_an_annotation_without_a_hash_are_compiled_anew() -> None:
    odd = Annotated[int, PydanticField(ge=0), []]
    assert items_of(odd).check("5") == 5
    assert items_of(odd) is not items_of(odd)
    assert items_of(int) is items_of(int)

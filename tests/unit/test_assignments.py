"""Assigning a field does what Pydantic does, whichever way it goes."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, StrictInt, ValidationError, field_validator, model_validator
from typing_extensions import Self

from redisorm import Field, RedisModel
from redisorm.mapping.assigning import kinds_taken


class _Fields(BaseModel):
    model_config = ConfigDict(validate_assignment=True)

    id: int = 1
    name: str = "Ann"
    nick: str | None = None
    age: int = 3
    score: float = 0.5
    active: bool = True
    photo: bytes = b""
    strict: StrictInt = 1
    price: Decimal = Decimal(1)
    joined: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)
    either: int | str = 1
    small: Annotated[int, Field(ge=0, le=9)] = 1
    short: Annotated[str, Field(max_length=3)] = "a"
    loud: Annotated[str, AfterValidator(str.upper)] = "A"
    anything: Any = None


class Twin(RedisModel, _Fields):
    pass


class Text(str):
    __slots__ = ()


VALUES = [
    *("Bob", Text("Bob"), "\ud800", "", "1", "true", "2026-01-01", 0, 1, -5, 2**200, 1.0, 1.5, float("inf"), float("nan"), True, None),
    *(b"\xff", b"ab", bytearray(b"ab"), Decimal("1.5"), datetime(2026, 1, 1), [1], {"a": 1}, object()),
]


def _assigned(obj: BaseModel, name: str, value: Any) -> tuple[Any, Any]:
    try:
        setattr(obj, name, value)
    except ValidationError as error:
        return "refused", [(one["type"], one["loc"], one["msg"]) for one in error.errors()]
    now = getattr(obj, name)
    return type(now), now if now is value else repr(now)


@pytest.mark.parametrize("name", sorted(_Fields.model_fields.keys() - {"id"}))
def test_every_value_comes_out_as_pydantic_has_it(name: str) -> None:
    for value in VALUES:
        ours, theirs = Twin(), _Fields()
        assert _assigned(ours, name, value) == _assigned(theirs, name, value), (name, value)
        assert ours.__dict__.keys() == theirs.__dict__.keys()
        assert ours.model_fields_set == theirs.model_fields_set


def test_only_fields_that_take_values_as_they_are_go_unchecked() -> None:
    assert kinds_taken(Twin) == {
        "id": {int},
        "name": {str},
        "nick": {str, type(None)},
        "age": {int},
        "score": {float},
        "active": {bool},
        "photo": {bytes},
    }


def test_an_option_for_all_texts_is_heeded() -> None:
    class Stripped(RedisModel):
        model_config = ConfigDict(str_strip_whitespace=True)
        id: int
        name: str

    one = Stripped(id=1, name="a")
    one.name = "  b "

    assert one.name == "b"


def test_a_frozen_field_and_a_frozen_class_refuse() -> None:
    class Kept(RedisModel):
        id: int
        name: str = Field(frozen=True)

    class Frozen(RedisModel):
        model_config = ConfigDict(frozen=True)
        id: int
        name: str

    for one in (Kept(id=1, name="a"), Frozen(id=1, name="a")):
        with pytest.raises(ValidationError, match="frozen"):
            one.name = "b"
        assert one.name == "a"


def test_validators_of_a_field_and_of_the_object_run() -> None:
    class Checked(RedisModel):
        id: int
        name: str
        other: str = ""

        @field_validator("name")
        @classmethod
        def _upper(cls, value: str) -> str:
            return value.upper()

    class Whole(RedisModel):
        id: int
        low: int = 0
        high: int = 9

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.low > self.high:
                raise ValueError("low > high")
            return self

    checked = Checked(id=1, name="a")
    checked.name = "b"
    whole = Whole(id=1)
    with pytest.raises(ValidationError, match="low > high"):
        whole.low = 10

    assert checked.name == "B"
    assert whole.low == 0


def test_a_class_that_wants_no_checks_gets_none() -> None:
    class Loose(RedisModel):
        model_config = ConfigDict(validate_assignment=False)
        id: int
        age: int

    one = Loose(id=1, age=1)
    setattr(one, "age", "old")  # noqa: B010 - against the annotation

    assert one.model_dump(warnings=False) == {"id": 1, "age": "old"}


def test_a_class_below_that_listens_to_assignments_hears_all() -> None:
    heard: list[str] = []

    class Listening(BaseModel):
        def __setattr__(self, name: str, value: Any) -> None:
            heard.append(name)
            super().__setattr__(name, value)

    class User(RedisModel, Listening):
        id: int
        name: str

    User(id=1, name="a").name = "b"

    assert heard == ["name"]


def test_what_a_class_does_not_declare_is_refused() -> None:
    with pytest.raises(ValidationError, match="no attribute 'nmae'"):
        Twin().nmae = "x"

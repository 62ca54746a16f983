"""Conditions where they are written: what makes one, what refuses to be one, and what the error tells."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import pytest
from pydantic import AwareDatetime, BaseModel, NaiveDatetime, StringConstraints, computed_field

from redisorm import Field, GeoPoint, MappingError, NotIndexedError, QueryError, RedisModel, SortedSet, col, desc
from redisorm.commands import Flow
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.expressions import And, Comparison, Expression, Not, Or, Order
from redisorm.unitofwork.owners import get_by
from redisorm.unitofwork.reading import Alone

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Street(BaseModel):
    number: int = Field(default=0, index=True)


class Address(BaseModel):
    city: str = Field(default="", index=True)
    note: str = ""
    street: Street | None = None


class User(RedisModel, prefix="condition-user", unique_together=(("first", "last"),)):
    id: int
    name: str = Field(default="", index="lex", min_length=3)
    city: str | None = Field(default=None, index=True)
    age: int = Field(default=0, index=True, ge=0)
    ratio: float = Field(default=0, index=True)
    color: Color = Field(default=Color.RED, index=True)
    flag: bool = Field(default=False, index=True)
    token: UUID | None = Field(default=None, index=True)
    email: str | None = Field(default=None, unique=True)
    aware: AwareDatetime | None = Field(default=None, index=True)
    naive: NaiveDatetime | None = Field(default=None, index=True)
    seen: datetime | None = Field(default=None, index=True)
    lower: Annotated[str, StringConstraints(to_lower=True)] = Field(default="", index=True)
    first: str = ""
    last: str = ""
    note: str = ""
    place: GeoPoint | None = Field(default=None, index="geo")
    spot: GeoPoint | None = None
    codes: list[int] = Field(default=[], inline=True)
    tags: set[str] = Field(default=set(), index=True)
    scores: SortedSet[int] = Field(default=SortedSet(), index=True)
    jobs: list[str] = []
    address: Address | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def initial(self) -> Annotated[str, Field(index=True)]:
        return self.name[:1]

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def size(self) -> Annotated[int, Field(index=True)]:
        return len(self.name)


U: Any = User  # which type checkers take at its word
C: Any = col
NAN = float("nan")


def driven(flow: Flow[Any]) -> Any:
    return ScriptedDriver().run(flow)


def parts(expression: Any) -> tuple[str, str, Any]:
    assert isinstance(expression, Comparison)
    return expression.subject.name, expression.operator, expression.value


# ---- what is one ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (lambda: U.age == 18, ("age", "==", 18)),
        (lambda: U.age < 18, ("age", "<", 18)),
        (lambda: U.age <= 18, ("age", "<=", 18)),
        (lambda: U.age > 18, ("age", ">", 18)),
        (lambda: U.age >= 18, ("age", ">=", 18)),
        (lambda: 18 <= U.age, ("age", ">=", 18)),  # noqa: SIM300
        (lambda: col(U.age).between(1, 5), ("age", "between", (1, 5))),
        (lambda: col(U.age).in_([1, 2]), ("age", "in", (1, 2))),
        (lambda: col(U.age).in_(number for number in (1, 2)), ("age", "in", (1, 2))),
        (lambda: col(U.email).in_(["a", None]), ("email", "in", ("a", None))),
        (lambda: col(U.email).is_(None), ("email", "==", None)),
        (lambda: col(U.flag).is_(True), ("flag", "==", True)),
        (lambda: col(U.name).startswith("A"), ("name", "startswith", "A")),
        (lambda: U.name >= "M", ("name", ">=", "M")),
        (lambda: col(U.tags).contains("x"), ("tags", "contains", "x")),
        (lambda: col(U.scores).contains(3), ("scores", "contains", 3)),
        (lambda: col(U.place).within(km=1, lon=2, lat=3), ("place", "within", (1.0, 2.0, 3.0))),
        (lambda: U.address.city == "Oslo", ("address.city", "==", "Oslo")),
        (lambda: col(User.address).city == "Oslo", ("address.city", "==", "Oslo")),
        (lambda: col(col(User.address).street).number > 3, ("address.street.number", ">", 3)),
        (lambda: U.id == 5, ("id", "==", 5)),
        (lambda: col(U.id).in_([5]), ("id", "in", (5,))),
        (lambda: U.color == "red", ("color", "==", Color.RED)),
        (lambda: U.age == "18", ("age", "==", 18)),
        (lambda: U.lower == "OSLO", ("lower", "==", "oslo")),
        (lambda: U.initial == "A", ("initial", "==", "A")),
        (lambda: col(U.initial).in_(["A"]), ("initial", "in", ("A",))),
        (lambda: U.size >= 3, ("size", ">=", 3)),
    ],
)
def test_comparison_of_a_field_is_a_condition(written: Callable[[], Any], meant: tuple[str, str, Any]) -> None:
    assert parts(written()) == meant


def test_not_equal_is_everything_that_is_not_equal() -> None:
    assert (U.city != "Oslo") == ~col(U.city).is_("Oslo")
    assert col(U.city).is_not(None) == ~col(U.city).is_(None)


def test_fields_of_two_nested_models_of_one_class_are_apart() -> None:
    class Person(RedisModel, prefix="condition-person"):
        id: int
        home: Address = Address()
        work: Address | None = None

    home, work = Person.home.city, col(Person.work).city

    assert [parts(one)[0] for one in (col(home) == "A", col(work) == "A")] == ["home.city", "work.city"]


def test_conditions_are_joined_into_a_tree() -> None:
    young, old, here = col(U.age) < 18, col(U.age) > 60, col(U.city) == "Oslo"

    assert (young | old) & ~here == And((Or((young, old)), Not(here)))
    assert repr((young | old) & ~here) == "((User.age < 18) | (User.age > 60)) & (~(User.city == 'Oslo'))"


def test_a_condition_never_changes() -> None:
    condition: Any = col(U.age) < 18

    with pytest.raises(AttributeError):
        condition.value = 5
    assert pickle.loads(pickle.dumps(condition)) == condition
    assert copy.deepcopy(condition) == condition


# ---- what is none -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        lambda: 1 < U.age < 5,
        lambda: (U.age > 1) and (U.city == "Oslo"),
        lambda: (U.age > 1) or (U.city == "Oslo"),
        lambda: not (U.age > 1),
        lambda: not U.age,
        lambda: "x" in U.tags,
        lambda: (U.age > 1) & True,
        lambda: False | (U.age > 1),
        lambda: (U.age > 1) & 3,
        lambda: U.find(True),
        lambda: U.find(U.email is None),
        lambda: U.find(U.name),
        lambda: U.find("age > 1"),
        lambda: U.find(None),
    ],
)
def test_what_python_would_turn_into_a_bool_is_refused(written: Callable[[], Any]) -> None:
    with pytest.raises(QueryError):
        written()


@pytest.mark.parametrize(
    ("written", "field", "remedy"),
    [
        (lambda: U.note == "x", "note", "Field(index=True)"),
        (lambda: U.city < "x", "city", 'Field(index="lex")'),
        (lambda: col(U.city).startswith("x"), "city", 'Field(index="lex")'),
        (lambda: U.email < "x", "email", 'Field(index="lex")'),
        (lambda: U.id < 5, "id", "Field(index=True)"),
        (lambda: col(U.jobs).contains("x"), "jobs", "Field(index=True)"),
        (lambda: U.tags == {"x"}, "tags", "contains"),
        (lambda: col(U.age).contains(1), "age", "list, set"),
        (lambda: U.place == GeoPoint(lon=1, lat=1), "place", "within"),
        (lambda: col(U.age).within(km=1, lon=1, lat=1), "age", "only a GeoPoint"),
        (lambda: col(U.spot).within(km=1, lon=1, lat=1), "spot", 'Field(index="geo")'),
        (lambda: U.place > GeoPoint(lon=1, lat=1), "place", "within"),
        (lambda: U.flag > False, "flag", "no order"),
        (lambda: U.token < U.token, "token", "no order"),
        (lambda: col(U.color).between("blue", "red"), "color", "no order"),
        (lambda: col(U.age).startswith("1"), "age", "only a text"),
        (lambda: U.codes == [1], "codes", "without inline=True"),
        (lambda: U.address == None, "address", "nested"),  # noqa: E711
        (lambda: col(User.address).note == "x", "address.note", "Field(index=True)"),
        (lambda: U.first == "x", "first", "Field(index=True)"),
        (lambda: U.find(note="x"), "note", "Field(index=True)"),
        (lambda: U.find().order_by(U.city), "city", 'Field(index="lex")'),
        (lambda: U.find().order_by(desc(U.tags)), "tags", "sorted by"),
        (lambda: driven(get_by(User, {"first": "x"}, Alone(""), "")), "first", "unique"),
        (lambda: driven(get_by(User, {"note": "x"}, Alone(""), "")), "note", "unique"),
    ],
)
def test_what_no_index_answers_is_told_where_it_is_written(written: Callable[[], Any], field: str, remedy: str) -> None:
    with pytest.raises(NotIndexedError) as refused:
        written()

    assert refused.value.model is User
    assert refused.value.field == field
    assert remedy in str(refused.value)
    assert f"User.{field}" in str(refused.value) or "get_by" in str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        lambda: U.age == "x",
        lambda: U.age < 1.5,
        lambda: U.age < None,
        lambda: col(U.age).between(None, 3),
        lambda: U.city == 5,
        lambda: U.city == "\ud800",
        lambda: U.token == "x",
        lambda: U.color == "green",
        lambda: U.ratio < NAN,
        lambda: U.aware > datetime(2026, 1, 1),
        lambda: U.naive > datetime(2026, 1, 1, tzinfo=timezone.utc),
        lambda: col(U.city).in_("Oslo"),
        lambda: C(U.city).in_(None),
        lambda: col(U.city).in_(["Oslo", 5]),
        lambda: C(U.name).startswith(3),
        lambda: col(U.scores).contains("x"),
        lambda: col(U.place).within(km=-1, lon=0, lat=0),
        lambda: col(U.place).within(km=float("inf"), lon=0, lat=0),
        lambda: col(U.place).within(km=1, lon=0, lat=86),
        lambda: col(U.place).within(km=1, lon=181, lat=0),
        lambda: U.find(age="x"),
        lambda: U.find(nothing=1),
        lambda: U.id == "x",
        lambda: driven(get_by(User, {"email": None}, Alone(""), "")),
        lambda: driven(get_by(User, {"email": 5}, Alone(""), "")),
        lambda: driven(get_by(User, {"first": "x", "last": None}, Alone(""), "")),
        lambda: col(5),
        lambda: desc("age"),
        lambda: U.find().order_by("age"),
        lambda: U.find().limit(-1),
        lambda: U.find().limit(True),
        lambda: U.find().offset(1.5),
    ],
)
def test_values_that_do_not_fit_are_refused_where_they_are_written(written: Callable[[], Any]) -> None:
    with pytest.raises(QueryError) as refused:
        written()

    assert not isinstance(refused.value, NotIndexedError)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (lambda: bool(U.age), None),
        (lambda: "admin" in col(U.age), "admin"),
        (lambda: col(U.age).in_("12"), "12"),
        (lambda: col(U.age).within(km=-1, lon=0, lat=0), (-1, 0, 0)),
        (lambda: U.age == "old", "old"),
    ],
)
def test_misuse_of_a_field_is_told_with_class_field_and_value(written: Callable[[], Any], value: object) -> None:
    with pytest.raises(QueryError) as refused:
        written()

    assert (refused.value.model, refused.value.field, refused.value.value) == (U, "age", value)


def test_a_value_beyond_a_constraint_is_a_bound_all_the_same() -> None:
    assert parts(U.age > -1) == ("age", ">", -1)
    assert parts(U.name == "A") == ("name", "==", "A")


# ---- of which class ---------------------------------------------------------------------------------------------------------


class Base(RedisModel, abstract=True):
    id: int
    age: int = Field(default=0, index=True)
    note: str = ""


class Cat(Base, prefix="condition-cat"):
    lives: int = Field(default=9, index=True)


class Dog(Base, prefix="condition-dog"):
    age: int = 0


class Box(RedisModel, Generic[T], prefix="condition-box"):
    id: int
    content: T
    rank: int = Field(default=0, index=True)


class Member(User, prefix="condition-member"):
    age: int = Field(default=3, index=True)


M: Any = Member


def test_a_condition_belongs_to_its_class() -> None:
    with pytest.raises(QueryError, match="no condition on Dog"):
        Dog.find(Cat.age == 1)
    with pytest.raises(QueryError, match="no field of Dog"):
        Dog.find().order_by(Cat.age)


def test_a_condition_on_a_base_holds_for_what_is_derived_from_it() -> None:
    found = Member.find((U.age > 3) & ~col(U.city).in_(["Oslo"])).order_by(U.age)

    assert repr(found) == "<Query Member.find((Member.age > 3) & (~(Member.city in ('Oslo',)))).order_by(age)>"


def test_fields_are_columns_of_each_class() -> None:
    assert repr(Cat.age) == "Cat.age"
    assert parts(Box[int].rank == 3) == ("rank", "==", 3)
    with pytest.raises(NotIndexedError):
        _ = Dog.age == 3


def test_a_class_without_keys_has_columns_that_cannot_be_asked() -> None:
    assert hasattr(Base, "age")
    with pytest.raises(MappingError, match="abstract"):
        _ = Base.age == 3
    with pytest.raises(MappingError, match="abstract"):
        Base.find()


def test_unknown_names_are_unknown() -> None:
    assert not hasattr(User, "nothing")
    assert not hasattr(U.age, "nothing")
    assert not hasattr(U.address, "nothing")
    assert not hasattr(RedisModel, "age")
    with pytest.raises(AttributeError):
        _ = U.nothing
    with pytest.raises(AttributeError):
        _ = User(id=1).nothing  # type: ignore[attr-defined]


def test_a_class_may_declare_a_field_of_its_base_anew() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Other(User, prefix="condition-other"):
            age: int = Field(default=5, index=True)
            note: str = Field(index=True)

    assert Other.model_fields["note"].is_required()
    assert Other(id=1, note="Oslo").age == 5


def test_a_class_with_a_name_that_is_not_defined_yet_has_columns() -> None:
    class Later(RedisModel, prefix="condition-later"):
        id: int
        age: int = Field(default=0, index=True)
        other: Unknown | None = None  # type: ignore[name-defined]  # noqa: F821

    assert repr(Later.age) == "Later.age"
    with pytest.raises(MappingError, match="Unknown"):
        _ = Later.age == 3


def test_computed_columns_are_properties_of_objects() -> None:
    user = Member(id=1, name="Ann")

    assert (user.initial, user.size) == ("A", 3)
    assert user.model_dump()["initial"] == "A"
    assert parts(M.initial == "A")[:1] == ("initial",)


# ---- queries ----------------------------------------------------------------------------------------------------------------


def test_a_query_is_lazy_and_never_changes() -> None:
    found = U.find(U.age > 3)

    narrowed = found.order_by(desc(U.age), U.id).offset(2).limit(3)

    assert repr(found) == "<Query User.find(User.age > 3)>"
    assert repr(narrowed) == "<Query User.find(User.age > 3).order_by(desc(age), id).offset(2).limit(3)>"


def test_an_order_can_be_turned_once() -> None:
    order = desc(desc(U.age))

    assert isinstance(order, Order)
    assert order.descending


def test_keywords_are_conditions_of_equality() -> None:
    assert repr(U.find(city=None, age=3, **{"address.city": "Oslo"})) == (
        "<Query User.find(((User.city == None) & (User.age == 3)) & (User.address.city == 'Oslo'))>"
    )


def test_values_of_every_ordered_type_can_be_compared() -> None:
    class Times(RedisModel, prefix="condition-times"):
        id: int
        day: date = Field(index=True)
        hour: time = Field(index=True)
        span: timedelta = Field(index=True)
        price: Decimal = Field(index=True)

    for expression in (
        col(Times.day) < date(2026, 1, 1),
        col(Times.hour) < time(12),
        col(Times.span) < timedelta(1),
        col(Times.price) < Decimal("0.1"),
    ):
        assert isinstance(expression, Expression)

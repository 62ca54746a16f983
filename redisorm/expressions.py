"""Conditions as values: `User.age >= 18` is an immutable tree, made where it is written and read wherever rows are looked for.

This room knows names, operators and values. What a field can be asked, and what its values must be, is for its `Subject` to say;
Redis does not occur.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar, overload

from .errors import QueryError

if TYPE_CHECKING:
    from pydantic import BaseModel

    N = TypeVar("N", bound=BaseModel)

__all__ = [
    "MOST_LATITUDE",
    "And",
    "Circle",
    "Column",
    "Comparison",
    "Expression",
    "Not",
    "Operator",
    "Or",
    "Order",
    "Subject",
    "all_of",
    "as_column",
    "as_expression",
    "as_order",
    "col",
    "desc",
]

T = TypeVar("T")

Operator: TypeAlias = Literal["==", "in", "<", "<=", ">", ">=", "between", "startswith", "contains", "within"]
"""What a comparison asks. `!=` is `~(… == …)`, so that it is every other row, those without a value among them."""

MOST_LATITUDE = 85.05112878
"""The latitude, north and south, beyond which Redis neither keeps nor seeks a position (https://redis.io/docs/latest/commands/geoadd/)."""


class Circle(NamedTuple):
    """What is within so many kilometres of a position, the rim included."""

    km: float
    lon: float
    lat: float


class Subject(Protocol):
    """The field that a column stands for. Its name is dotted inside nested models."""

    @property
    def model(self) -> type[Any]:
        """The class."""
        ...

    @property
    def name(self) -> str:
        """The field."""
        ...

    def checked(self, operator: Operator, value: Any) -> Any:
        """The value as the field has it. `in` comes with a tuple, `between` with a pair.

        Raises:
            NotIndexedError: No index of the field answers the operator.
            QueryError: The value does not fit the field.
        """
        ...

    def part(self, name: str) -> Subject:
        """A field of the nested model that the field holds.

        Raises:
            AttributeError: It holds none, or none of this name.
        """
        ...


class Expression:
    """A condition on rows. Join conditions with `&`, `|` and `~`; a condition itself is neither true nor false."""

    __slots__ = ()

    def __and__(self, other: object) -> Expression:
        return And((self, as_expression(other)))

    def __rand__(self, other: object) -> Expression:
        return And((as_expression(other), self))

    def __or__(self, other: object) -> Expression:
        return Or((self, as_expression(other)))

    def __ror__(self, other: object) -> Expression:
        return Or((as_expression(other), self))

    def __invert__(self) -> Expression:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise QueryError(
            f"the condition {self!r} has no truth value: join conditions with & | ~ and parentheses instead of and, or, not, "
            "and write col(...).between(1, 5) instead of 1 < ... < 5"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Expression):
    """One field compared with a value, which is as the field has it."""

    subject: Subject
    operator: Operator
    value: Any

    def __repr__(self) -> str:
        name = f"{self.subject.model.__name__}.{self.subject.name}"
        return f"{name} == {self.value!r}" if self.operator == "==" else f"{name} {self.operator} {self.value!r}"


@dataclass(frozen=True, slots=True, repr=False)
class And(Expression):
    """All of these."""

    parts: tuple[Expression, ...]

    def __repr__(self) -> str:
        return " & ".join(f"({part!r})" for part in self.parts)


@dataclass(frozen=True, slots=True, repr=False)
class Or(Expression):
    """Any of these."""

    parts: tuple[Expression, ...]

    def __repr__(self) -> str:
        return " | ".join(f"({part!r})" for part in self.parts)


@dataclass(frozen=True, slots=True, repr=False)
class Not(Expression):
    """Every row that is not in this."""

    part: Expression

    def __repr__(self) -> str:
        return f"~({self.part!r})"


def all_of(expressions: Iterable[Expression]) -> Expression | None:
    """Join conditions that must all hold; `None` for none."""
    parts = tuple(expressions)
    if len(parts) == 1:
        return parts[0]
    return reduce(lambda left, right: left & right, parts) if parts else None


def as_expression(value: object) -> Expression:
    """Return an expression as it is.

    Raises:
        QueryError: It is anything else.
    """
    if isinstance(value, Expression):
        return value
    raise QueryError(
        f"{value!r} is no condition: compare a field of the class, as in User.age >= 18 or col(User.email).is_(None); "
        "`is`, `in`, `and`, `or` and `not` of Python make a bool before a query sees them",
        value=value,
    )


class Column(Generic[T]):
    """A field in a condition: what `User.age` is on the class, and `col(User.age)` for type checkers too."""

    __slots__ = ("_subject",)

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def __repr__(self) -> str:
        return f"{self._subject.model.__name__}.{self._subject.name}"

    if not TYPE_CHECKING:  # for type checkers `col` of a nested model is the model

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{self!r} has no attribute {name!r}")
            return Column(self._subject.part(name))

    def __bool__(self) -> NoReturn:
        raise self._misused(f"the field {self!r} has no truth value: compare it, as in {self!r} == ...")

    def __contains__(self, element: object) -> NoReturn:
        raise self._misused(f"`in` cannot ask a server: write col({self!r}).contains({element!r})", element)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def _misused(self, message: str, value: object = None) -> QueryError:
        return QueryError(message, model=self._subject.model, field=self._subject.name, value=value)

    def _compared(self, operator: Operator, value: Any) -> Expression:
        return Comparison(self._subject, operator, self._subject.checked(operator, value))

    def __eq__(self, other: T | None) -> Expression:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._compared("==", other)

    def __ne__(self, other: T | None) -> Expression:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return ~self._compared("==", other)

    def __lt__(self, other: T) -> Expression:
        return self._compared("<", other)

    def __le__(self, other: T) -> Expression:
        return self._compared("<=", other)

    def __gt__(self, other: T) -> Expression:
        return self._compared(">", other)

    def __ge__(self, other: T) -> Expression:
        return self._compared(">=", other)

    def is_(self, value: T | None) -> Expression:
        """The same as `==`, for `None` and bools, which linters want compared by identity."""
        return self._compared("==", value)

    def is_not(self, value: T | None) -> Expression:
        """The same as `!=`."""
        return ~self._compared("==", value)

    def in_(self, values: Iterable[T | None]) -> Expression:
        """The value is one of these; none at all finds nothing."""
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise self._misused(f"{self!r}: in_() needs a list of values, not {values!r}", values)
        return self._compared("in", tuple(values))

    def between(self, low: T, high: T) -> Expression:
        """The value is not less than the one and not greater than the other, both included."""
        return self._compared("between", (low, high))

    def startswith(self: Column[str], prefix: str) -> Expression:
        """The text begins with this. Needs `index="lex"`."""
        return self._compared("startswith", prefix)

    def contains(self, element: object) -> Expression:
        """The list, set or sorted set has this element."""
        return self._compared("contains", element)

    def within(self, *, km: float, lon: float, lat: float) -> Expression:
        """The position is within so many kilometres of this one. Needs `index="geo"`; the error of a position in it is half a metre.

        Raises:
            QueryError: The radius is negative, or the centre beyond 85.05112878 degrees north or south, where Redis does not search.
        """
        circle = Circle(float(km), float(lon), float(lat))
        if not (isfinite(circle.km) and circle.km >= 0 and -180 <= circle.lon <= 180 and -MOST_LATITUDE <= circle.lat <= MOST_LATITUDE):
            raise self._misused(
                f"{self!r}: {circle} is no circle that Redis can search: km must not be negative, lon lie within 180 degrees "
                f"and lat within {MOST_LATITUDE}",
                circle,
            )
        return self._compared("within", circle)


class Order(NamedTuple):
    """A field to sort by."""

    subject: Subject
    descending: bool


@overload
def col(field: Column[T]) -> Column[T]: ...
@overload
def col(field: N | None) -> N: ...  # type: ignore[overload-overlap]
@overload
def col(field: T | None) -> Column[T]: ...
def col(field: Any) -> Any:
    """Tell type checkers what a field of a class is in a condition: a `Column`, without `None` in its type.

    At run time `User.age` is a column already. `col(User.address).city` is a field of a nested model, and itself can be handed to
    `col` again.

    Raises:
        QueryError: It is no field of a model class.
    """
    return as_column(field)


def as_column(field: object) -> Column[Any]:
    """Return what stands for a field as its column.

    Raises:
        QueryError: It is something else.
    """
    column = getattr(field, "__redisorm_column__", field)
    if isinstance(column, Column):
        return column
    raise QueryError(f"{field!r} is no field of a model class: write it on the class, as in User.age", value=field)


def desc(field: object) -> Order:
    """Sort by a field, the highest first; rows without a value still come last."""
    return as_order(field)._replace(descending=True)


def as_order(field: object) -> Order:
    """Return what stands for a field to sort by.

    Raises:
        QueryError: It is something else.
    """
    return field if isinstance(field, Order) else Order(as_column(field)._subject, descending=False)

"""Whether a row fits a condition, going by its values: of a loaded object, or of the texts that a commit reads.

Indexes say where to look; what is said here decides. An entry may be stale, since a row may have been changed by other means, and
between two round trips anything may happen. Plain functions that never yield.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from itertools import repeat
from operator import attrgetter, ge, gt, le, lt
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from redisorm.expressions import And, Circle, Comparison, Expression, Not, Operator, Or
from redisorm.mapping.base import MappedModel
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.geo import GeoPoint, metres, settled
from redisorm.mapping.indexes import Index, Unique
from redisorm.mapping.layout import NULL, Leaf
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.scores import ordinal

from .changes import Condition

__all__ = ["UNREADABLE", "Matcher", "comparisons", "reaches", "value_of", "value_of_stored"]

M = TypeVar("M", bound=MappedModel)

Getter: TypeAlias = Callable[[Any], Any]
"""Reads the value of one field out of a row, whatever stands for the row; `UNREADABLE` where there is none."""

Test: TypeAlias = Callable[[Any], bool]
"""Whether a row fits."""

UNREADABLE: Any = object()
"""What stands for the value of a stored text that does not fit its field: it is equal to nothing, less or greater than nothing."""

_STALE_M = 2.0
"""How far a position may lie from the cell it has in an index, in metres."""


def comparisons(expression: Expression | None) -> list[Comparison]:
    """Every comparison in a condition."""
    if expression is None:
        return []
    if isinstance(expression, Comparison):
        return [expression]
    parts = expression.parts if isinstance(expression, (And, Or)) else (expression.part,) if isinstance(expression, Not) else ()
    return [found for part in parts for found in comparisons(part)]


class Matcher(Generic[M]):
    """A condition compiled for one class.

    Attributes:
        fields: The hash fields it looks at.
        companions: The companions whose elements it looks at.
        fits: Whether an object fits.
    """

    def __init__(self, mapper: Mapper[M], expression: Expression | None) -> None:
        self._mapper = mapper
        self._expression = expression
        self.fits: Callable[[M], bool] = _compiled(mapper, expression, _getter)
        names = dict.fromkeys(one.subject.name for one in comparisons(expression))
        lists = {companion.name for companion in mapper.companions}
        self.companions = tuple(name for name in names if name in lists)
        self.fields = tuple(name for name in names if name not in lists)

    def fitting(self, objects: list[M]) -> list[M]:
        """Those of many objects that fit. Mostly all do, which is told of a column of values at once."""
        return objects if self._all_fit(objects) else list(filter(self.fits, objects))

    @cached_property
    def _all_fit(self) -> Callable[[list[M]], bool]:
        return _compiled_for_all(self._mapper, self._expression)

    @cached_property
    def _fits_stored(self) -> Callable[[tuple[str, Mapping[str, Any]]], bool]:
        return _compiled(self._mapper, self._expression, self._getter_of_stored)

    def _getter_of_stored(self, name: str) -> Getter:
        mapper = self._mapper
        if name == mapper.pk_name:
            return lambda row: mapper.pk_value(row[0])
        if name in self.companions:
            return lambda row: _elements(mapper.indexes[name], row[1][name])
        return lambda row: value_of_stored(mapper, name, row[1][name])

    def fits_stored(self, pk_text: str, texts: Mapping[str, Any]) -> bool:
        """Whether a row fits, going by its stored texts and, of companions, the lists of its elements."""
        return self._fits_stored((pk_text, texts))

    def condition(self, pk_text: str) -> Condition:
        """The same for a commit, of one row."""
        return Condition(self.fields, self.companions, lambda texts: self.fits_stored(pk_text, texts))


def _getter(name: str) -> Getter:
    if "." in name:
        return lambda obj: value_of(obj, name)
    return attrgetter(name)


def value_of(obj: BaseModel, name: str) -> Any:
    """The value of a field of an object; `None` where the nested model that holds it is not there."""
    value: Any = obj
    for local in name.split("."):
        if value is None:
            return None
        value = getattr(value, local)
    return value


def value_of_stored(mapper: Mapper[Any], name: str, text: bytes | None) -> Any:
    """The value of a field of a row by its stored text."""
    index = mapper.indexes.get(name)
    leaf = index.leaf if index is not None else _leaf(mapper, name)
    assert leaf is not None
    if text is None:
        return index.absent if index is not None else None
    if leaf.null and as_bytes(text) == NULL.encode():
        return None
    try:
        return leaf.codec.read_many([text])[0]
    except (ValidationError, UnicodeDecodeError, ValueError):
        return UNREADABLE


def _leaf(mapper: Mapper[Any], name: str) -> Leaf:
    return next(leaf for unique in mapper.uniques for leaf in unique.leaves if leaf.name == name)


def _elements(index: Index, texts: Iterable[bytes]) -> list[Any]:
    values = []
    for text in texts:
        try:
            values.append(index.of_stored(text))
        except (ValidationError, UnicodeDecodeError, ValueError):
            continue
    return values


# ---- compiling ------------------------------------------------------------------------------------------------------------


def _compiled(mapper: Mapper[Any], expression: Expression | None, getter: Callable[[str], Getter]) -> Test:
    if expression is None:
        return lambda row: True
    if isinstance(expression, And):
        tests = [_compiled(mapper, part, getter) for part in expression.parts]
        return lambda row: all(test(row) for test in tests)
    if isinstance(expression, Or):
        tests = [_compiled(mapper, part, getter) for part in expression.parts]
        return lambda row: any(test(row) for test in tests)
    if isinstance(expression, Not):
        test = _compiled(mapper, expression.part, getter)
        return lambda row: not test(row)
    assert isinstance(expression, Comparison)
    name = expression.subject.name
    get, holds = getter(name), _holds(mapper, name, expression.operator, expression.value)
    return lambda row: holds(get(row))


def _compiled_for_all(mapper: Mapper[Any], expression: Expression | None) -> Callable[[list[Any]], bool]:
    """Whether many objects all fit, where a few calls for all of them tell; false where they do not, or do not tell."""
    if expression is None:
        return lambda objects: True
    if isinstance(expression, And):
        tests = [_compiled_for_all(mapper, part) for part in expression.parts]
        return lambda objects: all(test(objects) for test in tests)
    if not isinstance(expression, Comparison):
        return lambda objects: False
    name, operator, wanted = expression.subject.name, expression.operator, expression.value
    if (
        "." in name
        or operator in ("contains", "within", "startswith")
        or _spelling(mapper, name, mapper.indexes.get(name)) is not _as_it_is
    ):
        return lambda objects: False
    get = attrgetter(name)
    if operator in ("==", "in"):
        among = set(wanted if operator == "in" else (wanted,))
        return lambda objects: among.issuperset(map(get, objects))
    limits = [("<=", wanted[1]), (">=", wanted[0])] if operator == "between" else [(operator, wanted)]

    def are_within(objects: list[Any]) -> bool:
        values = list(map(get, objects))
        return type(None) not in set(map(type, values)) and all(all(map(_BOUNDED[sign], values, repeat(limit))) for sign, limit in limits)

    return are_within


_BOUNDED: dict[str, Callable[[Any, Any], Any]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _holds(mapper: Mapper[Any], name: str, operator: Operator, wanted: Any) -> Callable[[Any], bool]:
    """What one comparison says of a value."""
    index = mapper.indexes.get(name)
    if operator == "contains":
        assert index is not None
        return _contains(index, wanted)
    if operator == "within":
        reach = wanted.km * 1000 + _STALE_M
        return lambda value: isinstance(value, GeoPoint) and metres(value.lon, value.lat, wanted.lon, wanted.lat) <= reach
    spelled = _spelling(mapper, name, index)
    if operator in ("==", "in"):
        values = wanted if operator == "in" else (wanted,)
        among = {None if one is None else spelled(one) for one in values}
        return lambda value: (None if value is None else spelled(value)) in among
    if operator == "startswith":
        return lambda value: value is not None and value is not UNREADABLE and spelled(value).startswith(wanted)
    bounds = tuple(map(spelled, wanted)) if operator == "between" else spelled(wanted)
    compare = _COMPARED[operator]
    return lambda value: value is not None and value is not UNREADABLE and compare(spelled(value), bounds)


_COMPARED: dict[Operator, Callable[[Any, Any], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "between": lambda value, bounds: bounds[0] <= value <= bounds[1],
}


_PLAIN = frozenset((int, float, Decimal))


def _as_it_is(value: Any) -> Any:
    return value


def _spelling(mapper: Mapper[Any], name: str, index: Index | None) -> Callable[[Any], Any]:
    """How values of a field are told apart, as its index tells them."""
    if index is None or index.kind == "none":
        if name == mapper.pk_name:
            return mapper.pk_text
        leaf = _leaf(mapper, name)
        return lambda value: value if value is UNREADABLE else Unique.text(leaf, value)
    if index.kind == "order":
        plain = index.leaf is not None and index.leaf.codec.exact <= _PLAIN
        return _as_it_is if plain else ordinal
    if index.codec.stored is str:
        return _as_it_is
    return lambda value: value if value is UNREADABLE else index.text(value)


def _contains(index: Index, wanted: Any) -> Callable[[Any], bool]:
    text = index.text(wanted)
    return lambda elements: any(index.text(element) == text for element in elements)


def reaches(circle: Circle, point: Any) -> bool:
    """Whether a position is in a circle, as Redis says of the cell in which the position is held."""
    return isinstance(point, GeoPoint) and metres(*settled(point), circle.lon, circle.lat) <= circle.km * 1000

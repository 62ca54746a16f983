"""The fields of a class as conditions see them: what each can be asked, and whether a value fits.

A condition is checked where it is written, so that a mistake is found there and not in an empty result. No command and no key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic import ValidationError

from redisorm.errors import NotIndexedError, QueryError
from redisorm.expressions import And, Column, Comparison, Expression, Not, Operator, Or, all_of, as_expression

from .annotations import strip_annotated, validator
from .codec import Codec
from .encoder import as_bytes
from .geo import GeoPoint
from .indexes import Kind, may_be_lex, order_type
from .layout import Branch, Companion, Leaf, Level
from .mapper import Mapper, Part

if TYPE_CHECKING:
    from .base import MappedModel

__all__ = ["CachedColumn", "ComputedColumn", "Searched", "column_of", "condition_of", "name_computed"]

_EQUALITY: frozenset[Operator] = frozenset(("==", "in"))
_ORDER: frozenset[Operator] = frozenset(("<", "<=", ">", ">=", "between"))
_PREFIX: frozenset[Operator] = frozenset(("startswith",))
_ANSWERS: dict[Kind, frozenset[Operator]] = {
    "equality": _EQUALITY,
    "order": _EQUALITY | _ORDER,
    "lex": _EQUALITY | _ORDER | _PREFIX,
    "geo": frozenset(("==", "within")),
    "none": _EQUALITY,
}
_REMEDIES: dict[Operator, str] = {
    "==": "index=True",
    "in": "index=True",
    "startswith": 'index="lex"',
    "contains": "index=True",
    "within": 'index="geo"',
}


_CONSTRAINTS = frozenset(
    (
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of", "finite_number"),
        *("string_too_short", "string_too_long", "string_pattern_mismatch", "bytes_too_short", "bytes_too_long"),
        *("decimal_max_digits", "decimal_max_places", "decimal_whole_digits"),
    )
)
"""Pydantic's names for what is wrong with a value of the right type."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A field of a class, by its name. What it is, is looked up when it is asked: the class may not be finished before."""

    model: type[MappedModel]
    name: str
    mapper_of: Callable[[type[Any]], Mapper[Any]]

    def part(self, name: str) -> Searched:
        """A field of the nested model that this one holds."""
        branch = _branch(self._mapper.slots.level, self.name.split("."))
        if branch is None or not _has(branch.level, name):
            what = f"is no field of {branch.level.model.__name__}" if branch else "is no attribute of the field, which is no nested model"
            raise AttributeError(f"{self._where}: {name!r} {what}")
        return Searched(self.model, f"{self.name}.{name}", self.mapper_of)

    def checked(self, operator: Operator, value: Any) -> Any:
        """The value as the field has it."""
        mapper = self._mapper
        part = mapper.parts.get(self.name)
        self._require(mapper, operator, part, value)
        if operator == "==":
            return None if value is None and isinstance(part, Leaf) else self._value(part, value)
        if operator == "in":
            return tuple(None if one is None else self._value(part, one) for one in value)
        if operator == "between":
            return tuple(self._ordered(part, one) for one in value)
        if operator in _ORDER:
            return self._ordered(part, value)
        if operator == "startswith":
            return self._value(part, value) if isinstance(value, str) else self._misfit(value, "a prefix is text")
        return value if operator == "within" else self._value(part, value)

    def fitting(self, value: Any) -> Any:
        """A value as the field has it, whatever the field can be asked.

        Raises:
            QueryError: It does not fit.
        """
        return self._value(self._mapper.parts[self.name], value)

    @property
    def _mapper(self) -> Mapper[Any]:
        return self.mapper_of(self.model)

    @property
    def _where(self) -> str:
        return f"{self.model.__name__}.{self.name}"

    def _require(self, mapper: Mapper[Any], operator: Operator, part: Part | None, value: Any) -> None:
        index = mapper.indexes.get(self.name)
        answers: frozenset[Operator] = frozenset()
        if index is not None:
            answers = frozenset(("contains",)) if index.companion is not None else _ANSWERS[index.kind]
            if operator in answers and index.kind != "geo":
                return
        unique = any([leaf.name for leaf in one.leaves] == [self.name] for one in mapper.uniques)
        if unique or (self.name == mapper.pk_name and value is not None):
            answers |= _EQUALITY
        if operator in answers and not (index is not None and index.kind == "geo" and operator == "==" and value is not None):
            return
        raise NotIndexedError(
            f"{self._where} has no index that answers {operator!r}: {_remedy(self.name, operator, part)}", model=self.model, field=self.name
        )

    def _ordered(self, part: Part | None, value: Any) -> Any:
        if value is None:
            self._misfit(value, "None is neither less nor greater than anything; is_(None) and is_not(None) find it")
        return self._value(part, value)

    def _value(self, part: Part | None, value: Any) -> Any:
        assert isinstance(part, (Leaf, Companion))
        try:
            checked = _check(part.codec, value)
            as_bytes(part.codec.spell(checked))
        except ValidationError as error:
            self._misfit(value, error.errors(include_url=False, include_context=False)[0]["msg"])
        except ValueError as error:
            self._misfit(value, str(error))
        if isinstance(checked, float) and isnan(checked):
            self._misfit(value, "NaN is equal to nothing and has no place in an order")
        return checked

    def _misfit(self, value: object, problem: str) -> NoReturn:
        raise QueryError(
            f"{self._where} cannot be compared with {value!r}: {problem}", model=self.model, field=self.name, value=value
        ) from None


def _check(codec: Codec, value: Any) -> Any:
    """The value by the annotation; one that only breaks a constraint is no value of any row, and a fair bound all the same."""
    try:
        return codec.check(value)
    except ValidationError as error:
        if not all(line["type"] in _CONSTRAINTS for line in error.errors(include_url=False, include_context=False)):
            raise
        return validator(strip_annotated(codec.stored)).validate_python(value)


def _remedy(name: str, operator: Operator, part: Part | None) -> str:
    last = name.rpartition(".")[2]
    if part is None:
        return "it is not stored with the row"
    if isinstance(part, Branch):
        return f"it is a nested model; compare one of its fields, as in col({name}).field"
    if isinstance(part, Companion):
        if operator != "contains":
            return "a collection is only asked for an element: contains(...)"
        return f"declare {last} with Field(index=True)"
    if operator == "contains":
        return "only a list, set or sorted set with a key of its own contains elements"
    is_place, is_text = strip_annotated(part.codec.stored) is GeoPoint, may_be_lex(part.codec)
    if is_place and operator != "within":
        return "a position is asked for with within(...), or for None"
    if operator in _ORDER and not is_text and order_type(part.codec) is None:
        return "its values have no order in an index; ask for them with == and in_(...)"
    if operator in _PREFIX and not is_text:
        return "only a text begins with another"
    if operator == "within" and not is_place:
        return "only a GeoPoint lies within a circle"
    if part.codec.mutable:
        return "a compound value has no index: take a field of its own, or a list or set without inline=True for contains(...)"
    wanted = 'index="lex"' if is_text and operator in _ORDER else "index=True" if operator in _ORDER else _REMEDIES[operator]
    return f"declare {last} with Field({wanted})"


def _branch(level: Level, path: list[str]) -> Branch | None:
    found = next((branch for branch in level.branches if branch.local == path[0]), None)
    return found if found is None or len(path) == 1 else _branch(found.level, path[1:])


def _has(level: Level, name: str) -> bool:
    return any(leaf.local == name for leaf in level.leaves) or any(branch.local == name for branch in level.branches)


def column_of(model: type[MappedModel], name: str, mapper_of: Callable[[type[Any]], Mapper[Any]]) -> Column[Any]:
    """A field of a class as a column."""
    return Column(Searched(model, name, mapper_of))


def condition_of(
    model: type[MappedModel], conditions: Iterable[object], equals: Mapping[str, Any], mapper_of: Callable[[type[Any]], Mapper[Any]]
) -> Expression | None:
    """Join the conditions of a query on a class; `None` where there are none.

    Args:
        equals: Values of fields, which are conditions too; a nested field is named with its dots.

    Raises:
        QueryError: Something is no condition, or no field of this class.
    """
    expressions = [_bound(as_expression(condition), model, mapper_of) for condition in conditions]
    known = mapper_of(model).parts if equals else {}
    for name, value in equals.items():
        if name not in known:
            raise QueryError(f"{model.__name__} has no field {name!r}: it has {', '.join(sorted(known))}", model=model, field=name)
        subject = Searched(model, name, mapper_of)
        expressions.append(Comparison(subject, "==", subject.checked("==", value)))
    return all_of(expressions)


def _bound(expression: Expression, model: type[MappedModel], mapper_of: Callable[[type[Any]], Mapper[Any]]) -> Expression:
    """A condition as one on this class, where it was written on one that this is derived from."""
    if isinstance(expression, Not):
        return Not(_bound(expression.part, model, mapper_of))
    if isinstance(expression, (And, Or)):
        return type(expression)(tuple(_bound(part, model, mapper_of) for part in expression.parts))
    assert isinstance(expression, Comparison)
    subject = expression.subject
    if subject.model is model:
        return expression
    if not issubclass(model, subject.model):
        raise QueryError(
            f"{expression!r} is no condition on {model.__name__}: compare a field of {model.__name__}", model=model, field=subject.name
        )
    own = Searched(model, subject.name, mapper_of)
    return Comparison(own, expression.operator, own.checked(expression.operator, expression.value))


# ---- computed fields ------------------------------------------------------------------------------------------------------


class _Asked:
    """A computed field that is a column on the class and a property on an object."""

    __redisorm_column__: Column[Any]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.__redisorm_column__, name)

    def __eq__(self, other: object) -> Any:
        return self.__redisorm_column__ == other

    def __ne__(self, other: object) -> Any:
        return self.__redisorm_column__ != other

    def __lt__(self, other: Any) -> Expression:
        return cast("Expression", self.__redisorm_column__ < other)

    def __le__(self, other: Any) -> Expression:
        return cast("Expression", self.__redisorm_column__ <= other)

    def __gt__(self, other: Any) -> Expression:
        return cast("Expression", self.__redisorm_column__ > other)

    def __ge__(self, other: Any) -> Expression:
        return cast("Expression", self.__redisorm_column__ >= other)

    def __hash__(self) -> int:
        return object.__hash__(self)


class ComputedColumn(_Asked, property):
    """A `property` that is an indexed computed field."""


class CachedColumn(_Asked, cached_property[Any]):
    """A `cached_property` that is one."""


def name_computed(model: type[MappedModel], mapper: Mapper[Any], mapper_of: Callable[[type[Any]], Mapper[Any]]) -> None:
    """Make columns of the computed fields of a class that have an index: they are attributes of the class, unlike other fields."""
    for leaf in mapper.slots.computed:
        if leaf.name not in mapper.indexes and all(leaf not in unique.leaves for unique in mapper.uniques):
            continue
        former = getattr(model, leaf.name)
        computed: Any
        if isinstance(former, cached_property):
            computed = CachedColumn(former.func)
            computed.__set_name__(model, leaf.name)
        else:
            computed = ComputedColumn(former.fget, former.fset, former.fdel, former.__doc__)
        computed.__redisorm_column__ = column_of(model, leaf.name, mapper_of)
        type.__setattr__(model, leaf.name, computed)

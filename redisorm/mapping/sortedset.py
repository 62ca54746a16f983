"""`SortedSet[T]`: the value of a sorted-set field. A plain dict in memory; nothing in it knows of Redis."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from math import isnan
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["SortedSet"]

T = TypeVar("T")


class SortedSet(dict[T, float], Generic[T]):
    """A dict of member to score that iterates in ascending score order, ties by member.

    Scores are floats, infinite ones included; NaN is a `ValueError`, since a sorted set cannot order it.
    """

    def __init__(self, members: Mapping[T, float] | Iterable[tuple[T, float]] = (), /, **scores: float) -> None:
        super().__init__()
        self.update(members, **scores)

    def __setitem__(self, member: T, score: float) -> None:
        number = float(score)
        if isnan(number):
            raise ValueError(f"the score of {member!r} is NaN, which no sorted set can order: give it a number")
        super().__setitem__(member, number)

    def add(self, member: T, score: float) -> None:
        """Set the score of a member, new or not."""
        self[member] = score

    def update(self, *others: Any, **scores: float) -> None:
        """Take over the pairs of another mapping or iterable, as `dict.update` does."""
        pairs: dict[Any, float] = dict(*others, **scores)
        for member, score in pairs.items():
            self[member] = score

    def setdefault(self, member: T, score: float = 0.0) -> float:  # pyright: ignore[reportIncompatibleMethodOverride] - None is no score
        """Return the score of a member, setting it first where it is new."""
        if member not in self:
            self[member] = score
        return self[member]

    def __ior__(self, other: Any) -> SortedSet[T]:  # type: ignore[override]
        self.update(other)
        return self

    def __or__(self, other: Any) -> SortedSet[T]:  # type: ignore[override]
        merged = self.copy()
        merged.update(other)
        return merged

    def copy(self) -> SortedSet[T]:
        """Return a shallow copy."""
        return SortedSet(dict(self.items()))

    def __copy__(self) -> SortedSet[T]:
        return self.copy()

    def __reduce__(self) -> tuple[type[SortedSet[T]], tuple[dict[T, float]]]:
        return SortedSet, (dict(self.items()),)

    def _ascending(self) -> list[tuple[T, float]]:
        pairs = list(super().items())
        try:
            pairs.sort(key=lambda pair: cast("tuple[float, Any]", (pair[1], pair[0])))
        except TypeError:  # members of types that have no order among each other
            pairs.sort(key=lambda pair: (pair[1], str(pair[0])))
        return pairs

    def __iter__(self) -> Iterator[T]:
        return iter([member for member, _ in self._ascending()])

    def __reversed__(self) -> Iterator[T]:
        return reversed([member for member, _ in self._ascending()])

    def keys(self) -> KeysView[T]:  # type: ignore[override]
        """The members in ascending score order."""
        return dict(self._ascending()).keys()

    def values(self) -> ValuesView[float]:  # type: ignore[override]
        """The scores in ascending order."""
        return dict(self._ascending()).values()

    def items(self) -> ItemsView[T, float]:  # type: ignore[override]
        """The pairs in ascending score order."""
        return dict(self._ascending()).items()

    def popitem(self) -> tuple[T, float]:
        """Remove and return the pair with the highest score; `KeyError` when empty."""
        if not self:
            raise KeyError("popitem(): the sorted set is empty")
        member, score = self._ascending()[-1]
        del self[member]
        return member, score

    def top(self, n: int) -> list[tuple[T, float]]:
        """Return the `n` pairs with the highest scores, highest first; fewer where there are fewer."""
        return self._ascending()[::-1][: max(n, 0)]

    def bottom(self, n: int) -> list[tuple[T, float]]:
        """Return the `n` pairs with the lowest scores, lowest first; fewer where there are fewer."""
        return self._ascending()[: max(n, 0)]

    def between(self, low: float, high: float) -> list[tuple[T, float]]:
        """Return the pairs whose score is from `low` to `high`, both included, in ascending order."""
        return [pair for pair in self._ascending() if low <= pair[1] <= high]

    def rank(self, member: T) -> int | None:
        """Return the place of a member, 0 for the highest score; `None` where it is absent."""
        if member not in self:
            return None
        return [other for other, _ in reversed(self._ascending())].index(member)

    def __repr__(self) -> str:
        return f"SortedSet({dict(self._ascending())!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (member,) = get_args(source) or (Any,)
        pairs = core_schema.dict_schema(handler.generate_schema(member), core_schema.float_schema(allow_inf_nan=True))
        return core_schema.no_info_after_validator_function(
            SortedSet,
            pairs,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda members, serialize: serialize(dict(members.items())), schema=pairs, return_schema=pairs
            ),
        )

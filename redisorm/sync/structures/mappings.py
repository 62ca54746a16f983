"""What the blocking mappings share: views that walk a key in steps instead of asking for each entry."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any, Protocol, TypeVar

__all__ = ["Entries", "Values"]

K_co = TypeVar("K_co", covariant=True)
V_co = TypeVar("V_co", covariant=True)


class Walked(Protocol[K_co, V_co]):
    """A mapping that yields its entries in steps."""

    def _walk(self) -> Iterator[tuple[K_co, V_co]]: ...


class Entries(ItemsView[K_co, V_co]):
    """The entries of a mapping, read anew each time it is iterated."""

    _mapping: Any

    def __iter__(self) -> Iterator[tuple[K_co, V_co]]:
        walked: Walked[K_co, V_co] = self._mapping
        return walked._walk()


class Values(ValuesView[V_co]):
    """The values of a mapping, read anew each time it is iterated."""

    _mapping: Any

    def __iter__(self) -> Iterator[V_co]:
        walked: Walked[Any, V_co] = self._mapping
        return (value for _, value in walked._walk())

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)

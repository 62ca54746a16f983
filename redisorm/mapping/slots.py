"""The values of an object in one flat order: which slot is which, and how they are taken out of an object.

A slot is a leaf (one hash field) or the marker of a nested model, which comes after all that lies in it. Everything
that compares, writes or restores an object goes by this order.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

from redisorm.errors import MappingError

from .layout import Branch, Leaf, Level

__all__ = ["ABSENT", "Absent", "Slots", "inside"]


class Absent(enum.Enum):
    """What stands for the value of a slot whose nested model is not there."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class Slots:
    """The slots of a class.

    Attributes:
        order: The slots.
        names: Their hash fields.
        mutable: The places of the slots whose values can change in place.
        markers: The places of those that mark nested models.
        own: For each slot the types whose values are their own texts, and need no check.
        take: Reads the values out of the `__dict__` of an object.
        lives: How long the hash fields with a life of their own live, in milliseconds.
        computed: The leaves that are stored for other readers, which have no slot.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.order: tuple[Leaf | Branch, ...] = tuple(_in_order(level))
        self.names = tuple(slot.name if isinstance(slot, Leaf) else slot.marker for slot in self.order)
        self.lives = {slot.name: slot.ttl_ms for slot in self.order if isinstance(slot, Leaf) and slot.ttl_ms is not None}
        self.computed = tuple(leaf for leaf in level.leaves if leaf.computed)
        self.mutable = tuple(place for place, slot in enumerate(self.order) if isinstance(slot, Leaf) and slot.codec.mutable)
        self.markers = tuple(place for place, slot in enumerate(self.order) if isinstance(slot, Branch))
        self.own = tuple(map(_own, self.order))
        self.take: Callable[[dict[str, Any]], tuple[Any, ...]] = _taker(level)
        every = [*self.names, *(leaf.name for leaf in self.computed)]
        twice = {name for name in every if every.count(name) > 1}
        if twice:
            raise MappingError(
                f"{level.model.__name__}: two fields would be stored under the name {', '.join(twice)}: rename one", model=level.model
            )

    def place(self, name: str) -> int:
        """The place of a hash field."""
        return self.names.index(name)


def inside(branch: Branch, place: int) -> range:
    """The places of all that lies in the nested model whose marker is at `place`."""
    return range(place - _width(branch.level), place)


def _width(level: Level) -> int:
    return sum(not leaf.computed for leaf in level.leaves) + sum(_width(branch.level) + 1 for branch in level.branches)


def _own(slot: Leaf | Branch) -> frozenset[type]:
    return slot.codec.exact if isinstance(slot, Leaf) and not slot.checked and slot.codec.encode is None else frozenset()


def _in_order(level: Level) -> Iterator[Leaf | Branch]:
    yield from (leaf for leaf in level.leaves if not leaf.computed)
    for branch in level.branches:
        yield from _in_order(branch.level)
        yield branch


def _taker(level: Level) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Compile the reading of values out of an object's dict: one C call where nothing is nested."""
    names = [leaf.local for leaf in level.leaves if not leaf.computed]
    own: Callable[[dict[str, Any]], tuple[Any, ...]]
    own = itemgetter(*names) if len(names) > 1 else (lambda values: (values[names[0]],)) if names else (lambda _: ())
    if not level.branches:
        return own
    below = [(branch.local, _taker(branch.level), (ABSENT,) * _width(branch.level)) for branch in level.branches]

    def take(values: dict[str, Any]) -> tuple[Any, ...]:
        taken = own(values)
        for local, inner, absent in below:
            nested = values[local]
            taken += (*absent, nested) if nested is None else (*inner(nested.__dict__), nested)
        return taken

    return take

"""What changed in many objects of one class, found column by column rather than object by object.

It is `snapshot.difference` for classes in which only an assignment changes a value of the row itself, and nothing follows from one but its
own text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, compress
from operator import is_not, ne
from typing import Any, NamedTuple, TypeAlias

from .codec import Text
from .layout import Leaf
from .mapper import Mapper

__all__ = ["Alike", "Values", "alike", "column_texts", "moved"]

Values: TypeAlias = Sequence[tuple[Any, ...]]
"""The values of objects, each in the order of the slots."""


class Alike(NamedTuple):
    """Objects in which the same fields changed, and which had and have values in the same ones.

    Attributes:
        numbers: Which objects these are.
        sets: By place of the slot, the new text of each.
        unsets: The places of what is removed.
    """

    numbers: list[int]
    sets: Mapping[int, list[Text]]
    unsets: tuple[int, ...]


def moved(now: Values, before: Values) -> list[bool]:
    """Which of many objects have another value than before in any slot."""
    width, marks = len(now[0]), _marks(now, before)
    same = bytes(width)
    return [marks[start : start + width] != same for start in range(0, len(marks), width)]


def _marks(now: Values, before: Values) -> bytes:
    """Of each value in turn whether it is another object than before."""
    return bytes(map(is_not, chain.from_iterable(now), chain.from_iterable(before)))


def alike(mapper: Mapper[Any], now: Values, before: Values, keys: Sequence[str]) -> list[Alike]:
    """Find what changed; an object that will be stored as it is, is in none of the groups.

    Raises:
        ValidationError: A changed value does not fit its annotation.
    """
    width, marks = len(mapper.slots.order), _marks(now, before)
    columns: dict[int, dict[int, Text | None]] = {}
    for place in range(width):
        column = marks[place::width]
        if any(column):
            columns[place] = _changed(mapper, place, list(compress(range(len(now)), column)), now, before, keys)
    if alone := _of_one_shape(columns, before):
        return [alone]
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for number in sorted(set(chain.from_iterable(columns.values()))):
        shape = tuple((place, texts[number] is None, before[number][place] is None) for place, texts in columns.items() if number in texts)
        shapes.setdefault(shape, []).append(number)
    return [
        Alike(
            numbers,
            {place: [columns[place][number] for number in numbers] for place, gone, _ in shape if not gone},  # type: ignore[misc]
            tuple(place for place, gone, _ in shape if gone),
        )
        for shape, numbers in shapes.items()
    ]


def _of_one_shape(columns: Mapping[int, Mapping[int, Text | None]], before: Values) -> Alike | None:
    """All that changed, where it is the same fields of each, with values before and after."""
    numbers = next(iter(columns.values()), {}).keys()
    if not numbers or any(texts.keys() != numbers or None in texts.values() for texts in columns.values()):
        return None
    if any(before[number][place] is None for place in columns for number in numbers):
        return None
    return Alike(list(numbers), {place: list(texts.values()) for place, texts in columns.items()}, ())  # type: ignore[arg-type]


def _changed(
    mapper: Mapper[Any], place: int, numbers: Sequence[int], now: Values, before: Values, keys: Sequence[str]
) -> dict[int, Text | None]:
    """The new texts of one slot where they are others than before."""
    values, were = [now[number][place] for number in numbers], [before[number][place] for number in numbers]
    kinds = set(map(type, values))
    if len(kinds) == 1 and kinds == set(map(type, were)) and kinds <= mapper.slots.own[place]:
        return dict(compress(zip(numbers, values, strict=True), map(ne, values, were)))
    places = [keys[number] for number in numbers]
    texts, former = (column_texts(mapper, place, column, places) for column in (values, were))
    return dict(compress(zip(numbers, texts, strict=True), map(ne, texts, former)))


def column_texts(mapper: Mapper[Any], place: int, values: Sequence[Any], keys: Sequence[str]) -> list[Text | None]:
    """Spell the values of one slot; `None` where nothing is stored for one.

    Raises:
        ValidationError: One does not fit the annotation.
    """
    slot, kinds = mapper.slots.order[place], set(map(type, values))
    if isinstance(slot, Leaf) and not slot.checked and len(kinds) == 1 and kinds <= slot.codec.exact:
        return list(slot.codec.encode_many(type(values[0]), values))
    spell, row = mapper.encoder.spell, [None] * place
    return [spell(slot, (*row, value), place, key) for value, key in zip(values, keys, strict=True)]

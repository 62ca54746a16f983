"""What changed in many objects of one class, found column by column rather than object by object.

It is `snapshot.difference` for classes in which nothing follows from a value of the row itself but its own text, and the marker of the
nested model that it lies in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, compress
from operator import attrgetter, is_not, ne
from typing import Any, NamedTuple, TypeAlias

from .codec import Text
from .encoder import as_bytes
from .layout import Leaf
from .mapper import Mapper
from .slots import ABSENT, Absent, inside
from .snapshot import Snapshot, respelled

__all__ = ["Alike", "Values", "alike", "column_texts", "moved", "moved_in", "presence", "snapshots"]

Values: TypeAlias = Sequence[tuple[Any, ...]]
"""The values of objects, each in the order of the slots."""


_values = attrgetter("values")
_NOTHING = frozenset((type(None), Absent))


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


def snapshots(mapper: Mapper[Any], values: Values, keys: Sequence[str]) -> list[Snapshot]:
    """Objects as they are, without what lies beside their rows.

    Raises:
        ValidationError: A value that can change in place does not fit its annotation.
    """
    mutable = mapper.slots.mutable
    if not mutable:
        return list(map(Snapshot, values))
    columns = [column_texts(mapper, place, [row[place] for row in values], keys) for place in mutable]
    return [
        Snapshot(row, {place: as_bytes(text) for place, text in zip(mutable, texts, strict=True) if text is not None})
        for row, texts in zip(values, zip(*columns, strict=True), strict=True)
    ]


def presence(row: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    """In which of some slots an object has a value; of those that lie in a nested model that is not there it is told apart."""
    return tuple([value if (value := row[place]) is None or value is ABSENT else True for place in places])


def moved(now: Sequence[Snapshot], before: Sequence[Snapshot]) -> list[bool]:
    """Which of many objects may have another value than before in any slot."""
    others = _marked(list(map(_values, now)), list(map(_values, before)))
    return [other or after.texts != was.texts for other, after, was in zip(others, now, before, strict=True)]


def moved_in(places: Sequence[int], now: Sequence[Snapshot], before: Sequence[Snapshot]) -> list[bool]:
    """Which may have one in some slots, whose values do not change in place."""
    rows, former = ([tuple([one.values[place] for place in places]) for one in each] for each in (now, before))
    return _marked(rows, former)


def _marked(rows: Values, former: Values) -> list[bool]:
    width, marks = len(rows[0]), _marks(rows, former)
    same = bytes(width)
    return [marks[start : start + width] != same for start in range(0, len(marks), width)]


def _marks(now: Values, before: Values) -> bytes:
    """Of each value in turn whether it is another object than before."""
    return bytes(map(is_not, chain.from_iterable(now), chain.from_iterable(before)))


def alike(
    mapper: Mapper[Any],
    after: Sequence[Snapshot],
    before: Sequence[Snapshot],
    keys: Sequence[str],
    also: Iterable[int] = (),
    places: Sequence[int] = (),
) -> list[Alike]:
    """Find what changed; an object that will be stored as it is, is in none of the groups.

    Args:
        also: Objects that are in one nonetheless.
        places: The slots in which those of one group had values, or none, beside those that changed.

    Raises:
        ValidationError: A changed value does not fit its annotation.
    """
    were, columns = list(map(_values, before)), _columns(mapper, after, before, keys)
    if not also and (alone := _of_one_shape(columns, were, places)):
        return [alone]
    shapes: dict[tuple[tuple[Any, ...], tuple[Any, ...]], list[int]] = {}
    for number in sorted({*chain.from_iterable(columns.values()), *also}):
        row = were[number]
        shape = tuple((place, texts[number] is None, row[place] is None) for place, texts in columns.items() if number in texts)
        shapes.setdefault((shape, presence(row, places)), []).append(number)
    return [
        Alike(
            numbers,
            {place: [columns[place][number] for number in numbers] for place, gone, _ in shape if not gone},  # type: ignore[misc]
            tuple(place for place, gone, _ in shape if gone),
        )
        for (shape, _), numbers in shapes.items()
    ]


def _columns(
    mapper: Mapper[Any], after: Sequence[Snapshot], before: Sequence[Snapshot], keys: Sequence[str]
) -> dict[int, dict[int, Text | None]]:
    """The new texts of all that changed, by place of the slot and number of the object; `None` for what is removed."""
    now, were = list(map(_values, after)), list(map(_values, before))
    width, marks = len(mapper.slots.order), _marks(now, were)
    columns: dict[int, dict[int, Text | None]] = {}
    for place, slot in enumerate(mapper.slots.order):
        if isinstance(slot, Leaf) and slot.codec.mutable:
            columns[place] = _changed_in_place(slot, place, after, before)
            continue
        column = marks[place::width] if isinstance(slot, Leaf) else _any((*inside(slot, place), place), marks, width)
        if any(column):
            columns[place] = _changed(mapper, place, list(compress(range(len(now)), column)), now, were, keys)
    return {place: texts for place, texts in columns.items() if texts}


def _any(places: Sequence[int], marks: bytes, width: int) -> bytes:
    """Which rows have a mark in any of some places."""
    return bytes(map(any, zip(*(marks[place::width] for place in places), strict=True)))


def _of_one_shape(columns: Mapping[int, Mapping[int, Text | None]], before: Values, places: Sequence[int]) -> Alike | None:
    """All that changed, where it is the same fields of each, with values before and after."""
    numbers = next(iter(columns.values()), {}).keys()
    if not numbers or any(texts.keys() != numbers or None in texts.values() for texts in columns.values()):
        return None
    if any(type(before[number][place]) in _NOTHING for place in (*columns, *places) for number in numbers):
        return None
    return Alike(list(numbers), {place: list(texts.values()) for place, texts in columns.items()}, ())  # type: ignore[arg-type]


def _changed(
    mapper: Mapper[Any], place: int, numbers: Sequence[int], now: Values, before: Values, keys: Sequence[str]
) -> dict[int, Text | None]:
    """The new texts of one slot where they are others than before."""
    values, were = [now[number][place] for number in numbers], [before[number][place] for number in numbers]
    kinds, slot = set(map(type, values)), mapper.slots.order[place]
    if len(kinds) == 1 and kinds == set(map(type, were)) and kinds <= mapper.slots.own[place]:
        return dict(compress(zip(numbers, values, strict=True), map(ne, values, were)))
    if isinstance(slot, Leaf):
        places = [keys[number] for number in numbers]
        texts, former = (column_texts(mapper, place, column, places) for column in (values, were))
    else:
        texts, former = ([mapper.encoder.spell(slot, rows[number], place, keys[number]) for number in numbers] for rows in (now, before))
    return dict(compress(zip(numbers, texts, strict=True), map(ne, texts, former)))


def _changed_in_place(slot: Leaf, place: int, after: Sequence[Snapshot], before: Sequence[Snapshot]) -> dict[int, Text | None]:
    """The same of a slot whose values can: another program's spelling of the same is no change."""
    found: dict[int, Text | None] = {}
    for number, (one, former) in enumerate(zip(after, before, strict=True)):
        now, was = one.texts.get(place), former.texts.get(place)
        if now != was and (now is None or was is None or now != respelled(slot, was)):
            found[number] = now
    return found


def column_texts(mapper: Mapper[Any], place: int, values: Sequence[Any], keys: Sequence[str]) -> list[Text | None]:
    """Spell the values of one field; `None` where nothing is stored for one.

    Raises:
        ValidationError: One does not fit the annotation.
    """
    slot, kinds = mapper.slots.order[place], set(map(type, values))
    assert isinstance(slot, Leaf)
    if not slot.checked and len(kinds) == 1 and kinds <= slot.codec.exact:
        return list(slot.codec.encode_many(type(values[0]), values))
    spell, row = mapper.encoder.spell, [None] * place
    if slot.checked:
        with suppress(ValueError):  # it is told of one value
            texts = iter(slot.codec.spell_checked([value for value in values if type(value) not in _NOTHING]))
            return [spell(slot, (*row, value), place, "") if type(value) in _NOTHING else next(texts) for value in values]
    return [spell(slot, (*row, value), place, key) for value, key in zip(values, keys, strict=True)]

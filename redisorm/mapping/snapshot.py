"""What an object was when the server last agreed with it, and what has changed since.

Values that cannot change in place are compared by identity, never by `==` (`1 == True`, and equal instants differ in
their offset); what can change in place is spelled again and compared as text. A snapshot also restores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from operator import eq, is_not
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from .codec import Text
from .encoder import as_bytes, extra_text
from .layout import Branch, Companion, Leaf, Level
from .mapper import Mapper
from .slots import ABSENT

__all__ = [
    "CompanionChange",
    "Difference",
    "Snapshot",
    "ascii_elements",
    "compare_companions",
    "difference",
    "holds_same",
    "respelled",
    "restore",
    "same_elements",
    "snapshot_of_columns",
    "snapshot_of_row",
    "whole",
]


_NONE: Mapping[Any, bytes] = {}


class Snapshot:
    """An object as the server has it. It is never changed, and many rows share its empty parts.

    Attributes:
        values: The values of the slots.
        texts: The texts of the mutable slots by place; absent ones are left out.
        companions: For each companion the texts of its elements: a list, or a dict of text to `None` or score.
        extra: The texts of fields beside the declared ones, for a class that allows them.
    """

    __slots__ = ("companions", "extra", "texts", "values")

    def __init__(
        self,
        values: tuple[Any, ...],
        texts: Mapping[int, bytes] = _NONE,
        companions: Sequence[Any] = (),
        extra: Mapping[str, bytes] = _NONE,
    ) -> None:
        self.values = values
        self.texts = texts
        self.companions = companions
        self.extra = extra

    def with_value(self, place: int, value: Any) -> Snapshot:
        """The same with another value in one slot."""
        values = (*self.values[:place], value, *self.values[place + 1 :])
        return Snapshot(values, self.texts, self.companions, self.extra)


class CompanionChange(NamedTuple):
    """One companion whose elements differ."""

    companion: Companion
    before: Any
    after: Any


@dataclass(slots=True)
class Difference:
    """What a commit has to write of one object.

    Attributes:
        sets: `field, text, field, text, …`
        unsets: Fields to remove.
        companions: Companions whose elements differ.
        after: The object as it will be when the server has agreed.
    """

    after: Snapshot
    sets: list[Text] = field(default_factory=list)
    unsets: list[str] = field(default_factory=list)
    companions: Sequence[CompanionChange] = ()

    def __bool__(self) -> bool:
        return bool(self.sets or self.unsets or self.companions)


def snapshot_of_columns(values: tuple[Any, ...], texts: Mapping[int, bytes], elements: tuple[Any, ...]) -> Snapshot:
    """Take the snapshot of an object that was read column by column, of what was kept for it.

    Args:
        elements: As in a snapshot, but for sets, of which a tuple was kept: it is a third as large as a dict.
    """
    return Snapshot(values, texts, tuple([dict.fromkeys(held) if type(held) is tuple else held for held in elements]) if elements else ())


def snapshot_of_row(
    mapper: Mapper[Any], obj: BaseModel, texts: Sequence[bytes | None], companions: Sequence[Any], extra: Mapping[str, bytes]
) -> Snapshot:
    """Take the snapshot of an object just made from a row, keeping the texts as they were stored."""
    values = mapper.values(obj)
    return Snapshot(values, _mutable_texts(mapper, values, texts) if mapper.slots.mutable else _NONE, companions, extra)


def _mutable_texts(mapper: Mapper[Any], values: tuple[Any, ...], texts: Sequence[bytes | None]) -> dict[int, bytes]:
    """The stored texts of the mutable slots. A default that stood in for an absent one is no change, so its text counts as stored."""
    found: dict[int, bytes] = {}
    for place in mapper.slots.mutable:
        text = texts[place]
        if text is None:
            default = mapper.encoder.spell(mapper.slots.order[place], values, place, "")
            text = None if default is None else as_bytes(default)
        if text is not None:
            found[place] = text
    return found


def whole(mapper: Mapper[Any], obj: BaseModel, key: str) -> Difference:
    """Spell everything of an object, as for a row that is not there.

    Raises:
        ValidationError: A value does not fit its annotation.
    """
    values = mapper.values(obj)
    sets, texts = mapper.encoder.row(values, key)
    for leaf in mapper.slots.computed:
        text = _computed(mapper, leaf, obj, key)
        if text is not None:
            sets += (leaf.name, text)
    extra = mapper.encoder.extra(obj, key) if mapper.open else {}
    for name, text in extra.items():
        sets += (_field(name), text)
    after = Snapshot(values, texts, (), extra)
    if not mapper.companions:
        return Difference(after, sets)
    elements = [mapper.encoder.companion(companion, mapper.value(obj, companion.name), key) for companion in mapper.companions]
    after.companions = elements
    changes = [CompanionChange(companion, (), now) for companion, now in zip(mapper.companions, elements, strict=True) if now]
    return Difference(after, sets, [], changes)


def difference(mapper: Mapper[Any], obj: BaseModel, before: Snapshot, key: str) -> Difference | None:
    """Find what changed in an object since a snapshot; `None` where nothing did.

    Raises:
        ValidationError: A changed value does not fit its annotation.
    """
    values = mapper.values(obj)
    changed = list(compress(range(len(values)), map(is_not, values, before.values)))
    if not mapper.changes_in_place and not mapper.slots.computed:
        return _assigned(mapper, values, before, changed, key) if changed else None
    if mapper.collects_alone and not changed and holds_same(mapper, obj, before):
        return None
    found = Difference(Snapshot(values, dict(before.texts), list(before.companions), before.extra))
    looked_at = {*changed, *mapper.slots.mutable}
    if looked_at and mapper.slots.markers:  # what a nested model stores decides about its marker
        looked_at.update(mapper.slots.markers)
    for place in sorted(looked_at):
        _compare(mapper, values, before, place, found, key)
    found.after.companions, found.companions = compare_companions(mapper, obj, before, key)
    if mapper.open:
        _compare_extra(mapper, obj, before, found, key)
    if found and mapper.slots.computed:
        _compare_computed(mapper, obj, before, found, key)
    return found or None


def _assigned(mapper: Mapper[Any], values: tuple[Any, ...], before: Snapshot, places: Sequence[int], key: str) -> Difference | None:
    """The difference where only an assignment makes one, and nothing but its own text follows from a value."""
    slots, spell = mapper.slots, mapper.encoder.spell
    names, own = slots.names, slots.own
    sets: list[Text] = []
    unsets: list[str] = []
    for place in places:
        now, was = values[place], before.values[place]
        if type(now) is not type(was) or type(now) not in own[place]:
            now, was = spell(slots.order[place], values, place, key), spell(slots.order[place], before.values, place, key)
        if now is None:
            if was is not None:
                unsets.append(names[place])
        elif now != was:
            sets += (names[place], now)
    return Difference(Snapshot(values), sets, unsets) if sets or unsets else None


def holds_same(mapper: Mapper[Any], obj: BaseModel, before: Snapshot) -> bool:
    """Whether collections are surely as they were; `False` calls for a closer look."""
    for companion, was in zip(mapper.companions, before.companions, strict=True):
        value: Any = obj.__dict__.get(companion.name)
        if not companion.holds(value) or len(value) != len(was):
            return False
        texts = map(str.encode, value)
        try:
            if not all(map(eq, texts, was) if companion.kind == "list" else map(was.__contains__, texts)):
                return False
        except UnicodeEncodeError:
            return False
    return True


def ascii_elements(companion: Companion, collections: Sequence[Any]) -> list[list[str]] | None:
    """Copies of the collections of many objects, where all are surely of ASCII texts that need no check; else `None`."""
    if not companion.plain or set(map(type, collections)) != {companion.collection}:
        return None
    copies = list(map(list, collections))
    flat = list(chain.from_iterable(copies))
    return copies if set(map(type, flat)) <= {str} and "".join(flat).isascii() else None


def same_elements(mapper: Mapper[Any], objects: Sequence[BaseModel], befores: Sequence[Snapshot]) -> bool:
    """Whether the collections of many objects are surely as they were; `False` calls for a closer look at each."""
    for place, companion in enumerate(mapper.companions):
        copies = ascii_elements(companion, [obj.__dict__.get(companion.name) for obj in objects])
        before = [one.companions[place] for one in befores]
        if copies is None or list(map(len, copies)) != list(map(len, before)):
            return False
        if list(map(str.encode, chain.from_iterable(copies))) != list(chain.from_iterable(before)):
            return False
    return True


def _compare(mapper: Mapper[Any], values: tuple[Any, ...], before: Snapshot, place: int, found: Difference, key: str) -> None:
    slot, name = mapper.slots.order[place], mapper.slots.names[place]
    now = mapper.encoder.spell(slot, values, place, key)
    mutable = isinstance(slot, Leaf) and slot.codec.mutable
    was = before.texts.get(place) if mutable else mapper.encoder.spell(slot, before.values, place, key)
    if mutable and isinstance(found.after.texts, dict):
        now = None if now is None else as_bytes(now)
        found.after.texts.pop(place, None)
        if now is not None:
            found.after.texts[place] = now
    if now == was or (mutable and now is not None and was is not None and now == respelled(slot, was)):
        return
    if now is None:
        found.unsets.append(name)
    else:
        found.sets += (name, now)


def respelled(slot: Leaf | Branch, text: bytes) -> bytes | None:
    """How this library would have spelled a stored text: another program may use other spaces."""
    assert isinstance(slot, Leaf)
    try:
        return as_bytes(slot.codec.spell(slot.codec.read_many([text])[0]))
    except (ValidationError, UnicodeDecodeError):
        return None


def compare_companions(mapper: Mapper[Any], obj: BaseModel, before: Snapshot, key: str) -> tuple[list[Any], list[CompanionChange]]:
    """The elements that the companions of an object have now, and those companions that had others.

    Raises:
        ValidationError: An element does not fit its annotation.
    """
    after: list[Any] = []
    changes: list[CompanionChange] = []
    for companion, was in zip(mapper.companions, before.companions, strict=True):
        now = mapper.encoder.companion(companion, mapper.value(obj, companion.name), key)
        after.append(now)
        if now != was and (companion.plain or now != _elements_respelled(companion, was)):
            changes.append(CompanionChange(companion, was, now))
    return after, changes


def _elements_respelled(companion: Companion, was: Any) -> Any:
    spelled = [as_bytes(companion.codec.spell(value)) for value in companion.codec.read_many(list(was))]
    if companion.kind == "list":
        return spelled
    return dict(zip(spelled, was.values(), strict=True))


def _compare_extra(mapper: Mapper[Any], obj: BaseModel, before: Snapshot, found: Difference, key: str) -> None:
    now = mapper.encoder.extra(obj, key)
    former = mapper.decoder.extra(before.extra)
    for name, text in now.items():
        if before.extra.get(name) != text and (name not in former or extra_text(former[name]) != text):
            found.sets += (_field(name), text)
    found.unsets += [_field(name) for name in before.extra if name not in now]
    found.after.extra = now


def _field(name: str) -> Any:
    """The name of an undeclared hash field; another program's may be no UTF-8."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape")


def _compare_computed(mapper: Mapper[Any], obj: BaseModel, before: Snapshot, found: Difference, key: str) -> None:
    former = obj.model_copy()
    restore(mapper, former, before)
    for leaf in mapper.slots.computed:
        now, was = _computed(mapper, leaf, obj, key), _computed(mapper, leaf, former, key)
        if now != was:
            if now is None:
                found.unsets.append(leaf.name)
            else:
                found.sets += (leaf.name, now)


def _computed(mapper: Mapper[Any], leaf: Leaf, obj: BaseModel, key: str) -> Text | None:
    text: Text | None = mapper.encoder.spell(leaf, (getattr(obj, leaf.local),), 0, key)
    return text


def restore(mapper: Mapper[Any], obj: BaseModel, before: Snapshot) -> None:
    """Put an object back to a snapshot, in place: nested models keep their identity, collections are made anew."""
    fields = dict(obj.__dict__)
    rest = iter(range(len(before.values)))
    fields.update(_restored(mapper.slots.level, before, rest))
    for companion, texts in zip(mapper.companions, before.companions, strict=True):
        fields[companion.name] = mapper.decoder.companion(companion, texts, "")
    object.__setattr__(obj, "__dict__", fields)
    if mapper.open:
        object.__setattr__(obj, "__pydantic_extra__", mapper.decoder.extra(before.extra))


def _restored(level: Level, before: Snapshot, places: Iterator[int]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for leaf in level.leaves:
        if leaf.computed:
            continue
        place = next(places)
        value = before.values[place]
        if leaf.codec.mutable and value is not None and value is not ABSENT and place in before.texts:
            value = leaf.codec.read_many([before.texts[place]])[0]
        fields[leaf.local] = value
    for branch in level.branches:
        inner = _restored(branch.level, before, places)
        nested = before.values[next(places)]
        if isinstance(nested, BaseModel):
            object.__setattr__(nested, "__dict__", {**nested.__dict__, **inner})
        fields[branch.local] = None if nested is ABSENT else nested
    return fields

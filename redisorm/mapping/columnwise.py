"""From many rows of one class to objects, field by field: each column is read by one call, and no row by a call of its own.

What a column cannot say for all of its rows (a text that does not fit, a required field that is missing) is left to `decoder`,
which reads row by row and tells what is wrong. Both make the same objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from operator import setitem
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .annotations import Row
from .layout import NULL, Companion, Leaf
from .slots import Slots
from .sortedset import SortedSet

__all__ = ["ColumnDecoder", "Columns"]

M = TypeVar("M", bound=BaseModel)

_NO_TEXTS: Mapping[int, bytes] = {}
_REQUIRED: Any = object()
_NULL = NULL.encode()

_set_fields: Callable[[BaseModel, dict[str, Any]], None]
_set_names: Callable[[BaseModel, set[str]], None]
_set_extra: Callable[[BaseModel, None], None]
_set_private: Callable[[BaseModel, None], None]
_set_fields, _set_names, _set_extra, _set_private = (
    BaseModel.__dict__[name].__set__ for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


@dataclass(slots=True)
class Columns(Generic[M]):
    """Objects of many rows, and for each what its snapshot has to remember.

    Attributes:
        values: The values of the slots, row by row.
        texts: The texts of the mutable slots by place, row by row.
        elements: The texts of the elements of all companions, row by row.
        beside: The columns after those of the slots as they were read: the lives, and the versions where there are any.
    """

    objects: list[M]
    values: list[tuple[Any, ...]]
    texts: Iterable[Mapping[int, bytes]]
    elements: Iterable[tuple[Any, ...]]
    beside: list[tuple[bytes | None, ...]]


class ColumnDecoder(Generic[M]):
    """Reads many rows of one class.

    Attributes:
        all_names: The fields of an object that has them all. Objects that were read here share this set.
    """

    def __init__(self, model: type[M], row: type[Row], slots: Slots, companions: Sequence[Companion], pk_name: str) -> None:
        self._model = model
        self._slots = slots
        self._companions = companions
        self._pk_place = slots.names.index(pk_name)
        self._leaves = [slot for slot in slots.order if isinstance(slot, Leaf)]
        self._absent = [_absent(leaf, row.model_fields[leaf.local]) for leaf in self._leaves]
        self._blank: dict[str, Any] = dict.fromkeys(model.model_fields)
        self._post_init = bool(model.__pydantic_post_init__)
        self.all_names = set(model.model_fields)

    @staticmethod
    def fits(model: type[BaseModel], slots: Slots) -> bool:
        """Whether rows of a class can be read this way: its fields are leaves, and its instances made as Pydantic makes them."""
        flat = all(isinstance(slot, Leaf) for slot in slots.order)
        return flat and model.__new__ is object.__new__ and not model.model_config.get("use_enum_values")

    def read(
        self, rows: Sequence[Sequence[bytes | None]], pk_texts: Sequence[str], elements: Sequence[Sequence[Any]] = ()
    ) -> Columns[M] | None:
        """Make objects of the texts of rows; `None` where they have to be read one by one.

        Args:
            rows: For each the texts of the slots, and what is read beside them. None is without any text.
            elements: For each companion what it holds row by row: texts, or a dict of text to score.
        """
        columns = list(zip(*rows, strict=True))
        texts, beside = columns[: len(self._leaves)], columns[len(self._leaves) :]
        read: list[Sequence[Any]] = []
        try:
            collections = [_collections(one, held) for one, held in zip(self._companions, elements, strict=True)]
            for place, column in enumerate(texts):
                values = self._pks(column, pk_texts) if place == self._pk_place else self._values(place, column)
                if values is None:
                    return None
                read.append(values)
        except (ValidationError, UnicodeDecodeError):
            return None
        objects = self._made(len(rows), texts, [*read, *collections])
        taken = list(zip(*read, strict=True))
        if self._post_init:
            for obj in objects:
                obj.model_post_init(None)
            taken = [self._slots.take(vars(obj)) for obj in objects]
        return Columns(objects, taken, self._mutable(texts), zip(*elements, strict=True) if elements else repeat(()), beside)

    def _pks(self, texts: Sequence[bytes | None], pk_texts: Sequence[str]) -> Sequence[Any]:
        """The primary keys, from the keys of the rows; what is stored of them must be text all the same."""
        codec = self._leaves[self._pk_place].codec
        if not codec.binary:
            b"\0".join(filter(None, texts)).decode()
        return codec.read_words(list(pk_texts))

    def _values(self, place: int, texts: Sequence[bytes | None]) -> Sequence[Any] | None:
        """The values of one column; `None` where some of its rows have no text, and no value that stands for it."""
        leaf = self._leaves[place]
        if all(texts) and not leaf.null:
            return leaf.codec.read_many(cast("Sequence[bytes]", texts))
        instead: dict[bytes | None, Any] = {_NULL: None} if leaf.null else {}
        if None in texts:
            if self._absent[place] is _REQUIRED:
                return None
            instead[None] = self._absent[place]
        read = iter(leaf.codec.read_many([text for text in texts if text is not None and text not in instead]))
        return [instead[text] if text in instead else next(read) for text in texts]

    def _made(self, count: int, texts: Sequence[Sequence[bytes | None]], columns: Sequence[Sequence[Any]]) -> list[M]:
        fields = list(map(dict.copy, repeat(self._blank, count)))
        for name, values in zip((*self._slots.names, *(one.name for one in self._companions)), columns, strict=True):
            _exhaust(map(setitem, fields, repeat(name), values))
        objects = list(map(object.__new__, repeat(self._model, count)))
        _exhaust(map(_set_fields, objects, fields))
        _exhaust(map(_set_names, objects, self._names(count, texts)))
        _exhaust(map(_set_extra, objects, repeat(None)))
        _exhaust(map(_set_private, objects, repeat(None)))
        return objects

    def _names(self, count: int, texts: Sequence[Sequence[bytes | None]]) -> Iterable[set[str]]:
        """For each row the names of the fields that it has: one set for all rows that have every field."""
        absent: dict[int, set[str]] = {}
        for place, column in enumerate(texts):
            if place != self._pk_place and not all(column):
                for row, text in enumerate(column):
                    if text is None:
                        absent.setdefault(row, set()).add(self._slots.names[place])
        if not absent:
            return repeat(self.all_names)
        return [self.all_names - absent[row] if row in absent else self.all_names for row in range(count)]

    def _mutable(self, texts: Sequence[Sequence[bytes | None]]) -> Iterable[Mapping[int, bytes]]:
        """For each row the texts of the mutable slots."""
        places = self._slots.mutable
        if not places:
            return repeat(_NO_TEXTS)
        rows = zip(*(texts[place] for place in places), strict=True)
        return [{place: text for place, text in zip(places, row, strict=True) if text is not None} for row in rows]


def _absent(leaf: Leaf, info: FieldInfo) -> Any:
    """The value that all rows without a field have, or `_REQUIRED` where it is not one value for all, or none."""
    if info.is_required() or info.default_factory is not None or (leaf.codec.mutable and (info.default is not None or not leaf.optional)):
        return _REQUIRED
    try:
        hash(info.default)
    except TypeError:  # Pydantic copies it for each object
        return _REQUIRED
    return info.default


def _collections(companion: Companion, rows: Sequence[Any]) -> list[Any]:
    """The lists, sets or sorted sets of many rows."""
    read = iter(companion.codec.read_many(list(chain.from_iterable(rows))))
    parts = (islice(read, len(row)) for row in rows)
    if companion.kind == "zset":
        return [SortedSet(zip(part, row.values(), strict=True)) for part, row in zip(parts, rows, strict=True)]
    return list(map(set if companion.kind == "set" else list, parts))


def _exhaust(calls: Iterator[Any]) -> None:
    """Make calls for what they do."""
    deque(calls, 0)

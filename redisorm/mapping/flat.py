"""Models whose fields are plain scalars: whether objects are as their class has them, told column by column.

Whoever assigns to a field of an ordinary model may put anything there, so an object is checked before it is stored. Making a checked copy
of each costs more than spelling it; where every value is of exactly the type of its field, the copy would be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from operator import attrgetter, itemgetter
from types import NoneType
from typing import Any
from uuid import UUID

from .annotations import Row, split_optional

__all__ = ["Flat"]

_PLAIN = frozenset((str, int, float, bool, bytes, datetime, date, time, timedelta, UUID))
"""Types of which every value is its own checked copy. Decimals may be NaN, which is refused."""
_fields_of = attrgetter("__dict__")


class Flat:
    """The types of the fields of one model.

    Args:
        model: The class.
        kinds: For each field, in the order they are spelled, the exact types of its values.
    """

    def __init__(self, model: type, kinds: dict[str, frozenset[type]]) -> None:
        self._model = model
        self._kinds = kinds

    @classmethod
    def of(cls, stored: Any) -> Flat | None:
        """Look at what is stored of an annotation; `None` where it is no model of plain scalars alone."""
        if not (isinstance(stored, type) and issubclass(stored, Row)) or stored.model_config.get("extra") == "allow":
            return None
        model, kinds = stored.stands_for, {}
        for name, info in stored.model_fields.items():
            kind, optional = split_optional(info.annotation)
            if kind not in _PLAIN or info.metadata:
                return None
            kinds[name] = frozenset((kind, NoneType) if optional else (kind,))
        return None if model.__pydantic_post_init__ or not kinds else cls(model, kinds)

    def holds(self, objects: Sequence[Any]) -> bool:
        """Whether a check would find nothing to change in any of the objects."""
        if set(map(type, objects)) != {self._model}:
            return False
        fields = list(map(_fields_of, objects))
        try:
            ordered = all({name} == set(names) for name, names in zip(self._kinds, zip(*fields, strict=True), strict=True))
        except ValueError:  # one has more fields or fewer
            return False
        return ordered and all(kinds.issuperset(map(type, map(itemgetter(name), fields))) for name, kinds in self._kinds.items())

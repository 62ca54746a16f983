"""The items of a live structure and their texts: checked on the way in, and told by key and position where one does not fit.

The texts are those of a model's companions (`codec.element_codec`). Nothing here knows which structure the items are in.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, cast, get_origin

from pydantic import ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from redisorm.errors import DecodeError, MappingError

from .codec import Codec, Text, element_codec
from .encoder import as_bytes, misfit, not_storable
from .fields import unalias
from .flat import Flat
from .texts import SPELLINGS

__all__ = ["Items", "as_member", "items_of"]

T = TypeVar("T")

FEW = 5
"""Objects up to so many are checked one by one in less time than it takes to look at their columns."""
_TEXT = {str}
_HASHED = frozenset(SPELLINGS)
_SETS = frozenset((set, frozenset))


class Items(Generic[T]):
    """How the items of one annotation are spelled, looked for and read.

    Args:
        annotation: Any type Pydantic knows.

    Raises:
        MappingError: Pydantic does not know it.
    """

    def __init__(self, annotation: Any) -> None:
        try:
            self._codec: Codec = element_codec(annotation)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
            raise MappingError(
                f"{annotation!r} cannot be the type of items, since Pydantic does not know how to read it back: "
                f"{error.message.splitlines()[0]}"
            ) from error
        # A constraint can only stand in an Annotated; without one, a value of exactly this type is as it should be.
        self._flat = Flat.of(self._codec.stored)
        self._exact = frozenset() if get_origin(unalias(annotation)) is Annotated else self._codec.exact

    def spell(self, value: object, key: str, position: object = None) -> Text:
        """Return the text of an item.

        Raises:
            ValidationError: It does not fit the annotation, or cannot be stored.
        """
        try:
            return self._text(value)
        except ValidationError as error:
            raise misfit(error, key, _place(position)) from None
        except (PydanticSerializationError, ValueError) as error:
            raise not_storable(value, str(error), key, _place(position)) from error

    def _text(self, value: object) -> Text:
        codec = self._codec
        if type(value) not in self._exact:
            return self._spelled(codec.check(value))
        text = cast("Text", value) if codec.encode is None else codec.encode(value)
        if isinstance(text, str):
            _require_unicode([text])
        return text

    def _spelled(self, checked: object) -> Text:
        text = self._codec.dump(checked)
        if not isinstance(checked, (set, frozenset)):
            return text
        return to_json(sorted(from_json(as_bytes(text)), key=to_json))  # equal sets are one text, in whatever order they are walked

    def spell_many(
        self, values: Iterable[object], key: str, positions: Iterable[object] | None = None, *, hashed: bool = False
    ) -> list[Text]:
        """Return the texts of items in order, checked in one call of Pydantic.

        Args:
            positions: What is told of an item that does not fit; its place among the values where that is left out.
            hashed: Whether each must have a hash.

        Raises:
            ValidationError: An item does not fit the annotation, or cannot be stored.
            TypeError: An item has no hash.
        """
        values = list(values)
        try:
            return self._texts(values, hashed=hashed)
        except (ValidationError, PydanticSerializationError, ValueError):
            place = range(len(values)) if positions is None else positions
            return [self.spell(value, key, at) for value, at in zip(values, place, strict=True)]

    def _texts(self, values: list[Any], *, hashed: bool) -> list[Text]:
        kinds, codec = set(map(type, values)), self._codec
        if hashed and not kinds <= _HASHED:
            deque(map(hash, values), 0)
        if kinds <= self._exact:
            return self._exact_texts(values, kinds)
        is_checked = len(values) > FEW and self._flat is not None and self._flat.holds(values)
        checked = values if is_checked else codec.check_many(values)
        return codec.dump_many(checked) if _SETS.isdisjoint(map(type, checked)) else list(map(self._spelled, checked))

    def check(self, value: object) -> T:
        """Return a value as the annotation has it; `ValidationError` where it does not fit."""
        return cast("T", self._codec.check(value))

    def _exact_texts(self, values: list[Any], kinds: set[type]) -> list[Text]:
        """Spell items whose types are those of the annotation, so that none has to be checked."""
        codec = self._codec
        if kinds == _TEXT and codec.encode is None:
            _require_unicode(values)
        return list(codec.encode_many(next(iter(kinds)), values) if len(kinds) == 1 else map(self._text, values))

    def sought(self, value: object) -> bytes | None:
        """Return the text under which an item that equals a value would be stored; `None` where no item can equal it.

        What is looked for is not coerced: `"1"` is in no collection of int, as it is in no `set[int]`.
        """
        codec = self._codec
        try:
            if type(value) in self._exact:
                return as_bytes(codec.spell(value))
            checked = codec.check(value)
            return as_bytes(self._spelled(checked)) if checked == value else None
        except (ValidationError, PydanticSerializationError, ValueError):
            return None

    def sought_many(self, values: Iterable[object], *, hashed: bool = False) -> Sequence[Text | None]:
        """Do the same for many values.

        Args:
            hashed: Whether they are looked for in a set, where each must have a hash, and a set stands for a frozen one.

        Raises:
            TypeError: A value has no hash.
        """
        values = list(values)
        kinds = set(map(type, values))
        if kinds <= _HASHED and kinds <= self._exact:
            with suppress(ValueError):  # one that cannot be stored is looked for as the others are
                return self._exact_texts(values, kinds)
        if hashed and not kinds <= _HASHED:
            values = list(map(as_member, values))
        return list(map(self.sought, values))

    @property
    def decodes(self) -> bool:
        """Whether the texts are Unicode, so that a driver may decode them."""
        return not self._codec.binary

    def read(self, text: bytes, key: str, position: object = None) -> T:
        """Return the item of a text.

        Raises:
            DecodeError: The text does not fit the annotation.
        """
        try:
            return cast("T", self._codec.read_many([text])[0])
        except (ValidationError, UnicodeDecodeError) as error:
            return self._read_loosely(text, error, key, position)

    def read_many(self, texts: Sequence[bytes | str], key: str, position_of: Callable[[int], object] | None = None) -> list[T]:
        """Return the items of many texts, in one call of Pydantic.

        Args:
            texts: All as bytes, or all decoded.
            position_of: Tells the position of the text at a place among these; the text itself where it is left out.

        Raises:
            DecodeError: A text does not fit the annotation; the first one is told.
        """
        try:
            if texts and type(texts[0]) is str:
                return self._codec.read_decoded(cast("list[str]", texts))
            return self._codec.read_many(cast("Sequence[bytes]", texts))
        except (ValidationError, UnicodeDecodeError):
            stored = list(map(as_bytes, texts))
            position = (lambda place: _shown(stored[place])) if position_of is None else position_of
            return [self.read(text, key, position(place)) for place, text in enumerate(stored)]

    def _read_loosely(self, text: bytes, error: Exception, key: str, position: object) -> T:
        """Read text that is not JSON where an item may be a `str`, as other programs write it."""
        problem = ""
        if isinstance(error, ValidationError):
            line = error.errors(include_url=False, include_context=False)[0]
            problem = str(line["msg"])
            if self._codec.accepts_text and line["type"] == "json_invalid":
                return cast("T", self._codec.read_many([json.dumps(text.decode()).encode()])[0])
        elif isinstance(error, UnicodeDecodeError):
            problem = f"not UTF-8 text: {error.reason} at byte {error.start}"
        where = key if position is None else f"{key}[{position!r}]"
        misfit = DecodeError(
            f"{where}: the stored item does not fit {_name(self._codec.stored)}: {problem}; found {_shown(text)!r}: "
            "correct or remove it, or open the key with the type that wrote it",
            key=key,
            value=text,
        )
        misfit.position = position
        raise misfit from error


@lru_cache(maxsize=1024)
def _cached(annotation: Any) -> Items[Any]:
    return Items(annotation)


def items_of(annotation: Any) -> Items[Any]:
    """Return the items of an annotation, compiled once for each."""
    try:
        return _cached(annotation)
    except TypeError:  # an annotation that has no hash: metadata with a list in it
        return Items(annotation)


def _place(position: object) -> tuple[int | str, ...]:
    return () if position is None else (position,) if isinstance(position, (int, str)) else (str(position),)


def as_member(value: object) -> object:
    """What Python looks for among the members of a set; `TypeError` where it has no hash."""
    member = frozenset(value) if isinstance(value, AbstractSet) and type(value).__hash__ is None else value
    hash(member)
    return member


def _require_unicode(words: Sequence[str]) -> None:
    """Raise `UnicodeEncodeError` where half of a pair of surrogates stands in a word, which has no UTF-8 form."""
    text = "".join(words)
    if not text.isascii():
        text.encode()


def _shown(text: bytes) -> str | bytes:
    try:
        shown: str | bytes = text.decode()
    except UnicodeDecodeError:
        shown = text
    return shown if len(shown) <= 120 else shown[:120]


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation)

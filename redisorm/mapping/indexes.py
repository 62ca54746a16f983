"""What the indexes of a class hold: each field's values as canonical text or as a score, made in Python.

An index is declared with a field and compiled with its class. This room knows values and texts; keys are spelled by
`keys`, commands by the flows.

============  =====================================  ==========================================================
kind          of                                     a value is held as
============  =====================================  ==========================================================
``equality``  text, bool, enums, UUIDs, elements     its stored text, in the key: ``user::city:Oslo``
``order``     numbers, dates, times, durations       a score: the number, or seconds
``lex``       text                                   a member ``value NUL pk``, escaped so that its order holds
``geo``       `GeoPoint`                             a position
``none``      a unique field without an index        nothing: only the rows without a value are listed
============  =====================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any, Literal

from redisorm.errors import IndexValueError, MappingError
from redisorm.expressions import MOST_LATITUDE

from .annotations import strip_annotated
from .codec import Codec
from .geo import GeoPoint
from .layout import Companion, Declared, Leaf
from .scores import SCORES, no_score, ordinal

__all__ = [
    "Index",
    "Kind",
    "Unique",
    "declared_index",
    "lex_escaped",
    "lex_member",
    "may_be_lex",
    "order_type",
    "uniques_of",
    "unlex",
]

Kind = Literal["equality", "order", "lex", "geo", "none"]

_EVERY_DIGIT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_PLAIN_DIGITS = 40
"""Up to here a Decimal is told without an exponent."""


class Index:
    """The index of one field.

    Attributes:
        name: The hash field, dotted in nested models, or the companion.
        kind: How values are held.
        leaf: The field; `None` where the elements of a companion are indexed.
        companion: The companion whose elements are indexed, or `None`.
        absent: The value that a row without the hash field has; `None` for none.
        place: The slot of the value; `None` of a companion or a computed field.
        by_value: Whether the value of a slot tells the entry, so that its text need not be read.
        text: The canonical text of a value of an `equality` or `lex` index; `ValueError` where it has none.
        score: The exact score of a value of an `order` index as text.
    """

    __slots__ = ("_model", "absent", "as_it_is", "by_value", "codec", "companion", "kind", "leaf", "name", "place", "score", "text")

    def __init__(self, model: type[Any], kind: Kind, part: Leaf | Companion, absent: Any = None) -> None:
        self._model = model
        self.kind: Kind = kind
        self.absent = absent
        self.place: int | None = None
        self.name = part.name
        self.leaf = part if isinstance(part, Leaf) else None
        self.companion = part if isinstance(part, Companion) else None
        self.codec: Codec = part.codec
        self.by_value = kind in ("equality", "order", "lex") and not (self.leaf is None or self.leaf.checked or self.codec.json)
        choice = bool(getattr(strip_annotated(self.codec.stored), "__members__", None)) and not (self.codec.binary or self.codec.json)
        self.as_it_is = self.codec.stored is str or choice
        self.text: Callable[[Any], str] = self.codec.text
        self.score: Callable[[Any], str] = SCORES[order_type(self.codec)] if kind == "order" else no_score

    def of_stored(self, text: bytes) -> Any:
        """The value of a stored text; `ValidationError` or `UnicodeDecodeError` where it is none."""
        return self.codec.read_many([text])[0]

    def text_of_stored(self, text: bytes) -> str:
        """The canonical text of a stored one, which another program may have spelled differently."""
        if self.as_it_is:
            return text.decode()
        return self.text(self.of_stored(text))

    def checked_score(self, value: Any, key: str) -> str:
        """The score of a value.

        Raises:
            IndexValueError: A double does not hold it exactly.
        """
        try:
            return self.score(value)
        except ValueError as error:
            raise self.refused(value, str(error), key) from None

    def position(self, value: GeoPoint, key: str) -> tuple[str, str]:
        """Longitude and latitude as text.

        Raises:
            IndexValueError: The position is too near to a pole.
        """
        if abs(value.lat) > MOST_LATITUDE:
            raise self.refused(value, f"a geo index reaches to {MOST_LATITUDE} degrees north and south only", key)
        return repr(value.lon), repr(value.lat)

    def refused(self, value: object, problem: str, key: str) -> IndexValueError:
        """Make the error for a value that the index cannot hold."""
        return IndexValueError(
            f"{self._model.__name__}.{self.name}: {value!r} of {key} cannot be indexed: {problem}; nothing was written: "
            "leave the field without index=, or store a value that fits",
            model=self._model,
            key=key,
            field=self.name,
            value=value,
        )


class Unique:
    """One unique constraint: fields whose values together no two rows share.

    Attributes:
        name: As it stands in keys: `email`, or `city+name`.
        leaves: The fields.
        names: Their names.
    """

    __slots__ = ("leaves", "name", "names")

    def __init__(self, leaves: tuple[Leaf, ...]) -> None:
        self.leaves = leaves
        self.names = tuple(leaf.name for leaf in leaves)
        self.name = "+".join(self.names)

    @classmethod
    def of_stored(cls, leaf: Leaf, text: bytes) -> str:
        """The same of a stored text; `ValidationError` or `UnicodeDecodeError` where it is none."""
        return text.decode() if leaf.codec.stored is str else cls.text(leaf, leaf.codec.read_many([text])[0])

    @staticmethod
    def text(leaf: Leaf, value: Any) -> str:
        """The text by which a value is told from others: equal numbers, and equal instants, have one."""
        if isinstance(value, Decimal) and value.is_finite():
            return _shortest(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            try:
                return value.astimezone(timezone.utc).isoformat()
            except OverflowError:  # in UTC it lies outside of the calendar
                return str(ordinal(value) // timedelta(microseconds=1))
        return leaf.codec.text(value + 0.0 if isinstance(value, float) else value)  # -0.0 + 0.0 is 0.0


def _shortest(value: Decimal) -> str:
    """One text for all Decimals that are equal, whatever the precision of the running thread's decimal context is."""
    if not value:
        return "0"
    number = value.normalize(_EVERY_DIGIT)
    return f"{number:f}" if abs(number.adjusted()) < _PLAIN_DIGITS else str(number)


def lex_member(text: str, pk_text: str) -> str:
    """Spell the member of a lex index: the value, NUL, the primary key. Values keep their order."""
    return f"{lex_escaped(text)}\0{pk_text}"


def lex_escaped(text: str) -> str:
    """Spell a value, or the beginning of one, as it stands in members."""
    if "\0" in text or "\1" in text:
        text = text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def unlex(member: str) -> tuple[str, str]:
    """Read value and primary key out of the member of a lex index."""
    text, _, pk_text = member.partition("\0")
    return text.replace("\1\1", "\0").replace("\1\2", "\1"), pk_text


# ---- declaring ------------------------------------------------------------------------------------------------------


def may_be_lex(codec: Codec) -> bool:
    """Whether values are texts that a `lex` index can hold."""
    bare = strip_annotated(codec.stored)
    return not codec.json and not codec.binary and isinstance(bare, type) and issubclass(bare, str)


def order_type(codec: Codec) -> Any:
    """The type by whose scores an index keeps values in order; `None` where they have none."""
    bare = strip_annotated(codec.stored)
    if bare is bool or codec.json or not isinstance(bare, type) or getattr(bare, "__members__", None):
        return None
    return next((kind for kind in SCORES if issubclass(bare, kind)), None)


def declared_index(model: type[Any], declared: Declared) -> Index | None:
    """The index that a field asks for; `None` where it asks for none.

    Raises:
        MappingError: The field cannot have it.
    """
    part, wanted = declared.part, declared.options.index
    if not wanted:
        needs_none = isinstance(part, Leaf) and declared.options.unique and part.optional
        return Index(model, "none", part) if needs_none else None
    codec, elements = part.codec, isinstance(part, Companion)
    bare = strip_annotated(codec.stored)

    def refuse(problem: str) -> MappingError:
        return MappingError(f"{declared.where}: {problem}", model=model, field=part.name)

    if part.name in ("all", "unique"):
        raise refuse(f"an indexed field cannot be named {part.name!r}, which names keys of the library: rename it")
    if wanted == "geo":
        if bare is not GeoPoint or elements:
            raise refuse("index='geo' needs a redisorm.GeoPoint field")
        return Index(model, "geo", part, declared.absent)
    if wanted == "lex":
        if elements or not may_be_lex(codec):
            raise refuse("index='lex' needs a text field")
        return Index(model, "lex", part, declared.absent)
    if wanted is not True:
        raise refuse(f"index={wanted!r} must be True, 'lex' or 'geo'")
    if codec.mutable or bare is GeoPoint:
        raise refuse(
            f"index=True needs a scalar, not {bare!r}: take index='geo' for a GeoPoint, a list or set without inline=True for `contains`, "
            "or a field of its own"
        )
    return Index(model, "order" if not elements and order_type(codec) else "equality", part, declared.absent)


def uniques_of(
    model: type[Any], declared: Iterable[Declared], together: tuple[tuple[str, ...], ...], leaves: Mapping[str, Leaf]
) -> list[Unique]:
    """The unique constraints of a class.

    Raises:
        MappingError: A field cannot be unique, or `unique_together` names one that is none.
    """
    if any(isinstance(names, str) for names in together):
        raise MappingError(f"{model.__name__}: unique_together={together!r} must be a tuple of tuples of field names", model=model)
    uniques = []
    for names in (*((one.part.name,) for one in declared if one.options.unique), *together):
        for name in names:
            leaf = leaves.get(name)
            if leaf is None or leaf.codec.mutable or leaf.ttl_ms is not None or name in ("all", "unique"):
                raise MappingError(
                    f"{model.__name__}.{name} cannot be unique: name fields that hold a text, a number, a date or a UUID",
                    model=model,
                    field=name,
                )
        uniques.append(Unique(tuple(leaves[name] for name in names)))
    return uniques

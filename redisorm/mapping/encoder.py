"""From objects to text: what a row and its companions are written as, checked on the way.

Values of one shape (one tuple of types) are spelled by one plan, so that the common path looks at no field twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticSerializationError, to_json

from .codec import Text
from .layout import NULL, Branch, Companion, Leaf
from .slots import ABSENT, Slots, inside

__all__ = ["Encoder", "as_bytes", "extra_text", "misfit", "not_storable"]

MOST_PLANS = 256
"""Plans kept per class; beyond it they are made anew, so that odd data cannot fill the memory."""


class Plan:
    """How to spell the values of one shape, that is of one tuple of types."""

    __slots__ = ("checked", "encoders", "names", "places", "whole")

    def __init__(self, encoder: Encoder, values: tuple[Any, ...], key: str) -> None:
        self.places: list[int] = []
        self.encoders: list[tuple[int, Callable[[Any], Text]]] = []
        self.checked: list[tuple[int, int, Leaf | Branch]] = []
        names: list[str] = []
        for place, (slot, value) in enumerate(zip(encoder.slots.order, values, strict=True)):
            exact = isinstance(slot, Leaf) and not slot.checked and type(value) in slot.codec.exact
            if not exact and encoder.spell(slot, values, place, key) is None:
                continue  # whether a value is absent follows from its type, and from the types beside it
            position = 2 * len(names) + 1
            names.append(encoder.slots.names[place])
            self.places.append(place)
            if not exact:
                self.checked.append((position, place, slot))
            elif isinstance(slot, Leaf) and slot.codec.encode is not None:
                self.encoders.append((position, slot.codec.encode))
        self.names = tuple(names)
        self.whole = len(names) == len(values)


class Encoder:
    """Spells the objects of one class."""

    def __init__(self, slots: Slots, companions: tuple[Companion, ...]) -> None:
        self.slots = slots
        self._model = slots.level.model
        self._plans: dict[tuple[type, ...], Plan] = {}
        self._extra = self._model.model_config.get("extra") == "allow"
        self._taken = {*slots.names, *(leaf.name for leaf in slots.computed), *(companion.name for companion in companions)}
        self._branches = tuple(f"{slot.marker}." for slot in slots.order if isinstance(slot, Branch))

    def row(self, values: tuple[Any, ...], key: str) -> tuple[list[Text], dict[int, bytes]]:
        """Spell values as `field, text, field, text, …` without what is absent.

        Returns:
            The words, and the texts of the mutable leaves by place, for noticing changes later.

        Raises:
            ValidationError: A value does not fit its annotation.
        """
        plan = self.plan(values, key)
        words: list[Any] = [None] * (2 * len(plan.places))
        words[::2] = plan.names
        words[1::2] = values if plan.whole else [values[place] for place in plan.places]
        for position, encode in plan.encoders:
            words[position] = encode(words[position])
        texts: dict[int, bytes] = {}
        for position, place, slot in plan.checked:
            text = words[position] = self.spell(slot, values, place, key)
            if isinstance(slot, Leaf) and slot.codec.mutable:
                texts[place] = as_bytes(text)
        return words, texts

    def plan(self, values: tuple[Any, ...], key: str = "") -> Plan:
        """The plan for values of this shape, made at the first of them; `key` is for the error where that does not fit."""
        shape = tuple(map(type, values))
        plan = self._plans.get(shape)
        if plan is None:
            plan = Plan(self, values, key)
            if len(self._plans) < MOST_PLANS:
                self._plans[shape] = plan
        return plan

    def spell(self, slot: Leaf | Branch, values: tuple[Any, ...], place: int, key: str) -> Any:
        """Spell one value that must be checked first; `None` where nothing is stored for it."""
        value = values[place]
        if value is not None and type(slot) is Leaf and not slot.checked:
            codec = slot.codec
            if type(value) in codec.exact:
                return value if codec.encode is None else codec.encode(value)
        if isinstance(slot, Branch):
            return self._mark(slot, values, place)
        if value is ABSENT or (value is None and slot.optional):
            return NULL if value is None and slot.null else None
        try:
            return slot.codec.spell(slot.codec.check(value))
        except ValidationError as error:
            raise self.invalid(error, slot.name, key) from None
        except (PydanticSerializationError, ValueError) as error:
            raise self.refuse(slot.name, value, str(error), key) from error

    def _mark(self, branch: Branch, values: tuple[Any, ...], place: int) -> str | None:
        """The marker of a nested model: `{}` where it is there and stores nothing, `null` where its absence must be said."""
        if values[place] is None:
            return NULL if branch.null else None
        if values[place] is ABSENT:
            return None
        return None if any(_stores(self.slots.order[i], values[i]) for i in inside(branch, place)) else "{}"

    def invalid(self, error: ValidationError, field: str, key: str) -> ValidationError:
        """Make the error for the value of one field from that of the field's own validator."""
        return misfit(error, f"{self._model.__name__} {key}".rstrip(), (field,))

    def refuse(self, field: str, value: object, message: str, key: str) -> ValidationError:
        """Make the error for a value that cannot be stored."""
        return not_storable(value, message, f"{self._model.__name__} {key}".rstrip(), (field,))

    def lacks(self, field: str, obj: BaseModel) -> ValidationError:
        """Make the error for an object without a field, as `model_construct` and `del` make them."""
        details = InitErrorDetails(type="missing", loc=(field,), input=dict(obj.__dict__))
        return ValidationError.from_exception_data(self._model.__name__, [details])

    def companion(self, companion: Companion, value: Any, key: str) -> Any:
        """Spell the elements: a list of texts, a dict of text to `None` (a set), or a dict of text to score."""
        try:
            if companion.holds(value):
                return companion.texts(value)
            checked = companion.whole.validate_python(value)
            if companion.kind == "zset":
                return dict(zip(companion.codec.spell_many(list(dict.keys(checked))), dict.values(checked), strict=True))
            texts = companion.codec.spell_many(list(checked))
        except ValidationError as error:
            raise self.invalid(error, companion.name, key) from None
        except (PydanticSerializationError, ValueError) as error:
            raise self.refuse(companion.name, value, str(error), key) from error
        return texts if companion.kind == "list" else dict.fromkeys(texts)

    def extra(self, obj: BaseModel, key: str) -> dict[str, bytes]:
        """Spell what a class with `extra="allow"` was given beside its fields, as `extra_text` does.

        Raises:
            ValidationError: A name is taken, or a value has no JSON.
        """
        extra = obj.__pydantic_extra__ or {}
        for name in extra:
            if self.is_taken(name):
                raise self.refuse(name, extra[name], "an extra field must not have the name of a stored one", key)
        texts: dict[str, bytes] = {}
        for name, value in extra.items() if self._extra else ():
            try:
                texts[name] = extra_text(value)
            except (PydanticSerializationError, ValueError) as error:
                raise self.refuse(name, value, str(error), key) from error
        return texts

    def is_taken(self, name: str) -> bool:
        """Whether a hash field of this name cannot be an undeclared one: it is declared, or the library's own."""
        return name in self._taken or name.startswith((":", *self._branches))


def _stores(slot: Leaf | Branch, value: Any) -> bool:
    if value is None:
        return slot.null or (isinstance(slot, Leaf) and not slot.optional)
    return value is not ABSENT


def extra_text(value: Any) -> bytes:
    """Spell an undeclared value: JSON, but bytes that are no text as they are."""
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return value
    return to_json(value)


def misfit(error: ValidationError, title: str, where: tuple[int | str, ...]) -> ValidationError:
    """Make an error about a part of something bigger from that of the part's own validator.

    Args:
        where: The place of the part.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError(cast("Any", line["type"]), cast("Any", line["msg"])),
            loc=(*where, *line["loc"]),
            input=line["input"],
        )
        for line in error.errors(include_url=False, include_context=False)
    ]
    return ValidationError.from_exception_data(title, details)


def not_storable(value: object, message: str, title: str, where: tuple[int | str, ...]) -> ValidationError:
    """Make the error about a part that has no text."""
    kind = PydanticCustomError("not_storable", cast("Any", message))
    return ValidationError.from_exception_data(title, [InitErrorDetails(type=kind, loc=where, input=value)])


def as_bytes(text: Text) -> bytes:
    """The bytes a text is sent as."""
    return text if isinstance(text, bytes) else str(text).encode()

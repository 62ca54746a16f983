"""From text to objects: rows as they lie in Redis become instances, without running the user's validators again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator, from_json

from redisorm.errors import DecodeError

from .annotations import Row, validator
from .layout import Companion, Leaf, Level
from .slots import Slots
from .sortedset import SortedSet

__all__ = ["Decoder"]

M = TypeVar("M", bound=BaseModel)

_decoded = bytes.decode
_CORRECT = ": correct or remove it, or let the field take it"


class Decoder(Generic[M]):
    """Reads the rows of one class.

    Attributes:
        pk_name: The field that is read from the key of a row, or `None` for a class without keys.
    """

    def __init__(self, model: type[M], row: type[Row], slots: Slots, companions: tuple[Companion, ...], pk_name: str | None) -> None:
        self.model = model
        self.names = slots.names
        self._count = len(slots.names)
        self.companions = companions
        self.pk_name = pk_name
        self._level = slots.level
        self._reader: SchemaValidator = validator(row)
        self._in_order = tuple(model.model_fields) if companions else ()
        self._post_init = bool(model.__pydantic_post_init__)
        self._extra = model.model_config.get("extra") == "allow"
        leaves = [slot for slot in slots.order if isinstance(slot, Leaf)]
        self._binary = {leaf.name for leaf in leaves if leaf.codec.binary}
        self._loose = {leaf.name for leaf in leaves if leaf.codec.accepts_text}
        self._flat = not self._binary and len(leaves) == len(slots.order)

    def row(
        self, texts: Sequence[bytes | None], companions: Sequence[Any], key: str, pk_text: str, extra: Mapping[str, bytes] | None = None
    ) -> M:
        """Make an object from the texts of `names` and the replies of its companions.

        Raises:
            DecodeError: A text does not fit its field, or a required field is missing.
        """
        obj = self._decode_row(texts, key, pk_text, extra)
        return self._completed(obj, companions, key) if companions or self._post_init else obj

    def _completed(self, obj: M, companions: Sequence[Any], key: str) -> M:
        """Give an object its companions, and let it know that it is made."""
        if companions:
            values = dict(obj.__dict__)
            for companion, reply in zip(self.companions, companions, strict=True):
                values[companion.name] = self.companion(companion, reply, key)
            object.__setattr__(obj, "__dict__", {name: values[name] for name in self._in_order})
            obj.__pydantic_fields_set__.update(companion.name for companion in self.companions)
        if self._post_init:
            obj.model_post_init(None)
        return obj

    def _decode_row(self, texts: Sequence[bytes | None], key: str, pk_text: str, extra: Mapping[str, bytes] | None) -> M:
        row: dict[str, Any]
        try:
            absent = texts.count(None)
            if self._flat and (absent == 0 or (absent == 1 and texts[self._count :] and texts[self._count] is None)):  # no life of its own
                row = dict(zip(self.names, map(_decoded, texts)))  # type: ignore[arg-type]  # noqa: B905
            elif self._flat:
                row = {name: text.decode() for name, text in zip(self.names, texts) if text is not None}  # noqa: B905 - life and version follow
            else:
                row = self._fold(texts)
        except UnicodeDecodeError:
            raise self._not_text(texts, key) from None
        if self.pk_name is not None:
            row[self.pk_name] = pk_text
        try:
            obj: M = self._reader.validate_strings(row)
        except ValidationError as error:
            obj = self._decode_loosely(row, error, key)
        if self._extra:
            object.__setattr__(obj, "__pydantic_extra__", self.extra(extra or {}))
        return obj

    def _fold(self, texts: Sequence[bytes | None]) -> dict[str, Any]:
        flat = {
            name: text.decode("latin-1" if name in self._binary else "utf-8")
            for name, text in zip(self.names, texts)  # noqa: B905 - life and version follow
            if text is not None
        }
        return _folded(self._level, flat, "")

    def _decode_loosely(self, row: dict[str, Any], error: ValidationError, key: str) -> M:
        """Read again with text that is not JSON taken as text, where a field may be a `str`."""
        again = False
        for line in error.errors(include_url=False, include_context=False):
            name = str(line["loc"][0]) if line["loc"] else ""
            if line["type"] == "json_invalid" and name in self._loose:
                row[name], again = json.dumps(row[name]), True
        if again:
            try:
                return cast("M", self._reader.validate_strings(row))
            except ValidationError as second:
                error = second
        raise self._misfit(error, key) from error

    def _misfit(self, error: ValidationError, key: str) -> DecodeError:
        line = error.errors(include_url=False, include_context=False)[0]
        path = [str(part) for part in line["loc"]]
        field = next((".".join(path[:n]) for n in range(len(path), 0, -1) if ".".join(path[:n]) in self.names), ".".join(path))
        if line["type"] == "missing":
            problem = f"the required field {field!r} is missing"
            return DecodeError(f"{key}: {problem}: write it, or give the field a default", model=self.model, key=key, field=field)
        value = line["input"]
        return DecodeError(
            f"{key}: the stored {field!r} does not fit {self.model.__name__}: {line['msg']}; found {_shortened(value)}{_CORRECT}",
            model=self.model,
            key=key,
            field=field,
            value=value,
        )

    def _not_text(self, texts: Sequence[bytes | None], key: str) -> DecodeError:
        name, text, error = next(
            (name, text, error)
            for name, text in zip(self.names, texts)  # noqa: B905 - life and version follow
            if text is not None and name not in self._binary and (error := _misspelled(text))
        )
        message = f"{key}: the stored {name!r} is not UTF-8 text: {error.reason} at byte {error.start}; found {_shortened(text)}{_CORRECT}"
        return DecodeError(message, model=self.model, key=key, field=name, value=text)

    @staticmethod
    def extra(texts: Mapping[str, bytes]) -> dict[str, Any]:
        """Read the fields beside the declared ones: JSON, or else text, or else the bytes as they are."""
        return {name: _loose_json(text) for name, text in texts.items()}

    def companion(self, companion: Companion, reply: Any, key: str) -> Any:
        """Make a list, set or `SortedSet` from its texts: a list, a set, or a dict of text to score."""
        try:
            values = companion.codec.read_many(list(reply))
            if companion.kind == "zset":
                return SortedSet(zip(values, reply.values(), strict=True))
            return set(values) if companion.kind == "set" else values
        except UnicodeDecodeError as error:
            found, problem = error.object, f"not UTF-8 text: {error.reason}"
        except ValidationError as error:
            line = error.errors(include_url=False, include_context=False)[0]
            found, problem = line["input"], line["msg"]
        where = f"{key}:{companion.name}"
        message = (
            f"{where}: a stored element does not fit {self.model.__name__}.{companion.name}: {problem}; found {_shortened(found)}{_CORRECT}"
        )
        raise DecodeError(message, model=self.model, key=where, field=companion.name, value=found)


def _folded(level: Level, flat: dict[str, str], prefix: str) -> dict[str, Any]:
    row: dict[str, Any] = {leaf.local: flat[prefix + leaf.local] for leaf in level.leaves if prefix + leaf.local in flat}
    for branch in level.branches:
        inner = _folded(branch.level, flat, f"{prefix}{branch.local}.")
        marker = flat.get(prefix + branch.local)
        if inner or marker == "{}":
            row[branch.local] = inner
        elif marker is not None:
            row[branch.local] = marker
    return row


def _loose_json(text: bytes) -> Any:
    """JSON, or else text, or else the bytes as they are."""
    try:
        return from_json(text)
    except ValueError:
        pass
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _misspelled(text: bytes) -> UnicodeDecodeError | None:
    """Why bytes are no text; `None` where they are."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error
    return None


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}… ({len(text)} characters)"

"""One value and its text: how a field of each kind of type is spelled in Redis, and read back exactly.

Scalars are readable text (`30`, `1`, an ISO date, the digits of a Decimal), compound values and unions JSON. A codec is
compiled once per field. Nothing here knows of hashes, keys or rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache, cached_property, partial
from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Json, PlainValidator, SecretBytes, SecretStr, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
from pydantic_core import SchemaSerializer, SchemaValidator, from_json, to_json

from .annotations import members, serializer, split_optional, stored, strip_annotated, validator, words_reader
from .geo import GeoPoint
from .tagged import Tagged, is_ambiguous
from .texts import AS_IT_IS, SPELLINGS, TOGETHER, Text

__all__ = ["Codec", "Text", "codec_of", "element_codec"]

_SCALARS = tuple(SPELLINGS)


@cache
def _reader_of(scalar: type) -> Callable[[list[str]], list[Any]]:
    """How fields of an unconstrained scalar are read: one reader for all of them."""
    return words_reader(scalar)


class Codec:
    """How values of one annotation are spelled, checked and read.

    Attributes:
        reads: The annotation that reads the text, for a validator in strings mode.
        exact: The types whose values need no check before they are spelled: nobody but a validator makes them here.
        spell: The text of a value.
        encode: The same for values of an exact type, or `None` where such a value is its own text.
        mutable: Whether a value can change in place.
        json: Whether the text is JSON.
        binary: Whether the text is bytes of any value rather than Unicode.
        accepts_text: Whether text that is not JSON is read as a `str`, as other programs write it.
        dump: The text of a value that `check` has just returned: faster, since nothing can be wrong with it any more.
    """

    __slots__ = (
        "__dict__",
        "_dumps_alike",
        "accepts_text",
        "binary",
        "dump",
        "encode",
        "exact",
        "json",
        "mutable",
        "reads",
        "spell",
        "stored",
    )

    def __init__(
        self,
        stored: Any,
        reads: Any,
        spell: Callable[[Any], Text],
        *,
        exact: frozenset[type] = frozenset(),
        as_it_is: bool = False,
        mutable: bool = False,
        json: bool = False,
        binary: bool = False,
        accepts_text: bool = False,
        dump: Callable[[Any], bytes] | None = None,
    ) -> None:
        self.stored = stored
        self.reads = reads
        self.spell = spell
        self.exact = exact
        self.encode = None if as_it_is else spell
        self.mutable = mutable
        self.json = json
        self.binary = binary
        self.accepts_text = accepts_text
        self.dump = spell if dump is None else dump
        self._dumps_alike = dump is not None

    @cached_property
    def _checker(self) -> SchemaValidator:
        return validator(self.stored)

    def check(self, value: Any) -> Any:
        """Return the value as its annotation and constraints have it, or raise Pydantic's `ValidationError`."""
        return self._checker.validate_python(value)

    @cached_property
    def _many_checker(self) -> SchemaValidator:
        return validator(list[self.stored])  # type: ignore[name-defined]

    def check_many(self, values: list[Any]) -> list[Any]:
        """Check many values in one call."""
        checked: list[Any] = self._many_checker.validate_python(values)
        return checked

    @cached_property
    def _many_dumper(self) -> SchemaSerializer:
        return serializer(list[Annotated[self.stored, Json]])  # type: ignore[name-defined]

    def dump_many(self, values: list[Any]) -> list[Text]:
        """Spell many values that `check_many` has just returned; where they are JSON, in one call."""
        if not self._dumps_alike:
            return list(map(self.dump, values))
        texts: list[Text] = self._many_dumper.to_python(values, mode="json", round_trip=True)
        return texts

    def spell_checked(self, values: list[Any]) -> list[Text]:
        """Check and spell many values of which nobody knows whether they fit; where they are JSON, in two calls.

        Raises:
            ValidationError: One does not fit the annotation.
            ValueError: One has no text.
        """
        checked = self.check_many(values)
        if not self._dumps_alike:
            return list(map(self.spell, checked))
        texts: list[str] = self._many_dumper.to_python(checked, mode="json", round_trip=True, warnings="error")
        return list(map(str.encode, texts))

    def text(self, value: Any) -> str:
        """The text of a value, decoded."""
        text = self.spell(value)
        return text.decode("latin-1" if self.binary else "utf-8") if isinstance(text, bytes) else str(text)

    def spell_many(self, values: Sequence[Any]) -> list[bytes]:
        """Spell many values of the annotation, as the bytes they are sent as."""
        if self.stored is str and set(map(type, values)) <= {str}:
            return list(map(str.encode, values))
        texts = map(self.spell, values)
        return [text if isinstance(text, bytes) else str(text).encode() for text in texts]

    def encode_many(self, kind: type, values: Sequence[Any]) -> Iterable[Text]:
        """Spell many values that are all of one exact type."""
        together = TOGETHER.get((kind, self.spell))
        if together is not None:
            return together(values)
        return values if self.encode is None else map(self.encode, values)

    @cached_property
    def read_words(self) -> Callable[[list[str]], list[Any]]:
        """Read many texts that are decoded; `ValidationError` where one does not fit."""
        return _reader_of(self.reads) if self.reads in _SCALARS else words_reader(self.reads)

    def read_many(self, texts: Sequence[bytes]) -> list[Any]:
        """Read many texts in one call; `ValidationError` or `UnicodeDecodeError` where one does not fit."""
        if self.binary and self.encode is None:
            return [bytes(text) for text in texts]
        return self.read_decoded([text.decode("latin-1") for text in texts] if self.binary else list(map(bytes.decode, texts)))

    def read_decoded(self, words: list[str]) -> list[Any]:
        """Read many texts that are Unicode."""
        return words if self.stored is str else self.read_words(words)


def codec_of(annotation: Any, *, inline: bool = False, raw_enums: bool = False) -> Codec:
    """Compile the codec of a stored annotation that has no `None` at its top.

    Raises:
        PydanticSchemaGenerationError: Pydantic does not know the type, so nobody could read it back.
    """
    bare = strip_annotated(annotation)
    if inline:
        return _json_codec(annotation)
    if bare in SPELLINGS:
        return _scalar_codec(annotation, bare)
    if get_origin(bare) is Literal:
        return _choice_codec(annotation, get_args(bare), raw_enums=raw_enums)
    if isinstance(bare, type):
        if issubclass(bare, Enum):
            return _choice_codec(annotation, tuple(bare), raw_enums=raw_enums)
        if issubclass(bare, (SecretStr, SecretBytes)):
            return _secret_codec(annotation, bare)
        for kind in (str, int, float, Decimal, UUID):
            if issubclass(bare, kind):
                return Codec(annotation, annotation, SPELLINGS[kind], exact=frozenset((bare,)))
        if not issubclass(bare, BaseModel) and _is_text(annotation):
            write: SchemaSerializer = serializer(annotation)
            return Codec(annotation, annotation, lambda value: str(write.to_python(value, mode="json")), exact=frozenset((bare,)))
    return _json_codec(annotation)


def _scalar_codec(annotation: Any, kind: type) -> Codec:
    spell = SPELLINGS[kind]
    if kind is bytes:  # text that comes from the driver is decoded as latin-1, which keeps every byte
        reads = Annotated[bytes, PlainValidator(lambda text: text.encode("latin-1"))]
        return Codec(annotation, reads, spell, exact=frozenset((bytes,)), as_it_is=True, binary=True)
    return Codec(annotation, annotation, spell, exact=frozenset((kind,)), as_it_is=kind in AS_IT_IS)


def _secret_codec(annotation: Any, kind: type[SecretStr | SecretBytes]) -> Codec:
    reads = annotation
    if issubclass(kind, SecretBytes):
        reads = Annotated[kind, BeforeValidator(lambda text: text.encode("latin-1"))]
    return Codec(annotation, reads, lambda value: value.get_secret_value(), exact=frozenset((kind,)), binary=issubclass(kind, SecretBytes))


def _choice_text(value: Any) -> Text:
    plain = value.value if isinstance(value, Enum) else value
    return SPELLINGS[type(plain)](plain) if type(plain) in SPELLINGS else ""


def _choice_codec(annotation: Any, choices: tuple[Any, ...], *, raw_enums: bool) -> Codec:
    """An enum or a literal: the text of the value, where every value has one of its own; else JSON."""
    texts = [_choice_text(choice) for choice in choices]
    words = [text.decode("latin-1") if isinstance(text, bytes) else text for text in texts]
    scalars = all(type(choice.value if isinstance(choice, Enum) else choice) in SPELLINGS for choice in choices)
    if not scalars or len(set(words)) < len(words):
        return _json_choice_codec(annotation, choices, raw_enums=raw_enums)
    by_text = {word: _chosen(choice, raw_enums=raw_enums) for word, choice in zip(words, choices, strict=True)}

    def read(text: str) -> Any:
        try:
            return by_text[text]
        except KeyError:
            raise ValueError(f"not one of {', '.join(map(repr, by_text))}") from None

    binary = any(isinstance(text, bytes) for text in texts)
    exact = frozenset(map(type, by_text.values()))
    return Codec(annotation, Annotated[Any, PlainValidator(read)], _choice_text, exact=exact, binary=binary)


def _chosen(choice: Any, *, raw_enums: bool) -> Any:
    return choice.value if raw_enums and isinstance(choice, Enum) else choice


def _json_choice_codec(annotation: Any, choices: tuple[Any, ...], *, raw_enums: bool) -> Codec:
    """The same where values are no scalars, or two have one text: each is known by the JSON of its value.

    Raises:
        PydanticSchemaGenerationError: A value has no JSON, or two have the same.
    """

    def spell(value: Any) -> bytes:
        return to_json(value.value if isinstance(value, Enum) else value)

    try:
        by_json = {spell(choice): _chosen(choice, raw_enums=raw_enums) for choice in choices}
    except ValueError as error:
        raise PydanticSchemaGenerationError(f"a value of it has no JSON: {error}") from error
    if len(by_json) < len(choices):
        raise PydanticSchemaGenerationError("two of its values have the same JSON")

    def read(text: str) -> Any:
        try:
            return by_json[to_json(from_json(text))]
        except (KeyError, ValueError):
            raise ValueError(f"not one of {', '.join(repr(as_text.decode()) for as_text in by_json)}") from None

    exact = frozenset(map(type, by_json.values()))
    return Codec(annotation, Annotated[Any, PlainValidator(read)], spell, exact=exact, json=True)


def _is_text(annotation: Any) -> bool:
    """Whether Pydantic spells the type as one text in JSON: URLs, IP addresses, paths, patterns and their like."""
    try:
        return TypeAdapter(annotation).json_schema(mode="serialization").get("type") == "string"
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return False


def _is_immutable(annotation: Any) -> bool:
    bare = strip_annotated(annotation)
    if bare in SPELLINGS or bare in (type(None), GeoPoint) or get_origin(bare) is Literal:
        return True
    parts = members(bare)
    if len(parts) > 1:
        return all(map(_is_immutable, parts))
    if get_origin(bare) in (tuple, frozenset):
        return all(_is_immutable(argument) for argument in get_args(bare) if argument is not Ellipsis)
    return isinstance(bare, type) and issubclass(bare, (Enum, UUID, str, int, float))


def _json_codec(annotation: Any) -> Codec:
    write = serializer(annotation)

    spell: Callable[[Any], Text] = partial(write.to_json, warnings="error", round_trip=True)
    bare = strip_annotated(annotation)
    parts = [strip_annotated(part) for part in members(bare)]
    reads: Any = Annotated[annotation, Json]
    union = len(parts) > 1
    dump: Callable[[Any], bytes] | None = partial(write.to_json, round_trip=True)
    if is_ambiguous(annotation):
        dump = None
        tagged = Tagged(annotation if union else None, spell, reads)
        spell, reads = tagged.spell, tagged.reads
    scalars = frozenset(part for part in parts if part in SPELLINGS)
    exact = scalars if union and len(scalars) == len(parts) else frozenset()
    accepts_text = str in parts or bare is Any
    return Codec(
        annotation, reads, spell, exact=exact, json=True, mutable=not _is_immutable(annotation), accepts_text=accepts_text, dump=dump
    )


def element_codec(annotation: Any) -> Codec:
    """The codec of an element of a companion: as of a field, but `None` is spelled (as JSON `null`), since nothing can be absent."""
    inner, optional = split_optional(annotation)
    return _json_codec(stored(annotation)) if optional or inner is Any else codec_of(stored(annotation))

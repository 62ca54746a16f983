"""What an annotation stores: a type without the user's own validators and serializers, and what it is made of.

A validator that hashes a password must not run again on what is loaded, and a serializer that masks a secret must not
decide what is stored. So a class is read and written through *documents*: models with the same annotations and
constraints but none of the user's functions, whose core schemas make instances of the user's own classes.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, ForwardRef, Literal, TypeVar, Union, cast, get_args, get_origin

import pydantic
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainSerializer, RootModel, TypeAdapter, create_model
from pydantic import Field as PydanticField
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticUndefined, SchemaSerializer, SchemaValidator

from .fields import FieldOptions, unalias

__all__ = [
    "DOCUMENT",
    "Row",
    "members",
    "row_class",
    "serializer",
    "split_optional",
    "stored",
    "stored_field",
    "strip_annotated",
    "validator",
    "words_reader",
]

DOCUMENT = ConfigDict(
    ser_json_bytes="base64",
    val_json_bytes="base64",
    ser_json_inf_nan="constants",
    protected_namespaces=(),
    revalidate_instances="always",
)
"""How JSON text is written and read: bytes as base64, floats exactly, infinities and NaN as they are."""

_OF_INPUT: tuple[Any, ...] = (
    pydantic.AfterValidator,
    pydantic.BeforeValidator,
    pydantic.PlainValidator,
    pydantic.WrapValidator,
    pydantic.PlainSerializer,
    pydantic.WrapSerializer,
    FieldOptions,
    pydantic.Strict,
    pydantic.Json,
)
"""Metadata for what a user gives: functions, strictness and JSON wrapping say nothing of what is stored."""


class _Zone:
    """That a datetime must have an offset, or must have none."""

    def __init__(self, constraint: Literal["aware", "naive"]) -> None:
        self._constraint = constraint

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = {**handler(source), "tz_constraint": self._constraint}
        return cast("CoreSchema", schema)


_REPLACED: dict[Any, Any] = {
    # checks against the clock, or of a mailbox, belong to input: a date that was in the future need not stay there
    pydantic.FutureDate: date,
    pydantic.PastDate: date,
    pydantic.FutureDatetime: datetime,
    pydantic.PastDatetime: datetime,
    pydantic.EmailStr: str,
    # which at run time are no datetimes, and so would be in no order
    pydantic.AwareDatetime: Annotated[datetime, _Zone("aware")],
    pydantic.NaiveDatetime: Annotated[datetime, _Zone("naive")],
    # their serializers mask the value
    pydantic.SecretStr: Annotated[pydantic.SecretStr, PlainSerializer(pydantic.SecretStr.get_secret_value)],
    pydantic.SecretBytes: Annotated[pydantic.SecretBytes, PlainSerializer(pydantic.SecretBytes.get_secret_value)],
}


class Row(BaseModel):
    """The base of all documents. Its core schema makes instances of the class it stands for."""

    model_config = DOCUMENT
    stands_for: ClassVar[type[BaseModel]] = BaseModel
    alone: ClassVar[bool] = False

    def __init_subclass__(cls, stands_for: type[BaseModel], alone: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.stands_for = stands_for
        cls.alone = alone

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        model: dict[str, Any] = handler.resolve_ref_schema(schema)  # type: ignore[assignment]
        model["cls"] = cls.stands_for
        post_init = getattr(cls.stands_for, "__pydantic_post_init__", None)
        if post_init and not cls.alone:  # the mapper itself calls it, when the companions are there too
            model["post_init"] = post_init
        return schema


def validator(annotation: Any) -> SchemaValidator:
    """Compile a validator. Never with the prebuilt parts of the user's classes, which run the user's functions."""
    adapter: TypeAdapter[Any] = _adapter(annotation)
    return SchemaValidator(adapter.core_schema, DOCUMENT, _use_prebuilt=False)  # type: ignore[arg-type]


def serializer(annotation: Any) -> SchemaSerializer:
    """Compile a serializer, likewise."""
    adapter: TypeAdapter[Any] = _adapter(annotation)
    return SchemaSerializer(adapter.core_schema, DOCUMENT, _use_prebuilt=False)  # type: ignore[arg-type]


_ALIKE = frozenset(("str", "int", "float", "bool", "decimal", "date", "time", "datetime", "timedelta", "uuid", "json"))
"""Core schemas that read a text the same in Python mode and in strings mode, in which rows are read."""


def words_reader(annotation: Any) -> Callable[[list[str]], list[Any]]:
    """Compile the reading of many texts in one call, each as a field of a row would be read."""
    many: Any = _adapter(list[annotation]).core_schema
    schema = (many["schema"] if many["type"] == "definitions" else many).get("items_schema", {})
    if schema.get("type") in _ALIKE or (schema.get("type") == "function-plain" and schema["function"]["type"] == "no-info"):
        read: Callable[[list[str]], list[Any]] = validator(list[annotation]).validate_python
        return read
    by_name = validator(dict[str, annotation])

    def read_strings(words: list[str]) -> list[Any]:
        named: dict[str, Any] = dict(zip(map(str, range(len(words))), words, strict=True))
        return list(by_name.validate_strings(named).values())

    return read_strings


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=DOCUMENT)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # a model, dataclass or typed dict brings its own configuration


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; a tuple of the annotation alone where it is none."""
    annotation = unalias(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def strip_annotated(annotation: Any) -> Any:
    """The annotation inside all `Annotated` layers and aliases."""
    annotation = unalias(annotation)
    while get_origin(annotation) is Annotated:
        annotation = unalias(get_args(annotation)[0])
    return annotation


def split_optional(annotation: Any) -> tuple[Any, bool]:
    """Take `None` out of a union: what remains, and whether it was there. `Any` may be `None` and remains itself."""
    annotation = unalias(annotation)
    if annotation is Any or annotation is None or annotation is type(None):
        return Any, True
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        inner, optional = split_optional(inner)
        return _with(inner, tuple(metadata)), optional
    if get_origin(annotation) is Literal and None in get_args(annotation):
        return Literal[tuple(value for value in get_args(annotation) if value is not None)], True
    parts = members(annotation)
    rest = tuple(part for part in parts if part is not type(None))
    if len(rest) == len(parts):
        return annotation, False
    return (Union[rest] if rest else Any), True  # noqa: UP007 - a union of a tuple has no other spelling


def _is_document(annotation: Any) -> bool:
    """Whether a class is an ordinary model: one whose schema Pydantic makes, and nothing of its own."""
    if (
        not (isinstance(annotation, type) and issubclass(annotation, BaseModel))
        or issubclass(annotation, RootModel)
        or annotation is BaseModel
    ):
        return False
    schema_of: Any = annotation.__get_pydantic_core_schema__
    return schema_of.__func__.__module__ in ("pydantic.main", f"{__package__}.base")


_documents: dict[type[BaseModel], type[Row]] = {}
_unfinished: dict[type[BaseModel], str] = {}


def stored(annotation: Any) -> Any:
    """Rewrite an annotation to what is stored of it: without the user's functions, with documents for models."""
    annotation = unalias(annotation)
    if isinstance(annotation, TypeVar):
        return stored(annotation.__bound__) if annotation.__bound__ else Any
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None and annotation in _replaced_keys:  # what has an origin may have no hash
        return _REPLACED[annotation]
    if _is_document(annotation):
        return _document(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        return Union[tuple(stored(member) for member in arguments)]  # noqa: UP007 - as above
    if origin is None or origin is Literal or not arguments or isinstance(arguments[0], list):
        return annotation
    rewritten = tuple(argument if argument is Ellipsis else stored(argument) for argument in arguments)
    return annotation if rewritten == arguments else origin[rewritten]


_replaced_keys = frozenset(_REPLACED)


def _annotated(inner: Any, metadata: tuple[Any, ...]) -> Any:
    kept = tuple(_kept(metadata))
    plain = any(isinstance(item, (pydantic.PlainValidator, pydantic.WrapValidator)) for item in metadata)
    if plain and not _mappable(inner):
        return _with(inner, metadata)  # the functions are what makes this type known to Pydantic at all
    return _with(stored(inner), kept)


def _with(annotation: Any, metadata: tuple[Any, ...]) -> Any:
    """An annotation with metadata; itself where there is none."""
    parts = (annotation, *metadata)
    return Annotated[parts] if metadata else annotation


def _mappable(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return False
    return True


def _kept(metadata: Any) -> Iterator[Any]:
    """The metadata that says what a value is: constraints, but no functions, no strictness, no JSON wrapping."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _kept(item.metadata)
            if item.discriminator is not None:
                yield PydanticField(discriminator=item.discriminator)
        elif not isinstance(item, _OF_INPUT) and item is not pydantic.Json:
            yield item


def stored_field(info: FieldInfo) -> Any:
    """The stored annotation of a field with the constraints given beside it."""
    metadata = tuple(info.metadata)
    if info.discriminator is not None:
        metadata = (*metadata, PydanticField(discriminator=info.discriminator))
    return _annotated(info.annotation, metadata)


def row_class(model: type[BaseModel], fields: dict[str, Any], *, alone: bool = False) -> type[Row]:
    """Make the document of a model from annotations; each field keeps its default.

    One that is `alone` reads the hash of a row: its instances are not finished yet, so `model_post_init` waits.
    """
    definitions: dict[str, Any] = {}
    for name, annotation in fields.items():
        info = model.model_fields[name]
        default: dict[str, Any] = {}
        if info.default_factory is not None:
            default["default_factory"] = info.default_factory
        elif info.default is not PydanticUndefined:
            default["default"] = info.default
        elif split_optional(info.annotation)[1]:
            default["default"] = None  # an absent field is None where it may be
        definitions[name] = (annotation, PydanticField(**default))
    config = DOCUMENT.copy()
    if "use_enum_values" in model.model_config:
        config["use_enum_values"] = model.model_config["use_enum_values"]
    if model.model_config.get("extra") == "allow":  # "forbid" is a rule for input; what lies in a row beside the fields is none of ours
        config["extra"] = "allow"
    options = {"stands_for": model, "alone": alone}
    base = types.new_class("StoredRow", (Row,), options, lambda body: body.update(model_config=config, __module__=__name__))
    return create_model(model.__name__, __base__=base, __cls_kwargs__=options, **definitions)


def _document(model: type[BaseModel]) -> Any:
    """The document of a nested model, made once; inside its own definition a forward reference to it."""
    if model in _documents:
        return _documents[model]
    if model in _unfinished:
        return ForwardRef(_unfinished[model])
    outermost = not _unfinished
    _unfinished[model] = (
        f"Document{len(_unfinished)}Of{model.__name__}".replace("[", "_").replace("]", "_").replace(",", "_").replace(" ", "")
    )
    try:
        model.model_rebuild()
        _documents[model] = row_class(model, {name: stored_field(info) for name, info in model.model_fields.items()})
        if outermost:
            namespace = {name: _documents[made] for made, name in _unfinished.items()}
            for made in _unfinished:
                _documents[made].model_rebuild(force=True, _types_namespace=namespace)
    except BaseException:
        for made in _unfinished:
            _documents.pop(made, None)
        raise
    finally:
        if outermost:
            _unfinished.clear()
    return _documents[model]

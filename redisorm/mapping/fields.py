"""`Field`: Pydantic's `Field` with the options of a mapper, and how they are found again in a class.

Pydantic's `FieldInfo` is final, so the options travel in its `metadata`, where JSON schemas never look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import timedelta
from types import EllipsisType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, TypeVar, Union, get_args, get_origin, overload

from pydantic import AliasChoices, AliasPath
from pydantic import Field as PydanticField
from pydantic.fields import FieldInfo
from pydantic.types import Discriminator
from pydantic_core import PydanticUndefined
from typing_extensions import Unpack

__all__ = ["Field", "FieldOptions", "IndexKind", "options_in", "options_of", "unalias"]

T = TypeVar("T")

IndexKind = Literal["lex", "geo"]


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What a mapper wants to know of a field beyond Pydantic. `None` means: not said."""

    primary_key: bool | None = None
    index: bool | IndexKind | None = None
    unique: bool | None = None
    inline: bool | None = None
    ttl: float | timedelta | None = None


class PydanticOptions(TypedDict, total=False):
    """The options of Pydantic's own `Field`, with Pydantic's meanings."""

    alias: str | None
    alias_priority: int | None
    validation_alias: str | AliasPath | AliasChoices | None
    serialization_alias: str | None
    title: str | None
    description: str | None
    examples: list[Any] | None
    exclude: bool | None
    discriminator: str | Discriminator | None
    deprecated: str | bool | None
    json_schema_extra: dict[str, Any] | Callable[[dict[str, Any]], None] | None
    frozen: bool | None
    validate_default: bool | None
    repr: bool
    kw_only: bool | None
    pattern: str | None
    strict: bool | None
    coerce_numbers_to_str: bool | None
    gt: Any
    ge: Any
    lt: Any
    le: Any
    multiple_of: float | None
    allow_inf_nan: bool | None
    max_digits: int | None
    decimal_places: int | None
    min_length: int | None
    max_length: int | None
    union_mode: Literal["smart", "left_to_right"]
    fail_fast: bool | None


if TYPE_CHECKING:
    # A call without a default is a required argument for type checkers; each overload below is one way to have one.
    @overload
    def Field(
        default: EllipsisType,
        *,
        primary_key: bool = ...,
        index: bool | IndexKind = ...,
        unique: bool = ...,
        inline: bool = ...,
        ttl: float | timedelta | None = ...,
        **options: Unpack[PydanticOptions],
    ) -> Any: ...
    @overload
    def Field(
        default: T,
        *,
        primary_key: bool = ...,
        index: bool | IndexKind = ...,
        unique: bool = ...,
        inline: bool = ...,
        ttl: float | timedelta | None = ...,
        **options: Unpack[PydanticOptions],
    ) -> T: ...
    @overload
    def Field(
        *,
        default_factory: Callable[[], T] | Callable[[dict[str, Any]], T],
        primary_key: bool = ...,
        index: bool | IndexKind = ...,
        unique: bool = ...,
        inline: bool = ...,
        ttl: float | timedelta | None = ...,
        **options: Unpack[PydanticOptions],
    ) -> T: ...
    @overload
    def Field(
        *,
        init: Literal[False],
        primary_key: bool = ...,
        index: bool | IndexKind = ...,
        unique: bool = ...,
        inline: bool = ...,
        ttl: float | timedelta | None = ...,
        **options: Unpack[PydanticOptions],
    ) -> Any: ...
    @overload
    def Field(
        *,
        primary_key: bool = ...,
        index: bool | IndexKind = ...,
        unique: bool = ...,
        inline: bool = ...,
        ttl: float | timedelta | None = ...,
        **options: Unpack[PydanticOptions],
    ) -> Any: ...


def Field(  # noqa: N802 - the name is Pydantic's
    default: Any = PydanticUndefined,
    *,
    primary_key: bool | None = None,
    index: bool | IndexKind | None = None,
    unique: bool | None = None,
    inline: bool | None = None,
    ttl: float | timedelta | None = None,
    **options: Any,
) -> Any:
    """Declare a field, as a default or inside `Annotated`, with Pydantic's options and these.

    Args:
        default: The default; without one the field is required.
        primary_key: The field is the primary key. Not needed for a field named `id`.
        index: `True` for equality (and order of numbers and times), `"lex"` or `"geo"`.
        unique: No two rows have the same value; `None` is not checked.
        inline: A `list`, `set`, `SortedSet` or nested model is JSON text in the hash instead of keys or fields of its own.
        ttl: The life of this one hash field, in seconds or as `timedelta`; needs a server with HPEXPIREAT
            (Redis 7.4, Valkey 9.0).
        **options: Everything Pydantic's `Field` takes.
    """
    info = PydanticField(default, **options)
    info.metadata.append(FieldOptions(primary_key=primary_key, index=index, unique=unique, inline=inline, ttl=ttl))
    return info


def unalias(annotation: Any) -> Any:
    """Return what stands behind a `type` statement; anything else as it is."""
    while hasattr(annotation, "__value__") and type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    return annotation


def _metadata(annotation: Any) -> Iterator[Any]:
    """All metadata of an annotation, through optional and annotated layers but not into containers."""
    annotation = unalias(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        for item in metadata:
            if isinstance(item, FieldInfo):
                yield from item.metadata
            else:
                yield item
        yield from _metadata(inner)
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _metadata(member)


def options_of(info: FieldInfo) -> FieldOptions:
    """Collect the options of a field from wherever they were given; the outermost that says something wins."""
    return _merged([*info.metadata, *_metadata(info.annotation)])


def options_in(annotation: Any) -> FieldOptions:
    """Collect the options inside an annotation, as of what a computed field returns."""
    return _merged(_metadata(annotation))


def _merged(metadata: Iterable[Any]) -> FieldOptions:
    said: dict[str, Any] = {}
    for options in (item for item in metadata if isinstance(item, FieldOptions)):
        for option in fields(FieldOptions):
            value = getattr(options, option.name)
            if value is not None:
                said.setdefault(option.name, value)
    return FieldOptions(**said)

"""Where the parts of an object lie: leaves (one hash field each), branches (nested models) and companions (keys of their own).

Made once per class from its annotations, and the place where what cannot be mapped is refused. It knows field names and
codecs, but neither objects nor keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator

from redisorm.errors import MappingError

from .annotations import Row, members, row_class, split_optional, stored, stored_field, strip_annotated, validator
from .codec import Codec, codec_of, element_codec
from .fields import FieldOptions, options_in, options_of
from .sortedset import SortedSet

__all__ = ["NULL", "Branch", "Companion", "CompanionKind", "Declared", "Leaf", "Level", "lay_out", "seconds_ms"]

CompanionKind = Literal["list", "set", "zset"]
_COMPANIONS: dict[Any, CompanionKind] = {list: "list", set: "set", SortedSet: "zset"}
NULL = "null"
"""The text of `None` in a field where absence means another default."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One hash field.

    Attributes:
        name: The hash field, dotted inside nested models.
        local: The name of the attribute that holds the value.
        optional: Whether the value may be `None`.
        null: Whether `None` is stored as the text `null`, since absence means another default.
        checked: Whether nothing has validated an assignment, so that the value is checked before it is written.
        ttl_ms: The life of the hash field of its own, or `None`.
    """

    name: str
    local: str
    codec: Codec
    optional: bool
    null: bool
    checked: bool
    ttl_ms: int | None
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Companion:
    """One key beside the hash: a list, a set or a sorted set.

    Attributes:
        whole: Checks a value of the field.
        plain: Whether any list, or set, of texts is one, so that nothing has to be checked where it is.
    """

    name: str
    kind: CompanionKind
    codec: Codec
    whole: SchemaValidator
    plain: bool = False

    @property
    def collection(self) -> type[list[Any] | set[Any]]:
        """The type of a value that needs no check."""
        return list if self.kind == "list" else set

    def holds(self, value: Any) -> bool:
        """Whether a value is surely one that needs no check."""
        return self.plain and type(value) is self.collection and set(map(type, value)) <= {str}

    def texts(self, elements: Iterable[str]) -> list[bytes] | dict[bytes, None]:
        """The texts of such a value, as they are kept.

        Raises:
            UnicodeEncodeError: One has no UTF-8 form.
        """
        return list(map(str.encode, elements)) if self.kind == "list" else dict.fromkeys(map(str.encode, elements))


@dataclass(frozen=True, slots=True)
class Declared:
    """A field with `index=` or `unique=`.

    Attributes:
        absent: The value that a row without the hash field has; `None` for none.
        where: Where it stands, for errors.
    """

    part: Leaf | Companion
    options: FieldOptions
    absent: Any
    where: str


@dataclass(slots=True)
class Level:
    """The fields of one model: of the class itself, or of a model nested in it."""

    model: type[BaseModel]
    leaves: list[Leaf] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    companions: list[Companion] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)

    def every_declared(self) -> Iterator[Declared]:
        """The indexed and unique fields of this level and of all below. Inside an optional model nothing is there by default."""
        yield from self.declared
        for branch in self.branches:
            for one in branch.level.every_declared():
                yield replace(one, absent=None) if branch.optional else one


@dataclass(frozen=True, slots=True)
class Branch:
    """A nested model stored as dotted fields. Its `marker` field is there where the model stores nothing else."""

    marker: str
    local: str
    level: Level
    optional: bool
    null: bool


def seconds_ms(ttl: float | timedelta, owner: str) -> int:
    """Turn a life in seconds or as `timedelta` into whole milliseconds; zero or less is a `ValueError`."""
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{owner}: ttl {ttl!r} must be a number of seconds or a timedelta")
    milliseconds = round(seconds * 1000) if abs(seconds) < float("inf") else 0
    if milliseconds <= 0 or milliseconds > 2**52:
        raise ValueError(f"{owner}: ttl {ttl!r} must be longer than zero and finite")
    return milliseconds


def lay_out(model: type[BaseModel], *, flat: bool = False) -> tuple[Level, type[Row]]:
    """Lay out a class whose annotations are resolved, and make the document that reads its hash.

    A class that is `flat` has no keys beside its fields: all collections are JSON text in a field.
    """
    return _level(model, model, prefix="", flat=flat)


def _level(owner: type[BaseModel], model: type[BaseModel], *, prefix: str, flat: bool) -> tuple[Level, type[Row]]:
    level, reads = Level(model), {}
    for name, info in model.model_fields.items():
        where = f"{owner.__name__}.{prefix}{name}"
        try:
            if flat or not _companion(level, name, info, where, nested=bool(prefix)):
                reads[name] = _leaf_or_branch(owner, level, name, info, prefix=prefix, flat=flat)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
            raise MappingError(
                f"{where}: {info.annotation!r} cannot be stored, since Pydantic does not know how to read it back: "
                f"{error.message.splitlines()[0]}",
                model=owner,
                field=prefix + name,
            ) from error
    if not prefix:
        _computed(model, level)
    row = row_class(model, reads, alone=not prefix)
    return level, row


def _refuse(owner: type[BaseModel], where: str, message: str) -> MappingError:
    return MappingError(f"{where}: {message}", model=owner, field=where.partition(".")[2])


def _companion(level: Level, name: str, info: FieldInfo, where: str, *, nested: bool) -> bool:
    """Take in a field that is a key of its own; `False` where it is none."""
    options = options_of(info)
    annotation, optional = split_optional(info.annotation)
    bare = strip_annotated(annotation)
    kind = _COMPANIONS.get(get_origin(bare) or bare)
    if kind is None or options.inline:
        return False
    if optional:
        raise _refuse(
            level.model,
            where,
            f"a {kind} companion cannot be optional, since an absent key is an empty one: give it an empty default, or inline=True",
        )
    if nested:
        raise _refuse(
            level.model, where, f"a nested model cannot have companion keys of its own ({kind}): Field(inline=True) stores it as JSON text"
        )
    if options.primary_key or options.unique:
        raise _refuse(level.model, where, "a companion cannot be the primary key or unique; take a text, a number, a date or a UUID")
    if options.ttl is not None:
        raise _refuse(level.model, where, "a companion cannot have a life of its own; it lives as long as its row")
    whole = stored_field(info)
    element = (get_args(bare) or (Any,))[0]
    plain = info.annotation in (list[str], set[str]) and all(isinstance(one, FieldOptions) for one in info.metadata)
    companion = Companion(name, kind, element_codec(element), validator(whole), plain)
    level.companions.append(companion)
    if options.index:
        level.declared.append(Declared(companion, options, None, where))
    return True


def _leaf_or_branch(owner: type[BaseModel], level: Level, name: str, info: FieldInfo, *, prefix: str, flat: bool) -> Any:
    where = f"{owner.__name__}.{prefix}{name}"
    options = options_of(info)
    annotation, optional = split_optional(info.annotation)
    bare = strip_annotated(annotation)
    null = optional and not info.is_required() and not (info.default is None and info.default_factory is None)
    if not options.inline and _nests(bare) and not _reaches(bare, bare):
        if options.primary_key or options.index or options.unique:
            raise _refuse(
                owner, where, "a nested model cannot be the primary key, indexed or unique: mark one of its fields, or give it inline=True"
            )
        if options.ttl is not None:
            raise _refuse(owner, where, "a nested model is several hash fields and cannot have a life of its own: inline=True makes it one")
        sub, row = _level(owner, bare, prefix=f"{prefix}{name}.", flat=flat)
        level.branches.append(Branch(prefix + name, name, sub, optional, null))
        return Annotated[row | None, BeforeValidator(_none_of_null)] if null else row
    if prefix and options.primary_key:
        raise _refuse(owner, where, "a field of a nested model cannot be the primary key; take a field of the class itself")
    leaf = _leaf(owner, where, name, info, options, prefix=prefix, optional=optional, null=null)
    level.leaves.append(leaf)
    if options.index or options.unique:
        absent = None if info.is_required() or info.default_factory is not None else info.default
        level.declared.append(Declared(leaf, options, absent, where))
    return Annotated[leaf.codec.reads | None, BeforeValidator(_none_of_null)] if null else leaf.codec.reads


def _none_of_null(text: Any) -> Any:
    return None if text == NULL else text


def _leaf(
    owner: type[BaseModel], where: str, name: str, info: FieldInfo, options: FieldOptions, *, prefix: str, optional: bool, null: bool
) -> Leaf:
    annotation, _ = split_optional(stored_field(info))
    codec = codec_of(annotation, inline=bool(options.inline), raw_enums=bool(owner.model_config.get("use_enum_values")))
    if null and _may_be_null(codec):
        raise _refuse(
            owner,
            where,
            "its None would be stored as the text 'null', which it may also hold: make None the default, or the field not optional",
        )
    ttl_ms = None
    if options.ttl is not None:
        if info.is_required():
            raise _refuse(owner, where, "a field with a life of its own needs a default, for when it has expired")
        if options.primary_key or options.index or options.unique:
            raise _refuse(owner, where, "a field with a life of its own cannot be a key, indexed or unique")
        try:
            ttl_ms = seconds_ms(options.ttl, where)
        except (TypeError, ValueError) as error:
            raise _refuse(owner, where, str(error)) from error
    return Leaf(prefix + name, name, codec, optional, null, bool(prefix) or codec.mutable, ttl_ms)


def _may_be_null(codec: Codec) -> bool:
    """Whether a value of the codec could be spelled `null`."""
    return codec.binary or (not codec.json and any(issubclass(kind, str) for kind in codec.exact))


def _nests(bare: Any) -> bool:
    rewritten = stored(bare) if isinstance(bare, type) and issubclass(bare, BaseModel) else None
    return isinstance(rewritten, type) and issubclass(rewritten, Row)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    bare = strip_annotated(annotation)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        yield bare
    for part in members(bare) if len(members(bare)) > 1 else get_args(bare):
        if not isinstance(part, (str, int, list)) and part is not Ellipsis:
            yield from _models_in(part)


def _reaches(model: type[BaseModel], goal: type[BaseModel], seen: frozenset[type] = frozenset()) -> bool:
    """Whether a model contains itself, however deep: such a one is stored as JSON."""
    model.model_rebuild()
    for info in model.model_fields.values():
        for inner in _models_in(info.annotation):
            if inner is goal or (inner not in seen and _reaches(inner, goal, seen | {inner})):
                return True
    return False


def _computed(model: type[BaseModel], level: Level) -> None:
    """Computed fields are stored for other readers and never read back."""
    for name, computed in model.model_computed_fields.items():
        annotation, _ = split_optional(computed.return_type)
        leaf = Leaf(name, name, codec_of(stored(annotation)), optional=True, null=False, checked=True, ttl_ms=None, computed=True)
        level.leaves.append(leaf)
        options = options_in(computed.return_type)
        if options.index or options.unique:
            level.declared.append(Declared(leaf, options, None, f"{model.__name__}.{name}"))

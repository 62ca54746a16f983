"""Live structures as fields: `followers: RedisSet[int] = Field(init=False)` is a handle on a key beside the row.

Such a field is none of Pydantic's: nothing of it is validated, dumped, compared or loaded. It is taken out of the annotations
before Pydantic sees them, and a descriptor stands in its place. What a handle does is no business of this room.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Annotated, Any, ClassVar, Literal, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import MaxLen
from pydantic import GetCoreSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticUndefined

from redisorm.errors import MappingError, SessionError

from .annotations import strip_annotated
from .fields import FieldOptions, options_of

__all__ = ["Live", "LiveField", "RedisType", "take_live_fields"]

RedisType = Literal["list", "set", "zset", "hash", "string"]

_LIBRARY = ("pydantic.", "abc.", "redisorm.mapping.")


class Live:
    """The base of handles, by which they are known as fields.

    Attributes:
        kind: The type of the key, as Redis calls it.
    """

    kind: ClassVar[RedisType]

    @classmethod
    def _of_field(cls, obj: Any, field: LiveField) -> Any:
        """Make the handle of an object's field."""
        raise NotImplementedError

    def _is_of(self, obj: Any, field: LiveField) -> bool:
        """Whether this is the handle of an object's field."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        raise MappingError(
            f"{cls.__name__} is a live structure: declare it in a RedisModel itself, as `name: {cls.__name__}[...] = Field(init=False)`; "
            "it cannot be optional, inside another type or in a nested model"
        )


class LiveField:
    """A field that is a handle on the key `row:field`.

    Attributes:
        name: The field.
        handle: The class of the handle.
        kind: The type of the key.
        maxlen: How many items a list keeps, or `None`.
    """

    def __init__(self, owner: type[Any], name: str, handle: type[Live], annotation: Any, names: Mapping[str, Any], default: Any) -> None:
        self.name = name
        self.handle = handle
        self.kind: RedisType = handle.kind
        self._owner = owner
        self._annotation = annotation
        self._names = names
        self.maxlen = _maxlen(owner, name, default)

    def __get__(self, obj: Any, owner: type[Any]) -> Any:
        return self if obj is None else self.handle._of_field(obj, self)

    def __set__(self, obj: Any, value: Any) -> None:
        self.assign(obj, value)

    def assign(self, obj: Any, value: Any) -> None:
        """Accept the handle itself, as `user.followers |= {1}` assigns it; `SessionError` for anything else."""
        if not (isinstance(value, self.handle) and value._is_of(obj, self)):
            name = f"{type(obj).__name__}.{self.name}"
            raise SessionError(f"{name} is a live structure and cannot be assigned: change it through its methods", field=self.name)

    def annotation(self, model: type[Any]) -> Any:
        """The annotation with its items, of a class or of a parametrisation of it.

        Raises:
            MappingError: A name in it is still not defined.
        """
        found = self._annotation
        if isinstance(found, str):
            scope = {**vars(builtins), **vars(sys.modules[self._owner.__module__]), **self._names, self._owner.__name__: self._owner}
            try:
                told = type(self.name, (), {"__annotations__": {self.name: found}})
                found = get_type_hints(told, scope, scope, include_extras=True)[self.name]
            except NameError as error:
                where = f"{self._owner.__name__}.{self.name}"
                message = f"{where}: {error.name!r} in its annotation is not defined yet: define it before the first use"
                raise MappingError(message, model=self._owner, field=self.name) from error
        found = strip_annotated(found)
        arguments = get_args(found)
        given = _given_types(model, self._owner)
        if any(isinstance(one, TypeVar) for one in arguments):
            return get_origin(found)[tuple(given.get(one, one) for one in arguments)]
        return found


def _given_types(model: type[Any], owner: type[Any]) -> dict[Any, Any]:
    """What the type variables of a generic model stand for."""
    for one in model.__mro__:
        told = one.__dict__.get("__pydantic_generic_metadata__") or {}
        if told.get("origin") is owner:
            return dict(zip(owner.__pydantic_generic_metadata__["parameters"], told["args"], strict=True))
    return {}


def _maxlen(owner: type[Any], name: str, default: Any) -> int | None:
    """Look at what was assigned to a field, and at nothing but its `max_length`."""
    where = f"{owner.__name__}.{name}"
    if default is PydanticUndefined:
        return None
    if not isinstance(default, FieldInfo) or default.default is not PydanticUndefined or default.default_factory is not None:
        message = f"{where}: a live structure has no default, since it is never loaded: leave it out, or write Field(init=False)"
        raise MappingError(message, model=owner, field=name)
    if options_of(default) != FieldOptions():
        message = f"{where}: a live structure is no key, not indexed, unique or inline, and lives as long as its row: leave that out"
        raise MappingError(message, model=owner, field=name)
    return next((item.max_length for item in default.metadata if isinstance(item, MaxLen)), None)


def take_live_fields(model: type[Any]) -> dict[str, LiveField]:
    """Take the live structures out of the annotations of a class that is just being made; all that it has, inherited ones too."""
    fields: dict[str, LiveField] = {}
    for base in reversed(model.__mro__[1:]):
        fields.update(base.__dict__.get("__redisorm_live__", {}))
    annotations = inspect.get_annotations(model)
    taken = {name: found for name, annotation in annotations.items() if (found := _handle_of(annotation, model)) is not None}
    for name in annotations.keys() & fields.keys() - taken.keys():
        message = f"{model.__name__}.{name}: it is a live structure in a base class, and stays one: take another name"
        raise MappingError(message, model=model, field=name)
    for name, (handle, names) in taken.items():
        fields[name] = LiveField(model, name, handle, annotations[name], names, model.__dict__.get(name, PydanticUndefined))
        setattr(model, name, fields[name])
    if taken:
        model.__annotations__ = {**annotations, **dict.fromkeys(taken, ClassVar[Any])}
        model.__redisorm_refuse_live__ = model_validator(mode="before")(_refusing(frozenset(fields)))
    return fields


def _refusing(names: frozenset[str]) -> Any:
    """A validator that refuses values for live structures, which Pydantic would ignore in silence."""

    def refuse(cls: type[Any], values: Any) -> Any:
        given = names.intersection(values) if isinstance(values, dict) else ()
        for name in sorted(given):
            raise ValueError(f"{cls.__name__}.{name} is a live structure: save the object, then fill it through its handle")
        return values

    return classmethod(refuse)


def _handle_of(annotation: Any, model: type[Any]) -> tuple[type[Live], Mapping[str, Any]] | None:
    """The class of the handle that an annotation means, and the names around it; `None` where it means none."""
    if not isinstance(annotation, str):
        bare = strip_annotated(annotation)
        found = get_origin(bare) or bare
        return (found, {}) if _is_live(found) else None
    names = _local_names()
    while True:
        dotted, _, inside = annotation.partition("[")
        head, *rest = dotted.strip().split(".")
        found = names.get(head, vars(sys.modules[model.__module__]).get(head))
        for name in rest:
            found = getattr(found, name, None)
        if found is not Annotated:
            return (found, names) if _is_live(found) else None
        annotation = inside


def _is_live(found: Any) -> TypeGuard[type[Live]]:
    return isinstance(found, type) and issubclass(found, Live)


def _local_names() -> Mapping[str, Any]:
    """The local names where the class statement stands; none at the top of a module."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_LIBRARY):
        frame = frame.f_back
    return {} if frame is None or frame.f_code.co_name == "<module>" else dict(frame.f_locals)

"""`MappedModel`: the Pydantic class behind every model, what messages and events share with it, and the one metaclass.

A class statement takes the class options, and the mapper is compiled as soon as every annotation is known; for type checkers
the metaclass carries `dataclass_transform`, so that a `Field(...)` without a default is a required argument. Models are plain data
here: no verb, no session, no I/O.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from gc import get_referents
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from pydantic.fields import PrivateAttr as PydanticPrivateAttr
from pydantic_core import CoreSchema
from typing_extensions import Self, dataclass_transform

from redisorm.errors import MappingError, SessionError

from .assigning import kinds_taken
from .columns import column_of, name_computed
from .fields import Field
from .live import LiveField, take_live_fields
from .mapper import Mapper, Refresh
from .said import options_said

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # what Pydantic tells of it in public

__all__ = [
    "RESERVED",
    "Compiled",
    "MappedModel",
    "ModelMeta",
    "any_linked",
    "complete",
    "known_state",
    "link_state",
    "link_states",
    "linked_state",
    "mapper_of",
]

RESERVED = frozenset(
    (
        "create",
        "delete",
        "exists",
        "expire",
        "find",
        "get",
        "get_by",
        "get_many",
        "get_one",
        "increment",
        "key_of",
        "pk",
        "refresh",
        "save",
        "time_to_live",
    )
)
"""The verbs of models, which no field may be named like."""

C = TypeVar("C", bound="MappedModel")
_UNSAID: Any = object()
_OPTIONS = ("ttl", "ttl_refresh", "versioned", "database", "unique_together")


def _asked_by_pydantic() -> bool:
    """Whether Pydantic looks an attribute up: where a base has one, it warns that a field of the new class shadows it."""
    return bool(sys._getframe(2).f_globals.get("__name__", "").startswith("pydantic."))


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, FieldInfo, PydanticPrivateAttr))
class ModelMeta(ModelMetaclass):
    """Pydantic's metaclass, with our `Field` as a field specifier, and with the fields as columns of conditions: `User.age >= 18`.

    It has no `__new__`: Pydantic looks for local names one frame up. The bases of users' classes name it themselves, since for type
    checkers only a class that does is a base of frozen classes as well as of others.
    """

    if not TYPE_CHECKING:  # for type checkers `User.age` is what the annotation says

        def __getattr__(cls, name: str) -> Any:  # noqa: N805 - of a metaclass
            if name in cls.__dict__.get("__pydantic_fields__", ()) and not _asked_by_pydantic():
                return column_of(cls, name, mapper_of)
            return super().__getattr__(name)


class Compiled(BaseModel, metaclass=ModelMeta):
    """A Pydantic class that is compiled into more than its schema: a model, a message, an event."""

    __slots__ = ()
    model_config: ClassVar[ConfigDict] = ConfigDict(validate_assignment=True)

    def __init_subclass__(cls, **options: Any) -> None:
        above = super().__init_subclass__
        if options and not inspect.ismethod(above):  # that of `object`, which takes none
            raise MappingError(f"{cls.__name__}: {', '.join(options)} is no option of such a class: correct it, or leave it out", model=cls)
        above(**options)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        try:
            return handler(source)
        except PydanticSchemaGenerationError as error:
            raise MappingError(f"{cls.__name__}: {error.message.splitlines()[0]}", model=cls) from error


def complete(model: type[Compiled]) -> None:
    """Compile a class now, where a forward reference had kept it from being so.

    Raises:
        MappingError: A name in its annotations is still not defined.
    """
    try:
        model.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        raise MappingError(
            f"{model.__name__}: {error.name!r} in its annotations is not defined yet: "
            f"define it, then call {model.__name__}.model_rebuild()",
            model=model,
        ) from error


def _refuse_verbs(owner: str, names: Any) -> None:
    for name in names:
        if name in RESERVED:
            raise MappingError(
                f"{owner}.{name}: a field cannot be named like a verb of models; name it {name}_ with an alias, or otherwise", field=name
            )


class MappedModel(Compiled, metaclass=ModelMeta):
    """A Pydantic model that maps to a Redis hash and its companions."""

    __slots__ = ("__redisorm_state__",)

    __redisorm_options__: ClassVar[dict[str, Any]] = {}
    __redisorm_prefix__: ClassVar[str | None] = None
    __redisorm_abstract__: ClassVar[bool] = True
    __redisorm_mapper__: ClassVar[Any] = None
    __redisorm_live__: ClassVar[dict[str, LiveField]] = {}
    __redisorm_taken__: ClassVar[Mapping[str, frozenset[type]]] = {}

    def __init_subclass__(
        cls,
        *,
        prefix: str | None = None,
        ttl: float | timedelta | None = _UNSAID,
        ttl_refresh: Refresh = _UNSAID,
        versioned: bool = _UNSAID,
        database: Any = _UNSAID,
        abstract: bool = False,
        unique_together: tuple[tuple[str, ...], ...] = _UNSAID,
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        _refuse_verbs(cls.__name__, inspect.get_annotations(cls))
        cls.__redisorm_live__ = take_live_fields(cls)
        said = zip(_OPTIONS, (ttl, ttl_refresh, versioned, database, unique_together), strict=True)
        inherited: dict[str, Any] = {}
        for base in reversed(cls.__bases__):
            inherited.update(getattr(base, "__redisorm_options__", {}))
        cls.__redisorm_options__ = {**inherited, **{option: value for option, value in said if value is not _UNSAID}}
        cls.__redisorm_prefix__ = prefix
        cls.__redisorm_abstract__ = abstract
        cls.__redisorm_mapper__ = None
        cls.__redisorm_taken__ = {}

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        """Compile the mapper, now that Pydantic knows every annotation."""
        if not cls.__redisorm_abstract__:
            _refuse_verbs(cls.__name__, cls.model_fields)
            mapper = cls.__redisorm_mapper__ = Mapper(cls, options_said(cls))
            if super().__setattr__ is BaseModel.__setattr__:
                cls.__redisorm_taken__ = {name: kinds for name, kinds in kinds_taken(cls).items() if name != mapper.pk_name}
            name_computed(cls, mapper, mapper_of)

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the fields that were given, or were there when the object was loaded."""
        names = self.__pydantic_fields_set__
        columns = mapper_of(type(self)).columns
        if columns is not None and names is columns.all_names:  # others have it too, and whoever asks may change it
            names = set(names)
            object.__setattr__(self, "__pydantic_fields_set__", names)
        return names

    @property
    def pk(self) -> Any:
        """The value of the primary key; `None` before an automatic one is given."""
        return getattr(self, mapper_of(type(self)).pk_name)

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) in self.__redisorm_taken__.get(name, ()):
            vars(self)[name] = value
            self.__pydantic_fields_set__.add(name)
            return
        mapper = type(self).__redisorm_mapper__
        if mapper is not None and name == mapper.pk_name and _is_stored(self) and value != self.__dict__[name]:
            raise SessionError(
                f"{type(self).__name__}.{name} is the primary key of a stored object and cannot be assigned: "
                "make a model_copy(update=...) with the new key, save it, and delete this one",
                model=type(self),
                pk=self.__dict__[name],
                field=name,
                value=value,
            )
        if name in type(self).__redisorm_live__:
            self.__redisorm_live__[name].assign(self, value)
            return
        if type(self).__pydantic_decorators__.model_validators:
            self._assign_or_leave(name, value)
            return
        super().__setattr__(name, value)

    def _assign_or_leave(self, name: str, value: Any) -> None:
        """Assign, and be as before where a validator of the whole object refuses: Pydantic asks it when the value is there already."""
        values, given = self.__dict__.copy(), self.__pydantic_fields_set__.copy()
        try:
            super().__setattr__(name, value)
        except BaseException:
            object.__setattr__(self, "__dict__", values)
            object.__setattr__(self, "__pydantic_fields_set__", given)
            raise

    def __del__(self) -> None:
        # An object of an open session may be dropped by its user while it holds changes made in place: its session keeps it.
        try:
            state = known_state(self)
        except AttributeError:
            return
        if type(state) is not Unmade and state.session is not None:
            state.session.keep_if_changed(self)

    def __getstate__(self) -> dict[Any, Any]:
        state = linked_state(self)
        return {**super().__getstate__(), "__redisorm_state__": None if state is None else state.detached_copy()}

    def __setstate__(self, content: dict[Any, Any]) -> None:
        super().__setstate__(content)
        _key_is_given(self)
        if content.get("__redisorm_state__") is not None:
            link_state(self, content["__redisorm_state__"])

    def __copy__(self) -> Self:
        return _key_is_given(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return _key_is_given(super().__deepcopy__(memo))


def _key_is_given(copied: C) -> C:
    """Note that the key of a copy was not just made at random for it: the original's row may be there."""
    mapper = type(copied).__redisorm_mapper__
    if mapper is not None and mapper.generated:
        copied.__pydantic_fields_set__.add(mapper.pk_name)
    return copied


_slot: Any = MappedModel.__dict__["__redisorm_state__"]

link_state: Callable[[MappedModel, Any], None] = _slot.__set__
"""Link an object with what its session knows of it."""


known_state: Callable[[MappedModel], Any] = _slot.__get__
"""What a session knows of an object that it holds."""

ARGUMENTS = 6
"""So many arguments has a call that makes a state."""


class Unmade(list[Any]):
    """A state that nobody has asked for yet: the function that makes it, and its arguments."""

    __slots__ = ()


def link_states(objects: Iterable[MappedModel], calls: Iterable[tuple[Any, ...]]) -> None:
    """Link objects that are in no session with the calls that make their states, each a function and its `ARGUMENTS`.

    A state is made when it is first asked for: most objects that are read are never written.
    """
    deque(map(link_state, objects, map(Unmade, calls)), 0)


def linked_state(obj: MappedModel) -> Any:
    """What a session knows of an object; `None` for one that was never stored or added.

    Raises:
        MappingError: It is no object of a model.
    """
    try:
        state = known_state(obj)
    except AttributeError:
        return None
    except TypeError:
        raise MappingError(f"{shortened(obj)} is no object of a RedisModel: hand in one, or many to add_all()") from None
    if type(state) is Unmade:
        state.append(state[0](*state[1 : ARGUMENTS + 1]))
        state = state[ARGUMENTS + 1]  # of several threads that ask at once, all take what the first has made
        link_state(obj, state)
    return state


def _is_stored(obj: MappedModel) -> bool:
    state = linked_state(obj)
    return state is not None and state.snapshot is not None


def any_linked(objects: Sequence[MappedModel], state: type) -> bool:
    """Whether a session knows something of one of many objects, in one look.

    Args:
        state: The type of what it knows.
    """
    # Asking the slot of an object that has none makes an exception each time, which is dearer than all else done with a new row.
    return not {state, Unmade}.isdisjoint(map(type, get_referents(*objects)))


def mapper_of(model: type[Any]) -> Mapper[Any]:
    """The mapper of a class, compiled now where a forward reference had kept it from being so.

    Raises:
        MappingError: The class has no keys (`abstract=True`), or a name in its annotations is still not defined.
    """
    mapper: Mapper[Any] | None = getattr(model, "__redisorm_mapper__", None)
    if mapper is not None:
        return mapper
    if not (isinstance(model, type) and issubclass(model, MappedModel)):
        raise MappingError(f"{model!r} is not a RedisModel: derive the class from RedisModel or AsyncRedisModel")
    if model.__redisorm_abstract__:
        raise MappingError(f"{model.__name__} is abstract and has no keys: use a class derived from it", model=model)
    complete(model)
    return cast("Mapper[Any]", model.__redisorm_mapper__)

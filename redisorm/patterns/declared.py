"""What messages and events have in common as classes: a name in the class statement, and a plan compiled when the class is complete.

Where the name leads, to a channel or a stream, and what the plan does are told in `pubsub` and `streams`.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, cast

from redisorm.errors import MappingError
from redisorm.mapping.base import Compiled, ModelMeta, complete
from redisorm.mapping.said import snake_case

__all__ = ["Declared", "plan_of"]

D = TypeVar("D", bound="Declared")


class Declared(Compiled, metaclass=ModelMeta):
    """A class whose statement says where its objects go. A base of such classes says what they are: `kind="events"`."""

    __redisorm_kind__: ClassVar[str] = "classes"
    __redisorm_name__: ClassVar[str | None] = None
    __redisorm_plan__: ClassVar[Any] = None

    def __init_subclass__(cls, *, kind: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if kind is not None:
            cls.__redisorm_kind__ = kind
        cls.__redisorm_name__ = cls.__redisorm_plan__ = None

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        """Compile the plan, now that Pydantic knows every annotation. A parametrised class goes where its origin does."""
        if "__redisorm_kind__" in cls.__dict__:
            return
        origin = cls.__pydantic_generic_metadata__["origin"]
        said = cls.__redisorm_name__ if origin is None else cast("type[Declared]", origin).__redisorm_name__
        cls.__redisorm_plan__ = cls.__redisorm_compile__(snake_case(cls.__name__) if said is None else said)

    @classmethod
    def __redisorm_compile__(cls, name: str) -> Any:
        """Compile the class; the name is the one it was given, or its own in snake case."""
        raise NotImplementedError


def plan_of(model: type[D], base: type[Declared]) -> Any:
    """The plan of a class derived from a base, compiled now where a forward reference had kept it from being so.

    Raises:
        MappingError: It is no such class, or a name in its annotations is still not defined.
    """
    if not (isinstance(model, type) and issubclass(model, base)) or model is base:
        raise MappingError(f"{model!r} is not a class of {base.__redisorm_kind__}: derive it from {base.__name__}")
    if model.__redisorm_plan__ is None:
        complete(model)
    return model.__redisorm_plan__

"""A cache without its colour, and what is made of a function when it is memoized: its keys, its lives, the type of its values.

What happens when such a function is called is in `calls`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from redisorm.commands import Flow
from redisorm.errors import MappingError
from redisorm.keys import cache_key, check_prefix, tag_key
from redisorm.mapping.items import Items, items_of
from redisorm.mapping.layout import seconds_ms

from . import entries
from .scripts import Namespaced
from .template import Template

__all__ = ["BaseCache", "Recipe"]

P = ParamSpec("P")
R = TypeVar("R")

_REST_S = 1.0
"""How long a cache is left alone after it was found unavailable."""


class _Quietly(GenerateJsonSchema):
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - Pydantic's own way to say it
        "skipped-choice",
        "non-serializable-default",
    }


class BaseCache:
    """What both colours of a cache share.

    Attributes:
        prefix: What the keys of all entries begin with.
    """

    def __init__(
        self,
        database: Namespaced,
        prefix: str,
        ttl: float | timedelta | None,
        lease: float | timedelta,
        on_error: Literal["raise", "call"],
    ) -> None:
        if on_error not in ("raise", "call"):
            raise ValueError(f"on_error={on_error!r}: 'raise' or 'call'")
        self.prefix: str = check_prefix(prefix, "a cache")
        self.ttl_ms: int | None = None if ttl is None else seconds_ms(ttl, f"cache {prefix!r}")
        self.lease_ms: int = seconds_ms(lease, f"the lease of cache {prefix!r}")
        self.calls_through: bool = on_error == "call"
        self.database = database
        self.namespace: str = database.namespace
        self._resting_until = 0.0
        self.random: Callable[[], float] = random.random

    def is_resting(self, monotonic_s: float) -> bool:
        """Whether the cache was found unavailable just now, and functions are called without another try."""
        return monotonic_s < self._resting_until

    def rest(self, monotonic_s: float) -> None:
        """Leave the cache alone for a moment: each try of a server that is gone takes as long as the client's retry policy."""
        self._resting_until = monotonic_s + _REST_S

    def _drop_tag(self, tag: str, values: Mapping[str, object]) -> Flow[int]:
        text = Template(tag, f"tag of cache {self.prefix!r}").fill(values) if values else tag
        return entries.drop_tag(tag_key(self.namespace, self.prefix, text))


class Recipe(Generic[R]):
    """What a memoized function is made of: its keys, its lives, and the type of its values.

    Args:
        cache: The cache it belongs to.
        function: The function.
        template: The text of its keys.
        lives: Time to live, that of `None`, and for how long a value is served beyond, each as it was given.
        early: How eagerly a value is loaded anew before its time; 0 never.
        tags: Templates of the tags of an entry.
        local: Names at the place where the function is defined, for its return annotation.

    Raises:
        MappingError: The function has no return annotation, or a template does not fit its parameters.
    """

    def __init__(
        self,
        cache: BaseCache,
        function: Callable[..., Any],
        template: str,
        lives: tuple[float | timedelta | None, float | timedelta | None, float | timedelta],
        early: float,
        tags: Sequence[str],
        local: Mapping[str, Any],
    ) -> None:
        self.cache = cache
        self.name: str = f"memoized {getattr(function, '__qualname__', function)!s}"
        ttl, none_ttl, stale = lives
        given = cache.ttl_ms if ttl is None else seconds_ms(ttl, self.name)
        if given is None:
            raise MappingError(f"{self.name} has no time to live: memoize({template!r}, ttl=60), or give the cache one")
        stale_ms = _from_zero_ms(stale, self.name, "stale")
        self.lives_ms: tuple[int, int] = given, stale_ms
        self.none_lives_ms: tuple[int, int] = self.lives_ms if none_ttl is None else (_from_zero_ms(none_ttl, self.name, "none_ttl"), 0)
        if isinstance(early, bool) or not 0 <= early < math.inf:
            raise ValueError(f"{self.name}: early={early!r} must be 0 or more; 1 is usual")
        self.early = early
        self._function = inspect.unwrap(function)
        self._local = dict(local)
        self._text = Template(template, self.name).of(function)
        self._tags = [Template(tag, self.name).of(function) for tag in ([tags] if isinstance(tags, str) else tags)]
        self._items: Items[R] | None = None
        self.schema: bytes = b""
        self.resolve(finally_=False)

    def resolve(self, *, finally_: bool = True) -> None:
        """Find the type of the values, which may have been defined later than the function.

        Raises:
            MappingError: There is none, or Pydantic does not know it.
        """
        annotation = self._function.__annotations__.get("return", inspect.Parameter.empty)
        if annotation is inspect.Parameter.empty or annotation in (None, type(None), "None"):
            raise MappingError(f"{self.name} has no return annotation, which says how values are stored: write `-> Profile | None`")
        shim: Any = SimpleNamespace(__annotations__={"return": annotation})
        try:
            annotation = get_type_hints(shim, self._function.__globals__, self._local, include_extras=True)["return"]
        except NameError as error:
            if finally_:
                raise MappingError(
                    f"{self.name}: its return annotation cannot be resolved: {error}; define it before the first call"
                ) from error
            return
        self._items = items_of(annotation)
        self.schema = _schema_of(annotation)
        self._local.clear()

    @property
    def items(self) -> Items[R]:
        """How values are spelled and read."""
        if self._items is None:
            self.resolve()
            assert self._items is not None
        return self._items

    def key(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> str:
        """Return the key of what these arguments cache.

        Raises:
            TypeError: An argument that is in the key is missing, or has no text of its own.
        """
        return cache_key(self.cache.namespace, self.cache.prefix, self._text(arguments, keywords))

    def tags(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> list[str]:
        """Return the keys of the tags of what these arguments cache."""
        return [tag_key(self.cache.namespace, self.cache.prefix, tag(arguments, keywords)) for tag in self._tags]


def _from_zero_ms(life: float | timedelta, owner: str, name: str) -> int:
    """A life in milliseconds that may be zero."""
    return 0 if life in (0, timedelta()) and not isinstance(life, bool) else seconds_ms(life, f"{owner}: {name}")


def _schema_of(annotation: Any) -> bytes:
    """Return a hash that is another one where values are stored otherwise."""
    try:
        described = json.dumps(TypeAdapter(annotation).json_schema(schema_generator=_Quietly), sort_keys=True, default=str)
    except PydanticUserError:  # no JSON schema says what such a type is
        described = repr(annotation)
    return hashlib.sha1(described.encode(), usedforsecurity=False).hexdigest()[:12].encode()

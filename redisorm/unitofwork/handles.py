"""A handle on a live structure without its colour: which key it means, what its items are, and how long it lives.

The faces in `sync` and `asyncio` perform what it asks for. It spells nothing and sends nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from redisorm.flows.structures.typed import Life, RedisType, TypedKey
from redisorm.keys import structure_key
from redisorm.mapping.items import items_of
from redisorm.mapping.layout import seconds_ms

from .unit import Store

__all__ = ["Handle", "Refresh"]

T = TypeVar("T")

Refresh = Literal["write", "never"]


class Handle(Generic[T]):
    """A typed handle on one Redis key.

    Attributes:
        kind: The type of the key, as Redis calls it.
    """

    kind: ClassVar[RedisType]

    def __init__(self, key: str, *, db: Any = None, ttl: float | timedelta | None = None, ttl_refresh: Refresh = "write") -> None:
        if not isinstance(key, str) or not key:
            raise ValueError(f"{type(self).__name__}({key!r}): the key must be text that is not empty")
        if ttl_refresh not in ("write", "never"):
            raise ValueError(f"{type(self).__name__}({key!r}): ttl_refresh={ttl_refresh!r} must be 'write' or 'never'")
        self._name = key
        self._db = db
        self._life = None if ttl is None else Life(seconds_ms(ttl, f"{type(self).__name__}({key!r})"), ttl_refresh == "write")
        self._maxlen: int | None = None
        self._typed_keys: dict[str, TypedKey[T]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    def _database(self) -> Store:
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The Redis key, with the namespace of the database."""
        return self._typed_key(self._database().namespace).name

    def _peer(self, other: Any) -> TypedKey[Any] | None:
        """The key of another handle of this type on the same database; `None` for anything else."""
        database = self._database()
        if isinstance(other, Handle) and other.kind == self.kind and other._database() is database:
            return other._typed_key(database.namespace)
        return None

    def _on_server(self, other: Any) -> TypedKey[Any]:
        """The same for an operation that needs it; `ValueError` for anything else."""
        peer = self._peer(other)
        if peer is None:
            raise ValueError(f"{other!r} is no {self.kind} on the database of {self!r}, so one command cannot work on both")
        return peer

    def _typed_key(self, namespace: str) -> TypedKey[T]:
        """The key in a namespace; made once for each."""
        typed = self._typed_keys.get(namespace)
        if typed is None:
            annotations = self._annotations()
            typed = self._typed_keys[namespace] = TypedKey(
                structure_key(namespace, self._name),
                self.kind,
                items_of(annotations[-1]),
                items_of(annotations[0]),
                self._life,
                self._maxlen,
            )
        return typed

    def _annotations(self) -> tuple[Any, ...]:
        """What the items are: from `RedisList[int](…)`, or from the bases of a subclass; `Any` where nobody said."""
        for alias in (getattr(self, "__orig_class__", None), *_bases(type(self))):
            origin = get_origin(alias)
            if isinstance(origin, type) and issubclass(origin, Handle):
                found = tuple(Any if isinstance(one, TypeVar) else one for one in get_args(alias))
                if found != (Any,):
                    return found
        return (Any,)

    @staticmethod
    def _token() -> bytes:
        """What no item is: a mark for the commands that look for an item rather than a position."""
        return secrets.token_bytes(16)


def _bases(kind: type) -> Iterator[Any]:
    for base in kind.__mro__:
        yield from getattr(base, "__orig_bases__", ())

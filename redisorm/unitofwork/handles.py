"""A handle on a live structure without its colour: which key it means, what its items are, and how long it lives.

The faces in `sync` and `asyncio` perform what it asks for. It spells nothing and sends nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from typing_extensions import Self

from redisorm.errors import SessionError
from redisorm.flows.living import LiveWrite
from redisorm.flows.structures.typed import Life, RedisType, TypedKey, Write
from redisorm.keys import Keyspace, structure_key
from redisorm.mapping.base import MappedModel, linked_state
from redisorm.mapping.items import items_of
from redisorm.mapping.layout import seconds_ms
from redisorm.mapping.live import Live, LiveField

from .holding import Store
from .state import Phase
from .unit import UnitOfWork
from .verbs import session_of

__all__ = ["Handle", "Refresh"]

T = TypeVar("T")

Refresh = Literal["write", "never"]


_READS = frozenset(("LLEN",))


class Handle(Live, Generic[T]):
    """A typed handle on one Redis key, which may belong to an object.

    Attributes:
        kind: The type of the key, as Redis calls it.
    """

    kind: ClassVar[RedisType]
    __orig_class__: Any

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
        self._obj: MappedModel | None = None
        self._field: LiveField | None = None

    def __repr__(self) -> str:
        where = "" if self._obj is None else f"{type(self._obj).__name__} {self._obj.pk!r}: "
        return f"{type(self).__name__}({where}{self._name!r})"

    def _database(self) -> Store:
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The Redis key, with the namespace of the database."""
        if self._obj is not None:
            return self._key_beside(self._obj).name
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

    # ---- of an object -----------------------------------------------------------------------------------------------------

    @classmethod
    def _of_field(cls, obj: Any, field: LiveField) -> Self:
        handle = cls(field.name)
        handle._obj, handle._field = obj, field
        if field.maxlen is not None:
            handle._maxlen = field.maxlen
        handle.__orig_class__ = field.annotation(type(obj))
        return handle

    def _is_of(self, obj: Any, field: LiveField) -> bool:
        return self._obj is obj and self._field is field

    @property
    def _session(self) -> UnitOfWork | None:
        """The open session that the object belongs to."""
        return None if self._obj is None else session_of(self._obj)

    def _home(self) -> Any:
        """The database of the object, or of the handle, or `None` for the default one."""
        if self._obj is None:
            return self._db
        session = self._session
        if session is not None:
            return session.database
        self._key_beside(self._obj)  # an object that is not stored opens no database
        owner: Any = type(self._obj)
        return owner._database()

    def _key_beside(self, obj: MappedModel, *, noting: bool = False) -> TypedKey[T]:
        """The key beside the row of the object.

        Args:
            noting: Whether the object may be one that the next commit stores.

        Raises:
            SessionError: The object is not stored, so there is no row for the key to belong to.
        """
        state = linked_state(obj)
        waits = noting and state is not None and state.phase is Phase.PENDING and state.key
        if state is None or (state.snapshot is None and not waits):
            name = f"{type(obj).__name__}.{self._name}"
            raise SessionError(
                f"{name} is a live structure of an object that is not stored: save() it first", model=type(obj), pk=obj.pk, field=self._name
            )
        annotations = self._annotations()
        return TypedKey(
            Keyspace.companion(state.key, self._name),
            self.kind,
            items_of(annotations[-1]),
            items_of(annotations[0]),
            maxlen=self._maxlen,
            row=state.key,
            model=type(obj),
        )

    def _noted(self, session: UnitOfWork, write: Callable[[TypedKey[T]], Write[Any]]) -> None:
        """Leave a write to the commit of the session.

        Raises:
            SessionError: It makes no sense without its reply.
        """
        assert self._obj is not None
        key = self._key_beside(self._obj, noting=True)
        made = write(key)
        if made.asks or made.others:
            raise self._unanswered()
        commands = [command for command in made.commands if command[0] not in _READS]
        if commands:
            session._note_live(self._obj, LiveWrite(type(self._obj), str(key.row), key.name, key.kind, commands, made.renews))

    def _lives_with_its_object(self) -> SessionError:
        return SessionError(f"{self!r} lives as long as its object: give that another life with expire()", field=self._name)

    def _unanswered(self) -> SessionError:
        return SessionError(
            f"{self!r} belongs to an open session, whose commit writes later: what needs an answer, or several steps, cannot wait for it; "
            "do it before or after the session",
            field=self._name,
        )

    # ---- its key ----------------------------------------------------------------------------------------------------------

    def _typed_key(self, namespace: str) -> TypedKey[T]:
        """The key in a namespace; made once for each."""
        if self._obj is not None:
            return self._key_beside(self._obj)
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

"""Which objects a session holds: how they come in, under which keys, and how they are let go of again.

What is to happen to them is noted one floor up, in `unit`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import repeat
from operator import attrgetter
from typing import Any, Protocol

from redisorm.errors import SessionError
from redisorm.flows.living import LiveWrite
from redisorm.mapping.base import MappedModel, any_linked, link_state, linked_state, mapper_of
from redisorm.mapping.mapper import Mapper

from .identity import Identity, IdentityMap
from .state import Phase, State, state_of
from .work import key_of

__all__ = ["Holding", "Store"]


_key, _phase = attrgetter("key"), attrgetter("phase")


class Store(Protocol):
    """What a session wants of a database before it is handed to a driver."""

    namespace: str


class Holding:
    """The objects of a session.

    Attributes:
        database: The database the session reads and writes.
        is_open: Whether it may still be used.
    """

    def __init__(self, database: Store) -> None:
        self.database = database
        self.is_open: bool = True
        self._map = IdentityMap()
        self._new: dict[int, MappedModel] = {}
        self._created: set[int] = set()
        self._deleted: dict[int, MappedModel] = {}
        self._lives: list[tuple[MappedModel, LiveWrite]] = []

    def _identity(self, obj: MappedModel, key: str) -> Identity:
        return mapper_of(type(obj)), key

    def _drop_lives(self, obj: MappedModel) -> None:
        if self._lives:
            self._lives = [note for note in self._lives if note[0] is not obj]

    def _add(self, obj: MappedModel, life: int | None) -> None:
        state = state_of(obj)
        if state.session is not self or state.phase is Phase.DELETED:
            self._attach(obj, state)
            self._deleted.pop(id(obj), None)
            state.phase = Phase.PENDING if state.snapshot is None else Phase.PERSISTENT
            if state.phase is Phase.PENDING:
                self._new[id(obj)] = obj
        if life is not None:
            state.wanted_life = life
        if state.phase is Phase.PERSISTENT and state.key:
            self._map.hold(self._identity(obj, state.key), obj)

    def _add_fresh(self, objects: list[MappedModel]) -> bool:
        """Take in many objects of one class that nobody has seen yet; `False` where one has to be looked at by itself."""
        models = set(map(type, objects))
        if len(models) != 1 or any_linked(objects, State):
            return False
        mapper = mapper_of(models.pop())
        self._check_database(mapper)
        pks = [obj.__dict__.get(mapper.pk_name) for obj in objects]
        keys: Iterable[str] = repeat("")
        if None not in pks:
            keys = mapper.keyspace(self.database.namespace).rows(mapper.pk_texts(pks))
            if not self._map.hold_new(mapper, keys, objects):
                return False
        elif not mapper.automatic or set(pks) != {None} or len(set(map(id, objects))) < len(objects):
            return False
        deque(map(link_state, objects, map(State, repeat(Phase.PENDING), repeat(self), keys)), 0)
        self._new.update(zip(map(id, objects), objects, strict=True))
        return True

    def _add_stored(self, objects: list[MappedModel]) -> bool:
        """Take in many stored objects of one class that are in no session; `False` where one has to be looked at by itself."""
        models, states = set(map(type, objects)), list(map(linked_state, objects))
        if len(models) != 1 or not all(states) or set(map(_phase, states)) != {Phase.DETACHED}:
            return False
        mapper = mapper_of(models.pop())
        self._check_database(mapper)
        pks, keys = [obj.__dict__.get(mapper.pk_name) for obj in objects], list(map(_key, states))
        if None in pks or mapper.keyspace(self.database.namespace).rows(mapper.pk_texts(pks)) != keys:
            return False
        if not self._map.hold_new(mapper, keys, objects):
            return False
        persistent = Phase.PERSISTENT
        for state in states:
            state.held_by, state.held_phase = self, persistent
        return True

    def _attach(self, obj: MappedModel, state: State) -> None:
        """Make an object one of this session's, or say why it cannot be."""
        mapper, name = mapper_of(type(obj)), type(obj).__name__
        if state.session is not None and state.session is not self and state.session.is_open:
            raise SessionError(
                f"this {name} ({obj.pk!r}) belongs to another open session: expunge() it there first", model=type(obj), pk=obj.pk
            )
        self._check_database(mapper)
        key = key_of(mapper, mapper.keyspace(self.database.namespace), obj)
        if state.snapshot is not None and state.key != key:
            raise SessionError(
                f"this {name} was stored under {state.key}, which is {key} here: model_copy() it to store it there too",
                model=type(obj),
                key=key,
            )
        if key:
            self._claim(obj, (mapper, key))
        state.session, state.key = self, key

    def _check_database(self, mapper: Mapper[Any]) -> None:
        if mapper.options.database is not None and mapper.options.database is not self.database:
            raise SessionError(
                f"{mapper.model.__name__} has a database of its own: use a session on {mapper.options.database!r}", model=mapper.model
            )

    def _claim(self, obj: MappedModel, identity: Identity) -> None:
        other = self._map.get(identity)
        if other is not None and other is not obj and state_of(other).phase is not Phase.DELETED:
            raise SessionError(
                f"the session has another object for {identity[1]}: change that one, or delete or expunge it first",
                model=type(obj),
                pk=obj.pk,
                key=identity[1],
            )
        self._map.hold(identity, obj)

    def _give_up(self, obj: MappedModel, state: State) -> None:
        """Let go of an object before its commit; where it stood in the place of one that is deleted, that is known again."""
        identity = self._identity(obj, state.key)
        self._let_go(obj, state)
        for other in self._deleted.values():
            if self._identity(other, state_of(other).key) == identity:
                self._map.hold(identity, other)

    def _let_go(self, obj: MappedModel, state: State) -> None:
        self._new.pop(id(obj), None)
        self._created.discard(id(obj))
        self._deleted.pop(id(obj), None)
        self._drop_lives(obj)
        identity = self._identity(obj, state.key)
        if self._map.get(identity) is obj:
            self._map.remove(identity)
        state.session, state.phase = None, Phase.TRANSIENT if state.snapshot is None else Phase.DETACHED
        state.forget_wishes()

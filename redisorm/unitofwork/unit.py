"""The unit of work: which objects a session holds, and what is to happen to them (Fowler, *Unit of Work*).

Everything here only notes or forgets; nothing asks the server.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from operator import attrgetter, is_
from typing import Any

from pydantic import ValidationError

from redisorm.commands import Command
from redisorm.errors import SessionError, SessionInUseError
from redisorm.flows.changes import PERMANENT
from redisorm.flows.guarding import Guard
from redisorm.flows.living import LiveWrite
from redisorm.mapping.base import MappedModel, known_state, linked_state, mapper_of
from redisorm.mapping.differences import snapshots
from redisorm.mapping.layout import seconds_ms
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import difference, restore, same_elements

from . import stack
from .holding import Holding, Store
from .state import Phase, State, state_of
from .work import add_here, increment_of, require_state, wanted_life

__all__ = ["UnitOfWork"]

_log = logging.getLogger("redisorm")


_key, _snapshot, _values, _texts = attrgetter("key"), attrgetter("snapshot"), attrgetter("values"), attrgetter("texts")
_life, _increments = attrgetter("wanted_life"), attrgetter("increments")


def _all_same(mapper: Mapper[Any], objects: Sequence[MappedModel], states: Sequence[State]) -> bool:
    """Whether no object has another value than it was loaded or written with, and nothing is asked of one beside; new ones have not."""
    befores = list(map(_snapshot, states))
    if not all(befores):
        return not any(befores)
    if any(map(_increments, states)) or set(map(_life, states)) != {None}:
        return False
    flat = chain.from_iterable
    try:
        values = list(mapper.values_of(objects))
        if not all(map(is_, flat(values), flat(map(_values, befores)))):
            return False
        if mapper.slots.mutable and list(map(_texts, snapshots(mapper, values, list(map(_key, states))))) != list(map(_texts, befores)):
            return False
    except (KeyError, ValidationError):  # a field was deleted, or does not fit any more
        return False
    return not mapper.companions or same_elements(mapper, objects, befores)


class UnitOfWork(Holding):
    """The objects of a session and what waits for them."""

    def __init__(self, database: Store) -> None:
        super().__init__(database)
        self._revived: list[MappedModel] = []
        self._riders: list[Command] = []
        self._acknowledgement: tuple[Command, Guard] | None = None
        self._idle = [None]  # popping is atomic, so that two threads never both find it

    # ---- who may use it, and when -----------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, *, last: bool = False) -> Iterator[None]:
        """Hold the session for one operation, the last one before it is closed or not."""
        try:
            self._idle.pop()
        except IndexError:
            raise SessionInUseError(
                "this session is in use by another thread or task: give each its own session, or use one after the other"
            ) from None
        try:
            if not self.is_open:
                raise SessionError("this session is closed: open a new one")
            if self._map.committed and not last:
                self._map.loosen_committed()
            yield
        finally:
            self._idle.append(None)

    def _enter(self, place: Hashable) -> None:
        if not self.is_open:
            raise SessionError("this session is closed: open a new one")
        stack.entered(self, place)

    def _leave(self, failed: bool) -> None:
        """Discard what was not committed and let go of every object."""
        waiting = self._close()
        if any(waiting) and not failed:
            _log.warning(
                "a session was left with uncommitted work, which was discarded: "
                "%d new, %d changed, %d to delete, %d to send; call commit()",
                *waiting,
            )

    def close(self) -> None:
        """Discard what was not committed, put objects back to what was loaded, and let go of them. Closing twice is no error."""
        self._close()

    def _close(self) -> tuple[int, int, int, int]:
        """Close, and tell how many objects were to be stored, written and deleted, and how many further commands were to be sent."""
        if not self.is_open:
            return 0, 0, 0, 0
        with self._alone(last=True):
            waiting = self._discard(last=True)
            self._map.clear()
            self._revived.clear()
            self.is_open = False
        stack.left(self)
        return waiting

    # ---- what it holds ----------------------------------------------------------------------------------------------------

    @property
    def new(self) -> list[MappedModel]:
        """Added objects that the next commit stores."""
        return list(self._new.values())

    @property
    def dirty(self) -> list[MappedModel]:
        """Stored objects with changes that the next commit writes."""
        return self._dirty()

    @property
    def deleted(self) -> list[MappedModel]:
        """Objects whose rows the next commit deletes."""
        return list(self._deleted.values())

    def __contains__(self, obj: object) -> bool:
        state = linked_state(obj) if isinstance(obj, MappedModel) else None
        return state is not None and state.session is self and state.phase is not Phase.DELETED

    def _dirty(self) -> list[MappedModel]:
        return [obj for obj, state in self._maybe_changed() if state.phase is Phase.PERSISTENT and self._has_work(obj, state)]

    def _maybe_changed(self) -> Iterator[tuple[MappedModel, State]]:
        """The stored objects of the map that may have changed, with their states."""
        for _, objects, states in self._maybe_changed_classes():
            yield from zip(objects, states, strict=True)

    def _maybe_changed_classes(self) -> Iterator[tuple[Mapper[Any], list[MappedModel], list[State]]]:
        """The same class by class: all stored objects of one, but where one look tells that none has changed."""
        for mapper, objects in self._map.classes():
            states: list[State] = list(map(known_state, objects))
            if mapper.open or not _all_same(mapper, objects, states):
                stored = [(obj, state) for obj, state in zip(objects, states, strict=True) if state.snapshot is not None]
                if stored:
                    yield mapper, [obj for obj, _ in stored], [state for _, state in stored]

    def _has_work(self, obj: MappedModel, state: State) -> bool:
        before, mapper = state.snapshot, mapper_of(type(obj))
        if before is None or state.increments or state.wanted_life is not None:
            return True
        try:
            return difference(mapper, obj, before, state.key) is not None
        except ValidationError:
            return True  # it was changed, and the commit will say what is wrong with it

    def keep_if_changed(self, obj: MappedModel) -> None:
        """Hold an object that its user is dropping with changes in it. Called by the object as it goes."""
        state = state_of(obj)
        if state.session is self and state.phase is Phase.PERSISTENT and self._has_work(obj, state):
            self._revived.append(obj)  # it will not be asked a second time
            self._map.put(self._identity(obj, state.key), obj)
        else:
            self._map.let_go(self._identity(obj, state.key), obj)

    # ---- noting -----------------------------------------------------------------------------------------------------------

    def add(self, obj: MappedModel, ttl: float | timedelta | None = None) -> None:
        """Take an object in: the next commit stores a new one, or writes what changed of a stored one.

        Args:
            ttl: A life of its own for the row, in seconds; `None` says nothing.

        Raises:
            SessionError: It belongs to another open session, its class to another database, or its row is held by another
                object of this session.
        """
        with self._alone():
            self._add(obj, wanted_life(ttl, type(obj).__name__))

    def _add_new(self, obj: MappedModel) -> None:
        """Take in an object that may only be stored where no row is."""
        with self._alone():
            self._add(obj, None)
            self._created.add(id(obj))

    def add_all(self, objects: Iterable[MappedModel], ttl: float | timedelta | None = None) -> None:
        """Take in many objects, as `add` does."""
        with self._alone():
            life = wanted_life(ttl, type(self).__name__)
            added = list(objects)
            if life is None and (self._add_fresh(added) or self._add_stored(added)):
                return
            for obj in added:
                self._add(obj, life)

    def delete(self, obj: MappedModel) -> None:
        """Delete the object's row and all that belongs to it at the next commit; an object only added is forgotten.

        Raises:
            SessionError: As of `add`.
        """
        with self._alone():
            state = state_of(obj)
            if state.session is self and state.phase is Phase.PENDING:
                self._give_up(obj, state)
                return
            self._attach(obj, state)
            state.phase = Phase.DELETED
            self._deleted[id(obj)] = obj
            self._drop_lives(obj)

    def increment(self, obj: MappedModel, field: str, by: float | Decimal = 1) -> None:
        """Add to a number at the server in the next commit; the object then has the server's value. `None` counts as 0.

        The number of an object not stored yet changes here and now.

        Raises:
            DetachedInstanceError: The object is not in this session.
            TypeError: The field is not a number of the row itself.
        """
        with self._alone():
            state = require_state(obj, self)
            increment = increment_of(obj, field, by)
            if state.phase is Phase.PENDING:
                add_here(obj, increment)
                return
            state.increments += (increment,)
            self._map.hold(self._identity(obj, state.key), obj)

    def expire(self, obj: MappedModel, ttl: float | timedelta | None) -> None:
        """Give the object's row a life of its own from the next commit on, in seconds; `None` makes it permanent.

        Raises:
            DetachedInstanceError: The object is not in this session.
            ValueError: The life is zero or less.
        """
        with self._alone():
            state = require_state(obj, self)
            state.wanted_life = PERMANENT if ttl is None else seconds_ms(ttl, type(obj).__name__)
            if state.phase is Phase.PERSISTENT:
                self._map.hold(self._identity(obj, state.key), obj)

    def _ride(self, *commands: Command) -> None:
        """Send further commands in the transaction of the next commit, after its writes. A rollback drops them.

        They must not fail at run time, since EXEC does not roll back what went before them.
        """
        with self._alone():
            self._riders += commands

    def _acknowledge(self, command: Command, guard: Guard) -> None:
        """Send a command in the transaction of the first commit that succeeds, which a guard must allow. A rollback does not drop it."""
        with self._alone():
            self._acknowledgement = command, guard

    def _note_live(self, obj: MappedModel, write: LiveWrite) -> None:
        """Write to a live structure of an object in the transaction of the next commit. A rollback drops it."""
        with self._alone():
            self._lives.append((obj, write))

    def expunge(self, obj: MappedModel) -> None:
        """Let go of an object as it is; what waits for it is not done.

        Raises:
            DetachedInstanceError: The object is not in this session.
        """
        with self._alone():
            self._give_up(obj, require_state(obj, self))

    def rollback(self) -> None:
        """Discard all that waits and put objects back to what was loaded. Sends nothing."""
        with self._alone():
            self._discard()

    def _discard(self, *, last: bool = False) -> tuple[int, int, int, int]:
        """Roll back, and tell how much was to be stored, written, deleted and sent; `last` before the session is closed."""
        new, changed, deleted, riders = self.new, 0, self.deleted, len(self._riders) + len(self._lives)
        self._riders.clear()
        self._lives.clear()
        for obj in new:
            self._let_go(obj, state_of(obj))
        for obj, state in self._maybe_changed():
            if not self._has_work(obj, state):
                continue
            changed += state.phase is Phase.PERSISTENT
            assert state.snapshot is not None
            restore(mapper_of(type(obj)), obj, state.snapshot)
            state.forget_wishes()
        if not last:
            self._map.loosen_all()
        for obj in deleted:
            state = state_of(obj)
            if state.snapshot is None:
                self._let_go(obj, state)
            else:
                state.phase = Phase.PERSISTENT
                self._map.put(self._identity(obj, state.key), obj)
        self._deleted.clear()
        return len(new), changed, len(deleted), riders

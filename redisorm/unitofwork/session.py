"""The session without its colour: what it asks of the server, as flows that the faces in `sync` and `asyncio` perform.

Its commit is one transaction; states move only after the server has agreed. This room neither waits nor connects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, TypeVar, cast

from redisorm.commands import Command, Flow
from redisorm.errors import CommitUnknownError, DecodeError, SessionError
from redisorm.flows.ahead import Ahead
from redisorm.flows.changes import Change, Kind
from redisorm.flows.committing import CommitResult, commit
from redisorm.flows.guarding import Guard
from redisorm.flows.living import LiveWrite
from redisorm.flows.loading import OnError, exists, sound
from redisorm.flows.persistence import refuse_texts
from redisorm.flows.spelling import Due
from redisorm.flows.sweeping import sweep_met
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.mapping.mapper import Mapper

from .groups import Ready
from .reading import Rows
from .state import Phase, state_of
from .together import Together, moved_together
from .unit import UnitOfWork
from .verbs import keeps_errors
from .work import change_of, deletion_of, key_of, loaded_each, new_version, not_found, remember_number, require_state, reread, settle

__all__ = ["BaseSession"]

M = TypeVar("M", bound=MappedModel)


class BaseSession(UnitOfWork):
    """What both colours of a session share."""

    # ---- asking -----------------------------------------------------------------------------------------------------------

    def _get_many(self, model: type[M], pks: Iterable[object], on_error: OnError = "raise") -> Flow[list[Any]]:
        keep = keeps_errors(on_error)
        found = yield from self._get_each(model, pks)
        return found if keep else sound(found)

    def _get_each(self, model: type[M], pks: Iterable[object]) -> Flow[list[M | DecodeError | None]]:
        mapper = cast("Mapper[M]", mapper_of(model))
        return (yield from self._rows(mapper, mapper.pk_texts(list(pks)))).found

    def _rows(self, mapper: Mapper[M], texts: Sequence[str], *, at_once: bool = True, beside: Ahead[Any] | None = None) -> Flow[Rows[M]]:
        """The objects of rows by the texts of their primary keys."""
        self._check_database(mapper)
        keys = mapper.keyspace(self.database.namespace).rows(texts)
        known = self._map.known(mapper, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        found: dict[str, Any] = {key: self._alive(obj) for key, obj in known.items()}
        if missing:
            loaded = yield from loaded_each(mapper, self.database.namespace, list(missing.values()), at_once=at_once, beside=beside)
            fresh = dict(zip(missing, loaded, strict=True))
            self._take_in(mapper, {key: obj for key, obj in fresh.items() if isinstance(obj, MappedModel)})
            found |= fresh
        return Rows([found[key] for key in keys], {place for place, key in enumerate(keys) if key in known} if known else ())

    def _take_in(self, mapper: Mapper[Any], loaded: dict[str, MappedModel]) -> None:
        """Make objects that were loaded just now this session's."""
        persistent = Phase.PERSISTENT
        for obj in loaded.values():
            state = state_of(obj)
            state.held_by, state.held_phase = self, persistent
        self._map.put_loaded(mapper, loaded)

    def _known(self, mapper: Mapper[M], key: str) -> M | None:
        return cast("M | None", self._map.get((cast("Any", mapper), key)))

    @staticmethod
    def _alive(obj: M | None) -> M | None:
        return None if obj is None or state_of(obj).phase is Phase.DELETED else obj

    def _get(self, model: type[M], pk: object) -> Flow[M | None]:
        (obj,) = sound((yield from self._get_each(model, (pk,))))
        return obj

    def _get_one(self, model: type[M], pk: object) -> Flow[M]:
        obj = yield from self._get(model, pk)
        if obj is None:
            raise not_found(model, pk, self.database.namespace)
        return obj

    def _exists(self, model: type[MappedModel], pk: object) -> Flow[bool]:
        mapper = mapper_of(model)
        self._check_database(mapper)
        key = mapper.keyspace(self.database.namespace).row(mapper.pk_text(pk))
        known = self._known(mapper, key)
        if known is not None:
            return self._alive(known) is not None
        return bool((yield from exists([key])))

    def _refresh(self, obj: MappedModel) -> Flow[None]:
        require_state(obj, self)
        yield from reread(obj, self.database.namespace)

    # ---- committing -------------------------------------------------------------------------------------------------------

    def _commit(self, batch: int | None = None) -> Flow[CommitResult]:
        if batch is not None and batch < 1:
            raise ValueError(f"commit(batch={batch}): a batch has at least one object")
        work = self._waiting()
        size = batch or max(len(work), 1)
        total = CommitResult(0, 0, 0)
        noted, riders = len(self._riders), list(self._riders)
        lives = [self._checked_live(obj, write) for obj, write in self._lives]
        guards: list[Guard] = []
        if self._acknowledgement is not None:
            acknowledgement, guard = self._acknowledgement
            riders.append(acknowledgement)
            guards.append(guard)
        met: list[Due] = []
        for start in range(0, max(len(work), bool(riders or lives)), size):
            last = start + size >= len(work)  # what rides along tells of everything that was written
            along = riders if last else ()
            done = yield from self._commit_part(work[start : start + size], along, lives if last else (), met, guards)
            total = CommitResult(*(sum(pair) for pair in zip(total, done, strict=True)))
        del self._riders[:noted]
        del self._lives[: len(lives)]
        self._acknowledgement = None
        yield from sweep_met(met)
        return total

    def _checked_live(self, obj: MappedModel, write: LiveWrite) -> LiveWrite:
        """A write to a live structure, of an object whose key is still the one it was meant for."""
        mapper = mapper_of(type(obj))
        key = key_of(mapper, mapper.keyspace(self.database.namespace), obj)
        if key != write.row:
            message = f"{write.key} was written to, and then its object got another key, {key}: rollback(), and write once the key is right"
            raise SessionError(message, model=type(obj), pk=obj.pk, key=write.key)
        return write

    def _waiting(self) -> list[tuple[MappedModel, Change | Kind]]:
        """What waits: deletions, new objects, and stored ones that were changed; of many that are alike only which kind of change it is."""
        namespace = self.database.namespace
        work: list[tuple[MappedModel, Change | Kind]] = list(zip(self._deleted.values(), repeat(Kind.DELETE)))
        work += zip(self._new.values(), repeat(Kind.INSERT))
        for mapper, objects, states in self._maybe_changed_classes():
            together, others = moved_together(mapper, objects, states)
            work += zip(together, repeat(Kind.UPDATE))
            for obj in others:
                state = state_of(obj)
                if state.phase is Phase.PERSISTENT and (change := change_of(obj, state, namespace)) is not None:
                    work.append((obj, change))
        return work

    def _commit_part(
        self,
        part: Sequence[tuple[MappedModel, Change | Kind]],
        riders: Sequence[Command],
        lives: Sequence[LiveWrite],
        met: list[Due],
        guards: Sequence[Guard],
    ) -> Flow[CommitResult]:
        work = [(obj, change) for obj, change in part if isinstance(change, Change)]
        change_now = partial(self._change_now, set())
        together = Together(self.database.namespace, self._created, change_now)
        rest: list[MappedModel] = []
        for kind in (Kind.DELETE, Kind.INSERT, Kind.UPDATE):
            rest += together.take([obj for obj, waits in part if waits is kind], kind)
        work += [(obj, change) for obj in rest if (change := change_now(obj)) is not None]
        try:
            done = yield from commit(
                [change for _, change in work],
                riders,
                new_version=new_version,
                rows=together or None,
                due=met,
                lives=lives,
                guards=guards,
                framed=True,
            )
        except CommitUnknownError:
            for obj, change in [*work, *(together.each or ())]:
                remember_number(obj, change)
            together.remember_numbers()
            raise
        except UnicodeEncodeError:  # nothing was executed
            refuse_texts([*(change for _, change in work), *together.changes()])
            raise
        work += together.each or ()
        for ready in together.settle():
            self._note_stored(ready)
        for obj, change in work:
            self._settle(obj, change)
        return done

    def _change_now(self, keys: set[str], obj: MappedModel) -> Change | None:
        """The change that deletes or stores an object, or writes what changed of it; `keys` are those of new ones so far."""
        if id(obj) in self._deleted:
            return deletion_of(obj, self.database.namespace)
        change = change_of(obj, state_of(obj), self.database.namespace, Kind.CREATE if id(obj) in self._created else None)
        if change is None or not change.is_new:
            return change
        if change.key and change.key in keys:
            raise SessionError(
                f"two new objects have the key {change.key}: give one another, or expunge it", model=type(obj), key=change.key
            )
        keys.add(change.key)
        return change

    def _note_stored(self, ready: Ready) -> None:
        """Take in that objects were stored together."""
        if ready.kind is Kind.DELETE:
            for obj, state in zip(ready.objects, ready.states, strict=True):
                state.life = None
                self._let_go(obj, state)
            return
        if ready.kind is Kind.UPDATE:
            self._map.committed.append((ready.mapper, ready.keys))
            return
        for state, key in zip(ready.states, ready.keys, strict=True):
            if state.key != key:  # its key was assigned after it was added
                self._map.remove((ready.mapper, state.key))
                state.key = key
        if self._created:
            self._created.difference_update(map(id, ready.objects))
        if len(ready.objects) == len(self._new):
            self._new.clear()
        else:
            for obj in ready.objects:
                del self._new[id(obj)]
        self._map.put_all(ready.mapper, ready.keys, ready.objects)

    def _settle(self, obj: MappedModel, change: Change) -> None:
        state = state_of(obj)
        if state.key != change.key:  # its key was assigned, or counted, after it was added
            self._map.remove(self._identity(obj, state.key))
        settle(obj, state, change)
        if change.kind is Kind.DELETE:
            self._let_go(obj, state)
            return
        self._new.pop(id(obj), None)
        self._created.discard(id(obj))
        state.phase = Phase.PERSISTENT
        self._map.put((change.mapper, state.key), obj)

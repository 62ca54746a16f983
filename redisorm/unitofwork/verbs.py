"""The verbs of models as flows, for objects that belong to no open session: each is a commit of one object.

The faces perform them; inside a session the same verbs only note what is to happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar, cast

from redisorm.commands import Flow
from redisorm.errors import CommitUnknownError, SessionError
from redisorm.flows.changes import PERMANENT, Change, Kind
from redisorm.flows.committing import commit_one
from redisorm.flows.loading import OnError, sound
from redisorm.flows.loading import exists as rows_there
from redisorm.flows.loading import time_to_live as remaining
from redisorm.flows.persistence import refuse_texts
from redisorm.flows.seeing import Tally
from redisorm.flows.spelling import Due
from redisorm.flows.sweeping import sweep_met
from redisorm.mapping.base import MappedModel, linked_state, mapper_of
from redisorm.mapping.layout import seconds_ms
from redisorm.mapping.mapper import Mapper

from .state import Phase, State, state_of
from .unit import UnitOfWork
from .work import (
    change_of,
    deletion_of,
    former_of,
    increment_of,
    key_of,
    loaded_each,
    loaded_rows,
    new_version,
    not_found,
    remember_number,
    reread,
    settle,
    wanted_life,
)

__all__ = [
    "create",
    "delete",
    "exists",
    "expire",
    "get",
    "get_many",
    "get_one",
    "increment",
    "keeps_errors",
    "refresh",
    "save",
    "session_of",
    "time_to_live",
]

M = TypeVar("M", bound=MappedModel)


def session_of(obj: MappedModel) -> UnitOfWork | None:
    """The open session an object belongs to."""
    state = linked_state(obj)
    return None if state is None else cast("UnitOfWork | None", state.session)


def keeps_errors(on_error: OnError) -> bool:
    """Whether errors of single rows stand in their places.

    Raises:
        ValueError: The word is neither of the two.
    """
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error={on_error!r}: write 'raise', or 'return' to have each DecodeError in its place in the list")
    return on_error == "return"


def get_many(model: type[M], pks: Iterable[object], namespace: str, on_error: OnError = "raise") -> Flow[list[Any]]:
    """Load rows in the order of their keys."""
    keep, mapper = keeps_errors(on_error), mapper_of(model)
    found = yield from loaded_each(mapper, namespace, mapper.pk_texts(list(pks)))
    return found if keep else sound(found)


def get(model: type[M], pk: object, namespace: str) -> Flow[M | None]:
    """Load a row that may be there."""
    mapper = cast("Mapper[M]", mapper_of(model))
    return (yield from loaded_rows(mapper, namespace, [mapper.pk_text(pk)]))[0]


def get_one(model: type[M], pk: object, namespace: str) -> Flow[M]:
    """Load a row that must be there."""
    mapper = cast("Mapper[M]", mapper_of(model))
    (obj,) = yield from loaded_rows(mapper, namespace, [mapper.pk_text(pk)])
    if obj is None:
        raise not_found(model, pk, namespace)
    return obj


def exists(model: type[MappedModel], pk: object, namespace: str) -> Flow[bool]:
    """Tell whether a row is there."""
    mapper = mapper_of(model)
    return bool((yield from rows_there([mapper.keyspace(namespace).row(mapper.pk_text(pk))])))


def create(obj: MappedModel, namespace: str) -> Flow[None]:
    """Store a new object only where no row is."""
    state = state_of(obj)
    yield from _write(obj, state, change_of(obj, state, namespace, Kind.CREATE))


def save(obj: MappedModel, ttl: float | timedelta | None, namespace: str) -> Flow[None]:
    """Insert an object, or update what changed; no round trip where nothing did."""
    state = state_of(obj)
    if ttl is None:
        return _write(obj, state, change_of(obj, state, namespace))
    return _write_to_live(obj, state, wanted_life(ttl, type(obj).__name__), namespace)


def _write_to_live(obj: MappedModel, state: State, life: int | None, namespace: str) -> Flow[None]:
    """Write what changed, with a life; whatever comes, the wish for it is forgotten."""
    state.wanted_life = life
    try:
        yield from _write(obj, state, change_of(obj, state, namespace))
    finally:
        state.forget_wishes()


def delete(obj: MappedModel, namespace: str) -> Flow[bool]:
    """Delete an object's row and all that belongs to it; tell whether it was there."""
    change = deletion_of(obj, namespace)
    yield from commit_one(change, Tally(), new_version=new_version)
    state = state_of(obj)
    settle(obj, state, change)
    state.phase = Phase.TRANSIENT
    return bool(change.outcome.was_there)


def refresh(obj: MappedModel, namespace: str) -> Flow[None]:
    """Read an object again in place."""
    yield from reread(obj, namespace)


def increment(obj: MappedModel, field: str, by: float | Decimal, namespace: str) -> Flow[Any]:
    """Add to a number at the server and set the new value."""
    change = _bare_update(obj, namespace)
    change.increments = [increment_of(obj, field, by)]
    yield from _write(obj, state_of(obj), change)
    return obj.__dict__[field]


def expire(obj: MappedModel, ttl: float | timedelta | None, namespace: str) -> Flow[None]:
    """Give a row a life of its own, or none."""
    change = _bare_update(obj, namespace)
    change.life = PERMANENT if ttl is None else seconds_ms(ttl, type(obj).__name__)
    yield from _write(obj, state_of(obj), change)


def time_to_live(obj: MappedModel, namespace: str) -> Flow[timedelta | None]:
    """Ask how long a row will live; `None` for ever."""
    milliseconds = yield from remaining(_key(obj, namespace))
    if milliseconds == -2:
        raise not_found(type(obj), obj.pk, namespace)
    return None if milliseconds == -1 else timedelta(milliseconds=milliseconds)


def _key(obj: MappedModel, namespace: str) -> str:
    mapper = mapper_of(type(obj))
    key = state_of(obj).key or key_of(mapper, mapper.keyspace(namespace), obj)
    if not key:
        raise SessionError(f"this {type(obj).__name__} has no primary key yet: save() it first", model=type(obj))
    return key


def _bare_update(obj: MappedModel, namespace: str) -> Change:
    """An update that writes nothing of what changed in the object."""
    mapper = mapper_of(type(obj))
    state = state_of(obj)
    key, former = _key(obj, namespace), partial(former_of, mapper, state)
    keyspace = mapper.keyspace(namespace)
    return Change(mapper, keyspace, Kind.UPDATE, obj.pk, key, version=state.version, former=former, former_life=state.life)


def _write(obj: MappedModel, state: State, change: Change | None) -> Flow[None]:
    if change is None:
        return
    met: list[Due] = []
    try:
        yield from commit_one(change, Tally(), new_version=new_version, due=met)
    except CommitUnknownError:
        remember_number(obj, change)
        raise
    except UnicodeEncodeError:  # nothing was executed
        refuse_texts((change,))
        raise
    settle(obj, state, change)
    if state.snapshot is not None and state.held_phase is not Phase.DETACHED:
        state.phase = Phase.DETACHED
    if met:
        yield from sweep_met(met)

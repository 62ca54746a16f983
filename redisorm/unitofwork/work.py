"""From the state of an object to a change for the flows, and back: what moves only after the server has agreed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import repeat
from random import getrandbits
from typing import Any, TypeVar

from pydantic import ValidationError

from redisorm.commands import Clock, Flow
from redisorm.errors import DecodeError, DetachedInstanceError, NotFoundError, SessionError
from redisorm.flows.ahead import Ahead
from redisorm.flows.changes import KEEP, PERMANENT, Change, Former, Increment, Kind
from redisorm.flows.committing import commit
from redisorm.flows.decoding import LOADED, Loaded, Make
from redisorm.flows.loading import load, load_each, sound
from redisorm.keys import Keyspace
from redisorm.mapping.base import MappedModel, link_state, link_states, linked_state, mapper_of
from redisorm.mapping.layout import Leaf, seconds_ms
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Snapshot, difference, snapshot_of_columns, whole

from .state import Phase, State, state_of

__all__ = [
    "add_here",
    "adopt",
    "change_of",
    "deletion_of",
    "former_of",
    "increment_of",
    "key_of",
    "loaded_each",
    "loaded_rows",
    "new_version",
    "not_found",
    "remember_number",
    "require_state",
    "reread",
    "settle",
    "wanted_life",
]

M = TypeVar("M", bound=MappedModel)


def new_version() -> int:
    """A random 48-bit number: a holder from a former life of a key must not be taken for a current one."""
    return getrandbits(48)


def key_of(mapper: Mapper[Any], keyspace: Keyspace, obj: MappedModel) -> str:
    """The key of an object's row; empty for an automatic primary key not given yet."""
    pk = mapper.value(obj, mapper.pk_name)
    if pk is None and mapper.automatic:
        return ""
    return keyspace.row(mapper.pk_text(pk))


def wanted_life(ttl: Any, owner: str) -> int | None:
    """The life a `ttl=` argument asks for, in milliseconds; `None` says nothing."""
    return None if ttl is None else seconds_ms(ttl, owner)


def change_of(obj: MappedModel, state: State, namespace: str, kind: Kind | None = None) -> Change | None:
    """Find what has to be written of an object in a state; `None` where nothing has.

    Raises:
        ValidationError: A value does not fit its annotation.
    """
    mapper = obj.__redisorm_mapper__ or mapper_of(type(obj))  # what it has itself is looked up in a third of the time
    keyspace = mapper.keyspace(namespace)
    life = KEEP if state.wanted_life is None else state.wanted_life
    if state.snapshot is None:
        key = key_of(mapper, keyspace, obj)
        fresh = mapper.generated and mapper.pk_name not in obj.model_fields_set and not state.tried
        state.tried = True
        pk = obj.__dict__[mapper.pk_name]
        return Change(mapper, keyspace, kind or Kind.INSERT, pk, key, whole(mapper, obj, key), fresh=fresh, life=life)
    found = difference(mapper, obj, state.snapshot, state.key)
    if found is None and not state.increments and life is KEEP:
        return None
    pk = obj.__dict__[mapper.pk_name]
    former = partial(former_of, mapper, state)
    return Change(mapper, keyspace, Kind.UPDATE, pk, state.key, found, state.version, life, state.increments, former, state.life)


def former_of(mapper: Mapper[Any], state: State, fields: Collection[str]) -> Former | None:
    """What an object was loaded with, as far as a commit has to compare it with the row; `None` where it never was."""
    snapshot = state.snapshot
    if snapshot is None:
        return None
    texts: dict[str, Any] = {}
    for name in fields:
        if name in mapper.slots.names:
            place = mapper.slots.place(name)
            texts[name] = mapper.encoder.spell(mapper.slots.order[place], snapshot.values, place, state.key)
    elements: dict[str, Any] = {}
    if mapper.companions:
        elements = {one.name: list(stored) for one, stored in zip(mapper.companions, snapshot.companions, strict=True)}
    return Former(snapshot.values, texts, elements)


def deletion_of(obj: MappedModel, namespace: str) -> Change:
    """The change that removes an object's row and all that belongs to it."""
    mapper = mapper_of(type(obj))
    keyspace = mapper.keyspace(namespace)
    state = state_of(obj)
    key = state.key or key_of(mapper, keyspace, obj)
    if not key:
        raise SessionError(f"this {type(obj).__name__} has no primary key yet, so there is no row to delete", model=type(obj))
    pk, former = obj.__dict__[mapper.pk_name], partial(former_of, mapper, state)
    return Change(mapper, keyspace, Kind.DELETE, pk, key, version=state.version, former=former, former_life=state.life)


def increment_of(obj: MappedModel, field: str, by: Any) -> Increment:
    """Check that a field is a number of the row itself, and `by` one that Python adds to it.

    Raises:
        TypeError: It is not, or is the primary key; or a float is to be added to a Decimal, or the other way round.
    """
    mapper = mapper_of(type(obj))
    slot = mapper.slots.order[mapper.slots.place(field)] if field in mapper.slots.names else None
    kinds = slot.codec.exact if isinstance(slot, Leaf) else frozenset()
    numeric = bool(kinds) and all(issubclass(kind, (int, float, Decimal)) and kind is not bool for kind in kinds)
    if not isinstance(slot, Leaf) or not numeric or slot.local != slot.name or field == mapper.pk_name:
        raise TypeError(
            f"{type(obj).__name__}.{field} cannot be incremented: name a field of the class itself that holds a number and is not the key"
        )
    apart = (Decimal, float) if Decimal in kinds else (float, Decimal) if float in kinds else None
    if not isinstance(by, (int, float, Decimal)) or (apart is not None and isinstance(by, apart[1])):
        wanted = "a number" if apart is None else f"a {apart[0].__name__} or an int"
        raise TypeError(f"{type(obj).__name__}.{field} cannot be incremented by {by!r}: give {wanted}")
    return Increment(slot, by)


def add_here(obj: MappedModel, increment: Increment) -> None:
    """Add to a number of an object that is not stored yet, as the server does: `None` counts as 0, and no validator of the class runs.

    Raises:
        ValidationError: The new value breaks a constraint of the field.
    """
    leaf, encoder = increment.leaf, mapper_of(type(obj)).encoder
    before = obj.__dict__[leaf.local]
    try:
        vars(obj)[leaf.local] = leaf.codec.check((0 if before is None else before) + increment.by)
    except ValidationError as error:
        raise encoder.invalid(error, leaf.name, "") from None
    obj.__pydantic_fields_set__.add(leaf.local)


def remember_number(obj: MappedModel, change: Change) -> None:
    """Give an object the number its commit took for it, so that a second commit writes the same row again."""
    if change.numbered:
        vars(obj)[change.mapper.pk_name] = change.pk
        obj.__pydantic_fields_set__.add(change.mapper.pk_name)


def settle(obj: MappedModel, state: State, change: Change) -> None:
    """Move the state of an object after the server has agreed to its change."""
    mapper, outcome = change.mapper, change.outcome
    if change.kind is Kind.DELETE:
        state.snapshot, state.version, state.life = None, None, None
        state.forget_wishes()
        return
    if change.numbered:
        remember_number(obj, change)
    if change.difference is not None:
        state.snapshot = change.difference.after
    state.key, state.version, state.life = change.key, outcome.version, outcome.life
    state.forget_wishes()
    if not outcome.numbers:
        return
    vars(obj).update(outcome.numbers)
    for name, number in outcome.numbers.items():
        if state.snapshot is not None:
            state.snapshot = state.snapshot.with_value(mapper.slots.place(name), number)


def adopt(obj: M, key: str, snapshot: Snapshot, version: int | None, life: int | None, _: int | None) -> M:
    """Link an object just read with its state: stored, and in no session yet."""
    link_state(obj, State(Phase.DETACHED, None, key, snapshot, version, life))
    return obj


def _adopt_many(
    objects: list[M],
    keys: Sequence[str],
    values: Sequence[tuple[Any, ...]],
    texts: Iterable[Mapping[int, bytes]],
    elements: Iterable[tuple[Any, ...]],
    versions: Iterable[int | None],
    lives: Iterable[int | None],
) -> list[M]:
    link_states(objects, zip(repeat(_detached), keys, values, texts, elements, versions, lives))
    return objects


def _detached(
    key: str, values: tuple[Any, ...], texts: Mapping[int, bytes], elements: tuple[Any, ...], version: int | None, life: int | None
) -> State:
    return State(Phase.DETACHED, None, key, snapshot_of_columns(values, texts, elements), version, life)


_ADOPTED: Make[Any, Any] = Make(adopt, _adopt_many)


def loaded_rows(mapper: Mapper[M], namespace: str, pk_texts: list[str]) -> Flow[list[M | None]]:
    """Load rows and link them with their states; where a class says so, restart their lives."""
    return sound((yield from loaded_each(mapper, namespace, pk_texts)))


def loaded_each(
    mapper: Mapper[M], namespace: str, pk_texts: list[str], *, at_once: bool = True, beside: Ahead[Any] | None = None
) -> Flow[list[M | DecodeError | None]]:
    """Load rows as `loaded_rows` does, with the error of each that cannot be read in its place.

    Args:
        at_once: Whether they have to be as of one instant, as far as `load_each` sees to that.
        beside: What else is asked in the same round trip.
    """
    keyspace = mapper.keyspace(namespace)
    if mapper.options.ttl_refresh != "read":
        return (yield from load_each(mapper, keyspace, pk_texts, _ADOPTED, at_once=at_once, beside=beside))
    found = yield from load_each(mapper, keyspace, pk_texts, LOADED, at_once=at_once, beside=beside)
    yield from _touch([one for one in found if isinstance(one, Loaded)], mapper, keyspace)
    return [adopt(one.obj, one.key, one.snapshot, one.version, one.life, None) if isinstance(one, Loaded) else one for one in found]


def _touch(found: list[Loaded[Any]], mapper: Mapper[Any], keyspace: Keyspace) -> Flow[None]:
    """Restart the lives that a tenth of has passed: reads in a row cost no write each."""
    now_ms = yield Clock()
    due: dict[str, Change] = {}
    for one in found:
        life = one.life if one.life is not None else mapper.options.ttl_ms
        if life is None or life == PERMANENT or one.deadline_ms is None or one.deadline_ms < 0:
            continue
        if one.deadline_ms - now_ms < life * 0.9:
            due[one.key] = Change(mapper, keyspace, Kind.UPDATE, one.obj.pk, one.key, version=one.version, touch=True)
    if due:
        yield from commit(list(due.values()), new_version=new_version)


def require_state(obj: MappedModel, session: object) -> State:
    """The state of an object of a session.

    Raises:
        DetachedInstanceError: It does not belong to it.
    """
    state: State | None = linked_state(obj)
    if state is None or state.session is not session:
        name = type(obj).__name__
        raise DetachedInstanceError(
            f"this {name} ({obj.pk!r}) is not in the session: add() it, or get it through the session", model=type(obj), pk=obj.pk
        )
    return state


def not_found(model: type[Any], pk: object, namespace: str) -> NotFoundError:
    """The error for a row that is not there."""
    mapper = mapper_of(model)
    key = mapper.keyspace(namespace).row(mapper.pk_text(pk))
    return NotFoundError(
        f"{model.__name__} {pk!r} is not there: no row under {key}, which was never stored, or deleted, or has expired",
        model=model,
        pk=pk,
        key=key,
    )


def reread(obj: MappedModel, namespace: str) -> Flow[None]:
    """Read an object again in place and drop its changes; `NotFoundError` where the row is gone."""
    mapper, state = mapper_of(type(obj)), state_of(obj)
    keyspace = mapper.keyspace(namespace)
    if not key_of(mapper, keyspace, obj):
        raise SessionError(f"this {type(obj).__name__} has no primary key yet, so there is no row to read", model=type(obj))
    (loaded,) = yield from load(mapper, keyspace, [mapper.pk_text(obj.__dict__[mapper.pk_name])])
    if loaded is None:
        raise not_found(type(obj), obj.pk, namespace)
    if mapper.options.ttl_refresh == "read":
        yield from _touch([loaded], mapper, keyspace)
    fresh: MappedModel = loaded.obj
    object.__setattr__(obj, "__dict__", fresh.__dict__)
    object.__setattr__(obj, "__pydantic_extra__", fresh.__pydantic_extra__)
    object.__setattr__(obj, "__pydantic_fields_set__", fresh.__pydantic_fields_set__)
    state.key, state.snapshot, state.version, state.life = loaded.key, loaded.snapshot, loaded.version, loaded.life
    if state.session is None:
        state.phase = Phase.DETACHED
    state.forget_wishes()

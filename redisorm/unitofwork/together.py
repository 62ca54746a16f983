"""The objects of a commit that can be spelled together, new ones and loaded ones, and what becomes of their states.

Bulk saves and bulk changes live here: nothing is made for each object that the commit can do without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress, islice
from operator import attrgetter, gt, not_, or_
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError

from redisorm.flows.changes import KEEP, Change, Kind
from redisorm.flows.deletedrows import DeletedRows
from redisorm.flows.loadedrows import LoadedRows
from redisorm.flows.newrows import NewRows
from redisorm.flows.numbering import give_key
from redisorm.flows.tables import Rows
from redisorm.mapping.base import MappedModel, known_state, mapper_of
from redisorm.mapping.differences import moved, moved_in, snapshots
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import CompanionChange, Snapshot, compare_companions, holds_same

from .state import Phase, State
from .work import new_version

__all__ = ["FEWEST", "Ready", "Together", "moved_together"]

_key, _snapshot, _values, _version = attrgetter("key"), attrgetter("snapshot"), attrgetter("values"), attrgetter("version")
_wanted_life, _tried = attrgetter("wanted_life"), attrgetter("tried")
_wishes, _standing = attrgetter("wanted_life", "increments"), attrgetter("wanted_life", "increments", "held_phase", "life")

FEWEST = 4
"""Below this many objects of a class, spelling each by itself costs less."""

_NO_WISHES = (None, ())
"""What is asked of objects beside their values: nothing."""


def moved_together(
    mapper: Mapper[Any], objects: Sequence[MappedModel], states: Sequence[State]
) -> tuple[list[MappedModel], Sequence[MappedModel]]:
    """Part the stored objects of a class: those to write together, since they have other values than they had, and those to look at."""
    alike = _alike(mapper, states) if LoadedRows.fit(mapper) else ()
    if sum(alike) < FEWEST:
        return [], objects
    same, befores = list(compress(objects, alike)), list(map(_snapshot, compress(states, alike)))
    try:
        now = snapshots(mapper, list(mapper.values_of(same)), list(map(_key, compress(states, alike))))
    except (KeyError, ValidationError):  # an object lacks a field, or one has what does not fit
        return [], objects
    others, alone = moved(now, befores), moved_in(LoadedRows.looked_at(mapper), now, befores)
    if mapper.companions:
        collected = [not holds_same(mapper, obj, was) for obj, was in zip(same, befores, strict=True)]
        others = list(map(or_, others, collected))
        if any(index.companion for index in mapper.indexes.values()):
            alone = list(map(or_, alone, collected))
    apart = [*compress(objects, map(not_, alike)), *compress(same, alone)]
    return list(compress(same, map(gt, others, alone))), apart


def _alike(mapper: Mapper[Any], states: Sequence[State]) -> list[bool]:
    """Which rows were loaded as all the others, and have nothing asked of them but to write their values."""
    alike = list(map((*_NO_WISHES, Phase.PERSISTENT, None).__eq__, map(_standing, states)))
    if mapper.options.versioned:  # a row without a version was written by another program
        alike = [one and state.version is not None for one, state in zip(alike, states, strict=True)]
    return alike


class Ready(NamedTuple):
    """The objects of one class that were stored or deleted together: the keys they have now, and their states."""

    mapper: Mapper[Any]
    keys: list[str]
    objects: Sequence[MappedModel]
    states: Sequence[State]
    snapshots: Sequence[Snapshot | None]
    versions: Sequence[int | None]
    kind: Kind
    life: int | None = None


class _New:
    """New objects of one class."""

    def __init__(self, mapper: Mapper[Any], objects: Sequence[MappedModel], created: AbstractSet[int]) -> None:
        self.mapper = mapper
        self.objects = objects
        self._states: list[State] = list(map(known_state, objects))
        self._life = self._states[0].wanted_life
        self._versions = [new_version() for _ in objects] if mapper.options.versioned else []
        self._created = created
        self._rows: NewRows | None = None
        self.numbers: Sequence[int] = ()

    @staticmethod
    def fitting(mapper: Mapper[Any], objects: Sequence[MappedModel], states: Sequence[State]) -> list[bool]:
        """Which objects can be spelled together: those that get the life that most get, and of which nothing else is asked.

        A counter follows an automatic key that was given by hand, so that whoever has one is looked at.
        """
        if not NewRows.fit(mapper):
            return [False] * len(states)
        ((life, _),) = Counter(map(_wanted_life, states)).most_common(1)
        alike = list(map((life, ()).__eq__, map(_wishes, states)))
        if not mapper.automatic:
            return alike
        return [one and obj.__dict__.get(mapper.pk_name) is None for one, obj in zip(alike, objects, strict=True)]

    @property
    def unnumbered(self) -> int:
        """How many automatic keys have no number yet."""
        return len(self.objects) if self.mapper.automatic else 0

    def remember_numbers(self) -> None:
        """Give the objects the numbers of this commit, so that another one would write the same rows."""
        name = self.mapper.pk_name
        for number, obj in zip(self.numbers, self.objects):  # noqa: B905 - of most classes there are none
            vars(obj)[name] = number
            obj.__pydantic_fields_set__.add(name)

    def spelled(self, namespace: str) -> Rows | None:
        """Their rows; `None` where one of them has to be looked at by itself."""
        mapper = self.mapper
        try:
            collections = [[obj.__dict__[one.name] for obj in self.objects] for one in mapper.companions]
            values = list(mapper.values_of(self.objects))
        except KeyError:  # an object lacks a field
            return None
        if self.numbers:
            place = mapper.slots.place(mapper.pk_name)
            values = [(*row[:place], number, *row[place + 1 :]) for number, row in zip(self.numbers, values, strict=True)]
        life = KEEP if self._life is None else self._life
        rows = NewRows(
            mapper, mapper.keyspace(namespace), values, collections, versions=self._versions, life=life, is_fresh=self._are_fresh()
        )
        try:
            if not rows.spell():
                return None
        except ValidationError:  # it is told of one object, in the order of all
            return None
        if mapper.generated:
            for state in self._states:
                state.tried = True
        self._rows = rows
        return rows

    def _are_fresh(self) -> bool:
        """Whether the keys of all were made at random, and no commit of them was begun."""
        if not (self.mapper.generated and self._created.isdisjoint(map(id, self.objects))) or any(map(_tried, self._states)):
            return False
        return all(self.mapper.pk_name not in obj.model_fields_set for obj in self.objects)

    def ready(self) -> Ready:
        """What their states become."""
        assert self._rows is not None
        versions: list[int | None] = [*self._versions] or [None] * len(self._states)
        return Ready(self.mapper, self._rows.keys, self.objects, self._states, self._rows.snapshots(), versions, Kind.INSERT, self._life)


class _Loaded:
    """Loaded objects of one class that changed."""

    numbers: Sequence[int] = ()

    def __init__(self, mapper: Mapper[Any], objects: Sequence[MappedModel]) -> None:
        self.mapper = mapper
        self.objects = objects
        self._states: Sequence[State] = ()
        self._after: Sequence[Snapshot] = ()
        self._rows: LoadedRows | None = None

    def spelled(self, namespace: str) -> Rows | None:
        """Their rows; `None` where one of them has to be looked at by itself."""
        mapper = self.mapper
        states: list[State] = list(map(known_state, self.objects))
        keys, before = list(map(_key, states)), list(map(_snapshot, states))
        changes: dict[int, list[CompanionChange]] = {}
        try:
            after = snapshots(mapper, list(mapper.values_of(self.objects)), keys)
            for number, obj in enumerate(self.objects if mapper.companions else ()):
                after[number].companions, found = compare_companions(mapper, obj, before[number], keys[number])
                if found:
                    changes[number] = found
        except ValidationError:  # it is told of one object, in the order of all
            return None
        rows = LoadedRows(mapper, mapper.keyspace(namespace), keys, after, before, changes, list(map(_version, states)))
        written = rows.spell()
        if written is None:
            return None
        self._rows = rows
        if written != list(range(len(states))):
            self.objects, states = [self.objects[number] for number in written], [states[number] for number in written]
            after = [after[number] for number in written]
        self._states, self._after = states, after
        return rows

    def ready(self) -> Ready:
        """What their states become."""
        assert self._rows is not None
        versions = [None if state.version is None else state.version + 1 for state in self._states]
        return Ready(self.mapper, self._rows.keys, self.objects, self._states, self._after, versions, Kind.UPDATE)


class _Deleted:
    """Objects of one class whose rows are deleted."""

    numbers: Sequence[int] = ()

    def __init__(self, mapper: Mapper[Any], objects: Sequence[MappedModel]) -> None:
        self.mapper = mapper
        self.objects = objects
        self._states: list[State] = list(map(known_state, objects))

    @staticmethod
    def fitting(mapper: Mapper[Any], states: Sequence[State]) -> list[bool]:
        """Which rows can be deleted together; those that are looked at were loaded, and those in indexes have no life of their own."""
        if not DeletedRows.fit(mapper):
            return [False] * len(states)
        indexed, versioned = mapper.indexed, mapper.options.versioned
        fit = [bool(state.key) and not (indexed and (state.snapshot is None or state.life is not None)) for state in states]
        return [one and state.version is not None for one, state in zip(fit, states, strict=True)] if versioned else fit

    def spelled(self, namespace: str) -> Rows | None:
        """Their rows; `None` where one of them has to be looked at by itself."""
        before = list(map(_values, map(_snapshot, self._states))) if self.mapper.indexed else []
        rows = DeletedRows(
            self.mapper, self.mapper.keyspace(namespace), list(map(_key, self._states)), before, list(map(_version, self._states))
        )
        return rows if rows.spell() else None

    def ready(self) -> Ready:
        """What their states become."""
        none = [None] * len(self._states)
        return Ready(self.mapper, list(map(_key, self._states)), self.objects, self._states, none, none, Kind.DELETE)


_Group: TypeAlias = _New | _Loaded | _Deleted

_GROUPS: Mapping[Kind, type[_Loaded | _Deleted]] = {Kind.UPDATE: _Loaded, Kind.DELETE: _Deleted}


def _fitting(mapper: Mapper[Any], objects: Sequence[MappedModel], kind: Kind) -> list[bool]:
    """Which objects of a class can be spelled together."""
    states: list[State] = list(map(known_state, objects))
    if kind is Kind.DELETE:
        return _Deleted.fitting(mapper, states)
    if kind is Kind.UPDATE:
        return [True] * len(states)
    return _New.fitting(mapper, objects, states)


class Together:
    """Objects, class by class.

    Attributes:
        each: The same as changes, where they were not spelled together after all; else `None`.
    """

    def __init__(self, namespace: str, created: AbstractSet[int], change_of: Callable[[MappedModel], Change | None]) -> None:
        """Begin with none.

        Args:
            created: The objects, by `id`, that may only be stored where no row is.
            change_of: Tells what has to be written of one object; `None` where nothing has.
        """
        self._namespace = namespace
        self._created = created
        self._change_of = change_of
        self._groups: list[_Group] = []
        self._spelled: list[_Group] = []
        self._ready: list[Ready] = []
        self.each: list[tuple[MappedModel, Change]] | None = None

    def __bool__(self) -> bool:
        return bool(self._groups)

    @property
    def all_new(self) -> bool:
        """Whether all objects are new."""
        return all(isinstance(group, _New) for group in self._groups)

    def take(self, objects: Sequence[MappedModel], kind: Kind) -> list[MappedModel]:
        """Take in those that can be spelled together, and tell the others.

        Args:
            kind: Whether they are new, or loaded and `moved_together`, or deleted.
        """
        models = dict.fromkeys(map(type, objects))
        rest: list[MappedModel] = []
        for model in models:
            mapper, group = mapper_of(model), list(objects) if len(models) == 1 else [obj for obj in objects if type(obj) is model]
            fit = _fitting(mapper, group, kind)
            if sum(fit) < FEWEST:
                rest += group
                continue
            fitting = list(compress(group, fit))
            self._groups.append(_New(mapper, fitting, self._created) if kind is Kind.INSERT else _GROUPS[kind](mapper, fitting))
            rest += compress(group, map(not_, fit))
        return rest

    def unnumbered(self) -> Mapping[str, int]:
        """How many automatic keys want a number, by the key of the counter."""
        wanted: dict[str, int] = {}
        for group in self._groups:
            if isinstance(group, _New) and group.unnumbered:
                counter = group.mapper.keyspace(self._namespace).counter
                wanted[counter] = wanted.get(counter, 0) + group.unnumbered
        return wanted

    def give_numbers(self, numbers: Mapping[str, Sequence[int]]) -> None:
        """Number the automatic keys by their counters."""
        rest = {counter: iter(some) for counter, some in numbers.items()}
        for group in self._groups:
            if isinstance(group, _New) and group.unnumbered:
                group.numbers = list(islice(rest[group.mapper.keyspace(self._namespace).counter], group.unnumbered))

    def remember_numbers(self) -> None:
        """Give the objects that were spelled together the numbers of this commit; that it is not known what became of it is no matter."""
        for group in self._spelled if self.each is None else ():
            if isinstance(group, _New):
                group.remember_numbers()

    def spelled(self) -> Sequence[Rows]:
        """Spell them; empty where one of them has to be looked at by itself, or nothing has to be written."""
        together: list[Rows] = []
        for group in self._groups:
            rows = group.spelled(self._namespace)
            if rows is None:
                return ()
            if rows.keys:
                self._spelled.append(group)
                together.append(rows)
        if len(together) == 1 and self.all_new:
            return together  # it has seen to its keys itself
        keys = [key for rows in together for key in rows.keys]
        return together if len(set(keys)) == len(keys) else ()

    def changes(self) -> Sequence[Change]:
        """The same objects, each as a change of its own."""
        if self.each is None:
            self.each = []
            for group in self._groups:
                each = [(obj, change) for obj in group.objects if (change := self._change_of(obj)) is not None]
                for number, (_, change) in zip(group.numbers, each):  # noqa: B905 - of most groups there are none
                    give_key(change, number)
                self.each += each
        return [change for _, change in self.each]

    def get_ready(self) -> None:
        """Prepare the states of what was spelled together for the success of the commit."""
        self._ready = [group.ready() for group in self._spelled]

    def settle(self) -> list[Ready]:
        """Move the states of what was spelled together, and tell them class by class; empty where each was a change of its own."""
        if self.each is not None:
            return []
        self.remember_numbers()
        for ready in self._ready:
            for state, snapshot, version in zip(ready.states, ready.snapshots, ready.versions, strict=True):
                state.snapshot, state.version, state.held_phase = snapshot, version, Phase.PERSISTENT
            if ready.life is not None:
                for state in ready.states:
                    state.life = ready.life
                    state.forget_wishes()
        return self._ready

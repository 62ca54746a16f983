"""The objects of one class that a commit spells together: new, loaded and changed, or deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError

from redisorm.flows.changes import KEEP, Kind
from redisorm.flows.deletedrows import DeletedRows
from redisorm.flows.loadedrows import LoadedRows
from redisorm.flows.newrows import NewRows
from redisorm.flows.tables import Rows
from redisorm.mapping.base import MappedModel, known_state
from redisorm.mapping.differences import snapshots
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import CompanionChange, Snapshot, compare_companions

from .state import State
from .work import new_version

__all__ = ["DeletedGroup", "Group", "LoadedGroup", "NewGroup", "Ready", "fitting"]

_key, _snapshot, _values, _version = attrgetter("key"), attrgetter("snapshot"), attrgetter("values"), attrgetter("version")
_wanted_life, _tried, _wishes = attrgetter("wanted_life"), attrgetter("tried"), attrgetter("wanted_life", "increments")


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


class NewGroup:
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


class LoadedGroup:
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


class DeletedGroup:
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


Group: TypeAlias = NewGroup | LoadedGroup | DeletedGroup


def fitting(mapper: Mapper[Any], objects: Sequence[MappedModel], kind: Kind) -> list[bool]:
    """Which objects of a class can be spelled together."""
    states: list[State] = list(map(known_state, objects))
    if kind is Kind.DELETE:
        return DeletedGroup.fitting(mapper, states)
    if kind is Kind.UPDATE:
        return [True] * len(states)
    return NewGroup.fitting(mapper, objects, states)

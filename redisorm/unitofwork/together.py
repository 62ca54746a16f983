"""The objects of a commit that can be spelled together, new ones and loaded ones, and what becomes of their states.

Bulk saves and bulk changes live here: nothing is made for each object that the commit can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress, islice
from operator import attrgetter, gt, not_, or_
from typing import Any

from pydantic import ValidationError

from redisorm.flows.changes import Change, Kind
from redisorm.flows.loadedrows import LoadedRows
from redisorm.flows.numbering import give_key
from redisorm.flows.tables import Rows
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.mapping.differences import moved, moved_in, snapshots
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import holds_same

from .groups import DeletedGroup, Group, LoadedGroup, NewGroup, Ready, fitting
from .state import Phase, State

__all__ = ["FEWEST", "Together", "moved_together"]

_key, _snapshot, _standing = attrgetter("key"), attrgetter("snapshot"), attrgetter("wanted_life", "increments", "held_phase", "life")

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
        self._groups: list[Group] = []
        self._spelled: list[Group] = []
        self._ready: list[Ready] = []
        self.each: list[tuple[MappedModel, Change]] | None = None

    def __bool__(self) -> bool:
        return bool(self._groups)

    def take(self, objects: Sequence[MappedModel], kind: Kind) -> list[MappedModel]:
        """Take in those that can be spelled together, and tell the others.

        Args:
            kind: Whether they are new, or loaded and `moved_together`, or deleted.
        """
        models = dict.fromkeys(map(type, objects))
        rest: list[MappedModel] = []
        for model in models:
            mapper, group = mapper_of(model), list(objects) if len(models) == 1 else [obj for obj in objects if type(obj) is model]
            fit = fitting(mapper, group, kind)
            if sum(fit) < FEWEST:
                rest += group
                continue
            self._groups.append(self._group(mapper, list(compress(group, fit)), kind))
            rest += compress(group, map(not_, fit))
        return rest

    def _group(self, mapper: Mapper[Any], objects: Sequence[MappedModel], kind: Kind) -> Group:
        if kind is Kind.DELETE:
            return DeletedGroup(mapper, objects)
        return LoadedGroup(mapper, objects) if kind is Kind.UPDATE else NewGroup(mapper, objects, self._created)

    def unnumbered(self) -> Mapping[str, int]:
        """How many automatic keys want a number, by the key of the counter."""
        wanted: dict[str, int] = {}
        for group in self._groups:
            if isinstance(group, NewGroup) and group.unnumbered:
                counter = group.mapper.keyspace(self._namespace).counter
                wanted[counter] = wanted.get(counter, 0) + group.unnumbered
        return wanted

    def give_numbers(self, numbers: Mapping[str, Sequence[int]]) -> None:
        """Number the automatic keys by their counters."""
        rest = {counter: iter(some) for counter, some in numbers.items()}
        for group in self._groups:
            if isinstance(group, NewGroup) and group.unnumbered:
                group.numbers = list(islice(rest[group.mapper.keyspace(self._namespace).counter], group.unnumbered))

    def remember_numbers(self) -> None:
        """Give the objects that were spelled together the numbers of this commit; that it is not known what became of it is no matter."""
        for group in self._spelled if self.each is None else ():
            if isinstance(group, NewGroup):
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
        if len(together) == 1 and isinstance(self._spelled[0], NewGroup):
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

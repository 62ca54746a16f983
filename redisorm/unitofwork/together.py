"""The new objects of a commit that can be spelled together, and what becomes of their states.

Bulk saves live here: nothing is made for each object that the commit can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from redisorm.flows.changes import Change
from redisorm.flows.newrows import NewRows
from redisorm.mapping.base import MappedModel, known_state, mapper_of
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Snapshot

from .state import Phase, State

__all__ = ["FEWEST", "Ready", "Together"]

_life = attrgetter("wanted_life")

FEWEST = 4
"""Below this many objects of a class, spelling each by itself costs less."""


class Ready(NamedTuple):
    """The objects of one class that were stored together: the keys they have now, and their states."""

    mapper: Mapper[Any]
    keys: list[str]
    objects: list[MappedModel]
    states: list[State]
    snapshots: list[Snapshot]


class Together:
    """New objects, class by class.

    Attributes:
        objects: The objects, in the order of the rows.
        each: The same as changes, where they were not spelled together after all; else `None`.
    """

    def __init__(self, namespace: str, change_of: Callable[[MappedModel], Change]) -> None:
        self._namespace = namespace
        self._change_of = change_of
        self.objects: dict[type[MappedModel], list[MappedModel]] = {}
        self.rows: list[NewRows] = []
        self.each: list[tuple[MappedModel, Change]] | None = None
        self._ready: list[Ready] = []

    @staticmethod
    def part(
        objects: Sequence[MappedModel], namespace: str, change_of: Callable[[MappedModel], Change]
    ) -> tuple[Together | None, list[MappedModel]]:
        """Part new objects into those that can be spelled together and the others."""
        together = Together(namespace, change_of)
        models = dict.fromkeys(map(type, objects))
        rest: list[MappedModel] = []
        for model in models:
            group = list(objects) if len(models) == 1 else [obj for obj in objects if type(obj) is model]
            if len(group) >= FEWEST and NewRows.fit(mapper_of(model)) and set(map(_life, map(known_state, group))) == {None}:
                together.objects[model] = group
            else:
                rest += group
        return (together if together.objects else None), rest

    def spelled(self) -> Sequence[NewRows]:
        """Spell them; empty where one of them has to be looked at by itself."""
        for model, group in self.objects.items():
            mapper = mapper_of(model)
            try:
                collections = [[obj.__dict__[one.name] for obj in group] for one in mapper.companions]
                rows = NewRows(mapper, mapper.keyspace(self._namespace), list(mapper.values_of(group)), collections)
            except KeyError:  # an object lacks a field
                self.rows = []
                return ()
            if not rows.spell():
                self.rows = []
                return ()
            self.rows.append(rows)
        if len(self.rows) == 1:
            return self.rows
        keys = [key for rows in self.rows for key in rows.keys]
        return self.rows if len(set(keys)) == len(keys) else ()

    def changes(self) -> Sequence[Change]:
        """The same objects, each as a change of its own."""
        if self.each is None:
            self.each = [(obj, self._change_of(obj)) for group in self.objects.values() for obj in group]
        return [change for _, change in self.each]

    def get_ready(self) -> None:
        """Prepare the states of what was spelled together for the success of the commit."""
        self._ready = [
            Ready(rows.mapper, rows.keys, objects, list(map(known_state, objects)), rows.snapshots())
            for rows, objects in zip(self.rows, self.objects.values(), strict=True)
        ]

    def settle(self) -> list[Ready]:
        """Move the states of what was spelled together, and tell them class by class; empty where each was a change of its own."""
        if self.each is not None:
            return []
        persistent = Phase.PERSISTENT
        for ready in self._ready:
            for state, snapshot in zip(ready.states, ready.snapshots, strict=True):
                state.snapshot, state.held_phase = snapshot, persistent
        return self._ready

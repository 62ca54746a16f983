"""The new objects of a commit that can be spelled together, and what becomes of their states.

Bulk saves live here: nothing is made for each object that the commit can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from redisorm.flows.changes import Change
from redisorm.flows.newrows import NewRows
from redisorm.mapping.base import MappedModel, known_state, mapper_of

from .state import State

__all__ = ["FEWEST", "Together"]

FEWEST = 4
"""Below this many objects of a class, spelling each by itself costs less."""


def _is_special(obj: MappedModel) -> bool:
    """Whether something was asked of an object beside being stored."""
    state: State = known_state(obj)
    return state.wanted_life is not None


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

    @staticmethod
    def part(
        objects: Sequence[MappedModel], namespace: str, change_of: Callable[[MappedModel], Change]
    ) -> tuple[Together | None, list[MappedModel]]:
        """Part new objects into those that can be spelled together and the others."""
        together = Together(namespace, change_of)
        by_class: dict[type[MappedModel], list[MappedModel]] = {}
        for obj in objects:
            by_class.setdefault(type(obj), []).append(obj)
        rest: list[MappedModel] = []
        for model, group in by_class.items():
            if len(group) >= FEWEST and NewRows.fit(mapper_of(model)) and not any(map(_is_special, group)):
                together.objects[model] = group
            else:
                rest += group
        return (together if together.objects else None), rest

    def spelled(self) -> Sequence[NewRows]:
        """Spell them; empty where one of them has to be looked at by itself."""
        for model, group in self.objects.items():
            mapper = mapper_of(model)
            rows = NewRows(mapper, mapper.keyspace(self._namespace), list(mapper.values_of(group)))
            if not rows.spell():
                self.rows = []
                return ()
            self.rows.append(rows)
        keys = [key for rows in self.rows for key in rows.keys]
        return self.rows if len(set(keys)) == len(keys) else ()

    def changes(self) -> Sequence[Change]:
        """The same objects, each as a change of its own."""
        if self.each is None:
            self.each = [(obj, self._change_of(obj)) for group in self.objects.values() for obj in group]
        return [change for _, change in self.each]

    def settled(self) -> Iterator[tuple[NewRows, list[MappedModel]]]:
        """The rows that were spelled together, each class with its objects."""
        return zip(self.rows, self.objects.values(), strict=True)

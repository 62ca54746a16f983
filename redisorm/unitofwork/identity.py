"""The identity map: one object for one row, however often it is asked for (Fowler, *Identity Map*).

Clean objects are held weakly, so that a long session does not keep all it has seen. What a commit needs is held, and so is
what may change without an assignment: `session.get(User, 1).tags.add("x")` has let go of the user before the set changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import ref

from redisorm.mapping.base import MappedModel
from redisorm.mapping.mapper import Mapper

__all__ = ["Identity", "IdentityMap"]

Identity = tuple["Mapper[MappedModel]", str]
"""A mapper and the key of a row: two classes may read one key."""


class IdentityMap:
    """Objects by identity: those with work to do strongly, the others weakly.

    Attributes:
        committed: What `loosen_committed` will let go of.
    """

    def __init__(self) -> None:
        self._seen: dict[Mapper[Any], dict[str, ref[MappedModel]]] = {}
        self._held: dict[Mapper[Any], dict[str, MappedModel]] = {}
        self.committed: list[tuple[Mapper[Any], Sequence[str]]] = []

    def get(self, identity: Identity) -> MappedModel | None:
        """The object of a row, or `None`."""
        mapper, key = identity
        held = self._held[mapper].get(key) if mapper in self._held else None
        if held is None and mapper in self._seen and (seen := self._seen[mapper].get(key)) is not None:
            return seen()
        return held

    def known(self, mapper: Mapper[Any], keys: Sequence[str]) -> dict[str, MappedModel]:
        """The objects of those rows that have one."""
        if not self._held.get(mapper) and not self._seen.get(mapper):
            return {}
        return {key: obj for key in keys if (obj := self.get((mapper, key))) is not None}

    def put(self, identity: Identity, obj: MappedModel) -> None:
        """Remember an object, as long as somebody else keeps it where no change can be made in it unseen."""
        mapper, key = identity
        if mapper.changes_in_place:
            self.hold(identity, obj)
            return
        if mapper in self._held:
            self._held[mapper].pop(key, None)
        seen = self._seen.get(mapper)
        if seen is None:
            seen = self._seen[mapper] = {}
        seen[key] = ref(obj)

    def put_loaded(self, mapper: Mapper[Any], objects: Mapping[str, MappedModel]) -> None:
        """Remember objects of rows that had none, as `put` does."""
        if mapper.changes_in_place:
            self._held.setdefault(mapper, {}).update(objects)
        else:
            self._seen.setdefault(mapper, {}).update(zip(objects, map(ref, objects.values()), strict=True))

    def let_go(self, identity: Identity, obj: MappedModel) -> None:
        """Forget an object that nobody keeps any more. Called as it goes, so that what is left of it does not pile up."""
        mapper, key = identity
        seen = self._seen.get(mapper)
        if seen is not None and (known := seen.get(key)) is not None and (known() is None or known() is obj):
            seen.pop(key, None)

    def put_all(self, mapper: Mapper[Any], keys: Sequence[str], objects: Sequence[MappedModel]) -> None:
        """Remember many objects, as `put` does. They are let go of at `loosen_committed`: a session mostly ends before."""
        self._held.setdefault(mapper, {}).update(zip(keys, objects, strict=True))
        if not mapper.changes_in_place:
            self.committed.append((mapper, keys))

    def loosen_committed(self) -> None:
        """Hold weakly what was held a little longer since its commit."""
        committed, self.committed = self.committed, []
        for mapper, keys in committed:
            for key in keys:
                self.loosen((mapper, key))

    def hold(self, identity: Identity, obj: MappedModel) -> None:
        """Remember an object, and keep it."""
        mapper, key = identity
        held = self._held.get(mapper)
        if held is None:
            held = self._held[mapper] = {}
        held[key] = obj
        if mapper in self._seen:
            self._seen[mapper].pop(key, None)

    def hold_new(self, mapper: Mapper[Any], keys: Sequence[str], objects: Sequence[MappedModel]) -> bool:
        """Remember many objects, and keep them; `False`, and nothing is done, where a row has an object or is there twice."""
        held, seen = self._held.setdefault(mapper, {}), self._seen.get(mapper)
        fresh = dict(zip(keys, objects, strict=True))
        if len(fresh) < len(keys) or not held.keys().isdisjoint(fresh) or (seen and not fresh.keys().isdisjoint(seen)):
            return False
        held.update(fresh)
        return True

    def loosen(self, identity: Identity) -> None:
        """Keep an object from now on only as `put` does."""
        mapper, key = identity
        if not mapper.changes_in_place and mapper in self._held and key in self._held[mapper]:
            self.put(identity, self._held[mapper][key])

    def loosen_all(self) -> None:
        """Keep every object from now on only as `put` does."""
        for mapper, held in self._held.items():
            for key in list(held):
                self.loosen((mapper, key))

    def remove(self, identity: Identity) -> None:
        """Forget an object."""
        mapper, key = identity
        for known in (self._held, self._seen):
            if mapper in known:
                known[mapper].pop(key, None)

    def classes(self) -> Iterator[tuple[Mapper[Any], list[MappedModel]]]:
        """The objects of each class, once each."""
        for mapper, seen in list(self._seen.items()):
            yield mapper, [obj for known in list(seen.values()) if (obj := known()) is not None]
        for mapper, held in list(self._held.items()):
            yield mapper, list(held.values())

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._seen.clear()
        self.committed.clear()

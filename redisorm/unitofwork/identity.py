"""The identity map: one object for one row, however often it is asked for (Fowler, *Identity Map*).

Clean objects are held weakly, so that a long session does not keep all it has seen. What a commit needs is held, and so is
what may change without an assignment: `session.get(User, 1).tags.add("x")` has let go of the user before the set changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakValueDictionary

from redisorm.mapping.base import MappedModel
from redisorm.mapping.mapper import Mapper

__all__ = ["Identity", "IdentityMap"]

Identity = tuple["Mapper[MappedModel]", str]
"""A mapper and the key of a row: two classes may read one key."""


class IdentityMap:
    """Objects by identity: those with work to do strongly, the others weakly."""

    def __init__(self) -> None:
        self._seen: WeakValueDictionary[Identity, MappedModel] = WeakValueDictionary()
        self._held: dict[Identity, MappedModel] = {}

    def get(self, identity: Identity) -> MappedModel | None:
        """The object of a row, or `None`."""
        held = self._held.get(identity)
        return self._seen.get(identity) if held is None else held

    def put(self, identity: Identity, obj: MappedModel) -> None:
        """Remember an object, as long as somebody else keeps it where no change can be made in it unseen."""
        if identity[0].changes_in_place:
            self._held[identity] = obj
            return
        self._held.pop(identity, None)
        self._seen[identity] = obj

    def hold(self, identity: Identity, obj: MappedModel) -> None:
        """Remember an object, and keep it."""
        self._held[identity] = obj

    def loosen(self, identity: Identity) -> None:
        """Keep an object from now on only as `put` does."""
        if identity[0].changes_in_place:
            return
        obj = self._held.pop(identity, None)
        if obj is not None:
            self._seen[identity] = obj

    def remove(self, identity: Identity) -> None:
        """Forget an object."""
        self._held.pop(identity, None)
        self._seen.pop(identity, None)

    def __iter__(self) -> Iterator[tuple[Identity, MappedModel]]:
        return iter(list({**dict(self._seen.items()), **self._held}.items()))

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._seen.clear()

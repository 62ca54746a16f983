"""Changing and deleting all rows of a query: in batches, each one transaction that looks at every row again before it writes it.

The whole is not atomic. A row that no longer fits when its turn comes is left alone, so that of several workers one at most has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from redisorm.commands import Flow
from redisorm.errors import QueryError
from redisorm.flows.changes import Change, Kind
from redisorm.flows.committing import commit
from redisorm.flows.loading import load
from redisorm.flows.matching import Matcher
from redisorm.flows.spelling import Due
from redisorm.flows.sweeping import sweep_met
from redisorm.keys import Keyspace
from redisorm.mapping.base import MappedModel
from redisorm.mapping.layout import Leaf
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Difference, Snapshot, difference

from .reading import Asked
from .work import new_version

__all__ = ["ROWS", "delete_rows", "update_rows"]

M = TypeVar("M", bound=MappedModel)

ROWS = 500
"""Rows of one transaction."""

_NOTHING = Snapshot(())


def delete_rows(asked: Asked[Any], namespace: str) -> Flow[int]:
    """Delete the rows of a query, and tell how many there were."""
    keyspace, matcher = asked.mapper.keyspace(namespace), Matcher(asked.mapper, asked.expression)

    def changes(pk_texts: Sequence[str]) -> Flow[list[Change]]:
        yield from ()
        return [_change(asked.mapper, keyspace, matcher, Kind.DELETE, text) for text in pk_texts]

    return (yield from _in_batches(asked, keyspace, changes, ROWS))


def update_rows(asked: Asked[Any], namespace: str, values: dict[str, Any]) -> Flow[int]:
    """Set fields of the rows of a query, and tell how many there were.

    Raises:
        ValidationError: A value does not fit its field. Nothing was sent.
        QueryError: A name is no field that can be set.
    """
    mapper = asked.mapper
    update = Update(mapper, values)
    keyspace, matcher = mapper.keyspace(namespace), Matcher(mapper, asked.expression)

    def changes(pk_texts: Sequence[str]) -> Flow[list[Change]]:
        found = yield from update.differences(keyspace, pk_texts)
        return [_change(mapper, keyspace, matcher, Kind.UPDATE, text, one) for text, one in found]

    takes_unique = any(leaf.name in update.names for unique in mapper.uniques for leaf in unique.leaves)
    return (yield from _in_batches(asked, keyspace, changes, 1 if takes_unique else ROWS))


def _change(
    mapper: Mapper[Any], keyspace: Keyspace, matcher: Matcher[Any], kind: Kind, pk_text: str, found: Difference | None = None
) -> Change:
    return Change(mapper, keyspace, kind, mapper.pk_value(pk_text), keyspace.row(pk_text), found, only_if=matcher.condition(pk_text))


def _in_batches(asked: Asked[Any], keyspace: Keyspace, changes: Callable[[Sequence[str]], Flow[list[Change]]], size: int) -> Flow[int]:
    """Make the changes of all rows, until the limit of the query is reached. Writing moves entries, so rows seen before are passed over."""
    candidates = yield from asked.candidates((yield from asked.plan(keyspace)))
    seen: set[bytes] = set()
    met: list[Due] = []
    skip, left, done = asked.offset, asked.limit, 0
    while left is None or done < left:
        members = yield from candidates.take(skip + size if left is None else skip + min(size, left - done))
        if not members:
            break
        skip, members = max(skip - len(members), 0), members[skip:]
        fresh = [member for member in members if member not in seen]
        seen.update(fresh)
        work = yield from changes([member.decode() for member in fresh])
        if work:
            yield from commit(work, new_version=new_version, due=met)
        done += sum(not change.outcome.skipped for change in work)
    yield from sweep_met(met)
    return done


class Update:
    """Values for fields of many rows.

    Where nothing of the class's own depends on other fields, the values are checked once and written blindly. Validators,
    computed fields, nested models and collections need the row: it is loaded, and the values assigned.

    Attributes:
        names: The fields that are written.
    """

    def __init__(self, mapper: Mapper[Any], values: dict[str, Any]) -> None:
        self._mapper = mapper
        self._values = values
        self.names = frozenset(values)
        if not values:
            raise QueryError(
                f"{mapper.model.__name__}.find().update() sets nothing: name a field, as in update(status='done')", model=mapper.model
            )
        parts = mapper.parts
        for name in values:
            if name not in mapper.model.model_fields or name == mapper.pk_name or name not in parts:
                what = "is the primary key, which stays" if name == mapper.pk_name else "is no stored field of its own"
                raise QueryError(f"update({name}=...): {mapper.model.__name__}.{name} {what}", model=mapper.model, field=name)
        leaves = [part for name in values if isinstance(part := parts[name], Leaf)]
        decorators = mapper.model.__pydantic_decorators__
        own = (decorators.field_validators, decorators.validators, decorators.model_validators, decorators.root_validators)
        self._by_rows = len(leaves) < len(values) or any(own) or bool(mapper.slots.computed)
        self._checked = {name: _checked(mapper.model, name, value) for name, value in values.items()} if not any(own) else {}
        self._blind = None if self._by_rows else self._spelled(self._checked)

    def _spelled(self, values: dict[str, Any]) -> Difference:
        """Write these values, whatever there was."""
        found = Difference(_NOTHING)
        for name, value in values.items():
            place = self._mapper.slots.place(name)
            row = (None,) * place + (value,)
            text = self._mapper.encoder.spell(self._mapper.slots.order[place], row, place, "")
            if text is None:
                found.unsets.append(name)
            else:
                found.sets += (name, text)
        return found

    def differences(self, keyspace: Keyspace, pk_texts: Sequence[str]) -> Flow[Iterable[tuple[str, Difference]]]:
        """What to write of each row; nothing of one that is gone."""
        if self._blind is not None:
            return [(text, self._blind) for text in pk_texts]
        loaded = yield from load(self._mapper, keyspace, pk_texts)
        there = ((text, one) for text, one in zip(pk_texts, loaded, strict=True) if one is not None)
        return [(text, self._assigned(one.obj, one.snapshot, one.key)) for text, one in there]

    def _assigned(self, obj: MappedModel, before: Snapshot, key: str) -> Difference:
        for name, value in self._values.items():
            setattr(obj, name, value)
        found = difference(self._mapper, obj, before, key) or Difference(_NOTHING)
        parts = self._mapper.parts
        written = {*found.sets[::2], *found.unsets}
        same = {name: obj.__dict__[name] for name in self._values if isinstance(parts[name], Leaf) and name not in written}
        blind = self._spelled(same)  # another writer may have changed what is the same here
        found.sets += blind.sets
        found.unsets += blind.unsets
        return found


def _checked(model: type[MappedModel], name: str, value: Any) -> Any:
    """A value as an assignment to a field makes it."""
    bare: Any = object.__new__(model)
    object.__setattr__(bare, "__dict__", {})
    for slot, empty in (("__pydantic_fields_set__", set()), ("__pydantic_extra__", None), ("__pydantic_private__", None)):
        object.__setattr__(bare, slot, empty)
    model.__pydantic_validator__.validate_assignment(bare, name, value)
    return bare.__dict__[name]

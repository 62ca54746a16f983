"""Finding the row that has a unique value: the value's key tells whose it is, and the row whether it still is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from redisorm.commands import Batch, Flow
from redisorm.errors import NotIndexedError, QueryError
from redisorm.flows.loading import sound
from redisorm.flows.matching import value_of
from redisorm.keys import unique_entry
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.mapping.columns import Searched
from redisorm.mapping.indexes import Unique
from redisorm.mapping.mapper import Mapper

from .reading import Holder

__all__ = ["get_by"]

M = TypeVar("M", bound=MappedModel)


def get_by(model: type[M], values: Mapping[str, Any], holder: Holder, namespace: str) -> Flow[M | None]:
    """Load the row that has a unique value."""
    mapper = cast("Mapper[M]", mapper_of(model))
    if set(values) == {mapper.pk_name}:
        (obj,) = sound((yield from holder._rows(mapper, [mapper.pk_text(values[mapper.pk_name])])).found)
        return obj
    unique = _unique_of(mapper, values)
    words = [Unique.text(leaf, _checked(model, leaf.name, values[leaf.name])) for leaf in unique.leaves]
    (owner,) = yield Batch([("GET", mapper.keyspace(namespace).own(unique_entry(unique.name, words)))], resend=True)
    if owner is None:
        return None
    rows = yield from holder._rows(mapper, [owner.decode()])
    (found,) = sound(rows.found)
    return None if found is None or (not rows.known and _words(unique, found) != words) else found


def _unique_of(mapper: Mapper[Any], values: Mapping[str, Any]) -> Unique:
    for unique in mapper.uniques:
        if {leaf.name for leaf in unique.leaves} == set(values):
            return unique
    names = ", ".join(values) or "nothing"
    known = ", ".join(unique.name for unique in mapper.uniques) or "none"
    raise NotIndexedError(
        f"{mapper.model.__name__}.get_by({names}): these are no unique field and no unique_together of the class, which has {known}: "
        f"declare Field(unique=True), or use find(...)",
        model=mapper.model,
        field=next(iter(values), None),
    )


def _checked(model: type[MappedModel], name: str, value: Any) -> Any:
    if value is None:
        raise QueryError(
            f"{model.__name__}.get_by({name}=None): None is not unique, any number of rows may be without a value: use find({name}=None)",
            model=model,
            field=name,
        )
    return Searched(model, name, mapper_of).fitting(value)


def _words(unique: Unique, obj: MappedModel) -> list[str | None]:
    values = [value_of(obj, leaf.name) for leaf in unique.leaves]
    return [None if value is None else Unique.text(leaf, value) for leaf, value in zip(unique.leaves, values, strict=True)]

"""Unique values: who has which, who may take it, and what is told to those who may not.

A value whose owner is gone, or has another value now, is free to be taken; so is one that its owner gives up in the same
commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redisorm.errors import UniqueViolationError
from redisorm.mapping.codec import Text
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.indexes import Unique
from redisorm.mapping.layout import Leaf

from .changes import Change, Kind
from .entries import Texts, claims_of
from .guards import texts_after
from .plan import Plan, Seen

__all__ = ["Dispute", "contested", "owner_keeps", "refuse_twins", "violation"]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A unique value that a change takes and another row has.

    Attributes:
        name: What comes after `prefix::` in its key.
        texts: The texts the row of the change will have.
        owner: The primary key of the other row.
    """

    change: Change
    unique: Unique
    name: str
    texts: Texts
    owner: str


def refuse_twins(changes: Sequence[Change]) -> None:
    """Refuse two objects of one commit that take one value.

    Raises:
        UniqueViolationError: Two do. Nothing was sent.
    """
    takers: dict[str, Change] = {}
    for change in changes if len(changes) > 1 else ():
        if change.kind is Kind.DELETE or not change.mapper.uniques:
            continue
        texts = change.texts()
        for name, unique in claims_of(change.mapper, texts).items():
            _refuse_twin(takers, change, name, unique, texts)


def _refuse_twin(takers: dict[str, Change], change: Change, name: str, unique: Unique, texts: Texts) -> None:
    other = takers.setdefault(change.keyspace.own(name), change)
    if other is not change:
        raise violation(change, unique, texts, f"{other.mapper.model.__name__} {other.pk!r} takes it in the same commit", other.pk)


def contested(plan: Plan, seen: Seen) -> list[Dispute]:
    """Find the values that a change takes and another row has, and that are not given up in the same commit.

    Raises:
        UniqueViolationError: Two changes take one value.
    """
    freed = _freed(plan, seen)
    takers: dict[str, Change] = {}
    disputes = []
    for change in plan.changes:
        if change.kind is Kind.DELETE or not change.mapper.uniques or not seen.of(change).fits:
            continue
        pk_text = change.mapper.pk_text(change.pk)
        texts = texts_after(change, seen.of(change))
        for name, unique in claims_of(change.mapper, texts).items():
            key = change.keyspace.own(name)
            _refuse_twin(takers, change, name, unique, texts)
            owner = seen.owners.get(key)
            if owner is not None and owner != pk_text and (key, owner) not in freed:
                disputes.append(Dispute(change, unique, name, texts, owner))
    return disputes


def _freed(plan: Plan, seen: Seen) -> set[tuple[str, str]]:
    """Key and owner of every value that is given up."""
    freed: set[tuple[str, str]] = set()
    for change in plan.changes:
        row = seen.of(change)
        if not change.mapper.uniques or not row.fits:
            continue
        kept = {} if change.kind is Kind.DELETE else claims_of(change.mapper, texts_after(change, row))
        pk_text = change.mapper.pk_text(change.pk)
        freed.update((change.keyspace.own(name), pk_text) for name in claims_of(change.mapper, row.texts) if name not in kept)
    return freed


def owner_keeps(dispute: Dispute, texts: Sequence[Any]) -> None:
    """Refuse a value that its owner still has, going by the stored texts of the owner's row.

    Raises:
        UniqueViolationError: The owner has it.
    """
    mapper = dispute.change.mapper
    if dispute.name in claims_of(mapper, dict(zip(mapper.index_fields, texts, strict=False))):
        owner = mapper.pk_value(dispute.owner)
        raise violation(dispute.change, dispute.unique, dispute.texts, f"{mapper.model.__name__} {owner!r} has it", owner)


def violation(change: Change, unique: Unique, texts: Texts, who: str, owner: Any) -> UniqueViolationError:
    """Make the error for a value that another row has, which the row of the change would have by its texts."""
    values = {leaf.name: _value(leaf, texts[leaf.name]) for leaf in unique.leaves}
    spelled = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return UniqueViolationError(
        f"{change.mapper.model.__name__} {change.pk!r} cannot have {spelled}: {who}; nothing was written: "
        "take another value, or change that row first",
        model=change.mapper.model,
        pk=change.pk,
        key=change.key or None,
        field=unique.name,
        value=next(iter(values.values())) if len(values) == 1 else tuple(values.values()),
        found=owner,
    )


def _value(leaf: Leaf, text: Text | None) -> Any:
    assert text is not None  # a `None` among them is no unique value
    return leaf.codec.read_many([as_bytes(text)])[0]

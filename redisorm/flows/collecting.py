"""Reading the keys of all rows that may fit, however many, and asking of them what is open: for orders and for many alternatives.

Every step is bounded, but the primary keys of all of them are held, with what they are sorted by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from redisorm.commands import Batch, Flow

from .candidates import Known, in_order
from .planning import Plan, Term
from .probing import Answer, Probe
from .sources import SMALL, Lexical, Scored, Source
from .surveying import Survey, member_of
from .walking import Walk

__all__ = ["collect"]


def collect(plan: Plan, seen: Survey, covering: list[Scored | Lexical], terms: Sequence[Term]) -> Flow[Known]:
    """Read all that fit, in order.

    Args:
        covering: Sources that hold all of them together.
        terms: What has to be asked of them.
    """
    members = sorted((yield from _members(seen, covering)))
    is_mortal = all(isinstance(source, Scored) and source.mortal for source in covering)
    probe = Probe(plan, [term for term in terms if [term.source] != covering], plan.sorts, ledger=not is_mortal)
    chosen: set[bytes] = set()
    values: dict[str, dict[bytes, Any]] = {sort.name: {} for sort in plan.sorts}
    for start in range(0, len(members), SMALL):
        part = members[start : start + SMALL]
        answer = (yield from probe.ask(part)) if probe else Answer({}, {})
        here: dict[Source, set[bytes]] = {covering[0]: set(part)} if len(covering) == 1 else {}
        chosen |= answer.choose(plan, set(part), {**seen.found, **here})
        for name, known in answer.values.items():
            values[name].update(known)
    return Known(in_order(plan, chosen, plan.sorts, values))


def _members(seen: Survey, covering: Sequence[Scored | Lexical]) -> Flow[set[bytes]]:
    members: set[bytes] = set()
    large: list[Scored | Lexical] = [source for source in covering if seen.sizes[source] > SMALL]
    for group in _groups(seen, [source for source in covering if seen.sizes[source] <= SMALL]):
        replies = yield Batch([source.list(SMALL + 1) for source in group], resend=True)
        for source, reply in zip(group, replies, strict=True):
            if len(reply) > SMALL:  # it has grown
                large.append(source)
            members.update(member_of(source, entry) for entry in reply)
    for source in large:
        walk = Walk(source)
        while not walk.ended:
            entries, _ = yield from walk.page(SMALL)
            members.update(member for member, _ in entries)
    return members


def _groups(seen: Survey, sources: Sequence[Scored | Lexical]) -> Iterator[list[Scored | Lexical]]:
    """Small sources in groups that are read in one round trip each."""
    group: list[Scored | Lexical] = []
    size = 0
    for source in sources:
        if group and size + seen.sizes[source] > SMALL:
            yield group
            group, size = [], 0
        group.append(source)
        size += seen.sizes[source]
    if group:
        yield group

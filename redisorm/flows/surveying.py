"""The first look at the sources of a condition: how large each is, and what is in those that are small."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from redisorm.commands import Batch, Command, Flow, Reply

from .candidates import DUE, due_of
from .planning import Plan
from .sources import SMALL, Around, Lexical, Named, Owned, Scored, Source

__all__ = ["PEEK", "Survey", "member_of", "survey"]

PEEK = 100
"""So many entries of a source are read along with its size, so that a query that finds few rows needs no further look."""


@dataclass(slots=True)
class Survey:
    """What was seen.

    Attributes:
        sizes: The number of entries of each source, the ledger's among them.
        found: The rows of those that were read as a whole.
        due: Rows that are due; `None` where they are many.
    """

    sizes: dict[Source, int] = field(default_factory=dict)
    found: dict[Source, set[bytes]] = field(default_factory=dict)
    due: set[bytes] | None = field(default_factory=set)


def member_of(source: Source, entry: bytes) -> bytes:
    """The primary key in an entry of a source."""
    return entry.partition(b"\0")[2] if isinstance(source, Lexical) else entry


def survey(plan: Plan, others: Iterable[Scored | Lexical], whole: int) -> Flow[Survey]:
    """Look at every source of a condition, in one round trip.

    Args:
        others: Further sources to count.
        whole: Up to so many entries the source of the one condition of a query is read with it, the bounds of its size being the same.
    """
    terms = list(plan.terms())
    sources = list(dict.fromkeys(term.source for term in terms))
    peek = whole + 1 if len(terms) == 1 and not terms[0].negated else PEEK
    wanted = {term.source for term in terms if not term.negated}
    commands: list[Command] = [due_of(plan), plan.ledger.count(), *(other.count() for other in others)]
    asked: list[tuple[Source, list[Command]]] = [(source, _questions(plan, source, peek if source in wanted else 0)) for source in sources]
    replies = iter((yield Batch([*commands, *(command for _, part in asked for command in part)], resend=True)))
    due = next(replies)
    plan.met.extend(due)
    seen = Survey(due=set(due) if len(due) <= DUE else None)
    for counted in (plan.ledger, *others):
        seen.sizes[counted] = next(replies)
    for source, part in asked:
        _note(plan, seen, source, [next(replies) for _ in part], peek if source in wanted else 0)
    return seen


def _questions(plan: Plan, source: Source, peek: int) -> list[Command]:
    if isinstance(source, Owned):
        return [("GET", source.key)]
    if isinstance(source, Named):
        return [("ZSCORE", plan.ledger.key, source.member)]
    if isinstance(source, Around):
        return [source.list(SMALL + 1)]
    return [source.count(), *([source.list(peek)] if peek else [])]


def _note(plan: Plan, seen: Survey, source: Source, replies: list[Reply], peek: int) -> None:
    if isinstance(source, Owned):
        members = {replies[0]} - {None}
    elif isinstance(source, Named):
        is_living = replies[0] is not None and plan.ledger.holds(float(replies[0]))
        members = {source.member} if is_living else set()
    elif isinstance(source, Around):
        members = set(replies[0])
        seen.sizes[source] = len(members)
        if len(members) <= SMALL:
            seen.found[source] = members
        return
    else:
        seen.sizes[source] = replies[0]
        if peek and replies[0] <= peek and len(replies[1]) < peek:
            seen.found[source] = {member_of(source, entry) for entry in replies[1]}
        return
    seen.sizes[source] = len(members)
    seen.found[source] = members

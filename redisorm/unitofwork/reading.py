"""Reading the rows of a query: from primary keys to objects, batch by batch, each looked at again before it is handed out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from redisorm.commands import Batch, Clock, Flow
from redisorm.errors import DecodeError
from redisorm.expressions import Expression
from redisorm.flows.ahead import Ahead
from redisorm.flows.candidates import Candidates, Known
from redisorm.flows.decoding import text_of
from redisorm.flows.loading import BATCH, sound
from redisorm.flows.matching import Matcher
from redisorm.flows.planning import Plan, Sort, plan_of
from redisorm.flows.scanning import scan
from redisorm.flows.searching import search
from redisorm.flows.spelling import Due
from redisorm.flows.sweeping import sweep_met
from redisorm.keys import Keyspace
from redisorm.mapping.base import MappedModel
from redisorm.mapping.mapper import Mapper

from .work import loaded_each

__all__ = ["Alone", "Asked", "Holder", "Reading", "Rows", "sweep"]

M = TypeVar("M", bound=MappedModel)

SKIPPED = 5000
"""So many rows at most are skipped in one step."""

SWEPT = 100
"""So many of the expired rows that a query meets are swept with it."""


@dataclass(frozen=True, slots=True)
class Rows(Generic[M]):
    """What rows came to.

    Attributes:
        found: For each its object, its error, or `None`.
        known: The places of objects that were not loaded just now: they are handed out as they are.
    """

    found: list[M | DecodeError | None]
    known: Collection[int] = ()


class Holder(Protocol):
    """Who the objects of a query are for."""

    def _rows(self, mapper: Mapper[M], texts: Sequence[str], *, at_once: bool = True, beside: Ahead[Any] | None = None) -> Flow[Rows[M]]:
        """The objects of rows by the texts of their primary keys.

        Args:
            at_once: Whether they have to be as of one instant, as far as `load_each` sees to that.
            beside: What else is asked where rows are read, in the same round trip.
        """
        ...


class Alone:
    """For nobody: every object is loaded, and belongs to no session."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def _rows(self, mapper: Mapper[M], texts: Sequence[str], *, at_once: bool = True, beside: Ahead[Any] | None = None) -> Flow[Rows[M]]:
        return Rows((yield from loaded_each(mapper, self._namespace, list(texts), at_once=at_once, beside=beside)))


@dataclass(frozen=True, slots=True)
class Asked(Generic[M]):
    """What a query asks for."""

    mapper: Mapper[M]
    expression: Expression | None
    sorts: tuple[Sort, ...]
    offset: int
    limit: int | None

    def plan(self, keyspace: Keyspace) -> Flow[Plan]:
        """Plan it."""
        return plan_of(self.mapper, keyspace, self.expression, self.sorts, (yield Clock()))

    def candidates(self, plan: Plan, *, loosely: bool = False) -> Flow[Candidates]:
        """Find the primary keys of its rows, those that `offset` and `limit` leave out among them."""
        if not self.mapper.indexed:
            return (yield from scan(plan, loosely=loosely))
        wanted = None if self.limit is None else self.offset + self.limit
        return (yield from search(plan, loosely=loosely and self.offset == 0, wanted=wanted))


def sweep(plan: Plan) -> Flow[None]:
    """Take away what some of the expired rows that a query met have left behind."""
    if not plan.met:
        return
    due, plan.met[:] = list(map(text_of, plan.met[:SWEPT])), []
    yield from sweep_met([Due(plan.mapper, plan.keyspace, due)])


class Reading(Generic[M]):
    """One pass over the rows of a query, page by page.

    While the rows of a page are read and decoded, the primary keys of the next are asked for already: so many more are held, and no rows.
    """

    def __init__(self, asked: Asked[M], holder: Holder, namespace: str) -> None:
        self._asked = asked
        self._holder = holder
        self._keyspace = asked.mapper.keyspace(namespace)
        self._matcher = Matcher(asked.mapper, asked.expression)
        self._skip = asked.offset
        self._left = asked.limit
        self._plan: Plan | None = None
        self._candidates: Candidates = Known(())
        self._next: Ahead[list[bytes]] | None = None

    def batch(self, most: int = BATCH) -> Flow[list[M]]:
        """The objects of the next rows; none at the end.

        Raises:
            DecodeError: A stored value does not fit its field.
        """
        if self._plan is None:
            self._plan = yield from self._asked.plan(self._keyspace)
            if self._left != 0:
                self._candidates = yield from self._asked.candidates(self._plan, loosely=True)
        while self._left != 0:
            members = yield from self._page(most if self._left is None else min(most, self._left))
            if not members:
                break
            left = most if self._left is None else min(most, self._left - len(members))
            self._next = Ahead(self._candidates.take(left)) if left > 0 else None
            objects = yield from self._load(members)
            if self._left is not None:
                objects = objects[: self._left]
                self._left -= len(objects)
            if objects:
                return objects
        yield from sweep(self._plan)
        return []

    def _page(self, count: int) -> Flow[list[bytes]]:
        """The next primary keys."""
        if self._next is None:
            return (yield from self._after_offset(self._candidates, count))
        return (yield from self._next.result())

    def _after_offset(self, candidates: Candidates, count: int) -> Flow[list[bytes]]:
        """The next primary keys. What is skipped must be there: rows that are gone are not counted."""
        members = yield from candidates.take(min(self._skip, SKIPPED) + count)
        while self._skip and members:
            skipped, members = members[: self._skip], members[self._skip :]
            (present,) = yield Batch([("EXISTS", *self._keyspace.rows([member.decode() for member in skipped]))], resend=True)
            self._skip -= present
            members = members or (yield from candidates.take(min(self._skip, SKIPPED) + count))
        return members

    def _load(self, members: Sequence[bytes]) -> Flow[list[M]]:
        texts = [member.decode() for member in members]
        rows = yield from self._holder._rows(self._asked.mapper, texts, at_once=False, beside=self._next)
        found = sound(rows.found)
        if not rows.known:
            return self._matcher.fitting([one for one in found if one is not None])
        fits = self._matcher.fits
        return [one for place, one in enumerate(found) if one is not None and (place in rows.known or fits(one))]

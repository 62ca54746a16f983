"""Asking of rows which of the sources of a condition they are in, and what they are sorted by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply
from redisorm.expressions import all_of
from redisorm.mapping.indexes import lex_escaped

from .loading import BATCH
from .matching import UNREADABLE, Matcher, reaches, value_of_stored
from .planning import Plan, Sort, Term
from .sources import Around, Lexical, Scored, Source

__all__ = ["Probe"]


class Probe:
    """The questions about rows that a plan leaves open.

    Sorted sets of primary keys are asked by ZMSCORE, one command for many rows. Of a lex or geo index a row cannot be asked: there
    its own field is read.

    Attributes:
        sources: The sources that are asked about.
        sorts: The fields whose values are asked for.
    """

    def __init__(self, plan: Plan, terms: Iterable[Term], sorts: Iterable[Sort] = (), *, ledger: bool = False) -> None:
        self._plan = plan
        self.sources: dict[Source, Term | None] = {
            term.source: term for term in terms if isinstance(term.source, (Scored, Lexical, Around))
        }
        if ledger:
            self.sources[plan.ledger] = None
        self.sorts = tuple(sort for sort in sorts if sort.index is not None)
        scored = [source.key for source in self.sources if isinstance(source, Scored)]
        scored += [plan.keyspace.own(sort.name) for sort in self.sorts if _is_scored(sort)]
        self._keys = list(dict.fromkeys(scored))
        by_value = [term for source, term in self.sources.items() if term is not None and not isinstance(source, Scored)]
        self._tests = {term.source: _test(plan, term) for term in by_value}
        fields = [term.comparisons[0].subject.name for term in by_value]
        fields += [sort.name for sort in self.sorts if not _is_scored(sort)]
        self._fields = list(dict.fromkeys(fields))

    def __bool__(self) -> bool:
        return bool(self.sources or self.sorts)

    def ask(self, members: Sequence[bytes]) -> Flow[tuple[dict[Source, set[bytes]], list[dict[bytes, Any]]]]:
        """Ask about rows: which of them are in each source, and for each sort the value of each row that has one. One round trip."""
        if not members:
            return {source: set() for source in self.sources}, [{} for _ in self.sorts]
        parts = [members[start : start + BATCH] for start in range(0, len(members), BATCH)]
        commands: list[Command] = [("ZMSCORE", key, *part) for key in self._keys for part in parts]
        if self._fields:
            commands += [("HMGET", self._plan.keyspace.row(member.decode()), *self._fields) for member in members]
        replies = iter((yield Batch(commands, resend=True)))
        scores = {key: dict(zip(members, (score for _ in parts for score in next(replies)), strict=True)) for key in self._keys}
        texts = {member: dict(zip(self._fields, next(replies), strict=True)) for member in members} if self._fields else {}
        return dict(self._members(scores, texts)), [self._values(sort, scores, texts) for sort in self.sorts]

    def _members(
        self, scores: Mapping[str, Mapping[bytes, Reply]], texts: Mapping[bytes, dict[str, Any]]
    ) -> Iterator[tuple[Source, set[bytes]]]:
        for source in self.sources:
            if isinstance(source, Scored):
                known = scores[source.key].items()
                yield source, {member for member, score in known if score is not None and source.holds(float(score))}
            else:
                test = self._tests[source]
                yield source, {member for member, row in texts.items() if test(member, row)}

    def _values(self, sort: Sort, scores: Mapping[str, Mapping[bytes, Reply]], texts: Mapping[bytes, dict[str, Any]]) -> dict[bytes, Any]:
        if _is_scored(sort):
            known = scores[self._plan.keyspace.own(sort.name)].items()
            return {member: float(score) for member, score in known if score is not None}
        assert sort.index is not None
        values = {member: value_of_stored(self._plan.mapper, sort.name, row[sort.name]) for member, row in texts.items()}
        spell = sort.index.text
        return {
            member: lex_escaped(spell(value)).encode() for member, value in values.items() if value is not None and value is not UNREADABLE
        }


def _is_scored(sort: Sort) -> bool:
    return sort.index is not None and sort.index.kind == "order"


def _test(plan: Plan, term: Term) -> Callable[[bytes, Mapping[str, Any]], bool]:
    """Whether a row is in a lex or geo source, going by the stored text of its field."""
    if isinstance(term.source, Around):
        circle, name = term.source.circle, term.comparisons[0].subject.name
        return lambda _, texts: reaches(circle, value_of_stored(plan.mapper, name, texts[name]))
    matcher = Matcher(plan.mapper, all_of(term.comparisons))
    return lambda member, texts: matcher.fits_stored(member.decode(), texts)

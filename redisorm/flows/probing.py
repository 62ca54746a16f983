"""Asking of rows which of the sources of a condition they are in, and what they are sorted by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply
from redisorm.expressions import all_of
from redisorm.mapping.indexes import lex_escaped

from .decoding import elements_of
from .loading import BATCH, read_elements
from .matching import UNREADABLE, Matcher, reaches, value_of_stored
from .planning import Plan, Sort, Term, select
from .sources import Around, Lexical, Scored, Source

__all__ = ["Answer", "Probe"]

MOST_KEYS = 16
"""Where a condition names more sorted sets than this, as a long `in_` does, the fields of the rows are read instead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of some rows.

    Attributes:
        found: Which of them are in each source.
        values: By field, what those are sorted by that have a value.
        fitting: Those that fit the whole condition, where that was found out by their fields; else `None`.
    """

    found: Mapping[Source, set[bytes]]
    values: Mapping[str, dict[bytes, Any]]
    fitting: set[bytes] | None = None

    def choose(self, plan: Plan, members: set[bytes], known: Mapping[Source, set[bytes]]) -> set[bytes]:
        """The rows among them that fit the plan.

        Args:
            known: Further sources of which all is known.
        """
        chosen = select(plan.root, members, {**known, **self.found}) if self.fitting is None else members & self.fitting
        return chosen & self.found.get(plan.ledger, chosen)


class Probe:
    """The questions about rows that a plan leaves open.

    Sorted sets of primary keys are asked by ZMSCORE, one command for many rows. Of a lex or geo index a row cannot be asked: there
    its own field is read, and so is every field where too many sets would have to be asked.
    """

    def __init__(self, plan: Plan, terms: Iterable[Term], sorts: Iterable[Sort] = (), *, ledger: bool = False) -> None:
        self._plan = plan
        asked = {term.source: term for term in terms if isinstance(term.source, (Scored, Lexical, Around))}
        self._whole: Matcher[Any] | None = None
        if len({source.key for source in asked if isinstance(source, Scored)}) > MOST_KEYS:
            self._whole, asked = Matcher(plan.mapper, plan.expression), {}
        self._sources = [*asked, *([plan.ledger] if ledger else [])]
        self._sorts = tuple(sort for sort in sorts if sort.index is not None)
        scored = [source.key for source in self._sources if isinstance(source, Scored)]
        scored += [plan.keyspace.own(sort.name) for sort in self._sorts if _is_scored(sort)]
        self._keys = list(dict.fromkeys(scored))
        by_value = [term for source, term in asked.items() if not isinstance(source, Scored)]
        self._tests = {term.source: _test(plan, term) for term in by_value}
        fields = [term.comparisons[0].subject.name for term in by_value]
        fields += [sort.name for sort in self._sorts if not _is_scored(sort)]
        fields += self._whole.fields if self._whole else ()
        self._fields = list(dict.fromkeys(fields))
        lists = self._whole.companions if self._whole else ()
        self._companions = [companion for companion in plan.mapper.companions if companion.name in lists]

    def __bool__(self) -> bool:
        return bool(self._sources or self._sorts or self._whole)

    def ask(self, members: Sequence[bytes]) -> Flow[Answer]:
        """Ask about rows. One round trip."""
        if not members:
            return Answer({source: set() for source in self._sources}, {sort.name: {} for sort in self._sorts})
        parts = [members[start : start + BATCH] for start in range(0, len(members), BATCH)]
        commands: list[Command] = [("ZMSCORE", key, *part) for key in self._keys for part in parts]
        for key in self._plan.keyspace.rows([member.decode() for member in members]) if self._fields or self._companions else ():
            commands += [("HMGET", key, *self._fields)] if self._fields else []
            commands += [read_elements(companion, key) for companion in self._companions]
        replies = iter((yield Batch(commands, resend=True)))
        scores = {key: dict(zip(members, (score for _ in parts for score in next(replies)), strict=True)) for key in self._keys}
        texts = {member: self._texts(replies) for member in members} if self._fields or self._companions else {}
        fitting = None
        if self._whole is not None:
            fitting = {member for member in members if self._whole.fits_stored(member.decode(), texts.get(member, {}))}
        values = {sort.name: self._values(sort, scores, texts) for sort in self._sorts}
        return Answer(dict(self._members(scores, texts)), values, fitting)

    def _texts(self, replies: Iterator[Reply]) -> dict[str, Any]:
        texts: dict[str, Any] = dict(zip(self._fields, next(replies), strict=True)) if self._fields else {}
        texts.update((companion.name, list(elements_of(companion.kind, next(replies)))) for companion in self._companions)
        return texts

    def _members(
        self, scores: Mapping[str, Mapping[bytes, Reply]], texts: Mapping[bytes, dict[str, Any]]
    ) -> Iterator[tuple[Source, set[bytes]]]:
        for source in self._sources:
            if isinstance(source, Scored):
                yield source, source.within(scores[source.key])
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

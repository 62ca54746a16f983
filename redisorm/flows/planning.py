"""From a condition to the sets it is made of, and the cheapest of them that no row it finds can be outside of.

Conditions are brought into one form: `All`, `Either` and terms, where only terms are negated. Ranges of one field that must hold
together become one range. Plain functions; nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from redisorm.errors import NotIndexedError, QueryError
from redisorm.expressions import And, Comparison, Expression, Not, Or, Order
from redisorm.keys import Keyspace
from redisorm.mapping.indexes import Index
from redisorm.mapping.mapper import Mapper

from .sources import Lexical, Scored, Source, ledger_of, sources_of

__all__ = ["EVERY", "NOTHING", "All", "Either", "Node", "Plan", "Sort", "Term", "cover", "plan_of", "select", "sorts_of"]


@dataclass(frozen=True, slots=True)
class Term:
    """One set of rows.

    Attributes:
        source: Where it lies.
        comparisons: What its rows fulfil, for sources that cannot tell it of a row.
        negated: Whether the rows outside of it are meant.
    """

    source: Source
    comparisons: tuple[Comparison, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class All:
    """What is in all of these; every row, where there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """What is in any of these; no row, where there are none."""

    parts: tuple[Node, ...]


Node: TypeAlias = Term | All | Either

EVERY = All(())
NOTHING = Either(())


@dataclass(frozen=True, slots=True)
class Sort:
    """A field to sort by.

    Attributes:
        name: The field.
        index: Its index; `None` of a primary key without one, which is sorted in the client.
    """

    name: str
    index: Index | None
    descending: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query asks, in terms of sets.

    Attributes:
        expression: The condition as it was written.
        root: The same in terms of sets.
        sorts: What to sort by.
        now_ms: The server's time: what is due by then is not there.
        met: Is given the rows that are due, as far as the query comes across them.
    """

    mapper: Mapper[Any]
    keyspace: Keyspace
    expression: Expression | None
    root: Node
    sorts: tuple[Sort, ...]
    now_ms: int
    met: list[bytes] = field(default_factory=list, compare=False)

    @property
    def ledger(self) -> Scored:
        """All rows."""
        return ledger_of(self.keyspace, self.now_ms)

    def unsorted(self) -> Plan:
        """The same without an order."""
        return replace(self, sorts=())

    def terms(self) -> Iterator[Term]:
        """Every term of the condition."""
        return _terms(self.root)

    def conjuncts(self) -> tuple[Node, ...]:
        """What must all hold."""
        return self.root.parts if isinstance(self.root, All) else (self.root,)


def _terms(node: Node) -> Iterator[Term]:
    if isinstance(node, Term):
        yield node
        return
    for part in node.parts:
        yield from _terms(part)


def plan_of(mapper: Mapper[Any], keyspace: Keyspace, expression: Expression | None, sorts: Sequence[Sort], now_ms: int) -> Plan:
    """Plan a query."""

    def sources(comparison: Comparison) -> list[Source]:
        return sources_of(mapper, keyspace, comparison, now_ms)

    root = EVERY if expression is None else _formed(expression, sources, negated=False)
    return Plan(mapper, keyspace, expression, root, tuple(sorts), now_ms)


def sorts_of(mapper: Mapper[Any], orders: Iterable[Order]) -> tuple[Sort, ...]:
    """What a query is sorted by.

    Raises:
        NotIndexedError: A field has no index that keeps an order.
        QueryError: It is a field of another class.
    """
    sorts: list[Sort] = []
    for subject, descending in orders:
        name, model = subject.name, mapper.model
        if not issubclass(model, subject.model):
            raise QueryError(
                f"{subject.model.__name__}.{name} is no field of {model.__name__}: sort by one of its own", model=model, field=name
            )
        index = mapper.indexes.get(name)
        if index is not None and index.kind not in ("order", "lex"):
            index = None
        if index is None and name != mapper.pk_name:
            raise NotIndexedError(
                f"{model.__name__}.{name} cannot be sorted by: declare it with Field(index=True) if it is a number or a time, "
                'with Field(index="lex") if it is a text',
                model=model,
                field=name,
            )
        if all(sort.name != name for sort in sorts):
            sorts.append(Sort(name, index, descending))
    return tuple(sorts)


# ---- one form -------------------------------------------------------------------------------------------------------------


def _formed(expression: Expression, sources: Callable[[Comparison], list[Source]], *, negated: bool) -> Node:
    if isinstance(expression, Not):
        return _formed(expression.part, sources, negated=not negated)
    if isinstance(expression, Comparison):
        each = [expression]
        if expression.operator == "in":
            each = [Comparison(expression.subject, "==", value) for value in dict.fromkeys(expression.value)]
        terms = [Term(source, (one,), negated) for one in each for source in sources(one)]
        if len(terms) == 1:
            return terms[0]
        return _joined(All if negated else Either, terms)
    assert isinstance(expression, (And, Or))
    together = isinstance(expression, And) is not negated
    return _joined(All if together else Either, [_formed(part, sources, negated=negated) for part in expression.parts])


def _joined(kind: type[All | Either], parts: Iterable[Node]) -> Node:
    """Join parts, those of the same kind flattened, without what says nothing."""
    flat: dict[Node, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, kind) else (part,)))
    deciding = NOTHING if kind is All else EVERY
    if deciding in flat:
        return deciding
    merged = _merged(flat) if kind is All else list(flat)
    return merged[0] if len(merged) == 1 else kind(tuple(merged))


def _merged(parts: Iterable[Node]) -> list[Node]:
    """Join the ranges of one field that must hold together."""
    ranges: dict[str, int] = {}
    merged: list[Node] = []
    for part in parts:
        if isinstance(part, Term) and not part.negated and isinstance(part.source, (Scored, Lexical)) and not _is_living(part.source):
            place = ranges.setdefault(part.source.key, len(merged))
            if place < len(merged):
                other = merged[place]
                assert isinstance(other, Term)
                merged[place] = Term(_both(other.source, part.source), other.comparisons + part.comparisons)
                continue
        merged.append(part)
    return merged


def _is_living(source: Source) -> bool:
    return isinstance(source, Scored) and source.mortal


def _both(one: Source, other: Source) -> Source:
    if isinstance(one, Scored) and isinstance(other, Scored):
        low = max(one.low, other.low, key=lambda bound: (float(bound.lstrip("(")), bound[0] == "("))
        high = min(one.high, other.high, key=lambda bound: (float(bound.lstrip("(")), bound[0] != "("))
        return Scored(one.key, low, high, mortal=False)
    assert isinstance(one, Lexical)
    assert isinstance(other, Lexical)
    lower = max(one.low, other.low, key=lambda bound: (bound != b"-", bound[1:], bound[:1] == b"("))
    upper = min(one.high, other.high, key=lambda bound: (bound == b"+", bound[1:], bound[:1] != b"("))
    return Lexical(one.key, lower, upper)


# ---- choosing -------------------------------------------------------------------------------------------------------------


def cover(node: Node, sizes: Mapping[Source, int], ledger: Scored) -> list[Source]:
    """The sources that hold every row of a condition and are the smallest together."""
    if isinstance(node, Term):
        return [ledger] if node.negated else [node.source]
    covers = [cover(part, sizes, ledger) for part in node.parts]
    if isinstance(node, All):
        return min(covers, key=lambda sources: sum(sizes[source] for source in sources), default=[ledger])
    together = list(dict.fromkeys(source for sources in covers for source in sources))
    return [ledger] if ledger in together else together


def select(node: Node, members: set[bytes], found: Mapping[Source, set[bytes]]) -> set[bytes]:
    """The rows that fit a condition, by what is known of each source. One that is not in `found` is taken to hold."""
    if isinstance(node, Term):
        if node.source not in found:
            return members
        return members - found[node.source] if node.negated else members & found[node.source]
    if isinstance(node, All):
        for part in node.parts:
            members = select(part, members, found)
        return members
    chosen: set[bytes] = set()
    for part in node.parts:
        chosen |= select(part, members, found)
    return chosen

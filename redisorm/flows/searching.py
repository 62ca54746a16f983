"""Finding the rows of a condition: their primary keys in order, or only how many they are.

What is one set is walked as it is. Else the sets are counted first, and those that can hold every row and are the smallest are read,
the others asked. Beyond `SMALL` nothing is read as a whole: the query goes through the set in pages and asks of each page. Where only the
first few rows are wanted, a page may do already for what could be read as a whole.
"""

from __future__ import annotations

from redisorm.commands import Batch, Command, Flow
from redisorm.keys import none_entry

from .candidates import DUE, PAGE, Candidates, Known, Walked, due_of
from .collecting import collect
from .gathering import gather, sort_source
from .planning import EVERY, NOTHING, All, Node, Plan, Term, cover
from .probing import Probe
from .sources import SMALL, Around, Lexical, Named, Owned, Scored, Source
from .surveying import Survey, survey

__all__ = ["count", "search"]

MOST_WALKS = 16
"""Where more sets than this hold the rows of a query, they are not walked one after the other."""


def search(plan: Plan, *, loosely: bool = False, wanted: int | None = None) -> Flow[Candidates]:
    """Find the rows that fit, in order.

    Args:
        loosely: Whether rows that do not fit may be among them, since they will be loaded and looked at.
        wanted: How many of them will be asked for; `None` for all.
    """
    walks = _one_walk(plan)
    if walks:
        return Walked(plan, walks, None)
    if plan.root == NOTHING:
        return Known(())
    sorts = [sort_source(plan, sort) for sort in plan.sorts if sort.index is not None]
    seen = yield from survey(plan, sorts, SMALL if wanted is None else 2 * PAGE)
    covering = cover(plan.root, seen.sizes, plan.ledger)
    size = sum(seen.sizes[source] for source in covering)
    if size <= SMALL:
        begun = None if wanted is None else (yield from _first_page(plan, seen, size, wanted))
        gathered = begun or (yield from gather(plan, seen, covering, loosely=loosely))
        if gathered is not None:
            return gathered
    return (yield from _search_many(plan, seen, covering, wanted))


def _first_page(plan: Plan, seen: Survey, size: int, wanted: int) -> Flow[Walked | None]:
    """Walk as far as one page, where that is at most half the work of reading all rows that may fit.

    `None` where it is not, or where the page does not have enough: what fits may lie far behind. Both ways bring the same order, so
    that pages of one query may come by either.

    Args:
        size: How many rows may fit.
    """
    if size <= 2 * PAGE or (plan.sorts and plan.sorts[0].index is None):
        return None
    walks: list[Scored | Lexical] = _sorted_walks(plan) if plan.sorts else [_smallest_of_keys(plan, seen)]
    page = max(PAGE, 2 * wanted * seen.sizes[walks[0]] // size)
    if 2 * page > size:
        return None
    walked = _walked(plan, seen, walks)
    return walked if (yield from walked.begin(wanted, page)) else None


def _smallest_of_keys(plan: Plan, seen: Survey) -> Scored:
    """Of the sets that hold every row that fits, and have them in the order of primary keys unless they expire, the smallest."""
    terms = [part for part in plan.conjuncts() if isinstance(part, Term) and not part.negated]
    living = [term.source for term in terms if isinstance(term.source, Scored) and term.source.mortal]
    return min(living, key=seen.sizes.__getitem__, default=plan.ledger)


def _is_cheaper_collected(plan: Plan, seen: Survey, size: int, wanted: int | None) -> bool:
    """Whether it is less work to read all rows that may fit and sort them than to go through the index of the order until enough fit."""
    if plan.sorts[0].index is None:  # no index keeps the order of this primary key
        return True
    walked = seen.sizes[_sorted_walks(plan)[0]]
    if wanted is not None:
        walked = min(walked, wanted * walked // max(size, 1))
    return 2 * size < walked


def _one_walk(plan: Plan) -> list[Scored | Lexical]:
    """What to walk through where the query asks for one set in its own order, or in none."""
    if len(plan.sorts) > 1 or any(sort.index is None for sort in plan.sorts):
        return []
    if plan.root == EVERY:
        return _sorted_walks(plan) if plan.sorts else [plan.ledger]
    root = plan.root
    if not isinstance(root, Term) or root.negated or not isinstance(root.source, (Scored, Lexical)):
        return []
    if plan.sorts and sort_source(plan, plan.sorts[0]).key != root.source.key:
        return []
    return [root.source]


def _sorted_walks(plan: Plan) -> list[Scored | Lexical]:
    """The index of the first field to sort by, or the part of it that the condition needs, and then the rows without a value."""
    sort = plan.sorts[0]
    whole = sort_source(plan, sort)
    for part in plan.conjuncts():
        if isinstance(part, Term) and not part.negated and isinstance(part.source, (Scored, Lexical)) and part.source.key == whole.key:
            return [part.source]
    none = Scored(plan.keyspace.own(none_entry(sort.name)), f"({plan.now_ms}", "+inf", mortal=True)
    return [whole, none]


def _search_many(plan: Plan, seen: Survey, covering: list[Source], wanted: int | None) -> Flow[Candidates]:
    """Find more than is read as a whole: in pages, where that does, or by all keys."""
    walks: list[Scored | Lexical] = [source for source in covering if isinstance(source, (Scored, Lexical))]
    if len(walks) < len(covering):
        walks = [plan.ledger]
    size = sum(seen.sizes[walk] for walk in walks)
    if (plan.sorts and _is_cheaper_collected(plan, seen, size, wanted)) or len(walks) > MOST_WALKS:
        return (yield from collect(plan, seen, walks, _asked(plan, seen, walks)))
    return _walked(plan, seen, _sorted_walks(plan) if plan.sorts else walks)


def _walked(plan: Plan, seen: Survey, walks: list[Scored | Lexical]) -> Walked:
    """Walk through sources, one after the other, and ask of each page what else must hold."""
    known = {source: members for source, members in seen.found.items() if _is_known(source)}
    ledger = any(isinstance(walk, Lexical) or not walk.mortal for walk in walks)
    probe = Probe(plan, _asked(plan, seen, walks), plan.sorts[1:], ledger=ledger)
    return Walked(plan, walks, probe, plan.sorts[1:], known)


def _asked(plan: Plan, seen: Survey, walks: list[Scored | Lexical]) -> list[Term]:
    """The terms that are asked of each row: not those of which all is known, nor of the one set that is gone through."""
    return [term for term in plan.terms() if [term.source] != walks and not (_is_known(term.source) and term.source in seen.found)]


def _is_known(source: Source) -> bool:
    """Whether a source is read with the survey, since its entries cannot be gone through."""
    return isinstance(source, (Around, Named, Owned))


# ---- counting -------------------------------------------------------------------------------------------------------------


def count(plan: Plan) -> Flow[int]:
    """Count the rows that fit, and load none. One or two round trips where one field is asked for, else as of a search."""
    if plan.root == NOTHING:
        return 0
    summed = _summed(plan.root)
    if summed is not None:
        total = yield from _count_sums(plan, *summed)
        if total is not None:
            return total
    candidates = yield from search(plan.unsorted())
    total = 0
    while part := (yield from candidates.take(SMALL)):
        total += len(part)
    return total


def _summed(root: Node) -> tuple[list[Scored | Lexical], bool] | None:
    """The sources whose sizes add up to the answer, and whether it is those outside of them that are asked for."""
    if isinstance(root, Term):
        return ([root.source], root.negated) if isinstance(root.source, (Scored, Lexical)) else None
    terms, outside = [part for part in root.parts if isinstance(part, Term)], isinstance(root, All)
    sources = [term.source for term in terms if isinstance(term.source, (Scored, Lexical)) and term.negated is outside]
    if len(sources) < len(root.parts):
        return None
    # several values of one field: no row has two
    asked = {(comparison.subject.name, comparison.operator) for term in terms for comparison in term.comparisons}
    if len(terms) > 1 and (len(asked) > 1 or next(iter(asked))[1] != "=="):
        return None
    return sources, outside


def _count_sums(plan: Plan, sources: list[Scored | Lexical], outside: bool) -> Flow[int | None]:
    """Add up sizes; `None` where that does not do, since rows are due of which a source cannot be asked."""
    timeless = [source for source in sources if isinstance(source, Lexical) or not source.mortal]
    counted = [*sources, *([plan.ledger] if outside else [])]
    commands: list[Command] = [source.count() for source in counted]
    replies = yield Batch([*commands, *([due_of(plan)] if timeless else [])], resend=True)
    total = int(sum(replies[: len(sources)]))
    due = replies[-1] if timeless else []
    plan.met.extend(due)
    if due:
        keys = [source for source in timeless if isinstance(source, Scored)]
        if len(keys) < len(timeless) or len(due) > DUE:
            return None
        answers = yield Batch([("ZMSCORE", source.key, *due) for source in keys], resend=True)
        for source, scores in zip(keys, answers, strict=True):
            total -= sum(source.holds(None if score is None else float(score)) for score in scores)
    return int(replies[len(sources)]) - total if outside else total

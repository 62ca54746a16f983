"""Reading a condition whose rows are few: every set is read, intersected or subtracted by the server, the rest is joined here.

What is few enough: see `SMALL`. Mostly one round trip after the survey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply

from .candidates import Known, in_order
from .decoding import score_pairs
from .loading import BATCH
from .planning import Plan, Sort, Term, select
from .probing import Probe
from .sources import SMALL, Around, Lexical, Named, Owned, Scored, Source
from .surveying import Survey, member_of

__all__ = ["gather", "sort_source"]


def sort_source(plan: Plan, sort: Sort) -> Scored | Lexical:
    """The whole index of a field to sort by."""
    assert sort.index is not None
    key = plan.keyspace.own(sort.name)
    return Lexical(key, b"-", b"+") if sort.index.kind == "lex" else Scored(key, "-inf", "+inf", mortal=False)


def gather(plan: Plan, seen: Survey, covering: Sequence[Source], *, loosely: bool) -> Flow[Known | None]:
    """Read the rows that fit; `None` where they have become many meanwhile.

    Args:
        covering: The sources that hold every one of them.
        loosely: Whether rows that do not fit may be among them, since they will be loaded and looked at.
    """
    gathering = Gathering(plan, seen)
    if not all(source in seen.found for source in covering) and not (yield from gathering.read(covering)):
        return None
    return (yield from gathering.finish(covering, loosely=loosely))


class Gathering:
    """The sets of one query, as they are read."""

    def __init__(self, plan: Plan, seen: Survey) -> None:
        self._plan = plan
        self._seen = seen
        self._found = dict(seen.found)
        self._values: dict[str, dict[bytes, Any]] = {}
        self._candidates: set[bytes] | None = None
        self._listed: set[Source] = set()
        self._asked: list[tuple[Command, Callable[[Reply], None]]] = []

    # ---- what is read ---------------------------------------------------------------------------------------------------

    def read(self, covering: Sequence[Source]) -> Flow[bool]:
        """Read the sources that hold every row, and of the others what the server can say; `False` where they are no longer small."""
        key = covering[0] if len(covering) == 1 else None
        if isinstance(key, Scored) and key.mortal:
            self._read_within(key)
        else:
            for source in covering:
                self._list(source)
            for term in self._open():
                self._list(term.source)
            for sort in self._open_sorts():
                self._list_values(sort)
        replies = yield Batch([command for command, _ in self._asked], resend=True)
        for (_, take), reply in zip(self._asked, replies, strict=True):
            take(reply)
        return self._candidates is not None or all(source in self._found for source in covering)

    def _read_within(self, key: Scored) -> None:
        """Let the server intersect everything with one set, the smallest."""
        conjuncts = [part for part in self._plan.conjuncts() if isinstance(part, Term) and isinstance(part.source, Scored)]
        together: list[Source] = [key, *(part.source for part in conjuncts if _is_set(part) and not part.negated and part.source != key)]
        without = [part.source for part in conjuncts if _is_set(part) and part.negated]
        ranges = [part.source for part in conjuncts if not _is_set(part) and not part.negated]
        if ranges:
            self._intersect([*together, ranges[0]], lambda scores: self._take_range(together, ranges[0], scores))
        elif len(together) > 1:
            self._intersect(together, lambda members: self._take_candidates(members, together))
        elif without:
            keys = (key.key, *(_scored(source).key for source in without))
            self._ask(("ZDIFF", len(keys), *keys), lambda members: self._take_candidates(members, together, without))
        else:
            self._list(key)
        settled = {*together, *ranges[:1], *(without if not ranges and len(together) == 1 else ())}
        for term in self._open():
            if term.source in settled:
                continue
            if isinstance(term.source, Scored) and self._seen.sizes[term.source] > self._seen.sizes[key]:
                self._restrict(key, term.source)
            else:
                self._list(term.source)
        for sort in self._open_sorts():
            source = sort_source(self._plan, sort)
            if isinstance(source, Scored) and not (ranges and _scored(ranges[0]).key == source.key):
                self._intersect([key, source], lambda scores, name=sort.name: self._take_values(name, scores))  # type: ignore[misc]
            elif isinstance(source, Lexical):
                self._list_values(sort)

    def _ask(self, command: Command, take: Callable[[Reply], None]) -> None:
        self._asked.append((command, take))

    def _intersect(self, sources: Sequence[Source], take: Callable[[Any], None]) -> None:
        """Of sets, whose scores are deadlines, all members; of a set and a range the score of each member in the range's key.

        `MIN` brings that score and not the deadline, since what is not due has a deadline above any usual score.
        """
        keys = [_scored(source).key for source in sources]
        if _scored(sources[-1]).mortal:
            self._ask(("ZINTER", len(keys), *keys), take)
        else:
            self._ask(("ZINTER", len(keys), *keys, "AGGREGATE", "MIN", "WITHSCORES"), lambda reply: take(dict(score_pairs(reply))))

    def _restrict(self, key: Scored, source: Scored) -> None:
        def take(reply: Any) -> None:
            if source.mortal:
                self._found[source] = set(reply)
            elif self._are_certain(reply.values()):
                self._found[source] = source.within(reply)

        self._intersect([key, source], take)

    def _list(self, source: Source) -> None:
        """Read a source as a whole, where it is small and not read yet."""
        if (
            isinstance(source, (Owned, Named, Around))
            or source in self._found
            or source in self._listed
            or self._seen.sizes[source] > SMALL
        ):
            return
        self._listed.add(source)

        def take(reply: Reply) -> None:
            if len(reply) <= SMALL:  # it may have grown
                self._found[source] = {member_of(source, entry) for entry in reply}

        self._ask(source.list(SMALL + 1), take)

    def _list_values(self, sort: Sort) -> None:
        source = sort_source(self._plan, sort)
        if self._seen.sizes[source] > SMALL:
            return

        def take(reply: Reply) -> None:
            if len(reply) > SMALL:
                return
            if isinstance(source, Lexical):
                parted = (entry.partition(b"\0") for entry in reply)
                self._values[sort.name] = {member: text for text, _, member in parted}
            else:
                self._values[sort.name] = dict(score_pairs(reply))

        with_scores = () if isinstance(source, Lexical) else ("WITHSCORES",)
        self._ask((*source.list(SMALL + 1), *with_scores), take)

    # ---- what came back -------------------------------------------------------------------------------------------------

    def _are_certain(self, scores: Iterable[float]) -> bool:
        """Whether none of the scores may be a deadline."""
        return all(score <= self._plan.now_ms or score == float("inf") for score in scores)

    def _take_candidates(self, members: Iterable[bytes], together: Sequence[Source], without: Sequence[Source] = ()) -> None:
        self._candidates = set(members)
        self._found.update((source, self._candidates) for source in together)
        self._found.update((source, set()) for source in without)

    def _take_range(self, together: Sequence[Source], source: Source, scores: dict[bytes, float]) -> None:
        if self._are_certain(scores.values()):
            members = _scored(source).within(scores)
            self._found[source] = members
            for sort in self._open_sorts():
                if _scored(source).key == self._plan.keyspace.own(sort.name):
                    self._values[sort.name] = scores
        else:
            members = set(scores)
        self._take_candidates(members, together)

    def _take_values(self, name: str, scores: dict[bytes, float]) -> None:
        if self._are_certain(scores.values()):
            self._values[name] = scores

    def _open(self) -> list[Term]:
        """A term for each source of which nothing is known."""
        return list({term.source: term for term in self._plan.terms() if term.source not in self._found}.values())

    def _open_sorts(self) -> list[Sort]:
        return [sort for sort in self._plan.sorts if sort.index is not None and sort.name not in self._values]

    # ---- the result -----------------------------------------------------------------------------------------------------

    def finish(self, covering: Sequence[Source], *, loosely: bool) -> Flow[Known]:
        """Ask what is still open, and put the rows in order."""
        members = self._candidates
        if members is None:
            members = set().union(*(self._found[source] for source in covering))
        members = members - (self._seen.due or set())
        members = select(self._plan.root, members, self._found)
        open_terms, sorts = self._open(), self._open_sorts()
        probe = Probe(self._plan, open_terms, sorts, ledger=self._seen.due is None)
        if loosely and not sorts and len(members) <= BATCH:
            return Known(in_order(self._plan, members, self._plan.sorts, self._values))
        if probe:
            answer = yield from probe.ask(sorted(members))
            self._values.update(answer.values)
            members = answer.choose(self._plan, members, self._found)
        return Known(in_order(self._plan, members, self._plan.sorts, self._values))


def _scored(source: Source) -> Scored:
    assert isinstance(source, Scored)
    return source


def _is_set(term: Term) -> bool:
    return isinstance(term.source, Scored) and term.source.mortal

"""What a check has found, told by kind. It holds no more than people read, however much is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

__all__ = ["EXAMPLES", "FOR_PEOPLE", "Findings", "Problem", "ProblemKind", "Report"]

ProblemKind: TypeAlias = Literal[
    "dangling entry",
    "missing entry",
    "wrong value",
    "orphan companion",
    "orphan memo",
    "wrong memo",
    "stale unique key",
    "missing unique key",
    "wrong deadline",
    "expired but unswept",
    "duplicate unique value",
    "unindexable value",
    "unreadable row",
    "wrong type",
]

FOR_PEOPLE: frozenset[ProblemKind] = frozenset(("duplicate unique value", "unindexable value", "unreadable row", "wrong type"))
"""What no program can mend."""

EXAMPLES = 1000
"""Problems of one kind that a report holds; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the store that is not as the rows say.

    ======================  ================================================================================
    kind                    what is so
    ======================  ================================================================================
    dangling entry          an index holds a row that is gone, or a value that the row does not have
    missing entry           an index does not hold a row
    wrong value             an index holds a row at another score or position, or with another deadline
    orphan companion        a collection is left of a row that is gone
    orphan memo             a memo is left of a row that is gone, or that never expires
    wrong memo              the memo of an expiring row does not say what the row owns
    stale unique key        a unique value belongs to a row that is gone, or that has another value
    missing unique key      a row does not own its unique value
    wrong deadline          a collection or a unique value does not live as long as its row
    expired but unswept     a row has expired, and its entries are still there
    duplicate unique value  two rows have one unique value
    unindexable value       a row, written by another program, has a value that an index cannot hold
    unreadable row          a row does not fit its class
    wrong type              a key of another Redis type is where a row or a collection should be
    ======================  ================================================================================

    The last four are for people to decide; `repair` mends all others.

    Attributes:
        kind: One of the kinds above.
        key: The Redis key concerned.
        detail: What was found there.
        mended: Whether `repair` has mended it.
    """

    kind: ProblemKind
    key: str
    detail: str
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a check has found, or a repair has mended.

    Attributes:
        ok: Whether nothing is wrong: nothing was found, or all of it was mended.
        problems: The problems, up to 1,000 of each kind.
        counts: How many there were, by kind. A key that SCAN brings twice may count twice.
    """

    ok: bool
    problems: list[Problem]
    counts: dict[ProblemKind, int] = field(default_factory=dict)


class Findings:
    """Problems as they are found.

    Attributes:
        again: Whether they are looked for once more. What was too much to be held is then counted already.
    """

    def __init__(self) -> None:
        self.again = False
        self._examples: dict[ProblemKind, dict[Problem, None]] = {}
        self._counts: dict[ProblemKind, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, problems: Iterable[Problem]) -> None:
        """Take in problems; one that is known already is not taken twice."""
        for problem in problems:
            examples = self._examples.setdefault(problem.kind, {})
            full = len(examples) == EXAMPLES
            if problem in examples or (full and self.again):
                continue
            self._counts[problem.kind] = self._counts.get(problem.kind, 0) + 1
            if not full:
                examples[problem] = None

    def report(self, *, mended: bool = False) -> Report:
        """Tell what was found.

        Args:
            mended: Whether all that can be was mended.
        """
        problems = [problem for examples in self._examples.values() for problem in examples]
        if not mended:
            return Report(not self._counts, problems, dict(self._counts))
        problems = [replace(problem, mended=problem.kind not in FOR_PEOPLE) for problem in problems]
        return Report(FOR_PEOPLE.isdisjoint(self._counts), problems, dict(self._counts))

"""Walking a sorted set in pages: bounded steps for the server, and each unchanged entry exactly once, whatever others write meanwhile.

A page goes on after the last entry seen, a (score, member) pair. Ranks make that cheap, but they shift when others write: so each page
begins with the entry that was seen last, and where another one comes first, its place is looked for. Nothing is a snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from redisorm.commands import Batch, Command, Flow, Reply

from .decoding import score_pairs
from .sources import Lexical, Scored

__all__ = ["Entry", "Walk"]

_PROBES = 24
"""Entries looked at in one round trip to find a place again."""


Entry: TypeAlias = "tuple[bytes, float | bytes]"
"""One entry of a walk: a primary key, and what it is sorted by, a score or the text of a lex index."""


class Walk:
    """One part of a sorted set, from its low end or from its high one.

    Attributes:
        ended: Whether everything was seen.
    """

    def __init__(self, source: Scored | Lexical, *, reverse: bool = False) -> None:
        self.source = source
        self.ended = False
        self._reverse = reverse
        self._rank = 0
        self._last: Any = None

    @property
    def begun(self) -> bool:
        """Whether an entry was seen."""
        return self._last is not None

    def page(self, count: int, beside: Sequence[Command] = ()) -> Flow[tuple[list[Entry], list[Reply]]]:
        """Read the next entries; mostly one round trip.

        Args:
            beside: Other reads for the same round trip, whose replies are returned too.
        """
        if isinstance(self.source, Lexical):
            return (yield from self._lexical(self.source, count, beside))
        if self._last is None:
            reply, *others = yield Batch([self._first(self.source, count), *beside], resend=True)
            entries = score_pairs(reply)
            self._rank, self.ended = len(entries) - 1, len(entries) < count
        else:
            entries, others = yield from self._after(count, beside)
        inside: list[Entry] = [*entries]
        if entries:
            self._last = entries[-1]
            if not self.source.holds(entries[-1][1]):  # beyond the end of the source
                inside = [entry for entry in entries if self.source.holds(entry[1])]
                self.ended = True
        return inside, others

    # ---- by value -----------------------------------------------------------------------------------------------------

    def _lexical(self, source: Lexical, count: int, beside: Sequence[Command]) -> Flow[tuple[list[Entry], list[Reply]]]:
        low, high = source.low, source.high
        if self._last is not None and self._reverse:
            high = b"(" + self._last
        elif self._last is not None:
            low = b"(" + self._last
        ends = ("ZRANGE", source.key, high, low, "BYLEX", "REV") if self._reverse else ("ZRANGE", source.key, low, high, "BYLEX")
        members, *others = yield Batch([(*ends, "LIMIT", 0, count), *beside], resend=True)
        self.ended = len(members) < count
        if members:
            self._last = members[-1]
        parted = (member.partition(b"\0") for member in members)
        return [(pk, text) for text, _, pk in parted], others

    # ---- by score and member --------------------------------------------------------------------------------------------

    def _first(self, source: Scored, count: int) -> Command:
        if self._reverse:
            return ("ZRANGE", source.key, source.high, source.low, "BYSCORE", "REV", "LIMIT", 0, count, "WITHSCORES")
        return ("ZRANGE", source.key, source.low, source.high, "BYSCORE", "LIMIT", 0, count, "WITHSCORES")

    def _by_rank(self, first: int, last: int) -> Command:
        return ("ZRANGE", self.source.key, first, last, *(("REV",) if self._reverse else ()), "WITHSCORES")

    def _after(self, count: int, beside: Sequence[Command]) -> Flow[tuple[list[tuple[bytes, float]], list[Reply]]]:
        """The entries after the last one, beginning at the rank it should have."""
        where: Command = ("ZREVRANK" if self._reverse else "ZRANK", self.source.key, self._last[0])
        asked: int | None = None
        while True:
            rank, reply, *others = yield Batch([where, self._by_rank(self._rank, self._rank + count), *beside], resend=True)
            entries = score_pairs(reply)
            fresh = [entry for entry in entries if self._is_after(entry)]
            begins_before = self._rank == 0 or len(fresh) < len(entries)
            if begins_before and (fresh or len(entries) <= count):
                self._rank, self.ended = self._rank + len(entries) - 1, len(entries) <= count
                return fresh, others
            if rank is not None and rank != asked:
                asked = self._rank = rank
            else:  # the last entry is gone, or has another place now
                self._rank = yield from self._search()

    def _is_after(self, entry: tuple[bytes, float]) -> bool:
        """Whether an entry comes after the last one seen."""
        member, score = self._last
        here, there = (score, member), (entry[1], entry[0])
        return there < here if self._reverse else there > here

    def _search(self) -> Flow[int]:
        """Find the rank of the last entry that is not after the last one seen, which is gone itself."""
        (size,) = yield Batch([("ZCARD", self.source.key)], resend=True)
        low, high = 0, int(size)
        while high - low > 1:
            step = max((high - low) // _PROBES, 1)
            probes = list(range(low + step, high, step))
            replies = yield Batch([self._by_rank(probe, probe) for probe in probes], resend=True)
            for probe, reply in zip(probes, replies, strict=True):
                found = score_pairs(reply)
                if not found or self._is_after(found[0]):
                    high = probe
                    break
                low = probe
            else:
                if step == 1:
                    break
        return low

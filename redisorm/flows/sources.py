"""Where the rows of one comparison are found: a part of a sorted set, a unique key, a circle, or primary keys that were named.

A source spells the commands that count it, list it, and say of rows whether they are in it. When to send which is for the
planning. Members are primary keys as bytes, as they stand in Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from redisorm.commands import Command, Reply
from redisorm.expressions import Circle, Comparison
from redisorm.keys import LEDGER, Keyspace, none_entry, unique_entry, value_entry
from redisorm.mapping.indexes import Index, Unique, lex_escaped
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.scores import nearest_score

__all__ = ["SMALL", "Around", "Lexical", "Named", "Owned", "Scored", "Source", "ledger_of", "sources_of"]

SMALL = 10_000
"""Up to so many entries a set is read, intersected or subtracted as a whole; larger ones are walked in pages."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A part of a sorted set of primary keys by score.

    Attributes:
        mortal: Whether scores are deadlines, so that rows that are due are no part of it.
    """

    key: str
    low: str
    high: str
    mortal: bool

    def count(self) -> Command:
        """How many there are."""
        return ("ZCOUNT", self.key, self.low, self.high)

    def list(self, limit: int) -> Command:
        """The first of them."""
        return ("ZRANGE", self.key, self.low, self.high, "BYSCORE", "LIMIT", 0, limit)

    def holds(self, score: float | None) -> bool:
        """Whether a row of this score is in it."""
        low, high, outside = self._bounds()
        return score is not None and low <= score <= high and score not in outside

    def within(self, scores: Mapping[bytes, Reply]) -> set[bytes]:
        """The rows that are in it, of many with their scores; `None` is the score of one that the key does not have."""
        low, high, outside = self._bounds()
        return {row for row, score in scores.items() if score is not None and low <= (at := float(score)) <= high and at not in outside}

    def _bounds(self) -> tuple[float, float, set[float]]:
        """The lowest and the highest score, and which of these two are no part of it."""
        low, high = float(self.low.lstrip("(")), float(self.high.lstrip("("))
        return low, high, {float(bound[1:]) for bound in (self.low, self.high) if bound[0] == "("}


@dataclass(frozen=True, slots=True)
class Lexical:
    """A part of a lex index, whose members are a value, NUL and the primary key."""

    key: str
    low: bytes
    high: bytes

    def count(self) -> Command:
        """How many there are."""
        return ("ZLEXCOUNT", self.key, self.low, self.high)

    def list(self, limit: int) -> Command:
        """The first of them."""
        return ("ZRANGE", self.key, self.low, self.high, "BYLEX", "LIMIT", 0, limit)


@dataclass(frozen=True, slots=True)
class Around:
    """The positions within a circle."""

    key: str
    circle: Circle

    def list(self, limit: int) -> Command:
        """So many of them, in no order."""
        km, lon, lat = map(repr, self.circle)
        return ("GEOSEARCH", self.key, "FROMLONLAT", lon, lat, "BYRADIUS", km, "km", "COUNT", limit, "ANY")


@dataclass(frozen=True, slots=True)
class Owned:
    """The row that has a unique value."""

    key: str


@dataclass(frozen=True, slots=True)
class Named:
    """A row that was named."""

    member: bytes


Source: TypeAlias = Scored | Lexical | Around | Owned | Named


# ---- from comparisons to sources --------------------------------------------------------------------------------------------


def ledger_of(keyspace: Keyspace, now_ms: int) -> Scored:
    """All rows of an indexed class that are not due."""
    return _living(keyspace.own(LEDGER), now_ms)


def _living(key: str, now_ms: int) -> Scored:
    return Scored(key, f"({now_ms}", "+inf", mortal=True)


def sources_of(mapper: Mapper[Any], keyspace: Keyspace, comparison: Comparison, now_ms: int) -> list[Source]:
    """Where the rows of a comparison are: one source, or none where no row can fit. `in` is for others to part."""
    operator, wanted = comparison.operator, comparison.value
    name = comparison.subject.name
    index = mapper.indexes.get(name)
    if operator == "==":
        source = _equal(mapper, keyspace, name, index, wanted, now_ms)
        return [] if source is None else [source]
    assert index is not None
    key = keyspace.own(name)
    if operator == "contains":
        return [_living(keyspace.own(value_entry(name, index.text(wanted))), now_ms)]
    if operator == "within":
        return [Around(key, wanted)]
    if operator == "startswith":
        prefix = lex_escaped(wanted).encode()
        return [Lexical(key, b"[" + prefix if prefix else b"-", b"(" + prefix + b"\xff" if prefix else b"+")]
    lower, upper = wanted if operator == "between" else (wanted, wanted)
    low = lower if operator in (">", ">=", "between") else None
    high = upper if operator in ("<", "<=", "between") else None
    if index.kind == "lex":
        return [Lexical(key, *_lex_bounds(index, low, high, open_low=operator == ">", open_high=operator == "<"))]
    return [Scored(key, _low(low, open_end=operator == ">"), _high(high, open_end=operator == "<"), mortal=False)]


def _equal(mapper: Mapper[Any], keyspace: Keyspace, name: str, index: Index | None, value: Any, now_ms: int) -> Source | None:
    if name == mapper.pk_name:
        return None if value is None else Named(mapper.pk_text(value).encode())
    if value is None:
        return None if index is None else _living(keyspace.own(none_entry(name)), now_ms)
    for unique in mapper.uniques:
        if [leaf.name for leaf in unique.leaves] == [name]:
            return Owned(keyspace.own(unique_entry(name, [Unique.text(unique.leaves[0], value)])))
    assert index is not None
    if index.kind == "order":
        score, side = nearest_score(value)
        return Scored(keyspace.own(name), score, score, mortal=False) if side == 0 else None
    if index.kind == "lex":
        return Lexical(keyspace.own(name), *_lex_bounds(index, value, value, open_low=False, open_high=False))
    return _living(keyspace.own(value_entry(name, index.text(value))), now_ms)


def _low(value: Any, *, open_end: bool) -> str:
    if value is None:
        return "-inf"
    score, side = nearest_score(value)
    return f"({score}" if side < 0 or (side == 0 and open_end) else score


def _high(value: Any, *, open_end: bool) -> str:
    if value is None:
        return "+inf"
    score, side = nearest_score(value)
    return f"({score}" if side > 0 or (side == 0 and open_end) else score


def _lex_bounds(index: Index, low: Any, high: Any, *, open_low: bool, open_high: bool) -> tuple[bytes, bytes]:
    # After a value comes NUL, and no character of another one sorts before 1: that stands for "beyond all rows of this value".
    lower = b"-" if low is None else b"[" + lex_escaped(index.text(low)).encode() + (b"\1" if open_low else b"\0")
    upper = b"+" if high is None else b"(" + lex_escaped(index.text(high)).encode() + (b"\0" if open_high else b"\1")
    return lower, upper

"""Edits of a list as commands: which positions a slice means, and how items are put in and taken out at a position.

Redis has no command that inserts or deletes at a position. Such an edit is made from commands that have: an item is
overwritten with a token of its own, and the token is what LINSERT and LREM then look for. Plain functions; they are
right only while nobody else changes the list, which is what the flows in `lists` see to.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_index
from typing import Any, SupportsIndex, cast

from redisorm.commands import Command
from redisorm.flows.pieces import chunks
from redisorm.mapping.codec import Text

from .typed import TypedKey

__all__ = ["MOST", "out_of_range", "overwritten", "place_of", "region_of", "span_of", "trimmed", "with_items", "without"]

MOST = 2**63 - 1
"""The greatest position a server understands."""


def place_of(position: object) -> int:
    """A position as Redis takes it."""
    if not hasattr(position, "__index__"):
        raise TypeError(f"list indices must be integers or slices, not {type(position).__name__}")
    place = as_index(cast("SupportsIndex", position))
    if abs(place) > MOST:
        raise IndexError("list index out of range")
    return place


def out_of_range(key: TypedKey[Any], position: int) -> IndexError:
    """The error of a position that the list does not have."""
    return IndexError(f"index {position} is out of range in the list {key.name}")


def region_of(wanted: slice, step: int) -> tuple[int, int] | None:
    """The first and last position of LRANGE that a slice lies between; `None` where it is empty whatever the list."""
    if step == 0:
        raise ValueError("slice step cannot be zero")
    start, stop = _end_of(wanted.start), _end_of(wanted.stop)
    if step > 0:
        region = (0 if start is None else start, -1 if stop is None else stop - 1)
        return None if stop == 0 else region
    region = (0 if stop is None else stop + 1, -1 if start is None else start)
    return None if stop == -1 else region


def _end_of(end: SupportsIndex | None) -> int | None:
    return None if end is None else max(min(as_index(end), MOST - 1), 1 - MOST)


def span_of(wanted: slice, length: int) -> range:
    """The positions of a slice in a list of some length; an empty one without a step still says where it is."""
    span = range(*wanted.indices(length))
    return span if span.step != 1 else range(span.start, max(span.start, span.stop))


def overwritten(name: str, span: range, texts: Sequence[Text]) -> list[Command]:
    """Put texts in the place of others; `ValueError` where there are not as many."""
    if len(span) != len(texts):
        raise ValueError(f"attempt to assign sequence of size {len(texts)} to extended slice of size {len(span)}")
    return [("LSET", name, place, text) for place, text in zip(span, texts, strict=True)]


def without(name: str, length: int, span: range, token: bytes) -> list[Command]:
    """Take positions out of a list of known length."""
    if not span:
        return []
    low, high = min(span[0], span[-1]), max(span[0], span[-1])
    if len(span) == high - low + 1 == length:
        return [("LTRIM", name, 1, 0)]
    if len(span) == high - low + 1 and low == 0:
        return [("LTRIM", name, high + 1, -1)]
    if len(span) == high - low + 1 and high == length - 1:
        return [("LTRIM", name, 0, low - 1)]
    marked: list[Command] = [("LSET", name, place, token) for place in span]
    return [*marked, ("LREM", name, len(span) if low < length - high else -len(span), token)]


def with_items(name: str, length: int, at: int, texts: Sequence[Text], before: bytes | None, token: bytes) -> list[Command]:
    """Put texts before a position of a list of known length; `before` is what is there now, where that is in the middle."""
    if at >= length:
        return chunks("RPUSH", name, texts)
    if at == 0:
        return chunks("LPUSH", name, texts[::-1])
    assert before is not None
    inserted: list[Command] = [("LINSERT", name, "BEFORE", token, text) for text in texts]
    return [("LSET", name, at, token), *inserted, ("LSET", name, at + len(texts), before)]


def trimmed(key: TypedKey[Any]) -> list[Command]:
    """Drop what is too much for the `maxlen` of a list, at the left."""
    return [] if key.maxlen is None else [("LTRIM", key.name, -key.maxlen, -1)]

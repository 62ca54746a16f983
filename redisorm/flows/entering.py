"""The entries of many loaded rows of one class in its indexes, told by the values, and what is remembered of those that expire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from redisorm.commands import Command, Reply
from redisorm.keys import Keyspace
from redisorm.mapping.indexes import Index

from .derived import exact_scores
from .indexing import deadline_score
from .lonerow import entry_words
from .newentries import TOLD_BY_VALUE

__all__ = ["Entered", "Named", "entries", "recall", "remembered"]

Entered: TypeAlias = tuple[str, str, str]
"""An entry of a row: what comes after `prefix::` in its key, the member, and the score, as of a row without a deadline."""

_FOR_EVER = deadline_score(None)


class Named(dict[str, str]):
    """The keys of entries, each spelled once."""

    def __init__(self, own: Callable[[str], str]) -> None:
        super().__init__()
        self._own = own

    def __missing__(self, name: str) -> str:
        self[name] = key = self._own(name)
        return key


def entries(index: Index, values: Sequence[Any], keys: Sequence[str], pk_texts: Sequence[str]) -> list[Entered]:
    """The entry of each row, its member and its score.

    Raises:
        IndexValueError: The index cannot hold a value.
    """
    kinds = set(map(type, values))
    if len(kinds) == 1 and kinds <= index.codec.exact:
        if index.kind == "order":
            return [(index.name, pk_text, score) for pk_text, score in zip(pk_texts, exact_scores(index, values, keys), strict=True)]
        if index.kind == "equality" and kinds <= TOLD_BY_VALUE:
            names = {value: entry_words(index, value, "", "")[0] for value in dict.fromkeys(values)}
            return [(names[value], pk_text, _FOR_EVER) for value, pk_text in zip(values, pk_texts, strict=True)]
    return [entry_words(index, value, key, pk_text) for value, key, pk_text in zip(values, keys, pk_texts, strict=True)]


def remembered(entered: Sequence[Sequence[Entered]], pk_texts: Sequence[str]) -> list[dict[str, str]]:
    """What the memo of each row holds, of its entries index by index, as `memo_of` tells it of one."""
    rows = zip(zip(*entered, strict=True), pk_texts, strict=True)
    return [{name: "" if member == pk_text else member for name, member, _ in row} for row, pk_text in rows]


def recall(row: str, memo: Mapping[str, str]) -> tuple[Command, Reply]:
    """The read of the memo of a row, and the reply it must have."""
    return ("HMGET", Keyspace.memo(row), *memo), list(map(str.encode, memo.values()))

"""The entries of many loaded rows of one class in its indexes, told by the values, and what is remembered of those that expire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from redisorm.commands import Command, Reply
from redisorm.keys import Keyspace, none_entry
from redisorm.mapping.differences import Values, column_texts
from redisorm.mapping.indexes import Index
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.slots import ABSENT

from .derived import exact_scores
from .indexing import deadline_score
from .lonerow import entry_words
from .newentries import TOLD_BY_VALUE
from .tables import Held, Table

__all__ = ["Entered", "Named", "entries", "hold", "owned", "recall", "remembered"]

Entered: TypeAlias = tuple[str, str, str]
"""An entry of a row: what comes after `prefix::` in its key, the member, and the score, as of a row without a deadline."""

FEWEST_OF_A_TABLE = 3
"""Below this many rows a table takes more words than a read of each."""

_FOR_EVER = deadline_score(None)


class Named(dict[str, str]):
    """The keys of entries, each spelled once."""

    def __init__(self, own: Callable[[str], str]) -> None:
        super().__init__()
        self._own = own

    def __missing__(self, name: str) -> str:
        self[name] = key = self._own(name)
        return key


def entries(index: Index, values: Sequence[Any], keys: Sequence[str], pk_texts: Sequence[str]) -> Sequence[Entered | None]:
    """The entry of each row, its member and its score; `None` for none.

    Raises:
        IndexValueError: The index cannot hold a value.
    """
    kinds = set(map(type, values))
    if index.kind == "none":
        entry = none_entry(index.name)
        return [
            (entry, pk_text, _FOR_EVER) if value is None or value is ABSENT else None
            for value, pk_text in zip(values, pk_texts, strict=True)
        ]
    if len(kinds) == 1 and kinds <= index.codec.exact:
        if index.kind == "order":
            return [(index.name, pk_text, score) for pk_text, score in zip(pk_texts, exact_scores(index, values, keys), strict=True)]
        if index.kind == "equality" and kinds <= TOLD_BY_VALUE:
            names = {value: entry_words(index, value, "", "")[0] for value in dict.fromkeys(values)}
            return [(names[value], pk_text, _FOR_EVER) for value, pk_text in zip(values, pk_texts, strict=True)]
    return [entry_words(index, value, key, pk_text) for value, key, pk_text in zip(values, keys, pk_texts, strict=True)]


def hold(mapper: Mapper[Any], fields: Iterable[str], values: Values, keys: Sequence[str]) -> tuple[dict[str, list[Any]], list[str]]:
    """The texts that rows hold of some fields, and those fields of which they hold none; the same ones in each row.

    Raises:
        ValidationError: A value does not fit its annotation.
    """
    present: dict[str, list[Any]] = {}
    absent: list[str] = []
    for name in fields:
        place = mapper.slots.place(name)
        texts = column_texts(mapper, place, [row[place] for row in values], keys)
        if texts[0] is None:
            absent.append(name)
        else:
            present[name] = texts
    return present, absent


def remembered(
    entered: Sequence[Sequence[Entered | None]], claims: Sequence[Sequence[str]], pk_texts: Sequence[str]
) -> list[dict[str, str]]:
    """What the memo of each row holds, of its entries index by index and its unique values, as `memo_of` tells it of one."""
    rows = zip(zip(*entered, strict=True), pk_texts, strict=True) if entered else [((), pk_text) for pk_text in pk_texts]
    memos = [{entry[0]: "" if entry[1] == pk_text else entry[1] for entry in row if entry} for row, pk_text in rows]
    for memo, names in zip(memos, claims):  # noqa: B905 - none of a class without unique values
        memo.update(dict.fromkeys(names, ""))
    return memos


def owned(own: Mapping[str, str], claims: Iterable[tuple[str, Sequence[str]]]) -> Iterator[tuple[Command, Reply]]:
    """The reads of whose the unique values of rows are, and the replies they must have.

    Args:
        own: The keys of the values.
        claims: The primary key of each row, and what it has.
    """
    for pk_text, names in claims:
        for name in names:
            yield ("GET", own[name]), pk_text.encode()


def recall(rows: Sequence[str], memos: Sequence[Mapping[str, str]]) -> tuple[list[Table], list[tuple[Command, Reply]]]:
    """What the memos of rows must hold: those of the same entries in one table, and reads of the others."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, memo in enumerate(memos):
        alike.setdefault(tuple(memo), []).append(number)
    tables: list[Table] = []
    reads: list[tuple[Command, Reply]] = []
    for names, numbers in alike.items():
        keys, members = [Keyspace.memo(rows[number]) for number in numbers], [list(memos[number].values()) for number in numbers]
        if len(numbers) >= FEWEST_OF_A_TABLE:
            tables.append(Table((), keys, [], Held(names, len(names), list(chain.from_iterable(members)))))
        else:
            reads += ((("HMGET", key, *names), list(map(str.encode, one))) for key, one in zip(keys, members, strict=True))
    return tables, reads

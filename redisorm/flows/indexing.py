"""From entries to commands: what leaves an index and what enters it, joined over all rows of a commit.

A thousand rows with two indexes are a handful of ZADDs with many members. What is removed goes before what is added, so
that a row replaced in the same commit ends in its new place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from redisorm.commands import Command
from redisorm.keys import LEDGER, Keyspace

from .entries import Entries
from .pieces import CHUNK, chunks

__all__ = ["Upkeep", "deadline_score", "memo_of", "unlinks"]


def deadline_score(deadline_ms: int | None) -> str:
    """Spell a deadline as a score; `None` is for ever."""
    return "inf" if deadline_ms is None else str(deadline_ms)


def memo_of(entries: Entries, claims: Mapping[str, Any], pk_text: str) -> dict[str, str]:
    """What the memo of a row holds: the member of each entry where it is not the primary key, and an empty text else."""
    memo = {name: "" if member == pk_text else member for name, (member, _) in entries.items()}
    if claims:
        memo.update(dict.fromkeys(claims, ""))
    return memo


class Upkeep:
    """The commands that keep the indexes of a commit, collected row by row."""

    def __init__(self) -> None:
        self._removed: dict[str, list[Any]] = {}
        self._scored: dict[str, list[Any]] = {}
        self._placed: dict[str, list[Any]] = {}
        self._freed: list[str] = []
        self._taken: dict[str, tuple[str, int | None]] = {}
        self._memos: list[Command] = []
        self._dropped: list[str] = []

    def leave(self, keyspace: Keyspace, pk_text: str, entries: Mapping[str, str | bytes]) -> None:
        """Take a row out of indexes: the member by entry, empty for the primary key itself."""
        for name, member in entries.items():
            self._removed.setdefault(keyspace.own(name), []).append(member or pk_text)

    def unlist(self, keyspace: Keyspace, pk_text: str) -> None:
        """Take a row out of the list of all rows."""
        self.remove(keyspace.own(LEDGER), (pk_text,))

    def enlist(self, keyspace: Keyspace, pk_text: str, deadline_ms: int | None) -> None:
        """Put a row into the list of all rows, or move its deadline there."""
        self._scored.setdefault(keyspace.own(LEDGER), []).extend((deadline_score(deadline_ms), pk_text))

    def enter(self, keyspace: Keyspace, entries: Entries, deadline_ms: int | None) -> None:
        """Put a row into indexes."""
        for name, (member, place) in entries.items():
            key = keyspace.own(name)
            if isinstance(place, tuple):
                self._placed.setdefault(key, []).extend((*place, member))
            else:
                self._scored.setdefault(key, []).extend((deadline_score(deadline_ms) if place is None else place, member))

    def remove(self, key: str, members: Sequence[str]) -> None:
        """Take many members out of one key."""
        self._removed.setdefault(key, []).extend(members)

    def add(self, key: str, words: Sequence[str]) -> None:
        """Put many members under one key: by score and member in turn."""
        self._scored.setdefault(key, []).extend(words)

    def score(self, key: str, score: str, members: Sequence[str]) -> None:
        """Put many members under one key at one score."""
        words: list[Any] = [score] * (2 * len(members))
        words[1::2] = members
        self.add(key, words)

    def scores(self, key: str, scores: Sequence[str | int], members: Sequence[str]) -> None:
        """Put many members under one key, each at its score."""
        words: list[Any] = [None] * (2 * len(members))
        words[::2] = scores
        words[1::2] = members
        self.add(key, words)

    def free(self, key: str) -> None:
        """Give up a unique value."""
        self._freed.append(key)

    def take(self, key: str, pk_text: str, deadline_ms: int | None) -> None:
        """Take a unique value, for as long as its row lives."""
        self._taken[key] = (pk_text, deadline_ms)

    def remember(self, memo: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Change what is remembered of an expiring row; nothing to remember is no memo."""
        if not after:
            self.forget(memo)
            return
        if before == after:
            return
        words = [word for name, member in after.items() if before.get(name) != member for word in (name, member)]
        gone = [name for name in before if name not in after]
        self._memos += chunks("HSET", memo, words)
        self._memos += chunks("HDEL", memo, gone)

    def forget(self, memo: str) -> None:
        """Drop what is remembered of a row."""
        self._dropped.append(memo)

    def drop(self, keys: Iterable[str]) -> None:
        """Drop what is left of a row that is gone."""
        self._dropped += keys

    def commands(self) -> Iterator[Command]:
        """The commands, what leaves before what enters."""
        for key, members in self._removed.items():
            yield from chunks("ZREM", key, members)
        freed = [key for key in dict.fromkeys(self._freed) if key not in self._taken]
        yield from unlinks(freed)
        for key, words in self._scored.items():
            yield from chunks("ZADD", key, words)
        for key, words in self._placed.items():
            yield from chunks("GEOADD", key, words)
        for key, (pk_text, deadline_ms) in self._taken.items():
            yield ("SET", key, pk_text) if deadline_ms is None else ("SET", key, pk_text, "PXAT", deadline_ms)
        yield from unlinks(self._dropped)
        yield from self._memos


def unlinks(keys: Sequence[str]) -> Iterator[Command]:
    """Spell the removal of many keys."""
    yield from (("UNLINK", *keys[start : start + CHUNK]) for start in range(0, len(keys), CHUNK))

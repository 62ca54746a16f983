"""`check`, `repair` and `reindex`: one walk over the keys of a class, a page of SCAN at a time.

Rows are asked what should be kept of them, and what is kept is asked whose it is; together that is everything. What looks
wrong is looked at again under WATCH before it is believed, so the application may run meanwhile. A repair settles the rows
that something is wrong with; a reindex settles all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

from redisorm.commands import Batch, Command, Flow
from redisorm.errors import DecodeError, RowTypeError
from redisorm.keys import LEDGER, KeyPart, Keyspace
from redisorm.mapping.indexes import unlex
from redisorm.mapping.mapper import Mapper

from .decoding import LOADED, score_pairs, text_of
from .judging import Evidence, gather, milliseconds, row_problems, suspect_problems
from .loading import load_each
from .report import FOR_PEOPLE, Findings, Problem, Report
from .scope import UNIQUE
from .seeing import Look, Tally
from .settling import Suspects, settle_all, surely
from .sweeping import Progress
from .viewing import row_key, view

__all__ = ["check", "reindex", "repair"]

Purpose: TypeAlias = Literal["check", "repair", "reindex"]

PAGE = 500
"""Keys or members that one step asks for, about."""


def check(mapper: Mapper[Any], keyspace: Keyspace, progress: Progress | None = None) -> Flow[Report]:
    """Compare all that is kept of a class with its rows. Nothing is written."""
    findings = Findings()
    yield from Walk(mapper, keyspace, "check", findings, progress).run()
    return findings.report()


def repair(mapper: Mapper[Any], keyspace: Keyspace, progress: Progress | None = None) -> Flow[Report]:
    """Find what a check finds, and where that is something walk once more and mend it: to mend one thing may mend others unseen."""
    findings = Findings()
    first = Walk(mapper, keyspace, "check", findings, progress)
    yield from first.run()
    if findings:
        findings.again = True
        yield from Walk(mapper, keyspace, "repair", findings, progress, done_before=first.rows).run()
    return findings.report(mended=True)


def reindex(mapper: Mapper[Any], keyspace: Keyspace, progress: Progress | None = None) -> Flow[int]:
    """Write anew what is kept of every row, take away what is kept of none, and tell how many rows there are."""
    walk = Walk(mapper, keyspace, "reindex", Findings(), progress)
    yield from walk.run()
    return walk.rows


class Walk:
    """One walk over the keys of a class.

    Attributes:
        rows: How many rows were seen.
    """

    def __init__(
        self,
        mapper: Mapper[Any],
        keyspace: Keyspace,
        purpose: Purpose,
        findings: Findings,
        progress: Progress | None,
        done_before: int = 0,
    ) -> None:
        self.rows = 0
        self._mapper = mapper
        self._keyspace = keyspace
        self._purpose = purpose
        self._findings = findings
        self._progress = progress
        self._done_before = done_before

    def run(self) -> Flow[None]:
        """Go through all keys, to the end."""
        (expected,) = yield Batch([("ZCARD", self._keyspace.own(LEDGER))], resend=True)
        cursor = b"0"
        while True:
            (page,) = yield Batch([("SCAN", cursor, "MATCH", self._keyspace.pattern, "COUNT", PAGE)], resend=True)
            cursor, keys = page
            if keys:
                yield from self._look_at([key.decode() for key in keys if _is_text(key)])
            ends = int(cursor) == 0
            if self._progress is not None:
                total = self.rows if ends else expected if expected > self.rows else None
                self._progress(self._done_before + self.rows, None if total is None else self._done_before + total)
            if ends:
                return

    def _look_at(self, keys: Iterable[str]) -> Flow[None]:
        parts = {key: part for key in keys if (part := self._keyspace.part(key)) is not None}
        rows = {key: part.pk_text for key, part in parts.items() if part.role == "row"}
        if rows:
            yield from self._rows(rows)
        names = {one.name for one in self._mapper.beside}
        left = {key: part for key, part in parts.items() if part.role == "memo" or (part.role == "companion" and part.name in names)}
        if left:
            yield from self._leftovers(left)
        own = {key: part.name for key, part in parts.items() if part.role == "own"}
        if own:
            yield from self._own(own)

    # ---- rows ---------------------------------------------------------------------------------------------------------------

    def _rows(self, keys: Mapping[str, str]) -> Flow[None]:
        pk_texts = yield from self._readable(keys)
        suspects: Suspects = dict.fromkeys(pk_texts, ())
        if self._purpose == "reindex":
            for seen in (yield from settle_all(self._mapper, self._keyspace, suspects)) if suspects else ():
                self.rows += sum(sight.there for sight in seen.sights.values())
            return
        evidence = yield from gather(self._mapper, self._keyspace, suspects, watching=False)
        assert evidence is not None
        self.rows += sum(sight.there for sight in evidence.seen.sights.values())
        doubtful = {sight.pk_text: () for sight in evidence.seen.sights.values() if any(row_problems(evidence, sight))}
        yield from self._confirm(doubtful, of_rows=True)

    def _readable(self, keys: Mapping[str, str]) -> Flow[list[str]]:
        """Tell the rows that the class can read from the others."""
        misspelled = [key for key, pk_text in keys.items() if row_key(self._mapper, self._keyspace, pk_text) != key]
        if misspelled:
            types = yield Batch([("TYPE", key) for key in misspelled], resend=True)
            hashes = [key for key, kind in zip(misspelled, types, strict=True) if kind == b"hash"]
            detail = f"it is not how a primary key of {self._mapper.model.__name__} is spelled"
            self._findings.add(Problem("unreadable row", key, detail) for key in hashes)
        pk_texts = [pk_text for key, pk_text in keys.items() if key not in set(misspelled)]
        if self._purpose != "reindex" and pk_texts:
            found = yield from load_each(self._mapper, self._keyspace, pk_texts, LOADED)
            self._findings.add(_unreadable(error) for error in found if isinstance(error, DecodeError))
        return pk_texts

    # ---- what is kept of rows -----------------------------------------------------------------------------------------------

    def _leftovers(self, parts: Mapping[str, KeyPart]) -> Flow[None]:
        """Find companions and memos of rows that are gone: one atomic batch sees both, and what is due."""
        kinds = {one.name: one.kind.encode() for one in self._mapper.beside}
        rows = {key: self._keyspace.row(part.pk_text) for key, part in parts.items()}
        commands: list[Command] = []
        for key, row in rows.items():
            commands += (("EXISTS", row), ("TYPE", key), ("ZSCORE", self._keyspace.own(LEDGER), parts[key].pk_text))
        *replies, time = yield Batch([*commands, ("TIME",)], atomic=True, resend=True)
        now_ms = milliseconds(time)
        problems: dict[str, list[Problem]] = {}
        for place, (key, part) in enumerate(parts.items()):
            there, kind, due = replies[3 * place : 3 * place + 3]
            if there or row_key(self._mapper, self._keyspace, part.pk_text) != rows[key]:
                continue
            if part.role == "companion" and kind == kinds[part.name]:
                problems.setdefault(part.pk_text, []).append(Problem("orphan companion", key, f"{rows[key]} is gone"))
            elif part.role == "memo" and kind == b"hash" and not (due is not None and float(due) <= now_ms):
                problems.setdefault(part.pk_text, []).append(Problem("orphan memo", key, f"{rows[key]} is gone"))
        yield from self._settle(problems, dict.fromkeys(problems, ()))

    def _own(self, keys: Mapping[str, str]) -> Flow[None]:
        types = yield Batch([("TYPE", key) for key in keys], resend=True)
        kinds = dict(zip(keys, types, strict=True))
        taken = {key: name for key, name in keys.items() if kinds[key] == b"string" and name.startswith(UNIQUE)}
        if taken:
            owners = yield Batch([("GET", key) for key in taken], resend=True)
            claims: dict[str, set[tuple[str, bytes]]] = {}
            for name, owner in zip(taken.values(), owners, strict=True):
                if owner is not None:
                    claims.setdefault(text_of(owner), set()).add((name, b""))
            yield from self._doubt(claims)
        yield from self._indexes({key: name for key, name in keys.items() if kinds[key] == b"zset"})

    def _indexes(self, keys: Mapping[str, str]) -> Flow[None]:
        """Read the members of indexes, small ones together and large ones in pages."""
        sizes = (yield Batch([("ZCARD", key) for key in keys], resend=True)) if keys else []
        small: list[str] = []
        room = PAGE
        for key, size in zip(keys, sizes, strict=True):
            if size > PAGE:
                yield from self._large_index(key, keys[key])
                continue
            if size > room:
                yield from self._small_indexes({one: keys[one] for one in small})
                small, room = [], PAGE
            small.append(key)
            room -= size
        yield from self._small_indexes({one: keys[one] for one in small})

    def _small_indexes(self, keys: Mapping[str, str]) -> Flow[None]:
        pages = (yield Batch([("ZRANGE", key, 0, -1) for key in keys], resend=True)) if keys else []
        yield from self._suspect([(name, member) for name, page in zip(keys.values(), pages, strict=True) for member in page])

    def _large_index(self, key: str, name: str) -> Flow[None]:
        cursor = b"0"
        while True:
            (page,) = yield Batch([("ZSCAN", key, cursor, "COUNT", PAGE)], resend=True)
            cursor, entries = page
            yield from self._suspect([(name, member) for member, _ in score_pairs(entries)])
            if int(cursor) == 0:
                return

    def _suspect(self, entries: Iterable[tuple[str, bytes]]) -> Flow[None]:
        suspects: dict[str, set[tuple[str, bytes]]] = {}
        for name, member in entries:
            index = self._mapper.indexes.get(name)
            in_order = index is not None and index.kind == "lex"
            suspects.setdefault(unlex(text_of(member))[1] if in_order else text_of(member), set()).add((name, member))
        yield from self._doubt(suspects)

    def _doubt(self, suspects: Suspects) -> Flow[None]:
        """Look for those among entries and unique keys that the row they name does not have."""
        if not suspects:
            return
        seen = yield from view(self._mapper, self._keyspace, suspects, Look(Tally(), watching=False))
        doubtful: dict[str, Collection[tuple[str, bytes]]] = {}
        for pk_text, those in suspects.items():
            sight = seen.sights[pk_text]
            wrong = {(name, member) for name, member in those if not (sight.wants(name, member) or name in sight.claims)}
            wrong -= {(name, member) for name, member in wrong if name == LEDGER and sight.there and self._mapper.indexed}
            if wrong:
                doubtful[pk_text] = wrong
        yield from self._confirm(doubtful, of_rows=False)

    # ---- believing it -------------------------------------------------------------------------------------------------------

    def _confirm(self, doubtful: Suspects, *, of_rows: bool) -> Flow[None]:
        """Look again at what seems wrong, under WATCH."""
        found: list[Evidence] = []
        if doubtful:
            look = partial(gather, self._mapper, self._keyspace, watching=True)
            found = yield from surely(self._mapper, doubtful, lambda batch: look(suspects=batch))
        problems: dict[str, list[Problem]] = {}
        for evidence in found:
            for sight in evidence.seen.sights.values():
                wrong = row_problems(evidence, sight) if of_rows else suspect_problems(evidence, sight, doubtful[sight.pk_text])
                problems[sight.pk_text] = list(wrong)
        yield from self._settle(problems, doubtful)

    def _settle(self, problems: Mapping[str, list[Problem]], suspects: Suspects) -> Flow[None]:
        """Note problems, and mend those that can be."""
        for those in problems.values():
            self._findings.add(those)
        mends = {pk_text: suspects[pk_text] for pk_text, those in problems.items() if not all(one.kind in FOR_PEOPLE for one in those)}
        if self._purpose != "check" and mends:
            yield from settle_all(self._mapper, self._keyspace, mends)


def _unreadable(error: DecodeError) -> Problem:
    key = error.key or ""
    return Problem("wrong type" if isinstance(error, RowTypeError) else "unreadable row", key, str(error).removeprefix(f"{key}: "))


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True

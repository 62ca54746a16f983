"""Comparing what lies in the store of rows with what should: from evidence to problems.

Evidence is a view of the rows and the places of their entries. Gathered under WATCH it is of one instant, so that a writer
at work makes no problem appear.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply
from redisorm.keys import LEDGER, Keyspace
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.mapper import Mapper

from .entries import Entry
from .indexing import deadline_score, memo_of
from .pieces import CHUNK, chunks
from .report import Problem
from .scope import UNIQUE
from .seeing import Look, Tally
from .settling import Suspects
from .viewing import Sight, View, view

__all__ = ["Evidence", "gather", "milliseconds", "row_problems", "suspect_problems"]

NEAR_DEGREES = 6e-6
"""How far a stored position may be from the one it was made of: geohashes of 52 bits are cells of 5.4e-6 degrees."""


class Places:
    """The scores and positions of members, asked for with one command for each key."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], dict[bytes, Reply]] = {}

    def ask(self, command: str, key: str, member: str | bytes) -> None:
        """Note a question."""
        self._asked.setdefault((command, key), {})[as_bytes(member)] = None

    def commands(self) -> list[Command]:
        """The questions as commands."""
        return [one for (command, key), members in self._asked.items() for one in chunks(command, key, list(members))]

    def take(self, replies: list[Reply]) -> None:
        """Take in the replies to them."""
        rest = iter(replies)
        for members in self._asked.values():
            for part in _parts(list(members)):
                members.update(zip(part, next(rest), strict=True))

    def score(self, key: str, member: str | bytes) -> float | None:
        """The score of a member; `None` where it is not there."""
        found = self._asked["ZMSCORE", key][as_bytes(member)]
        return None if found is None else float(found)

    def holds(self, key: str, member: str | bytes) -> bool:
        """Whether a member is there."""
        return self._asked["ZMSCORE", key][as_bytes(member)] is not None

    def position(self, key: str, member: str | bytes) -> tuple[float, float] | None:
        """The longitude and latitude of a member; `None` where it is not there."""
        found = self._asked["GEOPOS", key][as_bytes(member)]
        return None if found is None else (float(found[0]), float(found[1]))


def _parts(members: list[bytes]) -> Iterator[list[bytes]]:
    yield from (members[start : start + CHUNK] for start in range(0, len(members), CHUNK))


def milliseconds(time: Reply) -> int:
    """Read the reply to TIME: a row that is gone by then, since it has expired, had an earlier deadline."""
    return int(time[0]) * 1000 + int(time[1]) // 1000


@dataclass(slots=True)
class Evidence:
    """What was seen of rows and of their entries, and when."""

    keyspace: Keyspace
    indexed: bool
    seen: View
    places: Places
    now_ms: int

    def lists(self, sight: Sight) -> bool:
        """Whether the list of all rows has to hold a row: a class without indexes has no such list."""
        return sight.there and self.indexed

    def is_due(self, sight: Sight) -> bool:
        """Whether the list of all rows knows that a row has expired."""
        if not sight.key:
            return False
        score = self.places.score(self.keyspace.own(LEDGER), sight.pk_text)
        return score is not None and score <= self.now_ms


def gather(mapper: Mapper[Any], keyspace: Keyspace, suspects: Suspects, *, watching: bool) -> Flow[Evidence | None]:
    """Look at rows and their entries; `None` where they are watched and another writer was faster."""
    claimed = [name for those in suspects.values() for name, _ in those if name.startswith(UNIQUE)]
    seen = yield from view(mapper, keyspace, suspects, Look(Tally(), watching=watching), claimed)
    places = Places()
    for sight in seen.sights.values():
        if sight.key:
            places.ask("ZMSCORE", keyspace.own(LEDGER), sight.pk_text)
        for name, (member, place) in sight.entries.items():
            places.ask("GEOPOS" if isinstance(place, tuple) else "ZMSCORE", keyspace.own(name), member)
        for name, suspect in suspects[sight.pk_text]:
            if not name.startswith(UNIQUE):
                places.ask("ZMSCORE", keyspace.own(name), suspect)
    replies = yield Batch([*places.commands(), ("TIME",)], atomic=watching, resend=True)
    if replies is None:
        return None
    *found, time = replies
    places.take(found)
    return Evidence(keyspace, mapper.indexed, seen, places, milliseconds(time))


# ---- rows that are there ------------------------------------------------------------------------------------------------


def row_problems(evidence: Evidence, sight: Sight) -> Iterator[Problem]:
    """Tell what is wrong with what is kept of a row that is there."""
    if not sight.there:
        return
    if evidence.indexed:
        yield from _entry_problems(evidence, sight, LEDGER, (sight.pk_text, None))
        for name, entry in sight.entries.items():
            yield from _entry_problems(evidence, sight, name, entry)
        for name in sight.claims:
            yield from _claim_problems(evidence, sight, name)
    if sight.unindexable:
        yield Problem("unindexable value", sight.key, sight.unindexable)
    yield from _memo_problems(evidence, sight)
    for name, deadline in sight.companions.items():
        if deadline != _instant(sight):
            detail = f"it expires at {_at(deadline)}, {sight.key} at {_at(_instant(sight))}"
            yield Problem("wrong deadline", Keyspace.companion(sight.key, name), detail)


def _entry_problems(evidence: Evidence, sight: Sight, name: str, entry: Entry) -> Iterator[Problem]:
    key, (member, place) = evidence.keyspace.own(name), entry
    found: object
    if isinstance(place, tuple):
        found = evidence.places.position(key, member)
        wanted: object = tuple(map(float, place))
        same = found is not None and all(abs(a - float(b)) <= NEAR_DEGREES for a, b in zip(found, place, strict=True))
    else:
        found = evidence.places.score(key, member)
        wanted = float(deadline_score(sight.deadline_ms) if place is None else place)
        same = found == wanted
    if found is None:
        yield Problem("missing entry", key, f"{sight.key} is not in it")
    elif not same:
        yield Problem("wrong value", key, f"{sight.key} is in it at {found}, and should be at {wanted}")


def _claim_problems(evidence: Evidence, sight: Sight, name: str) -> Iterator[Problem]:
    key, owner = evidence.keyspace.own(name), evidence.seen.owners.get(name)
    if owner is None:
        yield Problem("missing unique key", key, f"{sight.key} does not own it")
    elif owner.pk_text == sight.pk_text:
        if owner.deadline_ms != _instant(sight):
            yield Problem("wrong deadline", key, f"it expires at {_at(owner.deadline_ms)}, {sight.key} at {_at(_instant(sight))}")
    elif (rival := evidence.seen.rival(sight, name)) is not None:
        yield Problem("duplicate unique value", key, f"{sight.key} has the value too, and {rival.key} owns it")
    else:
        yield Problem("missing unique key", key, f"{sight.key} does not own it, but {owner.pk_text!r}, which does not have the value")


def _memo_problems(evidence: Evidence, sight: Sight) -> Iterator[Problem]:
    mortal = evidence.indexed and sight.deadline_ms is not None
    wanted = memo_of(sight.entries, sight.claims, sight.pk_text) if mortal else {}
    if sight.memo == wanted:
        return
    key = Keyspace.memo(sight.key)
    if not mortal:
        yield Problem("orphan memo", key, f"nothing has to be remembered of {sight.key}")
    else:
        differing = sorted(name for name in {*sight.memo, *wanted} if sight.memo.get(name) != wanted.get(name))
        yield Problem("wrong memo", key, f"{', '.join(differing[:3])}{', …' if len(differing) > 3 else ''}")


def _instant(sight: Sight) -> int:
    return -1 if sight.deadline_ms is None else sight.deadline_ms


def _at(deadline_ms: int) -> str:
    return "no time" if deadline_ms < 0 else str(deadline_ms)


# ---- entries and keys that may be nobody's ------------------------------------------------------------------------------


def suspect_problems(evidence: Evidence, sight: Sight, suspects: Collection[tuple[str, bytes]]) -> Iterator[Problem]:
    """Tell which of the entries and unique keys that name a row are wrong."""
    for name, member in suspects:
        key = evidence.keyspace.own(name)
        if name.startswith(UNIQUE):
            if evidence.seen.owns(sight, name) and name not in sight.claims:
                yield Problem("stale unique key", key, f"it belongs to {_named(sight)}, which {_lack(sight, 'has another value')}")
        elif not evidence.places.holds(key, member) or sight.wants(name, member) or (name == LEDGER and evidence.lists(sight)):
            continue
        elif not sight.there and evidence.is_due(sight) and (name == LEDGER or _remembered(sight, name, member)):
            if name == LEDGER:
                yield Problem("expired but unswept", sight.key, f"its entries are still there, {len(sight.memo)} in its memo")
        else:
            yield Problem("dangling entry", key, f"{_shown(member)} is in it, but {_named(sight)} {_lack(sight, 'has no such value')}")


def _remembered(sight: Sight, name: str, member: bytes) -> bool:
    return name in sight.memo and (sight.memo[name] or sight.pk_text).encode() == member


def _named(sight: Sight) -> str:
    return sight.key or repr(sight.pk_text)


def _lack(sight: Sight, otherwise: str) -> str:
    if not sight.key:
        return "is the primary key of no row"
    return otherwise if sight.there else "is gone" if sight.kind == "none" else f"is a {sight.kind}"


def _shown(member: bytes) -> str:
    return repr(member.decode("utf-8", "backslashreplace"))

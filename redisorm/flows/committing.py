"""The commit: guards, then writes, in one transaction.

Without guards it is MULTI … EXEC in one round trip. With guards, WATCH and reads are one and MULTI … EXEC the next; a
lost race is tried again from fresh reads. Where watching that many keys would block the server, one script repeats the
reads, compares, and writes. Either way everything is written or nothing (see docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from redisorm.commands import Batch, Clock, Command, Flow, Pause, Reply, Supports, Watch, WatchLimit
from redisorm.errors import ConcurrentUpdateError, UnsupportedServerError

from .changes import UNTOLD, Change, Kind, Outcome
from .guards import ABSENT, Observed, Read, decide, incremented, observe, read_of, types
from .persistence import short_lived, writes
from .scripts import require_scripts, run_commit

__all__ = ["ATTEMPTS", "CommitResult", "commit"]

ATTEMPTS = 64
"""Times a commit is tried again when other writers change what it reads, with a growing random pause between."""
LONGEST_PAUSE_S = 0.1
EXISTS_AT_ONCE = 5000
MOST_COUNTED = 2**62
"""Explicit keys above this do not raise the counter, which must not overflow."""
FIELD_LIFE = "HPEXPIREAT"


class CommitResult(NamedTuple):
    """What a commit took.

    Attributes:
        commands: The commands sent, MULTI, EXEC and those of every attempt included.
        round_trips: How often an answer was waited for.
        objects: The objects written or deleted.
    """

    commands: int
    round_trips: int
    objects: int


@dataclass(slots=True)
class _Tally:
    commands: int = 0
    round_trips: int = 0

    def add(self, commands: int) -> None:
        self.commands += commands
        self.round_trips += 1


@dataclass(slots=True)
class _Plan:
    """What one attempt reads.

    One read for each row that must be there, a shared EXISTS for those that may not be, and the counters that explicit
    numbers may have to raise.
    """

    changes: Sequence[Change]
    watched: list[str]
    rows: list[Read]
    absent: list[str]
    counters: dict[str, int]

    @classmethod
    def of(cls, changes: Sequence[Change]) -> _Plan:
        # what is removed goes first, so that another object can take its key in the same commit
        ordered = sorted(changes, key=lambda change: change.kind is not Kind.DELETE)
        plan = cls(ordered, [], [], [], {})
        for change in ordered:
            if not change.is_guarded:
                continue
            plan.watched.append(change.key)
            if not change.is_new:
                plan.rows.append(read_of(change))
                continue
            plan.absent.append(change.key)
            if change.mapper.companions:
                plan.absent += change.companion_keys()
            if change.mapper.automatic and not change.numbered and change.pk <= MOST_COUNTED:
                plan.counters[change.keyspace.counter] = max(change.pk, plan.counters.get(change.keyspace.counter, 0))
        return plan

    @property
    def shared(self) -> list[Command]:
        """EXISTS of everything that is expected to be absent."""
        return [("EXISTS", *self.absent[start : start + EXISTS_AT_ONCE]) for start in range(0, len(self.absent), EXISTS_AT_ONCE)]

    def reads(self) -> list[Command]:
        """What is read, in the order `_observed` takes the replies."""
        return [
            *self.shared,
            *(command for read in self.rows for command in read.commands()),
            *(("GET", counter) for counter in self.counters),
        ]


@dataclass(slots=True)
class _Seen:
    """What the server holds for the changes of a plan: under rows that must be there, and under those of new objects."""

    rows: dict[str, Observed]
    new: dict[str, Observed]
    raises: list[Command]

    def of(self, change: Change) -> Observed:
        return (self.new if change.is_new else self.rows).get(change.key, ABSENT)


def commit(changes: Sequence[Change], *, new_version: Callable[[], int]) -> Flow[CommitResult]:
    """Write all changes in one transaction, or nothing, and fill in their outcomes.

    Args:
        changes: At least one.
        new_version: Makes the version a row of a versioned class begins with.

    Raises:
        ConflictError: The server holds something else than a change relies on.
        ConcurrentUpdateError: Other writers won the race every time.
        UnsupportedServerError: The server lacks a command that a change needs.
    """
    tally = _Tally()
    yield from _check_server(changes)
    yield from _number([change for change in changes if change.is_new and change.pk is None], tally)
    limit = yield WatchLimit()
    for attempt in range(ATTEMPTS):
        plan = _Plan.of(changes)
        watched = plan.watched
        if not watched:
            done = yield from _write(plan, _Seen({}, {}, []), tally, new_version)
        elif limit is None or len(watched) <= limit:
            done = yield from _by_watch(plan, watched, tally, new_version, skip=2**attempt)
        else:
            done = yield from _by_script(plan, limit, tally, new_version, skip=2**attempt)
        if done:
            return CommitResult(tally.commands, tally.round_trips, len(changes))
        yield Pause(min(0.001 * 2**attempt, LONGEST_PAUSE_S))
    keys = [change.key for change in changes if change.is_guarded]
    raise ConcurrentUpdateError(
        f"other writers changed what the commit was reading {ATTEMPTS} times in a row "
        f"({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}); nothing was written: try again, or make the commit smaller",
        key=keys[0],
    )


def _check_server(changes: Sequence[Change]) -> Flow[None]:
    if any(short_lived(change) for change in changes) and not (yield Supports(FIELD_LIFE)):
        raise UnsupportedServerError(
            "a field with a life of its own needs HPEXPIREAT, which Redis has since 7.4 and Valkey since 9.0: "
            "leave out Field(ttl=), or use a newer server; nothing was written",
            command=FIELD_LIFE,
            since="Redis 7.4, Valkey 9.0",
        )


# ---- automatic primary keys ---------------------------------------------------------------------------------------------


def _number(changes: Sequence[Change], tally: _Tally, *, skip: int = 0) -> Flow[None]:
    """Give automatic primary keys their numbers: one INCRBY a class. `skip` leaves numbers out, after a counter was lost."""
    waiting: dict[str, list[Change]] = {}
    for change in changes:
        waiting.setdefault(change.keyspace.counter, []).append(change)
    if not waiting:
        return
    commands: list[Command] = [("INCRBY", counter, len(group) + skip) for counter, group in waiting.items()]
    replies = yield Batch(commands)
    tally.add(len(commands))
    for group, last in zip(waiting.values(), replies, strict=True):
        for number, change in enumerate(group, last - len(group) + 1):
            _give_key(change, number)


def _give_key(change: Change, number: int) -> None:
    mapper, difference = change.mapper, change.difference
    assert difference is not None
    if change.numbered:  # the number before this one turned out to be taken
        del difference.sets[:2]
    difference.sets[:0] = (mapper.pk_name, number)
    values = list(difference.after.values)
    values[mapper.slots.place(mapper.pk_name)] = number
    difference.after = replace(difference.after, values=tuple(values))
    change.pk, change.key, change.numbered = number, change.keyspace.row(mapper.pk_text(number)), True


# ---- one attempt --------------------------------------------------------------------------------------------------------


def _by_watch(plan: _Plan, watched: list[str], tally: _Tally, new_version: Callable[[], int], *, skip: int) -> Flow[bool]:
    commands = plan.reads()
    replies = yield Watch(watched, commands)
    tally.add(1 + len(commands))
    seen = yield from _observed(plan, replies, tally)
    if taken := [change for change in plan.changes if change.numbered and seen.of(change).exists]:
        yield from _number(taken, tally, skip=skip)
        return False
    return (yield from _write(plan, seen, tally, new_version))


def _by_script(plan: _Plan, limit: int, tally: _Tally, new_version: Callable[[], int], *, skip: int) -> Flow[bool]:
    """Read without watching; the script repeats the reads and writes only where nothing is different."""
    commands = plan.reads()
    yield from require_scripts(len(plan.watched), limit)
    replies = yield Batch(commands, resend=True)
    tally.add(len(commands))
    seen = yield from _observed(plan, replies, tally)
    if taken := [change for change in plan.changes if change.numbered and seen.of(change).exists]:
        yield from _number(taken, tally, skip=skip)
        return False
    spelled = yield from _spelled(plan, seen, new_version)
    certain = len(commands) - len(plan.counters)
    keys = [
        *plan.watched,
        *plan.absent,
        *(change.key for change in plan.changes),
        *(key for change in plan.changes for key in change.companion_keys()),
    ]
    answers = yield from run_commit(list(dict.fromkeys([*keys, *plan.counters])), commands[:certain], replies[:certain], spelled.commands)
    tally.add(1)
    return spelled.settled(answers)


def _write(plan: _Plan, seen: _Seen, tally: _Tally, new_version: Callable[[], int]) -> Flow[bool]:
    spelled = yield from _spelled(plan, seen, new_version)
    replies = yield Batch(spelled.commands, atomic=True)
    tally.add(len(spelled.commands) + 2)
    return spelled.settled(replies)


@dataclass(slots=True)
class _Spelled:
    """The commands of a plan, and where in them each row is deleted: only the answer tells whether it was there."""

    commands: list[Command]
    deletions: list[tuple[int, Change]]

    def settled(self, replies: Sequence[Reply] | None) -> bool:
        """Take in the answer; `False` where nothing was executed."""
        if replies is None:
            return False
        for place, change in self.deletions:
            change.outcome = Outcome(was_there=bool(replies[place]))
        return True


def _spelled(plan: _Plan, seen: _Seen, new_version: Callable[[], int]) -> Flow[_Spelled]:
    """Decide every change and spell it; what does not fit raises here, before anything is sent."""
    now_ms = yield Clock()
    spelled = _Spelled(list(seen.raises), [])
    removed: set[str] = set()
    for change in plan.changes:
        observed = ABSENT if change.is_new and change.key in removed else seen.of(change)
        decide(change, observed)
        if change.kind is Kind.DELETE:
            removed.add(change.key)
            spelled.deletions.append((len(spelled.commands), change))
        numbers = incremented(change, observed) if change.increments else {}
        change.outcome = _outcome(change, observed, numbers, new_version)
        spelled.commands += writes(change, observed, numbers, now_ms=now_ms, version=change.outcome.version or 0)
    return spelled


def _outcome(change: Change, seen: Observed, numbers: dict[str, Any], new_version: Callable[[], int]) -> Outcome:
    """What a change will have come to when the server has agreed."""
    versioned = change.mapper.options.versioned
    life = change.life if isinstance(change.life, int) else None if change.is_new else seen.life
    if not versioned and life is None and not numbers:
        return UNTOLD
    version = change.version if change.touch else new_version() if change.version is None else change.version + 1
    return Outcome(version if versioned else None, life, numbers)


def _observed(plan: _Plan, replies: Sequence[Reply], tally: _Tally) -> Flow[_Seen]:
    """Make sense of the replies, with a closer look where a key is there that might not be, or a row seems to be gone."""
    place = len(plan.shared)
    met = any(replies[:place])
    rows: dict[str, Observed] = {}
    new: dict[str, Observed] = {}
    for read in plan.rows:
        width = len(read.commands())
        rows[read.change.key] = observe(read, replies[place : place + width])
        place += width
    raises: list[Command] = [
        ("INCRBY", counter, highest - int(now or 0))
        for (counter, highest), now in zip(plan.counters.items(), replies[place:], strict=True)
        if highest > int(now or 0)
    ]
    closer = [*(plan.absent if met else ()), *(key for key, seen in rows.items() if not seen.exists)]
    if closer:
        found = dict(zip(closer, (yield Batch([("TYPE", key) for key in closer], resend=True)), strict=True))
        tally.add(len(closer))
        for key, seen in rows.items():
            seen.exists |= found.get(key) == b"hash"
        new = {change.key: types(change, found) for change in plan.changes if met and change.is_new and change.is_guarded}
    return _Seen(rows, new, raises)

"""Looking before writing: what the server holds for a commit, read under WATCH, or read with a log that a script repeats.

Mostly one round trip. A closer look follows only where something is there that need not be, or a row seems to be gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from redisorm.commands import Batch, Command, Flow, Reply, Watch
from redisorm.errors import WrongTypeError
from redisorm.keys import Keyspace
from redisorm.mapping.mapper import Mapper

from .changes import PERMANENT, Change, Keep, Kind
from .entries import claims_of
from .guards import Observed, observe, read_of, refuse_type, texts_after, types
from .plan import Plan, Seen
from .uniqueness import contested, owner_keeps

__all__ = ["Look", "Tally", "refuse_types", "see"]


class Tally:
    """What a commit has sent.

    Attributes:
        commands: The commands, WATCH, MULTI and EXEC among them.
        round_trips: How often an answer was waited for.
    """

    commands: int = 0
    round_trips: int = 0

    def add(self, commands: int) -> None:
        """Count one round trip."""
        self.commands += commands
        self.round_trips += 1


@dataclass(slots=True)
class Look:
    """How the reads of one attempt are asked.

    Attributes:
        watching: Whether keys are watched. Else the reads are logged, for a script to repeat.
        log: The reads and their replies.
        known: The keys and commands that were asked for already, and their replies; `None` for none.
        races: How many attempts before this one were lost to other writers.
    """

    tally: Tally
    watching: bool
    log: list[tuple[Command, Reply]] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    known: tuple[list[str], list[Command], list[Reply]] | None = None
    races: int = 0

    def ask(self, keys: Sequence[str], commands: Sequence[Command], *, passing: int = 0) -> Flow[list[Reply]]:
        """Read; what is read of `keys` must still be so when the commit writes.

        Args:
            passing: How many commands at the end need not be.
        """
        if self.known is not None and self.known[:2] == (list(keys), list(commands)):
            return self.known[2]
        self.watched += keys
        if self.watching and keys:
            replies = yield Watch(list(keys), list(commands))
            self.tally.add(1 + len(commands))
        else:
            replies = yield Batch(list(commands), resend=True)
            self.tally.add(len(commands))
        certain = len(commands) - passing
        if not self.watching:
            self.log += zip(commands[:certain], replies[:certain], strict=True)
        answers: list[Reply] = replies
        return answers


def see(plan: Plan, look: Look) -> Flow[Seen]:
    """Find out what the server holds.

    Raises:
        WrongTypeError: A key of another type is in the way.
        UniqueViolationError: A unique value belongs to another row.
        ConflictError: A guard does not hold.
        DecodeError: A stored version is no number.
    """
    try:
        return (yield from _see(plan, look))
    except WrongTypeError as error:
        if error.found is None:  # the server refused a read, and does not say what is there
            yield from refuse_types(plan.changes)
        raise


def refuse_types(changes: Iterable[Change]) -> Flow[None]:
    """Ask for the types of all keys of rows, one of which is in the way.

    Raises:
        WrongTypeError: A key is of another type.
    """
    needed: dict[str, str] = {}
    for change in changes:
        needed[change.key] = "hash"
        needed.update(zip(change.companion_keys(), (one.kind for one in change.mapper.beside), strict=True))
    found = yield Batch([("TYPE", key) for key in needed], resend=True)
    for (key, kind), reply in zip(needed.items(), found, strict=True):
        refuse_type(key, kind, reply)


def _see(plan: Plan, look: Look) -> Flow[Seen]:
    shared = plan.shared
    commands: list[Command] = [guard.read for guard in plan.guards]
    commands += shared
    reads = list(map(read_of, plan.rows))
    commands += (command for read in reads for command in read.commands())
    commands += (("GET", counter) for counter in plan.counters)
    replies = yield from look.ask(plan.watched, commands, passing=len(plan.counters))
    for guard, reply in zip(plan.guards, replies):  # noqa: B905 - the other replies follow
        guard.check(reply)
    rest = iter(replies[len(plan.guards) :])
    met = any(list(islice(rest, len(shared))))
    seen = Seen()
    for read in reads:
        seen.rows[read.change.mapper, read.change.key] = observe(read, rest)
    seen.raises += (
        ("INCRBY", counter, highest - int(now or 0))
        for (counter, highest), now in zip(plan.counters.items(), rest, strict=True)
        if highest > int(now or 0)
    )
    closer = [*(plan.absent if met else ()), *(key for (_, key), row in seen.rows.items() if not row.exists)]
    if closer:
        yield from _look_closer(plan, look, seen, closer, met=met)
    yield from _read_elements(plan, look, seen)
    if any(change.mapper.uniques for change in plan.changes):
        yield from _see_owners(plan, look, seen, met=met)
    return seen


def _look_closer(plan: Plan, look: Look, seen: Seen, closer: list[str], *, met: bool) -> Flow[None]:
    found = dict(zip(closer, (yield from look.ask((), [("TYPE", key) for key in closer])), strict=True))
    for (_, key), row in seen.rows.items():
        row.exists |= found.get(key) == b"hash"
    if not met:
        return
    replaced: list[Change] = []
    for change in plan.changes:
        if change.is_new and change.is_guarded:
            seen.new[change.key] = types(change, found)
            if change.mapper.indexed and (seen.new[change.key].exists or found[Keyspace.memo(change.key)] != b"none"):
                replaced.append(change)
    if not replaced:
        return
    reads = [read_of(change, whole=True) for change in replaced]
    keys = [key for read in reads for key in read.companions()]
    rest = iter((yield from look.ask(keys, [command for read in reads for command in read.commands()])))
    for read in reads:
        former = observe(read, rest)
        current = seen.new[read.change.key]
        current.texts, current.elements, current.memo, current.version = former.texts, former.elements, former.memo, former.version


def _read_elements(plan: Plan, look: Look, seen: Seen) -> Flow[None]:
    """Read the indexed companions of rows whose entries will all be touched, where that was not known before."""
    wanting: list[Change] = []
    for change in plan.changes:
        row = seen.rows.get((change.mapper, change.key))
        if row is None or change.is_new or not change.mapper.indexed:
            continue
        missing = [one for one in change.mapper.companions if one.name in change.mapper.indexes and one.name not in row.elements]
        if missing and row.exists and _touches_all(change, row):
            wanting.append(change)
    if not wanting:
        return
    reads = [read_of(change, whole=True) for change in wanting]
    keys = [key for read in reads for key in (read.change.key, *read.companions())]
    rest = iter((yield from look.ask(keys, [command for read in reads for command in read.commands()])))
    for read in reads:
        seen.rows[read.change.mapper, read.change.key] = observe(read, rest)


def _touches_all(change: Change, row: Observed) -> bool:
    """Whether every index entry of a row will be written: its deadline moves, or nothing is remembered of it."""
    life = change.life if not isinstance(change.life, Keep) else row.life if row.life is not None else change.mapper.options.ttl_ms
    moves = life is not None and (change.life == PERMANENT or (life != PERMANENT and change.mapper.options.ttl_refresh != "never"))
    return moves or row.forgotten


def _see_owners(plan: Plan, look: Look, seen: Seen, *, met: bool) -> Flow[None]:
    """Find out whose the unique values are that the commit takes or gives up, and whether their owners still have them."""
    asked: dict[str, Mapper[Any]] = {}
    for change in plan.changes:
        row = seen.of(change)
        mapper, keyspace = change.mapper, change.keyspace
        if not mapper.uniques or not row.fits:
            continue
        names = set(claims_of(mapper, row.texts)) | {name for name in row.memo if name.startswith("unique:")}
        if change.kind is not Kind.DELETE and (met or not change.is_new):
            names |= set(claims_of(mapper, texts_after(change, row)))
        asked.update((keyspace.own(name), mapper) for name in names)
    if not asked:
        return
    watched = set(look.watched)
    keys = [key for key in asked if key not in watched]
    replies = yield from look.ask(keys, [("GET", key) for key in asked])
    seen.owners = {key: reply.decode() for key, reply in zip(asked, replies, strict=True) if reply is not None}
    disputes = contested(plan, seen)
    if not disputes:
        return
    commands: list[Command] = []
    for dispute in disputes:
        change = dispute.change
        commands.append(("HMGET", change.keyspace.row(dispute.owner), *change.mapper.index_fields))
    rows = [str(command[1]) for command in commands]
    replies = yield from look.ask([key for key in dict.fromkeys(rows) if key not in watched], commands)
    for dispute, texts in zip(disputes, replies, strict=True):
        owner_keeps(dispute, texts)

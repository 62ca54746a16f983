"""The commit: guards, then writes, in one transaction.

Without guards it is MULTI … EXEC in one round trip. With guards, WATCH and reads are one and MULTI … EXEC the next; a
lost race is tried again from fresh reads. Where watching that many keys would block the server, one script repeats the
reads, compares, and writes. Either way everything is written or nothing (see docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from redisorm.commands import Batch, Clock, Command, Flow, Guarded, Pause, Reply, Supports, WatchLimit
from redisorm.errors import ConcurrentUpdateError, ConnectionFailedError, StaleObjectError, UnsupportedServerError

from .assuming import Assumption, assume
from .changes import Change, Kind
from .conditional import sets_alone, write_conditionally
from .guarding import Guard, types_of
from .living import LiveWrite, guards_of
from .lonerow import LoneRow, lone_row, watch_row, write_fresh, write_row
from .newrows import NewRows
from .numbering import number, taken
from .persistence import short_lived
from .plan import Plan, Seen
from .riding import ridden, write_ridden
from .scripts import CommitScript, require_scripts
from .seeing import Look, Tally, see
from .spelling import Due, Spelled, spell
from .uniqueness import refuse_twins

__all__ = ["ATTEMPTS", "CommitResult", "NewRowsOf", "commit"]

ATTEMPTS = 64
"""Times a commit is tried again when other writers change what it reads, with a growing random pause between."""
FIELD_LIFE = "HPEXPIREAT"
SCRIPTS = Supports("EVALSHA")


class NewRowsOf(Protocol):
    """Where new rows come from that may be spelled together."""

    def spelled(self) -> Sequence[NewRows]:
        """Spell them; empty where one of them has to be looked at by itself."""
        ...

    def get_ready(self) -> None:
        """Prepare for the success of what was spelled, while the server works."""

    def changes(self) -> Sequence[Change]:
        """The same rows, each as a change of its own."""
        ...


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
class _Terms:
    """What all attempts of one commit share.

    Attributes:
        look: How to look first where no script is run, with what was seen already; else `None`.
    """

    riders: Sequence[Command]
    lives: Sequence[LiveWrite]
    new_version: Callable[[], int]
    due: list[Due]
    tally: Tally
    look: Look | None

    def settle(self, spelled: Spelled, replies: Sequence[Reply] | None) -> bool:
        """Take in the answer of a transaction; `False` where nothing was executed."""
        done = spelled.settled(replies)
        self.due += spelled.due
        return done


def commit(
    changes: Sequence[Change],
    riders: Sequence[Command] = (),
    *,
    new_version: Callable[[], int],
    rows: NewRowsOf | None = None,
    due: list[Due] | None = None,
    guards: Sequence[Guard] = (),
    lives: Sequence[LiveWrite] = (),
    framed: bool = False,
) -> Flow[CommitResult]:
    """Write all changes in one transaction, or nothing, and fill in their outcomes.

    Args:
        changes: What to do with rows.
        riders: Further commands of the same transaction, such as XADD and PUBLISH. They are sent last, and messages after all others.
        new_version: Makes the version a row of a versioned class begins with.
        rows: New rows that are spelled together where that goes by one script; else they become changes like the others.
        due: Is given the expired rows of the same classes that were met and may be swept.
        guards: What must hold beside. That the keys of the riders have the types they need is seen to here.
        lives: What to write to live structures of rows.
        framed: Whether the transaction is MULTI and EXEC also where one script does it all by itself.

    Raises:
        ConflictError: The server holds something else than a change relies on, or a guard does not hold.
        ConcurrentUpdateError: Other writers won the race every time.
        UnsupportedServerError: The server lacks a command that a change needs.
    """
    tally = Tally()
    done: bool | None = None
    row: LoneRow | None = None
    if len(changes) == 1 and rows is None and not (riders or guards or lives) and changes[0].mapper.is_plain:
        done, row = yield from _alone(changes[0], tally, new_version, framed=framed)
        if done:
            return CommitResult(tally.commands, tally.round_trips, 1)
    scripts = yield SCRIPTS
    if riders:
        guards = [*guards, *types_of(riders)]
        # A full server lets a script publish before it refuses its first write, and refuses none after the first.
        riders = sorted(riders, key=_publishes)
    look = None if scripts else Look(tally, watching=True)
    terms = _Terms(riders, lives, new_version, [] if due is None else due, tally, look)
    if row is not None and look is not None:
        done = yield from watch_row(row, changes[0], look)
    elif (riders or guards) and look is None and rows is None and not lives and len(changes) < 2:
        done = yield from _riding(changes, guards, terms)
    if done:
        return CommitResult(tally.commands, tally.round_trips, len(changes))
    scripts = scripts and done is None  # it is otherwise: taken for granted once more, it would be so once more
    objects = yield from _generally(changes, rows, guards, terms, scripts=scripts)
    return CommitResult(tally.commands, tally.round_trips, objects)


def _generally(changes: Sequence[Change], rows: NewRowsOf | None, guards: Sequence[Guard], terms: _Terms, *, scripts: bool) -> Flow[int]:
    """Write any number of rows and all that goes with them; how many rows."""
    lives = terms.lives
    together: Sequence[NewRows] = ()
    if rows is not None:
        together = rows.spelled() if scripts or not (changes or guards or lives) else ()
        if together and not scripts:
            if (yield from _watch_absent(together, rows.get_ready, terms)):
                return _count(together)
            together = ()
        if not together:
            changes = [*changes, *rows.changes()]
    yield from _check_server(changes)
    refuse_twins(changes)
    yield from number([change for change in changes if change.is_new and change.pk is None], terms.tally)
    if lives:
        guards = [*guards, *guards_of(lives, changes)]
    meanwhile = rows.get_ready if rows is not None and together else None
    if scripts and not lives and (yield from _at_once(Plan.of(changes, guards), together, terms, meanwhile)):
        return len(changes) + _count(together)
    if rows is not None and together:
        changes = [*changes, *rows.changes()]
    yield from _try_again_and_again(changes, guards, terms)
    return len(changes)


def _count(together: Sequence[NewRows]) -> int:
    return sum(len(one.keys) for one in together)


def _publishes(command: Command) -> bool:
    return command[0] in ("PUBLISH", "SPUBLISH")


def _try_again_and_again(changes: Sequence[Change], guards: Sequence[Guard], terms: _Terms) -> Flow[None]:
    """Look and write, again from fresh reads where another writer was faster.

    Raises:
        ConcurrentUpdateError: Other writers won the race every time.
    """
    limit = yield WatchLimit()
    races = terms.look.races if terms.look is not None else 0
    if races:
        yield Pause.after(0)
    for attempt in range(races, ATTEMPTS):
        plan = Plan.of(changes, guards)
        if plan.is_blind:
            done = yield from _write(plan, Seen(), terms)
        elif limit is None or len(plan.watched) <= limit:
            done = yield from _by_watch(plan, terms, skip=2**attempt)
        else:
            done = yield from _by_script(plan, limit, terms, skip=2**attempt)
        if done:
            return
        yield Pause.after(attempt)
    keys = [change.key for change in changes if change.is_guarded] or [key for guard in guards for key in guard.watched]
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


# ---- one attempt --------------------------------------------------------------------------------------------------------


def _alone(change: Change, tally: Tally, new_version: Callable[[], int], *, framed: bool) -> Flow[tuple[bool | None, LoneRow | None]]:
    """Write one row that is its hash alone, and its entries in indexes, by one command or one short script.

    Returns:
        `None` where that is more than these do, or this user may not run them, `False` where something was otherwise, and nothing was
        written; and where it can still be watched, the row.
    """
    if change.pk is None:
        yield from number([change], tally)
    if sets_alone(change):
        done = yield from write_conditionally(change, tally, framed=framed)
        if done and change.outcome.life is not None:
            yield from _restart(change, tally, new_version)
        if done is not None:
            return done, None
    row = lone_row(change)
    if row is None:
        return None, None
    if not change.is_guarded:
        return (yield from write_fresh(row, tally)), None
    done = yield from write_row(row, tally, framed=framed)
    return done, row if done is None else None


def _restart(change: Change, tally: Tally, new_version: Callable[[], int]) -> Flow[None]:
    """Restart the life that somebody gave to a row after it was loaded, as every write does."""
    touch = Change(change.mapper, change.keyspace, Kind.UPDATE, change.pk, change.key)
    try:
        sent = yield from commit([touch], new_version=new_version)
    except StaleObjectError:
        return  # it was written, and is gone since
    tally.commands, tally.round_trips = tally.commands + sent.commands, tally.round_trips + sent.round_trips
    change.outcome = touch.outcome


def _riding(changes: Sequence[Change], guards: Sequence[Guard], terms: _Terms) -> Flow[bool | None]:
    """Verify and write what rides along, and one row at most, by one short script.

    Returns:
        `None` where that is more than it does, `False` where something was otherwise and nothing was written.
    """
    if changes and changes[0].pk is None and changes[0].mapper.is_plain:
        yield from number(changes, terms.tally)
    words = ridden(changes, terms.riders, guards)
    if words is None:
        return None
    terms.tally.add(3)
    return (yield from write_ridden(words))


def _at_once(plan: Plan, together: Sequence[NewRows], terms: _Terms, meanwhile: Callable[[], None] | None) -> Flow[bool]:
    """Take for granted what is likely, and let one script verify it and write; `False` where something was otherwise."""
    if plan.is_blind and not together:
        return False
    now_ms = yield Clock()
    assumed = assume(plan, now_ms)
    changed = {change.key for change in plan.changes}
    if assumed is None or any(key in changed for one in together for key in one.keys if changed):
        return False
    for one in together:
        one.derive()
        assumed.absent += one.absent()
    spelled = spell(plan, assumed.seen, terms.riders, now_ms, terms.new_version, together)
    script = CommitScript.of(plan.keys(), assumed, spelled.commands, [table for one in together for table in one.tables])
    if not script.fits:
        return False
    answers = yield from script.run(meanwhile)
    terms.tally.add(3)
    return terms.settle(spelled, answers)


def _watch_absent(together: Sequence[NewRows], get_ready: Callable[[], None], terms: _Terms) -> Flow[bool]:
    """Write new rows and nothing else, if nothing is there; `False` where something is, or came, and nothing was written."""
    keys = [key for one in together for key in (*one.keys, *one.absent())]
    limit = yield WatchLimit()
    if limit is not None and len(keys) > limit:
        return False
    now_ms = yield Clock()
    spelled: list[Spelled] = []

    def pieces() -> Iterator[Sequence[Command]]:
        for one in together:
            for table in one.tables:
                yield from table.pieces()
        spelled.append(spell(Plan.of((), ()), Seen(), terms.riders, now_ms, terms.new_version, together))
        yield spelled[0].commands

    terms.tally.add(2)
    try:
        replies = yield Guarded(keys, [("EXISTS", *keys)], [0], pieces(), get_ready)
    except ConnectionFailedError:  # nothing was executed, and the general way tries as often as the retry policy says
        return False
    if not spelled:
        return False
    hashes = _count(together)
    terms.tally.add(hashes + len(spelled[0].commands) + 2)
    return terms.settle(spelled[0], None if replies is None else replies[hashes:])


def _by_watch(plan: Plan, terms: _Terms, *, skip: int) -> Flow[bool]:
    look, terms.look = terms.look or Look(terms.tally, watching=True), None
    seen = yield from see(plan, look)
    if lost := taken(plan, seen):
        yield from number(lost, terms.tally, skip=skip)
        return False
    return (yield from _write(plan, seen, terms))


def _by_script(plan: Plan, limit: int, terms: _Terms, *, skip: int) -> Flow[bool]:
    """Read without watching; the script repeats the reads and writes only where nothing is different."""
    yield from require_scripts(len(plan.changes), len(plan.watched), limit)
    look = Look(terms.tally, watching=False)
    seen = yield from see(plan, look)
    if lost := taken(plan, seen):
        yield from number(lost, terms.tally, skip=skip)
        return False
    spelled = spell(plan, seen, terms.riders, (yield Clock()), terms.new_version, lives=terms.lives)
    script = CommitScript.of([*plan.keys(), *look.watched], Assumption(reads=look.log), spelled.commands)
    script.require_fit()
    answers = yield from script.run()
    terms.tally.add(3)
    return terms.settle(spelled, answers)


def _write(plan: Plan, seen: Seen, terms: _Terms) -> Flow[bool]:
    spelled = spell(plan, seen, terms.riders, (yield Clock()), terms.new_version, lives=terms.lives)
    if not spelled.commands:
        return True
    replies = yield Batch(spelled.commands, atomic=True)
    terms.tally.add(len(spelled.commands) + 2)
    return terms.settle(spelled, replies)

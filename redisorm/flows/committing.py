"""The commit: guards, then writes, in one transaction.

Without guards it is MULTI … EXEC in one round trip. With guards, WATCH and reads are one and MULTI … EXEC the next; a
lost race is tried again from fresh reads. Where watching that many keys would block the server, one script repeats the
reads, compares, and writes. Either way everything is written or nothing (see docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from redisorm.commands import ATTEMPTS, Clock, Command, Flow, Pause, Supports, WatchLimit
from redisorm.errors import (
    BackendError,
    CommitUnknownError,
    ConcurrentUpdateError,
    ConflictError,
    DecodeError,
    StaleObjectError,
    UnsupportedServerError,
    WrongTypeError,
)

from .attempts import Terms, write, write_at_once, write_blindly, write_comparing, write_queueing, write_watching
from .changes import KEEP, Change, Kind
from .conditional import sets_alone, write_conditionally
from .guarding import Guard, types_of
from .living import LiveWrite, guards_of
from .lonerow import LoneRow, lone_row, watch_row, write_fresh, write_row
from .numbering import Unnumbered, number, number_rows
from .persistence import short_lived
from .plan import Plan, Seen
from .richrow import rich_row, write_rich_row
from .riding import ridden, write_ridden
from .seeing import Look, Tally
from .spelling import Due
from .standing import refuse_values
from .tables import Rows, count_rows
from .uniqueness import refuse_twins

__all__ = ["CommitResult", "RowsTogether", "commit", "commit_one"]

FIELD_LIFE = "HPEXPIREAT"
SCRIPTS = Supports("EVALSHA")


class RowsTogether(Unnumbered, Protocol):
    """Where rows come from that may be spelled together."""

    def spelled(self) -> Sequence[Rows]:
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


def commit(
    changes: Sequence[Change],
    riders: Sequence[Command] = (),
    *,
    new_version: Callable[[], int],
    rows: RowsTogether | None = None,
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
        rows: Rows that are spelled together where that goes by one script; else they become changes like the others.
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
    if len(changes) == 1 and rows is None and not (riders or guards or lives):
        yield from commit_one(changes[0], tally, new_version=new_version, due=due, framed=framed)
        return CommitResult(tally.commands, tally.round_trips, 1)
    scripts = yield SCRIPTS
    if riders:
        guards = [*guards, *types_of(riders)]
        # A full server lets a script publish before it refuses its first write, and refuses none after the first.
        riders = sorted(riders, key=_publishes)
    look = None if scripts else Look(tally, watching=True)
    terms = Terms(riders, lives, new_version, [] if due is None else due, tally, look)
    done: bool | None = None
    if (riders or guards) and scripts and rows is None and not lives and len(changes) < 2:
        done = yield from _riding(changes, guards, terms)
    if done:
        return CommitResult(tally.commands, tally.round_trips, len(changes))
    scripts = scripts and done is None  # it is otherwise: taken for granted once more, it would be so once more
    objects = yield from _generally(changes, rows, guards, terms, scripts=scripts)
    return CommitResult(tally.commands, tally.round_trips, objects)


def commit_one(
    change: Change, tally: Tally, *, new_version: Callable[[], int], due: list[Due] | None = None, framed: bool = False
) -> Flow[None]:
    """Write one change and nothing else as `commit` does: by one command or one short script where that is enough.

    Args:
        tally: Counts what is sent.
    """
    done: bool | None = None
    row: LoneRow | None = None
    due = [] if due is None else due
    if change.mapper.is_lone and change.pk is None:
        yield from number((change,), tally)
    if change.mapper.is_plain:
        if sets_alone(change):
            done = yield from write_conditionally(change, tally, framed=framed)
        if done is None:
            done, row = yield from _by_itself(change, tally, framed=framed)
        if done:
            if change.outcome.life is not None:
                yield from _restart(change, tally, new_version)
            return
    if done is None and row is None and change.is_guarded:
        done = yield from _with_more(change, tally, new_version, due, framed=framed)
        if done:
            return
    scripts = yield SCRIPTS
    look = None if scripts else Look(tally, watching=True)
    if row is not None and look is not None and (yield from watch_row(row, change, look)):
        return
    terms = Terms((), (), new_version, due, tally, look)
    # What is otherwise than one of these took it to be would be so once more.
    yield from _generally((change,), None, (), terms, scripts=scripts and done is None)


def _generally(changes: Sequence[Change], rows: RowsTogether | None, guards: Sequence[Guard], terms: Terms, *, scripts: bool) -> Flow[int]:
    """Write any number of rows and all that goes with them; how many rows."""
    lives = terms.lives
    together: Sequence[Rows] = ()
    if rows is not None:
        if not lives:
            yield from number_rows(rows, terms.tally)
            together = rows.spelled()
        if not together:
            changes = [*changes, *rows.changes()]
    yield from _check_server(changes)
    refuse_twins(changes)
    yield from number([change for change in changes if change.is_new and change.pk is None], terms.tally)
    if lives:
        guards = [*guards, *guards_of(lives, changes)]
    if (yield from _at_once(changes, rows, together, guards, terms, scripts=scripts)):
        return len(changes) + count_rows(together)
    if rows is not None and together:
        changes = [*changes, *rows.changes()]
        refuse_twins(changes)
    try:
        yield from _try_again_and_again(changes, guards, terms)
    except (ConflictError, DecodeError, ValidationError, WrongTypeError):
        refuse_values(changes)  # the one is told first, whichever way found the other
        raise
    return len(changes)


def _at_once(
    changes: Sequence[Change], rows: RowsTogether | None, together: Sequence[Rows], guards: Sequence[Guard], terms: Terms, *, scripts: bool
) -> Flow[bool]:
    """Take for granted what is likely, and have it verified and written; `False` where something was otherwise, or one has to look."""
    get_ready = rows.get_ready if rows is not None and together else None
    if terms.lives or not (scripts or get_ready):
        return False
    sends_words_twice = scripts and any(one.tables for one in together)  # a table is sent in fewer words than its commands
    if get_ready is not None and not (changes or guards or sends_words_twice) and all(one.is_blind for one in together):
        return (yield from write_blindly(together, terms, get_ready))
    if scripts or get_ready is None:
        return (yield from write_at_once(Plan.of(changes, guards), together, terms, get_ready))
    return (yield from write_queueing(changes, guards, together, terms, get_ready))


def _publishes(command: Command) -> bool:
    return command[0] in ("PUBLISH", "SPUBLISH")


def _try_again_and_again(changes: Sequence[Change], guards: Sequence[Guard], terms: Terms) -> Flow[None]:
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
            done = yield from write(plan, Seen(), terms)
        elif limit is None or len(plan.watched) <= limit:
            done = yield from write_watching(plan, terms, skip=2**attempt)
        else:
            done = yield from write_comparing(plan, limit, terms, skip=2**attempt)
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
    if any(map(short_lived, changes)) and not (yield Supports(FIELD_LIFE)):
        raise UnsupportedServerError(
            "a field with a life of its own needs HPEXPIREAT, which Redis has since 7.4 and Valkey since 9.0: "
            "leave out Field(ttl=), or use a newer server; nothing was written",
            command=FIELD_LIFE,
            since="Redis 7.4, Valkey 9.0",
        )


# ---- one row, or none ----------------------------------------------------------------------------------------------------


def _by_itself(change: Change, tally: Tally, *, framed: bool) -> Flow[tuple[bool | None, LoneRow | None]]:
    """Write one row that is its hash alone, and its entries in indexes, by one short script.

    Returns:
        `None` where that is more than it does, or this user may not run it, `False` where something was otherwise, and nothing was
        written; and where it can still be watched, the row.
    """
    row = lone_row(change)
    if row is None:
        return None, None
    if not change.is_guarded:
        return (yield from write_fresh(row, tally)), None
    done = yield from write_row(row, tally, framed=framed)
    return done, row if done is None else None


def _with_more(change: Change, tally: Tally, new_version: Callable[[], int], due: list[Due], *, framed: bool) -> Flow[bool | None]:
    """Write one row that is its hash alone, with a life, a version or unique values, by one short script; as `_by_itself`."""
    if not (change.mapper.is_lone and (yield SCRIPTS)):
        return None
    mortal = change.mapper.options.ttl_ms is not None or change.life is not KEEP
    rich = rich_row(change, (yield Clock()) if mortal else 0, new_version)
    return None if rich is None else (yield from write_rich_row(rich, change, tally, due, framed=framed))


def _restart(change: Change, tally: Tally, new_version: Callable[[], int]) -> Flow[None]:
    """Restart the life that somebody gave to a row after it was loaded, as every write does.

    Raises:
        CommitUnknownError: It cannot be restarted, and what was to be written is.
    """
    touch = Change(change.mapper, change.keyspace, Kind.UPDATE, change.pk, change.key)
    try:
        yield from commit_one(touch, tally, new_version=new_version)
    except StaleObjectError:
        return  # it was written, and is gone since
    except (BackendError, ConflictError) as error:
        raise CommitUnknownError(
            f"{change.key} was written, but the life that it got since it was loaded was not restarted ({error}): read the row again",
            key=change.key,
        ) from error
    change.outcome = touch.outcome


def _riding(changes: Sequence[Change], guards: Sequence[Guard], terms: Terms) -> Flow[bool | None]:
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

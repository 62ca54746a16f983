"""One attempt of a commit: everything is verified and written in one transaction, or nothing is written.

Each way tells whether it was done; how often one is tried, and which comes next, is for `committing` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from pydantic import ValidationError

from redisorm.commands import Batch, Clock, Collect, Command, Flow, Guarded, Post, Reply, WatchLimit
from redisorm.errors import ConnectionFailedError, IndexValueError

from .assuming import Assumption, assume
from .changes import Change
from .guarding import Guard
from .living import LiveWrite
from .numbering import number, taken
from .plan import Plan, Seen
from .scripts import CommitScript, require_scripts
from .seeing import Look, Tally, see
from .spelling import Due, Spelled, spell
from .standing import refuse_values
from .tables import Rows
from .verifying import Verification

__all__ = ["Terms", "write", "write_at_once", "write_blindly", "write_comparing", "write_queueing", "write_watching"]


@dataclass(slots=True)
class Terms:
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


def write_at_once(plan: Plan, together: Sequence[Rows], terms: Terms, meanwhile: Callable[[], None] | None) -> Flow[bool]:
    """Take for granted what is likely, and let one script verify it and write; `False` where something was otherwise."""
    if plan.is_blind and not together:
        return False
    now_ms = yield Clock()
    try:
        assumed = assume(plan, together, now_ms)
        if assumed is None:
            return False
        for one in together:
            one.derive()
        spelled = spell(plan, assumed.seen, terms.riders, now_ms, terms.new_version, together)
    except (IndexValueError, ValidationError) as error:
        _refuse_what_is_certain(plan, error)
        return False
    script = CommitScript.of(plan.keys(), assumed, spelled.commands, [table for one in together for table in one.tables])
    if not script.fits:
        return False
    answers = yield from script.run(meanwhile)
    terms.tally.add(3)
    return terms.settle(spelled, answers)


def _refuse_what_is_certain(plan: Plan, error: Exception) -> None:
    """Raise what is wrong with a commit, unless it comes of what was taken for granted, which may be otherwise by now."""
    if not plan.rows:
        raise error
    refuse_values(plan.changes)


def write_queueing(
    changes: Sequence[Change], guards: Sequence[Guard], together: Sequence[Rows], terms: Terms, get_ready: Callable[[], None]
) -> Flow[bool]:
    """Take for granted what is likely, read it under WATCH, and queue the writes meanwhile; `False` where something was otherwise."""
    plan, now_ms = Plan.of(changes), (yield Clock())
    try:
        assumed = assume(plan, together, now_ms)
        if assumed is None:
            return False
        look = Verification.of(plan, guards, assumed, together)
        limit = yield WatchLimit()
        if limit is not None and len(look.watched) > limit:
            return False
        spelling = partial(spell, plan, assumed.seen, terms.riders, now_ms, terms.new_version, together)
        return (yield from _queue(look, together, spelling, terms, get_ready))
    except (IndexValueError, ValidationError) as error:
        _refuse_what_is_certain(plan, error)
        return False
    except ConnectionFailedError:  # nothing was executed, and the general way tries as often as the retry policy says
        return False


def _queue(
    look: Verification, together: Sequence[Rows], spelling: Callable[[], Spelled], terms: Terms, get_ready: Callable[[], None]
) -> Flow[bool]:
    tables = [table for one in together for table in one.tables]
    spelled: list[Spelled] = []

    def pieces() -> Iterator[Sequence[Command]]:
        for table in tables:
            yield from table.pieces()
        spelled.append(spelling())
        yield spelled[0].commands

    terms.tally.add(bool(look.watched) + look.count)
    replies = yield Guarded(look.watched, look.reads, look.holds, pieces(), get_ready)
    if not spelled:
        return False
    rows = sum(table.count for table in tables)
    terms.tally.add(rows + len(spelled[0].commands) + 2)
    return terms.settle(spelled[0], None if replies is None else replies[rows:])


def write_blindly(together: Sequence[Rows], terms: Terms, get_ready: Callable[[], None]) -> Flow[bool]:
    """Write rows of which nothing need be known before, in one round trip."""
    now_ms = yield Clock()
    for one in together:
        one.live_from(now_ms)
    spelled = spell(Plan.of(()), Seen(), terms.riders, now_ms, terms.new_version, together)
    tables = (table.pieces() for one in together for table in one.tables)
    commands = list(chain.from_iterable(chain.from_iterable(tables)))
    rows = len(commands)
    commands += spelled.commands
    yield Post(Batch(commands, atomic=True))
    get_ready()
    replies = yield Collect()
    terms.tally.add(len(commands) + 2)
    return terms.settle(spelled, replies[rows:])


def write_watching(plan: Plan, terms: Terms, *, skip: int) -> Flow[bool]:
    """Read under WATCH, then write; `False` where a watched key has changed, or a number that was given is taken.

    Args:
        skip: How many numbers of a counter are left out where that is so.
    """
    look, terms.look = terms.look or Look(terms.tally, watching=True), None
    seen = yield from see(plan, look)
    if lost := taken(plan, seen):
        yield from number(lost, terms.tally, skip=skip)
        return False
    return (yield from write(plan, seen, terms))


def write_comparing(plan: Plan, limit: int, terms: Terms, *, skip: int) -> Flow[bool]:
    """Read without watching; a script repeats the reads and writes only where nothing is different.

    Args:
        limit: How many keys could have been watched.
        skip: As of `write_watching`.

    Raises:
        UnsupportedServerError: This user may not run scripts.
        ConflictError: It is too much for one script.
    """
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


def write(plan: Plan, seen: Seen, terms: Terms) -> Flow[bool]:
    """Write what follows from what was seen; `False` where a watched key has changed since."""
    spelled = spell(plan, seen, terms.riders, (yield Clock()), terms.new_version, lives=terms.lives)
    if not spelled.commands:
        return True
    replies = yield Batch(spelled.commands, atomic=True)
    terms.tally.add(len(spelled.commands) + 2)
    return terms.settle(spelled, replies)

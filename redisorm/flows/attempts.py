"""One attempt of a commit: everything is verified and written in one transaction, or nothing is written.

Each way tells whether it was done; how often one is tried, and which comes next, is for `committing` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from pydantic import ValidationError

from redisorm.commands import Batch, Clock, Collect, Command, Flow, Guarded, Post, Reply, WatchLimit
from redisorm.errors import ConnectionFailedError, IndexValueError

from .assuming import Assumption, assume
from .living import LiveWrite
from .numbering import number, taken
from .plan import Plan, Seen
from .scripts import CommitScript, require_scripts
from .seeing import Look, Tally, see
from .spelling import Due, Spelled, spell
from .standing import refuse_values
from .tables import Rows

__all__ = ["Terms", "write", "write_at_once", "write_comparing", "write_fresh_rows", "write_watching", "write_where_absent"]


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
        assumed = assume(plan, now_ms)
        if assumed is None:
            return False
        for one in together:
            one.live_from(now_ms)
            one.derive()
            assumed.absent += one.absent()
            assumed.reads += one.reads()
            assumed.types |= one.types()
        if len(set(assumed.absent)) < len(assumed.absent):
            return False  # two rows would take one unique value
        others = {*assumed.absent, *(change.key for change in plan.changes)} if together else set()
        if not all(others.isdisjoint(one.keys) for one in together):
            return False
        spelled = spell(plan, assumed.seen, terms.riders, now_ms, terms.new_version, together)
    except (IndexValueError, ValidationError):
        if not plan.rows:
            raise
        refuse_values(plan.changes)
        return False  # it comes of what was taken for granted, which may be otherwise by now
    script = CommitScript.of(plan.keys(), assumed, spelled.commands, [table for one in together for table in one.tables])
    if not script.fits:
        return False
    answers = yield from script.run(meanwhile)
    terms.tally.add(3)
    return terms.settle(spelled, answers)


def write_where_absent(together: Sequence[Rows], get_ready: Callable[[], None], terms: Terms) -> Flow[bool]:
    """Write new rows and nothing else, if nothing is there; `False` where something is, or came, and nothing was written."""
    keys = [key for one in together for key in (*one.keys, *one.absent())]
    limit = yield WatchLimit()
    if (limit is not None and len(keys) > limit) or len(set(keys)) < len(keys):
        return False
    now_ms = yield Clock()
    for one in together:
        one.live_from(now_ms)
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
    hashes = sum(table.count for one in together for table in one.tables)
    terms.tally.add(hashes + len(spelled[0].commands) + 2)
    return terms.settle(spelled[0], None if replies is None else replies[hashes:])


def write_fresh_rows(together: Sequence[Rows], get_ready: Callable[[], None], terms: Terms) -> Flow[bool]:
    """Write rows whose keys were just made at random, so that nothing has to be known before, in one round trip."""
    now_ms = yield Clock()
    for one in together:
        one.live_from(now_ms)
    spelled = spell(Plan.of((), ()), Seen(), terms.riders, now_ms, terms.new_version, together)
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

"""Bringing what is kept of rows into agreement with the rows: entries, unique keys, memos and deadlines.

A row is looked at and settled in one guarded transaction, so that no row is brought back to life and no concurrent write
lost. It goes by what lies there alone, so that settling a row twice is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from redisorm.commands import ATTEMPTS, Batch, Command, Flow, Pause, WatchLimit
from redisorm.errors import ConcurrentUpdateError
from redisorm.keys import Keyspace
from redisorm.mapping.mapper import Mapper

from .changes import Change, Kind
from .fate import Fate
from .indexing import Upkeep, memo_of
from .scope import UNIQUE
from .seeing import Look, Tally
from .standing import Standing, entries_in, leaving
from .viewing import Sight, View, view, width

__all__ = ["AT_ONCE", "Suspects", "batches", "settle", "settle_all", "surely"]

T = TypeVar("T")

AT_ONCE = 250
"""Rows of one transaction: WATCH compares each key with all before it, and two for each row are watched."""

Suspects: TypeAlias = Mapping[str, Collection[tuple[str, bytes]]]
"""By primary key, entries that may be none of the row's: what comes after `prefix::`, and the member. Unique keys have no member."""


def batches(mapper: Mapper[Any], suspects: Suspects) -> Flow[list[Suspects]]:
    """Part rows into batches that one transaction can watch."""
    limit = yield WatchLimit()
    size = AT_ONCE if limit is None else max(1, min(AT_ONCE, limit // width(mapper)))
    rest = iter(suspects.items())
    return list(iter(lambda: dict(islice(rest, size)), {}))


def settle(mapper: Mapper[Any], keyspace: Keyspace, suspects: Suspects) -> Flow[View | None]:
    """Settle one batch of rows, and tell what was there before; `None` where another writer was faster and nothing was written."""
    claimed = [name for those in suspects.values() for name, _ in those if name.startswith(UNIQUE)]
    seen = yield from view(mapper, keyspace, suspects, Look(Tally(), watching=True), claimed)
    commands = list(settlement(mapper, keyspace, seen, suspects))
    done = yield Batch(commands or [("EXISTS", keyspace.counter)], atomic=True)  # an empty one would not end the watch
    return None if done is None else seen


def settle_all(mapper: Mapper[Any], keyspace: Keyspace, suspects: Suspects) -> Flow[list[View]]:
    """Settle any number of rows, each batch again from fresh reads where another writer was faster.

    Raises:
        ConcurrentUpdateError: Other writers won the race for one row every time.
    """
    return (yield from surely(mapper, suspects, lambda batch: settle(mapper, keyspace, batch)))


def surely(mapper: Mapper[Any], suspects: Suspects, step: Callable[[Suspects], Flow[T | None]]) -> Flow[list[T]]:
    """Do a guarded step for all rows in batches; one that lost a race is halved and tried again.

    Raises:
        ConcurrentUpdateError: Other writers won the race for one row every time.
    """
    waiting = yield from batches(mapper, suspects)
    done: list[T] = []
    attempt = 0
    while waiting:
        batch = waiting.pop()
        answer = yield from step(batch)
        if answer is not None:
            done.append(answer)
            attempt = 0
            continue
        attempt += 1
        if attempt > ATTEMPTS:
            raise ConcurrentUpdateError(
                f"other writers changed {mapper.model.__name__} {next(iter(batch))!r} {ATTEMPTS} times in a row while it was looked at; "
                "nothing is left half done: run it again when there is less to do",
                model=mapper.model,
            )
        yield Pause.after(attempt)
        waiting += _halves(batch)
    return done


def _halves(batch: Suspects) -> list[Suspects]:
    rest = iter(batch.items())
    half = dict(islice(rest, (len(batch) + 1) // 2))
    return [part for part in (half, dict(rest)) if part]


def settlement(mapper: Mapper[Any], keyspace: Keyspace, seen: View, suspects: Suspects) -> Iterator[Command]:
    """Spell what settles rows, given what lies there."""
    upkeep = Upkeep()
    for sight in seen.sights.values():
        _drop_suspects(keyspace, seen, sight, suspects[sight.pk_text], upkeep)
        if not sight.there:
            _clear(mapper, keyspace, seen, sight, upkeep)
            continue
        change = Change(mapper, keyspace, Kind.UPDATE, None, sight.key)
        _stand(mapper, seen, sight).keep(change, upkeep)
        yield from _deadlines(sight)
    yield from upkeep.commands()


def _drop_suspects(keyspace: Keyspace, seen: View, sight: Sight, suspects: Iterable[tuple[str, bytes]], upkeep: Upkeep) -> None:
    for name, member in suspects:
        if not name.startswith(UNIQUE):
            upkeep.leave(keyspace, sight.pk_text, {name: member})  # those it must have are put in again after that
        elif seen.owns(sight, name) and name not in sight.claims:
            upkeep.free(keyspace.own(name))


def _clear(mapper: Mapper[Any], keyspace: Keyspace, seen: View, sight: Sight, upkeep: Upkeep) -> None:
    """Leave nothing of a row that is gone. A key of another type is not touched."""
    if not sight.key:
        return
    upkeep.leave(keyspace, sight.pk_text, entries_in(sight.memo))
    upkeep.unlist(keyspace, sight.pk_text)
    for name in sight.memo:
        if name.startswith(UNIQUE) and seen.owns(sight, name):
            upkeep.free(keyspace.own(name))
    upkeep.forget(Keyspace.memo(sight.key))
    if sight.kind == "none":
        upkeep.drop(Keyspace.companion(sight.key, one.name) for one in mapper.beside)


def _stand(mapper: Mapper[Any], seen: View, sight: Sight) -> Standing:
    entries, claims = sight.entries, sight.claims
    mortal = sight.deadline_ms is not None
    return Standing(
        sight.pk_text,
        Fate(sight.deadline_ms, sight.deadline_ms, moved=True),
        leaving=leaving(entries_in(sight.memo), entries, sight.pk_text),
        entering=entries,
        freed=[name for name in sight.memo if name.startswith(UNIQUE) and name not in claims and seen.owns(sight, name)],
        claims={name: unique for name, unique in claims.items() if seen.rival(sight, name) is None},
        held=(),
        memo_before=sight.memo,
        memo_after=memo_of(entries, claims, sight.pk_text) if mortal else {},
        enlisted=mapper.indexed,
    )


def _deadlines(sight: Sight) -> Iterator[Command]:
    """Let the companions live exactly as long as their row."""
    for name, deadline in sight.companions.items():
        key = Keyspace.companion(sight.key, name)
        if sight.deadline_ms is not None and deadline != sight.deadline_ms:
            yield ("PEXPIREAT", key, sight.deadline_ms)
        elif sight.deadline_ms is None and deadline >= 0:
            yield ("PERSIST", key)

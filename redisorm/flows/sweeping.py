"""The sweep: what expired rows leave behind is taken away, a bounded number at a time.

The list of all rows has their deadlines as scores, so what is due is one range of it. A row that turns out to live, because
somebody gave it another deadline by hand, gets its own deadline as its score and so is in the way of nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from redisorm.commands import Batch, Clock, Flow, Pause
from redisorm.errors import BackendError, ConflictError
from redisorm.keys import LEDGER, Keyspace
from redisorm.mapping.mapper import Mapper

from .decoding import text_of
from .settling import Suspects, batches, settle, settle_all
from .spelling import Due
from .viewing import View

__all__ = ["AT_ONCE", "Progress", "settle_due", "sweep", "sweep_all", "sweep_met"]

_log = logging.getLogger("redisorm")

Progress: TypeAlias = Callable[[int, "int | None"], None]
"""Is told how much is done, and of how much in all, or `None` where nobody knows."""

AT_ONCE = 1000
"""Rows that are asked for in one round trip."""
PATIENCE, PAUSE_S = 10, 0.05


def sweep(mapper: Mapper[Any], keyspace: Keyspace, limit: int) -> Flow[int]:
    """Sweep up to `limit` rows whose deadline has passed, and tell how many.

    One round trip where nothing is due; else two more for every 250 rows. Rows that another writer was faster with are left
    for the next sweep.
    """
    if not mapper.indexed:
        return 0
    now_ms = yield Clock()
    (due,) = yield Batch([_due(keyspace, now_ms, limit)], resend=True)
    return (yield from settle_due(mapper, keyspace, list(map(text_of, due))))


def settle_due(mapper: Mapper[Any], keyspace: Keyspace, due: Sequence[str]) -> Flow[int]:
    """Settle rows that were found to be due, by primary key, and tell how many of them are no longer.

    Two round trips for every 250 rows; up to five more where some of them live or had unique values. Each batch is one guarded
    transaction.

    Args:
        due: Members of the list of all rows, decoded with `surrogateescape`.
    """
    settled = 0
    for batch in (yield from batches(mapper, _suspects(due))) if due else ():
        seen = yield from settle(mapper, keyspace, batch)
        settled += _settled([] if seen is None else [seen], (yield Clock()))
    return settled


def sweep_met(met: Iterable[Due]) -> Flow[None]:
    """Settle rows that a commit met. The commit is done: what goes wrong here is left for the next sweep, and logged."""
    for mapper, keyspace, pk_texts in met:
        try:
            yield from settle_due(mapper, keyspace, pk_texts)
        except (BackendError, ConflictError) as error:
            _log.info("%d expired rows of %s wait for the next sweep: %s", len(pk_texts), mapper.model.__name__, error)


def sweep_all(mapper: Mapper[Any], keyspace: Keyspace, progress: Progress | None = None) -> Flow[int]:
    """Sweep all rows whose deadline has passed by now, and tell how many."""
    if not mapper.indexed:
        return 0
    now_ms = yield Clock()
    (total,) = yield Batch([("ZCOUNT", keyspace.own(LEDGER), "-inf", now_ms)], resend=True)
    done = idle = 0
    while idle < PATIENCE:
        (due,) = yield Batch([_due(keyspace, now_ms, AT_ONCE)], resend=True)
        if not due:
            break
        seen = yield from settle_all(mapper, keyspace, _suspects(list(map(text_of, due))))
        swept = _settled(seen, (yield Clock()))
        done += swept
        if progress is not None:
            progress(done, max(total, done))
        if not swept:  # the server's clock is behind what it was taken for
            idle += 1
            yield Pause(PAUSE_S)
    return done


def _suspects(due: Sequence[str]) -> Suspects:
    return {pk_text: {(LEDGER, pk_text.encode("utf-8", "surrogateescape"))} for pk_text in due}


def _settled(views: Sequence[View], now_ms: int) -> int:
    """How many rows are due no longer."""
    every = (sight for seen in views for sight in seen.sights.values())
    return sum(not sight.there or sight.deadline_ms is None or sight.deadline_ms > now_ms for sight in every)


def _due(keyspace: Keyspace, now_ms: int, limit: int) -> tuple[str | int, ...]:
    return ("ZRANGE", keyspace.own(LEDGER), "-inf", now_ms, "BYSCORE", "LIMIT", 0, limit)

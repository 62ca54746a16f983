"""Limits over exactly the time that lies behind: every allowed hit is remembered until it has left the longest window.

Exact where the bucket of `gcra` is smooth: a window of `per` seconds never holds more than `amount` hits, wherever it begins. It costs
one entry of a sorted set for each allowed hit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial

from redisorm.commands import Argument, Batch, Command, Flow, Reply, Watch

from .limits import Limit, Standing
from .scripts import LOST, Lost, now_us, script, step

__all__ = ["advance", "hit", "stored_hits"]

_SCRIPT = script("sliding")


def hit(key: str, limits: Sequence[Limit], cost: int, *, consume: bool) -> Flow[tuple[bool, list[Standing]]]:
    """Decide a hit, and count it where it is allowed. One round trip by script, two where scripts are denied."""
    words: list[Argument] = [int(consume), cost, len(limits)]
    for limit in limits:
        words += (limit.per_us, limit.amount)
    # As in `gcra`: sent twice, a hit may count twice.
    reply = yield from step(_SCRIPT, [key], words, partial(_attempt, key, limits, cost, consume), resend=True)
    standings = [
        Standing(max(0, limit.amount - used), float("inf") if wait < 0 else wait, reset)
        for limit, used, wait, reset in zip(limits, reply[1::3], reply[2::3], reply[3::3], strict=True)
    ]
    return bool(reply[0]), standings


def _attempt(key: str, limits: Sequence[Limit], cost: int, consume: bool) -> Flow[Reply | Lost]:
    time, pairs = yield Watch([key], [("TIME",), ("ZRANGE", key, 0, -1, "WITHSCORES")])
    now = now_us(time)
    reply, commands = advance(key, now, stored_hits(pairs), limits, cost)
    if not reply[0]:
        return reply
    if not consume:
        return advance(key, now, stored_hits(pairs), limits, 0)[0]
    done = yield Batch(commands, atomic=True)
    return LOST if done is None else reply


def stored_hits(pairs: Reply) -> list[tuple[int, int, int]]:
    """Read the stored hits in order: time in microseconds, total, cost. RESP3 nests the pairs, RESP2 does not."""
    if pairs and not isinstance(pairs[0], (list, tuple)):
        pairs = list(zip(pairs[::2], pairs[1::2], strict=True))
    return [(int(float(score)), *map(int, member.split(b":"))) for member, score in pairs]  # type: ignore[misc]


def advance(
    key: str, now_us: int, hits: Sequence[tuple[int, int, int]], limits: Sequence[Limit], cost: int
) -> tuple[list[int], list[Command]]:
    """Do what the script does: its reply to a hit at this time, and the commands that count it where that allows it."""
    times, totals = [at for at, _, _ in hits], [total for _, total, _ in hits]
    total, latest = (totals[-1], times[-1]) if hits else (0, 0)
    reply, keep, longest = [1], 0, 0
    for limit in limits:
        gone = bisect_right(times, now_us - limit.per_us)
        base = totals[gone - 1] if gone else hits[0][1] - hits[0][2] if hits else 0
        used, wait = total - base, 0
        if cost > limit.amount:
            wait = -1
        elif used + cost > limit.amount:
            wait = times[bisect_left(totals, total + cost - limit.amount)] + limit.per_us - now_us
        if wait:
            reply[0] = 0
        if limit.per_us > longest:
            longest, keep = limit.per_us, times[gone - 1] if gone else 0
        reply += (used, wait, latest + limit.per_us - now_us if used else 0)
    if not reply[0] or not cost:
        return reply, []
    latest = max(now_us, latest + 1)
    for place, limit in enumerate(limits):
        reply[3 * place + 1] += cost
        reply[3 * place + 3] = latest + limit.per_us - now_us
    return reply, [
        ("ZADD", key, latest, f"{total + cost}:{cost}"),
        ("PEXPIREAT", key, -(-(latest + longest) // 1000)),
        ("ZREMRANGEBYSCORE", key, "-inf", f"({keep}"),
    ]

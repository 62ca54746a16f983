"""The generic cell rate algorithm: each limit is a bucket that drains evenly, and a hit is allowed where it still fits.

A bucket of `amount` that drains in `per` is one number, the time at which it will be empty (ITU-T I.371, "virtual scheduling"). That
time is kept exactly, as whole microseconds and a rest in parts of 1/amount, so that no hit is ever lost or won by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from redisorm.commands import Argument, Batch, Flow, Reply, Watch

from .limits import Limit, Standing
from .scripts import LOST, Lost, now_us, script, step

__all__ = ["advance", "hit"]

_SCRIPT = script("gcra")


def hit(key: str, limits: Sequence[Limit], cost: int, *, consume: bool) -> Flow[tuple[bool, list[Standing]]]:
    """Decide a hit, and count it where it is allowed. One round trip by script, two where scripts are denied."""
    words: list[Argument] = [int(consume), len(limits)]
    for limit in limits:
        words += (limit.per_us, limit.amount, *divmod(cost * limit.per_us, limit.amount))
    # Sent twice, a hit may count twice: it is never too little, and a caller is not kept from an answer.
    reply = yield from step(_SCRIPT, [key], words, partial(_attempt, key, limits, cost, consume), resend=True)
    filled = list(zip(reply[1::2], reply[2::2], strict=True))
    return bool(reply[0]), [_standing(limit, cost, *fill, bool(reply[0])) for limit, fill in zip(limits, filled, strict=True)]


def _standing(limit: Limit, cost: int, whole: int, rest: int, allowed: bool) -> Standing:
    """What a bucket says that is filled by so much."""
    per, amount = limit.per_us, limit.amount
    remaining = ((per - whole) * amount - rest) // per
    wait: float = 0
    if not allowed:
        # Filled by `whole + rest/amount`, the hit fits in when it has drained to `per` minus what the hit costs.
        wait = float("inf") if cost > amount else max(0, -((per * (amount - cost) - whole * amount - rest) // amount))
    return Standing(remaining, wait, whole + rest / amount)


def _attempt(key: str, limits: Sequence[Limit], cost: int, consume: bool) -> Flow[Reply | Lost]:
    time, state = yield Watch([key], [("TIME",), ("GET", key)])
    now = now_us(time)
    reply, written = advance(now, state, limits, cost)
    if not reply[0]:
        return reply
    if not consume:
        return advance(now, state, limits, 0)[0]
    text, deadline_ms = written
    done = yield Batch([("SET", key, text, "PXAT", deadline_ms)], atomic=True)
    return LOST if done is None else reply


def advance(now_us: int, state: bytes | None, limits: Sequence[Limit], cost: int) -> tuple[list[int], tuple[str, int]]:
    """Do what the script does: its reply to a hit at this time, and the state and deadline (ms) to write where that allows it."""
    stored: dict[int, tuple[int, int, int]] = {}
    for word in (state or b"").split():
        per, amount, tat, rest = map(int, word.split(b":"))
        stored[per] = (amount, tat, rest)
    before, after, allowed = [], [], 1
    for limit in limits:
        per, tat, rest = limit.per_us, now_us, 0
        if per in stored:
            amount, tat, rest = stored[per]
            if amount != limit.amount and rest:
                tat, rest = tat + 1, 0
            if tat < now_us:
                tat, rest = now_us, 0
            if tat - now_us >= per:
                tat, rest = now_us + per, 0
        before += [tat - now_us, rest]
        whole, part = divmod(cost * per, limit.amount)
        carry, rest = divmod(rest + part, limit.amount)
        tat += whole + carry
        after += [tat - now_us, rest]
        if tat - now_us > per or (tat - now_us == per and rest):
            allowed = 0
        stored[per] = (limit.amount, tat, rest)
    kept = {per: known for per, known in stored.items() if known[1] >= now_us}
    text = " ".join(f"{per}:{amount}:{tat}:{rest}" for per, (amount, tat, rest) in kept.items())
    free = max(tat for _, tat, _ in kept.values()) + 1
    return [allowed, *(after if allowed else before)], (text, -(-free // 1000))

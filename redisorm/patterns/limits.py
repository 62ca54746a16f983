"""The words of rate limiting: a `Limit`, what one limit says (`Standing`), and the `Decision` of all of them. No Redis in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil, inf, isfinite
from typing import NamedTuple

from redisorm.errors import RateLimitExceeded

__all__ = ["Decision", "Limit", "Standing", "decision"]

_LARGEST_AMOUNT = 2**40
_LONGEST_PERIOD_S = 100 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Limit:
    """So many hits in so much time: `Limit(5, per=60)`.

    Attributes:
        amount: How many hits, at least 1.
        per: In how much time, in seconds or as `timedelta`; it is kept in seconds, to the microsecond.
    """

    amount: int
    per: float

    def __init__(self, amount: int, per: float | timedelta) -> None:
        seconds = per.total_seconds() if isinstance(per, timedelta) else per
        if isinstance(amount, bool) or not isinstance(amount, int) or not 1 <= amount <= _LARGEST_AMOUNT:
            raise ValueError(f"Limit(amount={amount!r}): the amount is a whole number from 1 to 2**40")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not isfinite(seconds):
            raise ValueError(f"Limit(per={per!r}): the period is a number of seconds or a timedelta")
        if not 1e-6 <= seconds <= _LONGEST_PERIOD_S:
            raise ValueError(f"Limit(per={per!r}): the period is from a microsecond to a hundred years")
        object.__setattr__(self, "amount", amount)
        object.__setattr__(self, "per", seconds)

    @property
    def per_us(self) -> int:
        """The period in microseconds."""
        return round(self.per * 1_000_000)

    def __str__(self) -> str:
        return f"{self.amount} per {self.per:g} s"


class Standing(NamedTuple):
    """What one limit says of a hit.

    Attributes:
        remaining: How many hits are left, in hits.
        wait_us: Microseconds until the hit fits: 0 where it does, infinite where it never will.
        reset_us: Microseconds until all hits are free again.
    """

    remaining: int
    wait_us: float
    reset_us: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a hit.

    Attributes:
        allowed: Whether it was within every limit; only then was it counted.
        limit: The limit that decided: where denied the one with the longest wait, else the one with the least left.
        remaining: How many hits that limit has left now.
        retry_after: Seconds until the same hit would be allowed, if nobody else hits: 0 where it was, `inf` where its cost is above
            the amount.
        reset_after: Seconds until that limit has all its hits again, if nobody hits.
        key: The Redis key that holds the count.
    """

    allowed: bool
    limit: Limit
    remaining: int
    retry_after: float
    reset_after: float
    key: str = field(default="", compare=False)

    def raise_for_limit(self) -> None:
        """Raise `RateLimitExceeded` where the hit was denied."""
        if self.allowed:
            return
        if self.retry_after == inf:
            advice = "it costs more than the limit has, so it never will be allowed"
        else:
            advice = f"try again in {self.retry_after:.3f} s"
        raise RateLimitExceeded(f"over the limit of {self.limit} at {self.key!r}: {advice}", decision=self, key=self.key)

    def headers(self) -> dict[str, str]:
        """Return the headers that tell an HTTP client, in whole seconds rounded up: `RateLimit-*`, and `Retry-After` where it was denied.

        `RateLimit-Policy`, `-Limit`, `-Remaining` and `-Reset` are those of draft-ietf-httpapi-ratelimit-headers-06, `Retry-After`
        that of RFC 9110.
        """
        headers = {
            "RateLimit-Policy": f"{self.limit.amount};w={ceil(self.limit.per)}",
            "RateLimit-Limit": str(self.limit.amount),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(ceil(self.reset_after)),
        }
        if not self.allowed and self.retry_after != inf:
            headers["Retry-After"] = str(ceil(self.retry_after))
        return headers


def decision(limits: Sequence[Limit], standings: Sequence[Standing], *, allowed: bool, key: str) -> Decision:
    """Put what all limits say into one answer."""
    pairs = list(zip(limits, standings, strict=True))
    if allowed:
        limit, standing = min(pairs, key=lambda pair: (pair[1].remaining, -pair[1].reset_us))
    else:
        limit, standing = max(pairs, key=lambda pair: pair[1].wait_us)
    return Decision(allowed, limit, standing.remaining, standing.wait_us / 1_000_000, standing.reset_us / 1_000_000, key)

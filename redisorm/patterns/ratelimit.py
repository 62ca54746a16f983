"""The rate limiter without its colour: what it is made of, and its questions as flows that the faces perform."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from redisorm.commands import Batch, Flow
from redisorm.errors import BackendError, MappingError
from redisorm.keys import limit_key

from . import gcra, sliding
from .limits import Decision, Limit, decision
from .scripts import Namespaced
from .template import Template, spelled

__all__ = ["BaseRateLimiter"]

_log = logging.getLogger("redisorm")

Algorithm: TypeAlias = Literal["gcra", "sliding"]


class BaseRateLimiter:
    """What both colours of a rate limiter share.

    Attributes:
        name: The name of the limiter.
        limits: Its limits.
    """

    def __init__(
        self, database: Namespaced, name: str, limits: Sequence[Limit], algorithm: Algorithm, on_error: Literal["raise", "allow"]
    ) -> None:
        if not name:
            raise ValueError("a rate limiter needs a name, which is a part of its keys")
        if not limits:
            raise ValueError(f"rate limiter {name!r} has no limit: RateLimiter(db, {name!r}, Limit(5, per=60))")
        if len({limit.per_us for limit in limits}) < len(limits):
            raise ValueError(f"rate limiter {name!r} has two limits over the same period: the smaller one says all, leave the other out")
        if algorithm not in ("gcra", "sliding"):
            raise ValueError(f"algorithm={algorithm!r}: 'gcra' or 'sliding'")
        if on_error not in ("raise", "allow"):
            raise ValueError(f"on_error={on_error!r}: 'raise' or 'allow'")
        self.name = name
        self.limits: tuple[Limit, ...] = tuple(limits)
        self._database = database
        self._algorithm = sliding if algorithm == "sliding" else gcra
        self._allows_errors = on_error == "allow"

    def _key(self, subject: str) -> str:
        return limit_key(self._database.namespace, self.name, subject, hits=self._algorithm is sliding)

    def _decide(self, subject: str, cost: int, *, consume: bool) -> Flow[Decision]:
        """Decide a hit of a subject whose text is escaped already."""
        if isinstance(cost, bool) or not isinstance(cost, int) or cost < 1:
            raise ValueError(f"cost={cost!r}: a whole number of hits, at least 1; peek() looks without a hit")
        key = self._key(subject)
        try:
            allowed, standings = yield from self._algorithm.hit(key, self.limits, cost, consume=consume)
        except BackendError as error:
            if not self._allows_errors:
                raise
            _log.warning("rate limiter %r allowed a hit without counting it, since the server did not answer: %s", self.name, error)
            return Decision(True, self.limits[0], self.limits[0].amount, 0.0, 0.0, key)
        return decision(self.limits, standings, allowed=allowed, key=key)

    def _hit(self, subject: object, cost: int) -> Flow[Decision]:
        return self._decide(spelled(subject), cost, consume=True)

    def _peek(self, subject: object, cost: int) -> Flow[Decision]:
        return self._decide(spelled(subject), cost, consume=False)

    def _reset(self, subject: object) -> Flow[None]:
        yield Batch([("UNLINK", self._key(spelled(subject)))], resend=True)

    def _subject_of(
        self, template: str, function: Callable[..., Any], *, awaits: bool
    ) -> Callable[[Sequence[Any], Mapping[str, Any]], str]:
        """Return what makes the subject from the arguments of a call to a guarded function."""
        owner = f"guard of {getattr(function, '__qualname__', function)!s}"
        if inspect.iscoroutinefunction(function) is not awaits:
            right, kind = ("RateLimiter", "an ordinary") if awaits else ("AsyncRateLimiter", "a coroutine")
            raise MappingError(f"{owner}: it is {kind} function; use {right}")
        return Template(template, owner).of(function)

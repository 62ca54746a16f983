"""The blocking rate limiter."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

from redisorm.database import Database, default_database
from redisorm.patterns.limits import Decision, Limit
from redisorm.patterns.ratelimit import BaseRateLimiter

__all__ = ["RateLimiter"]

P = ParamSpec("P")
R = TypeVar("R")


class RateLimiter(BaseRateLimiter):
    """Limits how often something may happen, for each subject (a user, an address) on its own.

    ::

        limiter = RateLimiter(db, "login", Limit(5, per=60), Limit(100, per=86_400))
        decision = limiter.hit(user_id)     # EVALSHA gcra.lua, key limit::login:<user_id>

    Several limits are decided all or nothing, in one step at the server and by the server's clock. What is denied costs nothing.
    Every key expires by itself as soon as it says nothing any more. Limits may be changed while the program runs elsewhere with
    the old ones: they are sent with every hit.

    Args:
        db: The database; `None` is the default one.
        name: A part of the keys. Limiters of the same name share their counts.
        *limits: At least one, each over another period.
        algorithm: `"gcra"`: hits come back one by one, evenly over the period, after a burst of up to the whole amount; one small
            key for each subject. `"sliding"`: never more than the amount in any stretch of the period; one entry for each hit.
        on_error: What happens to a hit while the server cannot be reached: `"raise"`, or `"allow"` with a warning in the log.

    Raises:
        ValueError: No name, no limit, two limits over one period, or another word than those above.
    """

    _database: Database

    def __init__(
        self,
        db: Database | None,
        name: str,
        *limits: Limit,
        algorithm: Literal["gcra", "sliding"] = "gcra",
        on_error: Literal["raise", "allow"] = "raise",
    ) -> None:
        super().__init__(default_database() if db is None else db, name, limits, algorithm, on_error)

    def hit(self, subject: object, cost: int = 1) -> Decision:
        """Count a hit of a subject where every limit allows it, and tell.

        One round trip; two where this user may not run scripts. A hit whose answer was lost is sent again: it may count twice.

        Args:
            subject: Text, a number, a UUID, an enum: whatever has a text of its own.
            cost: How many hits this one is. More than the amount of a limit is never allowed.

        Raises:
            ValueError: The cost is no whole number of at least 1.
            BackendError: The server could not be asked, and `on_error` is `"raise"`.
        """
        return self._database.run(self._hit(subject, cost))

    def peek(self, subject: object, cost: int = 1) -> Decision:
        """Tell what a hit would be answered, and count nothing. `remaining` is what is left now. One round trip."""
        return self._database.run(self._peek(subject, cost))

    def reset(self, subject: object) -> None:
        """Forget all hits of a subject. One round trip."""
        self._database.run(self._reset(subject))

    def guard(self, template: str, *, cost: int = 1) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function: each call is a hit of the subject that the template makes from the arguments.

        ::

            @limiter.guard("{user_id}")
            def login(user_id: int, password: str) -> bool: ...

        `guard("{user_id}")` and `hit(user_id)` count the same subject. A call over the limit raises `RateLimitExceeded`, and the
        function is not called.

        Raises:
            MappingError: The template names something else than parameters, or the function is of the other colour.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            subject = self._subject_of(template, function, awaits=False)

            @wraps(function)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                decision = self._database.run(self._decide(subject(args, kwargs), cost, consume=True))
                decision.raise_for_limit()
                return function(*args, **kwargs)

            return guarded

        return decorate

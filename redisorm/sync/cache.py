"""The blocking cache."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Sequence
from copy import copy
from datetime import timedelta
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, overload

from redisorm.database import Database, default_database
from redisorm.drivers.flights import BlockingFlights
from redisorm.errors import MappingError
from redisorm.patterns.cache import BaseCache, Recipe
from redisorm.patterns.calls import BOARD, CLOSE, LEADS, LOAD, BaseMemoized, Call, Course

__all__ = ["Cache", "Memoized"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")


class Cache(BaseCache):
    """Keeps what functions return, for a time, in Redis.

    ::

        cache = Cache(db, prefix="cache", ttl=3600)

        @cache.memoize("user:{user_id}", ttl=60, none_ttl=5, stale=30)     # the hash cache:user:<user_id>
        def load_user(user_id: int) -> Profile | None: ...

    However many ask for a value that is not there, over threads and processes, one loads it and the others wait for the value; when the
    one who loads dies, another takes over after `lease` seconds. An error of the function reaches its own caller, and the next one loads.
    A value that was invalidated while it was being loaded is not stored. Values are stored by the return annotation; one that
    does not fit it, because the class has changed, is loaded anew.

    Args:
        db: The database; `None` is the default one.
        prefix: What the keys begin with.
        ttl: How long a value is good, in seconds or as `timedelta`, where `memoize` says nothing else.
        lease: How long one caller may load before another takes over, likewise.
        on_error: What happens while the server cannot be reached: `"raise"`, or `"call"` the function without the cache, with a
            warning in the log, and without another try for a second. Only reads are called through: an invalidation that did not
            reach the server always raises.

    Raises:
        MappingError: The prefix has characters that mean something in keys.
        ValueError: A life is not longer than zero, or `on_error` is another word.
    """

    database: Database

    def __init__(
        self,
        db: Database | None,
        prefix: str = "cache",
        ttl: float | timedelta | None = None,
        lease: float | timedelta = 10,
        on_error: Literal["raise", "call"] = "raise",
    ) -> None:
        super().__init__(default_database() if db is None else db, prefix, ttl, lease, on_error)
        self._flights = BlockingFlights()

    def memoize(
        self,
        template: str,
        *,
        ttl: float | timedelta | None = None,
        none_ttl: float | timedelta | None = None,
        stale: float | timedelta = 0,
        early: float = 0,
        tags: Sequence[str] = (),
    ) -> Callable[[Callable[P, R]], Memoized[P, R]]:
        """Decorate a function or method: what it returns is cached under a key made from its arguments.

        A cached value takes one round trip; one that has to be loaded takes three, or five where this user may not run scripts.

        Args:
            template: The key, with names of parameters in braces: `"user:{user_id}"`. Their values are escaped. A parameter
                that is not named makes no difference to the key, nor does `self`.
            ttl: How long a value is good, in seconds or as `timedelta`; without it that of the cache.
            none_ttl: How long `None` is good; without it as long as any other value. With `0` it is not kept.
            stale: For how long after that all but the one who loads anew get the old value. Not for `None` with a `none_ttl`.
            early: Load anew before the time is up, at random, the likelier the nearer it is and the longer loading took; 1 is
                usual, more is earlier, 0 never. The one who does so waits for it, the others get the present value.
            tags: Templates of names under which many values can be invalidated at once.

        Raises:
            MappingError: There is no time to live; there is no return annotation, or Pydantic does not know it; the template names
                something else than parameters; the function is of the other colour.
        """

        def decorate(function: Callable[P, R]) -> Memoized[P, R]:
            if inspect.iscoroutinefunction(function):
                raise MappingError(f"memoize: {function.__qualname__} is a coroutine function; use AsyncCache")
            local = sys._getframe(1).f_locals
            return Memoized(self, Recipe(self, function, template, (ttl, none_ttl, stale), early, tags, local), function)

        return decorate

    def invalidate_tag(self, tag: str, /, **values: object) -> int:
        """Forget everything that is cached under a tag now, and take from whoever loads any of it the right to store it.

        In steps of a hundred, each atomic; the whole is not. `invalidate_tag("user:{user_id}", user_id=1)` fills in and escapes values.

        Returns:
            How many entries there were, those being loaded included.
        """
        return self.database.run(self._drop_tag(tag, values))


class Memoized(BaseMemoized[P, R], Generic[P, R]):
    """A function whose values are cached: call it as before. Made by `memoize`."""

    def __init__(self, cache: Cache, recipe: Recipe[R], function: Callable[P, R]) -> None:
        super().__init__(recipe, function)
        self._cache = cache

    @overload
    def __get__(self, obj: None, owner: type) -> Memoized[P, R]: ...
    @overload
    def __get__(self: Memoized[Concatenate[Any, Q], R], obj: object, owner: type) -> Memoized[Q, R]: ...
    def __get__(self, obj: object, owner: type) -> Any:
        if obj is None:
            return self
        method = copy(self)
        method._bound = (obj,)
        return method

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the cached value, or load it.

        Raises:
            ValidationError: What the function returned does not fit its annotation.
            TypeError: An argument in the key has no text of its own.
            BackendError: The server could not be asked, and `on_error` is `"raise"`.
        """
        cache = self._cache
        if cache.calls_through and cache.is_resting(time.monotonic()):
            return self._function(*self._bound, *args, **kwargs)  # type: ignore[no-any-return]
        call = self._call(args, kwargs)
        value = self._perform(call, call.answer(), args, kwargs)
        if call.failed:
            cache.rest(time.monotonic())
        return value

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Load the value now, store it and return it. Whoever is loading it already stores nothing.

        Raises:
            BackendError: The server could not be asked, whatever `on_error` says.
        """
        call = self._call(args, kwargs)
        self._cache._flights.forget(call.key)
        return self._perform(call, call.refresh(), args, kwargs)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the value, and take from whoever loads it the right to store it. One round trip.

        Raises:
            BackendError: The server could not be asked, whatever `on_error` says: the value may be there yet.
        """
        call = self._call(args, kwargs)
        self._cache._flights.forget(call.key)
        self._cache.database.run(call.drop())

    def _perform(self, call: Call[R], course: Course[R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        flights, flight, leads = self._cache._flights, None, False
        answer: Any
        try:
            step = next(course)
            while True:
                try:
                    if step is LOAD:
                        answer = self._function(*self._bound, *args, **kwargs)
                    elif step is BOARD:
                        flight, leads = flights.board(call.key)
                        answer = LEADS if leads else flights.wait(call.key, flight, call.lease_s)
                    elif step is CLOSE:
                        answer = None
                        if flight is not None:
                            flights.forget(call.key, flight)
                    else:
                        answer = self._cache.database.run(step)
                except BaseException as error:  # noqa: BLE001 - the course decides what comes of it
                    step = course.throw(error)
                else:
                    step = course.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            if leads and flight is not None:
                flights.land(call.key, flight, call.text)

"""One call of a memoized function as a course: a generator of what a face performs.

It yields flows, `LOAD` (call the function) and `BOARD` (let one caller of this process go on for all). It decides; it neither
waits nor calls. What lies in the server is the business of `entries`.
"""

from __future__ import annotations

import enum
import logging
import math
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from functools import update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast

from redisorm.commands import Batch, Command, Flow, Pause
from redisorm.errors import BackendError, DecodeError, SessionError
from redisorm.mapping.encoder import as_bytes

from . import entries
from .cache import Recipe
from .entries import CHANGED, GRANTED, Entry, Grant

__all__ = ["BOARD", "CLOSE", "LEADS", "LOAD", "BaseMemoized", "Call", "Course", "Leads", "Step"]

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("redisorm")

_POLL_S = 0.02
"""Who waits for another process to load looks again after a random part of this."""


class Step(enum.Enum):
    """What a course wants beside flows."""

    LOAD = "load"
    """Call the function, and send what it returns."""
    BOARD = "board"
    """Send `LEADS` to the first caller of this key in this process, and to the others, later, what the first one left in `Call.text`."""
    CLOSE = "close"
    """Let nobody board any more who was not there before what follows."""


class Leads(enum.Enum):
    """The answer to the first who boards."""

    LEADS = "leads"


LOAD: Final = Step.LOAD
BOARD: Final = Step.BOARD
CLOSE: Final = Step.CLOSE
LEADS: Final = Leads.LEADS

Course: TypeAlias = Generator[Flow[Any] | Step, Any, R]


class _UnavailableError(Exception):
    """The cache did not answer, and the function is to be called instead."""


class Call(Generic[R]):
    """One call of a memoized function.

    Attributes:
        key: The key of its entry.
        lease_s: How long one caller may load before another takes over, in seconds.
        text: The text of what was stored, for others of this process who wait; `None` where they must look for themselves.
        failed: Whether the cache did not answer and the function was called instead.
    """

    def __init__(self, recipe: Recipe[R], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        self.key: str = recipe.key(arguments, keywords)
        self._arguments = arguments, keywords
        self._tags: list[str] = []
        self.lease_s: float = recipe.cache.lease_ms / 1000
        self.text: bytes | None = None
        self.failed: bool = False
        self._recipe = recipe
        self._items = recipe.items
        self._token = ""
        self._since_ms = 0
        self._calls_through = recipe.cache.calls_through

    def answer(self) -> Course[R]:
        """Return the cached value, or load it: once for all who ask at the same time, in whatever process.

        One round trip where it is cached; a miss takes three: a look, the lease, the fill.
        """
        value: R | None = None
        found = False
        try:
            entry: Entry = yield from self._ask(entries.look(self.key, self._recipe.schema))
            found, value = self._read(entry)
            if not found:
                return (yield from self._load_once(entry.seen))
            if self._is_due(entry) and (yield from self._lease(entry.seen)) == GRANTED:
                return (yield from self._load())
        except _UnavailableError as unavailable:
            self.failed = True
            _log.warning("%s goes on without its cache: %s", self._recipe.name, unavailable.__cause__)
            if not found:
                return (yield LOAD)  # type: ignore[no-any-return]
        return value  # type: ignore[return-value]

    def refresh(self) -> Course[R]:
        """Load the value now, whatever is cached, and store it. Whoever is loading already stores nothing."""
        self._calls_through = False
        yield from self._lease(b"", force=True)
        return (yield from self._load())

    def drop(self) -> Flow[None]:
        """Forget the value, and take from whoever loads it the right to store it."""
        yield Batch([entries.drop(self.key)], resend=True)

    def _load_once(self, seen: bytes) -> Course[R]:
        while True:
            landed = yield BOARD
            if landed is LEADS:
                return (yield from self._lead(seen))
            if landed is not None:
                return self._items.read(landed, self.key)
            # Whoever led has failed, or what it loaded was invalidated meanwhile.
            entry: Entry = yield from self._ask(entries.look(self.key, self._recipe.schema))
            found, value = self._read(entry)
            if found:
                return value  # type: ignore[return-value]
            seen = entry.seen

    def _lead(self, seen: bytes) -> Course[R]:
        """Load, unless another process does: then wait for its value, or for the end of its lease."""
        while True:
            outcome = yield from self._lease(seen)
            if outcome == GRANTED:
                return (yield from self._load())
            if outcome != CHANGED:
                yield from self._ask(_pause())
                continue
            entry: Entry = yield from self._ask(entries.look(self.key, self._recipe.schema))
            found, value = self._read(entry)
            if found:
                return value  # type: ignore[return-value]
            seen = entry.seen

    def _lease(self, seen: bytes, *, force: bool = False) -> Course[int]:
        self._token = self._token or secrets.token_hex(8)
        self._tags = self._recipe.tags(*self._arguments)
        lease_ms = self._recipe.cache.lease_ms
        grant: Grant = yield from self._ask(entries.lease(self.key, self._tags, self._token, lease_ms, seen, force=force))
        self._since_ms = grant.number
        return grant.outcome

    def _load(self) -> Course[R]:
        """Call the function with the lease in hand, and store what it returns."""
        try:
            value = yield LOAD
            text = self._items.spell(value, self.key)
        except GeneratorExit:
            raise
        except BaseException:
            with suppress(BackendError):  # the lease ends by itself
                yield entries.abandon(self.key, self._token)
            raise
        # Who comes after this may come after an invalidation that comes after the fill, and must look for itself.
        yield CLOSE
        recipe = self._recipe
        ttl_ms, stale_ms = recipe.none_lives_ms if value is None else recipe.lives_ms
        try:
            stored = yield from self._ask(
                entries.fill(self.key, self._tags, self._token, self._since_ms, text, recipe.schema, ttl_ms, stale_ms)
            )
        except _UnavailableError as unavailable:
            self.failed = True
            _log.warning("%s could not store what it loaded: %s", recipe.name, unavailable.__cause__)
            return value  # type: ignore[no-any-return]
        if stored:
            self.text = as_bytes(text)
        return value  # type: ignore[no-any-return]

    def _ask(self, flow: Flow[Any]) -> Course[Any]:
        """Perform a flow of the cache itself: only its errors are those that `on_error` speaks of."""
        try:
            return (yield flow)
        except BackendError as error:
            if not self._calls_through:
                raise
            raise _UnavailableError from error

    def _read(self, entry: Entry) -> tuple[bool, R | None]:
        """Return whether a value is there, and the value. Text that does not fit the type (any more) counts as nothing."""
        if entry.text is None:
            return False, None
        try:
            return True, self._items.read(entry.text, self.key)
        except DecodeError:
            return False, None

    def _is_due(self, entry: Entry) -> bool:
        """Whether a value should be loaded anew: it is stale, or will be soon.

        How soon is random, so that callers do not all come at once: the longer it takes to load, the sooner (Vattani et al., *Optimal
        Probabilistic Cache Stampede Prevention*).
        """
        if entry.fresh_for_ms <= 0:
            return True
        early = self._recipe.early
        return early > 0 and -math.log(1 - self._recipe.cache.random()) * entry.cost_ms * early >= entry.fresh_for_ms


class BaseMemoized(Generic[P, R]):
    """What both colours of a memoized function share."""

    def __init__(self, recipe: Recipe[R], function: Callable[..., Any], bound: tuple[Any, ...] = ()) -> None:
        update_wrapper(cast("Any", self), function)
        self._recipe = recipe
        self._function = function
        self._bound = bound

    def key_of(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of what these arguments cache. No I/O."""
        return self._call(args, kwargs).key

    def _call(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Call[R]:
        return Call(self._recipe, (*self._bound, *arguments), keywords)

    def _dropping(self, database: object, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Command:
        """Return the command that forgets what these arguments cache, for a session on the same database."""
        if database is not self._recipe.cache.database:
            raise SessionError(f"{self._recipe.name} caches in {self._recipe.cache.database!r}: use a session on that one")
        return entries.drop(self._call(arguments, keywords).key)


def _pause() -> Flow[None]:
    yield Pause(_POLL_S)

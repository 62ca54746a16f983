"""A driver without a server, for tests of flows: it hands out prepared answers and records what was asked.

It knows requests only. Anything that runs flows can be given one in place of a real driver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, TypeAlias, TypeVar

from redisorm.commands import Batch, Clock, Collect, Command, Flow, Guarded, Pause, Post, Request, Supports, Watch, WatchLimit
from redisorm.errors import WrongTypeError

__all__ = ["Script", "ScriptedDriver"]

R = TypeVar("R")

Script: TypeAlias = Iterable[Any] | Callable[[Batch | Watch], Any]
"""The answers to `Batch` and `Watch` in order, or a function that makes each. An exception is thrown into the flow."""


_NOT_EVERYWHERE = frozenset({"EVALSHA", "HSETEX XX", "HSETEX FXX"})
"""What a scripted server does not support unless told."""


class ScriptedDriver:
    """Runs flows against prepared answers.

    ::

        driver = ScriptedDriver([[b"Ann"], None])
        assert driver.run(flow) == "Ann"
        assert driver.commands == [("HGET", "user:1", "name")]
        driver.done()

    `Clock` is answered with `now_ms`, `Supports` from `supports` (where that says nothing, `True`, and `False` for EVALSHA and the
    conditions of HSETEX), `WatchLimit` with `watch_limit`, `Pause` at once.

    Attributes:
        requests: Everything that was asked, in order; what was posted stands there as its batch.
        now_ms: The server's time, in milliseconds since 1970.
        supports: By upper-case command name, whether the server has it.
        watch_limit: How many keys may be watched, or `None` for any number.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        now_ms: int = 1_700_000_000_000,
        supports: dict[str, bool] | None = None,
        watch_limit: int | None = None,
    ) -> None:
        self._answer_of = script if callable(script) else None
        self._answers = [] if callable(script) else list(script)
        self._posted: deque[Batch] = deque()
        self._answered = True
        self._further = 0
        self.requests: list[Request] = []
        self.now_ms = now_ms
        self.supports = dict(supports or {})
        self.watch_limit = watch_limit

    @property
    def commands(self) -> list[Command]:
        """All commands that were sent, in order, without WATCH, MULTI and EXEC."""
        return [command for request in self.requests if isinstance(request, (Batch, Watch)) for command in request.commands]

    @property
    def round_trips(self) -> int:
        """How many batches and watches were sent; those posted one after the other are one."""
        return sum(isinstance(request, (Batch, Watch)) for request in self.requests) - self._further

    def run(self, flow: Flow[R]) -> R:
        """Perform a flow and return its result.

        Raises:
            AssertionError: The flow asks for more answers than were prepared.
        """
        try:
            request = next(flow)
            while True:
                try:
                    answer = self._answer(request)
                except BaseException as error:  # noqa: BLE001 - as with a server, what the pieces of a request raise reaches the flow
                    answer = error
                request = flow.throw(answer) if isinstance(answer, BaseException) else flow.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result
        finally:
            flow.close()

    async def arun(self, flow: Flow[R]) -> R:
        """Perform a flow and return its result, as `run` does."""
        return self.run(flow)

    def done(self) -> None:
        """Check that every answer was asked for.

        Raises:
            AssertionError: Some are left over.
        """
        if self._answers:
            raise AssertionError(
                f"{len(self._answers)} answers were not asked for, the first is {self._answers[0]!r}; the flow sent "
                f"{self.round_trips} batches: {self.commands!r}"
            )

    def _answer(self, request: Request) -> Any:
        if isinstance(request, Post):
            self.requests.append(request.batch)
            self._further += bool(self._posted) and not self._answered
            self._answered = False
            self._posted.append(request.batch)
            return None
        if isinstance(request, Collect):
            self._answered = True
            return self._told(self._posted.popleft())
        if isinstance(request, Batch) and request.needs and not self._supports(request.needs):
            return None
        if isinstance(request, Guarded):
            return self._guarded(request)
        self.requests.append(request)
        if isinstance(request, Clock):
            return self.now_ms
        if isinstance(request, Supports):
            return self._supports(request.command.upper())
        if isinstance(request, WatchLimit):
            return self.watch_limit
        if isinstance(request, Pause):
            return None
        return self._told(request)

    def _guarded(self, request: Guarded) -> Any:
        """Answer it as the `Watch` and the `Batch` that it does at once."""
        seen = self._answer(Watch(request.keys, [*chain.from_iterable(request.reads)]))
        if isinstance(seen, BaseException):
            return None if isinstance(seen, WrongTypeError) else seen
        if not request.fits(seen):
            return None
        request.meanwhile()
        return self._answer(Batch([command for piece in request.pieces for command in piece], atomic=True))

    def _supports(self, command: str) -> bool:
        return self.supports.get(command, command not in _NOT_EVERYWHERE)

    def _told(self, request: Batch | Watch) -> Any:
        if self._answer_of is not None:
            return self._answer_of(request)
        if not self._answers:
            raise AssertionError(f"no answer is left for {request!r}, the request number {len(self.requests)}; add one to the script")
        return self._answers.pop(0)

"""Asking the first question of a flow before its result is wanted: behind those of another one, so that it costs no wait of its own.

Between the two nothing is under way on a connection: the answer is kept here, and of a flow that nobody goes on with nothing is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from redisorm.commands import Batch, Collect, Flow, Reply, Request
from redisorm.errors import RedisormError

__all__ = ["Ahead"]

R = TypeVar("R")


class Ahead(Generic[R]):
    """A flow that is performed as far as it needs no answer. It only reads, and handles no error.

    Attributes:
        questions: The batch it asks first, to be posted by whoever likes; none where it has ended, or asks for something else.
    """

    def __init__(self, flow: Flow[R]) -> None:
        self._flow = flow
        self._request: Request | None = None
        self._answers: list[Reply] = []
        self._error: RedisormError | None = None
        self._result: R | None = None
        try:
            self._request = next(flow)
        except StopIteration as end:
            self._result = end.value
        self.questions: Sequence[Batch] = (self._request,) if isinstance(self._request, Batch) else ()

    def collect(self) -> Flow[None]:
        """Take the answer to what was posted. An error is raised where the result is asked for: it is nobody else's."""
        for _ in self.questions:
            try:
                self._answers.append((yield Collect()))
            except RedisormError as error:
                self._error = error

    def result(self) -> Flow[R]:
        """Perform the rest of the flow: all of it where nothing was posted."""
        if self._error is not None:
            raise self._error
        while self._request is not None:
            answer = self._answers.pop() if self._answers else (yield self._request)
            try:
                self._request = self._flow.send(answer)
            except StopIteration as end:
                self._request, self._result = None, end.value
        return cast("R", self._result)

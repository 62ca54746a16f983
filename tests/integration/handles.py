"""One test for both colours of a handle: `Colour` makes handles whose methods return results, awaited or not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import redisorm
from redisorm import Database

R = TypeVar("R")


class Colour:
    """A colour on a database.

    ::

        queue = colour.List[int]("queue", maxlen=3)
        queue.push(1)               # await queue.push(1) in the other colour
    """

    def __init__(self, db: Database, name: str) -> None:
        self.db = db
        self.name = name
        self._loop = asyncio.new_event_loop() if name == "async" else None

    def __getattr__(self, kind: str) -> Any:
        prefix = "AsyncRedis" if self._loop is not None else "Redis"
        return _Maker(self, getattr(redisorm, prefix + kind))

    def run(self, result: Any) -> Any:
        """The result of a call, awaited where it has to be."""
        if self._loop is None:
            return result
        if isinstance(result, AsyncIterator):
            return self._loop.run_until_complete(_collected(result))
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def close(self) -> None:
        """End the event loop."""
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


async def _collected(items: AsyncIterator[R]) -> list[R]:
    return [item async for item in items]


class _Maker:
    def __init__(self, colour: Colour, kind: Any) -> None:
        self._colour, self._kind = colour, kind

    def __getitem__(self, items: Any) -> _Maker:
        return _Maker(self._colour, self._kind[items])

    def __call__(self, key: str, **options: Any) -> Any:
        return _Handle(self._colour, self._kind(key, db=self._colour.db, **options))


class _Handle:
    """A handle of either colour, as if it were blocking. Handles among the arguments are handed on as they are."""

    def __init__(self, colour: Colour, handle: Any) -> None:
        self._colour, self.bare = colour, handle

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.bare, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._colour.run(found(*map(_bare, args), **kwargs))

        return call

    def __iter__(self) -> Iterator[Any]:
        return iter(self._colour.run(aiter(self.bare) if self._colour.name == "async" else iter(self.bare)))


def _bare(argument: Any) -> Any:
    return argument.bare if isinstance(argument, _Handle) else argument

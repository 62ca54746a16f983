"""Tests written once for both colours: `colour.do(session.commit())` waits for the result, or has it already."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from redisorm import AsyncSession, Database, Session
from redisorm.commands import Flow
from tests.zoo.models import Account, AsyncAccount, AsyncTicket, AsyncUser, Ticket, User

__all__ = ["COLOURS", "Awaiting", "Blocking", "Colour", "Open"]


class Blocking:
    """The blocking face."""

    name = "blocking"
    Session: Any = Session
    User: Any = User
    Account: Any = Account
    Ticket: Any = Ticket

    def do(self, result: Any) -> Any:
        """Return the result of a call, which is there already."""
        return result

    def run(self, db: Database, flow: Flow[Any]) -> Any:
        """Perform a flow."""
        return db.run(flow)

    @contextmanager
    def open(self, url: str, **options: Any) -> Iterator[Database]:
        """Open a database for the test."""
        with Database(url, **options) as db:
            yield db

    def aclose(self, db: Database) -> None:
        """Close the connections of this colour."""
        db.close()

    def close(self) -> None:
        """Nothing is left over."""


class Awaiting:
    """The awaited face, in an event loop of its own."""

    name = "awaiting"
    Session: Any = AsyncSession
    User: Any = AsyncUser
    Account: Any = AsyncAccount
    Ticket: Any = AsyncTicket

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def do(self, result: Any) -> Any:
        """Wait for the result of a call, where there is something to wait for."""
        if not inspect.isawaitable(result):
            return result

        async def waiting() -> Any:
            return await result

        return self.loop.run_until_complete(waiting())

    def run(self, db: Database, flow: Flow[Any]) -> Any:
        """Perform a flow."""
        return self.do(db.arun(flow))

    @contextmanager
    def open(self, url: str, **options: Any) -> Iterator[Database]:
        """Open a database for the test."""
        db = Database(url, **options)
        try:
            yield db
        finally:
            self.do(db.aclose())

    async def aclose(self, db: Database) -> None:
        """Close the connections of this colour."""
        await db.aclose()

    def close(self) -> None:
        """End the event loop."""
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


Open: TypeAlias = Callable[..., Database]
"""Open a database that ends with the test: `opened(url, timeout=1)`."""
Colour: TypeAlias = Blocking | Awaiting
COLOURS: tuple[type[Colour], ...] = (Blocking, Awaiting)

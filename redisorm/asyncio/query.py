"""The awaited query."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from redisorm.commands import Flow
from redisorm.mapping.base import MappedModel
from redisorm.unitofwork.query import BaseQuery
from redisorm.unitofwork.reading import Alone, Holder, Reading

if TYPE_CHECKING:
    from redisorm.database import Database

    from .session import AsyncSession

__all__ = ["AsyncQuery"]

M = TypeVar("M", bound=MappedModel)
R = TypeVar("R")


class Runner(Protocol):
    """Performs flows."""

    def __call__(self, flow: Flow[R], /) -> Coroutine[Any, Any, R]: ...


class AsyncQuery(BaseQuery[M], Generic[M]):
    """The rows of a class that fit some conditions, as `find` returns it. Nothing is sent before one of its verbs is called.

    In an open session its objects come from the identity map: one that is there already is handed out as it is. Rows that are gone
    or no longer fit by the time they are loaded are left out.
    """

    _session: AsyncSession | None

    def _place(self) -> tuple[Runner, Holder, str]:
        """Who performs the query, whom its objects are for, and the namespace."""
        model: Any = self._model
        session: AsyncSession | None = model._joined() if self._session is None else self._session
        if session is not None:
            return session._run, session, session.database.namespace
        database: Database = model._database()
        return database.arun, Alone(database.namespace), database.namespace

    async def all(self) -> list[M]:
        """Return all objects.

        Two or three round trips for up to 1,000 rows, one more for each further 1,000; a query that goes through more than 10,000
        entries reads these too in pages of 1,000. Where `limit` leaves few of many, two more at most.

        Raises:
            DecodeError: A stored value does not fit its field.
        """
        run, holder, namespace = self._place()
        return await run(self._all(holder, namespace))

    async def first(self) -> M | None:
        """Return the first object; `None` where no row fits."""
        run, holder, namespace = self._place()
        return await run(self._first(holder, namespace))

    async def one(self) -> M:
        """Return the only object.

        Raises:
            NotFoundError: No row fits.
            MultipleFoundError: More than one does.
        """
        run, holder, namespace = self._place()
        return await run(self._one(holder, namespace))

    async def pks(self) -> list[Any]:
        """Return the primary keys of the rows. Loads none of them, so that entries of rows changed by other means are not noticed."""
        run, _, namespace = self._place()
        return await run(self._pks(namespace))

    async def count(self) -> int:
        """Count the rows. Loads none of them; mostly one round trip where one field is asked for."""
        run, _, namespace = self._place()
        return await run(self._count(namespace))

    async def exists(self) -> bool:
        """Tell whether any row fits. Loads none."""
        run, _, namespace = self._place()
        return await run(self._exists(namespace))

    async def explain(self) -> str:
        """Return the Redis commands of `all()` as text, by round trip, up to the first batch of rows.

        It asks the server what the query would ask it, since the plan depends on how large the sets are, and loads no row.
        """
        run, _, namespace = self._place()
        return await run(self._explain(namespace))

    async def update(self, **values: Any) -> int:
        """Set fields of all rows, and return of how many.

        At once, in a session too, and without a change to objects that are loaded. In batches of up to 500 rows, each one transaction,
        the whole is not one; each row is checked against all conditions in the transaction that writes it, and passed over
        where it no longer fits. So of several workers only one gets a row: `find(status="new").update(status="mine")`.

        Raises:
            ValidationError: A value does not fit its field. Nothing was sent.
            QueryError: A name is no field that can be set.
            UniqueViolationError: Another row has the unique value. Earlier rows are written.
            CommitUnknownError: The connection broke during a batch. Earlier batches are written.
        """
        run, _, namespace = self._place()
        return await run(self._update(namespace, values))

    async def delete(self) -> int:
        """Delete all rows and what belongs to them, and return how many. In batches and with the checks of `update`."""
        run, _, namespace = self._place()
        return await run(self._delete(namespace))

    async def __aiter__(self) -> AsyncIterator[M]:
        """Go through the objects, 1,000 at a time, the keys of the next being asked for with them.

        Not a snapshot: each unchanged row comes exactly once, whatever others write.
        """
        run, holder, namespace = self._place()
        reading = Reading(self._asked, holder, namespace)
        while batch := await run(reading.batch()):
            for obj in batch:
                yield obj

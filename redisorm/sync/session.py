"""The blocking session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar, overload

from typing_extensions import Self

from redisorm.commands import Flow
from redisorm.database import Database, default_database
from redisorm.drivers.whereabouts import here
from redisorm.errors import DecodeError
from redisorm.expressions import Expression
from redisorm.flows.committing import CommitResult
from redisorm.flows.loading import OnError
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.patterns.calls import BaseMemoized
from redisorm.patterns.pubsub import Message, publishing
from redisorm.patterns.reporting import require_plain
from redisorm.patterns.streams import Event, appending
from redisorm.unitofwork.beginning import Begin
from redisorm.unitofwork.owners import get_by
from redisorm.unitofwork.retrying import pause, worth_retrying
from redisorm.unitofwork.session import BaseSession

from .query import Query

__all__ = ["Session"]

M = TypeVar("M", bound=MappedModel)
P = ParamSpec("P")
R = TypeVar("R")


class Session(BaseSession):
    """A unit of work: objects are loaded once, and everything that changed is committed in one MULTI/EXEC.

    Leaving the block without a commit discards, and puts objects back to what was loaded.

    Args:
        db: The database; the default one where it is left out.
    """

    database: Database

    def __init__(self, db: Database | None = None) -> None:
        super().__init__(default_database() if db is None else db)

    def __enter__(self) -> Self:
        self._enter(here())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave(failed=kind is not None)

    def _run(self, flow: Flow[R]) -> R:
        with self._alone():
            return self.database.run(flow)

    @contextmanager
    def _beginning(self) -> Iterator[Self]:
        try:
            yield self
        except BaseException:
            self.rollback()
            raise
        self.commit()

    @classmethod
    @contextmanager
    def _begun(cls, db: Database | None = None) -> Iterator[Self]:
        with cls(db) as session:
            yield session
            session.commit()

    begin: ClassVar[Begin[Database]] = Begin(_begun, _beginning)
    """Commit at the end of the block; an exception discards. `Session.begin(db)` makes the session, `session.begin()` uses it."""

    def get(self, model: type[M], pk: object) -> M | None:
        """Return the object of a row, the same one however often it is asked for; `None` where no row is.

        One round trip, and one more where the row was not found; none for an object already loaded.

        Raises:
            DecodeError: A stored value does not fit its field.
            ValidationError: The key does not fit its field.
        """
        return self._run(self._get(model, pk))

    def get_one(self, model: type[M], pk: object) -> M:
        """Return the object of a row that must be there, as `get` does.

        Raises:
            NotFoundError: No row has this key.
        """
        return self._run(self._get_one(model, pk))

    @overload
    def get_many(self, model: type[M], pks: Iterable[object], *, on_error: Literal["raise"] = ...) -> list[M | None]: ...
    @overload
    def get_many(self, model: type[M], pks: Iterable[object], *, on_error: Literal["return"]) -> list[M | DecodeError | None]: ...
    def get_many(self, model: type[M], pks: Iterable[object], *, on_error: OnError = "raise") -> list[Any]:
        """Return the objects of many rows in the order of their keys; `None` for each that is not there.

        One round trip and one consistent view for up to 1,000 rows; each further 1,000 are another.

        Args:
            on_error: What becomes of a row that cannot be read: `"raise"`, or `"return"` to have its `DecodeError` in its
                place in the list, the other rows unaffected.

        Raises:
            DecodeError: A stored value does not fit its field, or a key has another type.
        """
        return self._run(self._get_many(model, pks, on_error))

    def get_by(self, model: type[M], **values: Any) -> M | None:
        """Return the object of the row that has a unique value; `None` where none has.

        Name a unique field, all fields of a `unique_together`, or the primary key. Two round trips at most. The server is asked: an
        object of this session is handed out as it is, even if its value was changed here.

        Raises:
            QueryError: The fields are not unique, or a value does not fit its field.
        """
        return self._run(get_by(model, values, self, self.database.namespace))

    def find(self, model: type[M], *conditions: Expression | bool, **equals: Any) -> Query[M]:
        """Return a query of the rows that fit all conditions, as `find` of a model does; sends nothing yet.

        The server is asked, which does not know what waits here. An object of this session is handed out as it is, even if it
        was changed so that it no longer fits; one that is to be deleted is left out.

        Raises:
            NotIndexedError: A field has no index. A comparison raises it when it is written.
            QueryError: Something is no condition, or not on this class, or a value does not fit its field.
        """
        self._check_database(mapper_of(model))
        return Query(model, self, conditions, equals)

    def exists(self, model: type[MappedModel], pk: object) -> bool:
        """Tell whether a row is there, as it will be after the commit. Sends nothing for an object of this session."""
        return self._run(self._exists(model, pk))

    def refresh(self, obj: MappedModel) -> None:
        """Read an object again in place, dropping its changes.

        Raises:
            NotFoundError: The row is gone.
            DetachedInstanceError: The object is not in this session.
        """
        self._run(self._refresh(obj))

    def publish(self, message: Message) -> None:
        """Publish a message in the transaction of the next commit, as it is now. A rollback drops it.

        Raises:
            ValidationError: A value was changed in place and does not fit its field.
        """
        self._ride(publishing(message, self.database.namespace))

    def emit(self, event: Event) -> None:
        """Append an event to its stream in the transaction of the next commit, as it is now. A rollback drops it.

        Raises:
            ValidationError: A value was changed in place and does not fit its field.
        """
        self._ride(appending(event, self.database.namespace))

    def invalidate(self, memoized: BaseMemoized[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget what a memoized function caches for these arguments, in the transaction of the next commit. A rollback drops it.

        Whoever is loading that value meanwhile stores nothing: no reader gets what was true before the commit for longer than one call.

        Raises:
            SessionError: The function caches in another database.
        """
        self._ride(memoized._dropping(self.database, args, kwargs))

    def commit(self, batch: int | None = None, per_slot: bool = False) -> CommitResult:
        """Write everything that waits in one MULTI/EXEC, or nothing.

        Afterwards objects stay as they are; nothing is reread. After a failed commit nothing has moved: commit again, or
        `rollback()`. One round trip, two where something is guarded and this user may not run scripts, one more where automatic primary
        keys are given; none where nothing waits.

        Args:
            batch: Objects of one transaction: the commit is then several, each atomic, the whole not.
            per_slot: Commit slot by slot on a cluster. One server is one slot.

        Raises:
            ValidationError: A changed value does not fit its field. Nothing was sent.
            StaleObjectError: A row that was changed here is gone, or another writer changed its version.
            AlreadyExistsError: `create` found a row.
            UniqueViolationError: Another row has a unique value.
            IndexValueError: An index cannot hold a value.
            ConcurrentUpdateError: Other writers won the race too many times.
            CommitUnknownError: The connection broke after EXEC was sent and before its answer came.
        """
        return self._run(self._commit(batch))

    @classmethod
    def retry(cls, fn: Callable[[Self], R], db: Database | None = None, attempts: int = 10) -> R:
        """Call `fn(session)`, commit and return its result; again with a fresh session on a conflict that trying again can cure.

        Raises:
            ConflictError: The last attempt failed too, or the conflict would come again: a row or a unique value that exists.
            TypeError: The blocking `Session` was given a coroutine function.
        """
        require_plain(fn, "Session.retry", "use AsyncSession.retry")
        store = default_database() if db is None else db
        for attempt in range(1, attempts + 1):
            try:
                with cls(store) as session:
                    result = fn(session)
                    session.commit()
                    return result
            except worth_retrying(attempt < attempts):
                store.run(pause(attempt))
        raise ValueError(f"retry(attempts={attempts}): at least one attempt is needed")

"""The awaited model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, cast, overload

from typing_extensions import Self

from redisorm.database import Database, default_database
from redisorm.drivers.whereabouts import here
from redisorm.errors import DecodeError, SessionError
from redisorm.expressions import Expression
from redisorm.flows.loading import OnError
from redisorm.mapping.base import MappedModel, ModelMeta, linked_state, mapper_of
from redisorm.unitofwork import stack, verbs
from redisorm.unitofwork.owners import get_by
from redisorm.unitofwork.reading import Alone

from .query import AsyncQuery
from .session import AsyncSession

__all__ = ["AsyncRedisModel"]


class AsyncRedisModel(MappedModel, abstract=True, metaclass=ModelMeta):
    """A Pydantic model stored as a Redis hash, with lists, sets and sorted sets beside it.

    ::

        class User(AsyncRedisModel, prefix="user", ttl=3600):
            id: int                     # HSET user:1 id 1 name Ann
            name: str
            tags: set[str] = set()      # SADD user:1:tags admin staff

    Inside an open session of this colour the verbs join it: reads use its identity map, writes wait for its commit.
    """

    @classmethod
    def _database(cls) -> Database:
        own = mapper_of(cls).options.database
        return default_database() if own is None else cast("Database", own)

    @classmethod
    def _joined(cls) -> AsyncSession | None:
        """The session that verbs of this class join here."""
        if not stack.has_entries():
            return None
        return cast("AsyncSession | None", stack.innermost(AsyncSession, here(), mapper_of(cls).options.database))

    def _own_session(self) -> AsyncSession | None:
        """The session this object belongs to, or that it joins here as a stored one."""
        own = verbs.session_of(self)
        if own is not None:
            return cast("AsyncSession", own)
        session = self._joined()
        state = linked_state(self)
        if session is not None and state is not None and state.snapshot is not None:
            session.add(self)
        return session

    @classmethod
    async def get(cls, pk: object) -> Self | None:
        """Return the object of a row; `None` where no row is.

        One round trip, and one more where the row was not found.

        Raises:
            DecodeError: A stored value does not fit its field.
            ValidationError: The key does not fit its field.
        """
        session = cls._joined()
        if session is not None:
            return await session.get(cls, pk)
        database = cls._database()
        return await database.arun(verbs.get(cls, pk, database.namespace))

    @classmethod
    async def get_one(cls, pk: object) -> Self:
        """Return the object of a row that must be there, as `get` does.

        Raises:
            NotFoundError: No row has this key.
        """
        session = cls._joined()
        if session is not None:
            return await session.get_one(cls, pk)
        database = cls._database()
        return await database.arun(verbs.get_one(cls, pk, database.namespace))

    @overload
    @classmethod
    async def get_many(cls, pks: Iterable[object], *, on_error: Literal["raise"] = ...) -> list[Self | None]: ...
    @overload
    @classmethod
    async def get_many(cls, pks: Iterable[object], *, on_error: Literal["return"]) -> list[Self | DecodeError | None]: ...
    @classmethod
    async def get_many(cls, pks: Iterable[object], *, on_error: OnError = "raise") -> list[Any]:
        """Return the objects of many rows in the order of their keys; `None` for each that is not there.

        One round trip and one consistent view for up to 1,000 rows; each further 1,000 are another.

        Args:
            on_error: What becomes of a row that cannot be read: `"raise"`, or `"return"` to have its `DecodeError` in its
                place in the list, the other rows unaffected.

        Raises:
            DecodeError: A stored value does not fit its field, or a key has another type.
        """
        session = cls._joined()
        if session is not None:
            return await session._run(session._get_many(cls, pks, on_error))
        database = cls._database()
        return await database.arun(verbs.get_many(cls, pks, database.namespace, on_error))

    @classmethod
    async def exists(cls, pk: object) -> bool:
        """Tell whether a row is there. One round trip."""
        session = cls._joined()
        if session is not None:
            return await session.exists(cls, pk)
        database = cls._database()
        return await database.arun(verbs.exists(cls, pk, database.namespace))

    @classmethod
    async def get_by(cls, **values: Any) -> Self | None:
        """Return the object of the row that has a unique value; `None` where none has.

        Name a unique field, all fields of a `unique_together`, or the primary key. Two round trips at most. Where the value is another's
        by the time the row is loaded, the answer is `None`.

        Raises:
            QueryError: The fields are not unique, or a value does not fit its field.
        """
        session = cls._joined()
        if session is not None:
            return await session.get_by(cls, **values)
        database = cls._database()
        return await database.arun(get_by(cls, values, Alone(database.namespace), database.namespace))

    @classmethod
    def find(cls, *conditions: Expression | bool, **equals: Any) -> AsyncQuery[Self]:
        """Return a query of the rows that fit all conditions; sends nothing yet.

        ::

            User.find(User.age >= 18, city="Oslo")

        Conditions compare indexed fields; unique ones, and the primary key, can be asked for a value without an index. A
        class without any index can only be asked for all rows, or by primary key: its query goes through all keys of the
        database with SCAN, a thousand at a time, and holds the primary keys of the rows.

        Args:
            conditions: Conditions, as `User.age >= 18` makes them. For type checkers that is a `bool`; a real one is an error.
            equals: Values of fields, which are conditions too: `city="Oslo"`, `email=None`.

        Raises:
            NotIndexedError: A field has no index. A comparison raises it when it is written.
            QueryError: Something is no condition, or not on this class, or a value does not fit its field.
        """
        return AsyncQuery(cls, None, conditions, equals)

    @classmethod
    async def create(cls, **values: Any) -> Self:
        """Make an object and store it where no row is yet. In a session it is stored, or refused, by its commit.

        Atomic, in as many round trips as `save`.

        Raises:
            AlreadyExistsError: A row is there.
            UniqueViolationError: Another row has a unique value. Nothing was written.
            ValidationError: A value does not fit its field.
            IndexValueError: An index cannot hold a value. Nothing was written.
        """
        obj = cls(**values)
        session = cls._joined()
        if session is not None:
            session._add_new(obj)
            return obj
        database = cls._database()
        await database.arun(verbs.create(obj, database.namespace))
        return obj

    async def save(self, ttl: float | timedelta | None = None) -> Self:
        """Insert the object, or update what changed, and return it. No round trip where nothing changed.

        A new object replaces a row that is there: fields the class does not know are left alone. Atomic: the row, its collections and
        its index entries, or nothing. One round trip, two where this user may not run scripts; one more for an automatic primary key.

        Args:
            ttl: A life of its own for the row, in seconds, remembered with it; `None` says nothing.

        Raises:
            StaleObjectError: The row was deleted or has expired, or, of a versioned class, was changed by another writer.
            UniqueViolationError: Another row has a unique value. Nothing was written.
            ValidationError: A changed value does not fit its field. Nothing was sent.
            IndexValueError: An index cannot hold a value. Nothing was written.
        """
        session = verbs.session_of(self) or self._joined()
        if session is not None:
            session.add(self, ttl)
            return self
        database = self._database()
        await database.arun(verbs.save(self, ttl, database.namespace))
        return self

    async def delete(self) -> bool | None:
        """Delete the row and all that belongs to it; tell whether it was there, or `None` in a session, before its commit.

        One round trip, two for an indexed or versioned class where this user may not run scripts.

        Raises:
            StaleObjectError: Another writer changed the row of a versioned class.
        """
        session = verbs.session_of(self) or self._joined()
        if session is not None:
            session.delete(self)
            return None
        database = self._database()
        return await database.arun(verbs.delete(self, database.namespace))

    async def refresh(self) -> None:
        """Read the object again in place, dropping its changes. One round trip.

        Raises:
            NotFoundError: The row is gone.
        """
        session = verbs.session_of(self)
        if isinstance(session, AsyncSession):
            await session.refresh(self)
            return
        if session is not None:
            raise SessionError(f"this {type(self).__name__} is in a Session: call session.refresh(...)", model=type(self), pk=self.pk)
        database = self._database()
        await database.arun(verbs.refresh(self, database.namespace))

    async def increment(self, field: str, by: float | Decimal = 1) -> int | float | None:
        """Add to a number at the server, atomically; set and return the new value, or `None` in a session, before its commit.

        One round trip, two where this user may not run scripts.

        Raises:
            StaleObjectError: The row is gone.
            ValidationError: The new value breaks a constraint of the field. Nothing was written.
            TypeError: The field is not a number of the row itself.
        """
        session = self._own_session()
        if session is not None:
            session.increment(self, field, by)
            return None
        database = self._database()
        return cast("int | float", await database.arun(verbs.increment(self, field, by, database.namespace)))

    async def expire(self, ttl: float | timedelta | None) -> None:
        """Give the row a life of its own, in seconds, remembered with it; `None` makes it permanent.

        One round trip, two where this user may not run scripts.

        Raises:
            StaleObjectError: The row is gone.
            ValueError: The life is zero or less.
        """
        session = self._own_session()
        if session is not None:
            session.expire(self, ttl)
            return
        database = self._database()
        await database.arun(verbs.expire(self, ttl, database.namespace))

    async def time_to_live(self) -> timedelta | None:
        """Ask how long the row will live; `None` for ever. One round trip.

        Raises:
            NotFoundError: The row is gone.
        """
        session = verbs.session_of(self)
        database = self._database() if session is None else cast("Database", session.database)
        return await database.arun(verbs.time_to_live(self, database.namespace))

    @classmethod
    def key_of(cls, pk: object) -> str:
        """Spell the key of a row. Sends nothing.

        Raises:
            ValidationError: The key does not fit its field.
        """
        mapper = mapper_of(cls)
        return mapper.keyspace(cls._database().namespace).row(mapper.pk_text(pk))

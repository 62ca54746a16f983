"""Every error the library raises, as one tree.

::

    RedisormError
    ├── MappingError(TypeError)
    ├── QueryError(ValueError)
    │   ├── NotIndexedError
    │   └── MultipleFoundError
    ├── IndexValueError(ValueError)
    ├── SessionError(RuntimeError)
    │   ├── SessionInUseError
    │   └── DetachedInstanceError
    ├── NotFoundError(LookupError)
    ├── ConflictError
    │   ├── AlreadyExistsError
    │   ├── StaleObjectError
    │   ├── UniqueViolationError
    │   └── ConcurrentUpdateError
    ├── DecodeError(ValueError)
    │   └── RowTypeError (a WrongTypeError too)
    ├── CrossSlotError(ValueError)
    ├── RateLimitExceeded
    ├── LockLost
    ├── LockTimeout(TimeoutError)
    ├── UnsupportedServerError
    └── BackendError
        ├── ConnectionFailedError(ConnectionError)
        ├── BackendTimeoutError(TimeoutError)
        ├── WrongTypeError
        └── CommitUnknownError

This room knows nothing but names and values. Each error carries what it speaks of as attributes and says in its
message what happened and what to do next.
"""

from __future__ import annotations

__all__ = [
    "AlreadyExistsError",
    "BackendError",
    "BackendTimeoutError",
    "CommitUnknownError",
    "ConcurrentUpdateError",
    "ConflictError",
    "ConnectionFailedError",
    "CrossSlotError",
    "DecodeError",
    "DetachedInstanceError",
    "IndexValueError",
    "LockLost",
    "LockTimeout",
    "MappingError",
    "MultipleFoundError",
    "NotFoundError",
    "NotIndexedError",
    "QueryError",
    "RateLimitExceeded",
    "RedisormError",
    "RowTypeError",
    "SessionError",
    "SessionInUseError",
    "StaleObjectError",
    "UniqueViolationError",
    "UnsupportedServerError",
    "WrongTypeError",
]


class RedisormError(Exception):
    """The root of every error of this library.

    Attributes:
        model: The model class concerned, or `None`.
        pk: The primary key concerned, or `None`.
        field: The field concerned, or `None`.
        key: The Redis key concerned, or `None`.
        value: The value concerned, or `None`.
    """

    def __init__(
        self,
        message: str,
        *,
        model: type | None = None,
        pk: object = None,
        field: str | None = None,
        key: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.pk = pk
        self.field = field
        self.key = key
        self.value = value


class MappingError(RedisormError, TypeError):
    """A class cannot be mapped. Raised when it is defined, or at `model_rebuild` or first use after a forward reference."""


class QueryError(RedisormError, ValueError):
    """A query makes no sense as it is written."""


class NotIndexedError(QueryError):
    """A condition or an order needs an index that the field does not have."""


class MultipleFoundError(QueryError):
    """More than one row fits where one was asked for."""


class IndexValueError(RedisormError, ValueError):
    """An index cannot hold the value exactly. Raised before anything is written."""


class SessionError(RedisormError, RuntimeError):
    """A session or one of its objects is used in a way its state does not allow."""


class SessionInUseError(SessionError):
    """A session is used from two threads or tasks at once."""


class DetachedInstanceError(SessionError):
    """The object does not belong to the session it was handed to."""


class NotFoundError(RedisormError, LookupError):
    """No row has this primary key."""


class ConflictError(RedisormError):
    """What the server holds does not allow the commit; nothing of it was written.

    Attributes:
        expected: What the commit relied on, or `None`.
        found: What was there instead, or `None`.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: object = None,
        found: object = None,
        model: type | None = None,
        pk: object = None,
        field: str | None = None,
        key: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(message, model=model, pk=pk, field=field, key=key, value=value)
        self.expected = expected
        self.found = found


class AlreadyExistsError(ConflictError):
    """`create` found a row under its key."""


class StaleObjectError(ConflictError):
    """The row is gone, or another writer changed a versioned row since it was loaded."""


class UniqueViolationError(ConflictError):
    """Another row owns the unique value; `found` is its primary key."""


class ConcurrentUpdateError(ConflictError):
    """Other writers kept changing what the commit was reading, until its attempts were used up."""


class DecodeError(RedisormError, ValueError):
    """Stored bytes do not fit the field; `key` and `field` say where.

    Attributes:
        position: Where in a live structure: the index in a list, else the text of the member or dict key; `None` where there is none.
    """

    position: object = None


class CrossSlotError(RedisormError, ValueError):
    """An atomic commit would span slots of a cluster."""


class RateLimitExceeded(RedisormError):  # noqa: N818 - the name is part of the public surface
    """A rate limit said no.

    Attributes:
        decision: The `Decision`, with `retry_after`, or `None`.
    """

    def __init__(self, message: str, *, decision: object = None, key: str | None = None) -> None:
        super().__init__(message, key=key)
        self.decision = decision


class LockLost(RedisormError):  # noqa: N818 - the name is part of the public surface
    """The lock expired, or another holder has it."""


class LockTimeout(RedisormError, TimeoutError):  # noqa: N818 - the name is part of the public surface
    """The lock was not free within the time given."""


class UnsupportedServerError(RedisormError):
    """The server cannot do what is asked.

    Attributes:
        command: The command it lacks, or `None`.
        since: The versions that have it, as text, or `None`.
    """

    def __init__(self, message: str, *, command: str | None = None, since: str | None = None, key: str | None = None) -> None:
        super().__init__(message, key=key)
        self.command = command
        self.since = since


class BackendError(RedisormError):
    """The server refused a command, or could not be reached; `__cause__` is the error of redis-py.

    Attributes:
        code: The first word of the server's answer (`OOM`, `READONLY`, `NOPERM`, …), or `None`.
        command: The name of the command concerned, or `None`.
    """

    def __init__(self, message: str, *, code: str | None = None, command: str | None = None, key: str | None = None) -> None:
        super().__init__(message, key=key)
        self.code = code
        self.command = command


class ConnectionFailedError(BackendError, ConnectionError):
    """No connection, or it broke before a command could have been executed."""


class BackendTimeoutError(BackendError, TimeoutError):
    """No answer, or no free connection, within the time given."""


class WrongTypeError(BackendError):
    """A key of another Redis type is in the way; nothing was written.

    Attributes:
        expected: The type that was needed (`hash`, `list`, `set`, `zset`), or `None` where the server did not say.
        found: The type that is there, or `None` where the server did not say.
    """

    def __init__(
        self, message: str, *, key: str | None = None, expected: str | None = None, found: str | None = None, command: str | None = None
    ) -> None:
        super().__init__(message, code="WRONGTYPE", command=command, key=key)
        self.expected = expected
        self.found = found


class RowTypeError(DecodeError, WrongTypeError):
    """A key of another Redis type stands where a row or a companion should: nothing can be read from it."""

    def __init__(
        self,
        message: str,
        *,
        model: type | None = None,
        field: str | None = None,
        key: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        command: str | None = None,
    ) -> None:
        super().__init__(message, key=key, expected=expected, found=found, command=command)
        self.model = model
        self.field = field


class CommitUnknownError(BackendError):
    """The connection broke after a write was sent and before its answer came: it was executed once or not at all.

    It is not sent again by itself. Read the rows again to find out. Of a row that got a life of its own since it was loaded it is also
    told where the row was written and that life could not be restarted.
    """

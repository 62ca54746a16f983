"""redisorm: a declarative, typed object mapper for Redis and Valkey.

A name brings its module at its first use (PEP 562), so that whoever wants a lock alone does not wait for queries and event loops.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    AlreadyExistsError,
    BackendError,
    BackendTimeoutError,
    CommitUnknownError,
    ConcurrentUpdateError,
    ConflictError,
    ConnectionFailedError,
    CrossSlotError,
    DecodeError,
    DetachedInstanceError,
    IndexValueError,
    LockLost,
    LockTimeout,
    MappingError,
    MultipleFoundError,
    NotFoundError,
    NotIndexedError,
    QueryError,
    RateLimitExceeded,
    RedisormError,
    RowTypeError,
    SessionError,
    SessionInUseError,
    StaleObjectError,
    UniqueViolationError,
    UnsupportedServerError,
    WrongTypeError,
)

if TYPE_CHECKING:
    from .asyncio.cache import AsyncCache
    from .asyncio.channel import AsyncChannel
    from .asyncio.lock import AsyncLock
    from .asyncio.model import AsyncRedisModel
    from .asyncio.query import AsyncQuery
    from .asyncio.ratelimit import AsyncRateLimiter
    from .asyncio.session import AsyncSession
    from .asyncio.stream import AsyncStream
    from .asyncio.structures.dicts import AsyncRedisDict
    from .asyncio.structures.lists import AsyncRedisList
    from .asyncio.structures.sets import AsyncRedisSet
    from .asyncio.structures.sortedsets import AsyncRedisSortedSet
    from .asyncio.structures.strings import AsyncRedisCounter, AsyncRedisValue
    from .asyncio.worker import AsyncDeadLetter, AsyncWorker
    from .database import Database, connect
    from .expressions import col, desc
    from .flows.committing import CommitResult
    from .flows.report import Problem, Report
    from .mapping.fields import Field
    from .mapping.geo import GeoPoint
    from .mapping.sortedset import SortedSet
    from .patterns.backlog import Backlog
    from .patterns.limits import Decision, Limit
    from .patterns.pubsub import Message
    from .patterns.streams import Entry, Event
    from .sync.cache import Cache
    from .sync.channel import Channel
    from .sync.lock import Lock
    from .sync.model import RedisModel
    from .sync.query import Query
    from .sync.ratelimit import RateLimiter
    from .sync.session import Session
    from .sync.stream import Stream
    from .sync.structures.dicts import RedisDict
    from .sync.structures.lists import RedisList
    from .sync.structures.sets import RedisSet
    from .sync.structures.sortedsets import RedisSortedSet
    from .sync.structures.strings import RedisCounter, RedisValue
    from .sync.worker import DeadLetter, Worker

__all__ = [
    "AlreadyExistsError",
    "AsyncCache",
    "AsyncChannel",
    "AsyncDeadLetter",
    "AsyncLock",
    "AsyncQuery",
    "AsyncRateLimiter",
    "AsyncRedisCounter",
    "AsyncRedisDict",
    "AsyncRedisList",
    "AsyncRedisModel",
    "AsyncRedisSet",
    "AsyncRedisSortedSet",
    "AsyncRedisValue",
    "AsyncSession",
    "AsyncStream",
    "AsyncWorker",
    "BackendError",
    "BackendTimeoutError",
    "Backlog",
    "Cache",
    "Channel",
    "CommitResult",
    "CommitUnknownError",
    "ConcurrentUpdateError",
    "ConflictError",
    "ConnectionFailedError",
    "CrossSlotError",
    "Database",
    "DeadLetter",
    "Decision",
    "DecodeError",
    "DetachedInstanceError",
    "Entry",
    "Event",
    "Field",
    "GeoPoint",
    "IndexValueError",
    "Limit",
    "Lock",
    "LockLost",
    "LockTimeout",
    "MappingError",
    "Message",
    "MultipleFoundError",
    "NotFoundError",
    "NotIndexedError",
    "Problem",
    "Query",
    "QueryError",
    "RateLimitExceeded",
    "RateLimiter",
    "RedisCounter",
    "RedisDict",
    "RedisList",
    "RedisModel",
    "RedisSet",
    "RedisSortedSet",
    "RedisValue",
    "RedisormError",
    "Report",
    "RowTypeError",
    "Session",
    "SessionError",
    "SessionInUseError",
    "SortedSet",
    "StaleObjectError",
    "Stream",
    "UniqueViolationError",
    "UnsupportedServerError",
    "Worker",
    "WrongTypeError",
    "col",
    "connect",
    "desc",
]

_HOMES = {
    ".asyncio.cache": "AsyncCache",
    ".asyncio.channel": "AsyncChannel",
    ".asyncio.lock": "AsyncLock",
    ".asyncio.model": "AsyncRedisModel",
    ".asyncio.query": "AsyncQuery",
    ".asyncio.ratelimit": "AsyncRateLimiter",
    ".asyncio.session": "AsyncSession",
    ".asyncio.stream": "AsyncStream",
    ".asyncio.structures.dicts": "AsyncRedisDict",
    ".asyncio.structures.lists": "AsyncRedisList",
    ".asyncio.structures.sets": "AsyncRedisSet",
    ".asyncio.structures.sortedsets": "AsyncRedisSortedSet",
    ".asyncio.structures.strings": "AsyncRedisCounter AsyncRedisValue",
    ".asyncio.worker": "AsyncDeadLetter AsyncWorker",
    ".database": "Database connect",
    ".expressions": "col desc",
    ".flows.committing": "CommitResult",
    ".flows.report": "Problem Report",
    ".mapping.fields": "Field",
    ".mapping.geo": "GeoPoint",
    ".mapping.sortedset": "SortedSet",
    ".patterns.backlog": "Backlog",
    ".patterns.limits": "Decision Limit",
    ".patterns.pubsub": "Message",
    ".patterns.streams": "Entry Event",
    ".sync.cache": "Cache",
    ".sync.channel": "Channel",
    ".sync.lock": "Lock",
    ".sync.model": "RedisModel",
    ".sync.query": "Query",
    ".sync.ratelimit": "RateLimiter",
    ".sync.session": "Session",
    ".sync.stream": "Stream",
    ".sync.structures.dicts": "RedisDict",
    ".sync.structures.lists": "RedisList",
    ".sync.structures.sets": "RedisSet",
    ".sync.structures.sortedsets": "RedisSortedSet",
    ".sync.structures.strings": "RedisCounter RedisValue",
    ".sync.worker": "DeadLetter Worker",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:  # type checkers read the imports above, and must not take every name for one of this module

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home, __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

"""redisorm: a declarative, typed object mapper for Redis and Valkey."""

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

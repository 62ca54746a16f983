"""redisorm: a declarative, typed object mapper for Redis and Valkey."""

from .asyncio.model import AsyncRedisModel
from .asyncio.session import AsyncSession
from .asyncio.structures.dicts import AsyncRedisDict
from .asyncio.structures.lists import AsyncRedisList
from .asyncio.structures.sets import AsyncRedisSet
from .asyncio.structures.sortedsets import AsyncRedisSortedSet
from .asyncio.structures.strings import AsyncRedisCounter, AsyncRedisValue
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
from .flows.committing import CommitResult
from .mapping.fields import Field
from .mapping.geo import GeoPoint
from .mapping.sortedset import SortedSet
from .sync.model import RedisModel
from .sync.session import Session
from .sync.structures.dicts import RedisDict
from .sync.structures.lists import RedisList
from .sync.structures.sets import RedisSet
from .sync.structures.sortedsets import RedisSortedSet
from .sync.structures.strings import RedisCounter, RedisValue

__all__ = [
    "AlreadyExistsError",
    "AsyncRedisCounter",
    "AsyncRedisDict",
    "AsyncRedisList",
    "AsyncRedisModel",
    "AsyncRedisSet",
    "AsyncRedisSortedSet",
    "AsyncRedisValue",
    "AsyncSession",
    "BackendError",
    "BackendTimeoutError",
    "CommitResult",
    "CommitUnknownError",
    "ConcurrentUpdateError",
    "ConflictError",
    "ConnectionFailedError",
    "CrossSlotError",
    "Database",
    "DecodeError",
    "DetachedInstanceError",
    "Field",
    "GeoPoint",
    "IndexValueError",
    "LockLost",
    "LockTimeout",
    "MappingError",
    "MultipleFoundError",
    "NotFoundError",
    "NotIndexedError",
    "QueryError",
    "RateLimitExceeded",
    "RedisCounter",
    "RedisDict",
    "RedisList",
    "RedisModel",
    "RedisSet",
    "RedisSortedSet",
    "RedisValue",
    "RedisormError",
    "RowTypeError",
    "Session",
    "SessionError",
    "SessionInUseError",
    "SortedSet",
    "StaleObjectError",
    "UniqueViolationError",
    "UnsupportedServerError",
    "WrongTypeError",
    "connect",
]

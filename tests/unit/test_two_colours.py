"""The two faces are one: names, signatures and docstrings; and the package exports what it should."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import redisorm
from redisorm import (
    AsyncCache,
    AsyncChannel,
    AsyncDeadLetter,
    AsyncLock,
    AsyncQuery,
    AsyncRateLimiter,
    AsyncRedisModel,
    AsyncSession,
    AsyncStream,
    AsyncWorker,
    Cache,
    Channel,
    Database,
    DeadLetter,
    Lock,
    Query,
    RateLimiter,
    RedisModel,
    Session,
    Stream,
    Worker,
    errors,
)
from redisorm.asyncio.cache import AsyncMemoized
from redisorm.asyncio.channel import AsyncFeed, AsyncListener
from redisorm.asyncio.lock import AsyncHeldLock
from redisorm.mapping.base import RESERVED, MappedModel
from redisorm.sync.cache import Memoized
from redisorm.sync.channel import Feed, Listener
from redisorm.sync.lock import HeldLock
from redisorm.sync.structures.base import Structure

PAIRS = [
    (RedisModel, AsyncRedisModel),
    (Session, AsyncSession),
    (Query, AsyncQuery),
    (Channel, AsyncChannel),
    (Feed, AsyncFeed),
    (Listener, AsyncListener),
    (Stream, AsyncStream),
    (Worker, AsyncWorker),
    (DeadLetter, AsyncDeadLetter),
    (RateLimiter, AsyncRateLimiter),
    (Lock, AsyncLock),
    (HeldLock, AsyncHeldLock),
    (Cache, AsyncCache),
    (Memoized, AsyncMemoized),
]
STRUCTURES = ("RedisCounter", "RedisDict", "RedisList", "RedisSet", "RedisSortedSet", "RedisValue")
VIEWS = {"items", "keys", "values"}
COLOURED = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__", "__next__": "__anext__"}


def own_names(face: type[Any]) -> dict[str, Any]:
    """What a face defines itself, without what Pydantic and the class statement put there."""
    pydantic = set(dir(MappedModel))
    return {
        COLOURED.get(name, name): getattr(face, name)
        for name, value in vars(face).items()
        if (callable(value) or isinstance(value, classmethod))
        and (name not in pydantic or name in COLOURED)
        and not name.startswith("_abc")
    }


def uncoloured(text: str) -> str:
    return re.sub(r"Async(?=[A-Z])|async (?=def|with|for)|await (?=\w)|(?:Awaitable\[|Coroutine\[Any, Any, )(R)\]", r"\1", text)


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS, ids=lambda face: face.__name__)
def test_both_colours_have_the_same_names_signatures_and_docstrings(blocking: type[Any], awaiting: type[Any]) -> None:
    sync, awaited = own_names(blocking), own_names(awaiting)

    assert sorted(sync) == sorted(awaited)
    for name, method in sync.items():
        assert uncoloured(str(inspect.signature(awaited[name]))) == str(inspect.signature(method)), name
        assert uncoloured(awaited[name].__doc__ or "") == (method.__doc__ or ""), name


@pytest.mark.parametrize("name", STRUCTURES)
def test_both_colours_of_a_handle_have_the_same_names_signatures_and_docstrings(name: str) -> None:
    blocking, awaiting = getattr(redisorm, name), getattr(redisorm, f"Async{name}")
    names = {method for method in dir(blocking) if not method.startswith("_")}

    assert names == {method for method in dir(awaiting) if not method.startswith("_")}
    assert uncoloured(str(inspect.signature(awaiting))) == str(inspect.signature(blocking))
    for method in names - {"key", "kind"}:
        sync, awaited = getattr(blocking, method), getattr(awaiting, method)
        assert inspect.iscoroutinefunction(awaited), method
        if method in VIEWS and name in ("RedisDict", "RedisSortedSet"):  # views where a mapping has them, lists where they are awaited
            continue
        assert uncoloured(str(inspect.signature(awaited))) == str(inspect.signature(sync)), method
        assert uncoloured(awaited.__doc__ or "") == sync.__doc__, method


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_method_of_a_handle_says_what_it_sends_and_what_that_costs(name: str) -> None:
    handle = getattr(redisorm, name)
    for method in {method for method in vars(handle) if not method.startswith("_")} - {"kind"}:
        doc = inspect.getdoc(getattr(handle, method)) or ""
        assert re.search(r"\b[A-Z]{3,}\b", doc), method
        if method not in VIEWS | {"copy"}:
            assert re.search(r"O\(|round trips|transaction|WATCH|SMISMEMBER|whole list", doc), method
    assert issubclass(handle, Structure)


@pytest.mark.parametrize("verb", ["check", "repair", "reindex", "sweep"])
def test_database_has_each_verb_of_upkeep_in_both_colours(verb: str) -> None:
    blocking, awaiting = getattr(Database, verb), getattr(Database, f"a{verb}")

    assert inspect.iscoroutinefunction(awaiting)
    assert inspect.signature(awaiting) == inspect.signature(blocking)
    assert awaiting.__doc__ == blocking.__doc__


def test_verbs_of_models_are_the_reserved_names() -> None:
    verbs = {name for name in own_names(RedisModel) if not name.startswith("_")}

    assert verbs <= RESERVED
    assert {"find", "get_by", "pk"} | verbs == RESERVED


def test_exported_names_are_sorted_and_complete() -> None:
    assert redisorm.__all__ == sorted(redisorm.__all__)
    assert set(errors.__all__) <= set(redisorm.__all__)
    for name in redisorm.__all__:
        assert hasattr(redisorm, name)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_carries_what_it_speaks_of(name: str) -> None:
    error = getattr(errors, name)

    assert issubclass(error, errors.RedisormError)
    assert error("what happened", key="user:1").key == "user:1"

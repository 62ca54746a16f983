"""The two faces are one: names, signatures and docstrings; and the package exports what it should."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import redisorm
from redisorm import (
    AsyncChannel,
    AsyncRateLimiter,
    AsyncRedisModel,
    AsyncSession,
    AsyncStream,
    Channel,
    RateLimiter,
    RedisModel,
    Session,
    Stream,
    errors,
)
from redisorm.asyncio.channel import AsyncFeed, AsyncListener
from redisorm.mapping.base import RESERVED, MappedModel
from redisorm.sync.channel import Feed, Listener

PAIRS = [
    (RedisModel, AsyncRedisModel),
    (Session, AsyncSession),
    (Channel, AsyncChannel),
    (Feed, AsyncFeed),
    (Listener, AsyncListener),
    (Stream, AsyncStream),
    (RateLimiter, AsyncRateLimiter),
]
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

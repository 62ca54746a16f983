"""What a class statement says beside the fields: where the rows of a class lie, how long they live, and what else is asked of them."""

from __future__ import annotations

import re
from typing import Any

from redisorm.errors import MappingError
from redisorm.keys import check_prefix, claim_prefix

from .layout import seconds_ms
from .mapper import Options

__all__ = ["options_said", "snake_case"]


def options_said(model: type[Any]) -> Options:
    """The options of a class, its own and those it inherits.

    Raises:
        MappingError: One of them makes no sense.
    """
    said = model.__redisorm_options__
    name = model.__name__
    prefix = model.__redisorm_prefix__
    origin = model.__pydantic_generic_metadata__["origin"]
    if prefix is None and origin is not None:  # Box[int] of a class Box with a prefix: one keyspace for each parametrisation
        outer = getattr(origin, "__redisorm_prefix__", None) or snake_case(origin.__name__)
        prefix = outer + name[len(origin.__name__) :].replace("::", ":")
    prefix = check_prefix(prefix if prefix is not None else snake_case(name), name)
    ttl, refresh, database = said.get("ttl"), said.get("ttl_refresh", "write"), said.get("database")
    if database is not None and not hasattr(database, "namespace"):
        raise MappingError(f"{name}: database= is a {type(database).__name__}: give it a Database, as in Database(url)", model=model)
    if refresh not in ("write", "read", "never"):
        raise MappingError(f"{name}: ttl_refresh={refresh!r} must be 'write', 'read' or 'never'", model=model)
    try:
        ttl_ms = None if ttl is None else seconds_ms(ttl, name)
    except (TypeError, ValueError) as error:
        raise MappingError(str(error), model=model) from error
    claim_prefix(prefix)
    return Options(
        prefix=prefix,
        ttl_ms=ttl_ms,
        ttl_refresh=refresh,
        versioned=bool(said.get("versioned", False)),
        database=database,
        unique_together=tuple(said.get("unique_together", ())),
    )


def snake_case(name: str) -> str:
    """Spell the name of a class as that of its keys: `OrderPlaced` as `order_placed`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()

"""What unit tests of flows share: sessions over scripted answers, and stored objects without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from redisorm import AsyncSession, Database, Session
from redisorm.commands import Batch, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.keys import LIFE, VERSION
from redisorm.mapping.base import MappedModel, mapper_of
from redisorm.unitofwork import verbs

M = TypeVar("M", bound=MappedModel)

NOW = 1_700_000_000_000
"""The time of the scripted server, in milliseconds."""


class Desk(ScriptedDriver):
    """A scripted driver where a session wants a database."""

    namespace = ""


def session_on(desk: ScriptedDriver) -> Session:
    """A session whose server is a script."""
    return Session(cast("Database", desk))


def async_session_on(desk: ScriptedDriver) -> AsyncSession:
    """An awaited session whose server is a script."""
    return AsyncSession(cast("Database", desk))


def talk(driver: ScriptedDriver) -> list[Batch | Watch]:
    """What was sent, one round trip each."""
    return [request for request in driver.requests if isinstance(request, (Batch, Watch))]


def atomic(*commands: Sequence[Any]) -> Batch:
    """What one MULTI/EXEC would be."""
    return Batch(list(commands), atomic=True)


def look(*commands: Sequence[Any]) -> Batch:
    """What one pipeline of reads would be."""
    return Batch(list(commands), resend=True)


def texts_of(
    model: type[MappedModel], fields: dict[str, Any], *, version: int | None = None, life: str | None = None
) -> list[bytes | None]:
    """The reply to the HMGET of a load."""
    stored = {**fields, VERSION: version, LIFE: life}
    return [
        None if (text := stored.get(name)) is None else text if isinstance(text, bytes) else str(text).encode()
        for name in mapper_of(model).fields
    ]


def row_of(
    model: type[MappedModel], fields: dict[str, Any], *companions: Any, version: int | None = None, life: str | None = None
) -> list[Any]:
    """The replies to the load of one row."""
    return [texts_of(model, fields, version=version, life=life), *companions]


def stored(model: type[M], fields: dict[str, Any], *companions: Any, version: int | None = None, life: str | None = None) -> M:
    """An object as if it had just been loaded from these texts, in no session."""
    driver = ScriptedDriver([row_of(model, fields, *companions, version=version, life=life)])
    return driver.run(verbs.get_one(model, fields[mapper_of(model).pk_name], ""))

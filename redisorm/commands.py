"""What logic may ask of I/O: the whole vocabulary between the flows and the drivers.

A flow is a generator. It yields one of the requests below, is sent the answer, and returns its result; one `Batch` or
`Watch` is one round trip. This room knows no Redis client, no model and no key.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = ["Argument", "Batch", "Clock", "Command", "Flow", "Pause", "Reply", "Request", "Supports", "Watch", "WatchLimit"]

R = TypeVar("R")

Argument: TypeAlias = str | bytes | int
"""One word of a command. A float is spelled out by whoever makes the command, never by a client."""

Command: TypeAlias = Sequence[Argument]
"""One command, its name first and in upper case: `("HSET", "user:1", "age", 31)`."""

Reply: TypeAlias = Any
"""One answer of the server: bytes (never decoded), int, float, `None`, or a list, set or dict of them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Send commands in one round trip; the answer is the list of their replies in order.

    With `atomic` they go inside MULTI/EXEC; the answer is `None` where a watched key had changed and nothing was
    executed. Where any command fails, the first failure is raised into the flow as a `BackendError`; with `partial` the
    failures of single commands stand in their places among the replies instead.
    `resend` says that sending the batch twice is harmless, so a driver may repeat it over a new connection. The lost
    answer of a batch without it is a `CommitUnknownError`.
    """

    commands: Sequence[Command]
    atomic: bool = False
    resend: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """WATCH keys and read, in one round trip, on a connection kept for this flow until its next atomic batch or its end.

    The answer is the list of replies of `commands`, which only read. A second `Watch` adds to the first.
    """

    keys: Sequence[str]
    commands: Sequence[Command] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """Ask for the server's time, in milliseconds since 1970 as an int. A driver knows it without a round trip most of the time."""


@dataclass(frozen=True, slots=True)
class Supports:
    """Ask whether the server knows a command: a bool, remembered by the driver after the first time."""

    command: str


@dataclass(frozen=True, slots=True)
class WatchLimit:
    """Ask how many keys a transaction may watch before that itself blocks the server: an int, or `None` for any number."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for a random part of `limit_s` seconds; the answer is `None`."""

    limit_s: float


Request: TypeAlias = Batch | Watch | Clock | Supports | WatchLimit | Pause

Flow: TypeAlias = Generator[Request, Any, R]
"""A conversation with the server that ends in an `R`."""

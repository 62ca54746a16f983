"""What a worker is told, and what it has in hand: plain data between its face, its consumer and the groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redisorm.commands import Command
from redisorm.flows.guarding import Ownership

from .groups import Group
from .reporting import OnError
from .streams import EventMapper

__all__ = ["Delivery", "Failed", "Policy", "Source"]

_SCAN_S = 1.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How a worker deals with its events. Times are in seconds.

    Attributes:
        retries: How often a failing handler is tried again.
        retry_delay_s: How long to wait before that.
        lease_s: How long an event may be left alone before others take it.
        batch: How many events are read at a time.
        on_error: Who hears of failures; the log where it is `None`.
    """

    retries: int
    retry_delay_s: float
    lease_s: float
    batch: int
    on_error: OnError | None

    @property
    def lease_ms(self) -> int:
        """The lease in whole milliseconds."""
        return max(round(self.lease_s * 1000), 1)

    @property
    def scan_s(self) -> float:
        """How often to look for events that others left alone."""
        return min(_SCAN_S, self.lease_s / 2)


@dataclass(frozen=True, slots=True)
class Source:
    """What a worker reads: a group of a stream, the class of its events, and who handles them."""

    group: Group
    mapper: EventMapper[Any]
    handler: Callable[[Any, Any], Any]


@dataclass(eq=False, slots=True)
class Delivery:
    """One entry in hand.

    Attributes:
        consumer: Whose hand.
        attempts: How often its handler was begun, this time included.
        event: Its event, made anew for each attempt.
        reason: Why the last attempt failed.
        due: When to try it again, in monotonic seconds, or `None` where it is ready or running.
        hopeless: It is not to be tried again: its fields do not fit.
        lost: It belongs to another worker now.
    """

    source: Source
    consumer: str
    id: str
    fields: Sequence[bytes]
    attempts: int
    event: Any = None
    reason: str = ""
    due: float | None = None
    hopeless: bool = False
    lost: bool = False

    @property
    def acknowledgement(self) -> tuple[Command, Ownership]:
        """The command that acknowledges it, and the condition under which it may be sent."""
        return self.source.group.acknowledgement(self.id), self.source.group.ownership(self.consumer, self.id)

    @property
    def key(self) -> tuple[str, str]:
        """Stream and entry."""
        return self.source.group.keys.stream, self.id


@dataclass(frozen=True, slots=True)
class Failed:
    """The entry that a failure is about, as it is told to `on_error`.

    Attributes:
        stream: The key of the stream.
        id: The id of the entry.
        fields: Its fields as text.
        attempts: How often its handler was begun.
    """

    stream: str
    id: str
    fields: dict[str, str]
    attempts: int

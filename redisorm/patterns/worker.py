"""A worker without its colour: its policy, who handles which events, and which runs of it are going on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from redisorm.keys import GroupKeys

from .consumer import Consumer
from .deliveries import Policy, Source
from .groups import Group
from .reporting import OnError, require_plain
from .streams import Event, event_mapper_of

__all__ = ["BaseWorker", "Halt"]

E = TypeVar("E", bound=Event)


class Halt:
    """Whether one run of a worker is to end."""

    def __init__(self) -> None:
        self.asked = False


def _seconds(value: float | timedelta, name: str, *, least: float) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name}={value!r}: give a number of seconds, or a timedelta")
    if not least <= seconds < float("inf"):
        raise ValueError(f"{name}={value!r}: give {'at least a millisecond' if least else 'zero or more'}, and a finite time")
    return float(seconds)


def _whole(value: int, name: str, *, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{name}={value!r}: give a whole number of at least {least}")
    return value


class BaseWorker:
    """What both colours of a worker share."""

    def __init__(
        self,
        namespace: str,
        group: str,
        retries: int,
        retry_delay: float | timedelta,
        lease: float | timedelta,
        batch: int,
        on_error: OnError | None,
    ) -> None:
        if not isinstance(group, str) or not group:
            raise ValueError(f"group={group!r}: give the name of a consumer group")
        require_plain(on_error, "on_error", "give an ordinary function")
        self._namespace = namespace
        self._group = group
        self._policy = Policy(
            retries=_whole(retries, "retries", least=0),
            retry_delay_s=_seconds(retry_delay, "retry_delay", least=0),
            lease_s=_seconds(lease, "lease", least=0.001),
            batch=_whole(batch, "batch", least=1),
            on_error=on_error,
        )
        self._sources: dict[str, Source] = {}
        self._runs: list[Halt] = []
        self._stopped_before = False

    def stop(self) -> None:
        """End the runs of this worker that are going on, or the next one where none is; from any thread, or a signal handler.

        A run finishes the event it has, gives back what else it has read, and returns: in half a second where it is waiting.
        """
        for halt in list(self._runs):
            halt.asked = True
        if not self._runs:
            self._stopped_before = True

    def _group_of(self, event: type[Event]) -> Group:
        return Group(GroupKeys(self._namespace, event_mapper_of(event).stream, self._group), self._group)

    def _register(self, event: type[Event], handler: Callable[[Any, Any], Any]) -> None:
        source = Source(self._group_of(event), event_mapper_of(event), handler)
        other = self._sources.setdefault(source.group.keys.stream, source)
        if other is not source:
            raise ValueError(
                f"the stream {source.mapper.stream!r} has a handler for {other.mapper.model.__name__} in this worker: "
                f"give {event.__name__} a stream or a worker of its own"
            )

    def _begin(self, name: str, halt: Halt, closed: Callable[[], bool], now: Callable[[], float], *, once: bool) -> Consumer:
        """Make the consumer of a run, and note that the run is going on."""
        if not self._sources:
            raise ValueError(f"this worker of {self._group!r} handles no event: register a handler with @worker.on(EventClass)")
        self._runs.append(halt)
        if self._stopped_before:
            self._stopped_before, halt.asked = False, True
        sources = list(self._sources.values())
        return Consumer(sources, self._policy, name=name, once=once, halted=lambda: halt.asked or closed(), now=now)

    def _end(self, halt: Halt) -> None:
        if halt in self._runs:
            self._runs.remove(halt)

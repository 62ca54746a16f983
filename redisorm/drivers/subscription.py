"""One subscription of one connection, without its waiting: the packets it sends, what its replies mean, when it counts as broken.

Shared by `blocking_feed` and `awaiting_feed`. It knows the protocol of SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE; what a
message says is its reader's business.
"""

from __future__ import annotations

import logging
from collections import deque
from random import random
from typing import Any, NamedTuple

from redisorm.drivers.packing import packed
from redisorm.drivers.translate import said, translate
from redisorm.errors import RedisormError

__all__ = ["A_MOMENT_S", "Delivery", "Mailbox", "Outage", "Pulse", "Subscription"]

LONGEST_PAUSE_S = 2.0
"""The longest pause between two attempts to subscribe again, in seconds."""

A_MOMENT_S = 0.05
"""How long a full buffer waits for its handler before it drops a message, in seconds."""

IDLE_S = 15.0
"""A connection that was silent for so long is asked whether it still is one."""

_ANSWER_S = 5.0
_PING = packed(("PING",))

_log = logging.getLogger("redisorm")


class Delivery(NamedTuple):
    """One published message: the channel it came over, and its payload."""

    channel: bytes
    payload: bytes


class Subscription(NamedTuple):
    """A channel, or a pattern of channels, that a connection subscribes to.

    Attributes:
        name: The channel or pattern.
        command: The command that subscribes to it.
    """

    name: str
    command: str

    def packet(self) -> list[bytes]:
        """Pack the command."""
        return [packed((self.command, self.name))]

    def confirmed(self, reply: Any) -> bool:
        """Whether a reply says that from now on messages will come."""
        return isinstance(reply, list) and reply[:2] == [self.command.lower().encode(), self.name.encode()]

    def delivery(self, reply: Any) -> Delivery | None:
        """Read a message; `None` for any other reply, as that to PING."""
        if isinstance(reply, list) and reply and reply[0] in (b"message", b"pmessage", b"smessage"):
            return Delivery(reply[-2], reply[-1])
        return None

    def require_kept(self, reply: Any) -> None:
        """Notice that the server ended the subscription, as a node of a cluster does when it gives the channel's slot away.

        Raises:
            ConnectionResetError: It did.
        """
        if isinstance(reply, list) and reply[:2] == [b"sunsubscribe", self.name.encode()]:
            raise ConnectionResetError("the server ended it: the slot of the channel is no longer served there")

    def refused(self, error: Exception) -> RedisormError:
        """The error for a subscription that could not be made."""
        return translate(error, (self.command, self.name))


class Pulse:
    """Whether a silent connection still is one: half of it may be gone without a word.

    Args:
        now: The time, in monotonic seconds.
        limit_s: How long an answer may take; `None` for the usual five seconds.
    """

    def __init__(self, now: float, limit_s: float | None) -> None:
        self._limit_s = limit_s or _ANSWER_S
        self._heard_at = now
        self._asked_at: float | None = None

    def heard(self, now: float) -> None:
        """Note that something came."""
        self._heard_at, self._asked_at = now, None

    def question(self, now: float) -> list[bytes] | None:
        """Return the packet to send after a long silence; `None` where it is not time, or it was sent.

        Raises:
            TimeoutError: It was sent, and no answer came.
        """
        if self._asked_at is not None:
            if now - self._asked_at > self._limit_s:
                raise TimeoutError(f"no answer to PING within {self._limit_s} s")
            return None
        if now - self._heard_at < IDLE_S:
            return None
        self._asked_at = now
        return [_PING]


class Outage:
    """The time a subscription is without a connection. Each is told once when it begins, and once when it is over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began_at: float | None = None
        self._attempts = 0
        self._again_at = 0.0

    def went_on(self, error: Exception, now: float) -> None:
        """Note that the connection broke, or could not be made once more, at so many monotonic seconds."""
        if self._began_at is None:
            self._began_at = now
            _log.warning("the subscription to %r was lost (%s): subscribing again until it is back", self._name, said(error))
        self._attempts += 1
        self._again_at = now + min(0.05 * 2 ** min(self._attempts, 10), LONGEST_PAUSE_S) * (0.5 + random() / 2)

    def pause_s(self, now: float) -> float:
        """How long to wait before the next attempt, in seconds; not longer than zero where it is due."""
        return self._again_at - now

    def ended(self, now: float) -> None:
        """Note that the subscription stands."""
        if self._began_at is not None:
            _log.info(
                "subscribed to %r again after %.1f s and %d attempts; what was published meanwhile is lost to it",
                *(self._name, now - self._began_at, self._attempts),
            )
        self._began_at, self._attempts, self._again_at = None, 0, 0.0


class Mailbox:
    """Deliveries that wait for their handler: a bounded buffer that drops the oldest where it is full. Not locked.

    Attributes:
        dropped: How many were dropped.
        patient: Whether to give the handler a moment before one is dropped: it has taken one since the last was.
    """

    def __init__(self, name: str, size: int) -> None:
        if size < 1:
            raise ValueError(f"buffer={size}: a listener buffers at least one message")
        self._name = name
        self._size = size
        self._waiting: deque[Delivery] = deque()
        self._overflowing = False
        self.dropped = 0
        self.patient = True

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether the next delivery takes the place of the oldest."""
        return len(self._waiting) == self._size

    def put(self, delivery: Delivery) -> None:
        """Take a delivery in. The first one dropped since the buffer was last empty is told."""
        if self.full:
            self._waiting.popleft()
            self.dropped += 1
            self.patient = False
            if not self._overflowing:
                self._overflowing = True
                _log.warning(
                    "the handler of %r is slower than its messages: %d wait, and the oldest is dropped for each that comes; "
                    "make it faster, or the buffer larger",
                    *(self._name, self._size),
                )
        self._waiting.append(delivery)

    def take(self) -> Delivery | None:
        """Hand out the oldest; `None` where none waits."""
        self.patient = True
        if not self._waiting:
            self._overflowing = False
            return None
        return self._waiting.popleft()

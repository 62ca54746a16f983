"""What logic may ask of I/O: the whole vocabulary between the flows and the drivers.

A flow is a generator. It yields one of the requests below, is sent the answer, and returns its result; one `Batch` or
`Watch` is one round trip, and so are all that are posted before the first is collected. This room knows no Redis client,
no model and no key.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, overload

__all__ = [
    "ATTEMPTS",
    "LONGEST_PAUSE_S",
    "Argument",
    "Batch",
    "Clock",
    "Collect",
    "Command",
    "Flow",
    "ForEach",
    "Guarded",
    "Pause",
    "Post",
    "Reply",
    "Request",
    "Supports",
    "Watch",
    "WatchLimit",
]

R = TypeVar("R")

Argument: TypeAlias = str | bytes | int
"""One word of a command. A float is spelled out by whoever makes the command, never by a client."""

Command: TypeAlias = Sequence[Argument]
"""One command, its name first and in upper case: `("HSET", "user:1", "age", 31)`."""

Reply: TypeAlias = Any
"""One answer of the server: bytes (decoded only where a batch says so), int, float, `None`, or a list, set or dict of them."""


class ForEach(Sequence[Command]):
    """One command for each of many keys, which differ by the key alone: a driver packs them all in one go.

    ::

        ForEach("HMGET", ["user:1", "user:2"], ("name", "age"))

    stands for `("HMGET", "user:1", "name", "age")` and `("HMGET", "user:2", "name", "age")`, and equals a list of these.
    """

    __slots__ = ("keys", "name", "words")

    def __init__(self, name: str, keys: Sequence[str], words: Sequence[Argument] = ()) -> None:
        self.name = name
        self.keys = keys
        self.words = words

    def __repr__(self) -> str:
        return f"ForEach({self.name!r}, {self.keys!r}, {self.words!r})"

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> Command: ...

    @overload
    def __getitem__(self, place: slice) -> ForEach: ...

    def __getitem__(self, place: int | slice) -> Command | ForEach:
        if isinstance(place, slice):
            return ForEach(self.name, self.keys[place], self.words)
        return (self.name, self.keys[place], *self.words)

    def __iter__(self) -> Iterator[Command]:
        return ((self.name, key, *self.words) for key in self.keys)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # like a list


@dataclass(slots=True)  # frozen, it would take three times as long to make
class Batch:
    """Send commands in one round trip; the answer is the list of their replies in order.

    With `atomic` they go inside MULTI/EXEC; the answer is `None` where a watched key had changed and nothing was
    executed. Where any command fails, the first failure is raised into the flow as a `BackendError`; with `partial` the
    failures of single commands stand in their places among the replies instead.
    With `text` words of replies may come decoded, all or none; where one is no UTF-8, a `UnicodeDecodeError` may be raised into the flow.
    `resend` says that sending the batch twice is harmless, so a driver may repeat it over a new connection. The lost
    answer of a batch without it is a `CommitUnknownError`. `needs` is what the server has to support, as `Supports` spells it:
    where it does not, nothing is sent, and the answer is `None`.
    """

    commands: Sequence[Command]
    atomic: bool = False
    resend: bool = False
    partial: bool = False
    needs: str = ""
    text: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """Send a batch and go on at once, to do something else while the server works; the answer is `None`.

    `Collect` brings the answer of the batch. Those posted one after the other are one round trip over one connection, and are
    collected in their order. Until the last one is, a flow asks for nothing else that goes to the server, and does not watch.
    """

    batch: Batch


@dataclass(frozen=True, slots=True)
class Collect:
    """Wait for the oldest batch that was posted: the answer, or what is raised, is that of a `Batch`.

    Where the connection broke meanwhile, those that may be sent again are.
    """


@dataclass(frozen=True, slots=True)
class Watch:
    """WATCH keys and read, in one round trip, on a connection kept for this flow until its next atomic batch or its end.

    The answer is the list of replies of `commands`, which only read. A second `Watch` adds to the first.
    """

    keys: Sequence[str]
    commands: Sequence[Command] = ()


@dataclass(slots=True)
class Guarded:
    """WATCH keys and read, queue commands while the answer to that is on its way, and EXEC them where it is as expected.

    The answer is the list of the replies of the commands; `None` where the answer to the reads was another, or one was refused, or a
    watched key had changed, and nothing was executed. It is not sent again. Two round trips, of which the first takes no time where there
    is much to queue.

    Attributes:
        keys: What is watched.
        reads: What is read of them, as of a `Watch`, some at a time.
        fits: Tells whether the replies to that are as expected; it is not asked where one is a refusal.
        pieces: The commands, some at a time: each piece is asked for when the one before has left.
        meanwhile: Is called when EXEC has left, to do something else while the server works.
    """

    keys: Sequence[str]
    reads: Sequence[Sequence[Command]]
    fits: Callable[[Sequence[Reply]], bool]
    pieces: Iterable[Sequence[Command]]
    meanwhile: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Clock:
    """Ask for the server's time, in milliseconds since 1970 as an int. A driver knows it without a round trip most of the time."""


@dataclass(frozen=True, slots=True)
class Supports:
    """Ask whether the server knows a command: a bool, remembered by the driver after the first time.

    Attributes:
        command: Its name, or its name and an option of it: `"EVALSHA"`, `"HSETEX XX"`. Of scripts, and of commands with an option, it is
            asked whether this user may run them, too.
    """

    command: str


@dataclass(frozen=True, slots=True)
class WatchLimit:
    """Ask how many keys a transaction may watch before that itself blocks the server: an int, or `None` for any number."""


ATTEMPTS = 64
"""Times a step is tried again when others change what it reads, with a growing random pause between."""

LONGEST_PAUSE_S = 0.1
"""The most that a flow pauses after it has lost a race, in seconds."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for a random part of `limit_s` seconds; the answer is `None`."""

    limit_s: float

    @classmethod
    def after(cls, lost: int) -> Pause:
        """Make the pause after a race was lost: up to a millisecond the first time, with 0, twice as long each time."""
        return cls(min(0.001 * 2**lost, LONGEST_PAUSE_S))


Request: TypeAlias = Batch | Post | Collect | Watch | Guarded | Clock | Supports | WatchLimit | Pause

Flow: TypeAlias = Generator[Request, Any, R]
"""A conversation with the server that ends in an `R`."""

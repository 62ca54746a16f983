"""What a commit writes to live structures that belong to rows: in its transaction, with the deadline of the row.

The row must be there, or be stored by the same commit. What waits for the structures of an object that is deleted or let go of has
been dropped by its session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redisorm.commands import Command, Reply
from redisorm.errors import DecodeError, StaleObjectError

from .changes import Change
from .fate import Fate
from .guarding import Guard, KeyType

__all__ = ["LiveRow", "LiveWrite", "guards_of", "live_commands", "row_is_gone"]

_MOST = 2**62


@dataclass(frozen=True, slots=True)
class LiveWrite:
    """Commands on one live structure.

    Attributes:
        model: The class of the object.
        row: The key of its row.
        key: The key of the structure.
        kind: The type it must have.
        renews: Whether something is added or changed, so that the key may be made anew and needs its deadline.
    """

    model: type
    row: str
    key: str
    kind: str
    commands: Sequence[Command]
    renews: bool


@dataclass(slots=True)
class LiveRow:
    """A row is there. How long it lives is remembered for what belongs to it.

    Attributes:
        deadline_ms: When it expires in the server's time; `None` for never, or before it was asked.
    """

    model: type
    key: str
    deadline_ms: int | None = None

    @property
    def watched(self) -> Sequence[str]:
        """The row."""
        return (self.key,)

    @property
    def read(self) -> Command:
        """PEXPIRETIME of the row."""
        return ("PEXPIRETIME", self.key)

    @property
    def wanted(self) -> Reply:
        """Nobody knows it beforehand."""
        return None

    def check(self, reply: Reply) -> None:
        """Raise `StaleObjectError` where the row is not there."""
        if reply == -2:
            raise row_is_gone(self.model, self.key)
        self.deadline_ms = None if reply < 0 else int(reply)


@dataclass(frozen=True, slots=True)
class Countable:
    """A key that is counted with is an integer, or absent, and far from the largest."""

    key: str

    @property
    def watched(self) -> Sequence[str]:
        """Nothing, as of a `KeyType`."""
        return ()

    @property
    def read(self) -> Command:
        """GET of the key."""
        return ("GET", self.key)

    @property
    def wanted(self) -> Reply:
        """Any integer."""
        return None

    def check(self, reply: Reply) -> None:
        """Raise `DecodeError` where INCRBY would fail, which in a transaction would come too late."""
        text = b"0" if reply is None else bytes(reply)
        if not text.lstrip(b"-").isdigit() or abs(int(text)) > _MOST:
            message = f"{self.key}: what is stored is no integer to count with: delete() it, or set() a number; nothing was written"
            raise DecodeError(message, key=self.key, value=text)


def row_is_gone(model: type, row: str) -> StaleObjectError:
    """The error of a write to a structure whose row is not there."""
    return StaleObjectError(
        f"{model.__name__}: the row {row} is gone, deleted or expired, so nothing can be written to its live structures: "
        "store it anew first",
        expected="a row",
        found=None,
        model=model,
        key=row,
    )


def guards_of(lives: Sequence[LiveWrite], changes: Sequence[Change]) -> list[Guard]:
    """What the writes rely on, beside what the changes of the same commit see to."""
    stored = {change.key for change in changes if change.is_new}
    guards: dict[tuple[str, str], Guard] = {}
    for live in lives:
        if live.row not in stored:
            guards["row", live.row] = LiveRow(live.model, live.row)
            guards["type", live.key] = KeyType(live.key, live.kind)
        if any(command[0] == "INCRBY" for command in live.commands):
            guards["count", live.key] = Countable(live.key)
    return list(guards.values())


def live_commands(lives: Sequence[LiveWrite], changes: Mapping[str, tuple[Change, Fate]], guards: Sequence[Guard]) -> list[Command]:
    """The writes, each key with the deadline its row has after the commit.

    Args:
        changes: By key, the changes of the same commit and when their rows will expire.
    """
    known = {guard.key: guard.deadline_ms for guard in guards if isinstance(guard, LiveRow)}
    commands: list[Command] = []
    deadlines: dict[str, int] = {}
    for live in lives:
        commands += live.commands
        change, fate = changes.get(live.row, (None, None))
        follows = fate is not None and change is not None and (change.is_new or fate.moved)
        deadline = fate.deadline_ms if fate is not None and follows else known[live.row]
        if live.renews and deadline is not None:
            deadlines[live.key] = deadline
    return [*commands, *(("PEXPIREAT", key, deadline) for key, deadline in deadlines.items())]

"""What is known of one object: where it is stored, what it was when the server last agreed, and who works with it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from redisorm.flows.changes import Increment
from redisorm.mapping.base import MappedModel, link_state, linked_state
from redisorm.mapping.snapshot import Snapshot

if TYPE_CHECKING:
    from .holding import Holding

__all__ = ["Phase", "State", "state_of"]


class Phase(enum.Enum):
    """Where an object is in its life: the five states of a unit of work.

    They have the names and meanings SQLAlchemy gave them.
    """

    TRANSIENT = "transient"
    """Made, but neither stored nor added to a session."""
    PENDING = "pending"
    """Added to a session; the next commit stores it."""
    PERSISTENT = "persistent"
    """Stored, and in a session."""
    DELETED = "deleted"
    """In a session; the next commit deletes its row."""
    DETACHED = "detached"
    """Stored, and in no session."""


@dataclass(slots=True)
class State:
    """The state of one object.

    A session that closes says nothing to its many objects: the state of each knows by its session that it is detached.

    Attributes:
        held_phase: Where the object is in its life as long as its session is open, or with none.
        held_by: The session it belongs to, until that is closed, or `None`.
        key: The key of its row; empty for an automatic primary key not given yet.
        snapshot: The object as the server has it; `None` where it was never stored, or is deleted.
        version: The version it was loaded or written with, for a versioned class.
        life: The life of its own that the row had, in milliseconds, `PERMANENT`, or `None`.
        wanted_life: The life the next commit gives it; `None` says nothing.
        tried: Whether a commit of the object was begun: a key made at random may be taken since, by itself.
        increments: What the next commit adds to numbers at the server.
    """

    held_phase: Phase = Phase.TRANSIENT
    held_by: Holding | None = None
    key: str = ""
    snapshot: Snapshot | None = None
    version: int | None = None
    life: int | None = None
    wanted_life: int | None = None
    tried: bool = False
    increments: tuple[Increment, ...] = ()

    @property
    def session(self) -> Holding | None:
        """The open session the object belongs to, or `None`."""
        return self.held_by if self.held_by is not None and self.held_by.is_open else None

    @session.setter
    def session(self, session: Holding | None) -> None:
        self.held_by = session

    @property
    def phase(self) -> Phase:
        """Where the object is in its life."""
        return self.held_phase if self.held_by is None or self.held_by.is_open else Phase.DETACHED

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self.held_phase, self.held_by = phase, self.session

    def detached_copy(self) -> State:
        """What stays true of an object that is pickled."""
        stored = self.snapshot is not None
        return replace(self, held_phase=Phase.DETACHED if stored else Phase.TRANSIENT, held_by=None, wanted_life=None, increments=())

    def forget_wishes(self) -> None:
        """Drop what was to be done at the next commit."""
        self.wanted_life = None
        self.increments = ()


def state_of(obj: MappedModel) -> State:
    """The state of an object, made now where it has none yet."""
    state: Any = linked_state(obj)
    if state is None:
        state = State()
        link_state(obj, state)
    known: State = state
    return known

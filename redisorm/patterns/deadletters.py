"""Dead letters: the events a group gave up, with the reason, in a stream of its own. How they are written, listed and requeued.

A dead letter is an entry with the fields `:id`, `:reason` and `:attempts`, and after them those of the event as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from redisorm.commands import ATTEMPTS, Batch, Command, Flow, Pause, Watch
from redisorm.errors import ConcurrentUpdateError, DecodeError, NotFoundError

from .groups import RELEASED, Group
from .streams import PAGE, Event, EventMapper, fields_of

__all__ = ["Letter", "discard", "letter_of", "letters", "requeue"]

E = TypeVar("E", bound=Event)

_HEAD = 6
"""Words before the fields of the event."""


class Letter(Generic[E]):
    """An event that was given up.

    Attributes:
        id: The id its entry had in the stream.
        event: The event, or `None` where the fields do not fit its class.
        fields: The fields of the entry as text. Bytes that are no UTF-8 are kept as surrogates.
        reason: Why it was given up.
        attempts: How often its handler was begun.
    """

    def __init__(self, place: str, words: Sequence[bytes], mapper: EventMapper[E], key: str) -> None:
        self._place = place
        self._words = list(words[_HEAD:])
        self.id: str = words[1].decode()
        self.reason: str = words[3].decode("utf-8", "replace")
        self.attempts: int = int(words[5])
        self.fields: dict[str, str] = fields_of(self._words)
        self.event: E | None
        try:
            self.event = mapper.event(self._words, key, self.id)
        except DecodeError:
            self.event = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} after {self.attempts} attempts: {self.reason}>"


def letter_of(group: Group, entry_id: str, fields: Sequence[bytes], reason: str, attempts: int) -> Command:
    """Spell the command that writes a dead letter."""
    return ("XADD", group.keys.dead, "*", ":id", entry_id, ":reason", reason, ":attempts", attempts, *fields)


def letters(group: Group) -> Flow[list[tuple[str, list[bytes]]]]:
    """List the dead letters of a group, oldest first: the place of each and its words."""
    found: list[tuple[str, list[bytes]]] = []
    start = "-"
    while True:
        (page,) = yield Batch([("XRANGE", group.keys.dead, start, "+", "COUNT", PAGE)], resend=True)
        found += ((bytes(place).decode(), list(words)) for place, words in page)
        if len(page) < PAGE:
            return found
        start = f"({found[-1][0]}"


def requeue(group: Group, letter: Letter[Any], lease_ms: int) -> Flow[str]:
    """Give an event back to its group, and to no other, as if it had never been tried; return the id of its entry.

    Workers with a lease of up to `lease_ms` claim it at once. Where its entry was trimmed meanwhile it is appended to the stream
    anew, for all groups.

    Raises:
        NotFoundError: The dead letter is gone: it was requeued or discarded before.
    """
    place, keys = letter._place, group.keys
    for attempt in range(ATTEMPTS):
        reads = [("XRANGE", keys.dead, place, place), ("XRANGE", keys.stream, letter.id, letter.id)]
        there, entry = yield Watch([keys.dead, keys.stream], reads)
        if not there:
            raise NotFoundError(
                f"the dead letter of {letter.id} is not in {keys.dead} any more: it was requeued or discarded; list them anew",
                pk=letter.id,
                key=keys.dead,
            )
        again: Command = ("XADD", keys.stream, "*", *letter._words)
        if entry:
            # One more than the lease: fakeredis counts an entry as left alone only for longer than it was asked.
            options = ("IDLE", lease_ms + 1, "RETRYCOUNT", 0, "FORCE", "JUSTID")
            again = ("XCLAIM", keys.stream, group.name, RELEASED, 0, letter.id, *options)
        done = yield Batch([again, ("XDEL", keys.dead, place)], atomic=True)
        if done is not None:
            return letter.id if entry else bytes(done[0]).decode()
        yield Pause.after(attempt)
    raise ConcurrentUpdateError(
        f"{keys.stream} was changed {ATTEMPTS} times in a row while {letter.id} was being requeued: try again", key=keys.stream
    )


def discard(group: Group, letter: Letter[Any]) -> Flow[bool]:
    """Remove a dead letter; tell whether it was there."""
    (removed,) = yield Batch([("XDEL", group.keys.dead, letter._place)])
    return bool(removed)

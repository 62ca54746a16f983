"""One consumer group of one stream: every conversation about who has which entry.

Redis counts deliveries; here the count of an entry is how often its handler was begun. Whoever takes an entry from another
consumer counts that in the hash of the group in the same transaction, and whoever relies on owning an entry watches that hash.
Which entry is handled when is the business of `consumer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from redisorm.commands import ATTEMPTS, Batch, Command, Flow, Pause, Reply, Watch
from redisorm.errors import BackendError, ConcurrentUpdateError
from redisorm.flows.guarding import Ownership
from redisorm.keys import BEHIND, CLAIMS, TRIMMED, GroupKeys

from .scripts import script, step

__all__ = ["RELEASED", "Claim", "Group", "Pending", "Standing", "entries_in", "order"]

RELEASED = "released"
"""The consumer that stands for nobody: entries that were given back wait under it."""

MANY = 10_000
"""Pending entries of one answer."""

_RETIRE = script("retire")


class Pending(NamedTuple):
    """A delivered entry that is not acknowledged: whose it is, for how long nobody touched it, and how often it was begun."""

    id: str
    consumer: str
    idle_ms: int
    times: int


class Claim(NamedTuple):
    """What came of taking an entry from its consumer.

    Attributes:
        fields: The fields of the entry, or `None` where it was not to be had.
        trimmed: It was pending still, but removed from the stream.
    """

    fields: list[bytes] | None
    trimmed: bool


class Standing(NamedTuple):
    """How far a group has come in its stream.

    Attributes:
        waiting: How many entries it has not read, or `None` where the server does not know.
        trimmed: How many it can never read, since they were removed before.
        read: The id of the last entry it has read.
        seen: How many entries the server says that it has read, or `None` where the server does not know.
    """

    waiting: int | None
    trimmed: int
    read: str
    seen: int | None


def order(entry_id: str) -> tuple[int, int]:
    """The place of an entry in its stream."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _text(word: Any) -> str:
    return word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else str(word)


def _mapping(reply: Reply) -> dict[str, Any]:
    """Read a map, which is a flat list in RESP2."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(name): value for name, value in pairs}


def _pending(reply: Reply) -> list[Pending]:
    return [Pending(_text(entry), _text(consumer), int(idle), int(times)) for entry, consumer, idle, times in reply or ()]


def entries_in(reply: Reply) -> dict[str, list[tuple[str, list[bytes]]]]:
    """Read the answer to XREADGROUP: entries by the key of their stream."""
    pairs = reply.items() if isinstance(reply, dict) else reply or ()
    return {_text(key): [(_text(entry_id), list(fields)) for entry_id, fields in entries] for key, entries in pairs}


class Group:
    """A consumer group of a stream.

    Attributes:
        keys: Its keys.
        name: Its name.
    """

    def __init__(self, keys: GroupKeys, name: str) -> None:
        self.keys = keys
        self.name = name

    def ownership(self, consumer: str, entry_id: str) -> Ownership:
        """The condition that an entry is pending for a consumer."""
        return Ownership(self.keys.stream, self.name, consumer, entry_id, self.keys.state)

    def acknowledgement(self, entry_id: str) -> Command:
        """Spell the command that acknowledges an entry."""
        return ("XACK", self.keys.stream, self.name, entry_id)

    def _xpending(self, *words: str | int) -> Command:
        return ("XPENDING", self.keys.stream, self.name, *words)

    def _xclaim(self, consumer: str, least_idle_ms: int, *words: str | int) -> Command:
        return ("XCLAIM", self.keys.stream, self.name, consumer, least_idle_ms, *words)

    def create(self) -> Flow[bool]:
        """Make the group where it is not there, from the beginning of the stream; tell whether it was made."""
        try:
            yield Batch([("XGROUP", "CREATE", self.keys.stream, self.name, "0", "MKSTREAM")], resend=True)
        except BackendError as error:
            if error.code == "BUSYGROUP":
                return False
            raise
        return True

    # ---- taking ---------------------------------------------------------------------------------------------------------------

    def idle(self, least_idle_ms: int) -> Flow[list[Pending]]:
        """List the entries that nobody has touched for so long, oldest first."""
        (reply,) = yield Batch([self._xpending("IDLE", least_idle_ms, "-", "+", 100)], resend=True)
        return _pending(reply)

    def claim(self, consumer: str, entry_id: str, least_idle_ms: int) -> Flow[Claim]:
        """Take an entry that nobody has touched for so long, and count that it is begun once more."""
        commands = [
            self._xpending(entry_id, entry_id, 1),
            ("HINCRBY", self.keys.state, CLAIMS, 1),
            self._xclaim(consumer, least_idle_ms, entry_id),
        ]
        before, _, claimed = yield Batch(commands, atomic=True)
        if claimed and claimed[0] is not None:
            return Claim(list(claimed[0][1]), trimmed=False)
        found = _pending(before)
        return Claim(None, trimmed=bool(found) and found[0].idle_ms >= least_idle_ms)

    def recover(self, consumer: str, known: Iterable[str]) -> Flow[tuple[dict[str, tuple[list[bytes], int]], int]]:
        """Find the entries that belong to a consumer without its knowing: their fields and counts by id, and how many were trimmed.

        That is so where the answer to a read was lost.
        """
        held = set(known)

        def reclaim(replies: Sequence[Reply]) -> list[Command]:
            return [
                self._xclaim(consumer, 0, entry.id, "RETRYCOUNT", max(entry.times, 1))
                for entry in _pending(replies[0])
                if entry.id not in held
            ]

        read, claims = yield from self._guarded([self._xpending("-", "+", MANY, consumer)], reclaim)
        times = {entry.id: max(entry.times, 1) for entry in _pending(read[0])}
        found = {_text(entry[0]): list(entry[1]) for claimed in claims for entry in claimed if entry is not None}
        return {entry_id: (fields, times[entry_id]) for entry_id, fields in found.items()}, len(claims) - len(found)

    # ---- having ---------------------------------------------------------------------------------------------------------------

    def renew(self, consumer: str, ids: Sequence[str]) -> Flow[set[str]]:
        """Restart the lease of entries without counting anything; return those that belong to the consumer no more."""
        if not ids:
            return set()
        mine: set[str] = set()

        def claim(replies: Sequence[Reply]) -> list[Command]:
            mine.clear()
            mine.update(entry.id for entry in _pending(replies[0]))
            alive = self._alive([entry_id for entry_id in ids if entry_id in mine], replies[1])
            return [self._xclaim(consumer, 0, *alive, "JUSTID")] if alive else []

        yield from self._guarded([self._xpending(*self._range(ids), MANY, consumer), self._first()], claim)
        return {entry_id for entry_id in ids if entry_id not in mine}

    def restart(self, consumer: str, entry_id: str, times: int) -> Flow[bool]:
        """Begin an entry once more and count it; `False` where it belongs to the consumer no more."""
        ownership = self.ownership(consumer, entry_id)
        held = False

        def claim(replies: Sequence[Reply]) -> list[Command]:
            nonlocal held
            held = ownership.held(replies[0])
            alive = self._alive([entry_id] if held else [], replies[1])
            return [self._xclaim(consumer, 0, *alive, "RETRYCOUNT", times, "JUSTID")] if alive else []

        yield from self._guarded([ownership.read, self._first()], claim)
        return held

    def release(self, consumer: str, entries: Mapping[str, tuple[int, int]]) -> Flow[None]:
        """Give entries back, so that any worker may claim them: by id, for how long nobody will have touched them and their count."""
        if not entries:
            return

        def claim(replies: Sequence[Reply]) -> list[Command]:
            mine = [entry.id for entry in _pending(replies[0]) if entry.id in entries]
            return [
                self._xclaim(RELEASED, 0, entry_id, "IDLE", idle_ms, "RETRYCOUNT", times, "JUSTID")
                for entry_id in self._alive(mine, replies[1])
                for idle_ms, times in (entries[entry_id],)
            ]

        yield from self._guarded([self._xpending(*self._range(list(entries)), MANY, consumer), self._first()], claim)

    def bury(self, consumer: str, entry_id: str, letter: Command) -> Flow[bool]:
        """Write a dead letter and acknowledge the entry; `False` where it belongs to the consumer no more."""
        ownership = self.ownership(consumer, entry_id)
        held = False

        def write(replies: Sequence[Reply]) -> list[Command]:
            nonlocal held
            held = ownership.held(replies[0])
            return [letter, self.acknowledgement(entry_id)] if held else []

        yield from self._guarded([ownership.read], write)
        return held

    def retire(self, consumer: str) -> Flow[None]:
        """Remove a consumer that reads no more. What it had after all, from a read whose answer was lost, is given back."""
        words = (self.name, consumer, RELEASED, CLAIMS)
        yield from step(_RETIRE, [self.keys.stream, self.keys.state], words, lambda: self._retired(consumer), resend=True)

    def _retired(self, consumer: str) -> Flow[Reply]:
        commands = [self._xpending("-", "+", MANY, consumer), ("XGROUP", "DELCONSUMER", self.keys.stream, self.name, consumer)]
        replies = yield Batch(commands, atomic=True)
        lost = _pending(replies[0])
        if lost:
            claims = [self._xclaim(RELEASED, 0, one.id, "IDLE", one.idle_ms, "RETRYCOUNT", one.times, "FORCE", "JUSTID") for one in lost]
            yield Batch([*claims, ("HINCRBY", self.keys.state, CLAIMS, 1)], atomic=True)
        return len(lost)

    def forget(self, least_idle_ms: int) -> Flow[None]:
        """Remove the consumers that have no entry and were not heard of for so long: their workers were killed."""
        (reply,) = yield Batch([("XINFO", "CONSUMERS", self.keys.stream, self.name)], resend=True)
        for told in map(_mapping, reply):
            name = _text(told["name"])
            if not int(told["pending"]) and int(told["idle"]) >= least_idle_ms and name != RELEASED:
                yield from self.retire(name)

    def _guarded(self, reads: Sequence[Command], then: Callable[[Sequence[Reply]], list[Command]]) -> Flow[tuple[list[Reply], list[Reply]]]:
        """Read, and write what follows from it while nobody claims in between; the replies of the reads and of the writes."""
        for attempt in range(ATTEMPTS):
            replies = yield Watch([self.keys.state], reads)
            commands = then(replies)
            if not commands:
                return replies, []
            done = yield Batch(commands, atomic=True)
            if done is not None:
                return replies, done
            yield Pause.after(attempt)
        raise ConcurrentUpdateError(
            f"other workers of {self.name!r} claimed entries of {self.keys.stream} {ATTEMPTS} times in a row; try again",
            key=self.keys.stream,
        )

    def _first(self) -> Command:
        return ("XRANGE", self.keys.stream, "-", "+", "COUNT", 1)

    @staticmethod
    def _alive(ids: Sequence[str], first: Reply) -> list[str]:
        """The entries that are in the stream still: XCLAIM would drop the others, which can be acknowledged all the same."""
        start = order(_text(first[0][0])) if first else None
        return [entry_id for entry_id in ids if start is not None and order(entry_id) >= start]

    @staticmethod
    def _range(ids: Sequence[str]) -> tuple[str, str]:
        return min(ids, key=order), max(ids, key=order)

    # ---- how far it has come --------------------------------------------------------------------------------------------------

    def questions(self) -> list[Command]:
        """Spell the commands whose replies are a `standing`."""
        stream = self.keys.stream
        return [("XINFO", "GROUPS", stream), ("XINFO", "STREAM", stream), ("HGET", self.keys.state, BEHIND)]

    def seen(self, groups: Reply) -> int | None:
        """Read how many entries the server says the group has read out of the answer to XINFO GROUPS; `None` where it does not know."""
        mine = self._told(groups)
        return None if mine is None or mine.get("entries-read") is None else int(mine["entries-read"])

    def _told(self, groups: Reply) -> dict[str, Any] | None:
        return next((info for info in map(_mapping, groups) if _text(info["name"]) == self.name), None)

    def standing(self, groups: Reply, stream: Reply, behind: Reply) -> Standing | None:
        """Work out how far the group has come; `None` where it is not there.

        A group that was overtaken by the trimming of its stream has the whole stream before it, whatever the server says is its lag.
        When it comes past the gap, newer servers count what is missing as read. Redis 7.0 does not: that is what `behind` is for.
        """
        mine = self._told(groups)
        if mine is None:
            return None
        told = _mapping(stream)
        read, length, seen = _text(mine["last-delivered-id"]), int(told["length"]), self.seen(groups)
        missed = int(behind or 0)
        first = told.get("first-entry")
        if first and order(read) < order(_text(first[0])):
            trimmed = 0 if seen is None else max(int(told["entries-added"]) - seen - missed - length, 0)
            return Standing(length, trimmed, read, seen)
        if order(read) >= order(_text(told["last-generated-id"])):
            return Standing(0, 0, read, seen)
        if not length:
            trimmed = 0 if seen is None else max(int(told["entries-added"]) - seen - missed, 0)
            return Standing(0, trimmed, read, seen)
        return Standing(None if mine["lag"] is None else max(int(mine["lag"]) - missed, 0), 0, read, seen)

    def count_trimmed(self, count: int, *, behind: bool = False) -> Flow[None]:
        """Count entries that were removed before they were dealt with; `behind` where the server does not count them as read."""
        commands: list[Command] = [("HINCRBY", self.keys.state, TRIMMED, count)]
        if behind:
            commands.append(("HINCRBY", self.keys.state, BEHIND, count))
        yield Batch(commands, atomic=True)

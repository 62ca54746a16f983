"""One run of a worker: which entry is handled next, and what becomes of it. It waits through flows, and never calls a handler.

An entry is in hand from when it was read or claimed until it is acknowledged, buried or given back. It is ready, running, or waits
to be tried again. How a group is asked is in `groups`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

from redisorm.commands import Batch, Command, Flow, Pause
from redisorm.errors import BackendError, CommitUnknownError, ConcurrentUpdateError, DecodeError

from .deadletters import letter_of
from .deliveries import Delivery, Failed, Policy, Source
from .groups import entries_in
from .reporting import report
from .streams import fields_of

__all__ = ["Consumer"]

_log = logging.getLogger("redisorm")

_GONE = frozenset({"NOGROUP", "UNBLOCKED"})
"""What a server says where the group or its stream is gone, also while a read waits."""
_GONE_WORDS = ("ERR no such key", "requires the key to exist")
_WAIT_S = 0.5
_LONGEST_PAUSE_S = 1.0
_FORGOTTEN_MS = 3_600_000
"""A consumer that has nothing and did not even ask for so long is gone. One that waits asks twice a second."""


class Consumer:
    """A consumer in the group of each source.

    Args:
        name: Its name, unique to this run.
        once: End when nothing is left.
        halted: Whether to end now.
        now: The time, in monotonic seconds.
    """

    def __init__(
        self, sources: Sequence[Source], policy: Policy, *, name: str, once: bool, halted: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self.policy = policy
        self.name = name
        self._once = once
        self._sources = {source.group.keys.stream: source for source in sources}
        self._halted = halted
        self._now = now
        self._held: dict[tuple[str, str], Delivery] = {}
        self._ready: deque[Delivery] = deque()
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._order = 0
        self._made: set[str] = set()
        self._doubtful = self._overtaken = False
        self._scan_at = self._renewed_at = 0.0
        self._scanned = self._finished = False
        self._trouble: type[Exception] | None = None
        self._failures = 0

    @property
    def renewal_s(self) -> float:
        """How often the leases must be renewed, in seconds."""
        return self.policy.lease_s / 3

    # ---- what comes next --------------------------------------------------------------------------------------------------------

    def take(self) -> Flow[Delivery | None]:
        """Wait for the next entry to handle; `None` where the run ends. No failure of the server ends it."""
        while not (self._halted() or self._finished):
            try:
                delivery = yield from self._next()
            except (BackendError, ConcurrentUpdateError) as error:
                yield from self._after(error)
                continue
            self._trouble, self._failures = None, 0
            if delivery is not None:
                self._scanned = False
                return delivery
        return None

    def _next(self) -> Flow[Delivery | None]:
        """Take one step; `None` where there is nothing to handle yet."""
        for key, source in self._sources.items():
            if key not in self._made:
                if not (yield from source.group.create()):
                    yield from source.group.forget(max(_FORGOTTEN_MS, 10 * self.policy.lease_ms))
                self._made.add(key)
        if self._doubtful:
            yield from self._recover()
        if self._waiting and self._waiting[0][0] <= self._now():
            return (yield from self._again(heappop(self._waiting)[2]))
        if self._ready:
            if self._now() - self._renewed_at > self.policy.lease_s / 2:
                yield from self.renew()
            return self._begin(self._ready.popleft())
        if self._now() >= self._scan_at:
            return (yield from self._claim())
        if not (yield from self._read()):
            if not self._once or self._held:
                yield from self._read_when_some_come()
            elif self._scanned:
                self._finished = True
            else:
                self._scan_at = self._now()
        return None

    def _after(self, error: BackendError | ConcurrentUpdateError) -> Flow[None]:
        """Make the best of a failure of the server: tell it once, pause, and find out what is in hand."""
        if _is_gone(error):
            _log.warning("a group or its stream is gone (%s): the groups are made again, from the beginning of their streams", error)
            self._held.clear()
            self._ready.clear()
            self._waiting.clear()
            self._made.clear()
            self._doubtful = True
            return
        self._doubtful |= isinstance(error, CommitUnknownError)
        if self._trouble is not type(error):
            self._trouble = type(error)
            report(self.policy.on_error, error, None, f"worker {self.name}")
        self._failures += 1
        yield Pause(min(0.05 * 2 ** min(self._failures, 10), _LONGEST_PAUSE_S))

    # ---- getting entries --------------------------------------------------------------------------------------------------------

    def _read(self) -> Flow[bool]:
        """Read new entries, and count those that were trimmed before anybody could; tell whether there were any."""
        every = list(self._sources.values())
        self._overtaken = False
        # What was read and not begun when a worker dies has lost one attempt: where there is only one, nothing is read ahead.
        for sources in [every] if self.policy.retries else [[source] for source in every]:
            questions = [question for source in sources for question in source.group.questions()]
            after = [source.group.questions()[0] for source in sources]
            replies = yield Batch([*questions, self._xreadgroup(sources), *after], atomic=True)
            found = self._keep(replies[len(questions)])
            for place, source in enumerate(sources):
                standing = source.group.standing(*replies[3 * place : 3 * place + 3])
                count = found.get(source.group.keys.stream, 0)
                if standing is None or not standing.trimmed:
                    continue
                if not count:  # to be counted when the group comes past it, not every time it is seen
                    self._overtaken = True
                    continue
                seen = source.group.seen(replies[len(questions) + 1 + place])
                yield from self._lose(source, standing.trimmed, behind=seen == (standing.seen or 0) + count)
            if found:
                return True
        return False

    def _read_when_some_come(self) -> Flow[None]:
        """Wait for new entries, for half a second at most, or until there is something else to do."""
        if self._overtaken:  # what comes next must be read together with how much is missing before it
            yield Pause(_WAIT_S / 2)
            return
        due = self._waiting[0][0] if self._waiting else self._scan_at
        wait_ms = max(round(min(_WAIT_S, due - self._now()) * 1000), 1)
        (reply,) = yield Batch([self._xreadgroup(list(self._sources.values()), "BLOCK", wait_ms)])
        self._keep(reply)

    def _xreadgroup(self, sources: Sequence[Source], *options: str | int) -> Command:
        count = self.policy.batch if self.policy.retries else 1
        keys = [source.group.keys.stream for source in sources]
        name = sources[0].group.name
        return ("XREADGROUP", "GROUP", name, self.name, "COUNT", count, *options, "STREAMS", *keys, *([">"] * len(keys)))

    def _keep(self, reply: Any) -> dict[str, int]:
        """Take what was read in hand; return how many entries of which stream that was."""
        if not self._ready:
            self._renewed_at = self._now()
        found = entries_in(reply)
        for key, entries in found.items():
            for entry_id, fields in entries:
                self._have(Delivery(self._sources[key], self.name, entry_id, fields, 1))
        return {key: len(entries) for key, entries in found.items() if entries}

    def _have(self, delivery: Delivery) -> None:
        self._held[delivery.key] = delivery
        self._ready.append(delivery)

    def _claim(self) -> Flow[Delivery | None]:
        """Take one entry that its worker left alone for longer than the lease: no more than is begun now."""
        for source in self._sources.values():
            group = source.group
            for pending in (yield from group.idle(self.policy.lease_ms)):
                if (group.keys.stream, pending.id) in self._held:
                    continue
                claim = yield from group.claim(self.name, pending.id, self.policy.lease_ms)
                if claim.trimmed:
                    yield from self._lose(source, 1)
                if claim.fields is None:
                    continue
                delivery = Delivery(source, self.name, pending.id, claim.fields, pending.times + 1)
                self._held[delivery.key] = delivery
                if pending.times <= self.policy.retries:
                    return self._begin(delivery)
                delivery.attempts = pending.times
                delivery.reason = (
                    f"{pending.consumer} left it alone in attempt {pending.times}: its worker died, or took longer than the lease"
                )
                self._wait(delivery, self._now())
                return None
        self._scan_at, self._scanned = self._now() + self.policy.scan_s, True
        return None

    def _recover(self) -> Flow[None]:
        """Find what is ours without our knowing, after the answer to a read was lost."""
        for key, source in self._sources.items():
            known = [entry_id for stream, entry_id in self._held if stream == key]
            found, trimmed = yield from source.group.recover(self.name, known)
            for entry_id, (fields, attempts) in found.items():
                self._have(Delivery(source, self.name, entry_id, fields, attempts))
            if trimmed:
                yield from self._lose(source, trimmed)
        self._doubtful = False

    def _lose(self, source: Source, count: int, *, behind: bool = False) -> Flow[None]:
        group = source.group
        _log.error(
            "%d events of %s were removed from the stream before group %r had dealt with them: raise its maxlen, or run more workers",
            *(count, group.keys.stream, group.name),
        )
        yield from group.count_trimmed(count, behind=behind)

    # ---- what becomes of them ---------------------------------------------------------------------------------------------------

    def _begin(self, delivery: Delivery) -> Delivery | None:
        """Make the event; `None` where that is not to be handled: its fields do not fit, or it is another worker's now."""
        if delivery.lost:
            self._held.pop(delivery.key, None)
            return None
        stream, entry_id = delivery.key
        try:
            delivery.event = delivery.source.mapper.event(delivery.fields, stream, entry_id)
        except DecodeError as error:
            self._tell(delivery, error)
            delivery.hopeless = True
            self._wait(delivery, self._now())
            return None
        return delivery

    def settle(self, delivery: Delivery, error: Exception | None) -> None:
        """Note how a handler ended. Where it ended well, the entry was acknowledged with its writes."""
        if error is None:
            self._held.pop(delivery.key, None)
            return
        self._tell(delivery, error)
        at_once = self._is_over(delivery) or isinstance(error, CommitUnknownError)
        self._wait(delivery, self._now() + (0 if at_once else self.policy.retry_delay_s))

    def _is_over(self, delivery: Delivery) -> bool:
        return delivery.hopeless or delivery.attempts > self.policy.retries

    def _tell(self, delivery: Delivery, error: Exception) -> None:
        delivery.reason = f"{type(error).__name__}: {error}"
        stream, entry_id = delivery.key
        failed = Failed(stream, entry_id, fields_of(delivery.fields), delivery.attempts)
        report(self.policy.on_error, error, failed, f"event {entry_id} of {stream}, attempt {delivery.attempts}")

    def _wait(self, delivery: Delivery, due: float) -> None:
        delivery.due = due
        self._order += 1
        heappush(self._waiting, (due, self._order, delivery))

    def _again(self, delivery: Delivery) -> Flow[Delivery | None]:
        """Try an entry again that is due, or bury it where it was tried often enough."""
        try:
            if self._is_over(delivery):
                yield from self._bury(delivery)
                return None
            mine = yield from delivery.source.group.restart(self.name, delivery.id, delivery.attempts + 1)
        except BaseException:
            if delivery.key in self._held:
                self._wait(delivery, self._now())
            raise
        delivery.due = None
        if not mine:
            self._held.pop(delivery.key, None)
            return None
        delivery.attempts += 1
        return self._begin(delivery)

    def _bury(self, delivery: Delivery) -> Flow[None]:
        group = delivery.source.group
        letter = letter_of(group, delivery.id, delivery.fields, delivery.reason, delivery.attempts)
        if (yield from group.bury(self.name, delivery.id, letter)):
            _log.error(
                "event %s of %s is a dead letter of group %r after %d attempts: %s",
                *(delivery.id, group.keys.stream, group.name, delivery.attempts, delivery.reason),
            )
        self._held.pop(delivery.key, None)

    # ---- keeping and giving back ------------------------------------------------------------------------------------------------

    def renew(self) -> Flow[None]:
        """Restart the lease of what is ready and running. May be run beside everything else."""
        held = [delivery for delivery in list(self._held.values()) if delivery.due is None]
        for key, source in self._sources.items():
            mine = {delivery.id: delivery for delivery in held if delivery.key[0] == key}
            for entry_id in (yield from source.group.renew(self.name, list(mine))):
                mine[entry_id].lost = True
        self._renewed_at = self._now()

    def give_back(self) -> Flow[None]:
        """Let others have at once what is in hand, uncounted where it was not begun, and leave the groups."""
        try:
            for delivery in [delivery for _, _, delivery in self._waiting if self._is_over(delivery)]:
                yield from self._bury(delivery)
            if self._doubtful:
                yield from self._recover()
            ready = {delivery.key for delivery in self._ready}
            for key, source in self._sources.items():
                mine = {delivery.id: delivery for delivery in self._held.values() if delivery.key[0] == key}
                yield from source.group.release(
                    self.name, {entry_id: self._returned(one, one.key in ready) for entry_id, one in mine.items()}
                )
                yield from source.group.retire(self.name)
        except (BackendError, ConcurrentUpdateError) as error:
            if not _is_gone(error):
                report(self.policy.on_error, error, None, f"worker {self.name}, giving back what it had")

    def _returned(self, delivery: Delivery, unbegun: bool) -> tuple[int, int]:
        """For how long nobody will have touched an entry that is given back, and how often it was begun."""
        left_s = 0.0 if delivery.due is None else max(delivery.due - self._now(), 0.0)
        return max(self.policy.lease_ms + 1 - round(left_s * 1000), 0), delivery.attempts - unbegun


def _is_gone(error: Exception) -> bool:
    """Whether a group or its stream is gone."""
    return isinstance(error, BackendError) and (error.code in _GONE or any(words in str(error) for words in _GONE_WORDS))

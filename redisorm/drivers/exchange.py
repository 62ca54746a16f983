"""One packet to the server and what its replies mean: all of a driver that performs no I/O, shared by both colours.

It knows commands, bytes and errors; sockets, pools and waiting belong to `blocking` and `awaiting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from types import NoneType
from typing import Any

from redisorm.commands import Batch, Command, Guarded, Watch
from redisorm.drivers.packing import Long, packed_each, packed_together
from redisorm.drivers.server import KnownServer
from redisorm.drivers.translate import code_of, key_of, said, translate, where
from redisorm.errors import BackendError, CommitUnknownError, RedisormError

__all__ = ["ANSWERS", "Exchange", "Queueing", "batch", "is_small", "queueing", "waiting_time", "watch"]

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_DISCARD = b"*1\r\n$7\r\nDISCARD\r\n"
_QUEUED = b"QUEUED"
_NOTHING = "nothing was executed"
_FEW, _FEW_WORDS, _SHORT = 5, 200, 16
ANSWERS = frozenset({bytes, str, int, float, bool, NoneType, list, dict, set})
"""What a reply is that neither refuses anything nor was pushed."""


_TIMEOUT_LAST = frozenset({"BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX"})
_TIMEOUT_FIRST = frozenset({"BLMPOP", "BZMPOP"})
_TIMEOUT_MS_LAST = frozenset({"WAIT", "WAITAOF"})
_TIMEOUT_AFTER_BLOCK = frozenset({"XREAD", "XREADGROUP"})
_WAITING = _TIMEOUT_LAST | _TIMEOUT_FIRST | _TIMEOUT_MS_LAST | _TIMEOUT_AFTER_BLOCK


def waiting_time(command: Command) -> float:
    """Return how long a command makes the server wait, in seconds: mostly 0, and infinity where it waits for ever."""
    name, word = command[0], None
    scale = 1.0
    if name in _TIMEOUT_LAST:
        word = command[-1]
    elif name in _TIMEOUT_FIRST:
        word = command[1]
    elif name in _TIMEOUT_MS_LAST:
        word, scale = command[-1], 0.001
    elif name in _TIMEOUT_AFTER_BLOCK and "BLOCK" in command:
        word, scale = command[list(command).index("BLOCK") + 1], 0.001
    if word is None:
        return 0.0
    return float(word) * scale or inf


def is_small(commands: Sequence[Command]) -> bool:
    """Whether a batch has few words, and the server answers it at once."""
    return 0 < len(commands) < _FEW and max(map(len, commands)) < _FEW_WORDS and commands[0][0] not in _WAITING


def _joined(chunks: Sequence[bytes | Long]) -> Iterable[bytes]:
    """Packed commands in one piece, or in several where one is long."""
    if Long in map(type, chunks):
        return _pieces(chunks)
    return (b"".join(chunks),)  # type: ignore[arg-type]  # none of them is long


def _pieces(chunks: Sequence[bytes | Long]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for chunk in chunks:
        if isinstance(chunk, bytes):
            waiting.append(chunk)
            continue
        for piece in chunk:
            yield b"".join([*waiting, piece])
            waiting.clear()
    if waiting:
        yield b"".join(waiting)


class Exchange:
    """Commands that go out as one packet, and the reading apart of their replies.

    Attributes:
        chunks: The commands in order, packed but for long ones; each is answered by one reply.
        resend: Whether the packet may be sent again over a new connection.
        partial: Whether the refusal of a command stands among the replies rather than being raised.
        text: Whether words of the replies may come decoded.
        broken_by: What broke the connection while the answer was under way and others did something else, or `None`.
        waits_s: How long the server itself may wait before it answers, in seconds, on top of the usual time.
        maybe_executed: Whether from now on a broken connection leaves it open what was executed. The driver sets it.
        sent_at: When the packet left, in monotonic seconds. The driver sets it.
        received_at: When the last reply had come, likewise.
    """

    partial: bool = False
    text: bool = False
    maybe_executed: bool = False
    broken_by: Exception | None = None
    waits_s: float = 0.0
    sent_at: float = 0.0
    received_at: float = 0.0

    def __init__(self, commands: Sequence[Command], *, resend: bool) -> None:
        self._commands = commands
        self.chunks = packed_each(commands)
        self.resend = resend
        # Many commands in one packet that wait one after the other make no sense, and looking at each would cost.
        if len(commands) == 1 and commands[0][0] in _WAITING:
            self.waits_s = waiting_time(commands[0])

    def packet(self) -> Iterable[bytes]:
        """Everything in order: in one piece, or in several where a command is long.

        Raises:
            TypeError: A word of a long command is no str, bytes or int.
            UnicodeEncodeError: A str of a long command has no UTF-8 form.
        """
        return _joined(self.chunks)

    def patience(self, limit_s: float | None) -> float | None:
        """Return how long to wait for the answer, in seconds, where `limit_s` is the usual time; `None` is for ever."""
        if not self.waits_s or limit_s is None:
            return limit_s
        return None if self.waits_s == inf else limit_s + self.waits_s

    @property
    def is_short(self) -> bool:
        """Whether there are a few commands, all packed, which the server answers at once."""
        return 0 < len(self.chunks) <= _SHORT and not (self.waits_s or Long in map(type, self.chunks))

    @property
    def all_or_nothing(self) -> bool:
        """Whether a packet that did not leave in full has executed nothing."""
        return len(self.chunks) == 1

    def unfinished(self, replies: list[Any]) -> bool:
        """Whether the connection is left inside MULTI and must be closed."""
        return False

    def answer(self, replies: list[Any]) -> Any:
        """Return what the flow is sent for these replies.

        Raises:
            BackendError: A command was refused; the first of them is told.
        """
        return self._told(replies, "the other commands sent with it were executed")

    def _told(self, replies: list[Any], outcome: str) -> list[Any]:
        """Return the replies of the commands, with refusals in their places or raised."""
        if ANSWERS.issuperset(map(type, replies)):
            return replies
        for place, reply in enumerate(replies):
            if isinstance(reply, Exception):
                refusal = translate(reply, self._commands[place], "" if self.partial or len(replies) == 1 else outcome)
                if not self.partial:
                    raise refusal
                replies[place] = refusal
        return replies

    def failure(self, error: Exception) -> RedisormError:
        """Return the error that the flow meets because the conversation broke off with this one."""
        command = self._commands[0] if self._commands else None
        if code_of(error) is not None or self.resend:
            return translate(error, command)
        if not self.maybe_executed:
            return translate(error, command, _NOTHING)
        unknown = CommitUnknownError(
            f"the connection broke after {self._name()} was sent and before the answer came ({said(error)}): it was executed "
            "once or not at all and is not sent again by itself; read the rows again to find out",
            command=self._operation,
            key=key_of(command),
        )
        unknown.__cause__ = error
        return unknown

    @property
    def _operation(self) -> str | None:
        return str(self._commands[0][0]) if self._commands else None

    def _name(self) -> str:
        """What was sent, and on which key where one is named."""
        if not self._commands:
            return "nothing"
        first = where(self._commands[0], key_of(self._commands[0]))
        return first if len(self._commands) == 1 else f"a batch of {len(self._commands)} commands, the first {first},"


class Transaction(Exchange):
    """Commands inside MULTI and EXEC."""

    def __init__(self, commands: Sequence[Command], *, resend: bool) -> None:
        super().__init__(commands, resend=resend)
        self.chunks.insert(0, _MULTI)
        self.chunks.append(_EXEC)

    @property
    def all_or_nothing(self) -> bool:
        """A transaction always is: without EXEC the server drops it."""
        return True

    def unfinished(self, replies: list[Any]) -> bool:
        """Whether EXEC was refused for a reason of its own, and MULTI is still open."""
        return isinstance(replies[-1], Exception) and code_of(replies[-1]) != "EXECABORT"

    def answer(self, replies: list[Any]) -> list[Any] | None:
        """Return the replies of the commands, or `None` where a watched key had changed."""
        result = replies[-1]
        if replies[0] != b"OK" or replies.count(_QUEUED) != len(self._commands) or isinstance(result, Exception):
            raise self._refused(replies)
        if result is None:
            return None
        return self._told(result, "the other commands of the transaction were applied")

    def _refused(self, replies: list[Any]) -> RedisormError:
        multi, result = replies[0], replies[-1]
        if isinstance(multi, Exception):
            return translate(multi, ("MULTI",), "the commands after it ran one by one; this user cannot commit atomically")
        for command, reply in zip(self._commands, replies[1:-1], strict=True):
            if isinstance(reply, Exception):
                return translate(reply, command, _NOTHING)
        if isinstance(result, Exception):
            return translate(result, ("EXEC",), _NOTHING)
        strange = next(reply for reply in replies[1:-1] if reply != _QUEUED)
        return BackendError(f"the server answered {strange!r} to a command inside MULTI where QUEUED was due; look for a proxy in between")

    @property
    def _operation(self) -> str | None:
        return "EXEC"

    def _name(self) -> str:
        return f"EXEC of {super()._name()}"


class Watching(Exchange):
    """WATCH of keys, and reads after it."""

    def __init__(self, keys: Sequence[str], commands: Sequence[Command]) -> None:
        # WATCH without a key is an error of the server; a flow whose keys turned out to be none still wants its reads.
        words: list[Command] = [("WATCH", *keys), *commands] if keys else list(commands)
        super().__init__(words, resend=True)
        self._reads = len(commands)

    def answer(self, replies: list[Any]) -> list[Any]:
        """Return the replies of the reads."""
        told: list[Any] = super().answer(replies)
        return told[len(told) - self._reads :]


class Queueing(Transaction):
    """Reads of watched keys, and a transaction that is queued before they are answered.

    Attributes:
        looks: How many replies there are before those of the transaction.
    """

    def __init__(self, request: Guarded) -> None:
        self._queued: list[Command] = []
        self._asked = request.pieces
        watch: list[Command] = [("WATCH", *request.keys)] if request.keys else []
        self._watches = len(watch)
        self._look = list(map(packed_each, [watch, *request.reads]))
        self._fits = request.fits
        self._commands = self._queued
        self.resend = False
        self.looks = sum(map(len, self._look))

    def opening(self) -> Iterator[bytes]:
        """Everything before EXEC, piece by piece.

        Raises:
            TypeError: A word is no str, bytes or int.
            UnicodeEncodeError: A str has no UTF-8 form.
        """
        for chunks in self._look:
            yield from _joined(chunks)
        yield _MULTI
        for piece in self._asked:
            self._queued += piece
            yield packed_together(piece)

    def fits(self, replies: list[Any]) -> bool:
        """Whether what was read is as expected. What is refused is not, and neither is a refusal to watch."""
        return ANSWERS.issuperset(map(type, replies)) and self._fits(replies[self._watches :])

    def closing(self, *, execute: bool) -> bytes:
        """What ends the transaction."""
        self.maybe_executed = execute
        return _EXEC if execute else _DISCARD

    @property
    def count(self) -> int:
        """How many replies the transaction has."""
        return len(self._queued) + 2


def queueing(request: Guarded, server: KnownServer) -> Queueing:
    """Prepare a transaction that is queued while what it depends on is read.

    Raises:
        BackendError: This user may not use transactions. Nothing was sent.
    """
    if server.denies_transactions is not None:
        raise translate(server.denies_transactions, ("MULTI",), _NOTHING)
    return Queueing(request)


def batch(request: Batch, server: KnownServer) -> Exchange:
    """Pack a batch.

    Raises:
        TypeError: A word is no str, bytes or int. Nothing was sent.
        UnicodeEncodeError: A str has no UTF-8 form. Nothing was sent.
        BackendError: The batch is atomic, and this user may not use transactions. Nothing was sent.
    """
    if request.atomic and server.denies_transactions is not None:
        raise translate(server.denies_transactions, ("MULTI",), _NOTHING)
    exchange = (Transaction if request.atomic else Exchange)(request.commands, resend=request.resend)
    if request.partial:
        exchange.partial = True
    if request.text and not request.atomic:  # QUEUED is looked for as bytes
        exchange.text = True
    return exchange


def watch(request: Watch) -> Exchange:
    """Pack WATCH and its reads."""
    return Watching(request.keys, request.commands)

"""One packet to the server and what its replies mean: all of a driver that performs no I/O, shared by both colours.

It knows commands, bytes and errors; sockets, pools and waiting belong to `blocking` and `awaiting`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any, Generic, TypeVar

from redisorm.commands import Batch, Command, Watch
from redisorm.drivers.packing import Long, packed_each
from redisorm.drivers.server import KnownServer
from redisorm.drivers.translate import code_of, key_of, said, translate, where
from redisorm.errors import BackendError, CommitUnknownError, ConnectionFailedError, RedisormError, UnsupportedServerError

__all__ = [
    "SCRIPTING",
    "Exchange",
    "Pin",
    "batch",
    "greeting",
    "info",
    "introduce",
    "is_known",
    "known",
    "learn_time",
    "probe",
    "time_of",
    "unwatch",
    "waiting_time",
    "watch",
]

C = TypeVar("C")

_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_QUEUED = b"QUEUED"
SCRIPTING = frozenset({"EVAL", "EVALSHA"})
"""The commands that a user may be denied while everything else works."""

_NOTHING = "nothing was executed"


class Pin(Generic[C]):
    """The connections that a flow keeps: one while it watches keys, and one while it has posted batches.

    Attributes:
        connection: The connection that watches, or `None` while there is none.
        watches: What the next atomic batch depends on. Without a connection it broke, and that batch must not be sent.
        line: The connection on which answers are under way, or `None`.
        posted: The batches that are not collected yet, the oldest first.
        answered: Whether one was collected since the last one was posted.
    """

    __slots__ = ("answered", "connection", "line", "posted", "watches")

    def __init__(self) -> None:
        self.connection: C | None = None
        self.watches: list[Watch] = []
        self.line: C | None = None
        self.posted: deque[Exchange] = deque()
        self.answered: bool = True

    def post(self, exchange: Exchange) -> bool:
        """Note that a batch is posted, and tell whether a round trip begins with it."""
        self.posted.append(exchange)
        begins, self.answered = self.answered, False
        return begins

    def collect(self) -> Exchange:
        """Take the oldest of the posted batches."""
        self.answered = True
        return self.posted.popleft()

    def broke(self, error: Exception) -> None:
        """Note that the line broke, of which everything on the way depends. Once it is, what was not sent waits until it is collected."""
        self.line = None
        for exchange in self.posted:
            if exchange.sent_at:
                exchange.broken_by = error

    def broken(self) -> ConnectionFailedError:
        """Return the error of a commit whose watching connection broke before."""
        keys = [key for watch in self.watches for key in watch.keys]
        return ConnectionFailedError(
            f"the connection that watched {len(keys)} keys broke before EXEC; nothing was executed; read again and commit again",
            command="EXEC",
            key=keys[0] if keys else None,
        )


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


class Exchange:
    """Commands that go out as one packet, and the reading apart of their replies.

    Attributes:
        chunks: The commands in order, packed but for long ones; each is answered by one reply.
        resend: Whether the packet may be sent again over a new connection.
        partial: Whether the refusal of a command stands among the replies rather than being raised.
        broken_by: What broke the connection while the answer was under way and others did something else, or `None`.
        waits_s: How long the server itself may wait before it answers, in seconds, on top of the usual time.
        maybe_executed: Whether from now on a broken connection leaves it open what was executed. The driver sets it.
        sent_at: When the packet left, in monotonic seconds. The driver sets it.
        received_at: When the last reply had come, likewise.
    """

    __slots__ = ("_commands", "broken_by", "chunks", "maybe_executed", "partial", "received_at", "resend", "sent_at", "waits_s")

    def __init__(self, commands: Sequence[Command], *, resend: bool) -> None:
        self._commands = commands
        self.chunks = packed_each(commands)
        self.resend = resend
        self.partial = False
        self.maybe_executed = False
        self.broken_by: Exception | None = None
        self.sent_at = self.received_at = 0.0
        # Many commands in one packet that wait one after the other make no sense, and looking at each would cost.
        self.waits_s = waiting_time(commands[0]) if len(commands) == 1 and commands[0][0] in _WAITING else 0.0

    def packet(self) -> Iterable[bytes]:
        """Everything in order: in one piece, or in several where a command is long.

        Raises:
            TypeError: A word of a long command is no str, bytes or int.
            UnicodeEncodeError: A str of a long command has no UTF-8 form.
        """
        if Long in map(type, self.chunks):
            return self._pieces()
        return (b"".join(self.chunks),)  # type: ignore[arg-type]  # none of them is long

    def _pieces(self) -> Iterator[bytes]:
        waiting: list[bytes] = []
        for chunk in self.chunks:
            if isinstance(chunk, bytes):
                waiting.append(chunk)
                continue
            for piece in chunk:
                yield b"".join([*waiting, piece])
                waiting.clear()
        if waiting:
            yield b"".join(waiting)

    def patience(self, limit_s: float | None) -> float | None:
        """Return how long to wait for the answer, in seconds, where `limit_s` is the usual time; `None` is for ever."""
        if not self.waits_s or limit_s is None:
            return limit_s
        return None if self.waits_s == inf else limit_s + self.waits_s

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
        return self._told(replies, "the other commands sent with it were executed" if len(replies) > 1 else "")

    def _told(self, replies: list[Any], outcome: str) -> list[Any]:
        """Return the replies of the commands, with refusals in their places or raised."""
        for place, reply in enumerate(replies):
            if isinstance(reply, Exception):
                refusal = translate(reply, self._commands[place], "" if self.partial else outcome)
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

    __slots__ = ()

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
        return self._told(result, "the other commands of the transaction were applied" if len(result) > 1 else "")

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

    __slots__ = ("_reads",)

    def __init__(self, keys: Sequence[str], commands: Sequence[Command]) -> None:
        # WATCH without a key is an error of the server; a flow whose keys turned out to be none still wants its reads.
        words: list[Command] = [("WATCH", *keys), *commands] if keys else list(commands)
        super().__init__(words, resend=True)
        self._reads = len(commands)

    def answer(self, replies: list[Any]) -> list[Any]:
        """Return the replies of the reads."""
        told: list[Any] = super().answer(replies)
        return told[len(told) - self._reads :]


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
    exchange.partial = request.partial
    return exchange


def watch(request: Watch) -> Exchange:
    """Pack WATCH and its reads."""
    return Watching(request.keys, request.commands)


class Answers(Exchange):
    """Commands whose refusals are answers too: the driver's own questions."""

    __slots__ = ()

    def failure(self, error: Exception) -> RedisormError:
        """Return the error of the connection itself: no user asked these questions."""
        return translate(error)

    def answer(self, replies: list[Any]) -> list[Any]:
        """Return the replies, errors among them."""
        return replies


def greeting() -> Exchange:
    """Ask who the server is and what time it is there, and whether this user may use transactions."""
    return Answers((("HELLO",), ("TIME",), ("MULTI",), ("EXEC",)), resend=True)


def introduce(server: KnownServer, asked: Exchange, replies: list[Any]) -> bool:
    """Take in the replies to `greeting`; `False` where HELLO was refused and INFO must tell.

    Raises:
        UnsupportedServerError: The server is too old.
    """
    hello, now, multi, _ = replies
    if not isinstance(now, Exception):
        learn_time(server, asked, now)
    # Refused, the commands after MULTI would run one by one: so it is found out while nothing hangs on it.
    server.denies_transactions = multi if isinstance(multi, Exception) else None
    if isinstance(hello, Exception):
        return False
    server.introduce(hello)
    return True


def learn_time(server: KnownServer, asked: Exchange, now: Sequence[bytes]) -> None:
    """Take in the reply to TIME."""
    server.clock.learn(asked.sent_at, asked.received_at, int(now[0]) + int(now[1]) / 1_000_000)


def info() -> Exchange:
    """Ask who the server is where HELLO is denied."""
    return Exchange((("INFO", "server"),), resend=True)


def time_of() -> Exchange:
    """Ask for the server's time."""
    return Exchange((("TIME",),), resend=True)


def unwatch() -> Exchange:
    """Forget all watched keys."""
    return Exchange((("UNWATCH",),), resend=False)


def known(command: str) -> Exchange:
    """Ask whether the server knows a command."""
    return Answers((("COMMAND", "INFO", command),), resend=True)


_RIGHTS = {"EVALSHA": (("EVALSHA", "0" * 40, 0), ("EVAL", "return", 0)), "EVAL": (("EVAL", "return", 0),)}
"""Commands as one would send them. Where the number of words is wrong, a server says that before it looks at the user's rights."""


def probe(command: str) -> Exchange:
    """Ask the same by queueing the command and dropping it, for users who may not send COMMAND, and for what a user may be denied.

    Scripts take two commands: a server that has lost its scripts is sent them again by EVAL.
    """
    queued = _RIGHTS.get(command, (tuple(command.replace("|", " ").split()),))
    return Answers((("MULTI",), *queued, ("DISCARD",)), resend=True)


def is_known(replies: list[Any]) -> bool | None:
    """Read the replies to `known` or `probe`; `None` where COMMAND INFO was refused."""
    if len(replies) == 1:
        return None if isinstance(replies[0], Exception) else bool(replies[0]) and replies[0][0] is not None
    return not any(
        isinstance(reply, Exception) and (code_of(reply) == "NOPERM" or isinstance(translate(reply, ("",)), UnsupportedServerError))
        for reply in replies[1:-1]
    )

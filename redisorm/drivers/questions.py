"""What a driver asks a server on its own account: who it is, what time it is there, what it knows and what this user may do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from redisorm.commands import Command
from redisorm.drivers.exchange import Exchange
from redisorm.drivers.server import KnownServer
from redisorm.drivers.translate import code_of, translate
from redisorm.errors import RedisormError, UnsupportedServerError

__all__ = ["greeting", "info", "introduce", "is_known", "known", "learn_time", "probe", "supports", "time_of", "unwatch"]

_OPTIONAL = frozenset({"EVAL", "EVALSHA", "HSETEX"})
"""The commands that a user may be denied while everything else works."""


class Answers(Exchange):
    """Commands whose refusals are answers too: the driver's own questions."""

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


def supports(command: str, known: Callable[[str], Exchange]) -> Generator[Exchange, list[Any], bool]:
    """Find out whether a command, or one with an option behind its name, can be sent: yields what to ask, and is sent the replies.

    Args:
        known: Makes the question whether the server knows a command.
    """
    name, _, option = command.partition(" ")
    if option and not _has_option((yield _options_of(name)), option):
        return False
    # COMMAND INFO says what the server has, not what this user may run.
    found = is_known((yield probe(name) if name in _OPTIONAL else known(name)))
    return bool(is_known((yield probe(name)))) if found is None else found


def known(command: str) -> Exchange:
    """Ask whether the server knows a command."""
    return Answers((("COMMAND", "INFO", command),), resend=True)


def _options_of(command: str) -> Exchange:
    """Ask what options a command has."""
    return Answers((("COMMAND", "DOCS", command),), resend=True)


def _has_option(replies: list[Any], option: str) -> bool:
    """Read the reply to `_options_of`. Who may not send COMMAND gets along without the option."""
    return _names(replies[0], option.encode())


def _names(told: Any, word: bytes) -> bool:
    """Whether a word stands in a reply, however deep."""
    if isinstance(told, dict):
        return any(_names(value, word) for value in told.values())
    return any(_names(part, word) for part in told) if isinstance(told, list) else bool(told == word)


_RIGHTS: dict[str, tuple[Command, ...]] = {
    "EVALSHA": (("EVALSHA", "0" * 40, 0), ("EVAL", "return", 0)),
    "EVAL": (("EVAL", "return", 0),),
    "HSETEX": (("HSETEX", "", "FXX", "FIELDS", 1, "", ""),),
}
"""Commands as one would send them. Where the number of words is wrong, a server says that before it looks at the user's rights."""


def probe(command: str) -> Exchange:
    """Ask the same by queueing the command and dropping it, for users who may not send COMMAND, and for what a user may be denied.

    Scripts take two commands: a server that has lost its scripts is sent them again by EVAL.
    """
    queued: tuple[Command, ...] = _RIGHTS.get(command, (tuple(command.replace("|", " ").split()),))
    return Answers((("MULTI",), *queued, ("DISCARD",)), resend=True)


def is_known(replies: list[Any]) -> bool | None:
    """Read the replies to `known` or `probe`; `None` where COMMAND INFO was refused."""
    if len(replies) == 1:
        return None if isinstance(replies[0], Exception) else bool(replies[0]) and replies[0][0] is not None
    return not any(
        isinstance(reply, Exception) and (_is_denied(reply) or isinstance(translate(reply, ("",)), UnsupportedServerError))
        for reply in replies[1:-1]
    )


def _is_denied(refusal: Exception) -> bool:
    """Whether a user may not run a command at all, rather than on the key it was asked with."""
    return code_of(refusal) == "NOPERM" and " key" not in str(refusal)

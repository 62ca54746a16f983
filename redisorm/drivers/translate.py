"""The errors of redis-py turned into ours: what happened with which key, then what to do.

This room knows error classes and error codes, no connection and no flow. Messages never show credentials or arguments
other than the key: an argument may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from redis import exceptions as redis_errors

from redisorm.commands import Command
from redisorm.errors import (
    BackendError,
    BackendTimeoutError,
    ConnectionFailedError,
    RedisormError,
    UnsupportedServerError,
    WrongTypeError,
)

__all__ = ["NO_CONNECTION", "code_of", "key_of", "said", "translate", "where"]

NO_CONNECTION = "No connection available."
"""What pools say after they have waited in vain: redis-py's own, and ours."""

_CODE = re.compile(r"[A-Z][A-Z0-9_]+(?= |$)")
_REASON = re.compile(r"because of: ([A-Z]+) ")
_CREDENTIALS = re.compile(r"(//)[^/@\s]*@|((?:password|username)=)[^&\s,)]*")

# redis-py strips the code from these messages; newer versions keep it as `status_code`.
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (redis_errors.BusyLoadingError, "LOADING"),
    (redis_errors.NoScriptError, "NOSCRIPT"),
    (redis_errors.OutOfMemoryError, "OOM"),
    (redis_errors.ReadOnlyError, "READONLY"),
    (redis_errors.NoPermissionError, "NOPERM"),
    (redis_errors.ExecAbortError, "EXECABORT"),
    (redis_errors.MovedError, "MOVED"),
    (redis_errors.AskError, "ASK"),
    (redis_errors.TryAgainError, "TRYAGAIN"),
    (redis_errors.MasterDownError, "MASTERDOWN"),
    (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    (redis_errors.ClusterCrossSlotError, "CROSSSLOT"),
)

_ADVICE = {
    "OOM": "raise maxmemory or remove data",
    "READONLY": "this server is a replica: connect to the primary",
    "LOADING": "the server is reading its data set: try again in a moment",
    "BUSY": "a script is running there: wait, or end it with SCRIPT KILL",
    "NOSCRIPT": "load the script again",
    "MISCONF": "the server cannot save to disk and refuses writes: look at its log",
    "NOPERM": "grant the user this command and key with ACL SETUSER",
    "NOAUTH": "put a password into the URL",
    "WRONGPASS": "correct user name and password",
    "NOREPLICAS": "too few replicas are connected: look at min-replicas-to-write",
    "MASTERDOWN": "this replica has lost its primary: connect to the primary",
    "CLUSTERDOWN": "the cluster is not whole: look at CLUSTER INFO",
    "MOVED": "this is one node of a cluster, which this version cannot follow: connect to a server outside a cluster",
    "ASK": "this is one node of a cluster, which this version cannot follow: connect to a server outside a cluster",
    "CROSSSLOT": "this is one node of a cluster, which this version cannot follow: connect to a server outside a cluster",
    "EXECABORT": "send the commands again",
}

_AFTER_COUNT = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
_COUNT_FIRST = frozenset({"ZINTER", "ZUNION", "ZDIFF", "ZINTERCARD", "SINTERCARD", "LMPOP", "ZMPOP"})
_AFTER_TIMEOUT_AND_COUNT = frozenset({"BLMPOP", "BZMPOP"})
_SUBCOMMAND_FIRST = frozenset({"XGROUP", "XINFO", "OBJECT", "MEMORY"})
_AFTER_STREAMS = frozenset({"XREAD", "XREADGROUP"})
_KEYLESS = frozenset(
    {
        *("ACL", "AUTH", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DISCARD", "ECHO", "EXEC", "FLUSHALL", "FLUSHDB"),
        *("FUNCTION", "HELLO", "INFO", "LATENCY", "MULTI", "PING", "PUBLISH", "SCAN", "SCRIPT", "SELECT", "SPUBLISH", "TIME"),
        *("UNWATCH", "WAIT", "WAITAOF"),
    }
)


def key_of(command: Command | None) -> str | None:
    """Return the first key a command names, or `None`. Bytes that are no UTF-8 are shown escaped."""
    if command is None or len(command) < 2:
        return None
    name, at = str(command[0]).upper(), 1
    if name in _KEYLESS:
        return None
    if name in _AFTER_COUNT:
        at = 3 if len(command) > 3 and str(command[2]) != "0" else len(command)
    elif name in _COUNT_FIRST or name in _SUBCOMMAND_FIRST:
        at = 2
    elif name in _AFTER_TIMEOUT_AND_COUNT:
        at = 3
    elif name in _AFTER_STREAMS:
        at = next((i + 1 for i, word in enumerate(command) if word in {"STREAMS", b"STREAMS"}), len(command))
    if at >= len(command):
        return None
    key = command[at]
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)


def code_of(error: BaseException) -> str | None:
    """Return the first word of the server's answer, or `None` where no answer of a server stands behind the error."""
    code: str | None = getattr(error, "status_code", None)
    if code is not None:
        return code
    for kind, known in _CODES:
        if isinstance(error, kind):
            return known
    if isinstance(error, redis_errors.AuthenticationError):
        return "WRONGPASS" if "username-password" in str(error) else "NOAUTH"
    if isinstance(error, redis_errors.ResponseError):
        first = _CODE.match(str(error))
        return first[0] if first else "ERR"
    return None


def said(error: BaseException) -> str:
    """Return the message of an error without credentials and without its code."""
    text = _CREDENTIALS.sub(lambda found: found[1] or found[2] + "…", str(error)).strip()
    code = code_of(error)
    return (text.removeprefix(f"{code} ") if code else text).rstrip(".")


def where(command: Command | None, key: str | None) -> str:
    """Name a command and its key, as messages begin."""
    if command is None:
        return "the server"
    return f"{command[0]!s} on {key!r}" if key is not None else str(command[0])


Outcome: TypeAlias = str
"""What the failure means for the other commands sent with it, as the end of the message; may be empty."""


def translate(error: BaseException, command: Command | None = None, outcome: Outcome = "") -> RedisormError:
    """Return our error for one of redis-py or of the socket, with `__cause__` set to it.

    Args:
        error: What redis-py raised, or the error among the replies.
        command: The command concerned, or `None` where the connection itself failed.
        outcome: What became of the other commands sent with it, as the end of the message.
    """
    code = code_of(error)
    if code == "EXECABORT" and (reason := _REASON.search(str(error))):
        code = reason[1]
    build = _connection_error if code is None else _refusal
    ours = build(error, command, code or "", f"; {outcome}" if outcome else "")
    ours.__cause__ = error
    return ours


def _connection_error(error: BaseException, command: Command | None, _code: str, end: str) -> RedisormError:
    name, key = (None, None) if command is None else (str(command[0]), key_of(command))
    if isinstance(error, redis_errors.MaxConnectionsError) or str(error) == NO_CONNECTION:
        return BackendTimeoutError(
            f"{where(command, key)}: no connection of the pool became free in time{end}; raise max_connections or pool_timeout, "
            "or use fewer threads or tasks at once",
            command=name,
            key=key,
        )
    kind: Callable[..., BackendError]
    if isinstance(error, (redis_errors.TimeoutError, TimeoutError)):
        kind, advice = BackendTimeoutError, "look at the server and the network, or raise timeout"
    elif isinstance(error, (redis_errors.ConnectionError, OSError)):
        kind, advice = ConnectionFailedError, "check that the server runs and that host and port are right"
    else:
        kind, advice = BackendError, "the connection was closed"
    return kind(f"{where(command, key)}: {said(error)}{end}; {advice}", command=name, key=key)


def _refusal(error: BaseException, command: Command | None, code: str, end: str) -> RedisormError:
    name, key = (None, None) if command is None else (str(command[0]), key_of(command))
    place, text = where(command, key), said(error)
    if code == "WRONGTYPE":
        return WrongTypeError(
            f"{place}: the key holds a value of another type{end}; remove or rename that key, or choose another prefix",
            key=key,
            command=name,
        )
    if text.lower().startswith("unknown command"):
        # The server's own text repeats arguments.
        return UnsupportedServerError(
            f"{name or 'a command'} is unknown to this server{end}; use a server that has it, or no feature that needs it",
            command=name,
            key=key,
        )
    advice = _ADVICE.get(code)
    return BackendError(f"{place}: {code} {text}{end}" + (f"; {advice}" if advice else ""), code=code, command=name, key=key)

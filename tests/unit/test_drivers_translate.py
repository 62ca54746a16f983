"""Errors of redis-py and of the socket become ours: class, code, command, key, cause, and nothing secret."""

from __future__ import annotations

import pytest
from redis import exceptions as theirs
from redis.connection import DefaultParser

from redisorm.commands import Command
from redisorm.drivers.translate import code_of, key_of, translate
from redisorm.errors import (
    BackendError,
    BackendTimeoutError,
    ConnectionFailedError,
    RedisormError,
    UnsupportedServerError,
    WrongTypeError,
)


def refusal(line: str) -> Exception:
    error: Exception = DefaultParser.parse_error(line)  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
        ("BUSY Redis is busy running a script.", "BUSY"),
        ("NOSCRIPT No matching script.", "NOSCRIPT"),
        ("MISCONF Errors writing to the AOF file", "MISCONF"),
        ("NOPERM User bob has no permissions to run the 'hset' command", "NOPERM"),
        ("NOAUTH Authentication required.", "NOAUTH"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"),
        ("MOVED 3999 127.0.0.1:6381", "MOVED"),
        ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT"),
        ("ERR value is not an integer or out of range", "ERR"),
        ("ERR max number of clients reached", "ERR"),
    ],
)
def test_refusal_keeps_its_code_command_key_and_cause(line: str, code: str) -> None:
    cause = refusal(line)
    error = translate(cause, ("HSET", "user:1", "age", 31))
    assert type(error) is BackendError
    assert (error.code, error.command, error.key) == (code, "HSET", "user:1")
    assert error.__cause__ is cause
    assert str(error).startswith(f"HSET on 'user:1': {code} ")
    assert str(error).count(code) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (theirs.OutOfMemoryError("command not allowed"), "OOM"),
        (theirs.NoScriptError("No matching script."), "NOSCRIPT"),
        (theirs.BusyLoadingError("Redis is loading"), "LOADING"),
        (theirs.AuthenticationError("invalid username-password pair"), "WRONGPASS"),
        (theirs.AuthenticationError("Authentication required."), "NOAUTH"),
        (theirs.ResponseError("BUSY script"), "BUSY"),
        (theirs.ResponseError("no code at all"), "ERR"),
        (theirs.ConnectionError("Connection refused"), None),
        (OSError("gone"), None),
    ],
)
def test_code_is_recovered_where_redis_py_dropped_it(error: Exception, code: str | None) -> None:
    assert code_of(error) == code


def test_wrong_type_names_the_key() -> None:
    error = translate(refusal("WRONGTYPE Operation against a key holding the wrong kind of value"), ("HGET", b"user:1\xff", "age"))
    assert isinstance(error, WrongTypeError)
    assert (error.key, error.command, error.code) == ("user:1\\xff", "HGET", "WRONGTYPE")


def test_unknown_command_is_an_unsupported_server_and_tells_no_arguments() -> None:
    error = translate(refusal("ERR unknown command 'HGETEX', with args beginning with: 'secret' "), ("HGETEX", "secret"))
    assert isinstance(error, UnsupportedServerError)
    assert error.command == "HGETEX"
    assert "args beginning" not in str(error)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (theirs.ConnectionError("Error 111 connecting to localhost:6379. Connection refused."), ConnectionFailedError),
        (ConnectionResetError(104, "reset"), ConnectionFailedError),
        (theirs.TimeoutError("Timeout reading from socket"), BackendTimeoutError),
        (TimeoutError("timed out"), BackendTimeoutError),
        (theirs.InvalidResponse("Protocol error"), BackendError),
    ],
)
def test_trouble_of_the_connection(cause: Exception, kind: type[RedisormError]) -> None:
    error = translate(cause, ("GET", "a"), "nothing was executed")
    assert type(error) is kind
    assert "nothing was executed" in str(error)
    assert isinstance(error, BackendError)
    assert error.code is None


@pytest.mark.parametrize("cause", [theirs.ConnectionError("No connection available."), theirs.MaxConnectionsError("Too many connections")])
def test_exhausted_pool_is_a_timeout_that_names_the_options(cause: Exception) -> None:
    error = translate(cause, ("GET", "a"))
    assert isinstance(error, BackendTimeoutError)
    assert "max_connections" in str(error)
    assert "pool_timeout" in str(error)


def test_credentials_never_show() -> None:
    error = translate(theirs.ConnectionError("no route to redis://bob:hunter2@db:6379/0?password=hunter3&x=1"))
    assert "hunter" not in str(error)
    assert "db:6379" in str(error)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("HSET", "user:1", "a", "1"), "user:1"),
        (("EVALSHA", "abc", "1", "user:1", "x"), "user:1"),
        (("EVALSHA", "abc", 2, "user:1", "user:2"), "user:1"),
        (("EVAL", "return 1", 0, "argument"), None),
        (("EVAL", "return 1", "0"), None),
        (("ZINTER", 2, "a", "b"), "a"),
        (("BLMPOP", "0", 1, "queue", "LEFT"), "queue"),
        (("XREADGROUP", "GROUP", "g", "c", "STREAMS", "orders", ">"), "orders"),
        (("XGROUP", "CREATE", "orders", "g", "0"), "orders"),
        (("SCAN", "0", "MATCH", "user:*"), None),
        (("PUBLISH", "channel", "text"), None),
        (("AUTH", "secret"), None),
        (("PING",), None),
        (None, None),
    ],
)
def test_key_of(command: Command | None, key: str | None) -> None:
    assert key_of(command) == key

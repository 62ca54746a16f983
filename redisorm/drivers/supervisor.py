"""One server process under a supervisor that ends it, in order, with the Python process that wanted it.

This room knows processes, pipes and sockets, and no command but PING and SHUTDOWN; who shares a server, and who may use
its directory, is the business of `redisorm.drivers.embedded`. Three processes are involved::

    python ──stdin pipe──> sh (supervisor) ──child──> valkey-server, on a unix socket only
       ^──────────────── status pipe: the server's pid, then end of file when the server is gone

The supervisor acts as soon as the pipe of the Python process is closed, whatever closed it: a release, an exit, a SIGKILL.
It is a shell because one starts in a millisecond, and because `sys.executable` need not be a Python (frozen programs, uWSGI).
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from redisorm.errors import ConnectionFailedError

__all__ = ["Process", "short_directory"]

_logger = logging.getLogger("redisorm")

_SUPERVISE = """\
umask 077
remove=$1 log=$2; shift 2
exec 2>>"$log"
trap 'kill -TERM "$server"' TERM
"$@" 3>&1 >>"$log" </dev/null &
server=$!
echo "$server"
exec >&-
read -r _
kill -TERM "$server" 2>/dev/null
while kill -0 "$server" 2>/dev/null; do wait "$server"; done
[ -z "$remove" ] || rm -rf -- "$remove"
"""
"""The supervisor. It never sends SIGKILL: a server with an append-only file then loses writes it has acknowledged."""

_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS and 108 on Linux
_START_WAIT_S = 30.0
_STOP_WAIT_S = 30.0
_LOG_TAIL_BYTES = 2000


class Process:
    """One server, its supervisor and its directory, owned by the process that started it."""

    def __init__(self, directory: Path, *, private: bool) -> None:
        self.directory = directory
        self.owner = os.getpid()
        self.users = 0
        self.pid = 0
        self._private = private
        self._log = directory / "server.log"
        inside = directory / "server.sock"
        self._scratch = directory if private else None
        if len(os.fsencode(inside)) > _SOCKET_PATH_BYTES:
            self._scratch = short_directory()
            inside = self._scratch / "server.sock"
        self.socket_path = str(inside)

    def start(self, binary: str, lock: int | None) -> None:
        """Start supervisor and server and wait until the server answers. A stored data set is loaded first, however long that takes."""
        try:
            self._supervisor = self._spawn(binary, lock)
        except OSError as error:
            if self._scratch is not None:
                shutil.rmtree(self._scratch)
            raise ConnectionFailedError(f"no embedded server: /bin/sh could not be run in {self.directory} ({error})") from error
        try:
            self.pid = self._read_pid()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _spawn(self, binary: str, lock: int | None) -> subprocess.Popen[bytes]:
        remove = "" if self._scratch is None else str(self._scratch)
        return subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISE, "redisorm-supervisor", remove, str(self._log), *self._command(binary)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=self.directory,
            # A locale that is not installed, common in containers, stops a server from starting.
            env={**os.environ, "LC_ALL": "C"},
            # Ctrl-C in a terminal goes to this process alone, which then closes in order.
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )

    def _command(self, binary: str) -> list[str]:
        persistence = ["--appendonly", "no"] if self._private else ["--appendonly", "yes", "--appendfsync", "everysec"]
        return [
            *(binary, "--port", "0", "--unixsocket", self.socket_path, "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--save", "", *persistence),
            *("--daemonize", "no", "--loglevel", "notice" if self._private else "warning"),
        ]

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        return self._supervisor.stdin, self._supervisor.stdout

    def _read_pid(self) -> int:
        line = self._pipes[1].readline()
        if not line:
            raise self._failure("the supervising shell /bin/sh ended")
        return int(line)

    def gone(self, wait_ms: int = 0) -> bool:
        """Wait up to `wait_ms` for the end of the server; whether it has come."""
        poll = select.poll()
        poll.register(self._pipes[1], select.POLLIN)
        return bool(poll.poll(wait_ms))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_WAIT_S
        while True:
            try:
                answer = self._ask(b"PING")
            except OSError as error:
                if time.monotonic() > deadline:
                    raise self._failure(f"it does not listen at {self.socket_path} after {_START_WAIT_S:.0f} s ({error})") from error
                answer = b""
            if answer.startswith(b"+PONG"):
                return
            # An answer that is not PONG is LOADING: the server reads its append-only file, and that may take its time.
            if self.gone(wait_ms=5 if answer else 1):
                raise self._failure("it ended while starting")

    def _ask(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_STOP_WAIT_S)
            connection.connect(self.socket_path)
            connection.sendall(command + b"\r\n")
            return connection.recv(256)

    def _failure(self, what: str) -> ConnectionFailedError:
        try:
            tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        except OSError as error:
            tail = f"(none: {error})"
        return ConnectionFailedError(
            f"the embedded server in {self.directory} did not start: {what}. The end of its log {self._log}:\n{tail}"
        )

    def stop(self) -> None:
        """Stop the server in order and wait for its end. In a process that did not start it nothing happens."""
        if self.owner != os.getpid():
            return
        # SHUTDOWN acts at once; the SIGTERM of the supervisor, which follows in any case, is noticed up to 0.1 s later.
        if self.pid and not self.gone():
            try:
                self._ask(b"SHUTDOWN")
            except OSError as error:
                _logger.debug("embedded server %d: SHUTDOWN got %s; SIGTERM follows", self.pid, error)
        leash, status = self._pipes
        with leash, status:
            try:
                # Not only closed: a forked child of this process might still hold the pipe.
                leash.write(b"\n")
            except BrokenPipeError:
                _logger.debug("the supervisor of embedded server %d is already gone", self.pid)
        try:
            self._supervisor.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            _logger.warning(
                "the embedded server in %s (process %d) is still shutting down after %d s; it is left to finish by itself",
                *(self.directory, self.pid, _STOP_WAIT_S),
            )

    def disown(self) -> None:
        """Let go of the pipes in a forked child, so that the end of the parent alone decides over the server."""
        for pipe in self._pipes:
            pipe.close()
        # The child cannot wait for a process of its parent; without this, Popen would warn of one that is still running.
        self._supervisor.returncode = 0


def short_directory() -> Path:
    """Make a private directory whose name leaves room for a socket."""
    directory = tempfile.mkdtemp(prefix="redisorm-")
    if len(os.fsencode(directory)) > _SOCKET_PATH_BYTES - len("/server.sock"):
        shutil.rmtree(directory)
        directory = tempfile.mkdtemp(prefix="redisorm-", dir="/tmp")
    return Path(directory)

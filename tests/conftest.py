"""Fixtures that lend tests a real server, a URL, or an open database on each kind of server.

A test names what it needs: `server_url` (memory and three real servers), `server` (the three, to break them), `proxy` (a relay to
it that loses answers), `db`.
Where a server is missing the test is skipped with what to install; `$REDISORM_REQUIRE_SERVERS=1` makes that a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.faults.proxy import Proxy
from tests.servers import KINDS, Server, ServerMissingError, free_port

if TYPE_CHECKING:
    from redisorm import Database


TESTS = Path(__file__).parent
ON_MEMORY = ("stdlib", "integration", "property")
"""The rooms whose tests run the logic on `memory://` in their own process, uninterrupted."""

# python -m pytest --hypothesis-profile=long tests/property
settings.register_profile("long", max_examples=3_000, deadline=None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run in one process more than there are cores, since many tests wait.

    Single files or tests, and what runs with `-s`, run in this process alone: they begin at once, and are seen as they go.
    """
    single = all(Path(one.partition("::")[0]).is_file() for one in config.args)
    return 0 if single or config.option.capture == "no" else (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let coverage count what tests without a server run, and nothing else: those of `unit`, and others on `memory://`."""
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        if room != "unit" and (room not in ON_MEMORY or "memory" not in item.name):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=os.environ.get("REDISORM_READ_BY_REDIS_PY") == "1")
def read_by_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let redis-py read every reply, as where its private names are not known; the whole suite with `$REDISORM_READ_BY_REDIS_PY=1`."""
    from redisorm.drivers import arrived

    monkeypatch.setattr(arrived, "_PARSERS", ())


def _lend(kind: str, *arguments: str) -> Iterator[Server]:
    try:
        server = Server(kind, *arguments)
    except ServerMissingError as error:
        if os.environ.get("REDISORM_REQUIRE_SERVERS") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def redis7() -> Iterator[Server]:
    """Debian's Redis 7, one for the whole run."""
    yield from _lend("redis7")


@pytest.fixture(scope="session")
def redis8() -> Iterator[Server]:
    """Redis 8, one for the whole run."""
    yield from _lend("redis8")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """Valkey 9, one for the whole run."""
    yield from _lend("valkey")


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Start servers of the test's own: `start("redis7", "--maxmemory", "2mb")`."""
    with ExitStack() as stack:
        yield lambda kind, *arguments: stack.enter_context(contextmanager(_lend)(kind, *arguments))


@pytest.fixture(scope="module", params=KINDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A cluster of one node, of each kind of server in turn; it serves what slots it has, also where one is missing."""
    options = {"--cluster-enabled": "yes", "--cluster-port": str(free_port()), "--cluster-require-full-coverage": "no"}
    for server in _lend(request.param, *(word for option in options.items() for word in option)):
        yield server.become_cluster()


def _flushed(kind: str, request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(kind)
    return server.flush()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of real server in turn, empty; a test may kill, suspend or restart it."""
    return _flushed(request.param, request)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A relay to `server` that goes wrong on demand."""
    with Proxy(server.port) as relay:
        yield relay


@pytest.fixture(params=("memory", *KINDS))
def server_url(request: pytest.FixtureRequest) -> str:
    """A URL on `memory://` and on each kind of real server in turn; nothing is stored there yet."""
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    return _flushed(request.param, request).url


@pytest.fixture
def db(server_url: str) -> Iterator[Database]:
    """An open `Database` on `server_url`, closed after the test. It serves both colours: `asyncio.run` inside the test."""
    from redisorm import Database

    with Database(server_url) as database:
        yield database

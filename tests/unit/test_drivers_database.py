"""URLs, namespaces, the default database, places: all that needs no server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
import redis
import redis.asyncio

from redisorm.database import Database, connect, default, default_database
from redisorm.drivers.url import locate
from redisorm.drivers.whereabouts import Whereabouts, here
from redisorm.errors import ConnectionFailedError, UnsupportedServerError


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDISORM_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    default.set(None)


@pytest.mark.parametrize(
    ("url", "scheme", "name", "public"),
    [
        ("redis://localhost:6379/0", "redis", None, "redis://localhost:6379/0"),
        ("rediss://bob:hunter2@db:6380/1?password=hunter3", "rediss", None, "rediss://db:6380/1"),
        ("redis://[::1]:6379", "redis", None, "redis://[::1]:6379"),
        ("unix:///run/redis.sock?db=2&password=hunter2", "unix", None, "unix:///run/redis.sock"),
        ("memory://", "memory", None, "memory://"),
        ("memory://shop", "memory", "shop", "memory://shop"),
        ("embedded://", "embedded", None, "embedded://"),
        ("embedded:///var/lib/app", "embedded", "/var/lib/app", "embedded:///var/lib/app"),
    ],
)
def test_forms_of_urls(url: str, scheme: str, name: str | None, public: str) -> None:
    location = locate(url)
    assert (location.scheme, location.name, location.public) == (scheme, name, public)
    assert "hunter" not in repr(location)


@pytest.mark.parametrize(
    "url", ["http://bob:hunter2@x", "localhost:6379", "hunter2", "", "embedded://host/path", "redis://u:hunter2@h:port"]
)
def test_other_texts_are_refused_without_showing_them(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis://|three slashes|[Pp]ort") as caught:
        locate(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis+sentinel://a:1/m", "redis+cluster://a:1"])
def test_forms_of_later_versions_say_so(url: str) -> None:
    with pytest.raises(UnsupportedServerError, match="not available in this version"):
        Database(url)


def test_environment_is_asked_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://second:1")
    assert locate(None).public == "redis://second:1"
    monkeypatch.setenv("REDISORM_URL", "redis://first:1")
    assert locate(None).public == "redis://first:1"


@pytest.mark.parametrize("opening", [Database, connect, default_database])
def test_no_url_anywhere_is_memory_with_a_warning_that_points_at_the_caller(opening: type[Database]) -> None:
    with pytest.warns(UserWarning, match="memory://") as caught:
        database = opening()
    assert "memory://" in repr(database)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("namespace", ["{a}", "a}", "a\0b"])
def test_braces_and_nul_in_a_namespace_are_refused(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        Database("memory://", namespace=namespace)


def test_repr_shows_no_credentials() -> None:
    assert repr(Database("redis://bob:hunter2@db:6379/0", namespace="shop", password="hunter3")) == (
        "<Database 'redis://db:6379/0' namespace='shop'>"
    )


def test_default_database_is_the_one_connected_last() -> None:
    first = connect("memory://", namespace="one")
    assert default_database() is first
    second = connect("memory://", namespace="two")
    assert default_database() is second
    assert Database("memory://") is not default_database()


def test_closed_database_says_so() -> None:
    database = Database("memory://")
    database.close()
    database.close()
    with pytest.raises(ConnectionFailedError, match="closed"):
        _ = database.client
    assert "closed" in repr(database)


def test_given_clients_of_one_colour_tell_what_to_pass_for_the_other() -> None:
    blocking = Database(client=redis.Redis())
    with pytest.raises(ConnectionFailedError, match="async_client="):
        asyncio.run(_async_client_of(blocking))
    awaiting = Database(async_client=redis.asyncio.Redis())
    with pytest.raises(ConnectionFailedError, match="client="):
        _ = awaiting.client


async def _async_client_of(database: Database) -> redis.asyncio.Redis:
    return database.async_client


def test_client_of_the_wrong_colour_is_refused() -> None:
    with pytest.raises(TypeError, match=r"client= is a redis.asyncio"):
        Database(client=redis.asyncio.Redis())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="both given"):
        Database("memory://", client=redis.Redis())


def test_given_client_stays_open_and_is_the_escape_hatch() -> None:
    client = redis.Redis()
    database = Database(client=client)
    assert database.client is client
    database.close()


def test_importing_and_opening_imports_no_client() -> None:
    code = "import sys; from redisorm.database import connect; connect('memory://x'); print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_place_is_the_thread_outside_a_loop() -> None:
    assert here() == here()
    assert here()[1] is None
    elsewhere: list[Whereabouts] = []
    thread = threading.Thread(target=lambda: elsewhere.append(here()))
    thread.start()
    thread.join()
    assert elsewhere[0] != here()


def test_place_tells_tasks_apart_and_keeps_none_alive() -> None:
    async def place() -> tuple[Whereabouts, Whereabouts]:
        before = here()
        await asyncio.sleep(0)
        assert hash(before) == hash(here())
        return before, here()

    async def main() -> list[tuple[Whereabouts, Whereabouts]]:
        return list(await asyncio.gather(place(), place()))

    (a, b), (c, d) = asyncio.run(main())
    assert a == b
    assert c == d
    assert a != c
    assert a[1] is not None

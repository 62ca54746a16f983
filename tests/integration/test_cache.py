"""Memoized functions on every server and in both colours."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from redisorm import AsyncCache, AsyncRedisModel, AsyncSession, Cache, Database, MappingError, RedisModel, Session, SessionError
from redisorm.patterns import entries
from tests.servers import Server


class Profile(BaseModel):
    id: int
    name: str = ""
    version: int = 0


class Row(RedisModel, prefix="row"):
    id: int
    name: str
    tags: set[str] = set()


class AsyncRow(AsyncRedisModel, prefix="arow"):
    id: int
    name: str = ""


class Source:
    """Something slow behind a cache, which counts how often it is asked."""

    def __init__(self, seconds: float = 0) -> None:
        self.loads = 0
        self.seconds = seconds
        self.version = 1
        self.pause: Callable[[], object] = lambda: time.sleep(self.seconds)
        self._lock = threading.Lock()

    def read(self, user_id: int) -> Profile:
        with self._lock:
            self.loads += 1
            version = self.version
        self.pause()
        return Profile(id=user_id, name="Ann", version=version)

    async def aread(self, user_id: int) -> Profile:
        self.loads += 1
        version = self.version
        await asyncio.sleep(self.seconds)
        return Profile(id=user_id, name="Ann", version=version)


class Remembered:
    """A memoized function of either colour behind blocking calls."""

    def __init__(self, colour: str, db: Database, source: Source, cache: dict[str, Any], **options: Any) -> None:
        self.awaits = colour == "async"
        made: Any
        self.memoized: Any
        if self.awaits:
            self.cache: Any = AsyncCache(db, **cache)

            async def load(user_id: int) -> Profile | None:
                return await source.aread(user_id) if user_id else None

            made = load
        else:
            self.cache = Cache(db, **cache)

            def sload(user_id: int) -> Profile | None:
                return source.read(user_id) if user_id else None

            made = sload
        self.memoized = self.cache.memoize("user:{user_id}", **options)(made)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self.made(getattr(self.memoized, name))

    def __call__(self, *arguments: Any) -> Any:
        return self.made(self.memoized)(*arguments)

    def made(self, method: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            async def awaited() -> Any:
                return await method(*arguments, **keywords)

            return asyncio.run(awaited()) if self.awaits else method(*arguments, **keywords)

        return call


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def keys(db: Database) -> list[str]:
    return sorted(key.decode() for key in db.client.scan_iter())


def test_a_value_is_loaded_once_and_comes_back_as_its_type(db: Database, colour: str) -> None:
    source = Source()
    load = Remembered(colour, db, source, {"ttl": 60})

    values = [load(1) for _ in range(3)]

    assert values == [Profile(id=1, name="Ann", version=1)] * 3
    assert values[1] is not values[2], "who changes a value changes nobody else's"
    assert source.loads == 1
    load(2)
    assert source.loads == 2
    assert keys(db) == ["cache:user:1", "cache:user:2"]


def test_a_cached_value_is_one_round_trip(db: Database) -> None:
    load = Remembered("sync", db, Source(), {"ttl": 60})
    load(1)
    before = db.traffic.round_trips
    load(1)
    assert db.traffic.round_trips - before == 1


def test_what_lies_there_is_readable_and_expires(db: Database, colour: str) -> None:
    load = Remembered(colour, db, Source(), {"ttl": 60, "prefix": "pages"}, stale=30)
    load(1)
    row = db.client.hgetall("pages:user:1")
    assert row[b"value"] == b'{"id":1,"name":"Ann","version":1}'
    assert sorted(row) == [b"cost", b"fresh", b"schema", b"until", b"value"]
    assert 85_000 < db.client.pttl("pages:user:1") <= 90_000
    assert load.memoized.key_of(user_id=1) == "pages:user:1"


def test_none_is_good_for_its_own_time(db: Database, colour: str) -> None:
    source = Source()
    counted: list[int] = []
    cache = Cache(db, ttl=60)

    @cache.memoize("x:{user_id}", none_ttl=0.2)
    def load(user_id: int) -> Profile | None:
        counted.append(user_id)
        return None

    assert [load(1), load(1)] == [None, None]
    assert counted == [1]
    time.sleep(0.25)
    load(1)
    assert counted == [1, 1]

    @cache.memoize("never:{user_id}", none_ttl=0)
    def never(user_id: int) -> Profile | None:
        counted.append(user_id)
        return None

    assert [never(9), never(9)] == [None, None]
    assert counted == [1, 1, 9, 9]
    assert not [key for key in keys(db) if "never" in key]
    always = Remembered(colour, db, source, {"ttl": 60})
    assert [always(0), always(0)] == [None, None]


def test_a_value_is_loaded_anew_after_its_time(db: Database, colour: str) -> None:
    source = Source()
    load = Remembered(colour, db, source, {"ttl": 60}, ttl=0.2)
    load(1)
    time.sleep(0.25)
    load(1)
    assert source.loads == 2


def test_refresh_and_invalidate(db: Database, colour: str) -> None:
    source = Source()
    load = Remembered(colour, db, source, {"ttl": 60})
    load(1)
    source.version = 2
    assert load(1).version == 1
    assert load.refresh(1).version == 2
    assert load(1).version == 2
    source.version = 3
    load.invalidate(1)
    assert keys(db) == []
    assert load(1).version == 3


def test_a_hundred_threads_load_once(db: Database) -> None:
    source = Source(0.2)
    load = Remembered("sync", db, source, {"ttl": 60})
    with ThreadPoolExecutor(100) as pool:
        assert {value.version for value in pool.map(load, [1] * 100)} == {1}
    assert source.loads == 1


def test_a_hundred_tasks_load_once(db: Database) -> None:
    source = Source(0.2)
    load: Any = Remembered("async", db, source, {"ttl": 60}).memoized

    async def main() -> None:
        values = await asyncio.gather(*(load(1) for _ in range(100)))
        assert {value.version for value in values} == {1}

    asyncio.run(main())
    assert source.loads == 1


def test_without_a_cache_a_hundred_threads_load_a_hundred_times() -> None:
    source = Source(0.2)
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(source.read, [1] * 100))
    assert source.loads == 100


def test_two_databases_of_one_server_load_once(server_url: str, db: Database) -> None:
    """As two processes would: nothing but the server is between them."""
    source = Source(0.2)
    with Database(server_url) as other, ThreadPoolExecutor(20) as pool:
        loads = [Remembered("sync", one, source, {"ttl": 60}) for one in (db, other)]
        list(pool.map(lambda number: loads[number % 2](1), range(20)))
    assert source.loads == 1


def test_an_error_reaches_its_own_caller_and_the_next_one_loads(db: Database) -> None:
    cache, calls = Cache(db, ttl=60), []
    started = threading.Event()

    @cache.memoize("x:{number}")
    def load(number: int) -> int:
        calls.append(number)
        if len(calls) == 1:
            started.set()
            time.sleep(0.2)
            raise ZeroDivisionError
        return number

    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(load, 1)
        started.wait()
        others = [pool.submit(load, 1) for _ in range(9)]
        with pytest.raises(ZeroDivisionError):
            first.result()
        assert [other.result() for other in others] == [1] * 9
    assert calls == [1, 1]


def test_an_awaited_error_reaches_its_own_caller_and_the_next_one_loads(db: Database) -> None:
    cache, calls = AsyncCache(db, ttl=60), []

    @cache.memoize("x:{number}")
    async def load(number: int) -> int:
        calls.append(number)
        if len(calls) == 1:
            await asyncio.sleep(0.1)
            raise ZeroDivisionError
        return number

    async def main() -> None:
        answers = await asyncio.gather(*(load(1) for _ in range(10)), return_exceptions=True)
        assert [type(answer) for answer in answers].count(ZeroDivisionError) == 1
        assert answers.count(1) == 9

    asyncio.run(main())
    assert calls == [1, 1]


def test_a_cancelled_load_lets_the_next_one_load(db: Database) -> None:
    source = Source(0.2)
    load: Any = Remembered("async", db, source, {"ttl": 60}).memoized

    async def main() -> None:
        first = asyncio.create_task(load(1))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(load(1))
        await asyncio.sleep(0.02)
        begun = time.monotonic()
        first.cancel()
        assert (await second).version == 1
        assert time.monotonic() - begun < 2, "nobody waits for a lease that nobody has"

    asyncio.run(main())
    assert source.loads == 2


@pytest.mark.parametrize("elsewhere", [True, False], ids=["by-another-process", "by-this-process"])
def test_an_invalidation_during_a_load_wins_over_what_is_loaded(server_url: str, db: Database, elsewhere: bool) -> None:
    source = Source(0.3)
    load = Remembered("sync", db, source, {"ttl": 60})
    with Database(server_url) as other, ThreadPoolExecutor(2) as pool:
        first = pool.submit(load, 1)
        time.sleep(0.1)
        source.version = 2
        (Remembered("sync", other, source, {"ttl": 60}) if elsewhere else load).invalidate(1)
        second = pool.submit(load, 1)
        assert second.result().version == 2, "who asks after the invalidation never gets what was before it"
        assert first.result().version == 1
    assert load(1).version == 2
    assert source.loads == 2


def test_a_refresh_during_a_load_wins_over_what_is_loaded(db: Database, server_url: str) -> None:
    slow, quick = Source(0.3), Source()
    quick.version = 2
    with Database(server_url) as other, ThreadPoolExecutor(1) as pool:
        first = pool.submit(Remembered("sync", db, slow, {"ttl": 60}), 1)
        time.sleep(0.1)
        load = Remembered("sync", other, quick, {"ttl": 60})
        assert load.refresh(1).version == 2
        assert first.result().version == 1
        assert load(1).version == 2


def test_a_stale_value_is_served_while_one_loads_anew(db: Database) -> None:
    source, over = Source(), threading.Event()
    load = Remembered("sync", db, source, {"ttl": 60}, ttl=0.2, stale=30)
    load(1)
    source.version = 2
    source.pause = lambda: over.wait(10)
    time.sleep(0.25)
    with ThreadPoolExecutor(10) as pool:
        reloading = pool.submit(load, 1)
        while source.loads < 2:
            time.sleep(0.001)
        assert {other.version for other in pool.map(load, [1] * 9)} == {1}, "nobody waits"
        over.set()
        assert reloading.result().version == 2
    assert load(1).version == 2
    assert source.loads == 2


def test_an_awaited_stale_value_is_served_while_one_loads_anew(db: Database) -> None:
    source = Source(0.1)
    load: Any = Remembered("async", db, source, {"ttl": 60}, ttl=0.2, stale=30).memoized

    async def main() -> None:
        await load(1)
        source.version = 2
        await asyncio.sleep(0.25)
        values = await asyncio.gather(*(load(1) for _ in range(10)))
        assert sorted(value.version for value in values) == [1] * 9 + [2]

    asyncio.run(main())


def test_after_the_time_of_a_lease_another_loads(db: Database, server_url: str) -> None:
    slow, quick = Source(1.0), Source()
    with Database(server_url) as other, ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(Remembered("sync", db, slow, {"ttl": 60, "lease": 0.3}), 1)
        time.sleep(0.1)
        begun = time.monotonic()
        assert Remembered("sync", other, quick, {"ttl": 60, "lease": 0.3})(1).version == 1
        assert 0.1 < time.monotonic() - begun < 0.7
        assert Remembered("sync", db, quick, {"ttl": 60, "lease": 0.3})(1).version == 1
        stuck.result()
    assert quick.loads == 1


def test_in_one_process_too_another_loads_after_the_time_of_a_lease(db: Database) -> None:
    cache, calls = Cache(db, ttl=60, lease=0.3), []

    @cache.memoize("x:{number}")
    def load(number: int) -> int:
        calls.append(number)
        time.sleep(1 if len(calls) == 1 else 0)
        return len(calls)

    with ThreadPoolExecutor(5) as pool:
        stuck = pool.submit(load, 1)
        time.sleep(0.1)
        begun = time.monotonic()
        assert set(pool.map(load, [1] * 4)) == {2}
        assert time.monotonic() - begun < 0.7
        stuck.result()
    assert calls == [1, 1]


def test_a_value_of_an_older_class_is_loaded_anew(db: Database) -> None:
    cache = Cache(db, ttl=60)

    class Old(BaseModel):
        name: str

    class New(BaseModel):
        name: str
        age: int = 0

    @cache.memoize("x:{number}")
    def old(number: int) -> Old:
        return Old(name="old")

    @cache.memoize("x:{number}")
    def new(number: int) -> New:
        return New(name="new", age=7)

    old(1)
    assert new(1) == New(name="new", age=7)
    assert new(1) == New(name="new", age=7)
    db.client.hset("cache:x:1", "value", "not json")
    assert new(1) == New(name="new", age=7)


def test_values_are_stored_by_the_return_annotation(db: Database) -> None:
    cache = Cache(db, ttl=60)
    hashed: list[str] = []

    class Secret(BaseModel):
        password: str

        @field_validator("password")
        @classmethod
        def hash(cls, password: str) -> str:
            hashed.append(password)
            return f"#{password}"

    values: list[tuple[Any, Any]] = [
        (str, "00123"),
        (str, ""),
        (bytes, b"\x00\xff"),
        (int, 7),
        (bool, True),
        (float, 0.1),
        (Decimal, Decimal("1.10")),
        (list[int], [1, 2]),
        (set[str], {"a"}),
        (dict[str, Profile], {"a": Profile(id=1)}),
        (tuple[int, str], (1, "a")),
        (int | str, "7"),
        (str | None, None),
        (Secret, Secret(password="x")),
        (Row, Row(id=1, name="Ann", tags={"a"})),
    ]
    for number, (annotation, value) in enumerate(values):

        def load(number: int, value: Any = value) -> Any:
            return value

        load.__annotations__["return"] = annotation
        memoized = cache.memoize("v:{number}")(load)
        assert memoized(number) == value
        assert memoized(number) == value
        assert type(memoized(number)) is type(value)
    assert hashed == ["x"], "a validator of input does not run again on what was cached"


def test_a_method_is_memoized_whatever_object_it_belongs_to(db: Database) -> None:
    cache = Cache(db, ttl=60)

    class Shop:
        calls = 0

        @cache.memoize("price:{sku}:{currency}")
        def price(self, sku: str, *, currency: str = "EUR") -> Decimal:
            """Ask for a price."""
            Shop.calls += 1
            return Decimal(len(sku))

    assert Shop().price("a:b") == Decimal(3)
    assert Shop().price(sku="a:b", currency="EUR") == Decimal(3)
    assert Shop.calls == 1
    assert Shop().price.key_of("a:b") == "cache:price:a%3Ab:EUR"
    Shop().price.invalidate("a:b")
    Shop().price("a:b")
    assert Shop.calls == 2
    assert Shop.price.__doc__ == "Ask for a price."


def test_a_function_of_the_other_colour_is_refused(db: Database) -> None:
    async def coroutine(x: int) -> int:
        return x

    def ordinary(x: int) -> int:
        return x

    with pytest.raises(MappingError, match="use AsyncCache"):
        Cache(db, ttl=1).memoize("{x}")(coroutine)
    with pytest.raises(MappingError, match="use Cache"):
        AsyncCache(db, ttl=1).memoize("{x}")(ordinary)  # type: ignore[arg-type]


def test_a_tag_forgets_all_its_entries_those_being_loaded_included(db: Database, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_STEP", 20)
    source = Source()
    load = Remembered(colour, db, source, {"ttl": 60}, tags=("all", "user:{user_id}"))
    for user_id in range(1, 51):
        load(user_id)
    assert load.made(load.cache.invalidate_tag)("user:{user_id}", user_id=7) == 1
    assert load.made(load.cache.invalidate_tag)("all") == 49
    assert [key for key in keys(db) if "tag" not in key] == []
    source.version = 2
    assert load(1).version == 2
    assert all(db.client.pttl(key) > 0 for key in keys(db))


def test_a_tag_invalidated_during_a_load_wins_over_what_is_loaded(db: Database) -> None:
    source = Source(0.3)
    load = Remembered("sync", db, source, {"ttl": 60}, tags=("all",))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(load, 1)
        time.sleep(0.1)
        source.version = 2
        assert load.cache.invalidate_tag("all") == 1
        assert first.result().version == 1
    assert load(1).version == 2


def test_a_tag_lives_as_long_as_its_longest_entry_and_forgets_the_dead(db: Database) -> None:
    cache = Cache(db)

    @cache.memoize("long:{x}", ttl=60, tags=("all",))
    def long(x: int) -> int:
        return x

    @cache.memoize("short:{x}", ttl=0.1, tags=("all",))
    def short(x: int) -> int:
        return x

    long(1)
    for x in range(30):
        short(x)
    assert 50_000 < db.client.pttl("cache::tag:all") <= 60_000
    time.sleep(0.15)
    assert cache.invalidate_tag("all") == 1


def test_an_invalidation_goes_with_the_commit_or_not_at_all(db: Database) -> None:
    source = Source()
    load: Any = Remembered("sync", db, source, {"ttl": 60}).memoized
    load(1)
    with Session(db) as session:
        session.add(Row(id=1, name="Ann"))
        session.invalidate(load, 1)
        assert keys(db) == ["cache:user:1"]
        session.rollback()
        assert session.commit().commands == 0
        session.add(Row(id=1, name="Ann"))
        session.invalidate(load, 1)
        session.commit()
    assert keys(db) == ["row:1"]

    with Session(db) as session:
        session.invalidate(load, 1)
        load(1)
        assert session.commit().round_trips >= 1
    assert keys(db) == ["row:1"]


def test_an_invalidation_goes_with_an_awaited_commit(db: Database) -> None:
    cache = AsyncCache(db, ttl=60)

    @cache.memoize("x:{number}")
    async def load(number: int) -> int:
        return number

    async def main() -> None:
        await load(1)
        async with AsyncSession.begin(db) as session:
            session.add(AsyncRow(id=1))
            session.invalidate(load, 1)
        assert await db.async_client.exists("cache:x:1") == 0
        assert await db.async_client.exists("arow:1") == 1

    asyncio.run(main())


def test_a_commit_during_a_load_wins_over_what_is_loaded(db: Database) -> None:
    cache = Cache(db, ttl=60)

    @cache.memoize("row:{pk}")
    def name(pk: int) -> str:
        with Session(db) as reading:
            found = reading.get_one(Row, pk).name
        time.sleep(0.3)
        return found

    with Session.begin(db) as session:
        session.add(Row(id=1, name="old"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(name, 1)
        time.sleep(0.1)
        with Session.begin(db) as session:
            session.get_one(Row, 1).name = "new"
            session.invalidate(name, 1)
        assert name(1) == "new"
        assert first.result() == "old"
    assert name(1) == "new"


def test_a_session_invalidates_in_its_own_database_only(db: Database, server_url: str) -> None:
    with Database(server_url) as other:
        load: Any = Remembered("sync", other, Source(), {"ttl": 60}).memoized
        with Session(db) as session, pytest.raises(SessionError, match="use a session on that one"):
            session.invalidate(load, 1)


def test_without_scripts_it_is_the_same_cache(server: Server, colour: str) -> None:
    with Database(server.url) as admin:
        admin.client.acl_setuser("plain", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-@scripting"])
        with Database(f"redis://plain:p@127.0.0.1:{server.port}/0") as db:
            source = Source(0.1)
            load = Remembered(colour, db, source, {"ttl": 60}, ttl=0.3, stale=10, tags=("all",))
            scripted = Remembered("sync", admin, source, {"ttl": 60}, ttl=0.3, stale=10, tags=("all",))
            with ThreadPoolExecutor(10) as pool:
                both = [load, scripted] if colour == "sync" else [scripted, scripted]
                list(pool.map(lambda number: both[number % 2](1), range(10)))
            assert source.loads == 1
            assert load(1).version == 1
            time.sleep(0.35)
            load(1)
            assert source.loads == 2
            assert load.refresh(1).version == 1
            assert load.made(load.cache.invalidate_tag)("all") == 1
            assert keys(db) == []

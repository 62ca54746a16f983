"""Cached functions under many processes, killed loaders, lost answers, and a server that goes away."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from redisorm import BackendError, Cache, Database
from tests.faults.processes import Client, start_together
from tests.faults.proxy import Proxy
from tests.servers import Server

Loads = list[int]


def memoized(db: Database, loads: Loads, **options: Any) -> Any:
    cache = {name: options.pop(name) for name in ("lease", "on_error") if name in options}

    @Cache(db, ttl=60, **cache).memoize("x:{number}", **options)
    def load(number: int) -> int:
        loads.append(number)
        return len(loads)

    return load


def count(url: str, function: str) -> int:
    """Let 100 threads of 4 processes ask at once, and count how often the function was called."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(f"tests.faults.loads:{function}", url=url, threads=25)) for _ in range(4)]
        start_together(*clients)
        assert [client.result() for client in clients] == [["value"]] * 4
    with Database(url) as db:
        return int(db.client.get("loads"))  # type: ignore[arg-type]


def test_a_hundred_callers_in_four_processes_load_once(server: Server) -> None:
    assert count(server.url, "ask") == 1


def test_a_naive_cache_loads_many_times(redis7: Server) -> None:
    assert count(redis7.flush().url, "ask_naively") > 20


def test_when_the_loader_is_killed_the_others_go_on_after_the_lease(server: Server) -> None:
    loads: Loads = []
    with Client("tests.faults.loads:load_for_ever", url=server.url, lease=1) as client, Database(server.url) as db:
        assert client.told() == "loading"
        client.kill()
        begun = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(memoized(db, loads, lease=1), [1] * 10)) == {1}
        assert 0.3 < time.monotonic() - begun < 2
        assert len(loads) == 1


def test_a_stuck_loader_does_not_keep_a_stale_value_from_being_served(server: Server) -> None:
    loads: Loads = []
    with Database(server.url) as db:
        load = memoized(db, loads, stale=60)
        load.refresh(1)
        db.client.hset("cache:x:1", "fresh", "1")
        schema = db.client.hget("cache:x:1", "schema")
        with Client("tests.faults.loads:load_for_ever", url=server.url, lease=30) as client:
            # another function of another type: it takes the lease of the same entry
            assert client.told() == "loading"
            assert db.client.hget("cache:x:1", "schema") == schema
            assert load(1) == 1
            assert loads == [1]


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_lost_answer_is_asked_for_again_and_nothing_is_loaded_twice(server: Server, proxy: Proxy, skip: int) -> None:
    """The look, the lease and the fill, each in turn."""
    loads: Loads = []
    with Database(proxy.url) as db:
        load = memoized(db, loads)
        load(1)
        load.invalidate(1)
        loads.clear()
        proxy.lose(*(("HMGET", "cache:x:1") if skip == 0 else ("EVALSHA", "cache:x:1")), skip=max(0, skip - 1))
        assert load(1) == 1
        assert load(1) == 1
        assert loads == [1]


def test_who_asks_after_an_invalidation_gets_nothing_older_though_the_loader_has_not_heard_of_its_fill_yet(
    server: Server, proxy: Proxy
) -> None:
    loads: Loads = []
    with Database(proxy.url) as db, Database(server.url) as other, ThreadPoolExecutor(2) as pool:
        load = memoized(db, loads)
        load(1)
        load.invalidate(1)
        proxy.delay("EVALSHA", 0.5, "cache:x:1", skip=1)
        first = pool.submit(load, 1)
        while not other.client.hexists("cache:x:1", "value"):
            time.sleep(0.01)
        memoized(other, []).invalidate(1)
        assert load(1) == 3
        assert first.result() == 2


def test_scripts_that_are_forgotten_are_sent_again(server: Server) -> None:
    loads: Loads = []
    with Database(server.url) as db:
        load = memoized(db, loads)
        load(1)
        for number in range(2, 5):
            server.ask("SCRIPT", "FLUSH")
            load(number)
            load(number)
    assert loads == [1, 2, 3, 4]


def test_a_server_that_is_gone_is_an_error_or_the_function_is_called(server: Server, proxy: Proxy) -> None:
    strict_loads: Loads = []
    lenient_loads: Loads = []
    with Database(proxy.url, retry=Retry(NoBackoff(), 0)) as db:
        strict, lenient = memoized(db, strict_loads), memoized(db, lenient_loads, on_error="call")
        assert strict(1) == 1
        proxy.refuse()
        with pytest.raises(BackendError):
            strict(1)
        assert [lenient(1) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(BackendError):
            lenient.invalidate(1)
        with pytest.raises(BackendError):
            lenient.refresh(1)
        proxy.heal()
        assert lenient(1) == 4, "for a moment it is not asked again"
        time.sleep(1.1)
        assert lenient(1) == 1, "what the other one had stored"
    assert strict_loads == [1]


def test_while_a_server_is_gone_only_one_call_in_a_second_waits_for_it(server: Server, proxy: Proxy) -> None:
    loads: Loads = []
    with Database(proxy.url, retry=Retry(ConstantBackoff(0.1), 3)) as db:
        load = memoized(db, loads, on_error="call")
        load(1)
        proxy.refuse()
        load(1)
        begun = time.monotonic()
        for _ in range(100):
            load(1)
        assert time.monotonic() - begun < 0.5


def test_a_server_that_is_full_serves_what_it_has_and_the_function_is_called_for_the_rest(server: Server) -> None:
    loads: Loads = []
    with Database(server.url) as db:
        load = memoized(db, loads, on_error="call")
        load(1)
        db.client.config_set("maxmemory", 1)
        db.client.config_set("maxmemory-policy", "noeviction")
        try:
            assert load(1) == 1
            assert load(2) == 2
            time.sleep(1.1)
            assert load(1) == 1
        finally:
            db.client.config_set("maxmemory", 0)
    assert loads == [1, 2]

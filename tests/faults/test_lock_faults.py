"""Locks whose holders are killed or suspended, whose answers are lost, and whose server goes away."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import BackendError, Database, Lock, LockLost, LockTimeout
from tests.faults.processes import Client
from tests.faults.proxy import Proxy
from tests.servers import Server

HOLD = "tests.faults.locks:hold"


def test_processes_count_right_under_a_lock_and_wrong_without(server: Server) -> None:
    counts = {}
    for function in ("count", "count_unlocked"):
        clients = [Client(f"tests.faults.locks:{function}", url=server.url, times=100) for _ in range(4)]
        for client in clients:
            client.result()
        with Database(server.url) as db:
            counts[function] = int(db.client.getdel("count"))  # type: ignore[arg-type]
    assert counts["count"] == 400
    assert counts["count_unlocked"] < 400


def test_the_lock_of_a_killed_holder_is_free_after_its_time_to_live(server: Server) -> None:
    with Client(HOLD, url=server.url, ttl=1) as client, Database(server.url) as db:
        fence = client.told()
        time.sleep(0.7)  # renewed meanwhile
        killed = time.monotonic()
        client.kill()
        with pytest.raises(LockTimeout):
            Lock(db, "stock", ttl=5, wait=0.2).acquire()
        with Lock(db, "stock", ttl=5, wait=5) as lock:
            assert lock.fence > fence
            assert 0.5 < time.monotonic() - killed < 1.5


def test_a_holder_suspended_for_longer_than_its_time_to_live_is_told_and_has_the_smaller_fence(server: Server) -> None:
    with Client("tests.faults.locks:hold_and_tell", url=server.url, ttl=0.5, seconds=0.3) as client, Database(server.url) as db:
        fence = client.told()
        client.suspend()
        with Lock(db, "stock", ttl=5, wait=5) as lock:
            assert lock.fence > fence
            client.resume()
            assert client.result() == "lost"
            lock.check()


def test_lost_answers_neither_take_a_lock_twice_nor_lose_it(server: Server, proxy: Proxy) -> None:
    with Database(proxy.url) as db:
        with Lock(db, "stock", ttl=10):
            pass
        proxy.lose("EVALSHA")
        held = Lock(db, "stock", ttl=10, wait=0).acquire()  # the attempt is sent again, and finds its own token
        held.check()
        proxy.lose("EVALSHA")
        held.check()
        proxy.lose("EVALSHA")
        held.release()
        with Lock(db, "stock", ttl=10, wait=0):
            pass


def test_a_holder_survives_a_server_that_is_silent_for_less_than_the_time_to_live(server: Server, proxy: Proxy) -> None:
    with Database(proxy.url, timeout=0.3) as db, Lock(db, "stock", ttl=2) as lock:
        proxy.silence("EVALSHA", times=2)
        time.sleep(2.5)
        lock.check()


def test_a_lock_that_went_with_the_server_is_lost(server: Server) -> None:
    def hold() -> None:
        with Database(server.url) as db, Lock(db, "stock", ttl=0.6):
            server.restart()
            time.sleep(0.5)

    with pytest.raises(LockLost):
        hold()


def test_a_server_that_is_gone_at_the_end_is_an_error_of_the_release(server: Server, proxy: Proxy) -> None:
    def hold() -> None:
        with Database(proxy.url, retry=Retry(NoBackoff(), 0)) as db, Lock(db, "stock", ttl=1):
            proxy.refuse()

    with pytest.raises(BackendError):
        hold()
    with Database(server.url) as db, Lock(db, "stock", ttl=1, wait=3):
        pass


def test_a_waiter_who_dies_after_it_was_woken_does_not_keep_the_others_waiting(server: Server) -> None:
    with Database(server.url) as db, Database(server.url) as other:
        held = Lock(db, "stock", ttl=60).acquire()
        client: Any = other.client
        with client.client() as greedy:  # takes the wake-up call and does nothing with it
            greedy.connection.send_command("BLPOP", "lock::stock:wake", 10)
            time.sleep(0.1)
            begun = time.monotonic()
            held.release()
            with Lock(other, "stock", ttl=60, wait=5):
                assert time.monotonic() - begun < 1.5
            greedy.connection.disconnect()

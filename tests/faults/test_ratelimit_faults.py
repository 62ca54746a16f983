"""Rate limits under many clients, wrong clocks, flushed scripts, killed processes and lost answers.

Beside each rule stands what a naive limiter does, so that the test is known to be able to fail.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm import ConnectionFailedError, Database, Limit, RateLimiter
from tests.faults.processes import Client
from tests.faults.proxy import Proxy
from tests.servers import Server

ALGORITHMS = ["gcra", "sliding"]
HAMMER = "tests.faults.hits:hammer"


@contextmanager
def scripts_flushed(server: Server) -> Iterator[None]:
    """Forget all scripts again and again, by a thread."""
    stop = threading.Event()

    def flush() -> None:
        while not stop.wait(0.005):
            server.ask("SCRIPT", "FLUSH")

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fifty_clients_in_four_processes_with_clocks_an_hour_off_and_scripts_flushed_get_the_amount(server: Server, algorithm: str) -> None:
    clocks = (0, 3600, -3600, 7200)
    with scripts_flushed(server):
        clients = [
            Client(HAMMER, clock_s=clock, url=server.url, threads=13, hits=20, limits=[[100, 86_400]], algorithm=algorithm)
            for clock in clocks
        ]
        told = [client.result() for client in clients]

    assert sum(allowed for allowed, _, _ in told) == 100


def test_a_window_by_the_clients_own_clocks_lets_too_many_through(redis7: Server) -> None:
    redis7.flush()
    assert [Client("tests.faults.hits:by_own_clock", clock_s=clock, url=redis7.url, hits=15).result() for clock in (0, 25)] == [10, 10]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_allowed_is_bounded_by_the_amount_and_the_time_that_went_by(server: Server, algorithm: str) -> None:
    clients = [Client(HAMMER, url=server.url, threads=8, seconds=1.6, limits=[[40, 0.5]], algorithm=algorithm) for _ in range(3)]
    told = [client.result() for client in clients]
    allowed = sum(one for one, _, _ in told)
    elapsed = max(ended for _, _, ended in told) - min(began for _, began, _ in told)

    assert 40 < allowed <= 40 + elapsed * 80 + (40 if algorithm == "sliding" else 1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_killed_client_leaves_no_key_without_a_time_to_live(server: Server, algorithm: str) -> None:
    for _ in range(8):
        with Client("tests.faults.hits:for_ever", url=server.url, algorithm=algorithm) as client:
            assert client.told() == "ready"
            time.sleep(random.random() * 0.02)
            client.kill()

    with Database(server.url) as db:
        keys = db.client.keys()
        assert len(keys) > 50
        assert all(db.client.pttl(key) > 0 for key in keys)


def test_the_tutorials_limiter_leaves_one_for_ever_where_its_client_ends_in_between(redis7: Server) -> None:
    with Proxy(redis7.flush().port) as proxy, Client("tests.faults.hits:tutorial", url=proxy.url) as client:
        assert client.told() == "ready"
        silence = proxy.silence("INCR")
        while silence.times:
            time.sleep(0.01)
        client.kill()
        with Database(redis7.url) as db:
            assert [db.client.pttl(key) for key in db.client.scan_iter()].count(-1) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_lost_answer_counts_twice_at_most_and_is_no_error(server: Server, proxy: Proxy, algorithm: str) -> None:
    with Database(proxy.url) as db:
        limiter = RateLimiter(db, "lossy", Limit(20, per=86_400), algorithm=algorithm)  # type: ignore[arg-type]
        limiter.hit(1)
        proxy.lose("EVALSHA", skip=3, times=2)

        allowed = sum(limiter.hit(1).allowed for _ in range(30))

        assert 17 <= allowed < 20
        assert limiter.peek(1).remaining == 0


def test_a_server_that_is_gone_is_an_error_or_let_through_as_was_asked(server: Server, proxy: Proxy) -> None:
    with Database(proxy.url, retry=Retry(NoBackoff(), 0)) as db:
        strict, lenient = (RateLimiter(db, "gone", Limit(1, per=60), on_error=word) for word in ("raise", "allow"))
        strict.hit(1)
        proxy.refuse()

        with pytest.raises(ConnectionFailedError):
            strict.hit(1)
        assert lenient.hit(1).allowed
        proxy.heal()
        assert not lenient.hit(1).allowed

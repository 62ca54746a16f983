"""Rate limits on every server, in both colours and by both algorithms."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any, cast

import pytest

from redisorm import AsyncRateLimiter, BackendError, Database, Decision, Limit, MappingError, RateLimiter, RateLimitExceeded
from redisorm.drivers.database import Traffic
from redisorm.patterns import gcra, sliding
from redisorm.patterns.scripts import script
from tests.servers import Server

Limiting = Callable[..., "Limited"]


class Limited:
    """A limiter of either colour behind blocking calls."""

    def __init__(self, colour: str, db: Database, *limits: Limit, **options: Any) -> None:
        self._awaits = colour == "async"
        kind: Any = AsyncRateLimiter if self._awaits else RateLimiter
        self.limiter = kind(db, "login", *limits, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.limiter, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            async def awaited() -> Any:
                return await method(*arguments, **keywords)

            return asyncio.run(awaited()) if self._awaits else method(*arguments, **keywords)

        return call


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["gcra", "sliding"])
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def limiting(colour: str, algorithm: str, db: Database) -> Limiting:
    def make(*limits: Limit) -> Limited:
        return Limited(colour, db, *limits, algorithm=algorithm)

    return make


def lives(db: Database) -> list[int]:
    return [db.client.pttl(key) for key in db.client.scan_iter()]


def test_the_amount_is_allowed_and_no_more(limiting: Limiting) -> None:
    limited = limiting(Limit(3, per=3600))

    decisions = [limited.hit("ann") for _ in range(5)]

    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
    assert all(0 < decision.reset_after <= 3600 for decision in decisions)
    assert 0 < decisions[3].retry_after <= 3600
    assert decisions[0].retry_after == 0
    assert limited.hit("bob").remaining == 2


def test_after_retry_after_the_hit_is_allowed_and_not_before(limiting: Limiting, algorithm: str) -> None:
    limited = limiting(Limit(2, per=0.5))
    assert limited.hit(1).allowed
    assert limited.hit(1).allowed
    denied = limited.hit(1)
    assert 0.2 * (algorithm == "sliding") < denied.retry_after <= 0.5

    time.sleep(max(0.0, denied.retry_after - 0.1))
    assert not limited.hit(1).allowed
    time.sleep(limited.peek(1).retry_after)
    assert limited.hit(1).allowed


def test_what_is_denied_costs_nothing_and_moves_no_deadline(limiting: Limiting, db: Database) -> None:
    limited = limiting(Limit(1, per=60))
    limited.hit(1)
    (before,), kept = [db.client.pexpiretime(key) for key in db.client.scan_iter()], [db.client.dump(key) for key in db.client.scan_iter()]

    for _ in range(20):
        assert not limited.hit(1).allowed

    assert [db.client.pexpiretime(key) for key in db.client.scan_iter()] == [before]
    assert [db.client.dump(key) for key in db.client.scan_iter()] == kept


def test_several_limits_are_all_or_nothing(limiting: Limiting) -> None:
    limited = limiting(Limit(2, per=60), Limit(10, per=3600))
    for _ in range(2):
        assert limited.hit(1).limit == Limit(2, per=60)

    denied = limited.hit(1)

    assert (denied.allowed, denied.limit) == (False, Limit(2, per=60))
    hour = limiting(Limit(10, per=3600))
    assert hour.peek(1).remaining == 8


def test_a_cost_is_that_many_hits(limiting: Limiting) -> None:
    limited = limiting(Limit(10, per=3600))

    assert limited.hit(1, cost=7).remaining == 3
    denied = limited.hit(1, cost=4)
    assert (denied.allowed, denied.remaining) == (False, 3)
    assert limited.hit(1, cost=3).remaining == 0
    never = limited.hit(1, cost=11)
    assert (never.allowed, never.retry_after) == (False, inf)


def test_a_look_counts_nothing(limiting: Limiting, db: Database) -> None:
    limited = limiting(Limit(3, per=3600))
    assert limited.peek(1) == Decision(True, Limit(3, 3600), 3, 0.0, 0.0)
    assert db.client.keys() == []
    limited.hit(1, cost=2)

    assert [limited.peek(1).remaining for _ in range(3)] == [1, 1, 1]
    assert not limited.peek(1, cost=2).allowed


def test_a_reset_gives_everything_back(limiting: Limiting, db: Database) -> None:
    limited = limiting(Limit(1, per=3600))
    limited.hit(1)
    limited.reset(1)
    assert db.client.keys() == []
    assert limited.hit(1).allowed


def test_every_key_expires_when_it_says_nothing_any_more(limiting: Limiting, db: Database) -> None:
    limited = limiting(Limit(5, per=0.2), Limit(50, per=60))
    for subject in range(5):
        limited.hit(subject)
    assert all(0 < life <= 60_001 for life in lives(db))

    short = limiting(Limit(1000, per=0.3))
    for _ in range(3):
        short.hit("x")
        time.sleep(0.02)
    time.sleep(0.4)
    assert not [key for key in db.client.scan_iter() if b"login:x" in key]


def test_a_hit_is_one_round_trip(limiting: Limiting, db: Database, server_url: str) -> None:
    if server_url.startswith("memory"):
        pytest.skip("memory:// runs no scripts")
    limited = limiting(Limit(3, per=3600))
    limited.hit(1)

    before = db.traffic
    limited.hit(1)
    limited.hit(1)
    denied = limited.hit(1)
    after = db.traffic

    assert not denied.allowed
    connections = 0 if isinstance(limited.limiter, RateLimiter) else 3  # each asyncio.run greets anew
    assert after.round_trips - before.round_trips == 3 + connections


def test_a_window_never_holds_more_than_the_amount_wherever_it_begins(db: Database) -> None:
    limiter = RateLimiter(db, "window", Limit(5, per=0.25), algorithm="sliding")
    allowed: list[float] = []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        before = time.monotonic()
        if limiter.hit(1).allowed:
            allowed.append(before)  # counted not later than now: windows between two of these are no shorter than they look
        time.sleep(0.003)

    assert len(allowed) > 15
    ends = list(zip(allowed, allowed[5:], strict=False))
    assert all(last - first > 0.25 - 0.02 for first, last in ends)
    kept = db.client.zcard("limit::window:1:hits")
    assert kept <= 6, "hits that have left the window are dropped"


def test_many_threads_and_tasks_never_get_more(db: Database, algorithm: Any) -> None:
    limiter = RateLimiter(db, "many", Limit(100, per=86_400), algorithm=algorithm)
    with ThreadPoolExecutor(20) as threads:
        by_threads = sum(decision.allowed for decision in threads.map(limiter.hit, ["ann"] * 150))

    async def by_tasks() -> int:
        awaited = AsyncRateLimiter(db, "many", Limit(100, per=86_400), algorithm=algorithm)
        return sum(decision.allowed for decision in await asyncio.gather(*(awaited.hit("bob") for _ in range(150))))

    assert by_threads == 100
    assert asyncio.run(by_tasks()) == 100


def test_limits_may_change_while_others_run_with_the_old_ones(limiting: Limiting) -> None:
    old, new = limiting(Limit(4, per=3600)), limiting(Limit(8, per=3600), Limit(20, per=86_400))
    old.hit(1, cost=2)

    assert new.hit(1).allowed
    assert old.hit(1).allowed
    assert new.peek(1).remaining < 8
    assert not old.hit(1, cost=3).allowed


def test_without_scripts_the_decisions_are_the_same(server: Server, colour: str, algorithm: str) -> None:
    with Database(server.url) as admin:
        admin.client.acl_setuser("plain", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-@scripting"])
    with Database(f"redis://plain:p@127.0.0.1:{server.port}/0") as db:
        limited = Limited(colour, db, Limit(3, per=3600), Limit(4, per=86_400), algorithm=algorithm)
        decisions = [limited.hit(1) for _ in range(4)]
        assert [decision.allowed for decision in decisions] == [True, True, True, False]
        assert [decision.remaining for decision in decisions] == [2, 1, 0, 0]
        with ThreadPoolExecutor(8) as threads:
            limiter = RateLimiter(db, "many", Limit(20, per=86_400), algorithm=algorithm)  # type: ignore[arg-type]
            assert sum(decision.allowed for decision in threads.map(limiter.hit, ["ann"] * 40)) == 20
        assert all(life > 0 for life in lives(db))


def test_a_key_that_is_denied_is_an_error_that_names_it(server: Server) -> None:
    with Database(server.url) as admin:
        admin.client.acl_setuser("other", enabled=True, passwords=["+p"], keys=["other:*"], commands=["+@all"])
    with Database(f"redis://other:p@127.0.0.1:{server.port}/0") as db, pytest.raises(BackendError, match="limit::login:1") as raised:
        RateLimiter(db, "login", Limit(3, per=60)).hit(1)
    assert raised.value.code == "NOPERM"


SHARED = (Limit(7, per=0.011), Limit(11, per=0.05), Limit(1000, per=3600))


def decided(db: Database, name: str, key: str, words: list[int]) -> list[int]:
    """What a script answers."""
    answers = db.run(script(name).call([1, key, *words]))
    assert answers is not None
    return cast("list[int]", answers[0])


def test_the_script_of_gcra_takes_the_steps_of_python(server: Server) -> None:
    key = "limit::same:1"
    with Database(server.url) as db:
        for number in range(300):
            cost, before = number % 5 + 1, cast("bytes", db.client.get(key))
            words = [1, len(SHARED)]
            for limit in SHARED:
                words += (limit.per_us, limit.amount, *divmod(cost * limit.per_us, limit.amount))
            reply = decided(db, "gcra", key, words)
            after = cast("bytes", db.client.get(key))
            if not reply[0]:
                assert after in (before, None)
                continue
            (hour,) = [word for word in after.split() if word.startswith(b"3600")]
            now = int(hour.split(b":")[2]) - reply[5]
            expected, (written, _) = gcra.advance(now, before, SHARED, cost)
            assert reply == expected
            assert sorted(after.decode().split()) == sorted(written.split())


def test_the_script_of_sliding_windows_takes_the_steps_of_python(server: Server) -> None:
    key, seen = "limit::same:1:hits", Counter[int]()
    with Database(server.url) as db:
        for number in range(300):
            cost = number % 5 + 1
            before = sliding.stored_hits(db.client.zrange(key, 0, -1, withscores=True))
            words = [1, cost, len(SHARED), *(word for limit in SHARED for word in (limit.per_us, limit.amount))]
            reply = decided(db, "sliding", key, words)
            after = sliding.stored_hits(db.client.zrange(key, 0, -1, withscores=True))
            seen[reply[0]] += 1
            if after:  # the latest hit left the window of an hour, or will, at now + reply[9]
                now = after[-1][0] + SHARED[2].per_us - reply[9]
                assert reply == sliding.advance(key, now, before, SHARED, cost)[0]
    assert seen[0] > 5
    assert seen[1] > 5


def test_a_guarded_function_is_called_within_the_limit_only(db: Database) -> None:
    limiter, calls = RateLimiter(db, "login", Limit(2, per=3600)), []

    @limiter.guard("{user_id}")
    def login(user_id: int, password: str = "") -> str:
        """Let in."""
        calls.append(user_id)
        return f"hello {user_id}"

    assert login(1) == "hello 1"
    assert login(user_id=1, password="x") == "hello 1"
    with pytest.raises(RateLimitExceeded, match="2 per 3600 s") as raised:
        login(1)
    assert isinstance(raised.value.decision, Decision)
    assert calls == [1, 1]
    assert login.__doc__ == "Let in."
    assert limiter.peek(1).remaining == 0, "guard and hit count the same subject"


def test_a_guarded_coroutine_is_awaited_within_the_limit_only(db: Database) -> None:
    limiter = AsyncRateLimiter(db, "login", Limit(1, per=3600))

    @limiter.guard("{a}:{b}", cost=1)
    async def login(a: str, b: str) -> str:
        return a + b

    async def main() -> None:
        assert await login("x", "y") == "xy"
        assert await login("x:y", "") == "x:y"
        with pytest.raises(RateLimitExceeded):
            await login("x", b="y")

    asyncio.run(main())


def test_a_function_of_the_other_colour_is_refused(db: Database) -> None:
    async def coroutine(user_id: int) -> None: ...

    def ordinary(user_id: int) -> None: ...

    with pytest.raises(MappingError, match="use AsyncRateLimiter"):
        RateLimiter(db, "x", Limit(1, 1)).guard("{user_id}")(coroutine)
    with pytest.raises(MappingError, match="use RateLimiter"):
        AsyncRateLimiter(db, "x", Limit(1, 1)).guard("{user_id}")(ordinary)  # type: ignore[arg-type]


def test_a_closed_database_says_so(db: Database) -> None:
    limiter = RateLimiter(db, "login", Limit(1, per=60))
    assert isinstance(db.traffic, Traffic)
    db.close()
    with pytest.raises(BackendError, match="closed"):
        limiter.hit(1)

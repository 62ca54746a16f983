"""What a rate limiter asks of a server, and what it makes of the answers."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from math import ceil, inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redisorm import BackendError, CommitUnknownError, ConcurrentUpdateError, Decision, Limit, RateLimitExceeded
from redisorm.commands import Batch, Flow, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.patterns import gcra, sliding
from redisorm.patterns.ratelimit import BaseRateLimiter
from redisorm.patterns.scripts import script, step

NOW_US = 1_700_000_000_000_000


class Named:
    namespace = "shop"


def limiter(*limits: Limit, **options: Any) -> BaseRateLimiter:
    return BaseRateLimiter(
        Named(), "login", limits or (Limit(5, per=60),), options.get("algorithm", "gcra"), options.get("on_error", "raise")
    )


SCRIPTS = {"EVALSHA": True}


def refused(code: str) -> BackendError:
    return BackendError("refused", code=code)


def test_a_hit_is_one_round_trip_with_all_that_the_script_needs() -> None:
    driver = ScriptedDriver([[[1, 12_000_000, 0]]], supports=SCRIPTS)

    decision = driver.run(limiter()._hit(7, 1))

    ((name, _, *words),) = driver.commands
    assert (name, words) == ("EVALSHA", [1, "shop:limit::login:7", 1, 1, 60_000_000, 5, 12_000_000, 0])
    assert decision == Decision(True, Limit(5, 60), 4, 0.0, 12.0)
    driver.done()


def test_a_server_that_has_not_met_the_script_is_given_it() -> None:
    driver = ScriptedDriver([refused("NOSCRIPT"), [[1, 12_000_000, 0]]], supports=SCRIPTS)

    driver.run(limiter()._hit(7, 1))

    assert [command[0] for command in driver.commands] == ["EVALSHA", "EVAL"]
    assert driver.commands[0][2:] == driver.commands[1][2:]


def test_where_scripts_are_denied_the_key_is_watched() -> None:
    driver = ScriptedDriver([[[b"1700000000", b"0"], None], [b"OK"]], supports={"EVALSHA": False})

    assert driver.run(limiter()._hit(7, 1)) == Decision(True, Limit(5, 60), 4, 0.0, 12.0)

    key = "shop:limit::login:7"
    assert driver.commands == [("TIME",), ("GET", key), ("SET", key, "60000000:5:1700000012000000:0", "PXAT", 1_700_000_012_001)]
    assert driver.round_trips == 2


def test_a_lost_race_is_tried_again_from_a_fresh_read_and_not_for_ever() -> None:
    read = [[b"1700000000", b"0"], None]
    driver = ScriptedDriver([read, None, read, [b"OK"]], supports={"EVALSHA": False})

    assert driver.run(limiter()._hit(7, 1)).allowed
    driver.done()

    hopeless = ScriptedDriver(lambda request: read if isinstance(request, Watch) else None, supports={"EVALSHA": False})
    with pytest.raises(ConcurrentUpdateError, match="login:7"):
        hopeless.run(limiter()._hit(7, 1))


def test_a_step_whose_answer_was_lost_is_done_again_where_that_is_harmless_and_else_told() -> None:
    read, lost = [[b"1700000000", b"0"], None], CommitUnknownError("lost")
    driver = ScriptedDriver([read, lost, read, [b"OK"]], supports={"EVALSHA": False})
    assert driver.run(limiter()._hit(7, 1)).allowed
    driver.done()

    def attempt() -> Flow[Any]:
        return (yield Batch([("SET", "key", "value")], atomic=True))

    with pytest.raises(CommitUnknownError):
        ScriptedDriver([lost], supports={"EVALSHA": False}).run(step(script("gcra"), ["key"], [], attempt, resend=False))


def test_what_is_denied_writes_nothing() -> None:
    full = [[b"1700000000", b"0"], b"60000000:5:1700000060000000:0"]
    driver = ScriptedDriver([full], supports={"EVALSHA": False})

    decision = driver.run(limiter()._hit(7, 1))

    assert decision == Decision(False, Limit(5, 60), 0, 12.0, 60.0)
    driver.done()


def test_the_limit_that_decides_is_the_one_with_the_longest_wait_or_the_least_left() -> None:
    minute, day = Limit(5, per=60), Limit(100, per=86_400)
    denied = ScriptedDriver([[[0, 60_000_000, 0, 86_400_000_000, 0]]], supports=SCRIPTS)
    allowed = ScriptedDriver([[[1, 12_000_000, 0, 86_400_000_000, 0]]], supports=SCRIPTS)

    assert denied.run(limiter(minute, day)._hit(7, 1)) == Decision(False, day, 0, 864.0, 86_400.0)
    assert allowed.run(limiter(minute, day)._hit(7, 1)) == Decision(True, day, 0, 0.0, 86_400.0)


def test_a_cost_above_the_amount_waits_for_ever() -> None:
    driver = ScriptedDriver([[[0, 0, 0]]], supports=SCRIPTS)

    decision = driver.run(limiter()._hit(7, 6))

    assert decision == Decision(False, Limit(5, 60), 5, inf, 0.0)
    assert "Retry-After" not in decision.headers()
    with pytest.raises(RateLimitExceeded, match="never") as raised:
        decision.raise_for_limit()
    assert raised.value.decision is decision


def test_headers_are_whole_seconds_rounded_up() -> None:
    assert Decision(False, Limit(5, per=0.5), 0, 0.1, 0.5).headers() == {
        "RateLimit-Policy": "5;w=1",
        "RateLimit-Limit": "5",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "1",
        "Retry-After": "1",
    }


def test_an_unreachable_server_is_an_error_or_a_hit_that_is_allowed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BackendError):
        ScriptedDriver([refused("LOADING")], supports=SCRIPTS).run(limiter()._hit(7, 1))

    decision = ScriptedDriver([refused("LOADING")], supports=SCRIPTS).run(limiter(on_error="allow")._hit(7, 1))

    assert decision.allowed
    assert "'login' allowed a hit without counting it" in caplog.text


@pytest.mark.parametrize(
    ("amount", "per"), [(0, 1), (-1, 1), (True, 1), (1.5, 1), (2**40 + 1, 1), (1, 0), (1, -1), (1, inf), (1, "60"), (1, 1e-7), (1, 1e11)]
)
def test_a_limit_that_is_none_is_refused(amount: Any, per: Any) -> None:
    with pytest.raises(ValueError, match="Limit"):
        Limit(amount, per)


def test_a_period_may_be_a_timedelta() -> None:
    assert Limit(5, per=timedelta(minutes=1)) == Limit(5, per=60)
    assert str(Limit(5, per=timedelta(minutes=1))) == "5 per 60 s"


@pytest.mark.parametrize(
    ("name", "limits", "options"),
    [
        ("", [Limit(1, 1)], {}),
        ("x", [], {}),
        ("x", [Limit(1, 60), Limit(2, timedelta(minutes=1))], {}),
        ("x", [Limit(1, 1)], {"algorithm": "log"}),
        ("x", [Limit(1, 1)], {"on_error": "call"}),
    ],
)
def test_a_limiter_that_makes_no_sense_is_refused(name: str, limits: list[Limit], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"limit|name|algorithm|on_error"):
        BaseRateLimiter(Named(), name, limits, options.get("algorithm", "gcra"), options.get("on_error", "raise"))


@pytest.mark.parametrize("cost", [0, -1, 1.0, True])
def test_a_cost_is_a_whole_number_of_at_least_one(cost: Any) -> None:
    with pytest.raises(ValueError, match="cost"):
        ScriptedDriver().run(limiter()._hit(7, cost))


class Bucket:
    """A leaky bucket in exact fractions: the textbook against which the algorithm is held."""

    def __init__(self, limit: Limit) -> None:
        self.amount, self.drain = limit.amount, Fraction(limit.amount, limit.per_us)
        self.level, self.at = Fraction(0), 0

    def level_at(self, now: int) -> Fraction:
        return max(Fraction(0), self.level - (now - self.at) * self.drain)

    def fits(self, now: int, cost: int) -> bool:
        return self.level_at(now) + cost <= self.amount

    def take(self, now: int, cost: int) -> None:
        self.level, self.at = self.level_at(now) + cost, now


LIMITS = st.lists(
    st.builds(Limit, st.integers(1, 50), st.sampled_from([0.000001, 0.000007, 0.001, 0.013, 1, 3, 60])),
    min_size=1,
    max_size=3,
    unique_by=lambda limit: limit.per_us,
)


@settings(max_examples=300, deadline=None)
@given(limits=LIMITS, hits=st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 6)), max_size=40))
def test_decisions_are_those_of_exact_leaky_buckets(limits: list[Limit], hits: list[tuple[int, int]]) -> None:
    buckets, state, now = [Bucket(limit) for limit in limits], None, NOW_US
    for pause, cost in hits:
        now += pause
        expected = all(bucket.fits(now, cost) for bucket in buckets)

        reply, (text, deadline_ms) = gcra.advance(now, state, limits, cost)

        assert reply[0] == expected
        if expected:
            state = text.encode()
            for bucket in buckets:
                bucket.take(now, cost)
        for bucket, limit, whole, rest in zip(buckets, limits, reply[1::2], reply[2::2], strict=True):
            standing = gcra._standing(limit, cost, whole, rest, expected)
            level = bucket.level_at(now)
            assert standing.remaining == (bucket.amount - level) // 1
            assert Fraction(whole) + Fraction(rest, limit.amount) == level / bucket.drain
            if not expected and cost <= limit.amount:
                assert standing.wait_us == max(0, ceil((level + cost - bucket.amount) / bucket.drain))
            if expected:
                assert deadline_ms * 1000 >= now + level / bucket.drain


def test_a_server_whose_clock_went_back_counts_as_full_and_no_longer_than_the_period() -> None:
    state = f"60000000:5:{NOW_US + 3_600_000_000}:3".encode()

    reply, _ = gcra.advance(NOW_US, state, [Limit(5, 60)], 1)

    assert reply == [0, 60_000_000, 0]


def test_the_share_that_is_used_stays_when_the_amount_changes() -> None:
    reply, (text, _) = gcra.advance(NOW_US, b"60000000:5:%d:2" % (NOW_US + 30_000_000), [Limit(10, 60)], 1)

    assert reply == [1, 36_000_001, 0]
    assert text == f"60000000:10:{NOW_US + 36_000_001}:0"


def test_what_other_limits_of_the_same_name_have_used_is_kept() -> None:
    day = f"86400000000:100:{NOW_US + 5}:1"

    _, (text, deadline_ms) = gcra.advance(NOW_US, f"{day} 1000000:2:{NOW_US - 1}:0".encode(), [Limit(5, 60)], 1)

    assert text == f"{day} 60000000:5:{NOW_US + 12_000_000}:0"
    assert deadline_ms == NOW_US // 1000 + 12_001


@settings(max_examples=300, deadline=None)
@given(limits=LIMITS, hits=st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 6)), max_size=40))
def test_a_sliding_window_decides_as_whoever_remembers_every_hit(limits: list[Limit], hits: list[tuple[int, int]]) -> None:
    remembered: list[tuple[int, int]] = []
    state: list[tuple[int, int, int]] = []
    now = NOW_US
    for pause, cost in hits:
        now += pause

        def used(limit: Limit, at: int) -> int:
            return sum(weight for time, weight in remembered if time > at - limit.per_us)

        expected = all(used(limit, now) + cost <= limit.amount for limit in limits)
        reply, commands = sliding.advance("key", now, state, limits, cost)

        assert reply[0] == expected
        if not expected:
            for limit, seen, wait in zip(limits, reply[1::3], reply[2::3], strict=True):
                assert seen == used(limit, now)
                if cost > limit.amount:
                    assert wait == -1
                    continue
                assert used(limit, now + wait) + cost <= limit.amount
                assert wait == 0 or used(limit, now + wait - 1) + cost > limit.amount
            continue
        (_, _, time, member), (_, _, deadline_ms), (_, _, _, below) = commands
        total, weight = map(int, str(member).split(":"))
        state = [*(hit for hit in state if hit[0] >= int(str(below)[1:])), (int(time), total, weight)]
        remembered.append((int(time), cost))
        assert weight == cost
        assert int(deadline_ms) * 1000 >= int(time) + max(limit.per_us for limit in limits)
        assert reply[1::3] == [used(limit, now) for limit in limits]


@pytest.mark.parametrize("nested", [True, False], ids=["RESP3", "RESP2"])
def test_stored_hits_are_read_in_both_protocols(nested: bool) -> None:
    pairs: list[Any] = [[b"3:3", 1_700_000_000_000_001.0], [b"4:1", 1_700_000_000_000_002.0]]
    if not nested:
        pairs = [b"3:3", b"1700000000000001", b"4:1", b"1700000000000002"]
    assert sliding.stored_hits(pairs) == [(1_700_000_000_000_001, 3, 3), (1_700_000_000_000_002, 4, 1)]
    assert sliding.stored_hits([]) == []


def test_without_scripts_a_sliding_hit_is_two_round_trips() -> None:
    driver = ScriptedDriver([[[b"1700000000", b"7"], [[b"1:1", float(NOW_US)]]], [1, 1, 0]], supports={"EVALSHA": False})

    assert driver.run(limiter(algorithm="sliding")._hit(7, 2)) == Decision(True, Limit(5, 60), 2, 0.0, 60.0)

    key = "shop:limit::login:7:hits"
    assert driver.commands[2:] == [
        ("ZADD", key, NOW_US + 7, "3:2"),
        ("PEXPIREAT", key, (NOW_US + 60_000_000) // 1000 + 1),
        ("ZREMRANGEBYSCORE", key, "-inf", "(0"),
    ]
    looking = ScriptedDriver([[[b"1700000000", b"7"], [[b"1:1", float(NOW_US)]]]], supports={"EVALSHA": False})
    assert looking.run(limiter(algorithm="sliding")._peek(7, 1)).remaining == 4

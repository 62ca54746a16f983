"""The server's clock, kept from samples."""

from __future__ import annotations

from redisorm.drivers.server import ServerClock


def test_clock_is_unknown_before_the_first_sample_and_after_a_minute() -> None:
    clock = ServerClock()
    assert clock.now_ms(10.0) is None
    clock.learn(10.0, 10.002, 1_000.001)
    assert clock.now_ms(10.001) == 1_000_001
    assert clock.now_ms(60.0) == 1_050_000
    assert clock.now_ms(71.0) is None
    assert clock.at_ms(71.0) == 1_061_000


def test_clock_keeps_the_sample_with_the_smaller_round_trip() -> None:
    clock = ServerClock()
    clock.learn(10.0, 10.002, 1_000.001)
    clock.learn(11.0, 11.4, 1_001.3)  # could be 200 ms off, and agrees within that
    assert clock.at_ms(10.001) == 1_000_001
    clock.learn(12.0, 12.001, 1_002.0015)
    assert clock.at_ms(12.0005) == 1_002_002


def test_clock_that_was_set_is_believed() -> None:
    clock = ServerClock()
    clock.learn(10.0, 10.001, 1_000.0)
    clock.learn(11.0, 11.1, 5_000.0)
    assert abs(clock.at_ms(11.05) - 5_000_000) < 2


def test_broken_connection_makes_the_clock_ask_again() -> None:
    clock = ServerClock()
    clock.learn(10.0, 10.001, 1_000.0)
    clock.doubt()
    assert clock.now_ms(10.1) is None

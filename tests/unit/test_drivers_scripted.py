"""The scripted driver, a test double for whatever runs flows."""

from __future__ import annotations

import asyncio

import pytest

from redisorm.commands import Batch, Clock, Flow, Pause, Supports, Watch, WatchLimit
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.errors import StaleObjectError


def reading() -> Flow[object]:
    found = yield Watch(["a"], [("HGET", "a", "x")])
    written = yield Batch([("HSET", "a", "x", 2)], atomic=True)
    return found, written


def test_answers_come_in_order_and_requests_are_recorded() -> None:
    driver = ScriptedDriver([[b"1"], [0]])
    assert driver.run(reading()) == ([b"1"], [0])
    assert driver.commands == [("HGET", "a", "x"), ("HSET", "a", "x", 2)]
    assert driver.round_trips == 2
    assert driver.requests[0] == Watch(["a"], [("HGET", "a", "x")])
    driver.done()


def test_both_colours_do_the_same() -> None:
    assert asyncio.run(ScriptedDriver([[b"1"], None]).arun(reading())) == ([b"1"], None)


def test_exception_is_thrown_into_the_flow() -> None:
    def flow() -> Flow[str]:
        try:
            yield Batch([("PING",)])
        except StaleObjectError as error:
            return f"caught {error}"
        return "nothing"

    assert ScriptedDriver([StaleObjectError("gone")]).run(flow()) == "caught gone"


def test_script_may_be_a_function() -> None:
    assert ScriptedDriver(lambda request: [len(request.commands)]).run(reading()) == ([1], [1])


def test_everything_but_batches_is_answered_from_attributes() -> None:
    def flow() -> Flow[object]:
        now = yield Clock()
        old = yield Supports("HGETEX")
        new = yield Supports("hget")
        limit = yield WatchLimit()
        pause = yield Pause(0.5)
        return now, old, new, limit, pause

    driver = ScriptedDriver(now_ms=5, supports={"HGETEX": False}, watch_limit=7)
    assert driver.run(flow()) == (5, False, True, 7, None)
    assert driver.requests[-1] == Pause(0.5)
    assert driver.round_trips == 0


def test_missing_answer_names_the_request() -> None:
    with pytest.raises(AssertionError, match=r"no answer is left for Batch\(.*number 2"):
        ScriptedDriver([[b"1"]]).run(reading())


def test_left_over_answer_is_told() -> None:
    driver = ScriptedDriver([[b"1"], [0], [b"spare"]])
    driver.run(reading())
    with pytest.raises(AssertionError, match=r"1 answers were not asked for.*spare"):
        driver.done()

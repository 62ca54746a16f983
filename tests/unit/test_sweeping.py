"""Sweeping and settling without a server: bounded steps, races that are given up, and clocks that disagree."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from redisorm import BackendError, ConcurrentUpdateError
from redisorm.commands import ATTEMPTS, Batch, Pause, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.checking import check
from redisorm.flows.settling import AT_ONCE, batches, settle_all
from redisorm.flows.spelling import Due
from redisorm.flows.sweeping import PATIENCE, sweep, sweep_all, sweep_met
from redisorm.mapping.base import mapper_of
from tests.unit.desk import NOW, look, talk
from tests.zoo.indexed import Citizen, Guest, Member
from tests.zoo.models import User

GUEST = mapper_of(Guest)
GUESTS = GUEST.keyspace("")


class Store:
    """Answers as a server that holds one index, of which `due` are due, and rows that are gone unless they are `there`."""

    def __init__(self, due: list[bytes], *, there: bool = False, deadline_ms: int = NOW - 1, races: int = 0) -> None:
        self.due = due
        self.there = there
        self.deadline_ms = deadline_ms
        self.races = races

    def __call__(self, request: Batch | Watch) -> Any:
        if isinstance(request, Batch) and request.atomic and not request.resend:
            if self.races:
                self.races -= 1
                return None
            if not self.there:
                self.due = []
            return [1] * len(request.commands)
        return [self.answer(*command) for command in request.commands]

    def answer(self, name: Any, key: Any, *words: Any) -> Any:
        if name == "ZRANGE":
            return self.due[: words[-1]]
        if name == "HMGET":
            return [None] * len(words)
        answers: dict[str, Callable[[], Any]] = {
            "ZCOUNT": lambda: len(self.due),
            "PEXPIRETIME": lambda: self.deadline_ms if self.there else -2,
            "HGETALL": list,
            "TYPE": lambda: b"hash" if self.there and key.count(":") == 1 else b"none",
            "SMEMBERS": list,
        }
        return answers[name]()


# ---- sweeping -------------------------------------------------------------------------------------------------------


def test_class_without_an_index_has_nothing_to_sweep() -> None:
    mapper = mapper_of(User)
    for flow in (sweep(mapper, mapper.keyspace(""), 10), sweep_all(mapper, mapper.keyspace(""))):
        driver = ScriptedDriver()
        assert driver.run(flow) == 0
        assert driver.requests == []


def test_sweep_asks_for_no_more_than_it_may_and_is_one_round_trip_where_nothing_is_due() -> None:
    driver = ScriptedDriver(Store([]))
    assert driver.run(sweep(GUEST, GUESTS, 7)) == 0
    assert talk(driver) == [look(("ZRANGE", "guest::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 7))]


def test_sweep_takes_away_what_a_row_left_behind_while_it_watches_that_the_row_does_not_come_back() -> None:
    driver = ScriptedDriver(Store([b"1"]))
    assert driver.run(sweep(GUEST, GUESTS, 7)) == 1
    _, watch, write = talk(driver)
    assert watch == Watch(["guest:1", "guest:1::memo"], [("PEXPIRETIME", "guest:1"), ("HGETALL", "guest:1::memo")])
    assert ("ZREM", "guest::all", b"1", "1") in write.commands
    assert ("UNLINK", "guest:1::memo", "guest:1:tags") in write.commands


def test_row_that_lives_gets_its_own_deadline_in_the_list_of_all_rows() -> None:
    driver = ScriptedDriver(Store([b"1"], there=True, deadline_ms=NOW + 500))
    assert driver.run(sweep(GUEST, GUESTS, 7)) == 1
    assert ("ZADD", "guest::all", str(NOW + 500), "1") in talk(driver)[-1].commands


def test_rows_that_another_writer_was_faster_with_are_left_for_the_next_sweep() -> None:
    driver = ScriptedDriver(Store([b"1"], races=1))
    assert driver.run(sweep(GUEST, GUESTS, 7)) == 0


def test_sweep_of_all_tells_its_progress_and_ends_where_nothing_is_due_any_more() -> None:
    told: list[tuple[int, int | None]] = []
    driver = ScriptedDriver(Store([b"1", b"2"]))
    assert driver.run(sweep_all(GUEST, GUESTS, lambda done, total: told.append((done, total)))) == 2
    assert told == [(2, 2)]


def test_sweep_of_all_does_not_turn_in_circles_where_the_clock_is_behind_what_it_was_taken_for() -> None:
    """Rows are due by our time and live by the server's: it is waited for a little, and then given up."""
    driver = ScriptedDriver(Store([b"1"], there=True, deadline_ms=NOW))
    assert driver.run(sweep_all(GUEST, GUESTS)) == 0
    assert sum(isinstance(request, Pause) for request in driver.requests) == PATIENCE


@pytest.mark.parametrize("error", [BackendError("gone away"), ConcurrentUpdateError("raced")])
def test_commit_is_done_whatever_happens_to_the_rows_it_met(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    driver = ScriptedDriver([error])
    with caplog.at_level(logging.INFO, "redisorm"):
        driver.run(sweep_met([Due(GUEST, GUESTS, ["1", "2"])]))
    assert [record.getMessage() for record in caplog.records] == [f"2 expired rows of Guest wait for the next sweep: {error}"]


# ---- settling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "sizes"), [(None, [AT_ONCE, 50]), (1_000, [200, 100]), (1, [1] * 300)])
def test_batch_watches_no_more_than_the_server_lets_it(limit: int | None, sizes: list[int]) -> None:
    """A guest is watched by its key, its memo, its tags and its unique value."""
    driver = ScriptedDriver(watch_limit=limit)
    parts = driver.run(batches(GUEST, {str(number): () for number in range(300)}))
    assert [len(part) for part in parts] == sizes


def test_batch_that_lost_a_race_is_halved_and_done_from_fresh_reads() -> None:
    driver = ScriptedDriver(Store([], races=2))
    driver.run(settle_all(GUEST, GUESTS, {str(number): () for number in range(4)}))
    watched = [len(request.keys) // 2 for request in talk(driver) if isinstance(request, Watch)]
    assert watched == [4, 2, 1, 1, 2]


def test_row_of_which_every_race_is_lost_is_named() -> None:
    driver = ScriptedDriver(Store([], races=10_000))
    with pytest.raises(ConcurrentUpdateError, match=f"other writers changed Guest '1' {ATTEMPTS} times in a row while it was looked at"):
        driver.run(settle_all(GUEST, GUESTS, {"1": ()}))


# ---- walking the keys of a class ------------------------------------------------------------------------------------


def keyspace_of(keys: dict[bytes, tuple[bytes, int]], *, nested: bool = False) -> Callable[[Batch | Watch], Any]:
    """Answers as a server that holds these keys, by type and size, whose members are rows that are gone."""

    def answer(request: Batch | Watch) -> Any:
        return [one(*command) for command in request.commands]

    def one(name: Any, *words: Any) -> Any:
        if name == "SCAN":
            return [b"0", list(keys)]
        kind, size = keys.get(str(words[0]).encode(), (b"none", 0)) if words else (b"none", 0)
        members = [b"%d" % number for number in range(size)]
        pairs: list[Any] = [[member, 0.0] for member in members] if nested else [word for member in members for word in (member, b"0")]
        answers = {"ZCARD": size, "TYPE": kind, "ZRANGE": members, "ZSCAN": [b"0", pairs], "PEXPIRETIME": -2, "HGETALL": [], "GET": None}
        answers |= {"ZMSCORE": [0.0] * (len(words) - 1), "TIME": [b"1700000000", b"0"]}
        return answers[name]

    return answer


def test_small_indexes_are_read_together_as_many_as_fit_one_step() -> None:
    keys = {f"citizen::city:{name}".encode(): (b"zset", 200) for name in "abcd"}
    driver = ScriptedDriver(keyspace_of(keys))
    mapper = mapper_of(Citizen)
    report = driver.run(check(mapper, mapper.keyspace("")))
    pages = [[str(command[1])[-1] for command in request.commands] for request in talk(driver) if request.commands[0][0] == "ZRANGE"]
    assert pages == [["a", "b"], ["c", "d"]]
    assert report.counts == {"dangling entry": 800}


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "in pairs"])
def test_large_index_is_read_in_pages_whichever_protocol_brings_them(nested: bool) -> None:
    driver = ScriptedDriver(keyspace_of({b"citizen::city:a": (b"zset", 501)}, nested=nested))
    mapper = mapper_of(Citizen)
    report = driver.run(check(mapper, mapper.keyspace("")))
    assert ("ZSCAN", "citizen::city:a", b"0", "COUNT", 500) in driver.commands
    assert report.counts == {"dangling entry": 501}


def test_key_that_is_no_text_is_none_of_a_class() -> None:
    driver = ScriptedDriver(keyspace_of({b"member:\xff": (b"hash", 0)}))
    mapper = mapper_of(Member)
    assert driver.run(check(mapper, mapper.keyspace(""))).ok
    assert [command[0] for command in driver.commands] == ["ZCARD", "SCAN"]

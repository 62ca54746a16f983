"""Walking a sorted set while others write to it: each unchanged entry exactly once, in bounded steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from redisorm import Database
from redisorm.commands import Batch, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.sources import Lexical, Scored
from redisorm.flows.walking import Walk

KEY = "walked"


class Set:
    """A sorted set in memory that somebody else writes to between two round trips."""

    def __init__(self, meddle: Callable[[Any], None]) -> None:
        self.client: Any = Database("memory://").client
        self._meddle = meddle
        self.most = 0

    def __call__(self, batch: Batch | Watch) -> list[Any]:
        replies = [self.client.execute_command(*command) for command in batch.commands]
        self.most = max(self.most, *(len(reply) for reply in replies if isinstance(reply, list)), 0)
        self._meddle(self.client)
        return replies


def walked(walk: Walk, driver: ScriptedDriver, count: int) -> list[tuple[bytes, Any]]:
    found: list[tuple[bytes, Any]] = []
    for _ in range(2000):
        entries, _others = driver.run(walk.page(count))
        found += entries
        if walk.ended:
            return found
    raise AssertionError("it does not end")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize(("low", "high"), [("-inf", "+inf"), ("3", "(7"), ("(3", "7"), ("5", "5"), ("8", "2")])
def test_a_part_is_walked_in_order(reverse: bool, count: int, low: str, high: str) -> None:
    store = Set(lambda client: None)
    store.client.zadd(KEY, {f"m{number:02}": number % 10 for number in range(40)})
    source = Scored(KEY, low, high, mortal=False)

    found = walked(Walk(source, reverse=reverse), ScriptedDriver(store), count)

    every = sorted(((f"m{number:02}".encode(), float(number % 10)) for number in range(40)), key=lambda entry: (entry[1], entry[0]))
    assert found == [entry for entry in (every[::-1] if reverse else every) if source.holds(entry[1])]
    assert store.most <= count + 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_every_unchanged_entry_comes_once_whatever_others_write(seed: int, reverse: bool) -> None:
    chance = random.Random(seed)
    settled = {f"s{number:03}": chance.choice((1, 2, 2, 2, 2, 3, float("inf"))) for number in range(150)}
    others = {f"o{number:03}": chance.choice((0, 2, 4)) for number in range(60)}

    def meddle(client: Any) -> None:
        for member in chance.sample(sorted(others), chance.randrange(12)):
            if chance.random() < 0.5:
                client.zrem(KEY, member)
            else:
                client.zadd(KEY, {member: chance.choice((0, 1, 2, 3, float("inf")))})

    store = Set(meddle)
    store.client.zadd(KEY, {**settled, **others})

    found = walked(Walk(Scored(KEY, "1", "+inf", mortal=False), reverse=reverse), ScriptedDriver(store), chance.choice((1, 7, 20)))

    unchanged = [entry for entry in found if entry[0].startswith(b"s")]
    assert unchanged == sorted(
        ((member.encode(), score) for member, score in settled.items()), key=lambda one: (one[1], one[0]), reverse=reverse
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_lex_index_is_walked_by_its_members(seed: int, reverse: bool) -> None:
    chance = random.Random(seed)
    settled = [f"{chance.choice('abc')}\0s{number:03}" for number in range(100)]

    def meddle(client: Any) -> None:
        client.zadd(KEY, {f"{chance.choice('abc')}\0o{chance.randrange(50)}": 0})
        client.zrem(KEY, f"{chance.choice('abc')}\0o{chance.randrange(50)}")

    store = Set(meddle)
    store.client.zadd(KEY, dict.fromkeys(settled, 0))

    found = walked(Walk(Lexical(KEY, b"[a", b"(c"), reverse=reverse), ScriptedDriver(store), 7)

    unchanged = [f"{text.decode()}\0{pk.decode()}" for pk, text in found if pk.startswith(b"s")]
    assert unchanged == sorted((member for member in settled if member < "c"), reverse=reverse)


def test_a_place_that_is_gone_is_found_again_in_few_round_trips() -> None:
    store = Set(lambda client: None)
    store.client.zadd(KEY, {f"{number:06}": 1 for number in range(20_000)})
    driver = ScriptedDriver(store)
    walk = Walk(Scored(KEY, "-inf", "+inf", mortal=False))
    first, _ = driver.run(walk.page(15_000))
    store.client.zremrangebyrank(KEY, 0, 14_999)
    before = driver.round_trips

    second, _ = driver.run(walk.page(10_000))

    assert len(first) == 15_000
    assert [member for member, _ in second] == [f"{number:06}".encode() for number in range(15_000, 20_000)]
    assert driver.round_trips - before <= 8


def test_other_reads_go_along() -> None:
    store = Set(lambda client: None)
    store.client.zadd(KEY, {"a": 1, "b": 2})
    driver = ScriptedDriver(store)
    walk = Walk(Scored(KEY, "-inf", "+inf", mortal=False))

    pages = [driver.run(walk.page(1, [("ZCARD", KEY)])) for _ in range(2)]

    assert [others for _, others in pages] == [[2], [2]]
    assert driver.round_trips == 2

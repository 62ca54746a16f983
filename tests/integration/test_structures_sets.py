"""Sets on every server, in both colours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from redisorm import Database, DecodeError, RedisSet, WrongTypeError
from tests.integration.handles import Colour


def test_members_are_plain_text_both_ways(colour: Colour) -> None:
    client = colour.db.client
    client.sadd("tags:post:1", "python", "redis")
    tags = colour.Set[str]("tags:post:1")

    assert tags.items() == {"python", "redis"}
    assert tags.add("backend")
    assert not tags.add("python")
    assert client.smembers("tags:post:1") == {b"python", b"redis", b"backend"}
    assert tags.contains("python")
    assert not tags.contains(1)
    assert tags.contains_many(["python", 3, "x", "redis"]) == [True, False, False, True]
    assert tags.contains_many([]) == []
    assert tags.size() == 3
    assert set(tags) == {"python", "redis", "backend"}


def test_removing_tells_whether_it_was_a_member(colour: Colour) -> None:
    numbers = colour.Set[int]("numbers")
    assert numbers.update([1, 2], {3}, range(4)) == 4
    assert numbers.update() == 0
    assert numbers.discard(1)
    assert not numbers.discard(1)
    assert not numbers.discard("2")
    numbers.remove(2)
    with pytest.raises(KeyError, match="9"):
        numbers.remove(9)
    with pytest.raises(KeyError, match="'3'"):
        numbers.remove("3")
    assert numbers.remove_many([0, 7, "x"]) == 1
    assert numbers.items() == {3}


def test_members_are_taken_at_random(colour: Colour) -> None:
    numbers = colour.Set[int]("numbers")
    numbers.update(range(10))

    assert numbers.pop() in range(10)
    taken = numbers.pop(4)
    assert len(taken) == 4
    assert numbers.items().isdisjoint(taken)
    sample = numbers.sample(3)
    assert len(set(sample)) == 3
    assert set(sample) <= numbers.items()
    assert numbers.pop(9) == numbers.items() | set(sample) or numbers.size() == 0
    assert numbers.pop(3) == set()
    assert numbers.sample() == []
    with pytest.raises(KeyError, match="empty set numbers"):
        numbers.pop()


def test_members_move_to_another_set(colour: Colour) -> None:
    new, done = colour.Set[str]("new"), colour.Set[str]("done", ttl=60)
    new.add("a")

    assert new.move("a", done)
    assert not new.move("a", done)
    assert not new.move(7, done)
    assert (new.items(), done.items()) == (set(), {"a"})
    assert done.time_to_live() > timedelta(seconds=50)


def test_sets_of_one_server_are_put_together_there(colour: Colour) -> None:
    odd, low, prime = colour.Set[int]("odd"), colour.Set[int]("low"), colour.Set[int]("prime")
    odd.update([1, 3, 5, 7, 9])
    low.update([1, 2, 3, 4])
    prime.update([2, 3, 5, 7])

    assert odd.intersection(low) == {1, 3}
    assert odd.intersection(low, prime) == {3}
    assert odd.union(low, {10}) == {1, 2, 3, 4, 5, 7, 9, 10}
    assert odd.difference(low, prime) == {9}
    assert odd.difference(low, [9]) == {5, 7}
    assert odd.symmetric_difference(low) == {2, 4, 5, 7, 9}
    assert odd.intersection([1, 2, "3"]) == {1}
    assert odd.intersection([1, 2, 3], low, {3}) == {3}
    assert odd.union([0]) == {0, 1, 3, 5, 7, 9}
    assert odd.symmetric_difference([1, 2]) == {2, 3, 5, 7, 9}
    assert odd.intersection() == odd.union() == odd.difference() == {1, 3, 5, 7, 9}


def test_sets_of_one_server_are_compared_there(colour: Colour) -> None:
    odd, few, even = colour.Set[int]("odd"), colour.Set[int]("few"), colour.Set[int]("even")
    odd.update([1, 3, 5])
    few.update([1, 3])
    even.add(2)

    assert few.issubset(odd)
    assert not odd.issubset(few)
    assert odd.issuperset(few)
    assert not odd.issuperset(even)
    assert odd.isdisjoint(even)
    assert not odd.isdisjoint(few)
    none = colour.Set[int]("none")
    assert none.issubset(odd)
    assert none.isdisjoint(odd)
    assert none.isdisjoint(colour.Set[int]("neither"))
    assert odd.issuperset(none)
    assert not odd.issubset(none)
    assert odd.issubset([1, 3, 5, "7"])
    assert odd.issuperset([1, 1])
    assert not odd.issuperset(["1"])
    assert odd.isdisjoint(["1", 2])
    assert not odd.isdisjoint([1])


def test_results_are_stored_at_the_server_and_keep_the_deadline(colour: Colour) -> None:
    odd, low, target = colour.Set[int]("odd"), colour.Set[int]("low"), colour.Set[int]("target")
    odd.update([1, 3, 5])
    low.update([1, 2, 3])
    target.add(99)
    target.expire(60)

    assert odd.intersection_store(target, low) == 2
    assert target.items() == {1, 3}
    assert target.time_to_live() > timedelta(seconds=50)
    assert odd.union_store(target, low) == 4
    assert odd.difference_store(target, low) == 1
    assert target.items() == {5}
    assert target.time_to_live() > timedelta(seconds=50)
    assert odd.difference_store(target, odd) == 0
    assert not target.exists()
    fresh = colour.Set[int]("fresh", ttl=60)
    odd.union_store(fresh, low)
    assert fresh.time_to_live() > timedelta(seconds=50)


def test_updates_in_place(colour: Colour) -> None:
    def odd() -> object:
        numbers = colour.Set[int]("odd")
        numbers.clear()
        numbers.update([1, 3, 5])
        numbers.expire(60)
        return numbers

    low = colour.Set[int]("low")
    low.update([1, 2])
    for operation, other, expected in (
        ("intersection_update", low, {1}),
        ("intersection_update", [3, "5"], {3}),
        ("difference_update", low, {3, 5}),
        ("difference_update", [3, 4, "5"], {1, 5}),
        ("symmetric_difference_update", low, {2, 3, 5}),
        ("symmetric_difference_update", [1, 2, 2], {2, 3, 5}),
    ):
        numbers = odd()
        getattr(numbers, operation)(other)
        assert numbers.items() == expected, operation  # type: ignore[attr-defined]
        assert numbers.time_to_live() > timedelta(seconds=50), operation  # type: ignore[attr-defined]
    assert low.items() == {1, 2}


def test_sets_of_another_database_are_read_first(db: Database) -> None:
    with Database("memory://") as elsewhere:
        mine, theirs = RedisSet[int]("numbers", db=db), RedisSet[int]("numbers", db=elsewhere)
        mine.update([1, 2])
        theirs.update([2, 3])
        assert mine & theirs == {2}
        mine |= theirs
        assert mine == {1, 2, 3}
        assert mine != theirs
        assert mine > theirs
        with pytest.raises(ValueError, match="no set on the database"):
            mine.union_store(theirs)


def test_values_that_do_not_fit_are_refused_before_anything_is_sent(colour: Colour) -> None:
    numbers = colour.Set[int]("numbers")
    sent = colour.db.traffic
    uses: list[Callable[[], object]] = [
        lambda: numbers.add("x"),
        lambda: numbers.update([1, "x"]),
        lambda: numbers.symmetric_difference_update(["x"]),
    ]
    for use in uses:
        with pytest.raises(ValidationError, match="numbers"):
            use()
    assert colour.db.traffic == sent


def test_stored_member_that_does_not_decode_tells_its_text(colour: Colour) -> None:
    colour.db.client.sadd("numbers", "x")
    numbers = colour.Set[int]("numbers")
    reads: list[Callable[[], object]] = [numbers.items, lambda: list(numbers), numbers.sample, lambda: numbers.union(numbers)]
    for read in reads:
        with pytest.raises(DecodeError, match=r"numbers\['x'\]") as caught:
            read()
        assert (caught.value.key, caught.value.position) == ("numbers", "x")


@pytest.mark.parametrize("ttl", [None, 60])
def test_key_of_another_type_is_told_with_both_types_and_left_alone(colour: Colour, ttl: int | None) -> None:
    client = colour.db.client
    client.rpush("taken", "x")
    free = colour.Set[int]("free")
    tags = colour.Set[int]("taken", ttl=ttl)
    uses: list[Callable[[], object]] = [
        tags.size,
        tags.items,
        lambda: list(tags),
        lambda: tags.add(1),
        lambda: tags.update([1]),
        tags.pop,
        tags.clear,
        lambda: tags.expire(5),
        lambda: free.union(tags),
        lambda: free.issubset(tags),
        lambda: free.move(1, tags),
        lambda: free.union_store(tags, free),
        lambda: free.difference_update(tags),
        lambda: free.symmetric_difference_update(tags),
        lambda: tags.intersection_update([1]),
    ]
    for use in uses:
        free.update([1, 2])
        with pytest.raises(WrongTypeError, match="taken is a list where a set is needed") as caught:
            use()
        assert (caught.value.key, caught.value.expected, caught.value.found) == ("taken", "set", "list")
    assert client.lrange("taken", 0, -1) == [b"x"]
    assert client.ttl("taken") == -1


def test_life_is_set_in_the_step_that_writes(colour: Colour) -> None:
    tags = colour.Set[str]("tags", ttl=60)
    tags.add("a")
    tags.expire(5)
    tags.discard("b")
    assert tags.time_to_live() <= timedelta(seconds=5)
    tags.update(["b"])
    assert tags.time_to_live() > timedelta(seconds=50)


def test_iteration_walks_in_steps(colour: Colour) -> None:
    numbers = colour.Set[str]("numbers")
    numbers.update(map(str, range(5000)))
    before = colour.db.traffic.round_trips

    assert set(numbers) == set(map(str, range(5000)))

    assert colour.db.traffic.round_trips - before >= 5
    assert numbers.items() == set(map(str, range(5000)))


def test_operators_take_sets_only_as_those_of_python(db: Database) -> None:
    numbers = RedisSet[int]("numbers", db=db)
    numbers |= {1, 2}
    operations: list[Callable[[Any], object]] = [
        lambda other: numbers & other,
        lambda other: numbers | other,
        lambda other: numbers - other,
        lambda other: numbers ^ other,
        lambda other: other - numbers,
        lambda other: numbers <= other,
        lambda other: numbers > other,
        numbers.__iand__,
        numbers.__ior__,
        numbers.__isub__,
        numbers.__ixor__,
    ]
    for operation in operations[:7]:
        with pytest.raises(TypeError):
            operation([1])
    assert [operation([1]) for operation in operations[7:]] == [NotImplemented] * 4
    assert {2, 3} - numbers == {3}
    assert {2, 3} & numbers == {2}
    assert ({2, 3} | numbers, {2, 3} ^ numbers) == ({1, 2, 3}, {1, 3})
    assert numbers != [1, 2]
    assert numbers.copy() == {1, 2}

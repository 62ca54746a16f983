"""Sorted sets and leaderboards on every server, in both colours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from math import inf, nan

import pytest
from pydantic import ValidationError

from redisorm import Database, DecodeError, RedisSortedSet, WrongTypeError
from tests.integration.handles import Colour


def board_of(colour: Colour, **scores: float) -> object:
    board = colour.SortedSet[str]("leaderboard")
    board.update(scores or {"Alice": 1500, "Bob": 2200, "Carol": 1800})
    return board


def test_leaderboard_of_plain_commands(colour: Colour) -> None:
    colour.db.client.zadd("leaderboard", {"Alice": 1500, "Bob": 2200, "Carol": 1800})
    board = colour.SortedSet[str]("leaderboard")

    assert board.top(2) == [("Bob", 2200), ("Carol", 1800)]
    assert board.bottom(1) == [("Alice", 1500)]
    assert board.top(0) == board.top(-1) == board.bottom(0) == []
    assert board.increment("Alice", 50) == 1550
    assert board.increment("Dave") == 1
    assert colour.db.client.zscore("leaderboard", "Alice") == 1550
    assert board.between(1550, 1800) == [("Alice", 1550), ("Carol", 1800)]
    assert board.between(-inf, inf, offset=1, limit=2) == [("Alice", 1550), ("Carol", 1800)]
    assert board.count_between(0, 1600) == 2
    assert [board.rank(name) for name in ("Bob", "Carol", "Zoe")] == [0, 1, None]
    assert board.rank("Bob", ascending=True) == 3
    assert board.rank(7) is None


def test_neighbours_on_either_side(colour: Colour) -> None:
    board = colour.SortedSet[str]("leaderboard")
    board.update({letter: place for place, letter in enumerate("abcdefg")})

    assert [member for member, _ in board.around("d", 2)] == ["f", "e", "d", "c", "b"]
    assert [member for member, _ in board.around("g", 1)] == ["g", "f"]
    assert [member for member, _ in board.around("a", 1, ascending=True)] == ["a", "b"]
    assert board.around("d", 0) == [("d", 3)]
    assert board.around("z", 2) == []
    assert board.around(1, 2) == []


def test_ties_are_in_the_order_of_their_texts(colour: Colour) -> None:
    board = board_of(colour, b=1, a=1, c=1, d=0)

    assert list(board) == ["d", "a", "b", "c"]  # type: ignore[call-overload]
    assert [member for member, _ in board.top(9)] == ["c", "b", "a", "d"]  # type: ignore[attr-defined]
    assert board.rank("c") == 0  # type: ignore[attr-defined]


def test_pages_are_slices_of_the_ranks(colour: Colour) -> None:
    board = colour.SortedSet[str]("leaderboard")
    board.update({letter: place for place, letter in enumerate("abcdefg")})

    def members(*ranks: int | None, ascending: bool = False) -> str:
        return "".join(member for member, _ in board.ranked(*ranks, ascending=ascending))

    assert members() == "gfedcba"
    assert members(2, 4) == "ed"
    assert members(-2, None) == "ba"
    assert members(0, -5) == "gf"
    assert members(0, 0) == ""
    assert members(1, 3, ascending=True) == "bc"


def test_scores_are_looked_up(colour: Colour) -> None:
    board = colour.SortedSet[int]("board")
    board.set(1, 2.5)
    board.update([(2, inf), (3, -inf)])

    assert board.get(1) == 2.5
    assert (board.get(9), board.get(9, 0.0), board.get("1", None)) == (None, 0.0, None)
    assert board.get_many([1, 9, "1", 2, 3]) == [2.5, None, None, inf, -inf]
    assert board.get_many([]) == []
    assert board.contains(1)
    assert not board.contains("1")
    assert board.size() == 3


@pytest.mark.parametrize("score", [0.1, 1e22, 1.7976931348623157e308, 5e-324, -0.0, 2**53 + 0.0])
def test_scores_come_back_exactly(colour: Colour, score: float) -> None:
    board = colour.SortedSet[str]("board")
    board.set("a", score)
    assert board.get("a") == score
    assert board.top(1) == [("a", score)]
    assert board.pop_lowest() == ("a", score)


def test_score_that_is_no_number_is_refused(colour: Colour) -> None:
    board = colour.SortedSet[str]("board")
    uses: list[Callable[[], object]] = [
        lambda: board.set("a", nan),
        lambda: board.update({"a": nan}),
        lambda: board.increment("a", nan),
        lambda: board.between(nan, 1),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="NaN"):
            use()
    assert board.size() == 0


def test_scores_are_set_under_conditions(colour: Colour) -> None:
    board = colour.SortedSet[str]("board")

    assert board.add("a", 5)
    assert not board.add("a", 5)
    assert not board.add("a", 9, only="new")
    assert not board.add("b", 9, only="existing")
    assert not board.add("a", 4, only="higher")
    assert board.add("a", 6, only="higher")
    assert board.add("c", 1, only="higher")
    assert board.add("a", 2, only="lower")
    assert board.setdefault("a", 77) == 2
    assert board.setdefault("d") == 0
    assert dict(board.items()) == {"a": 2, "c": 1, "d": 0}


def test_members_are_removed_by_name_score_and_rank(colour: Colour) -> None:
    board = colour.SortedSet[str]("board")
    board.update({letter: place for place, letter in enumerate("abcdefghij")})

    board.remove("a")
    with pytest.raises(KeyError, match="'a'"):
        board.remove("a")
    assert board.discard("b", "x", 3) == 1
    assert board.remove_between(2, 3) == 2
    assert [member for member, _ in board.items()] == list("efghij")
    assert board.remove_ranks(4) == 2
    assert board.remove_ranks(0, 1) == 1
    assert board.remove_ranks(0, 1, ascending=True) == 1
    assert board.remove_ranks(0, 0) == 0
    assert [member for member, _ in board.items()] == ["h", "i"]
    assert board.pop("h") == 7
    assert board.pop("h", None) is None
    with pytest.raises(KeyError, match="'h'"):
        board.pop("h")
    with pytest.raises(KeyError, match="3"):
        board.pop(3)


def test_pairs_are_taken_from_either_end(colour: Colour) -> None:
    board = colour.SortedSet[str]("board")
    board.update({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5})

    assert board.pop_lowest() == ("a", 1)
    assert board.pop_highest() == ("e", 5)
    assert board.popitem() == ("d", 4)
    assert board.pop_highest(count=5) == [("c", 3), ("b", 2)]
    assert board.pop_lowest(count=5) == []
    assert board.pop_lowest(timeout=0) is None
    assert board.pop_lowest(timeout=0.1) is None
    assert board.pop_highest(timeout=0.1, count=2) == []
    for use in (board.pop_lowest, board.pop_highest, board.popitem):
        with pytest.raises(KeyError, match="empty sorted set board"):
            use()
    board.set("f", 6)
    assert board.pop_lowest(timeout=1) == ("f", 6)


def test_waiting_ends_with_the_pair_of_another_thread(db: Database) -> None:
    board = RedisSortedSet[str]("board", db=db)
    setter = threading.Timer(0.1, board.set, args=("a", 1))
    setter.start()
    assert board.pop_lowest(timeout=None) == ("a", 1)
    setter.join()


def test_iteration_walks_in_ascending_order(colour: Colour) -> None:
    board = colour.SortedSet[int]("board")
    board.update({number: float(-number) for number in range(2500)})
    before = colour.db.traffic.round_trips

    assert list(board) == list(range(2499, -1, -1))

    assert colour.db.traffic.round_trips - before == 4
    assert list(board.items()) == [(number, -number) for number in range(2499, -1, -1)]
    assert list(board.keys()) == list(range(2499, -1, -1))
    assert list(board.values()) == [float(-number) for number in range(2499, -1, -1)]


def test_members_that_do_not_fit_are_refused_before_anything_is_sent(colour: Colour) -> None:
    board = colour.SortedSet[int]("board")
    sent = colour.db.traffic
    uses: list[Callable[[], object]] = [lambda: board.set("x", 1), lambda: board.update({1: 1, "x": 2}), lambda: board.increment("x")]
    for use in uses:
        with pytest.raises(ValidationError, match="board"):
            use()
    assert colour.db.traffic == sent


def test_stored_member_that_does_not_decode_tells_its_text(colour: Colour) -> None:
    colour.db.client.zadd("board", {"1": 1, "x": 2})
    board = colour.SortedSet[int]("board")
    reads: list[Callable[[], object]] = [lambda: board.top(2), lambda: list(board), lambda: board.between(0, 5), lambda: board.around(1, 5)]
    for read in reads:
        with pytest.raises(DecodeError, match=r"board\['x'\]") as caught:
            read()
        assert (caught.value.key, caught.value.position) == ("board", "x")
    with pytest.raises(DecodeError, match="the 2 items taken") as caught:
        board.pop_lowest(count=2)
    assert [(member, float(score)) for member, score in caught.value.value] == [(b"1", 1), (b"x", 2)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ttl", [None, 60])
def test_key_of_another_type_is_told_with_both_types_and_left_alone(colour: Colour, ttl: int | None) -> None:
    colour.db.client.hset("taken", "a", "1")
    board = colour.SortedSet[str]("taken", ttl=ttl)
    uses: list[Callable[[], object]] = [
        board.size,
        lambda: board.get("a"),
        lambda: board.set("a", 1),
        lambda: board.increment("a"),
        lambda: board.top(1),
        lambda: board.around("a", 1),
        board.popitem,
        lambda: board.pop_lowest(timeout=0.1),
        board.clear,
    ]
    for use in uses:
        with pytest.raises(WrongTypeError, match="taken is a hash where a zset is needed") as caught:
            use()
        assert (caught.value.key, caught.value.expected, caught.value.found) == ("taken", "zset", "hash")
    assert colour.db.client.hgetall("taken") == {b"a": b"1"}
    assert colour.db.client.ttl("taken") == -1


def test_life_is_set_in_the_step_that_writes(colour: Colour) -> None:
    board = colour.SortedSet[str]("board", ttl=60)
    assert board.increment("a") == 1
    assert board.time_to_live() > timedelta(seconds=50)
    board.expire(5)
    board.discard("x")
    assert board.time_to_live() <= timedelta(seconds=5)
    assert board.add("b", 1, only="new")
    assert board.setdefault("b", 2) == 1
    assert board.time_to_live() > timedelta(seconds=50)

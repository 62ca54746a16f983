"""What a live structure says to the server where more than one command is needed: lives, guards, races and keys of another type."""

from __future__ import annotations

from typing import Any, cast

import pytest

from redisorm import (
    BackendError,
    ConcurrentUpdateError,
    Database,
    DecodeError,
    RedisCounter,
    RedisList,
    RedisSet,
    RedisSortedSet,
    StaleObjectError,
    WrongTypeError,
)
from redisorm.commands import ATTEMPTS, Batch, Pause, Watch
from redisorm.flows.structures.typed import TypedKey, Write, apply, first, pairs
from tests.unit.desk import Desk, atomic, look, talk
from tests.zoo.models import Account

WRONG = WrongTypeError("WRONGTYPE Operation against a key holding the wrong kind of value")


def tags(desk: Desk, ttl: int | None = None, **options: Any) -> RedisSet[str]:
    return RedisSet[str]("tags", db=cast("Database", desk), ttl=ttl, **options)


# ---- a write and the life of its key --------------------------------------------------------------------------------


def test_write_without_a_life_is_one_command() -> None:
    desk = Desk([[1]])
    tags(desk).add("a")
    assert talk(desk) == [Batch([("SADD", "tags", "a")])]


@pytest.mark.parametrize(("refresh", "flags"), [("write", ()), ("never", ("NX",))])
def test_life_begins_in_the_same_step_as_the_write_where_scripts_run(refresh: Any, flags: tuple[str, ...]) -> None:
    desk = Desk([[[1, 1]]], supports={"EVALSHA": True})
    tags(desk, ttl=60, ttl_refresh=refresh).add("a")
    (request,) = talk(desk)
    life = ("PEXPIRE", "tags", 60_000, *flags)
    assert request.commands[0][0] == "EVALSHA"
    assert request.commands[0][2:] == (1, "tags", "", 3, "SADD", "tags", "a", len(life), *life)


def test_script_that_the_server_has_lost_is_sent_whole() -> None:
    desk = Desk([BackendError("NOSCRIPT no such script", code="NOSCRIPT"), [[1, 1]]], supports={"EVALSHA": True})
    tags(desk, ttl=60).add("a")
    assert [request.commands[0][0] for request in talk(desk)] == ["EVALSHA", "EVAL"]


@pytest.mark.parametrize("denied", [True, False], ids=["denied when it ran", "denied from the start"])
def test_life_begins_in_a_guarded_transaction_where_no_script_may_run(denied: bool) -> None:
    answers: list[Any] = [[b"none"], [1, 1]]
    if denied:
        answers.insert(0, BackendError("NOPERM this user has no permissions", code="NOPERM"))
    desk = Desk(answers, supports={"EVALSHA": denied})
    tags(desk, ttl=60).add("a")
    assert talk(desk)[-2:] == [
        Watch(["tags"], [("TYPE", "tags")]),
        atomic(("SADD", "tags", "a"), ("PEXPIRE", "tags", 60_000)),
    ]


def test_other_refusals_of_the_script_are_told() -> None:
    desk = Desk([BackendError("OOM command not allowed", code="OOM")], supports={"EVALSHA": True})
    with pytest.raises(BackendError, match="OOM"):
        tags(desk, ttl=60).add("a")
    assert desk.round_trips == 1


def test_what_only_removes_leaves_the_life_alone() -> None:
    desk = Desk([[1]], supports={"EVALSHA": True})
    tags(desk, ttl=60).discard("a")
    assert talk(desk) == [Batch([("SREM", "tags", "a")])]


# ---- under a guard --------------------------------------------------------------------------------------------------


def test_guarded_change_that_lost_a_race_is_made_again_from_fresh_reads() -> None:
    desk = Desk([[b"set", [1]], None, [b"set", [0]], [1]])
    tags(desk).symmetric_difference_update(["a"])
    assert [command[0] for request in talk(desk) for command in request.commands if command[0] in ("SADD", "SREM")] == ["SREM", "SADD"]
    assert [request for request in desk.requests if isinstance(request, Pause)] == [Pause(0.001)]


def test_guarded_change_that_lost_every_race_is_told_and_nothing_was_written() -> None:
    desk = Desk(lambda request: [b"set", [1]] if isinstance(request, Watch) else None)
    with pytest.raises(ConcurrentUpdateError, match=f"tags: other writers changed it {ATTEMPTS} times in a row") as caught:
        tags(desk).symmetric_difference_update(["a"])
    assert caught.value.key == "tags"


def test_blind_write_looks_at_the_type_first() -> None:
    desk = Desk([[b"list"]])
    with pytest.raises(WrongTypeError, match="tags is a list where a set is needed; nothing was written") as caught:
        tags(desk).delete()
    assert (caught.value.key, caught.value.expected, caught.value.found) == ("tags", "set", "list")


@pytest.mark.parametrize(
    ("found", "message"), [(b"hash", "tags is a hash where a set is needed"), (b"none", "WRONGTYPE Operation")], ids=["still", "no more"]
)
def test_refused_type_is_looked_up_and_told_as_it_was_where_it_is_right_again(found: bytes, message: str) -> None:
    desk = Desk([WRONG, [found]])
    with pytest.raises(WrongTypeError, match=message):
        tags(desk).add("a")
    assert talk(desk)[1] == look(("TYPE", "tags"))


def test_counter_over_text_is_told_in_its_own_words() -> None:
    hits = RedisCounter("hits", db=cast("Database", Desk([BackendError("ERR value is not an integer or out of range", code="ERR")])))
    with pytest.raises(DecodeError, match=r"hits: what is stored is no integer to count with: delete\(\) it, or set\(\) a number"):
        hits.increment()
    other = RedisCounter("hits", db=cast("Database", Desk([BackendError("ERR something else", code="ERR")])))
    with pytest.raises(BackendError, match="something else"):
        other.increment()


# ---- taking several at once -----------------------------------------------------------------------------------------


def test_items_taken_with_one_that_cannot_be_read_are_in_its_error() -> None:
    """They are gone from the server: nobody else can bring them back."""
    numbers = RedisSet[int]("numbers", db=cast("Database", Desk([[[b"1", b"x", b"3"]], [[b"x"]], [b"x"]])))
    with pytest.raises(DecodeError, match="the 3 items taken with one command are the value of this error") as caught:
        numbers.pop(3)
    assert caught.value.value == [b"1", b"x", b"3"]
    for count in (1, None):
        with pytest.raises(DecodeError) as caught:
            numbers.pop() if count is None else numbers.pop(count)
        assert caught.value.value == b"x"


@pytest.mark.parametrize(
    "take",
    [
        lambda desk: tags(desk).sample(-1),
        lambda desk: tags(desk).pop(-1),
        lambda desk: RedisSortedSet[str]("board", db=desk).pop_lowest(count=0),
        lambda desk: RedisSortedSet[str]("board", db=desk).pop_highest(count=-1),
    ],
)
def test_number_of_what_is_taken_is_checked_before_anything_is_sent(take: Any) -> None:
    desk = Desk()
    with pytest.raises(ValueError, match=r"must be [01] or more"):
        take(desk)
    assert desk.requests == []


@pytest.mark.parametrize("reply", [{b"a": 1.0}, [b"a", 1.0], [[b"a", 1.0]]], ids=["map", "flat", "nested"])
def test_pairs_have_one_shape_whichever_protocol_brings_them(reply: Any) -> None:
    assert pairs(reply) == [(b"a", 1.0)]


# ---- a rank that moves ----------------------------------------------------------------------------------------------


def test_neighbours_are_those_of_the_rank_at_one_time() -> None:
    desk = Desk([[5], [3, [[b"b", 1.0]]], [3, [[b"a", 2.0], [b"me", 1.5]]]])
    board = RedisSortedSet[str]("board", db=cast("Database", desk))
    assert board.around("me", 1) == [("a", 2.0), ("me", 1.5)]
    assert talk(desk)[-1].commands[1] == ("ZRANGE", "board", 2, 4, "REV", "WITHSCORES")


def test_member_that_goes_while_its_neighbours_are_looked_up_has_none() -> None:
    board = RedisSortedSet[str]("board", db=cast("Database", Desk([[5], [None, []]])))
    assert board.around("me", 1) == []


def test_rank_that_never_stands_still_is_told() -> None:
    ranks = iter(range(1_000))
    desk = Desk(lambda request: [next(ranks), []][: len(request.commands)])
    with pytest.raises(ConcurrentUpdateError, match="board: the rank of 'me' changed 16 times in a row"):
        RedisSortedSet[str]("board", db=cast("Database", desk)).around("me", 1)


# ---- handles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", b"bytes", None])
def test_key_of_a_handle_is_text(key: Any) -> None:
    with pytest.raises(ValueError, match="the key must be text that is not empty"):
        RedisList[int](key)


def test_life_of_a_handle_is_restarted_by_writes_or_never() -> None:
    with pytest.raises(ValueError, match="ttl_refresh='read' must be 'write' or 'never'"):
        RedisList[int]("queue", ttl=5, ttl_refresh=cast("Any", "read"))


def test_nothing_to_write_sends_nothing() -> None:
    desk = Desk()
    tags(desk).update([])
    assert desk.requests == []


# ---- a key beside a row ---------------------------------------------------------------------------------------------------


def write_beside_a_row(answer: Any) -> tuple[Desk, Any]:
    desk = Desk([[answer]], supports={"EVALSHA": True})
    key = TypedKey("star:1:fans", "set", cast("Any", None), cast("Any", None), row="star:1", model=Account)
    return desk, apply(key, Write([("SADD", "star:1:fans", 7)], first))


def test_key_beside_a_row_is_written_in_one_step_that_looks_at_the_row() -> None:
    desk, flow = write_beside_a_row([1])
    assert desk.run(flow) == 1
    (request,) = talk(desk)
    assert request.commands[0][0] == "EVALSHA"
    assert "star:1" in request.commands[0]


def test_key_beside_a_row_that_is_gone_is_not_written() -> None:
    desk, flow = write_beside_a_row(None)
    with pytest.raises(StaleObjectError, match="the row star:1 is gone") as caught:
        desk.run(flow)
    assert (caught.value.model, caught.value.key) == (Account, "star:1")

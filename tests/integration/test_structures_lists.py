"""Lists and queues on every server, in both colours."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import BaseModel, ValidationError

from redisorm import AsyncRedisList, Database, DecodeError, MappingError, RedisList, WrongTypeError
from tests.integration.handles import Colour


class Job(BaseModel):
    id: int
    name: str = ""


def test_queue_is_first_in_first_out(colour: Colour) -> None:
    queue = colour.List[Job]("queue:jobs")

    assert queue.push(Job(id=1), Job(id=2)) == 2
    assert queue.push(Job(id=3)) == 3

    assert queue.pop_left() == Job(id=1)
    assert queue.pop_left(timeout=1) == Job(id=2)
    assert queue.pop_left(count=5) == [Job(id=3)]
    assert queue.pop_left(count=5) == []
    assert queue.size() == 0


def test_push_and_pop_are_a_stack(colour: Colour) -> None:
    stack = colour.List[int]("stack")
    stack.push(1, 2, 3)

    assert [stack.pop(), stack.pop(timeout=1), stack.pop(0)] == [3, 2, 1]
    with pytest.raises(IndexError, match="pop from the empty list stack"):
        stack.pop()
    with pytest.raises(IndexError):
        stack.pop_left()
    with pytest.raises(IndexError):
        stack.pop(3)


def test_items_pushed_left_come_out_last_first(colour: Colour) -> None:
    queue = colour.List[str]("queue")

    queue.push_left("a", "b")

    assert queue.items() == ["b", "a"]


def test_scalars_are_plain_text_both_ways(colour: Colour) -> None:
    client = colour.db.client
    client.rpush("queue:jobs", "job1", "job2")
    queue = colour.List[str]("queue:jobs")
    assert queue.items() == ["job1", "job2"]
    queue.push("job3")
    assert client.lrange("queue:jobs", 0, -1) == [b"job1", b"job2", b"job3"]
    colour.List[int]("numbers").push(30, -1)
    colour.List[bool]("flags").push(True, False)
    colour.List[bytes]("bytes").push(b"\xff\x00")
    colour.List[dict[str, int]]("dicts").push({"a": 1})
    assert [client.lrange(key, 0, -1) for key in ("numbers", "flags", "bytes", "dicts")] == [
        [b"30", b"-1"],
        [b"1", b"0"],
        [b"\xff\x00"],
        [b'{"a":1}'],
    ]


def test_namespace_goes_before_the_key(server_url: str) -> None:
    with Database(server_url, namespace="shop") as db:
        queue = RedisList[int]("queue:jobs", db=db)
        queue.push(1)
        assert queue.key == "shop:queue:jobs"
        assert db.client.llen("shop:queue:jobs") == 1


def test_timeout_without_an_item_is_none_and_takes_its_time(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    began = time.monotonic()

    assert queue.pop_left(timeout=0.2) is None
    assert queue.pop(timeout=timedelta(milliseconds=100)) is None
    assert queue.pop_left(count=2, timeout=0.1) == []

    assert 0.4 <= time.monotonic() - began < 2
    assert queue.pop_left(timeout=0) is None
    assert queue.pop(timeout=0) is None
    with pytest.raises(ValueError, match="timeout -1"):
        queue.pop_left(timeout=-1)
    with pytest.raises(TypeError, match="only the ends"):
        queue.pop(0, timeout=1)
    with pytest.raises(ValueError, match="count 0"):
        queue.pop(count=0)


def test_waiting_is_longer_than_the_timeout_of_the_client(server_url: str) -> None:
    with Database(server_url, timeout=0.3) as db:
        assert RedisList[int]("queue", db=db).pop_left(timeout=0.8) is None

        async def wait() -> None:
            assert await AsyncRedisList[int]("queue", db=db).pop_left(timeout=0.8) is None

        asyncio.run(wait())


@pytest.mark.parametrize("timeout", [5, None])
def test_waiting_ends_with_the_item_of_another_thread(db: Database, timeout: float | None) -> None:
    queue = RedisList[int]("queue", db=db)
    pusher = threading.Timer(0.1, queue.push, args=(7,))
    pusher.start()
    began = time.monotonic()

    assert queue.pop_left(timeout=timeout) == 7

    assert time.monotonic() - began < 3
    pusher.join()


def test_waiting_leaves_the_event_loop_free(db: Database) -> None:
    async def main() -> tuple[int | None, int]:
        queue = AsyncRedisList[int]("queue", db=db)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            for _ in range(10):
                await asyncio.sleep(0.01)
                ticks += 1
            await queue.push(7)

        ticking = asyncio.create_task(tick())
        item = await queue.pop_left(timeout=5)
        await ticking
        return item, ticks

    assert asyncio.run(main()) == (7, 10)


def test_waiting_leaves_the_store_free_for_guarded_writes(db: Database) -> None:
    queue, other = RedisList[int]("queue", db=db), RedisList[int]("other", db=db)
    taken: list[int | None] = []
    waiting = threading.Thread(target=lambda: taken.append(queue.pop_left(timeout=5)))
    waiting.start()
    other.extend([1, 3])
    other.insert(1, 2)
    queue.push(9)
    waiting.join()

    assert (taken, other.items()) == ([9], [1, 2, 3])


def test_task_cancelled_while_it_waits_takes_nothing(db: Database) -> None:
    async def main() -> list[int]:
        queue = AsyncRedisList[int]("queue", db=db)
        waiting = asyncio.create_task(queue.pop_left(timeout=None))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.1)
        await queue.push(1)
        return await queue.items()

    assert asyncio.run(main()) == [1]


def test_item_moves_to_the_list_of_work_in_progress(colour: Colour) -> None:
    queue, working = colour.List[str]("queue"), colour.List[str]("working")
    queue.push("a", "b")

    assert queue.move(working) == "a"
    assert queue.move(working, timeout=1) == "b"
    assert queue.move(working) is None
    assert queue.move(working, timeout=0.05) is None
    assert working.items() == ["a", "b"]
    assert working.move(queue, take="right", put="left") == "b"
    working.remove("a")
    assert (queue.items(), working.items()) == (["b"], [])


def test_list_that_is_moved_to_keeps_its_maxlen_and_life(colour: Colour) -> None:
    queue, last = colour.List[int]("queue"), colour.List[int]("last", maxlen=2, ttl=60)
    queue.push(1, 2, 3)

    assert [queue.move(last) for _ in range(3)] == [1, 2, 3]

    assert last.items() == [2, 3]
    assert last.time_to_live() > timedelta(seconds=50)
    with pytest.raises(ValueError, match="move without timeout"):
        queue.move(last, timeout=1)


def test_only_lists_of_the_same_database_are_moved_to(colour: Colour) -> None:
    queue = colour.List[int]("queue")

    with Database("memory://") as other, pytest.raises(ValueError, match="no list on the database"):
        queue.move(RedisList[int]("queue", db=other))
    with pytest.raises(ValueError, match="no list on the database"):
        queue.move(colour.Set[int]("tags"))


def test_maxlen_drops_what_is_too_much_at_the_other_end(colour: Colour) -> None:
    last = colour.List[int]("last", maxlen=3)

    assert last.push(1, 2, 3, 4, 5) == 3
    assert last.items() == [3, 4, 5]
    assert last.push_left(9) == 3
    assert last.items() == [9, 3, 4]
    last.insert(1, 7)
    assert last.items() == [7, 3, 4]
    if colour.name == "sync":
        bare = last.bare
        bare *= 2
        assert last.items() == [7, 3, 4]


def test_life_is_set_in_the_step_that_writes(colour: Colour) -> None:
    queue = colour.List[int]("queue", ttl=60)
    queue.push(1, 2)
    assert timedelta(seconds=50) < queue.time_to_live() <= timedelta(seconds=60)
    queue.expire(5)
    assert queue.time_to_live() <= timedelta(seconds=5)
    queue.pop()
    assert queue.time_to_live() <= timedelta(seconds=5)
    queue.push(3)
    assert queue.time_to_live() > timedelta(seconds=50)
    queue.expire(5)
    queue.set(0, 9)
    assert queue.time_to_live() > timedelta(seconds=50)
    assert queue.expire(None)
    assert queue.time_to_live() is None


def test_life_that_is_never_refreshed_begins_with_the_first_write(colour: Colour) -> None:
    queue = colour.List[int]("queue", ttl=60, ttl_refresh="never")
    queue.push(1)
    queue.expire(5)
    queue.push(2)
    assert queue.time_to_live() <= timedelta(seconds=5)


def test_every_edit_keeps_a_deadline_it_does_not_set(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    queue.push(3, 1, 2)
    queue.expire(60)

    queue.sort()
    queue.reverse()
    queue.insert(1, 7)
    queue.set(0, 5)
    queue.trim(0, 3)

    assert queue.items() == [5, 7, 2]
    assert queue.time_to_live() > timedelta(seconds=50)


def test_positions_are_those_of_a_list(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    queue.extend(range(5))

    assert [queue.get(0), queue.get(-1), queue.get(4), queue.get(-5)] == [0, 4, 4, 0]
    for index in (5, -6, 1 << 70):
        with pytest.raises(IndexError):
            queue.get(index)
        with pytest.raises(IndexError):
            queue.set(index, 1)
    with pytest.raises(IndexError):
        colour.List[int]("none").set(0, 1)
    assert queue.items(1, -1) == [1, 2, 3]
    assert queue.items(None, None, -2) == [4, 2, 0]
    assert queue.items(3, 1) == []
    assert queue.pop(2) == 2
    assert queue.pop(-3) == 1
    assert queue.items() == [0, 3, 4]


def test_what_is_looked_for_is_not_coerced(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    queue.push(1, 2, 1)

    assert queue.contains(1)
    assert queue.contains(1.0)
    assert not queue.contains("1")
    assert not queue.contains(None)
    assert (queue.count(1), queue.count("1"), queue.count(9)) == (2, 0, 0)
    assert (queue.index(1), queue.index(1, 1), queue.index(2, -2)) == (0, 2, 1)
    for sought in (("1",), (2, 2), (1, 1, 2), (9,)):
        with pytest.raises(ValueError, match="is not in the list queue"):
            queue.index(*sought)
    queue.remove(1)
    assert queue.items() == [2, 1]
    with pytest.raises(ValueError, match="'1' is not in the list queue"):
        queue.remove("1")


def test_items_that_do_not_fit_are_refused_before_anything_is_sent(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    sent = colour.db.traffic

    with pytest.raises(ValidationError, match=r"(?s)queue\n1\n.*valid integer"):
        queue.push(1, "x")
    with pytest.raises(ValidationError):
        queue.extend([1, "x"])

    assert colour.db.traffic == sent


def test_stored_item_that_does_not_decode_tells_its_position(colour: Colour) -> None:
    colour.db.client.rpush("queue", "1", "2", "x", b"\xff")
    queue = colour.List[int]("queue")

    for read, position, value in (
        (queue.items, 2, b"x"),
        (lambda: queue.get(2), 2, b"x"),
        (lambda: queue.items(-2, None), -2, b"x"),
        (lambda: list(queue), 2, b"x"),
        (lambda: queue.get(-1), -1, b"\xff"),
    ):
        with pytest.raises(DecodeError, match=r"queue\[-?\d\]: the stored item does not fit int") as caught:
            read()
        assert (caught.value.key, caught.value.position, caught.value.value) == ("queue", position, value)


def test_items_taken_with_one_that_does_not_decode_are_in_the_error(colour: Colour) -> None:
    colour.db.client.rpush("queue", "1", "x", "3")
    queue = colour.List[int]("queue")

    with pytest.raises(DecodeError, match="the 3 items taken") as caught:
        queue.pop_left(count=3)

    assert caught.value.value == [b"1", b"x", b"3"]


@pytest.mark.parametrize("ttl", [None, 60])
def test_key_of_another_type_is_told_with_both_types_and_left_alone(colour: Colour, ttl: int | None) -> None:
    colour.db.client.set("taken", "x")
    queue = colour.List[int]("taken", ttl=ttl, maxlen=2)
    uses: list[Callable[[], object]] = [
        queue.size,
        queue.items,
        lambda: queue.push(1),
        queue.pop,
        lambda: queue.pop(1),
        lambda: queue.pop_left(timeout=1),
        lambda: queue.insert(1, 1),
        lambda: queue.set(0, 1),
        queue.reverse,
        queue.clear,
        queue.delete,
        lambda: queue.expire(5),
        lambda: queue.move(colour.List[int]("free")),
        lambda: colour.List[int]("free", ttl=60).move(queue),
    ]
    for use in uses:
        colour.db.client.delete("free")
        colour.db.client.rpush("free", 1)
        with pytest.raises(WrongTypeError, match="taken is a string where a list is needed") as caught:
            use()
        assert (caught.value.key, caught.value.expected, caught.value.found) == ("taken", "list", "string")
    assert colour.db.client.get("taken") == b"x"
    assert colour.db.client.ttl("taken") == -1


def test_deleting_tells_whether_it_was_there(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    assert not queue.exists()
    assert not queue.delete()
    assert not queue.expire(5)
    assert queue.time_to_live() is None
    queue.push(1)
    assert queue.exists()
    assert queue.delete()
    queue.extend([1, 2])
    queue.clear()
    assert not queue.exists()


def test_iteration_walks_in_steps(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    queue.extend(range(2500))
    before = colour.db.traffic.round_trips

    assert list(queue) == list(range(2500))

    assert colour.db.traffic.round_trips - before == 4


def test_nothing_is_sent_for_nothing(colour: Colour) -> None:
    queue = colour.List[int]("queue")
    queue.push(1)
    assert queue.push() == 1
    queue.extend([])
    assert queue.items() == [1]


def test_arguments_that_make_no_sense_are_refused(colour: Colour) -> None:
    with pytest.raises(ValueError, match="maxlen 0 must be 1 or more"):
        colour.List[int]("queue", maxlen=0)
    with pytest.raises(ValueError, match="must be text that is not empty"):
        colour.List[int]("")
    with pytest.raises(ValueError, match="ttl_refresh='read'"):
        colour.List[int]("queue", ttl=5, ttl_refresh="read")
    with pytest.raises(ValueError, match="longer than zero"):
        colour.List[int]("queue", ttl=0)
    with pytest.raises(TypeError, match="list indices must be integers or slices, not str"):
        colour.List[int]("queue").get("0")
    with pytest.raises(MappingError, match="cannot be the type of items"):
        colour.List[threading.Thread]("queue").size()


def test_copies_and_equality_are_those_of_lists(db: Database) -> None:
    queue = RedisList[int]("queue", db=db)
    queue += [1, 2]
    assert queue != (1, 2)
    assert queue.copy() == [1, 2]
    assert queue == RedisList[str]("queue", db=db) or list(RedisList[str]("queue", db=db)) == ["1", "2"]
    with pytest.raises(TypeError):
        queue.__hash__()  # type: ignore[misc]

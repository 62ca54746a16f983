"""What a type checker must see of live structures: containers of their items, and results that depend on what was asked."""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence, MutableSet
from datetime import timedelta

from pydantic import BaseModel
from typing_extensions import assert_type

from redisorm import (
    AsyncRedisCounter,
    AsyncRedisDict,
    AsyncRedisList,
    AsyncRedisSet,
    AsyncRedisSortedSet,
    AsyncRedisValue,
    Field,
    RedisCounter,
    RedisDict,
    RedisList,
    RedisModel,
    RedisSet,
    RedisSortedSet,
    RedisValue,
)


class Job(BaseModel):
    id: int


# ---- lists ---------------------------------------------------------------------------------------------------------------

queue = RedisList[Job]("queue", ttl=timedelta(hours=1), maxlen=100)
sequence: MutableSequence[Job] = queue
assert_type(queue.push(Job(id=1), Job(id=2)), int)
queue.push("x")  # error: no job
assert_type(queue.pop(), Job)
assert_type(queue.pop(0), Job)
assert_type(queue.pop(timeout=5), Job | None)
assert_type(queue.pop_left(), Job)
assert_type(queue.pop_left(timeout=None), Job | None)
assert_type(queue.pop_left(count=10), list[Job])
assert_type(queue.pop_left(count=10, timeout=5), list[Job])
assert_type(queue[0], Job)
assert_type(queue[0:2], list[Job])
assert_type(queue.items(), list[Job])
assert_type(queue.move(RedisList[Job]("working"), timeout=5), Job | None)
queue.move(RedisList[str]("working"))  # error: other items
queue[0] = Job(id=3)
queue[0] = "x"  # error: no job
assert_type(len(queue), int)
for job in queue:
    assert_type(job, Job)

# ---- sets ----------------------------------------------------------------------------------------------------------------

tags = RedisSet[str]("tags")
members: MutableSet[str] = tags
assert_type(tags.add("a"), bool)
tags.add(1)  # error: no text
assert_type(tags.pop(), str)
assert_type(tags.pop(3), set[str])
assert_type(tags & {"a"}, set[str])
assert_type(tags.union({"a"}), set[str])
assert_type(tags.items(), set[str])
assert_type(tags.sample(2), list[str])
assert_type("a" in tags, bool)
tags |= {"b"}

# ---- mappings ------------------------------------------------------------------------------------------------------------

board = RedisSortedSet[str]("board")
scores: MutableMapping[str, float] = board
board["a"] = 1
assert_type(board["a"], float)
assert_type(board.get("a"), float | None)
assert_type(board.get("a", 0.0), float)
assert_type(board.top(3), list[tuple[str, float]])
assert_type(board.rank("a"), int | None)
assert_type(board.increment("a"), float)
assert_type(board.pop_lowest(), tuple[str, float])
assert_type(board.pop_lowest(timeout=1), tuple[str, float] | None)
assert_type(board.pop_lowest(count=2), list[tuple[str, float]])
board.add("a", 1, only="best")  # error: no such condition

settings = RedisDict[str, int]("settings")
entries: MutableMapping[str, int] = settings
settings["x"] = 1
settings["x"] = "y"  # error: no number
assert_type(settings["x"], int)
assert_type(settings.get("x"), int | None)
assert_type(settings.get("x", 0), int)
assert_type(settings.pop("x"), int)
assert_type(settings.increment("x"), int)
assert_type(settings.copy(), dict[str, int])
assert_type(dict(settings.items()), dict[str, int])

# ---- strings -------------------------------------------------------------------------------------------------------------

token = RedisValue[str]("token", ttl=3600)
assert_type(token.get(), str | None)
assert_type(token.set("x", only="new"), bool)
assert_type(token.get_and_delete(), str | None)
assert_type(token.compare_and_set(None, "x"), bool)
token.set(1)  # error: no text

hits = RedisCounter("hits")
assert_type(hits.get(), int)
assert_type(hits.increment(), int)
assert_type(hits.increment_within(-1, low=0), int | None)
hits.increment("x")  # error: no number


class User(RedisModel):
    id: int
    followers: RedisSet[int] = Field(init=False)
    jobs: RedisList[Job] = Field(init=False, max_length=3)


user = User(id=1)
User(id=1, followers={1})  # error: no argument
assert_type(user.followers, RedisSet[int])
assert_type(user.jobs[0], Job)
user.followers |= {1}
user.followers.add("x")  # error: no number


async def awaited() -> None:
    queue = AsyncRedisList[Job]("queue")
    assert_type(await queue.push(Job(id=1)), int)
    assert_type(await queue.pop_left(), Job)
    assert_type(await queue.pop_left(timeout=5), Job | None)
    assert_type(await queue.pop_left(count=2), list[Job])
    assert_type([job async for job in queue], list[Job])
    assert_type(await AsyncRedisSet[str]("tags").items(), set[str])
    assert_type(await AsyncRedisSortedSet[str]("board").items(), list[tuple[str, float]])
    assert_type(await AsyncRedisDict[str, int]("settings").get("x"), int | None)
    assert_type(await AsyncRedisDict[str, int]("settings").items(), list[tuple[str, int]])
    assert_type(await AsyncRedisValue[str]("token").get(), str | None)
    assert_type(await AsyncRedisCounter("hits").increment(), int)
    queue[0]  # error: awaited by name
    len(queue)  # error: awaited by name

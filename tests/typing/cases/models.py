"""What a type checker must see of models: which arguments are required, and what the verbs return."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel
from typing_extensions import assert_type

from redisorm import AsyncRedisModel, DecodeError, Event, Field, Message, RedisModel, SortedSet

T = TypeVar("T")


class Address(BaseModel):
    city: str = ""


class User(RedisModel, prefix="user", ttl=timedelta(hours=1), ttl_refresh="write", versioned=True):
    id: int = Field(primary_key=True)
    name: str = Field(min_length=1, index="lex")
    nick: Annotated[str, Field(max_length=20)]
    email: str | None = Field(default=None)
    age: int = Field(default=0, ge=0)
    address: Address = Field(default_factory=Address)
    code: int | None = Field(default=None, ttl=60)
    hint: str = Field(default="", ttl=0.5)
    notes: dict[str, Any] = {}
    tags: set[str] = set()
    scores: SortedSet[str] = SortedSet()
    labels: Annotated[list[str], Field(inline=True)] = []


class Member(User, prefix="member"):
    since: int
    level: int = Field(default=1)


class Positional(RedisModel):
    id: int = Field(...)
    age: int = Field(0)  # a default for Pydantic; type checkers know defaults of `Field` by name only (PEP 681)


class Box(RedisModel, Generic[T]):
    id: int
    content: T


class AsyncUser(AsyncRedisModel):
    id: int | None = None
    name: str = Field()


class Coin(RedisModel, frozen=True):
    id: int
    value: int = 1


class AsyncCoin(AsyncRedisModel, frozen=True):
    id: int


class Minted(Event, frozen=True):
    coin: int


class Spent(Message, frozen=True):
    coin: int


# ---- arguments -----------------------------------------------------------------------------------------------------------

User(id=1, name="Ann", nick="a")
User(id=1, name="Ann", nick="a", email=None, age=3, address=Address(), code=1, tags={"x"}, scores=SortedSet({"x": 1}), labels=["x"])
User(name="Ann", nick="a")  # error: id
User(id=1, nick="a")  # error: name
User(id=1, name="Ann")  # error: nick
User(id=1, name="Ann", nick="a", age="x")  # error: age
User(id=1, name="Ann", nick="a", wrong=1)  # error: wrong
User(1, "Ann", "a")  # error: positional
Member(id=1, name="Ann", nick="a", since=2020)
Member(id=1, name="Ann", nick="a")  # error: since
Member(name="Ann", nick="a", since=2020)  # error: id, which is inherited
AsyncUser(name="Ann")
AsyncUser()  # error: name
Box[int](id=1, content=3)
Box[int](id=1, content="x")  # error: content
Positional()  # error: id
Positional(id=1)  # error: age
Field(index="wrong")  # error: index


# ---- attributes ----------------------------------------------------------------------------------------------------------

user = User(id=1, name="Ann", nick="a")
assert_type(user.id, int)
assert_type(user.email, str | None)
assert_type(user.address.city, str)
assert_type(user.tags, set[str])
assert_type(user.scores, SortedSet[str])
assert_type(user.labels, list[str])
assert_type(user.notes, dict[str, Any])
user.age = "x"  # error: age
assert_type(Box[int](id=1, content=3).content, int)
assert_type(Box[str].get_one(1).content, str)

# ---- verbs ---------------------------------------------------------------------------------------------------------------

assert_type(User.get(1), User | None)
assert_type(User.get_one(1), User)
assert_type(User.get_many([1, 2]), list[User | None])
assert_type(User.get_many([1], on_error="raise"), list[User | None])
assert_type(User.get_many([1], on_error="return"), list[User | DecodeError | None])
User.get_many([1], on_error="skip")  # error: on_error
User.get_many([1], "return")  # error: positional
assert_type(User.exists(1), bool)
assert_type(User.create(id=1, name="Ann", nick="a"), User)
assert_type(User.key_of(1), str)
assert_type(user.save(), User)
assert_type(user.save(ttl=60), User)
assert_type(user.save(ttl=timedelta(minutes=1)), User)
assert_type(user.delete(), bool | None)
assert_type(user.increment("age", 2), int | float | None)
assert_type(user.time_to_live(), timedelta | None)
user.refresh()
user.expire(60)
user.expire(None)
user.save(ttl="60")  # error: ttl
user.increment("age", Decimal("0.10"))
Coin(id=1).value = 2  # error: frozen
print(User.get(1).name)  # error: it may be None
assert_type(Member.get(1), Member | None)
assert_type(Member(id=1, name="Ann", nick="a", since=2020).save(), Member)


async def awaited(user: AsyncUser) -> None:
    assert_type(await AsyncUser.get(1), AsyncUser | None)
    assert_type(await AsyncUser.get_one(1), AsyncUser)
    assert_type(await AsyncUser.get_many([1, 2]), list[AsyncUser | None])
    assert_type(await AsyncUser.get_many([1], on_error="return"), list[AsyncUser | DecodeError | None])
    assert_type(await AsyncUser.exists(1), bool)
    assert_type(await AsyncUser.create(name="Ann"), AsyncUser)
    assert_type(await user.save(), AsyncUser)
    assert_type(await user.delete(), bool | None)
    assert_type(await user.increment("id"), int | float | None)
    assert_type(await user.time_to_live(), timedelta | None)
    assert_type(AsyncUser.key_of(1), str)
    assert_type(user.id, int | None)
    await user.refresh()
    await user.expire(60)
    print(user.save().name)  # error: not awaited

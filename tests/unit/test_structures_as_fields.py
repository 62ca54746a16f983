"""Live structures as fields of models: what a class makes of them, and what it refuses. Nothing is sent."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, ValidationError

import redisorm
from redisorm import (
    AsyncRedisModel,
    AsyncRedisSet,
    DecodeError,
    Field,
    MappingError,
    RedisCounter,
    RedisList,
    RedisModel,
    RedisSet,
    Session,
    SessionError,
    StaleObjectError,
)
from redisorm.commands import Watch
from redisorm.flows.structures import lists
from redisorm.mapping.base import mapper_of
from tests.unit.desk import Desk, atomic, session_on, stored, talk

T = TypeVar("T")


class Fan(BaseModel):
    name: str


class Star(RedisModel, prefix="star"):
    id: int
    name: str = ""
    fans: RedisSet[int] = Field(init=False)
    visits: RedisCounter = Field(init=False)
    last: RedisList[Fan] = Field(init=False, max_length=2)


class BareStar(RedisModel, prefix="bare"):
    id: int
    fans: redisorm.RedisSet[int]  # at run time the bare annotation means the same
    admirers: Annotated[RedisSet[Later], "told by nobody"] = Field(init=False)


class Later(BaseModel, frozen=True):
    name: str


class Box(RedisModel, Generic[T], prefix="box"):
    id: int
    content: RedisList[T] = Field(init=False)


class Counted(RedisModel, prefix="counted"):
    id: int | None = None
    fans: RedisSet[int] = Field(init=False)


class AsyncStar(AsyncRedisModel, prefix="star"):
    id: int
    fans: AsyncRedisSet[int] = Field(init=False)


def typed_key(handle: Any) -> Any:
    return handle._typed_key("")


def test_field_is_no_field_of_pydantic() -> None:
    star = Star(id=1, name="Ann")

    assert set(Star.model_fields) == {"id", "name"}
    assert set(Star.model_json_schema()["properties"]) == {"id", "name"}
    assert star.model_dump() == {"id": 1, "name": "Ann"}
    assert star == Star(id=1, name="Ann")
    assert "fans" not in repr(star)
    assert star.model_copy() == copy.deepcopy(star) == pickle.loads(pickle.dumps(star)) == star
    assert [one.name for one in mapper_of(Star).beside] == ["fans", "visits", "last"]


def test_handle_means_a_key_beside_the_row() -> None:
    star = stored(Star, {"id": 7, "name": "Ann"})

    assert star.fans.key == "star:7:fans"
    assert typed_key(star.fans).row == "star:7"
    assert typed_key(star.last).maxlen == 2
    assert typed_key(star.last).items.read(b'{"name":"Bob"}', "") == Fan(name="Bob")
    assert repr(star.fans) == "RedisSet(Star 7: 'fans')"
    assert isinstance(star.fans, RedisSet)


def test_items_are_found_through_forward_references_aliases_and_parametrisations() -> None:
    bare = stored(BareStar, {"id": 1})
    assert typed_key(bare.fans).items.read(b"3", "") == 3
    assert typed_key(bare.admirers).items.read(b'{"name":"x"}', "") == Later(name="x")
    assert typed_key(stored(Box[int], {"id": 1}).content).items.read(b"3", "") == 3
    assert typed_key(stored(Box[str], {"id": 1}).content).items.read(b"3", "") == "3"

    class Inner(BaseModel):
        n: int

    class Local(RedisModel):
        id: int
        parts: RedisList[Inner] = Field(init=False)

    assert typed_key(stored(Local, {"id": 1}).parts).items.read(b'{"n":1}', "") == Inner(n=1)


def test_class_of_a_user_may_be_the_handle() -> None:
    class Jobs(RedisList[int]):
        """A list with a name."""

    class Desk(RedisModel):
        id: int
        jobs: Jobs = Field(init=False)

    handle = stored(Desk, {"id": 1}).jobs
    assert isinstance(handle, Jobs)
    assert typed_key(handle).items.read(b"3", "") == 3


def test_subclasses_inherit_live_structures() -> None:
    class SuperStar(Star, prefix="superstar"):
        awards: RedisSet[str] = Field(init=False)

    star = stored(SuperStar, {"id": 1, "name": ""})
    assert [star.fans.key, star.awards.key] == ["superstar:1:fans", "superstar:1:awards"]
    assert set(SuperStar.model_fields) == {"id", "name"}
    with pytest.raises(MappingError, match="live structure in a base class"):

        class Wrong(Star, prefix="wrong"):
            fans: set[int] = set()  # type: ignore[assignment]


@pytest.mark.parametrize("make", [lambda: Star(id=1), lambda: stored(Star, {"id": 1, "name": ""}).model_copy()], ids=["new", "copied"])
def test_structure_of_an_object_that_is_not_stored_is_refused(make: Any) -> None:
    star: Star = make()
    uses: list[Any] = [lambda: star.fans.add(1), star.fans.size, lambda: star.fans.key, star.visits.increment, star.last.pop]
    for use in uses:
        with pytest.raises(SessionError, match=r"Star\.\w+ is a live structure of an object that is not stored: save\(\) it first"):
            use()


def test_structure_cannot_be_given_or_assigned() -> None:
    with pytest.raises(ValidationError, match="fans is a live structure: save the object, then fill it"):
        Star(id=1, fans={1})  # type: ignore[call-arg]
    star = stored(Star, {"id": 1, "name": ""})
    for value in ({1}, RedisSet[int]("other"), stored(Star, {"id": 2, "name": ""}).fans, star.visits):
        with pytest.raises(SessionError, match="cannot be assigned"):
            star.fans = value  # type: ignore[assignment]
    star.fans = star.fans


def test_structure_lives_as_long_as_its_object() -> None:
    star = stored(Star, {"id": 1, "name": ""})
    with pytest.raises(SessionError, match="lives as long as its object"):
        star.fans.expire(5)


@pytest.mark.parametrize(
    ("default", "words"),
    [
        (Field(index=True), "no key, not indexed"),
        (Field(ttl=5), "no key, not indexed"),
        (Field(inline=True), "no key, not indexed"),
        (Field(default=None), "has no default"),
        (Field(default_factory=set), "has no default"),
        (frozenset(), "has no default"),
    ],
)
def test_options_that_a_structure_cannot_have_are_refused(default: Any, words: str) -> None:
    with pytest.raises(MappingError, match=rf"Wrong\.fans: .*{words}"):

        class Wrong(RedisModel):
            id: int
            fans: RedisSet[int] = default


def test_structure_must_stand_alone_in_a_model() -> None:
    annotations: list[Any] = [RedisSet[int] | None, list[RedisSet[int]]]
    for annotation in annotations:
        with pytest.raises(MappingError, match="RedisSet is a live structure: declare it in a RedisModel itself"):
            type("Wrong", (RedisModel,), {"__annotations__": {"id": int, "fans": annotation}, "__module__": __name__})
    with pytest.raises(MappingError, match="in a nested model"):

        class Wrong(BaseModel):
            fans: RedisSet[int]


def test_structure_cannot_be_named_like_a_verb() -> None:
    with pytest.raises(MappingError, match="cannot be named like a verb"):

        class Wrong(RedisModel):
            id: int
            delete: RedisSet[int] = Field(init=False)  # type: ignore[assignment]


def test_name_that_is_never_defined_is_told_at_the_first_use() -> None:
    class Lost(RedisModel):
        id: int
        fans: RedisSet[Nowhere] = Field(init=False)

    with pytest.raises(MappingError, match=r"Lost\.fans: 'Nowhere' in its annotation is not defined"):
        stored(Lost, {"id": 1}).fans.size()


def test_object_with_structures_is_stored_as_others_are() -> None:
    desk = Desk([[0], [2]])
    session = session_on(desk)
    session.add(Star(id=1))
    desk.supports["EVALSHA"] = False
    session.commit()
    look, write = talk(desk)
    assert look.commands == [("EXISTS", "star:1", "star:1:fans", "star:1:visits", "star:1:last")]
    assert write.commands == [("HSET", "star:1", "id", 1, "name", "")]


def test_writes_in_a_session_are_sent_with_its_commit_and_given_the_deadline_of_the_row() -> None:
    deadline = 1_800_000_000_000
    desk = Desk([[[b"1", b"Ann", None]], [deadline, b"set", b"none", b"5", b"list"], [2, 6, 1, "OK", 1, 1, 1]])
    session = session_on(desk)
    star = session.get_one(Star, 1)
    assert star.fans.update([1, 2]) is None
    star.visits.increment()
    star.last.push(Fan(name="Bob"))
    assert desk.round_trips == 1

    session.commit()

    _, watch, write = talk(desk)
    assert watch == Watch(
        ["star:1"],
        [
            ("PEXPIRETIME", "star:1"),
            ("TYPE", "star:1:fans"),
            ("TYPE", "star:1:visits"),
            ("GET", "star:1:visits"),
            ("TYPE", "star:1:last"),
        ],
    )
    assert write == atomic(
        ("SADD", "star:1:fans", "1", "2"),
        ("INCRBY", "star:1:visits", 1),
        ("RPUSH", "star:1:last", '{"name":"Bob"}'),
        ("LTRIM", "star:1:last", -2, -1),
        *(("PEXPIREAT", f"star:1:{name}", deadline) for name in ("fans", "visits", "last")),
    )


def test_writes_in_a_session_are_dropped_by_a_rollback_and_kept_by_a_failed_commit() -> None:
    desk = Desk([[[b"1", b"Ann", None]], [-2, b"none"], [-1, b"none"], [1]])
    session = session_on(desk)
    star = session.get_one(Star, 1)
    star.fans.add(1)
    session.rollback()
    session.commit()
    assert desk.round_trips == 1
    star.fans.add(2)
    with pytest.raises(StaleObjectError, match="the row star:1 is gone"):
        session.commit()
    session.commit()
    session.commit()
    assert talk(desk)[-1] == atomic(("SADD", "star:1:fans", 2))
    assert desk.round_trips == 4


@pytest.mark.parametrize("drop", [Session.expunge, Session.delete])
def test_writes_of_an_object_that_leaves_the_session_are_dropped(drop: Any) -> None:
    desk = Desk([[[b"1", b"Ann", None]], [1, 1]])
    session = session_on(desk)
    star = session.get_one(Star, 1)
    star.fans.add(1)
    drop(session, star)
    session.commit()
    assert not any(command[0] == "SADD" for command in desk.commands)


def test_counter_that_holds_no_integer_is_found_out_before_the_commit_writes() -> None:
    desk = Desk([[[b"1", b"Ann", None]], [-1, b"string", b"x"]])
    session = session_on(desk)
    session.get_one(Star, 1).visits.increment()
    with pytest.raises(DecodeError, match="star:1:visits: what is stored is no integer"):
        session.commit()


def test_new_object_and_its_structures_are_stored_in_one_commit() -> None:
    desk = Desk([[0], [2, 1]], supports={"EVALSHA": False})
    session = session_on(desk)
    star = Star(id=1)
    session.add(star)
    star.fans.add(5)
    with pytest.raises(SessionError, match="not stored"):
        star.fans.items()
    session.commit()
    assert talk(desk)[-1] == atomic(("HSET", "star:1", "id", 1, "name", ""), ("SADD", "star:1:fans", 5))


def test_key_that_is_changed_after_a_structure_was_written_to_is_an_error() -> None:
    desk = Desk()
    session = session_on(desk)
    star = Star(id=1)
    session.add(star)
    star.fans.add(5)
    star.id = 2
    with pytest.raises(SessionError, match="star:1:fans was written to, and then its object got another key, star:2"):
        session.commit()
    assert desk.round_trips == 0


def test_structure_of_an_object_whose_key_is_not_numbered_yet_cannot_be_written_to() -> None:
    session = session_on(Desk())
    counted = Counted()
    session.add(counted)
    with pytest.raises(SessionError, match="not stored"):
        counted.fans.add(1)


def test_what_needs_an_answer_is_refused_in_a_session() -> None:
    desk = Desk([[[b"1", b"Ann", None]]])
    session = session_on(desk)
    star = session.get_one(Star, 1)
    uses: list[Any] = [
        star.last.pop,
        star.fans.pop,
        lambda: star.visits.increment_within(1, high=3),
        lambda: star.last.insert(0, Fan(name="x")),
        lambda: star.last.set(0, Fan(name="x")),
        lambda: star.fans.move(1, star.fans),
        star.last.reverse,
    ]
    for use in uses:
        with pytest.raises(SessionError, match="belongs to an open session"):
            use()
    with pytest.raises(ValidationError):
        star.fans.add("x")  # type: ignore[arg-type]
    session.commit()
    assert desk.round_trips == 1


def test_awaited_models_have_awaited_handles() -> None:
    assert isinstance(stored(AsyncStar, {"id": 1}).fans, AsyncRedisSet)


def test_sort_orders_are_by_place() -> None:
    assert list(lists.sorted_order(None, reverse=True)([3, 1, 2])) == [0, 2, 1]


if TYPE_CHECKING:

    class Nowhere: ...

"""Many items of a structure at once: the texts each would have, the same refusals, and what a driver may do for them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, cast

import pytest
from pydantic import BaseModel, Field, Json, PrivateAttr, ValidationError, computed_field
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from redisorm import Database, DecodeError, RedisDict, RedisList, RedisSet, RedisSortedSet
from redisorm.commands import Batch, Collect, Post
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.pieces import CHUNK
from redisorm.flows.structures import sets
from redisorm.flows.structures.typed import SCAN
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.flat import Flat
from redisorm.mapping.items import FEW, as_member, items_of
from redisorm.mapping.scores import plain_scores
from tests.unit.desk import Desk, talk

MANY = FEW + 1


class Job(BaseModel):
    id: int
    name: str | None = None
    due: datetime | None = None


class Urgent(Job):
    pass


class Shelf(BaseModel):
    jobs: list[Job]


class Word(str):
    __slots__ = ()


class Colour(str, Enum):
    RED = "red"


@dataclass
class Box:
    side: int
    extra: Json[dict[str, int]]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


class Label(TypedDict):
    words: Json[list[str]]


NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


# ---- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (str, ["a", "", "é", Word("b"), Colour.RED]),
        (int, [0, -1, 10**30, True, "7"]),
        (int, [3, 2**63, 10**300]),
        (float, [1.0, 1e16, 1e-9, math.inf, 3]),
        (bytes, [b"\xff", b""]),
        (Annotated[str, Field(max_length=3)], ["a", "é"]),
        (Job, [Job(id=1, name="é", due=NOON)] * MANY),
        (Job, [Urgent(id=number) for number in range(MANY)]),
        (Job | None, [None, *[Job(id=number) for number in range(MANY)]]),
        (Shelf, [Shelf(jobs=[Job(id=1)])] * MANY),
        (frozenset[int], [frozenset((3, 1, 2)), frozenset()]),
        (set[int], [[3, 1, 1], {2}]),
        (Any, [{1}, [2], "x", None]),
        (int | str, [1, "1"]),
        (datetime | str, [NOON, "2026-01-02"]),
        (Box, [Box(2, cast("Any", '{"a":1}'))]),
    ],
)
def test_many_items_have_the_texts_that_each_has(annotation: Any, values: list[Any]) -> None:
    items = items_of(annotation)
    texts = list(map(as_bytes, items.spell_many(values, "k")))
    assert texts == [as_bytes(items.spell(value, "k")) for value in values]
    assert [as_bytes(text) for value in items.read_many(texts, "k") for text in items.spell_many([value], "k")] == texts


def test_nothing_is_spelled_and_read_as_nothing() -> None:
    for annotation in (str, int, float, Job):
        assert items_of(annotation).spell_many([], "k") == []
        assert items_of(annotation).read_many([], "k") == []


def test_what_is_stored_is_what_is_read_back_of_it() -> None:
    """JSON inside an item is text there, and what is computed is computed again."""
    boxes = items_of(Box)
    (text,) = boxes.spell_many([Box(2, cast("Any", '{"a":1}'))], "k")
    assert as_bytes(text) == rb'{"side":2,"extra":"{\"a\":1}"}'
    (box,) = boxes.read_many([as_bytes(text)], "k")
    assert (box.extra, box.area) == ({"a": 1}, 4)
    labels = items_of(Label)
    assert labels.read(as_bytes(labels.spell({"words": '["x"]'}, "k")), "k") == {"words": ["x"]}


# ---- models of plain scalars ------------------------------------------------------------------------------------------


def jobs() -> list[Job]:
    return [Job(id=number, name=f"job {number}") for number in range(MANY)]


def misfits() -> list[tuple[str, Callable[[Job], object]]]:
    def reorder(job: Job) -> None:
        vars(job)["id"] = vars(job).pop("id")

    return [
        ("text that is a number", lambda job: setattr(job, "id", "3")),
        ("a bool", lambda job: setattr(job, "id", True)),
        ("a subclass", lambda job: setattr(job, "name", Word("x"))),
        ("another order", reorder),
        ("something else beside the fields", lambda job: vars(job).update(more=1)),
    ]


@pytest.mark.parametrize("change", [change for _, change in misfits()], ids=[name for name, _ in misfits()])
def test_object_that_is_not_as_its_class_has_it_is_spelled_as_if_it_were(change: Callable[[Job], object]) -> None:
    items, changed = items_of(Job), jobs()
    change(changed[2])
    assert Flat.of(items._codec.stored).holds(changed) is False  # type: ignore[union-attr]
    assert as_bytes(items.spell_many(changed, "k")[2]) == as_bytes(items.spell(changed[2], "k"))


@pytest.mark.parametrize(("field", "value"), [("id", "x"), ("id", None), ("name", 5), ("due", "soon"), ("name", "\ud800")])
def test_object_that_does_not_fit_is_refused_with_key_and_position(field: str, value: Any) -> None:
    changed = jobs()
    setattr(changed[2], field, value)
    with pytest.raises(ValidationError, match="k") as caught:
        items_of(Job).spell_many(changed, "k")
    assert caught.value.errors()[0]["loc"][0] == 2


def test_object_without_a_field_is_refused() -> None:
    changed = jobs()
    del changed[3].id
    with pytest.raises(ValidationError, match="required"):
        items_of(Job).spell_many(changed, "k")


class Counted(BaseModel):
    id: int
    _seen: int = PrivateAttr(0)


class Open(BaseModel, extra="allow"):
    id: int


class Bounded(BaseModel):
    id: int = Field(ge=0)


class Empty(BaseModel):
    pass


@pytest.mark.parametrize("annotation", [int, Shelf, Counted, Open, Bounded, Empty, list[Job], dataclasses.dataclass])
def test_only_models_of_plain_scalars_are_told_by_their_columns(annotation: Any) -> None:
    assert Flat.of(annotation if annotation is int else getattr(items_or_none(annotation), "stored", None)) is None


def items_or_none(annotation: Any) -> Any:
    return None if annotation is dataclasses.dataclass else items_of(annotation)._codec


# ---- words that are no text -------------------------------------------------------------------------------------------


def test_half_of_a_pair_of_surrogates_is_refused_before_anything_is_sent() -> None:
    desk = Desk()
    db = cast("Database", desk)
    uses: list[tuple[Callable[[], object], object]] = [
        (lambda: RedisList[str]("k", db=db).push("a", "é", "\ud800"), 2),
        (lambda: RedisSet[str]("k", db=db).update(["é", "\ud800"]), 1),
        (lambda: RedisDict[str, str]("k", db=db).update({"a": "\ud800"}), "a"),
        (lambda: RedisList[str]("k", db=db).set(4, "\ud800"), 4),
        (lambda: RedisList[int | str]("k", db=db).push(1, "\ud800"), 1),
    ]
    for use, place in uses:
        with pytest.raises(ValidationError, match="k") as caught:
            use()
        assert caught.value.errors()[0]["loc"] == (place,)
    assert desk.requests == []


# ---- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers", [[], [1.0, 1e-9, 5e-324, 1.7976931348623157e308, -0.0, 0.1], [math.inf, 1.0], [1.7e308, 1.7e308], [math.inf, -math.inf]]
)
def test_many_scores_are_exactly_the_numbers(numbers: list[float]) -> None:
    assert list(map(float, plain_scores(numbers) if not math.isnan(sum(numbers)) else map(repr, numbers))) == numbers


def test_many_scores_are_sent_in_one_command_and_none_that_is_not_a_number() -> None:
    desk = Desk([[2], [2]])
    board = RedisSortedSet[str]("board", db=cast("Database", desk))
    board.update({"a": 1, "b": 2.5})
    board.update({"a": math.inf, "b": -math.inf})
    assert desk.commands == [("ZADD", "board", "1.0", "a", "2.5", "b"), ("ZADD", "board", "inf", "a", "-inf", "b")]
    with pytest.raises(ValueError, match="the score of 'b' is NaN"):
        board.update({"a": 1, "b": math.nan})


# ---- what is sent -----------------------------------------------------------------------------------------------------


def test_many_items_go_in_commands_of_bounded_length() -> None:
    desk = Desk([[CHUNK + 1, CHUNK + 1], [3]])
    queue = RedisList[int]("queue", db=cast("Database", desk))
    queue.push(*range(CHUNK + 1))
    queue.push(7, 8, 9)
    assert [len(command) for command in desk.commands] == [CHUNK + 2, 3, 5]
    assert desk.commands[-1] == ("RPUSH", "queue", "7", "8", "9")


def test_several_groups_of_members_are_one_command() -> None:
    desk = Desk([[3], [0]])
    tags = RedisSet[str]("tags", db=cast("Database", desk))
    assert tags.update(["a"], {"b"}, ("c",)) == 3
    assert tags.update() == 0
    assert desk.commands == [("SADD", "tags", "a", "b", "c")]
    with pytest.raises(TypeError, match="unhashable"):
        RedisSet[Any]("tags", db=cast("Database", desk)).update(["a", []])


# ---- what is read -----------------------------------------------------------------------------------------------------


def decoded(*commands: Any) -> Batch:
    return Batch(commands, resend=True, text=True)


def as_bytes_again(*commands: Any) -> Batch:
    return Batch(commands, resend=True)


def test_driver_may_decode_what_is_text() -> None:
    desk = Desk([[["a", "é"]], [["7", ["b"]]], [["0", ["c"]]], [["0", ["f", "1"]]], [[["m", 2.0]]]])
    db = cast("Database", desk)
    assert RedisList[str]("k", db=db).items() == ["a", "é"]
    assert RedisSet[str]("k", db=db).items() == {"b", "c"}
    assert RedisDict[str, int]("k", db=db).copy() == {"f": 1}
    assert RedisSortedSet[str]("k", db=db).top(1) == [("m", 2.0)]
    assert talk(desk) == [
        decoded(("LRANGE", "k", 0, -1)),
        decoded(("SSCAN", "k", 0, "COUNT", SCAN)),
        decoded(("SSCAN", "k", 7, "COUNT", SCAN)),
        decoded(("HSCAN", "k", 0, "COUNT", SCAN)),
        decoded(("ZRANGE", "k", 0, 0, "REV", "WITHSCORES")),
    ]


def test_next_step_of_a_pass_is_asked_for_before_the_members_of_one_are_read() -> None:
    pass_over = sets.members(RedisSet[int]("k", db=cast("Database", Desk([])))._typed_key(""))
    assert next(pass_over) == decoded(("SSCAN", "k", 0, "COUNT", SCAN))
    assert pass_over.send([["7", ["1"]]]) == Post(decoded(("SSCAN", "k", 7, "COUNT", SCAN)))
    assert pass_over.send(None) == Collect()
    assert pass_over.send([["9", ["x"]]]) == Post(decoded(("SSCAN", "k", 9, "COUNT", SCAN)))
    with pytest.raises(DecodeError, match="does not fit int"):
        pass_over.send(None)


def test_step_of_a_pass_that_is_no_text_is_read_again_as_bytes_and_told() -> None:
    refusal = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    desk = Desk([[["7", ["a"]]], refusal, [[b"0", [b"b", b"\xff"]]]])
    with pytest.raises(DecodeError, match="not UTF-8 text: invalid start byte"):
        RedisSet[str]("k", db=cast("Database", desk)).items()
    assert talk(desk)[1:] == [decoded(("SSCAN", "k", 7, "COUNT", SCAN)), as_bytes_again(("SSCAN", "k", 7, "COUNT", SCAN))]


def test_bytes_are_never_decoded() -> None:
    desk = Desk([[[b"\xff"]], [[b"0", [b"\xff", b"1"]]]])
    assert RedisList[bytes]("k", db=cast("Database", desk)).items() == [b"\xff"]
    assert RedisDict[bytes, int]("k", db=cast("Database", desk)).copy() == {b"\xff": 1}
    assert talk(desk) == [as_bytes_again(("LRANGE", "k", 0, -1)), as_bytes_again(("HSCAN", "k", 0, "COUNT", SCAN))]


def test_what_is_no_text_is_read_again_as_bytes_and_told() -> None:
    refusal = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    desk = Desk([refusal, [[b"a", b"\xff"]]])
    with pytest.raises(DecodeError, match="not UTF-8 text: invalid start byte") as caught:
        RedisList[str]("k", db=cast("Database", desk)).items()
    assert (caught.value.position, caught.value.value) == (1, b"\xff")
    assert talk(desk) == [decoded(("LRANGE", "k", 0, -1)), as_bytes_again(("LRANGE", "k", 0, -1))]


def test_decoded_text_that_does_not_fit_is_told_as_it_is_stored() -> None:
    driver = ScriptedDriver([[["1", "é"]]])
    with pytest.raises(DecodeError, match=r"k\[1\]: the stored item does not fit int: .*found 'é'") as caught:
        RedisList[int]("k", db=cast("Database", _named(driver))).items()
    assert (caught.value.position, caught.value.value) == (1, "é".encode())
    assert items_of(int | str).read_many(["5", "hello"], "k") == [5, "hello"]


def _named(driver: ScriptedDriver) -> ScriptedDriver:
    driver.namespace = ""  # type: ignore[attr-defined]
    return driver


# ---- what is looked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (str, ["a", "é"]),
        (str, ["a", "\ud800", 5, None]),
        (int, [1, 10**30]),
        (int, [1, "1", True, 2.0]),
        (frozenset[int], [{1, 2}, frozenset((3,)), 4]),
        (Job, jobs()),
        (float, []),
    ],
)
def test_many_values_are_looked_for_as_each_is(annotation: Any, values: list[Any]) -> None:
    items = items_of(annotation)
    each = [items.sought(as_member(value) if isinstance(value, set) else value) for value in values]
    found = items.sought_many(iter(values), hashed=annotation is frozenset[int])
    assert [None if text is None else as_bytes(text) for text in found] == each


def test_what_has_no_hash_is_in_no_set() -> None:
    desk = Desk([])
    tags = RedisSet[str]("tags", db=cast("Database", desk))
    for use in (tags.contains_many, tags.remove_many, tags.issuperset, tags.isdisjoint):
        with pytest.raises(TypeError, match="unhashable"):
            use(["a", []])
    assert desk.requests == []


def test_values_that_are_absent_or_cannot_be_there_have_their_places() -> None:
    desk = Desk([[[1, 0]], [[1, 0]], [[2.0, None]], [[1.0]], [["1", None]], [["1", "2"]], [[b"x"], [b"1"]]])
    db = cast("Database", desk)
    tags, board = RedisSet[str]("k", db=db), RedisSortedSet[str]("k", db=db)
    settings = RedisDict[str, int]("k", db=db)
    assert tags.contains_many(["a", "b"]) == [True, False]
    assert tags.contains_many(["a", 5, "b"]) == [True, False, False]
    assert tags.contains_many([5]) == [False]
    assert board.get_many(["a", "b"]) == [2.0, None]
    assert board.get_many([5, "a"]) == [None, 1.0]
    assert settings.get_many([5, "a", "b"]) == [None, 1, None]
    assert settings.get_many(["a", "b"]) == [1, 2]
    with pytest.raises(DecodeError, match=r"k\['0'\]: the stored item does not fit int"):
        settings.get_many(map(str, range(CHUNK + 1)))
    assert desk.commands[1:6] == [
        ("SMISMEMBER", "k", b"a", b"b"),
        ("ZMSCORE", "k", "a", "b"),
        ("ZMSCORE", "k", b"a"),
        ("HMGET", "k", b"a", b"b"),
        ("HMGET", "k", "a", "b"),
    ]

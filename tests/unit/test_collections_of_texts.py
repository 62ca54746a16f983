"""Lists and sets of texts, which most collections are: seen to be as they were without being spelled, and changed all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field as PydanticField
from pydantic import StringConstraints, ValidationError

from redisorm import Field, RedisModel, SortedSet
from redisorm.commands import Batch
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork import verbs
from tests.unit.desk import Desk, agreeing, change_to, script_call, session_on, stored, talk

Short = Annotated[list[str], PydanticField(max_length=3)]


class Tagged(RedisModel, prefix="tagged"):
    id: int
    tags: set[str] = set()
    jobs: list[str] = []


class Indexed(RedisModel, prefix="indexed"):
    id: int
    tags: set[str] = Field(default=set(), index=True)


class Other(RedisModel, prefix="other"):
    """Collections that have to be looked at closer."""

    id: int
    few: Short = []
    numbers: list[int] = []
    lower: set[Annotated[str, StringConstraints(to_lower=True)]] = set()
    scores: SortedSet[str] = SortedSet()


def tagged() -> Tagged:
    return stored(Tagged, {"id": 1}, [b"a", b"\xc3\xa9"], [b"x", b"y", b"x"])


def test_which_collections_need_no_check() -> None:
    assert [one.plain for one in mapper_of(Tagged).companions] == [True, True]
    assert [one.plain for one in mapper_of(Indexed).companions] == [True]
    assert [one.plain for one in mapper_of(Other).companions] == [False] * 4


@pytest.mark.parametrize(
    "touch",
    [
        lambda one: None,
        lambda one: one.tags.add("a"),
        lambda one: setattr(one, "tags", {"é", "a"}),
        lambda one: setattr(one, "jobs", ["x", "y", "x"]),
        lambda one: one.jobs.reverse(),
    ],
)
def test_what_is_as_it_was_is_no_change(touch: Callable[[Tagged], object]) -> None:
    one = tagged()
    touch(one)
    assert change_to(one) is None


@pytest.mark.parametrize(
    ("touch", "commands"),
    [
        (lambda one: one.tags.add("b"), [("SADD", "tagged:1:tags", b"b")]),
        (lambda one: (one.tags.remove("a"), one.tags.add("b")), [("SADD", "tagged:1:tags", b"b"), ("SREM", "tagged:1:tags", b"a")]),
        (lambda one: one.jobs.append("z"), [("RPUSH", "tagged:1:jobs", b"z")]),
        (lambda one: one.jobs.clear(), [("UNLINK", "tagged:1:jobs")]),
        (lambda one: one.jobs.sort(), [("UNLINK", "tagged:1:jobs"), ("RPUSH", "tagged:1:jobs", b"x", b"x", b"y")]),
    ],
)
def test_what_is_otherwise_is_one(touch: Callable[[Tagged], object], commands: list[Any]) -> None:
    one = tagged()
    touch(one)
    desk = Desk(agreeing, supports={"EVALSHA": True})
    desk.run(verbs.save(one, None, ""))
    assert script_call(talk(desk)[0]).writes == commands


@pytest.mark.parametrize("wrong", [3, None, "\ud800"])
@pytest.mark.parametrize("name", ["tags", "jobs"])
def test_what_is_no_text_is_refused(wrong: Any, name: str) -> None:
    one = tagged()
    collection: Any = getattr(one, name)
    collection.pop()
    (collection.add if name == "tags" else collection.append)(wrong)
    with pytest.raises(ValidationError, match=name):
        change_to(one)


@pytest.mark.parametrize("wrong", [7, "text", None, {"a": 1}])
def test_what_is_no_collection_is_refused(wrong: Any) -> None:
    one = tagged()
    vars(one)["jobs"] = wrong  # pyright: ignore[reportIndexIssue]
    with pytest.raises(ValidationError, match="jobs"):
        change_to(one)


def test_collections_with_constraints_are_checked() -> None:
    one = stored(Other, {"id": 1}, [b"a"], [b"1"], [b"a"], [])
    assert change_to(one) is None
    one.few.extend(["b", "c", "d"])
    with pytest.raises(ValidationError, match="few"):
        change_to(one)


def test_many_new_rows_fill_their_collections_by_one_command_each() -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    session = session_on(desk)
    session.add_all([Tagged(id=number, tags={"a"} if number else set(), jobs=["x"] * number) for number in range(5)])
    session.commit()
    writes = script_call(talk(desk)[0]).writes
    assert writes == [
        *(("SADD", f"tagged:{number}:tags", "a") for number in range(1, 5)),
        *(("RPUSH", f"tagged:{number}:jobs", *["x"] * number) for number in range(1, 5)),
    ]


def test_collections_of_very_many_elements_are_filled_bit_by_bit() -> None:
    desk = Desk(lambda request: [None] * len(request.commands) if isinstance(request, Batch) else [0])
    session = session_on(desk)
    session.add_all([Tagged(id=number, jobs=["x"] * 7000) for number in range(5)])
    session.commit()
    pushes = [command for command in desk.commands if command[0] == "RPUSH"]
    assert sum(len(command) - 2 for command in pushes) == 5 * 7000
    assert max(map(len, pushes)) < 4000


def five(texts: Callable[[int], set[str]], jobs: Callable[[int], list[str]]) -> list[Tagged]:
    return [Tagged(id=number, tags=texts(number), jobs=jobs(number)) for number in range(5)]


@pytest.mark.parametrize("text", ["a", "é", "a\0b", ""])
def test_many_new_rows_are_as_they_were_committed(text: str) -> None:
    session = session_on(Desk(agreeing, supports={"EVALSHA": True}))
    added = five(lambda number: {text, str(number)}, lambda number: [text] * number)
    session.add_all(added)
    session.commit()
    assert session.dirty == []
    assert [change_to(one) for one in added] == [None] * 5
    session.close()
    assert [(one.tags, one.jobs) for one in added] == [({text, str(number)}, [text] * number) for number in range(5)]


@pytest.mark.parametrize(
    "touch",
    [
        lambda one: one.tags.add("z"),
        lambda one: (one.tags.remove("a"), one.tags.add("z")),
        lambda one: one.jobs.append("é"),
        lambda one: one.jobs.reverse(),
        lambda one: setattr(one, "jobs", ["a\0b", "c"]),
        lambda one: setattr(one, "tags", set()),
    ],
)
def test_one_of_many_that_is_changed_after_a_commit_is_dirty_and_restored(touch: Callable[[Tagged], object]) -> None:
    session = session_on(Desk(agreeing, supports={"EVALSHA": True}))
    added = five(lambda number: {"a", str(number)}, lambda number: ["a", "b\0c"])
    session.add_all(added)
    session.commit()
    touch(added[3])
    assert session.dirty == [added[3]]
    session.close()
    assert (added[3].tags, added[3].jobs) == ({"a", "3"}, ["a", "b\0c"])


@pytest.mark.parametrize("text", ["a", "é"])
def test_collection_that_changes_while_it_is_committed_is_dirty(text: str) -> None:
    added = five(lambda _: {text}, lambda _: [])

    def answer(request: Any) -> Any:
        added[1].tags.add("later")
        return agreeing(request)

    session = session_on(Desk(answer, supports={"EVALSHA": True}))
    session.add_all(added)
    session.commit()
    assert session.dirty == [added[1]]


@pytest.mark.parametrize("wrong", [3, "\ud800"])
def test_one_of_many_with_what_is_no_text_is_refused(wrong: Any) -> None:
    desk = Desk(agreeing, supports={"EVALSHA": True})
    session = session_on(desk)
    added = five(lambda number: {"a"}, lambda number: ["b"])
    added[2].tags.add(wrong)
    session.add_all(added)
    with pytest.raises(ValidationError, match="tagged:2"):
        session.commit()
    assert talk(desk) == []

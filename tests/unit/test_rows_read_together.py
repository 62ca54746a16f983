"""Rows of one class that come together are read column by column: they are as if each had been read alone."""

from __future__ import annotations

import pickle
from ipaddress import IPv4Address
from typing import Any, cast

import pytest

from redisorm import DecodeError, Field, RedisModel, SessionError, SortedSet
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.changes import PERMANENT
from redisorm.flows.loading import load
from redisorm.mapping import base
from redisorm.mapping.base import linked_state, mapper_of
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import Phase, State, state_of
from tests.unit.desk import Desk, change_to, row_of, session_on, texts_of
from tests.zoo.models import Board, Hot, Memo, User


class Draft(RedisModel, prefix="draft"):
    """Fields that may be absent, and what stands for them then."""

    id: int
    note: str | None = None
    size: int | None = 5
    meta: dict[str, int] | None = None
    marks: list[int] = Field(default=[], inline=True)


class Ledger(RedisModel, prefix="ledger", versioned=True):
    id: int
    total: int = 0


class Titled(RedisModel, prefix="titled"):
    """An object that changes as it is made."""

    id: int
    title: str
    length: int = 0
    made: list[str] = Field(default=[], exclude=True, inline=True)

    def model_post_init(self, context: Any, /) -> None:
        self.length = len(self.title)
        made.append(self.title)


class Host(RedisModel, prefix="host"):
    """A type that Pydantic reads in a way of its own from text."""

    id: int
    address: IPv4Address


made: list[str] = []


def loaded(model: type[Any], *rows: dict[str, Any], answers: Any = (), **options: Any) -> list[Any]:
    """What rows come to whose keys are 1, 2, 3, …"""
    driver = ScriptedDriver([[texts_of(model, row, **options) for row in rows], *answers])
    return driver.run(verbs.get_many(model, range(1, len(rows) + 1), "", on_error="return"))


def users(*names: str | bytes | None) -> list[Any]:
    return loaded(User, *({"id": place, "name": name} for place, name in enumerate(names, 1)), answers=[[0]])


# ---- objects --------------------------------------------------------------------------------------------------------


def test_rows_become_objects_with_states_of_their_own() -> None:
    found = users("a", "b", "c", "d", "e")
    assert [(one.id, one.name, one.age, one.email) for one in found] == [(n, name, 0, None) for n, name in enumerate("abcde", 1)]
    states = list(map(state_of, found))
    assert [(state.phase, state.session, state.key) for state in states] == [(Phase.DETACHED, None, f"user:{n}") for n in range(1, 6)]
    assert [state.snapshot and state.snapshot.values for state in states] == [(n, name, 0, None) for n, name in enumerate("abcde", 1)]


def test_fields_that_were_there_are_told_from_those_that_were_not() -> None:
    whole, half, *_ = loaded(User, {"id": 1, "name": "a", "age": 1, "email": "x"}, *({"id": n, "name": "b"} for n in (2, 3, 4)))
    assert (whole.model_fields_set, half.model_fields_set) == ({"id", "name", "age", "email"}, {"id", "name"})


def test_set_of_given_fields_belongs_to_one_object_alone() -> None:
    first, second, *_ = loaded(User, *({"id": n, "name": "a", "age": 1, "email": "x"} for n in range(1, 5)))
    first.model_fields_set.discard("age")
    assert (first.model_fields_set, second.model_fields_set) == ({"id", "name", "email"}, {"id", "name", "age", "email"})
    assert set(first.model_dump(exclude_unset=True)) == {"id", "name", "email"}


def test_what_stands_for_absent_fields_is_no_change_and_belongs_to_one_object_alone() -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "note": "x", "size": "null", "marks": "[1]"},
        *({"id": n, "marks": " []", "meta": '{"a":1}'} for n in (2, 3, 4)),
    ]
    with session_on(Desk([[texts_of(Draft, row) for row in rows]])) as session:
        found: list[Any] = session.get_many(Draft, [1, 2, 3, 4])
        assert [(one.note, one.size, one.meta, one.marks) for one in found] == [("x", None, None, [1]), *[(None, 5, {"a": 1}, [])] * 3]
        assert session.dirty == []
        found[1].marks.append(7)
        found[0].meta = {}
        assert (session.dirty, found[2].marks) == ([found[0], found[1]], [])


def test_default_that_belongs_to_each_object_is_made_for_each() -> None:
    first, second, *_ = loaded(Draft, *({"id": n} for n in range(1, 5)))
    assert first.marks == second.marks == []
    assert first.marks is not second.marks
    memos = ScriptedDriver([[texts_of(Memo, {"text": "t"})] * 4]).run(verbs.get_many(Memo, (keys := [Memo().id for _ in range(4)]), ""))
    assert [memo and memo.id for memo in memos] == keys


def test_default_that_has_no_hash_is_copied_for_each_object() -> None:
    class Odd(RedisModel, prefix="odd"):
        id: int
        size: int = cast("int", [])

    first, second, *_ = loaded(Odd, *({"id": n} for n in range(1, 5)))
    assert first.size == second.size == []
    assert first.size is not second.size


def test_rows_are_loaded_with_all_that_a_session_has_to_remember() -> None:
    mapper = mapper_of(Ledger)
    rows = [texts_of(Ledger, {"id": n, "total": n}, version=n, life="5") for n in range(1, 5)]
    found = ScriptedDriver([rows]).run(load(mapper, mapper.keyspace("shop"), ["1", "2", "3", "4"]))
    assert [one and (one.obj.pk, one.key, one.version, one.life) for one in found] == [
        (n, f"shop:ledger:{n}", n, 5_000) for n in range(1, 5)
    ]
    assert [one and one.snapshot.values for one in found] == [(n, n) for n in range(1, 5)]


def test_object_knows_that_it_is_made_before_its_values_are_remembered() -> None:
    made.clear()
    rows = [{"id": n, "title": "abc"[:n], "length": 9, "made": "[]"} for n in (1, 2, 3, 4)]
    with session_on(Desk([[texts_of(Titled, row) for row in rows]])) as session:
        assert [one and one.length for one in session.get_many(Titled, [1, 2, 3, 4])] == [1, 2, 3, 3]
        assert session.dirty == []
    assert made == ["a", "ab", "abc", "abc"]


def test_lives_and_versions_come_with_the_rows() -> None:
    found = ScriptedDriver([[texts_of(Ledger, {"id": n}, version=n, life=life) for n, life in enumerate(["5", "-1", None, "x"], 1)]]).run(
        verbs.get_many(Ledger, [1, 2, 3, 4], "")
    )
    states = [state_of(one) for one in found if one is not None]
    assert [(state.version, state.life) for state in states] == [(1, 5_000), (2, PERMANENT), (3, None), (4, None)]
    assert [state_of(one).version for one in loaded(Ledger, *({"id": n} for n in range(1, 5)))] == [None] * 4


def test_fields_with_lives_of_their_own_are_read_like_others() -> None:
    found = loaded(Hot, *({"id": n, "code": "c", "cart": '{"a":1}'} for n in range(1, 5)))
    assert [(one.code, one.token, one.cart) for one in found] == [("c", "", {"a": 1})] * 4


def test_class_that_makes_its_own_instances_is_asked_for_each() -> None:
    class Counted(RedisModel, prefix="counted"):
        id: int

        def __new__(cls, *arguments: Any, **fields: Any) -> Counted:
            made.append("new")
            return super().__new__(cls)

    made.clear()
    assert [one.id for one in loaded(Counted, *({"id": n} for n in range(1, 5)))] == [1, 2, 3, 4]
    assert made == ["new"] * 4
    assert mapper_of(Counted).columns is None


def test_companions_come_with_the_rows_and_their_elements_are_remembered() -> None:
    rows = [
        row_of(Board, {"id": n, "name": "b"}, [b"x", str(n).encode()][: n % 3], [b"j"] * n, [[b"a", 1.5]] if n % 2 else [b"b", b"2"])
        for n in range(1, 5)
    ]
    with session_on(Desk([[reply for row in rows for reply in row]])) as session:
        found: list[Any] = session.get_many(Board, range(1, 5))
        assert [one.tags for one in found] == [{"x"}, {"x", "2"}, set(), {"x"}]
        assert [one.jobs for one in found] == [["j"] * n for n in range(1, 5)]
        assert [one.scores for one in found] == [SortedSet({"a": 1.5}), SortedSet({"b": 2.0})] * 2
        assert list(vars(found[0])) == list(Board.model_fields) == ["id", "name", "tags", "jobs", "scores"]
        assert found[0].model_fields_set == set(Board.model_fields)
        assert session.dirty == []
        found[2].jobs.append("k")
        assert session.dirty == [found[2]]


def test_element_that_cannot_be_read_is_told_and_the_other_rows_are_read() -> None:
    replies = [texts_of(Board, {"id": 1}), [], [b"\xff"], []]
    for n in (2, 3, 4):
        replies += [texts_of(Board, {"id": n} if n < 4 else {}), [b"t"], [], []]
    driver = ScriptedDriver([replies, [0]])
    first, second, third, absent = driver.run(verbs.get_many(Board, [1, 2, 3, 4], "", on_error="return"))
    assert isinstance(first, DecodeError)
    assert (first.key, first.field, second.tags, third.tags, absent) == ("board:1:jobs", "jobs", {"t"}, {"t"}, None)


# ---- what is not there, or cannot be read -----------------------------------------------------------------------------


def test_rows_that_are_not_there_leave_their_places_empty() -> None:
    found = users("a", "", "c", "d")
    assert [one.name for one in found] == ["a", "", "c", "d"]
    rows: list[Any] = [{"id": 1, "name": "a"}, {}, {"id": 3, "name": "c"}, {}]
    assert [one and one.name for one in loaded(User, *rows, answers=[[0]])] == ["a", None, "c", None]
    assert loaded(User, {}, {}, {}, {}, answers=[[0]]) == [None] * 4


def test_row_without_any_declared_field_is_told_from_those_that_are_not_there() -> None:
    empty: list[Any] = [None] * 3
    driver = ScriptedDriver([[empty] * 4, [1], [*[empty] * 4, 0, 1, 1, 0]])
    assert driver.run(verbs.get_many(Memo, (keys := [Memo().id for _ in range(4)]), "")) == [None, Memo(id=keys[1]), Memo(id=keys[2]), None]


@pytest.mark.parametrize("name", [None, b"\xff"], ids=["missing", "no text"])
def test_one_row_that_cannot_be_read_is_told_and_the_others_are_read(name: Any) -> None:
    first, second, third, fourth = users("a", name, "c", "d")
    assert [one.name for one in (first, third, fourth)] == ["a", "c", "d"]
    assert isinstance(second, DecodeError)
    assert (second.key, second.field) == ("user:2", "name")


def test_number_that_is_none_and_a_version_that_is_none_are_told() -> None:
    first, second, *_ = loaded(Ledger, {"id": 1, "total": "x"}, *({"id": n, "total": n} for n in (2, 3, 4)))
    assert isinstance(first, DecodeError)
    assert (first.field, first.value, second.total) == ("total", "x", 2)
    found = ScriptedDriver([[texts_of(Ledger, {"id": n}, version=n) for n in (1, 2, 3)] + [[b"4", b"0", None, b"x"]]]).run(
        verbs.get_many(Ledger, [1, 2, 3, 4], "", on_error="return")
    )
    assert [one.pk for one in found[:3]] == [1, 2, 3]
    assert isinstance(found[3], DecodeError)
    assert found[3].field == ":version"


def test_stored_primary_key_must_be_text() -> None:
    first, *others = loaded(User, {"id": b"\xff", "name": "a"}, *({"name": "b"} for _ in range(3)))
    assert isinstance(first, DecodeError)
    assert [(one.id, one.name) for one in others] == [(2, "b"), (3, "b"), (4, "b")]


def test_type_that_reads_text_in_a_way_of_its_own_is_read_as_in_one_row() -> None:
    found = loaded(Host, *({"id": n, "address": f"10.0.0.{n}"} for n in range(1, 5)))
    assert [one.address for one in found] == [IPv4Address(f"10.0.0.{n}") for n in range(1, 5)]
    first, *_ = loaded(Host, {"id": 1, "address": "10"}, *({"id": n, "address": "10.0.0.1"} for n in (2, 3, 4)))
    assert isinstance(first, DecodeError)


# ---- states ---------------------------------------------------------------------------------------------------------


def test_state_is_made_when_it_is_first_asked_for() -> None:
    one = users("a", "b", "c", "d")[1]
    state = state_of(one)
    assert state_of(one) is state
    with pytest.raises(SessionError, match="primary key of a stored object"):
        one.id = 9


def test_all_that_ask_for_a_state_at_once_get_the_same() -> None:
    one = User(id=1, name="a")
    inner: list[State] = []

    def make(key: str, *_: object) -> State:
        """Another thread asks for it while it is being made."""
        if not inner:
            inner.append(State())
            inner[0] = linked_state(one)
        return State(key=key)

    base.link_states([one], [(make, "user:1", 2, 3, 4, 5, 6)])
    assert state_of(one) is inner[0]
    assert state_of(one).key == "user:1"


def test_objects_whose_states_nobody_asked_for_are_no_new_ones() -> None:
    found = users("a", "b", "c", "d")
    with session_on(Desk()) as session:
        session.add_all(found)
        assert (session.new, session.dirty) == ([], [])
        assert {state_of(one).phase for one in found} == {Phase.PERSISTENT}


def test_object_whose_state_nobody_asked_for_is_pickled_with_it() -> None:
    one = pickle.loads(pickle.dumps(users("a", "b", "c", "d")[0]))
    assert (state_of(one).phase, state_of(one).key) == (Phase.DETACHED, "user:1")


def test_object_of_many_is_updated_by_what_changed() -> None:
    one = users("a", "b", "c", "d")[0]
    one.age = 3
    change = change_to(one)
    assert change is not None
    assert change.difference is not None
    assert change.difference.sets == ["age", 3]

"""Reading rows: which commands bring them, in how many round trips, and what becomes of what is absent, foreign or unreadable."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import BackendError, DecodeError, NotFoundError, RedisModel, RowTypeError, SortedSet, WrongTypeError
from redisorm.commands import Flow, Post
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.decoding import LOADED
from redisorm.flows.loading import BATCH, SLICE, load_each
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import Phase, state_of
from tests.unit.desk import Desk, look, reads, row_of, session_on, stored, talk, texts_of
from tests.zoo.models import Account, Board, Memo, User

BOARD = [
    ("HMGET", "board:1", "id", "name", ":ttl"),
    ("SMEMBERS", "board:1:tags"),
    ("LRANGE", "board:1:jobs", 0, -1),
    ("ZRANGE", "board:1:scores", 0, -1, "WITHSCORES"),
]


class Open(RedisModel, prefix="open", extra="allow"):
    """A class that keeps fields beside its own."""

    id: int
    name: str = ""


# ---- commands and round trips ---------------------------------------------------------------------------------------


def test_row_without_companions_is_one_command() -> None:
    driver = ScriptedDriver([[texts_of(User, {"id": 1, "name": "Ann"})]])
    driver.run(verbs.get_one(User, 1, "shop"))
    assert talk(driver) == [reads(("HMGET", "shop:user:1", "id", "name", "age", "email", ":ttl"))]


@pytest.mark.parametrize("scores", [[[b"a", 1.5], [b"b", 2.0]], [b"a", b"1.5", b"b", b"2"]], ids=["RESP3", "RESP2"])
def test_row_and_its_companions_are_read_in_one_transaction_whichever_protocol_brings_them(scores: list[Any]) -> None:
    driver = ScriptedDriver([row_of(Board, {"id": 1}, [b"t"], [b"j"], scores)])
    board = driver.run(verbs.get_one(Board, 1, ""))
    assert (board.tags, board.jobs, board.scores) == ({"t"}, ["j"], SortedSet({"a": 1.5, "b": 2.0}))
    assert talk(driver) == [reads(*BOARD)]
    assert state_of(board).phase is Phase.DETACHED


@pytest.mark.parametrize("reply", [{b"id": b"1", b"x": b"[1]"}, [b"id", b"1", b"x", b"[1]"]], ids=["RESP3", "RESP2"])
def test_class_that_keeps_further_fields_reads_all_of_the_hash(reply: Any) -> None:
    driver = ScriptedDriver([[reply]])
    one = driver.run(verbs.get_one(Open, 1, ""))
    assert (one.name, one.__pydantic_extra__) == ("", {"x": [1]})
    assert talk(driver) == [reads(("HGETALL", "open:1"))]


def test_row_with_nothing_but_further_fields_is_a_row() -> None:
    one = ScriptedDriver([[{b"x": b"1"}]]).run(verbs.get_one(Open, 1, ""))
    assert one == Open.model_validate({"id": 1, "x": 1})


def test_thousand_rows_are_one_round_trip_and_one_consistent_view() -> None:
    row = texts_of(User, {"id": 1, "name": "x"})
    driver = ScriptedDriver([[row] * BATCH, [row]])
    found = driver.run(verbs.get_many(User, range(BATCH + 1), ""))
    assert len(found) == BATCH + 1
    assert [(len(request.commands), getattr(request, "atomic", None)) for request in talk(driver)] == [(BATCH, True), (1, False)]


def recorded(flow: Flow[Any], answers: list[Any]) -> tuple[Any, list[str]]:
    """What a flow of posted reads comes to, and in which order it posts, collects and asks."""
    steps: list[str] = []
    waiting = iter(answers)
    try:
        request = next(flow)
        while True:
            steps.append(type(request).__name__)
            request = flow.send(None if isinstance(request, Post) else next(waiting))
    except StopIteration as end:
        return end.value, steps


def test_rows_of_no_one_instant_are_decoded_while_the_next_are_read() -> None:
    mapper = mapper_of(User)
    texts = [str(pk) for pk in range(22 * SLICE + 1)]
    rows = [texts_of(User, {"id": pk, "name": f"n{pk}"}) for pk in texts]
    rows[SLICE] = [None] * len(rows[0])
    parts = [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]
    found, steps = recorded(load_each(mapper, mapper.keyspace(""), texts, LOADED, at_once=False), [*parts, [0]])
    assert [one and one.obj.name for one in found] == [None if place == SLICE else f"n{place}" for place in range(len(rows))]
    assert steps == ["Post"] * 20 + ["Collect", "Post"] * 3 + ["Collect"] * 20 + ["Batch"]


def test_few_rows_of_no_one_instant_are_asked_for_at_once() -> None:
    mapper = mapper_of(User)
    row = texts_of(User, {"id": 1, "name": "x"})
    found, steps = recorded(load_each(mapper, mapper.keyspace(""), ["1"] * SLICE, LOADED, at_once=False), [[row] * SLICE])
    assert (len(found), steps) == (SLICE, ["Batch"])
    assert recorded(load_each(mapper, mapper.keyspace(""), [], LOADED, at_once=False), []) == ([], [])


def test_rows_come_in_the_order_of_their_keys_and_absent_ones_are_none() -> None:
    absent = [None] * 5
    driver = ScriptedDriver([[texts_of(User, {"id": 2, "name": "b"}), absent, texts_of(User, {"id": 1, "name": "a"})], [0]])
    found = driver.run(verbs.get_many(User, [2, 3, 1], ""))
    assert [one and one.name for one in found] == ["b", None, "a"]
    assert talk(driver)[1] == look(("EXISTS", "user:3"))


def test_row_without_any_declared_field_is_told_from_one_that_is_not_there() -> None:
    """HMGET cannot tell; another program's row may hold other fields only."""
    absent = [None] * 3
    driver = ScriptedDriver([[absent, absent], [1], [absent, absent, 0, 1]])

    class Loose(RedisModel, prefix="loose"):
        id: int
        name: str = "default"

    found = driver.run(verbs.get_many(Loose, [1, 2], ""))
    assert found == [None, Loose(id=2)]
    rows = [("HMGET", f"loose:{pk}", "id", "name", ":ttl") for pk in (1, 2)]
    assert talk(driver)[1:] == [
        look(("EXISTS", "loose:1", "loose:2")),
        reads(*rows, ("EXISTS", "loose:1"), ("EXISTS", "loose:2")),
    ]


def test_row_that_was_made_just_after_the_read_is_read_whole() -> None:
    """All that is told of it comes from one instant, so that no field of it seems to be missing."""
    driver = ScriptedDriver([[[None] * 5], [1], [texts_of(User, {"id": 1, "name": "Ann"}), 1]])
    assert driver.run(verbs.get_one(User, 1, "")) == User(id=1, name="Ann")


def test_whether_a_row_is_there_is_one_command() -> None:
    driver = ScriptedDriver([[1], [0]])
    assert driver.run(verbs.exists(User, 1, "")) is True
    assert driver.run(verbs.exists(User, 2, "")) is False
    assert talk(driver) == [look(("EXISTS", "user:1")), look(("EXISTS", "user:2"))]


def test_refresh_reads_a_detached_object_in_place() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    driver = ScriptedDriver([[texts_of(User, {"id": 1, "name": "Bea"}, life="5")], [[None] * 5], [0]])
    user.age = 99
    driver.run(verbs.refresh(user, ""))
    assert (user.name, user.age, state_of(user).life) == ("Bea", 0, 5_000)
    with pytest.raises(NotFoundError, match="User 1 is not there: no row under user:1"):
        driver.run(verbs.refresh(user, ""))
    assert user.name == "Bea"


def test_refresh_of_an_object_never_stored_makes_it_a_stored_one() -> None:
    user = User(id=1, name="x")
    ScriptedDriver([[texts_of(User, {"id": 1, "name": "Ann"})]]).run(verbs.refresh(user, ""))
    assert (user.name, state_of(user).phase, state_of(user).key) == ("Ann", Phase.DETACHED, "user:1")


def test_row_that_must_be_there_and_is_not_is_told() -> None:
    with pytest.raises(NotFoundError, match="User 7 is not there: no row under shop:user:7") as caught:
        ScriptedDriver([[[None] * 5], [0]]).run(verbs.get_one(User, 7, "shop"))
    assert (caught.value.model, caught.value.pk, caught.value.key) == (User, 7, "shop:user:7")


def test_session_of_an_object_is_the_open_one_it_belongs_to() -> None:
    user = User(id=1, name="x")
    assert verbs.session_of(user) is None
    session = session_on(Desk())
    session.add(user)
    assert verbs.session_of(user) is session
    session.close()
    assert verbs.session_of(user) is None


def test_version_is_read_with_the_row() -> None:
    account = stored(Account, {"id": 1}, [], version=7)
    assert state_of(account).version == 7


# ---- what cannot be read --------------------------------------------------------------------------------------------


def test_first_row_that_cannot_be_read_is_told_unless_errors_are_asked_for() -> None:
    rows = [texts_of(User, {"id": 1, "name": "a"}), texts_of(User, {"id": 2, "age": "old"}), texts_of(User, {"id": 3})]
    with pytest.raises(DecodeError, match="user:2"):
        ScriptedDriver([rows]).run(verbs.get_many(User, [1, 2, 3], ""))
    first, second, third = ScriptedDriver([rows]).run(verbs.get_many(User, [1, 2, 3], "", "return"))
    assert first.name == "a"
    assert (second.key, third.key, third.field) == ("user:2", "user:3", "name")


@pytest.mark.parametrize("field", [":version"])
def test_version_that_no_writer_of_ours_would_have_written_cannot_be_read(field: str) -> None:
    for text in ("x", "-1", "9" * 19, ""):
        with pytest.raises(DecodeError, match="the stored ':version' is not a number") as caught:
            stored(Account, {"id": 1}, [], version=text)  # type: ignore[arg-type]
        assert (caught.value.field, caught.value.key) == (field, "account:1")


WRONG = WrongTypeError("WRONGTYPE Operation against a key holding the wrong kind of value")


@pytest.mark.parametrize(
    ("replies", "types", "key", "field", "expected", "found"),
    [
        ([WRONG, [], [], []], [b"string"], "board:1", "id", "hash", "string"),
        ([[b"1", b"x", None], WRONG, [], []], [b"list"], "board:1:tags", "tags", "set", "list"),
        ([[b"1", b"x", None], [], WRONG, []], [b"zset"], "board:1:jobs", "jobs", "list", "zset"),
        ([[b"1", b"x", None], [], [], WRONG], [b"none"], "board:1:scores", "scores", "zset", "none"),
        ([WRONG, [], [], []], [b"hash"], "board:1", "id", "hash", "hash"),  # replaced in between
    ],
)
def test_key_of_another_type_names_both_types(
    replies: list[Any], types: list[bytes], key: str, field: str, expected: str, found: str
) -> None:
    driver = ScriptedDriver([replies, types])
    with pytest.raises(
        RowTypeError, match=f"{key} (is a {found}|was something else a moment ago) where Board needs a {expected}"
    ) as caught:
        driver.run(verbs.get_one(Board, 1, ""))
    error = caught.value
    assert (error.key, error.field, error.expected, error.found) == (key, field, expected, found)
    assert talk(driver) == [reads(*BOARD), look(("TYPE", key))]


def test_rows_beside_one_of_another_type_are_read_all_the_same() -> None:
    good = texts_of(User, {"id": 1, "name": "a"})
    driver = ScriptedDriver([[good, WRONG], [b"stream"]])
    first, second = driver.run(verbs.get_many(User, [1, 2], "", "return"))
    assert first.name == "a"
    assert isinstance(second, RowTypeError)


def test_hash_of_another_type_reads_as_foreign_where_all_of_it_is_wanted() -> None:
    with pytest.raises(RowTypeError, match="open:1 is a list where Open needs a hash"):
        ScriptedDriver([[WRONG], [b"list"]]).run(verbs.get_one(Open, 1, ""))


def test_other_refusals_are_told_as_they_are() -> None:
    denied = BackendError("NOPERM no permission", code="NOPERM")
    with pytest.raises(BackendError, match="NOPERM"):
        ScriptedDriver([[WRONG, denied]]).run(verbs.get_many(User, [1, 2], ""))


def test_key_that_does_not_fit_its_field_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="UUID"):
        ScriptedDriver().run(verbs.get_one(Memo, "no-uuid", ""))

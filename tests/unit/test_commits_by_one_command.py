"""Commits of one row whose fields are set by a command that has the condition in it: HSETEX with XX or NX, or with FXX."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import AlreadyExistsError, CommitUnknownError, ConnectionFailedError, Field, RedisModel, StaleObjectError, WrongTypeError
from redisorm.commands import Batch, Command, Watch
from redisorm.flows.committing import CommitResult
from redisorm.mapping.base import MappedModel
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import state_of
from tests.unit.desk import NOW, Desk, agreeing, atomic, change_to, look, session_on, stored, talk
from tests.zoo.models import Memo, Ticket, User

ROWS = {"HSETEX XX": True, "HSETEX FXX": True}
FIELDS = {"HSETEX FXX": True}


class Placed(RedisModel, prefix="placed"):
    id: int
    name: str
    nick: str | None = None
    city: str = Field(default="", index=True)


def save(obj: MappedModel, answers: Any, **supports: bool) -> Desk:
    desk = Desk(answers, supports=supports)
    desk.run(verbs.save(obj, None, ""))
    return desk


def ann() -> User:
    return stored(User, {"id": 1, "name": "Ann", "age": 0})


def renamed(user: User) -> User:
    user.name = "Bea"
    return user


def test_new_row_is_written_where_none_is() -> None:
    desk = save(User(id=1, name="Ann"), [[1]], **ROWS)
    assert talk(desk) == [Batch([("HSETEX", "user:1", "NX", "FIELDS", "3", "id", 1, "name", "Ann", "age", 0)], needs="HSETEX XX")]


def test_loaded_row_is_written_where_it_is() -> None:
    user = renamed(ann())
    desk = save(user, [[1, [None]]], **ROWS)
    commands: list[Command] = [("HSETEX", "user:1", "XX", "FIELDS", "1", "name", "Bea"), ("HMGET", "user:1", ":ttl")]
    assert talk(desk) == [Batch(commands, needs="HSETEX XX")]
    assert change_to(user) is None


def test_commit_of_a_session_is_one_transaction() -> None:
    desk = Desk([[1, [None]]], supports=ROWS)
    session = session_on(desk)
    user = ann()
    session.add(user)
    renamed(user)
    assert session.commit() == CommitResult(commands=4, round_trips=1, objects=1)
    (batch,) = talk(desk)
    assert isinstance(batch, Batch)
    assert batch.atomic
    assert [command[0] for command in batch.commands] == ["HSETEX", "HMGET"]


def test_fields_that_had_texts_are_replaced_where_the_server_knows_no_condition_on_rows() -> None:
    desk = save(renamed(ann()), [[1, [None]]], **FIELDS)
    commands: list[Command] = [("HSETEX", "user:1", "FXX", "FIELDS", "1", "name", "Bea"), ("HMGET", "user:1", ":ttl")]
    assert talk(desk) == [Batch(commands, needs="HSETEX FXX")]


def test_field_that_had_no_text_is_written_by_a_script_there() -> None:
    placed = stored(Placed, {"id": 1, "name": "Ann", "city": "Oslo"})
    placed.nick = "A"
    desk = save(placed, agreeing, EVALSHA=True, **FIELDS)
    assert [command[0] for command in desk.commands] == ["EVALSHA"]


def test_new_row_is_written_by_a_script_there() -> None:
    """That none of its fields is there does not say that no row is."""
    desk = save(User(id=1, name="Ann"), agreeing, EVALSHA=True, **FIELDS)
    assert [command[0] for command in desk.commands] == ["EVALSHA"]


@pytest.mark.parametrize("name", ["Ann", "Bea"])
def test_field_of_an_index_takes_more_than_one_command(name: str) -> None:
    placed = stored(Placed, {"id": 1, "name": "Ann", "city": "Oslo"})
    placed.name, placed.city = name, "Lima"
    assert [command[0] for command in save(placed, agreeing, EVALSHA=True, **ROWS).commands] == ["EVALSHA"]


def test_other_field_of_an_indexed_row_takes_one() -> None:
    placed = stored(Placed, {"id": 1, "name": "Ann", "city": "Oslo"})
    placed.nick = "A"
    assert [command[0] for command in save(placed, [[1, [None]]], **ROWS).commands] == ["HSETEX", "HMGET"]


def test_removed_field_takes_more() -> None:
    placed = stored(Placed, {"id": 1, "name": "Ann", "nick": "A", "city": "Oslo"})
    placed.nick = None
    assert [command[0] for command in save(placed, agreeing, EVALSHA=True, **ROWS).commands] == ["EVALSHA"]


def test_row_with_a_life_of_its_own_takes_more() -> None:
    user = renamed(stored(User, {"id": 1, "name": "Ann", "age": 0}, life="60"))
    assert "HSETEX" not in [command[0] for command in save(user, agreeing, EVALSHA=True, **ROWS).commands]


def test_row_that_is_gone_is_looked_for_and_not_brought_back() -> None:
    def answer(request: Batch | Watch) -> Any:
        return [0, [None]] if request.commands[0][0] == "HSETEX" else [[None, None]] if request.commands[0][0] == "HMGET" else [b"none"]

    with pytest.raises(StaleObjectError, match="user:1"):
        save(renamed(ann()), answer, **ROWS)


def test_row_that_is_there_is_replaced() -> None:
    def answer(request: Batch | Watch) -> Any:
        return {"HSETEX": [0], "EXISTS": [1], "TYPE": [b"hash"], "HSET": [1]}[str(request.commands[0][0])]

    desk = save(User(id=1, name="Ann"), answer, **ROWS)
    assert talk(desk)[1:] == [
        Watch(["user:1"], [("EXISTS", "user:1")]),
        look(("TYPE", "user:1")),
        atomic(("HSET", "user:1", "id", 1, "name", "Ann", "age", 0), ("HDEL", "user:1", "email", ":ttl"), ("PERSIST", "user:1")),
    ]


def test_row_that_is_there_is_not_created() -> None:
    def answer(request: Batch | Watch) -> Any:
        return {"HSETEX": [0], "EXISTS": [1], "TYPE": [b"hash"]}[str(request.commands[0][0])]

    with pytest.raises(AlreadyExistsError, match="user:1"):
        Desk(answer, supports=ROWS).run(verbs.create(User(id=1, name="Ann"), ""))


def test_key_of_another_type_is_named() -> None:
    def answer(request: Batch | Watch) -> Any:
        if request.commands[0][0] == "HSETEX":
            return WrongTypeError("another type", key="user:1", expected="hash")
        return [1] if request.commands[0][0] == "EXISTS" else [b"list"]

    with pytest.raises(WrongTypeError, match=r"user:1.*list"):
        save(User(id=1, name="Ann"), answer, **ROWS)


def test_life_that_somebody_gave_the_row_meanwhile_is_restarted() -> None:
    answers = {"HSETEX": [1, [b"60"]], "HMGET": [[b"1", b"60"]], "PEXPIREAT": [1]}
    user = renamed(ann())
    desk = save(user, lambda request: answers[str(request.commands[0][0])], **ROWS)
    assert talk(desk)[1:] == [
        Watch(["user:1"], [("HMGET", "user:1", "id", ":ttl")]),
        atomic(("PEXPIREAT", "user:1", NOW + 60_000)),
    ]
    assert state_of(user).life == 60_000


def test_row_that_dies_before_its_life_is_restarted_was_written_all_the_same() -> None:
    answers = {"HSETEX": [1, [b"60"]], "HMGET": [[None, None]], "TYPE": [b"none"]}
    user = renamed(ann())
    save(user, lambda request: answers[str(request.commands[0][0])], **ROWS)
    assert change_to(user) is None


def test_life_that_cannot_be_restarted_leaves_no_doubt_that_the_row_was_written() -> None:
    def answer(request: Batch | Watch) -> Any:
        return [1, [b"60"]] if request.commands[0][0] == "HSETEX" else ConnectionFailedError("nobody answers; nothing was executed")

    user = renamed(ann())
    with pytest.raises(CommitUnknownError, match=r"user:1 was written, but the life .* was not restarted") as caught:
        save(user, answer, **ROWS)
    assert caught.value.key == "user:1"
    assert isinstance(caught.value.__cause__, ConnectionFailedError)
    assert change_to(user) is not None


def test_life_that_cannot_be_read_is_none() -> None:
    desk = save(renamed(ann()), [[1, [b"soon"]]], **ROWS)
    assert desk.round_trips == 1


def test_number_is_taken_from_the_counter_first() -> None:
    ticket = Ticket(title="x")
    desk = save(ticket, [[4], [1]], **ROWS)
    assert desk.commands == [("INCRBY", "ticket::id:next", 1), ("HSETEX", "ticket:4", "NX", "FIELDS", "2", "id", 4, "title", "x")]
    assert ticket.id == 4


def test_number_that_a_row_has_already_is_left_out() -> None:
    numbers = iter((4, 6))

    def answer(request: Batch | Watch) -> Any:
        name = request.commands[0][0]
        if name == "INCRBY":
            return [next(numbers)]
        return {"HSETEX": [0], "EXISTS": [int("ticket:4" in request.commands[0])], "TYPE": [b"hash"], "HSET": [2]}[str(name)]

    ticket = Ticket(title="x")
    save(ticket, answer, **ROWS)
    assert ticket.id == 6


def test_number_given_by_hand_raises_the_counter_in_a_transaction() -> None:
    desk = save(Ticket(id=9, title="x"), [[0, b"5"], [4, 1]], **ROWS)
    assert [command[0] for command in desk.commands] == ["EXISTS", "GET", "INCRBY", "HSET"]


def test_random_key_needs_no_condition_and_has_one_all_the_same() -> None:
    desk = save(Memo(), [[1]], **ROWS)
    assert desk.commands[0][2] == "NX"

"""Rows that others garbled, keys of other types, keys of other programs: one bad row is told and harms no other."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import redisorm
from redisorm import Database, DecodeError, RowTypeError, Session, WrongTypeError
from tests.faults.colours import Colour, Open
from tests.zoo.models import Account, Board, Customer, Document, Everything, User

GOOD = {"id": "1", "name": "Ann", "age": "30"}


@pytest.fixture
def db(server_url: str, opened: Open) -> Database:
    return opened(server_url)


GARBLED: list[tuple[Any, dict[str, Any], str]] = [
    (User, {"id": "1", "age": "30"}, "name"),
    (User, {**GOOD, "age": "many"}, "age"),
    (User, {**GOOD, "age": "9" * 5000}, "age"),
    (User, {**GOOD, "age": "x" * 1_000_000}, "age"),
    (User, {**GOOD, "name": b"\xff\xfe"}, "name"),
    (Customer, {"id": "1", "address.zip": "0150"}, "address.city"),
    (Customer, {"id": "1", "address.city": "Oslo", "address.place.x": "east"}, "address.place.x"),
    (Customer, {"id": "1", "address": "Oslo"}, "address"),
    (Document, {"id": "1", "meta": "{"}, "meta"),
    (Document, {"id": "1", "meta": "[" * 100_000}, "meta"),
    (Document, {"id": "1", "tree": '{"children": 1}'}, "tree"),
    (Account, {"id": "1", ":version": "new"}, ":version"),
    (Account, {"id": "1", ":version": "9" * 5000}, ":version"),
]


@pytest.mark.parametrize(("model", "stored", "field"), GARBLED, ids=[f"{model.__name__}-{field}" for model, _, field in GARBLED])
def test_garbled_row_is_told_by_key_and_field_and_harms_no_other(
    db: Database, colour: Colour, model: Any, stored: dict[str, Any], field: str
) -> None:
    good: Any = "2" if model is Document else 2
    with Session.begin(db) as session:
        session.add(model.model_validate({"id": good, "name": "Bob"}))
    key = f"{model.__name__.lower()}:1"
    db.client.hset(key, items=[word for pair in stored.items() for word in pair])
    session = colour.Session(db)

    bad, absent, fine = colour.do(session.get_many(model, ["1", "3", good], on_error="return"))

    assert isinstance(bad, DecodeError)
    assert (bad.model, bad.key, bad.field, absent, fine.id) == (model, key, field, None, good)
    assert key in str(bad)
    assert len(str(bad)) < 600
    with pytest.raises(DecodeError, match=key):
        colour.do(session.get(model, "1"))
    with pytest.raises(DecodeError, match=key):
        colour.do(session.get_many(model, [good, "1"]))
    assert fine in session
    assert not session.dirty
    session.close()


def test_keys_of_another_type_are_told_and_harm_no_other_row(db: Database, colour: Colour) -> None:
    with Session.begin(db) as session:
        session.add_all(Board(id=n, tags={"a"}) for n in (1, 2, 3, 4))
    store = db.client
    store.delete("board:2", "board:3:tags", "board:4:scores")
    store.set("board:2", "somebody's")
    store.rpush("board:3:tags", "x")
    store.set("board:4:scores", "y")
    store.set("board:5:tags", "of a board that is not there")
    session = colour.Session(db)

    first, row, tags, scores, absent = colour.do(session.get_many(Board, [1, 2, 3, 4, 5], on_error="return"))

    assert first.tags == {"a"}
    assert absent is None
    told = [(error.key, error.field, error.expected, error.found) for error in (row, tags, scores)]
    assert told == [
        ("board:2", "id", "hash", "string"),
        ("board:3:tags", "tags", "set", "list"),
        ("board:4:scores", "scores", "zset", "string"),
    ]
    for error in (row, tags, scores):
        assert isinstance(error, RowTypeError)
        assert isinstance(error, DecodeError)
        assert isinstance(error, WrongTypeError)
    with pytest.raises(RowTypeError, match="board:2 is a string where Board needs a hash"):
        colour.do(session.get_one(Board, 2))
    session.close()


def test_bad_rows_among_thousands_stand_in_their_places(db: Database, colour: Colour) -> None:
    with Session.begin(db) as session:
        session.add_all(User(id=n, name="Ann") for n in range(1, 2_101))
    db.client.hset("user:7", "age", "x")
    db.client.delete("user:1500", "user:2100")
    db.client.set("user:1500", "x")
    session = colour.Session(db)

    found = colour.do(session.get_many(User, range(1, 2_101), on_error="return"))

    assert [index + 1 for index, one in enumerate(found) if not isinstance(one, User)] == [7, 1500, 2100]
    assert [type(found[index]) for index in (6, 1499, 2099)] == [DecodeError, RowTypeError, type(None)]
    session.close()


def test_verb_of_a_model_returns_errors_too(db: Database, colour: Colour) -> None:
    with Session.begin(db) as session:
        session.add(User(id=2, name="Bob"))
    db.client.hset("user:1", mapping={"id": "1"})
    session = colour.Session(db)
    with pytest.raises(ValueError, match="on_error='skip'"):
        colour.do(session.get_many(User, [1], on_error="skip"))
    session.close()

    with Session(db) as blocking:
        error, bob = User.get_many([1, 2], on_error="return")
        assert isinstance(error, DecodeError)
        assert bob in blocking


def test_verb_of_a_model_returns_errors_outside_sessions(server_url: str, colour: Colour) -> None:
    with redisorm.connect(server_url) as db:
        db.client.hset("user:1", mapping={"id": "1"})
        colour.do(colour.User(id=2, name="Bob").save())

        error, bob = colour.do(colour.User.get_many([1, 2], on_error="return"))

        assert isinstance(error, DecodeError)
        assert bob.name == "Bob"
        with pytest.raises(DecodeError, match="user:1"):
            colour.do(colour.User.get_many([1, 2]))
        with pytest.raises(ValueError, match="on_error='skip'"):
            colour.do(colour.User.get_many([1], on_error="skip"))
        colour.do(colour.aclose(db))


def test_row_that_was_mended_is_read_again_by_the_same_session(db: Database, colour: Colour) -> None:
    db.client.hset("user:1", mapping={"id": "1", "age": "x", "name": "Ann"})
    session = colour.Session(db)
    with pytest.raises(DecodeError):
        colour.do(session.get(User, 1))
    db.client.hset("user:1", "age", "31")
    assert colour.do(session.get_one(User, 1)).age == 31
    session.close()


def test_other_programs_fields_and_keys_are_left_alone(db: Database, colour: Colour) -> None:
    with Session.begin(db) as session:
        session.add(Board(id=1, name="b", tags={"a"}))
    store = db.client
    store.hset("board:1", mapping={b"\xff": b"\xfe", "legacy": "yes"})
    store.set("board:1:visits", "7")
    store.set("board:list", "theirs")
    session = colour.Session(db)
    board = colour.do(session.get_one(Board, 1))

    board.name = "c"
    board.tags.add("b")
    colour.do(session.commit())

    assert store.hgetall("board:1") == {b"id": b"1", b"name": b"c", b"\xff": b"\xfe", b"legacy": b"yes"}
    session.add(session_copy := Board(id=2, name="new"))
    colour.do(session.commit())
    session.delete(board)
    session.delete(session_copy)
    colour.do(session.commit())
    assert sorted(store.keys("board:*")) == [b"board:1:visits", b"board:list"]
    session.close()


def test_life_that_nobody_would_write_is_none(db: Database, colour: Colour) -> None:
    with Session.begin(db) as session:
        session.add(User(id=1, name="Ann"))
    for text in ("nan", "inf", "1e300", "0", "soon", b"\xff"):
        db.client.hset("user:1", ":ttl", text)
        session = colour.Session(db)
        user = colour.do(session.get_one(User, 1))
        user.age += 1
        colour.do(session.commit())
        assert db.client.ttl("user:1") == -1
        session.close()


def test_half_a_row_of_everything_is_read_with_its_defaults(db: Database, colour: Colour) -> None:
    session = colour.Session(db)
    key = Everything.__redisorm_mapper__.keyspace("").row("12345678-1234-5678-1234-567812345678")
    db.client.hset(key, "text", "alone")
    found = colour.do(session.get_one(Everything, "12345678-1234-5678-1234-567812345678"))
    assert found.text == "alone"
    assert found.meta == {}
    assert not session.dirty
    session.close()


EVALUATING = {"eval", "exec", "compile", "__import__"}
UNSAFE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "jsonpickle"}


def test_nothing_evaluates_what_is_stored() -> None:
    for module in Path(redisorm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in EVALUATING, f"{module}:{node.lineno}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not UNSAFE & {name.partition(".")[0] for name in names}, f"{module}:{node.lineno}"

"""A new row: the guard that nothing is in the way, what is written, and what a row or a foreign key under its name makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from redisorm import AlreadyExistsError, StaleObjectError, WrongTypeError
from redisorm.commands import Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.unitofwork import verbs
from redisorm.unitofwork.state import Phase, state_of
from tests.unit.desk import Desk, atomic, look, session_on, talk
from tests.zoo.models import Account, Address, Board, Customer, Hot, Memo, Point, User


def test_save_of_a_new_object_watches_its_key_and_writes_what_is_not_none() -> None:
    driver = ScriptedDriver([[0], [3]])
    user = User(id=1, name="Ann", age=30)
    driver.run(verbs.save(user, None, ""))
    assert talk(driver) == [
        Watch(["user:1"], [("EXISTS", "user:1")]),
        atomic(("HSET", "user:1", "id", 1, "name", "Ann", "age", 30)),
    ]
    assert state_of(user).phase is Phase.DETACHED
    driver.done()


def test_save_again_without_a_change_sends_nothing() -> None:
    driver = ScriptedDriver([[0], [3]])
    user = User(id=1, name="Ann")
    driver.run(verbs.save(user, None, ""))
    driver.run(verbs.save(user, None, ""))
    assert driver.round_trips == 2


def test_new_object_replaces_a_row_but_leaves_fields_alone_that_the_class_does_not_know() -> None:
    driver = ScriptedDriver([[1], [b"hash"], [3, 1]])
    driver.run(verbs.save(User(id=1, name="Ann"), None, ""))
    assert talk(driver) == [
        Watch(["user:1"], [("EXISTS", "user:1")]),
        look(("TYPE", "user:1")),
        atomic(
            ("HSET", "user:1", "id", 1, "name", "Ann", "age", 0),
            ("HDEL", "user:1", "email", ":ttl"),
            ("PERSIST", "user:1"),
        ),
    ]


def test_replaced_row_loses_its_companions_and_its_deadline() -> None:
    driver = ScriptedDriver([[2], [b"hash", b"set", b"none", b"none"], [0] * 8])
    driver.run(verbs.save(Board(id=1, jobs=["a"]), None, ""))
    assert talk(driver)[2] == atomic(
        ("UNLINK", "board:1:tags", "board:1:jobs", "board:1:scores"),
        ("HSET", "board:1", "id", 1, "name", ""),
        ("HDEL", "board:1", ":ttl"),
        ("RPUSH", "board:1:jobs", b"a"),
        ("PERSIST", "board:1"),
        ("PERSIST", "board:1:tags"),
        ("PERSIST", "board:1:jobs"),
        ("PERSIST", "board:1:scores"),
    )


@pytest.mark.parametrize(
    ("types", "key", "needed", "found"),
    [
        ([b"string", b"none", b"none", b"none"], "board:1", "hash", "string"),
        ([b"none", b"list", b"none", b"none"], "board:1:tags", "set", "list"),
        ([b"hash", b"none", b"zset", b"none"], "board:1:jobs", "list", "zset"),
        ([b"none", b"none", b"none", b"stream"], "board:1:scores", "zset", "stream"),
    ],
)
def test_key_of_another_type_in_the_way_is_told_before_anything_is_written(types: list[bytes], key: str, needed: str, found: str) -> None:
    driver = ScriptedDriver([[1], types])
    with pytest.raises(WrongTypeError, match=f"{key} is a {found} where a {needed} is needed; nothing was written") as caught:
        driver.run(verbs.save(Board(id=1), None, ""))
    assert (caught.value.key, caught.value.expected, caught.value.found) == (key, needed, found)
    assert driver.round_trips == 2


def test_create_refuses_a_row() -> None:
    driver = ScriptedDriver([[1], [b"hash"]])
    with pytest.raises(AlreadyExistsError, match="User 1 is already there, under user:1") as caught:
        driver.run(verbs.create(User(id=1, name="Ann"), ""))
    assert (caught.value.model, caught.value.pk, caught.value.key) == (User, 1, "user:1")
    assert driver.round_trips == 2


def test_create_over_nothing_is_two_round_trips() -> None:
    driver = ScriptedDriver([[0], [3]])
    driver.run(verbs.create(User(id=1, name="Ann"), ""))
    assert driver.round_trips == 2


def test_create_takes_a_companion_without_a_row_for_a_row() -> None:
    """A leftover companion is part of what `absent` means: it would become part of the new object."""
    driver = ScriptedDriver([[1], [b"none", b"set", b"none", b"none"]])
    with pytest.raises(AlreadyExistsError):
        driver.run(verbs.create(Board(id=1), ""))


def test_new_object_of_a_versioned_class_expects_no_row() -> None:
    driver = ScriptedDriver([[1], [b"hash", b"none"]])
    with pytest.raises(StaleObjectError, match="Account 1 is new here, but a row is already there") as caught:
        driver.run(verbs.save(Account(id=1), None, ""))
    assert (caught.value.expected, caught.value.found) == (None, "a row")


def test_random_key_just_made_needs_no_guard_and_one_round_trip() -> None:
    memo = Memo(text="x")
    driver = ScriptedDriver([[2]])
    driver.run(verbs.save(memo, None, ""))
    assert talk(driver) == [atomic(("HSET", f"memo:{memo.id}", "id", str(memo.id), "text", "x"))]


def test_random_key_given_by_the_user_is_guarded() -> None:
    memo = Memo(id=Memo().id, text="x")
    driver = ScriptedDriver([[0], [2]])
    driver.run(verbs.save(memo, None, ""))
    assert driver.round_trips == 2


def test_nested_models_are_dotted_fields() -> None:
    driver = ScriptedDriver([[0], [5]])
    customer = Customer(id=1, address=Address(city="Oslo", place=Point(x=1, y=2.5)))
    driver.run(verbs.save(customer, None, ""))
    assert driver.commands[1] == (
        *("HSET", "customer:1", "id", 1, "name", "", "address.city", "Oslo", "address.place.x", "1.0", "address.place.y", "2.5"),
        *("home.city", ""),
    )


def test_many_new_rows_share_one_exists_and_one_transaction() -> None:
    desk = Desk([[0], [3, 3, 3]])
    with session_on(desk) as session:
        session.add_all(User(id=n, name="x") for n in (1, 2, 3))
        result = session.commit()
    assert talk(desk)[0] == Watch(["user:1", "user:2", "user:3"], [("EXISTS", "user:1", "user:2", "user:3")])
    assert [command[:2] for command in talk(desk)[1].commands] == [("HSET", "user:1"), ("HSET", "user:2"), ("HSET", "user:3")]
    assert result == (2 + 5, 2, 3)


def test_commit_in_batches_is_several_transactions() -> None:
    desk = Desk([[0], [1, 1], [0], [1]])
    with session_on(desk) as session:
        session.add_all(User(id=n, name="x") for n in (1, 2, 3))
        assert session.commit(batch=2) == (4 + 2 + 3 + 2, 4, 3)
    desk.done()


def test_batch_has_at_least_one_object() -> None:
    with session_on(Desk()) as session, pytest.raises(ValueError, match=r"commit\(batch=0\): a batch has at least one object"):
        session.commit(batch=0)


def test_long_hash_is_written_in_several_commands() -> None:
    from pydantic import ConfigDict

    class Wide(User, prefix="wide_open"):
        model_config = ConfigDict(extra="allow")

    driver = ScriptedDriver([[0], [1] * 2])
    driver.run(verbs.save(Wide(id=1, name="x", **{f"f{n}": n for n in range(2000)}), None, ""))  # type: ignore[arg-type]
    assert [len(command) - 2 for command in talk(driver)[1].commands] == [3000, 1006]


def test_field_that_the_server_lets_expire_gets_its_deadline_in_the_same_transaction() -> None:
    driver = ScriptedDriver([[0], [1, 1, 1]])
    driver.run(verbs.save(Hot(id=1, code="x", cart={"a": 1}), None, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "hot:1", "id", 1, "code", "x", "token", "", "cart", b'{"a":1}', "name", ""),
        ("HPEXPIREAT", "hot:1", driver.now_ms + 30_000, "FIELDS", 2, "code", "token"),
        ("HPEXPIREAT", "hot:1", driver.now_ms + 90_000, "FIELDS", 1, "cart"),
    )


def unsendable(_: object) -> Any:
    """What a driver makes of a packet with half a pair of surrogates in it."""
    return UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


def test_text_without_a_utf_8_form_is_told_by_its_field() -> None:
    driver = ScriptedDriver(unsendable)
    with pytest.raises(ValidationError, match="User user:1") as caught:
        driver.run(verbs.save(User(id=1, name="\ud800", age=3), None, ""))
    assert caught.value.errors()[0]["loc"] == ("name",)
    with pytest.raises(UnicodeEncodeError):
        driver.run(verbs.save(User(id=1, name="Ann"), None, ""))


def test_texts_of_a_session_without_a_utf_8_form_are_told_by_their_fields() -> None:
    session = session_on(Desk(unsendable))
    session.add(User(id=1, name="Ann"))
    with pytest.raises(UnicodeEncodeError):
        session.commit()
    session.add_all([User(id=number, name="\ud800" if number == 9 else "Ann") for number in range(2, 10)])
    with pytest.raises(ValidationError, match="User user:9"):
        session.commit()
    session.rollback()

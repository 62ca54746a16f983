"""An update: only what changed is written, only where the row still is; companions by their smallest commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel, ValidationError

from redisorm import DecodeError, RedisModel, SessionError, SortedSet, StaleObjectError, WrongTypeError
from redisorm.commands import Command, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.unitofwork import verbs
from tests.unit.desk import atomic, look, stored, talk
from tests.zoo.models import Account, Address, Board, Customer, Document, Node, Order, Point, Ticket, User


def written(driver: ScriptedDriver) -> list[Command]:
    """The commands of the last transaction."""
    return list(talk(driver)[-1].commands)


def test_only_what_changed_is_written() -> None:
    user = stored(User, {"id": 1, "name": "Ann", "age": 30, "email": "a@x"})
    user.age = 31
    user.name = "Bob"
    driver = ScriptedDriver([[[b"1", None]], [0]])
    driver.run(verbs.save(user, None, ""))
    assert talk(driver) == [
        Watch(["user:1"], [("HMGET", "user:1", "id", ":ttl")]),
        atomic(("HSET", "user:1", "name", "Bob", "age", 31)),
    ]


def test_none_removes_the_field() -> None:
    user = stored(User, {"id": 1, "name": "Ann", "email": "a@x"})
    user.email = None
    driver = ScriptedDriver([[[b"1", None]], [1]])
    driver.run(verbs.save(user, None, ""))
    assert written(driver) == [("HDEL", "user:1", "email")]


def test_equal_value_of_the_same_text_is_no_change() -> None:
    user = stored(User, {"id": 1, "name": "Ann" * 100})
    user.name = "".join(["Ann"] * 100)
    driver = ScriptedDriver()
    driver.run(verbs.save(user, None, ""))
    assert driver.round_trips == 0


def test_update_of_a_row_that_is_gone_writes_no_fragment() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    user.age = 31
    driver = ScriptedDriver([[[None, None]], [b"none"]])
    with pytest.raises(StaleObjectError, match="User 1 is gone: user:1 was deleted or has expired since it was loaded") as caught:
        driver.run(verbs.save(user, None, ""))
    assert (caught.value.expected, caught.value.found) == ("a row", None)
    assert talk(driver)[1] == look(("TYPE", "user:1"))
    assert driver.round_trips == 2


def test_row_that_another_program_wrote_without_the_key_field_is_still_a_row() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    user.age = 31
    driver = ScriptedDriver([[[None, None]], [b"hash"], [1]])
    driver.run(verbs.save(user, None, ""))
    assert written(driver) == [("HSET", "user:1", "age", 31)]


def test_objects_stay_dirty_after_a_failed_save() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    user.age = 31
    with pytest.raises(StaleObjectError):
        ScriptedDriver([[[None, None]], [b"none"]]).run(verbs.save(user, None, ""))
    driver = ScriptedDriver([[[b"1", None]], [0]])
    driver.run(verbs.save(user, None, ""))
    assert written(driver) == [("HSET", "user:1", "age", 31)]


# ---- nested and compound values -----------------------------------------------------------------------------------------


def test_change_inside_a_nested_model_writes_its_dotted_field() -> None:
    customer = stored(Customer, {"id": 1, "name": "", "address.city": "Oslo", "home.city": ""})
    assert customer.address is not None
    customer.address.city = "Bergen"
    customer.address.place = Point(x=1, y=2)
    driver = ScriptedDriver([[[b"1", None]], [0]])
    driver.run(verbs.save(customer, None, ""))
    assert written(driver) == [("HSET", "customer:1", "address.city", "Bergen", "address.place.x", "1.0", "address.place.y", "2.0")]


def test_nested_model_set_to_none_removes_its_fields() -> None:
    customer = stored(Customer, {"id": 1, "address.city": "Oslo", "address.zip": "1", "home.city": ""})
    customer.address = None
    driver = ScriptedDriver([[[b"1", None]], [0]])
    driver.run(verbs.save(customer, None, ""))
    assert written(driver) == [("HDEL", "customer:1", "address.city", "address.zip")]


class Note(BaseModel):
    """A nested model that may store nothing."""

    text: str | None = None


class Noted(RedisModel, prefix="noted"):
    """A row that holds one."""

    id: int
    note: Note | None = None
    name: str = ""


def test_nested_model_that_loses_its_last_value_is_still_there() -> None:
    noted = stored(Noted, {"id": 1, "note.text": "x"})
    assert noted.note is not None
    noted.note.text = None
    driver = ScriptedDriver([[[b"1", None]], [1, 1]])
    driver.run(verbs.save(noted, None, ""))
    assert written(driver) == [("HSET", "noted:1", "note", "{}"), ("HDEL", "noted:1", "note.text")]


def test_nested_model_that_gets_its_first_value_needs_no_marker_any_more() -> None:
    noted = stored(Noted, {"id": 1, "note": "{}"})
    assert noted.note is not None
    noted.note.text = "x"
    driver = ScriptedDriver([[[b"1", None]], [1, 1]])
    driver.run(verbs.save(noted, None, ""))
    assert written(driver) == [("HSET", "noted:1", "note.text", "x"), ("HDEL", "noted:1", "note")]


def test_json_changed_in_place_is_seen() -> None:
    document = stored(Document, {"id": "a", "meta": '{"x":1}', "tree": '{"name":"r","children":[]}'})
    document.meta["y"] = 2
    document.history.append(7)
    assert document.tree is not None
    document.tree.children.append(Node(name="leaf"))
    driver = ScriptedDriver([[[b"a", None]], [0]])
    driver.run(verbs.save(document, None, ""))
    assert written(driver) == [
        (
            *("HSET", "document:a", "meta", b'{"x":1,"y":2}', "history", b"[7]"),
            *("tree", b'{"name":"r","children":[{"name":"leaf","children":[]}]}'),
        )
    ]


def test_json_that_another_program_spelled_otherwise_is_no_change() -> None:
    document = stored(Document, {"id": "a", "meta": '{ "x" : 1 }', "history": "[]", "maybe": "0"})
    driver = ScriptedDriver()
    driver.run(verbs.save(document, None, ""))
    assert driver.round_trips == 0


def test_in_place_change_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    document = stored(Document, {"id": "a"})
    document.history.append("seven")  # type: ignore[arg-type]
    driver = ScriptedDriver()
    with pytest.raises(ValidationError, match=r"Document document:a\nhistory"):
        driver.run(verbs.save(document, None, ""))
    assert driver.requests == []


# ---- companions ---------------------------------------------------------------------------------------------------------


def board(jobs: list[str] | None = None, tags: set[str] | None = None, scores: dict[str, float] | None = None) -> Board:
    replies = [text.encode() for text in jobs or ()]
    return stored(
        Board,
        {"id": 1},
        {text.encode() for text in tags or ()},
        replies,
        [[text.encode(), score] for text, score in (scores or {}).items()],
    )


def do(change: Callable[[Board], object], start: Board) -> list[Command]:
    change(start)
    kinds = {"jobs": b"list", "tags": b"set", "scores": b"zset"}
    driver = ScriptedDriver(
        lambda request: (
            [
                [b"1", None] if command[0] == "HMGET" else -1 if command[0] == "PEXPIRETIME" else kinds[str(command[1]).rpartition(":")[2]]
                for command in request.commands
            ]
            if isinstance(request, Watch)
            else [0] * len(request.commands)
        )
    )
    driver.run(verbs.save(start, None, ""))
    return written(driver)


LISTS: list[tuple[list[str], list[str], list[Command]]] = [
    ([], ["a", "b"], [("RPUSH", "board:1:jobs", b"a", b"b")]),
    (["a"], ["a", "b", "c"], [("RPUSH", "board:1:jobs", b"b", b"c")]),
    (["a"], ["c", "b", "a"], [("LPUSH", "board:1:jobs", b"b", b"c")]),
    (["a", "b", "c"], ["a"], [("LTRIM", "board:1:jobs", 0, -3)]),
    (["a", "b", "c"], ["b", "c"], [("LTRIM", "board:1:jobs", 1, -1)]),
    (["a", "b"], ["b", "a"], [("UNLINK", "board:1:jobs"), ("RPUSH", "board:1:jobs", b"b", b"a")]),
    (["a", "a"], ["a", "a", "a"], [("RPUSH", "board:1:jobs", b"a")]),
    (["a", "b"], [], [("UNLINK", "board:1:jobs")]),
]


@pytest.mark.parametrize(("before", "after", "commands"), LISTS)
def test_smallest_commands_of_a_list(before: list[str], after: list[str], commands: list[Command]) -> None:
    assert do(lambda one: setattr(one, "jobs", after), board(jobs=before)) == commands


@pytest.mark.parametrize(("before", "after"), [(before, after) for before, after, _ in LISTS])
def test_commands_of_a_list_make_what_they_should(before: list[str], after: list[str]) -> None:
    have = list(before)
    for name, _, *words in do(lambda one: setattr(one, "jobs", after), board(jobs=before)):
        items = [word.decode() for word in words if isinstance(word, bytes)]
        if name == "UNLINK":
            have = []
        elif name == "RPUSH":
            have += items
        elif name == "LPUSH":
            have = items[::-1] + have
        else:
            start, stop = (int(word) for word in words)
            have = have[start : len(have) + stop + 1]
    assert have == after


def test_members_of_a_set_are_added_and_removed() -> None:
    assert do(lambda one: one.tags.__ixor__({"a", "c"}), board(tags={"a", "b"})) == [
        ("SADD", "board:1:tags", b"c"),
        ("SREM", "board:1:tags", b"a"),
    ]


def test_set_that_became_empty_is_no_key() -> None:
    assert do(lambda one: one.tags.clear(), board(tags={"a", "b"})) == [("UNLINK", "board:1:tags")]


def test_members_of_a_sorted_set_are_scored_and_removed() -> None:
    def change(one: Board) -> None:
        one.scores.add("b", 5)
        one.scores.add("c", float("inf"))
        del one.scores["a"]

    assert do(change, board(scores={"a": 1, "b": 2, "x": 3})) == [
        ("ZADD", "board:1:scores", b"5.0", b"b", b"inf", b"c"),
        ("ZREM", "board:1:scores", b"a"),
    ]


def test_sorted_set_that_became_empty_is_no_key() -> None:
    assert do(lambda one: setattr(one, "scores", SortedSet()), board(scores={"a": 1})) == [("UNLINK", "board:1:scores")]


def test_long_companion_is_written_in_several_commands() -> None:
    commands = do(lambda one: one.jobs.extend(map(str, range(7000))), board())
    assert [(command[0], len(command) - 2) for command in commands] == [("RPUSH", 3000), ("RPUSH", 3000), ("RPUSH", 1000)]


def test_long_sorted_set_keeps_scores_and_members_together() -> None:
    commands = do(lambda one: one.scores.update({str(n): n for n in range(2000)}), board())
    assert [len(command) - 2 for command in commands] == [3000, 1000]
    assert all(command[0] == "ZADD" for command in commands)


def test_only_changed_companions_are_asked_for_their_type_and_deadline() -> None:
    one = board(jobs=["a"], tags={"x"})
    one.jobs.append("b")
    driver = ScriptedDriver([[[b"1", None], b"list", -1], [2]])
    driver.run(verbs.save(one, None, ""))
    assert talk(driver)[0] == Watch(["board:1"], [("HMGET", "board:1", "id", ":ttl"), ("TYPE", "board:1:jobs"), ("PEXPIRETIME", "board:1")])


def test_companion_of_another_type_is_refused_before_anything_is_written() -> None:
    one = board(tags={"x"})
    one.tags.add("y")
    driver = ScriptedDriver([[[b"1", None], b"string", -1]])
    with pytest.raises(WrongTypeError, match="board:1:tags is a string where a set is needed"):
        driver.run(verbs.save(one, None, ""))


def test_elements_are_spelled_by_the_codec_of_their_type() -> None:
    order = stored(Order, {"id": 1}, [b'{"x":1.0,"y":2.0}'], {b"7"}, [[b"3", 1.5]])
    assert order.lines == [Point(x=1, y=2)]
    assert order.numbers == {7}
    assert dict(order.ranks) == {3: 1.5}
    order.lines[0].x = 9
    order.numbers.add(8)
    order.ranks.add(4, 2)
    driver = ScriptedDriver([[[b"1", None], b"list", b"set", b"zset", -1], [1] * 4])
    driver.run(verbs.save(order, None, ""))
    assert written(driver) == [
        ("UNLINK", "order:1:lines"),
        ("RPUSH", "order:1:lines", b'{"x":9.0,"y":2.0}'),
        ("SADD", "order:1:numbers", b"8"),
        ("ZADD", "order:1:ranks", b"2.0", b"4"),
    ]


def test_elements_that_another_program_spelled_otherwise_are_no_change() -> None:
    order = stored(Order, {"id": 1}, [b'{ "x": 1, "y": 2 }'], {b"07"}, [[b"03", 1.5]])
    driver = ScriptedDriver()
    driver.run(verbs.save(order, None, ""))
    assert driver.round_trips == 0


def test_member_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    order = stored(Order, {"id": 1}, [], set(), [])
    order.numbers.add("seven")  # type: ignore[arg-type]
    driver = ScriptedDriver()
    with pytest.raises(ValidationError, match=r"Order order:1\nnumbers"):
        driver.run(verbs.save(order, None, ""))
    assert driver.requests == []


# ---- deletes ------------------------------------------------------------------------------------------------------------


def test_delete_takes_the_companions_along() -> None:
    one = board(jobs=["a"])
    driver = ScriptedDriver([[1, 1]])
    assert driver.run(verbs.delete(one, "")) is True
    assert talk(driver) == [atomic(("UNLINK", "board:1"), ("UNLINK", "board:1:tags", "board:1:jobs", "board:1:scores"))]


def test_delete_of_a_row_that_is_gone_is_no_error() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    assert ScriptedDriver([[0]]).run(verbs.delete(user, "")) is False


def test_object_never_stored_can_be_deleted_by_its_key() -> None:
    driver = ScriptedDriver([[1]])
    assert driver.run(verbs.delete(User(id=1, name=""), "")) is True
    assert talk(driver) == [atomic(("UNLINK", "user:1"))]


def test_object_without_a_key_has_no_row_to_delete() -> None:
    with pytest.raises(SessionError, match="this Ticket has no primary key yet, so there is no row to read"):
        ScriptedDriver([]).run(verbs.refresh(Ticket(), ""))
    with pytest.raises(SessionError, match="this Ticket has no primary key yet, so there is no row to delete"):
        ScriptedDriver().run(verbs.delete(Ticket(), ""))


def test_deleted_object_is_new_again() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    ScriptedDriver([[1]]).run(verbs.delete(user, ""))
    driver = ScriptedDriver([[0], [3]])
    driver.run(verbs.save(user, None, ""))
    assert written(driver) == [("HSET", "user:1", "id", 1, "name", "Ann", "age", 0)]


# ---- versions -----------------------------------------------------------------------------------------------------------


def test_version_begins_with_a_random_number_of_48_bits() -> None:
    starts = []
    for _ in range(20):
        driver = ScriptedDriver([[0], [1]])
        driver.run(verbs.save(Account(id=1), None, ""))
        (command,) = written(driver)
        assert command[-2] == ":version"
        starts.append(int(command[-1]))
    assert len(set(starts)) == 20
    assert max(starts) < 2**48


def test_update_expects_its_version_and_writes_the_next() -> None:
    account = stored(Account, {"id": 1, "owner": "Ann"}, [], version=7)
    account.owner = "Bob"
    driver = ScriptedDriver([[[b"1", None, b"7"]], [0], [[b"1", None, b"8"]], [0]])
    driver.run(verbs.save(account, None, ""))
    assert talk(driver)[0] == Watch(["account:1"], [("HMGET", "account:1", "id", ":ttl", ":version")])
    assert written(driver) == [("HSET", "account:1", "owner", "Bob", ":version", 8)]
    account.owner = "Cid"
    driver.run(verbs.save(account, None, ""))
    assert written(driver) == [("HSET", "account:1", "owner", "Cid", ":version", 9)]


def test_companion_change_alone_is_a_new_version() -> None:
    account = stored(Account, {"id": 1}, [], version=7)
    account.notes.append("x")
    driver = ScriptedDriver([[[b"1", None, b"7"], b"none", -1], [0, 1]])
    driver.run(verbs.save(account, None, ""))
    assert written(driver) == [("HSET", "account:1", ":version", 8), ("RPUSH", "account:1:notes", b"x")]


def test_other_version_is_a_conflict_that_names_both() -> None:
    account = stored(Account, {"id": 1}, [], version=7)
    account.owner = "Bob"
    driver = ScriptedDriver([[[b"1", None, b"9"]]])
    with pytest.raises(StaleObjectError, match=r"version 7 was expected under account:1, 9 found; refresh\(\) it") as caught:
        driver.run(verbs.save(account, None, ""))
    assert (caught.value.expected, caught.value.found) == (7, 9)


def test_delete_expects_the_version_too() -> None:
    account = stored(Account, {"id": 1}, [], version=7)
    driver = ScriptedDriver([[[b"1", None, b"9"]]])
    with pytest.raises(StaleObjectError):
        driver.run(verbs.delete(account, ""))
    driver = ScriptedDriver([[[b"1", None, b"7"]], [1, 1]])
    assert driver.run(verbs.delete(account, "")) is True


def test_delete_of_a_versioned_row_that_is_gone_is_no_error() -> None:
    account = stored(Account, {"id": 1}, [], version=7)
    driver = ScriptedDriver([[[None, None, None]], [b"none"], [0, 0]])
    assert driver.run(verbs.delete(account, "")) is False


def test_row_written_without_a_version_gets_one() -> None:
    account = stored(Account, {"id": 1}, [])
    account.owner = "Bob"
    driver = ScriptedDriver([[[b"1", None, None]], [1]])
    driver.run(verbs.save(account, None, ""))
    assert written(driver)[0][:5] == ("HSET", "account:1", "owner", "Bob", ":version")


def test_version_that_is_no_number_is_told_when_loaded_and_when_written() -> None:
    with pytest.raises(DecodeError, match="account:1: the stored ':version' is not a number: found b'x'"):
        stored(Account, {"id": 1}, [], version=b"x")  # type: ignore[arg-type]
    account = stored(Account, {"id": 1}, [], version=7)
    account.owner = "Bob"
    with pytest.raises(DecodeError, match="the stored ':version' is not a number") as caught:
        ScriptedDriver([[[b"1", None, b"x"]]]).run(verbs.save(account, None, ""))
    assert (caught.value.key, caught.value.field) == ("account:1", ":version")


def test_nested_default_is_not_shared() -> None:
    one, other = Customer(id=1), Customer(id=2)
    one.home.city = "Oslo"
    assert other.home == Address(city="")

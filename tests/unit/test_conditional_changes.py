"""Changes that are made only where the stored row still fits: the others are skipped, and the commit goes on without them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from redisorm import UniqueViolationError
from redisorm.commands import Batch, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.changes import Change, Condition, Kind, Outcome
from redisorm.flows.committing import commit
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork.state import state_of
from redisorm.unitofwork.work import deletion_of, new_version, settle
from tests.unit.desk import answering, atomic, change_to, scripting, stored, talk
from tests.zoo.indexed import Citizen, Member
from tests.zoo.models import User


def only_if(change: Change | None, fields: tuple[str, ...], companions: tuple[str, ...], holds: Callable[[dict[str, Any]], bool]) -> Change:
    """The same change under a condition."""
    assert change is not None
    change.only_if = Condition(fields, companions, holds)
    return change


def of_oslo(row: dict[str, Any]) -> bool:
    return bool(row["city"] == b"Oslo")


commit_of = partial(commit, new_version=new_version)


def moved(pk: int) -> Citizen:
    one = stored(Citizen, {"id": pk, "city": "Oslo", "name": "a", "age": 1}, [], [])
    one.age = 2
    return one


def row(pk: int, city: str, age: int = 1) -> list[Any]:
    """The replies to the reads of one citizen."""
    return [[b"%d" % pk, None, b"a", city.encode(), b"%d" % age, None], -1, []]


def test_row_that_does_not_fit_any_more_is_skipped_and_the_others_are_written() -> None:
    changes = [only_if(change_to(moved(pk)), ("city",), (), of_oslo) for pk in (1, 2)]
    driver = ScriptedDriver(answering([*row(1, "Lima"), *row(2, "Oslo")]))
    driver.run(commit_of(changes))
    assert talk(driver)[1] == atomic(("HSET", "citizen:2", "age", 2), ("ZADD", "citizen::age", "2", "2"))
    assert [change.outcome.skipped for change in changes] == [True, False]


def test_commit_of_which_nothing_fits_sends_no_transaction() -> None:
    change = only_if(change_to(moved(1)), ("city",), (), of_oslo)
    driver = ScriptedDriver(answering(row(1, "Lima")))
    driver.run(commit_of([change]))
    assert [type(request) for request in talk(driver)] == [Watch]
    assert change.outcome == Outcome(skipped=True)


def test_row_that_is_gone_is_skipped_where_an_update_without_a_condition_would_be_a_conflict() -> None:
    change = only_if(change_to(moved(1)), ("city",), (), lambda row: True)
    driver = ScriptedDriver(answering([[None] * 6, -2, []], [b"none"]))
    driver.run(commit_of([change]))
    assert change.outcome.skipped


def test_condition_sees_the_stored_texts_and_elements_and_its_companions_are_watched() -> None:
    seen: list[dict[str, Any]] = []

    def holds(row: dict[str, Any]) -> bool:
        seen.append(row)
        return True

    change = only_if(change_to(moved(1)), ("note", "city"), ("tags",), holds)
    texts = [b"1", None, b"a", b"Oslo", b"1", None, b"n"]
    driver = ScriptedDriver(answering([texts, -1, [], [b"x"]]))
    driver.run(commit_of([change]))
    assert talk(driver)[0] == Watch(
        ["citizen:1", "citizen:1:tags"],
        [
            ("HMGET", "citizen:1", "id", ":ttl", "name", "city", "age", "place", "note"),
            ("PEXPIRETIME", "citizen:1"),
            ("HGETALL", "citizen:1::memo"),
            ("SMEMBERS", "citizen:1:tags"),
        ],
    )
    assert (seen[0]["city"], seen[0]["note"], seen[0]["tags"]) == (b"Oslo", b"n", [b"x"])


def test_deletion_under_a_condition_is_guarded_though_a_plain_one_is_not() -> None:
    user = stored(User, {"id": 1, "name": "Ann"})
    change = Change(**{**fields_of(deletion_of(user, "")), "only_if": Condition(("name",), (), lambda row: row["name"] == b"Ann")})
    driver = ScriptedDriver(answering([[b"1", None, b"Ann"]]))
    driver.run(commit_of([change]))
    assert talk(driver) == [Watch(["user:1"], [("HMGET", "user:1", "id", ":ttl", "name")]), atomic(("UNLINK", "user:1"))]
    assert change.outcome.was_there is True


def fields_of(change: Change) -> dict[str, Any]:
    """What a change was made from."""
    return {name: getattr(change, name) for name in ("mapper", "keyspace", "kind", "pk", "key", "version", "former")}


def test_condition_is_looked_at_even_where_scripts_run() -> None:
    change = only_if(change_to(moved(1)), ("city",), (), of_oslo)
    driver = scripting(answering(row(1, "Oslo")))
    driver.run(commit_of([change]))
    assert [type(request) for request in talk(driver)] == [Watch, Batch]


def member(pk: int, **texts: Any) -> Member:
    return stored(Member, {"id": pk, "number": 0, **texts})


def test_skipped_row_takes_no_unique_value_and_gives_none_up() -> None:
    """Member 1 would give `a@x` up and is skipped: so member 2 cannot have it."""
    giver, taker = member(1, email="a@x"), member(2)
    giver.email, taker.email = None, "a@x"
    changes = [only_if(change_to(giver), ("city",), (), of_oslo), change_to(taker)]

    def answer(request: Any) -> Any:
        replies: list[Any] = []
        for command in request.commands:
            if command[0] == "HMGET" and command[1] == "member:1":
                texts = {b"id": b"1", b"email": b"a@x", b"number": b"0"}
                replies.append([texts.get(name.encode()) for name in command[2:]])
            elif command[0] == "HMGET":
                replies.append([b"2", None, None, None, b"0"])
            else:
                replies.append({"PEXPIRETIME": -1, "HGETALL": [], "GET": b"1"}[command[0]])
        return replies

    driver = ScriptedDriver(answer)
    with pytest.raises(UniqueViolationError, match="Member 2 cannot have email='a@x': Member 1 has it"):
        driver.run(commit_of([change for change in changes if change is not None]))


def test_change_without_a_difference_writes_no_texts_and_no_elements() -> None:
    mapper = mapper_of(Citizen)
    change = Change(mapper, mapper.keyspace(""), Kind.UPDATE, 1, "citizen:1")
    assert (change.texts(), change.elements(), change.companion_keys()) == ({}, {}, ["citizen:1:tags", "citizen:1:jobs"])


def test_object_stays_changed_until_whoever_committed_its_change_settles_it() -> None:
    one = moved(1)
    change = change_to(one)
    assert change is not None
    ScriptedDriver(answering(row(1, "Oslo"))).run(commit_of([change]))
    assert change_to(one) is not None
    settle(one, state_of(one), change)
    assert change_to(one) is None

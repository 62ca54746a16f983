"""What a commit does to indexes: which entries a row enters and leaves, with the writes of the row and in the same transaction."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import computed_field

from redisorm import Field, GeoPoint, IndexValueError, RedisModel, SortedSet
from redisorm.commands import Command, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.indexing import Upkeep
from redisorm.flows.pieces import CHUNK
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork import verbs
from tests.unit.desk import NOW, Desk, ScriptCall, answering, atomic, look, script_call, scripting, session_on, stored, talk
from tests.zoo.indexed import Citizen, Guest, Stamp, Talk, Trophy

DEADLINE = NOW + 60_000


class Basket(RedisModel, prefix="basket", ttl=60):
    """Stands in the index of its elements alone."""

    id: int
    tags: list[str] = Field(default=[], index=True)


def citizen(**texts: Any) -> Citizen:
    """A stored citizen, of Oslo and 30 years old."""
    return stored(Citizen, {"id": 1, "name": "Ann", "city": "Oslo", "age": 30, **texts}, [b"a"], [b"j"])


def reply_of(**texts: Any) -> list[bytes | None]:
    """What HMGET of all that a citizen's indexes depend on answers."""
    fields = {"id": 1, ":ttl": None, "name": "Ann", "city": "Oslo", "age": 30, "place": None, **texts}
    return [None if text is None else str(text).encode() for text in fields.values()]


def due(prefix: str) -> Command:
    """What a commit of rows that expire asks beside its writes: who is due to be swept, two for each row."""
    return ("ZRANGE", f"{prefix}::all", "-inf", NOW, "BYSCORE", "LIMIT", 0, 2)


READ = ("HMGET", "citizen:1", "id", ":ttl", "name", "city", "age", "place")


# ---- a new row ------------------------------------------------------------------------------------------------------


def test_new_row_enters_every_index_and_the_list_of_all_rows() -> None:
    driver = ScriptedDriver([[0], [1] * 11])
    person = Citizen(id=1, name="Ann", city="Oslo", age=30, place=GeoPoint(10.5, 59.5), tags={"a"}, jobs=["j", "j"])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver) == [
        Watch(["citizen:1", "citizen:1::memo"], [("EXISTS", "citizen:1", "citizen:1:tags", "citizen:1:jobs", "citizen:1::memo")]),
        atomic(
            ("HSET", "citizen:1", "id", 1, "name", "Ann", "city", "Oslo", "age", 30, "place", b'{"lon":10.5,"lat":59.5}', "note", ""),
            ("SADD", "citizen:1:tags", b"a"),
            ("RPUSH", "citizen:1:jobs", b"j", b"j"),
            ("ZADD", "citizen::all", "inf", "1"),
            ("ZADD", "citizen::name", "0", "Ann\0001"),
            ("ZADD", "citizen::city:Oslo", "inf", "1"),
            ("ZADD", "citizen::age", "30", "1"),
            ("ZADD", "citizen::tags:a", "inf", "1"),
            ("ZADD", "citizen::jobs:j", "inf", "1"),
            ("GEOADD", "citizen::place", "10.5", "59.5", "1"),
        ),
    ]


def test_value_that_is_none_stands_among_those_without_one() -> None:
    driver = ScriptedDriver([[0], [1] * 6])
    driver.run(verbs.save(Citizen(id=1), None, ""))
    entered = [command for command in talk(driver)[1].commands if command[0] != "HSET"]
    assert entered == [
        ("ZADD", "citizen::all", "inf", "1"),
        ("ZADD", "citizen::name", "0", "\0001"),
        ("ZADD", "citizen::city:", "inf", "1"),
        ("ZADD", "citizen::age", "0", "1"),
        ("ZADD", "citizen::place:", "inf", "1"),
    ]


def test_entries_of_many_rows_are_joined_by_key() -> None:
    desk = Desk([[0], [1] * 9])
    session = session_on(desk)
    session.add_all([Citizen(id=1, city="Oslo", age=3), Citizen(id=2, city="Oslo", age=4)])
    session.commit()
    entered = [command for command in talk(desk)[1].commands if command[0] == "ZADD"]
    assert entered == [
        ("ZADD", "citizen::all", "inf", "1", "inf", "2"),
        ("ZADD", "citizen::name", "0", "\0001", "0", "\0002"),
        ("ZADD", "citizen::city:Oslo", "inf", "1", "inf", "2"),
        ("ZADD", "citizen::age", "3", "1", "4", "2"),
        ("ZADD", "citizen::place:", "inf", "1", "inf", "2"),
    ]


def test_value_that_an_index_cannot_hold_is_refused_and_nothing_is_written() -> None:
    driver = ScriptedDriver([[0]])
    with pytest.raises(IndexValueError, match=r"Citizen\.age: 9007199254740993 of citizen:1 cannot be indexed"):
        driver.run(verbs.save(Citizen(id=1, age=2**53 + 1), None, ""))
    assert [request for request in talk(driver) if not isinstance(request, Watch)] == []


def test_row_that_is_replaced_leaves_what_it_stood_in() -> None:
    """It is met by EXISTS; then its types, and the texts and elements that tell where it stands."""
    types = [b"hash", b"set", b"none", b"none"]
    driver = ScriptedDriver([[2], types, [reply_of(), -1, [], [b"a", b"b"], [b"j"]], [1] * 20])
    driver.run(verbs.save(Citizen(id=1, name="Ann", city="Lima", age=30, tags={"b"}), None, ""))
    _, kinds, former, write = talk(driver)
    assert kinds == look(*(("TYPE", key) for key in ("citizen:1", "citizen:1:tags", "citizen:1:jobs", "citizen:1::memo")))
    assert former == Watch(
        ["citizen:1:tags", "citizen:1:jobs"],
        [
            READ,
            ("PEXPIRETIME", "citizen:1"),
            ("HGETALL", "citizen:1::memo"),
            ("SMEMBERS", "citizen:1:tags"),
            ("LRANGE", "citizen:1:jobs", 0, -1),
        ],
    )
    assert [command for command in write.commands if command[0] in ("ZREM", "ZADD", "GEOADD")] == [
        ("ZREM", "citizen::city:Oslo", "1"),
        ("ZREM", "citizen::tags:a", "1"),
        ("ZREM", "citizen::jobs:j", "1"),
        ("ZADD", "citizen::all", "inf", "1"),
        ("ZADD", "citizen::name", "0", "Ann\0001"),
        ("ZADD", "citizen::city:Lima", "inf", "1"),
        ("ZADD", "citizen::age", "30", "1"),
        ("ZADD", "citizen::place:", "inf", "1"),
        ("ZADD", "citizen::tags:b", "inf", "1"),
    ]


def test_memo_of_a_former_life_is_undone_by_the_next_row() -> None:
    driver = ScriptedDriver(
        answering(
            [1],
            [b"none", b"none", b"hash"],
            [[None] * 4, -2, {b"city:Pune": b"", b"unique:email:a@x": b"", b"tags:x": b""}, []],
            [b"1"],
        )
    )
    driver.run(verbs.save(Guest(id=1, city="Oslo"), None, ""))
    write = talk(driver)[-1]
    assert [command for command in write.commands if command[0] in ("ZREM", "UNLINK", "HSET", "HDEL")] == [
        ("HSET", "guest:1", "id", 1, "city", "Oslo", "note", ""),
        ("ZREM", "guest::city:Pune", "1"),
        ("ZREM", "guest::tags:x", "1"),
        ("UNLINK", "guest::unique:email:a@x"),
        ("HSET", "guest:1::memo", "city:Oslo", "", "email:", ""),
        ("HDEL", "guest:1::memo", "city:Pune", "unique:email:a@x", "tags:x"),
    ]


# ---- an update ------------------------------------------------------------------------------------------------------


def test_update_moves_only_the_entries_of_what_changed() -> None:
    person = citizen()
    person.city, person.note = "Lima", "moved"
    driver = ScriptedDriver([[reply_of(), -1, []], [2, 1, 1]])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver) == [
        Watch(["citizen:1"], [READ, ("PEXPIRETIME", "citizen:1"), ("HGETALL", "citizen:1::memo")]),
        atomic(
            ("HSET", "citizen:1", "city", "Lima", "note", "moved"),
            ("ZREM", "citizen::city:Oslo", "1"),
            ("ZADD", "citizen::city:Lima", "inf", "1"),
        ),
    ]


def test_update_goes_by_the_stored_text_not_by_what_was_loaded() -> None:
    """Another writer has moved the row to Pune since: that is the entry it leaves."""
    person = citizen()
    person.city = "Lima"
    driver = ScriptedDriver([[reply_of(city="Pune"), -1, []], [1, 1, 1]])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver)[1].commands[1] == ("ZREM", "citizen::city:Pune", "1")


def test_changed_score_and_position_overwrite_their_members() -> None:
    person = citizen(place='{"lon":1.0,"lat":1.0}')
    person.age, person.place = 31, GeoPoint(2, 2)
    driver = ScriptedDriver([[reply_of(place='{"lon":1.0,"lat":1.0}'), -1, []], [1, 1, 1]])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver)[1].commands[1:] == [("ZADD", "citizen::age", "31", "1"), ("GEOADD", "citizen::place", "2.0", "2.0", "1")]


def test_position_set_to_none_leaves_the_places() -> None:
    person = citizen(place='{"lon":1.0,"lat":1.0}')
    person.place = None
    driver = ScriptedDriver([[reply_of(place='{"lon":1.0,"lat":1.0}'), -1, []], [1, 1, 1]])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver)[1] == atomic(
        ("HDEL", "citizen:1", "place"), ("ZREM", "citizen::place", "1"), ("ZADD", "citizen::place:", "inf", "1")
    )


def test_text_in_order_leaves_under_its_former_member() -> None:
    person = citizen()
    person.name = "Anna"
    driver = ScriptedDriver([[reply_of(), -1, []], [1, 1, 1]])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver)[1].commands[1:] == [("ZREM", "citizen::name", "Ann\0001"), ("ZADD", "citizen::name", "0", "Anna\0001")]


def test_change_of_an_unindexed_field_leaves_the_indexes_alone() -> None:
    person = citizen()
    person.note = "x"
    driver = ScriptedDriver([[reply_of(), -1, []], [1]])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver)[1] == atomic(("HSET", "citizen:1", "note", "x"))


def test_elements_of_companions_meet_those_that_another_writer_left() -> None:
    """`b` is added and `a` removed here; `z` came from elsewhere and keeps its entry."""
    person = citizen()
    person.tags = {"b"}
    person.jobs.append("k")
    driver = ScriptedDriver([[reply_of(), b"set", b"list", -1, [], [b"a", b"z"], [b"j"]], [1] * 6])
    driver.run(verbs.save(person, None, ""))
    assert talk(driver) == [
        Watch(
            ["citizen:1", "citizen:1:tags", "citizen:1:jobs"],
            [
                READ,
                ("TYPE", "citizen:1:tags"),
                ("TYPE", "citizen:1:jobs"),
                ("PEXPIRETIME", "citizen:1"),
                ("HGETALL", "citizen:1::memo"),
                ("SMEMBERS", "citizen:1:tags"),
                ("LRANGE", "citizen:1:jobs", 0, -1),
            ],
        ),
        atomic(
            ("SADD", "citizen:1:tags", b"b"),
            ("SREM", "citizen:1:tags", b"a"),
            ("RPUSH", "citizen:1:jobs", b"k"),
            ("ZREM", "citizen::tags:a", "1"),
            ("ZADD", "citizen::tags:b", "inf", "1"),
            ("ZADD", "citizen::jobs:k", "inf", "1"),
        ),
    ]


@pytest.mark.parametrize(
    ("before", "after", "found", "left", "entered"),
    [
        (["a"], [], ["a", "z"], ["a", "z"], []),
        (["a"], ["a", "b"], ["z"], [], ["b"]),
        (["a", "b"], ["a"], ["z", "b"], ["b"], []),
        (["a", "b"], ["b"], ["a", "z"], ["a"], []),
        (["a"], ["b", "a"], ["z"], [], ["b"]),
        (["a", "b"], ["c", "d"], ["z"], ["z"], ["c", "d"]),
    ],
)
def test_entries_of_a_list_follow_the_commands_that_are_sent(
    before: list[str], after: list[str], found: list[str], left: list[str], entered: list[str]
) -> None:
    """Another writer has made `found` of what was loaded as `before`."""
    person = stored(Citizen, {"id": 1}, [], [text.encode() for text in before])
    person.jobs = after
    elements = [text.encode() for text in found]
    driver = ScriptedDriver([[[b"1", None, None, None, None, None], b"list", -1, [], elements], [1] * 9])
    driver.run(verbs.save(person, None, ""))
    commands = talk(driver)[1].commands
    assert [str(command[1]).rpartition(":")[2] for command in commands if command[0] == "ZREM"] == left
    assert [str(command[1]).rpartition(":")[2] for command in commands if command[0] == "ZADD"] == entered


def test_incremented_field_moves_to_the_number_it_becomes() -> None:
    person = citizen()
    driver = ScriptedDriver([[[b"1", None, b"40", b"Ann", b"Oslo", None], -1, []], [0, 0]])
    assert driver.run(verbs.increment(person, "age", 2, "")) == 42
    assert talk(driver)[1] == atomic(("HSET", "citizen:1", "age", "42"), ("ZADD", "citizen::age", "42", "1"))


# ---- deleting -------------------------------------------------------------------------------------------------------


def test_deleted_row_leaves_everything() -> None:
    person = citizen()
    driver = ScriptedDriver([[reply_of(), -1, [], [b"a"], [b"j"]], [1] * 9])
    driver.run(verbs.delete(person, ""))
    assert talk(driver)[1] == atomic(
        ("UNLINK", "citizen:1"),
        ("UNLINK", "citizen:1:tags", "citizen:1:jobs"),
        ("ZREM", "citizen::name", "Ann\0001"),
        ("ZREM", "citizen::city:Oslo", "1"),
        ("ZREM", "citizen::age", "1"),
        ("ZREM", "citizen::place:", "1"),
        ("ZREM", "citizen::tags:a", "1"),
        ("ZREM", "citizen::jobs:j", "1"),
        ("ZREM", "citizen::all", "1"),
        ("UNLINK", "citizen:1::memo"),
    )


def test_row_that_expired_is_deleted_by_its_memo() -> None:
    guest = stored(Guest, {"id": 1, "city": "Oslo"}, [])
    memo = [b"city:Oslo", b"", b"tags:a", b"", b"unique:email:a@x", b""]
    driver = ScriptedDriver(answering([[None] * 4, -2, memo, []], [b"none"], [b"1"]))
    driver.run(verbs.delete(guest, ""))
    assert talk(driver)[-1] == atomic(
        ("UNLINK", "guest:1"),
        ("UNLINK", "guest:1:tags"),
        ("ZREM", "guest::city:Oslo", "1"),
        ("ZREM", "guest::tags:a", "1"),
        ("ZREM", "guest::all", "1"),
        ("UNLINK", "guest::unique:email:a@x"),
        ("UNLINK", "guest:1::memo"),
        due("guest"),
    )


# ---- rows that expire -----------------------------------------------------------------------------------------------


def test_entries_and_unique_values_have_the_deadline_of_their_row_and_a_memo_tells_of_them() -> None:
    driver = ScriptedDriver(answering([0]))
    driver.run(verbs.save(Guest(id=1, city="Oslo", email="a@x", tags={"t"}), None, ""))
    assert talk(driver)[1].commands[2:] == [
        ("PEXPIREAT", "guest:1", DEADLINE),
        ("PEXPIREAT", "guest:1:tags", DEADLINE),
        ("ZADD", "guest::all", str(DEADLINE), "1"),
        ("ZADD", "guest::city:Oslo", str(DEADLINE), "1"),
        ("ZADD", "guest::tags:t", str(DEADLINE), "1"),
        ("SET", "guest::unique:email:a@x", "1", "PXAT", DEADLINE),
        ("HSET", "guest:1::memo", "city:Oslo", "", "tags:t", "", "unique:email:a@x", ""),
        due("guest"),
    ]


def test_life_that_begins_again_moves_every_entry() -> None:
    guest = stored(Guest, {"id": 1, "city": "Oslo", "email": "a@x"}, [b"t"])
    guest.note = "x"
    memo = [b"city:Oslo", b"", b"tags:t", b"", b"unique:email:a@x", b""]
    driver = ScriptedDriver(answering([[b"1", None, b"Oslo", b"a@x"], NOW + 5, memo, [b"t"]], [b"1"]))
    driver.run(verbs.save(guest, None, ""))
    assert talk(driver)[-1] == atomic(
        ("HSET", "guest:1", "note", "x"),
        ("PEXPIREAT", "guest:1", DEADLINE),
        ("PEXPIREAT", "guest:1:tags", DEADLINE),
        ("ZADD", "guest::all", str(DEADLINE), "1"),
        ("ZADD", "guest::city:Oslo", str(DEADLINE), "1"),
        ("ZADD", "guest::tags:t", str(DEADLINE), "1"),
        ("SET", "guest::unique:email:a@x", "1", "PXAT", DEADLINE),
        due("guest"),
    )


def test_row_made_permanent_is_listed_for_ever_and_its_memo_dropped() -> None:
    guest = stored(Guest, {"id": 1, "city": "Oslo"}, [])
    memo = [b"city:Oslo", b"", b"email:", b""]
    driver = ScriptedDriver(answering([[b"1", None, b"Oslo", None], NOW + 5, memo, []]))
    driver.run(verbs.expire(guest, None, ""))
    assert talk(driver)[-1] == atomic(
        ("HSET", "guest:1", ":ttl", "-1"),
        ("PERSIST", "guest:1"),
        ("PERSIST", "guest:1:tags"),
        ("ZADD", "guest::all", "inf", "1"),
        ("ZADD", "guest::city:Oslo", "inf", "1"),
        ("ZADD", "guest::email:", "inf", "1"),
        ("UNLINK", "guest:1::memo"),
        due("guest"),
    )


def test_new_entry_of_a_row_that_keeps_its_deadline_gets_that_deadline() -> None:
    stamp = stored(Stamp, {"id": 1, "city": "Oslo", "age": 1}, [])
    stamp.city = "Lima"
    memo = [b"city:Oslo", b"", b"age", b""]
    driver = ScriptedDriver(answering([[b"1", None, b"Oslo", b"1"], NOW + 5, memo]))
    driver.run(verbs.save(stamp, None, ""))
    assert talk(driver)[-1] == atomic(
        ("HSET", "stamp:1", "city", "Lima"),
        ("ZREM", "stamp::city:Oslo", "1"),
        ("ZADD", "stamp::city:Lima", str(NOW + 5), "1"),
        ("HSET", "stamp:1::memo", "city:Lima", ""),
        ("HDEL", "stamp:1::memo", "city:Oslo"),
        due("stamp"),
    )


def test_row_that_was_given_a_deadline_behind_the_back_is_listed_and_remembered_with_its_next_write() -> None:
    """No memo although the row can expire: everything is written anew, its companions' elements are read for that."""
    stamp = stored(Stamp, {"id": 1, "city": "Oslo", "age": 1}, [b"t"])
    stamp.age = 2
    row = [b"1", None, b"Oslo", b"1"]
    driver = ScriptedDriver(answering([row, NOW + 5, []], [row, NOW + 5, [], [b"t"]]))
    driver.run(verbs.save(stamp, None, ""))
    assert talk(driver)[1] == Watch(
        ["stamp:1", "stamp:1:tags"],
        [
            ("HMGET", "stamp:1", "id", ":ttl", "city", "age"),
            ("PEXPIRETIME", "stamp:1"),
            ("HGETALL", "stamp:1::memo"),
            ("SMEMBERS", "stamp:1:tags"),
        ],
    )
    assert talk(driver)[-1] == atomic(
        ("HSET", "stamp:1", "age", 2),
        ("ZADD", "stamp::all", str(NOW + 5), "1"),
        ("ZADD", "stamp::city:Oslo", str(NOW + 5), "1"),
        ("ZADD", "stamp::age", "2", "1"),
        ("ZADD", "stamp::tags:t", str(NOW + 5), "1"),
        ("HSET", "stamp:1::memo", "city:Oslo", "", "age", "", "tags:t", ""),
        due("stamp"),
    )


def test_row_with_a_remembered_life_of_its_own_restarts_it_with_its_entries() -> None:
    """The writer did not know that somebody had given the row a life: the class has none."""
    person = citizen()
    person.note = "x"
    row = reply_of(**{":ttl": "60"})
    driver = ScriptedDriver(answering([row, NOW + 5, [b"city:Oslo", b""]], [row, NOW + 5, [b"city:Oslo", b""], [b"a"], [b"j"]]))
    driver.run(verbs.save(person, None, ""))
    commands = talk(driver)[-1].commands
    assert ("PEXPIREAT", "citizen:1", DEADLINE) in commands
    assert ("ZADD", "citizen::tags:a", str(DEADLINE), "1") in commands
    assert ("ZADD", "citizen::all", str(DEADLINE), "1") in commands


# ---- at once --------------------------------------------------------------------------------------------------------


def test_script_expects_the_indexed_fields_that_a_change_touches() -> None:
    person = citizen()
    person.city = "Lima"
    driver = scripting()
    driver.run(verbs.save(person, None, ""))
    assert script_call(talk(driver)[0]) == ScriptCall(
        keys=["citizen:1", "citizen:1:tags", "citizen:1:jobs", "citizen:1::memo", "citizen::city:Oslo", "citizen::city:Lima"],
        absent=[],
        types={},
        rows=[(("HMGET", "citizen:1", "id", ":ttl", "city"), [b"=1", b"-", b"=Oslo"])],
        reads=[(("EXISTS", "citizen:1::memo"), b":0")],
        tables=[],
        writes=[
            ("HSET", "citizen:1", "city", "Lima"),
            ("ZREM", "citizen::city:Oslo", "1"),
            ("ZADD", "citizen::city:Lima", "inf", "1"),
        ],
    )


def test_script_that_deletes_a_row_expects_its_companions_as_they_were_loaded() -> None:
    driver = scripting()
    assert driver.run(verbs.delete(citizen(), "")) is True
    call = script_call(talk(driver)[0])
    assert call.reads == [
        (("SCARD", "citizen:1:tags"), b":1"),
        (("SMISMEMBER", "citizen:1:tags", b"a"), b"*1:1"),
        (("LRANGE", "citizen:1:jobs", 0, -1), b"*1$1:j"),
        (("EXISTS", "citizen:1::memo"), b":0"),
    ]


def test_script_expects_the_memo_and_the_unique_values_of_a_row_that_expires() -> None:
    guest = stored(Guest, {"id": 1, "city": "Oslo", "email": "a@x"}, [])
    guest.city = "Lima"
    driver = scripting()
    driver.run(verbs.save(guest, None, ""))
    call = script_call(talk(driver)[0])
    assert call.rows[1:] == [(("HMGET", "guest:1::memo", "city:Oslo", "unique:email:a@x"), [b"=", b"="])]
    assert call.reads == [
        (("SCARD", "guest:1:tags"), b":0"),
        (("GET", "guest::unique:email:a@x"), b"$1:1"),
    ]
    assert call.writes[-3:] == [
        ("HSET", "guest:1::memo", "city:Lima", ""),
        ("HDEL", "guest:1::memo", "city:Oslo"),
        due("guest"),
    ]


def test_row_that_expires_and_stands_nowhere_yet_is_looked_at() -> None:
    """Nothing is remembered of it, and no script tells that from a memo that is lost."""
    basket = stored(Basket, {"id": 1}, [])
    basket.tags = ["a"]
    driver = scripting([[[b"1", None], b"none", 10_000, [], []], [1, 1, 1, 1, 1, 1, []]])
    driver.run(verbs.save(basket, None, ""))
    assert isinstance(talk(driver)[0], Watch)


def test_scores_of_an_indexed_sorted_set_are_looked_at() -> None:
    """No script compares them: the commit looks, and writes under WATCH."""
    trophy = stored(Trophy, {"id": 1}, [[b"a", 1.0]])
    trophy.wins.add("b", 2)
    driver = scripting([[[b"1", None], b"zset", -1, [], [[b"a", 1.0]]], [1, 1]])
    driver.run(verbs.save(trophy, None, ""))
    assert talk(driver) == [
        Watch(
            ["trophy:1", "trophy:1:wins"],
            [
                ("HMGET", "trophy:1", "id", ":ttl"),
                ("TYPE", "trophy:1:wins"),
                ("PEXPIRETIME", "trophy:1"),
                ("HGETALL", "trophy:1::memo"),
                ("ZRANGE", "trophy:1:wins", 0, -1, "WITHSCORES"),
            ],
        ),
        atomic(("ZADD", "trophy:1:wins", b"2.0", b"b"), ("ZADD", "trophy::wins:b", "inf", "1")),
    ]


def test_deadline_that_a_row_keeps_is_looked_at() -> None:
    """The script could not know the score of the new entry."""
    stamp = stored(Stamp, {"id": 1, "city": "Oslo"}, [])
    stamp.city = "Lima"
    row = [[b"1", None, b"Oslo", None], NOW + 5, [b"city:Oslo", b"", b"age", b""]]
    driver = scripting(answering(row))
    driver.run(verbs.save(stamp, None, ""))
    assert isinstance(talk(driver)[0], Watch)


def test_list_of_a_versioned_row_is_expected_element_by_element() -> None:
    one = stored(Talk, {"id": 1, "title": "t"}, [b"x", b"y"], version=7)
    one.jobs.append("z")
    driver = scripting()
    driver.run(verbs.save(one, None, ""))
    call = script_call(talk(driver)[0])
    assert call.rows == [(("HMGET", "talk:1", "id", ":ttl", ":version"), [b"=1", b"-", b"=7"])]
    assert call.types == {"talk:1:jobs": "list"}
    assert call.reads[0] == (("LRANGE", "talk:1:jobs", 0, -1), b"*2$1:x$1:y")


def test_index_of_a_computed_field_is_looked_at() -> None:
    """A session does not remember what was stored of it."""

    class Person(RedisModel, prefix="person_of_entries"):
        id: int
        name: str = ""

        @computed_field  # type: ignore[prop-decorator]
        @property
        def initial(self) -> Annotated[str, Field(index=True)]:
            return self.name[:1]

    person = stored(Person, {"id": 1, "name": "Ann"})
    person.name = "Bea"
    driver = scripting(answering([[b"1", None, b"A"], -1, []]))
    driver.run(verbs.save(person, None, ""))
    assert talk(driver)[1].commands[1:] == [
        ("ZREM", "person_of_entries::initial:A", "1"),
        ("ZADD", "person_of_entries::initial:B", "inf", "1"),
    ]


def test_elements_that_are_no_text_have_one_entry_however_they_are_spelled() -> None:
    class Numbered(RedisModel, prefix="numbered"):
        id: int
        numbers: set[int] = Field(default=set(), index=True)

    one = stored(Numbered, {"id": 1}, [b"07"])
    driver = ScriptedDriver(answering([[b"1", None], -1, [], [b"07"]]))
    driver.run(verbs.delete(one, ""))
    assert ("ZREM", "numbered::numbers:7", "1") in talk(driver)[1].commands


def test_companion_of_more_elements_than_a_script_unpacks_is_looked_at() -> None:
    tags = [b"%d" % number for number in range(CHUNK + 1)]
    person = stored(Citizen, {"id": 1, "name": "Ann", "city": "Oslo", "age": 30}, tags, [])
    driver = scripting(answering([reply_of(), -1, [], tags, []]))
    driver.run(verbs.delete(person, ""))
    assert isinstance(talk(driver)[0], Watch)
    assert sum(command[0] == "ZREM" for command in talk(driver)[1].commands) == len(tags) + 5


def test_update_leaves_alone_what_the_memo_tells_of_other_indexes() -> None:
    stamp = stored(Stamp, {"id": 1, "city": "Oslo", "age": 1}, [])
    stamp.city = "Lima"
    memo = [b"city:Oslo", b"", b"age", b"", b"tags:t", b"", b"unique:email:a@x", b""]
    driver = ScriptedDriver(answering([[b"1", None, b"Oslo", b"1"], NOW + 5, memo]))
    driver.run(verbs.save(stamp, None, ""))
    assert [command for command in talk(driver)[-1].commands if command[0] in ("ZREM", "UNLINK", "HDEL")] == [
        ("ZREM", "stamp::city:Oslo", "1"),
        ("HDEL", "stamp:1::memo", "city:Oslo"),
    ]


# ---- the commands themselves ----------------------------------------------------------------------------------------


def test_no_command_has_more_words_than_a_script_can_unpack() -> None:
    keyspace = mapper_of(Citizen).keyspace("")
    upkeep = Upkeep()
    members = [str(number) for number in range(CHUNK)]
    for member in members:
        upkeep.leave(keyspace, member, {"city:Oslo": ""})
        upkeep.free(keyspace.own(f"unique:x:{member}"))
    upkeep.score("ages", "1", members)
    for member in members:
        upkeep.enter(keyspace, {"place": (member, ("1", "2"))}, None)
    upkeep.remember("memo", dict.fromkeys(members, ""), {f"{member}!": "" for member in members})
    upkeep.unlist(keyspace, "1")
    commands = list(upkeep.commands())
    assert max(map(len, commands)) == CHUNK + 2
    assert [command[0] for command in commands] == [
        *("ZREM", "ZREM", "UNLINK", "ZADD", "ZADD", "GEOADD", "GEOADD", "GEOADD"),
        *("HSET", "HSET", "HDEL"),
    ]


def test_memo_with_nothing_to_remember_is_dropped() -> None:
    upkeep = Upkeep()
    upkeep.remember("memo", {"city:Oslo": ""}, {})
    assert list(upkeep.commands()) == [("UNLINK", "memo")]


def test_value_given_up_and_taken_in_one_commit_is_only_taken() -> None:
    upkeep = Upkeep()
    upkeep.free("user::unique:email:a")
    upkeep.take("user::unique:email:a", "2", None)
    assert list(upkeep.commands()) == [("SET", "user::unique:email:a", "2")]


def test_sorted_set_enters_under_each_member() -> None:
    driver = ScriptedDriver([[0], [1] * 4])
    driver.run(verbs.save(Trophy(id=1, wins=SortedSet({"a": 1.5})), None, ""))
    assert talk(driver)[1] == atomic(
        ("HSET", "trophy:1", "id", 1),
        ("ZADD", "trophy:1:wins", b"1.5", b"a"),
        ("ZADD", "trophy::all", "inf", "1"),
        ("ZADD", "trophy::wins:a", "inf", "1"),
    )

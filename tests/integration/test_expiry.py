"""Rows that expire: nothing of a former life gets in the way of what comes after it, and nothing is left behind."""

from __future__ import annotations

import time
from typing import Any

import pytest

from redisorm import Database, GeoPoint
from redisorm.flows.sweeping import settle_due, sweep
from redisorm.mapping.base import mapper_of
from redisorm.unitofwork import verbs
from tests.reckoning import misfits
from tests.zoo.kept import COLOURS, Colour, Guest, Resident, interrupted, reckon, store, upkeep

MAPPER = mapper_of(Guest)
KEYSPACE = MAPPER.keyspace("")


def guest(pk: int, **values: Any) -> Guest:
    return Guest(
        **{"id": pk, "name": f"n{pk}", "city": "Oslo", "age": pk, "email": f"{pk}@x", "tags": {"a", "b"}, "jobs": ["j", "j"], **values}
    )


def expired(db: Database, *guests: Guest) -> None:
    """Store rows that are gone by the time this returns."""
    store(db, *guests, ttl=0.03)
    time.sleep(0.05)
    assert not any(db.client.exists(f"guest:{one.id}") for one in guests)


@pytest.mark.parametrize("colour", COLOURS)
def test_not_one_key_is_left_after_expiry_and_sweep(db: Database, colour: Colour) -> None:
    expired(db, *(guest(pk, place=GeoPoint(lon=10.7, lat=59.9) if pk % 2 else None) for pk in range(300)))
    told: list[tuple[int, int | None]] = []

    assert upkeep(db, colour, "sweep", Guest, progress=lambda done, total: told.append((done, total))) == 300

    assert db.client.keys("*") == []
    assert told == [(300, 300)]
    assert upkeep(db, colour, "sweep", Guest) == 0


def test_sweep_leaves_rows_that_live(db: Database) -> None:
    store(db, guest(1))
    expired(db, guest(2), guest(3))

    assert db.sweep(Guest) == 2

    assert misfits(db.client, "guest", reckon) == []
    assert db.client.exists("guest:1")


def test_commits_sweep_what_they_meet_until_nothing_is_left(db: Database) -> None:
    expired(db, *(guest(pk) for pk in range(100, 107)))
    for pk in (1, 2, 3, 4):  # two for each row written
        store(db, guest(pk), ttl=100)

    assert misfits(db.client, "guest", reckon) == []
    assert db.client.zcard("guest::all") == 4


def test_save_sweeps_what_it_meets(db: Database) -> None:
    expired(db, guest(100), guest(101))
    db.run(verbs.save(guest(1), None, db.namespace))

    assert misfits(db.client, "guest", reckon) == []
    assert db.client.zcard("guest::all") == 1


def test_commit_that_cannot_sweep_is_a_commit_all_the_same(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    expired(db, guest(100))
    db.client.delete("guest:100::memo")
    db.client.set("guest:100::memo", "of another type")

    with caplog.at_level("INFO", "redisorm"):
        store(db, guest(1), ttl=100)

    assert db.client.exists("guest:1")


def test_sweep_of_a_class_without_indexes_has_nothing_to_do(db: Database) -> None:
    from tests.zoo.models import User

    assert db.sweep(User) == 0
    assert db.traffic.round_trips == 0


@pytest.mark.parametrize("again", [guest(1), guest(1, city="Lima", age=7, email="other@x", tags={"c"}, jobs=[]), Guest(id=1)])
def test_row_that_comes_back_before_the_sweep_keeps_exactly_what_is_its_own(db: Database, again: Guest) -> None:
    expired(db, guest(1), guest(2), guest(3), guest(4))
    store(db, again.model_copy())  # sweeps two of the others

    assert db.sweep(Guest) == 1

    assert misfits(db.client, "guest", reckon) == []
    assert db.client.exists("guest:1")


@pytest.mark.parametrize("colour", COLOURS)
def test_row_made_permanent_by_hand_is_settled_as_one(db: Database, colour: Colour) -> None:
    store(db, guest(1), ttl=0.1)
    db.client.persist("guest:1")
    time.sleep(0.12)

    assert upkeep(db, colour, "sweep", Guest) == 1

    assert db.client.zscore("guest::all", "1") == float("inf")
    assert not db.client.exists("guest:1::memo")
    assert misfits(db.client, "guest", reckon) == []
    assert upkeep(db, colour, "sweep", Guest) == 0


@pytest.mark.parametrize("seconds", [1, 1000])
def test_row_with_another_deadline_by_hand_is_settled_by_that(db: Database, seconds: float) -> None:
    store(db, guest(1), ttl=0.1)
    db.client.pexpire("guest:1", round(seconds * 1000))
    time.sleep(0.12)

    assert db.sweep(Guest) == 1

    assert misfits(db.client, "guest", reckon) == []
    while seconds == 1 and db.client.exists("guest:1"):
        time.sleep(0.02)
    assert db.sweep(Guest) == (1 if seconds == 1 else 0)
    assert seconds > 1 or db.client.keys("*") == []


def test_rows_that_live_on_never_block_a_bounded_sweep(db: Database) -> None:
    store(db, *(guest(pk) for pk in range(30)), ttl=60)
    for pk in range(30):
        db.client.persist(f"guest:{pk}")
    expired(db, *(guest(pk) for pk in range(30, 60)))
    db.client.zadd("guest::all", {str(pk): 1 for pk in range(30)})  # the instant at which they would have expired is over

    swept = [db.run(sweep(MAPPER, KEYSPACE, 10)) for _ in range(7)]

    assert swept == [10, 10, 10, 10, 10, 10, 0]
    assert misfits(db.client, "guest", reckon) == []
    assert db.client.zcard("guest::all") == 30


def test_key_of_another_type_where_an_expired_row_was_is_left_alone(db: Database) -> None:
    expired(db, guest(1))
    db.client.set("guest:1", "mine")

    assert db.sweep(Guest) == 1

    assert db.client.keys("*") == [b"guest:1"]


def test_member_that_can_be_no_primary_key_does_not_block_the_sweep(db: Database) -> None:
    client: Any = db.client
    client.zadd("guest::all", {"Ann": 1, "007": 2, b"\xff": 3})

    assert db.sweep(Guest) == 3

    assert db.client.keys("*") == []


def test_row_that_comes_back_in_the_middle_of_a_sweep_is_left_to_the_next(db: Database) -> None:
    expired(db, guest(1), guest(2))

    def come_back() -> None:
        db.client.hset("guest:1", mapping={"id": "1", "name": "n1", "age": "1"})

    assert db.run(interrupted(settle_due(MAPPER, KEYSPACE, ["1", "2"]), come_back)) == 0
    assert db.client.zcard("guest::all") == 2

    assert db.sweep(Guest) == 2
    assert misfits(db.client, "guest", reckon) == []
    assert db.client.hgetall("guest:1") == {b"id": b"1", b"name": b"n1", b"age": b"1"}


def test_row_that_comes_back_does_not_free_what_another_took_over_meanwhile(db: Database) -> None:
    expired(db, guest(8), guest(9))
    expired(db, guest(1, email="a"))
    store(db, guest(2, email="a"))  # sweeps the two that were first

    store(db, Guest(id=1))

    assert db.client.get("guest::unique:email:a") == b"2"
    db.sweep(Guest)
    assert db.client.get("guest::unique:email:a") == b"2"


def test_row_that_comes_back_for_ever_owns_its_unique_values(db: Database) -> None:
    store(db, Resident(id=1, city="Oslo", email="a"), ttl=0.03)
    time.sleep(0.05)

    store(db, Resident(id=1, city="Oslo", email="a"))

    assert db.client.get("resident::unique:email:a") == b"1"
    assert misfits(db.client, "resident", reckon) == []


def test_sweep_leaves_a_unique_value_to_the_row_that_took_it_over(db: Database) -> None:
    expired(db, guest(1, email="a"), guest(3), guest(4))
    store(db, guest(2, email="a"))  # sweeps two of them

    assert db.sweep(Guest) == 1

    assert db.client.get("guest::unique:email:a") == b"2"
    assert misfits(db.client, "guest", reckon) == []


def test_sweep_frees_a_unique_key_that_outlived_its_row(db: Database) -> None:
    store(db, guest(1), ttl=0.1)
    db.client.persist("guest::unique:email:1@x")
    time.sleep(0.12)

    assert db.sweep(Guest) == 1

    assert db.client.keys("*") == []


def test_class_that_never_expires_is_swept_in_one_round_trip(db: Database) -> None:
    store(db, Resident(id=1))
    before = db.traffic.round_trips

    assert db.run(sweep(mapper_of(Resident), mapper_of(Resident).keyspace(""), 100)) == 0

    assert db.traffic.round_trips - before == 1

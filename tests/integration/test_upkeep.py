"""`check` finds everything that is not as the rows say, `repair` mends exactly that, and `reindex` builds what a class declares anew."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from redisorm import Database, Field, GeoPoint, RedisModel, Report, Session, SessionError
from redisorm.flows import checking, report, settling
from redisorm.flows.checking import repair
from redisorm.mapping.base import mapper_of
from tests.reckoning import misfits
from tests.zoo.kept import COLOURS, Colour, Guest, Resident, interrupted, kinds, reckon, store, upkeep
from tests.zoo.models import User

OSLO = GeoPoint(lon=10.7522, lat=59.9139)


def guest(pk: int, **values: Any) -> Guest:
    return Guest(**{"id": pk, "name": f"n{pk}", "city": "Oslo", "age": pk, "email": f"{pk}@x", "tags": {"a"}, "jobs": ["j"], **values})


def changes(db: Database) -> int:
    """How much was written so far; a store in memory does not tell."""
    return 0 if "memory://" in repr(db) else int(db.client.info("persistence")["rdb_changes_since_last_save"])


def make_expired(client: Any) -> None:
    client.pexpire("guest:1", 1)
    client.pexpire("guest:1:tags", 1)
    client.pexpire("guest:1:jobs", 1)
    for key in client.keys("guest::unique:*:1*"):
        client.pexpire(key, 1)
    time.sleep(0.02)
    client.zadd("guest::all", {"1": 1})


SABOTAGE: list[tuple[str, str, Callable[[Any], object]]] = [
    ("dangling entry", "guest::city:Lima", lambda client: client.zadd("guest::city:Lima", {"1": 5})),
    ("dangling entry", "guest::age", lambda client: client.zadd("guest::age", {"99": 5})),
    ("dangling entry", "guest::all", lambda client: client.zadd("guest::all", {"99": float("inf")})),
    ("dangling entry", "guest::name", lambda client: client.zadd("guest::name", {"old\0001": 0, "odd": 0})),
    ("dangling entry", "guest::age", lambda client: client.execute_command("ZADD", "guest::age", 1, b"\xff", 2, "")),
    ("dangling entry", "guest::place", lambda client: client.geoadd("guest::place", (1, 1, "1"))),
    ("dangling entry", "guest::former:x", lambda client: client.zadd("guest::former:x", {"1": 5})),
    ("missing entry", "guest::all", lambda client: client.zrem("guest::all", "1")),
    ("missing entry", "guest::city:Oslo", lambda client: client.zrem("guest::city:Oslo", "1")),
    ("missing entry", "guest::name", lambda client: client.zrem("guest::name", "n1\0001")),
    ("missing entry", "guest::tags:a", lambda client: client.delete("guest::tags:a")),
    ("missing entry", "guest::place", lambda client: client.delete("guest::place")),
    ("wrong value", "guest::age", lambda client: client.zadd("guest::age", {"1": 99})),
    ("wrong value", "guest::all", lambda client: client.zadd("guest::all", {"1": float("inf")})),
    ("wrong value", "guest::city:Oslo", lambda client: client.zadd("guest::city:Oslo", {"1": 99})),
    ("wrong value", "guest::place", lambda client: client.geoadd("guest::place", (10.7523, 59.9139, "3"))),
    ("orphan companion", "guest:99:tags", lambda client: client.sadd("guest:99:tags", "x")),
    ("orphan memo", "guest:99::memo", lambda client: client.hset("guest:99::memo", "age", "")),
    ("wrong memo", "guest:1::memo", lambda client: client.hdel("guest:1::memo", "age")),
    ("wrong memo", "guest:1::memo", lambda client: client.delete("guest:1::memo")),
    ("stale unique key", "guest::unique:email:zz", lambda client: client.set("guest::unique:email:zz", "1")),
    ("stale unique key", "guest::unique:email:zz", lambda client: client.set("guest::unique:email:zz", "99")),
    ("stale unique key", "guest::unique:email:zz", lambda client: client.set("guest::unique:email:zz", b"\xff")),
    ("missing unique key", "guest::unique:email:1@x", lambda client: client.delete("guest::unique:email:1@x")),
    ("wrong deadline", "guest:1:tags", lambda client: client.persist("guest:1:tags")),
    ("wrong deadline", "guest::unique:email:1@x", lambda client: client.expire("guest::unique:email:1@x", 10)),
    ("expired but unswept", "guest:1", make_expired),
]


@pytest.mark.parametrize("colour", COLOURS)
def test_check_of_what_is_right_finds_nothing_and_writes_nothing(db: Database, colour: Colour) -> None:
    store(db, *(guest(pk, place=OSLO) for pk in range(40)), *(Resident(id=pk) for pk in range(40)), User(id=1, name="Ann"))
    before = changes(db)

    for model in (Guest, Resident, User):
        assert upkeep(db, colour, "check", model) == Report(ok=True, problems=[])

    assert upkeep(db, colour, "repair", Guest) == Report(ok=True, problems=[])
    assert changes(db) == before


@pytest.mark.parametrize(("kind", "key", "break_it"), SABOTAGE, ids=[f"{kind} {key}" for kind, key, _ in SABOTAGE])
def test_each_kind_of_problem_is_found_and_mended(db: Database, kind: str, key: str, break_it: Callable[[Any], object]) -> None:
    store(db, guest(1), guest(2), guest(3, place=OSLO))
    break_it(db.client)

    found = db.check(Guest)
    assert not found.ok
    assert kinds(found) == {kind}
    assert {problem.key for problem in found.problems} == {key}
    assert found.counts == {kind: len(found.problems)}
    assert db.check(Guest) == found

    mended = db.repair(Guest)
    assert mended.ok
    assert [(one.kind, one.key, one.detail) for one in mended.problems] == [(one.kind, one.key, one.detail) for one in found.problems]
    assert all(problem.mended for problem in mended.problems)

    assert db.check(Guest) == Report(ok=True, problems=[])
    db.client.zrem("guest::place", "3")
    db.client.hdel("guest:3::memo", "place")
    store(db, guest(3))
    assert misfits(db.client, "guest", reckon) == []


@pytest.mark.parametrize("colour", COLOURS)
def test_rows_deleted_by_hand_are_dangling_until_repaired(db: Database, colour: Colour) -> None:
    store(db, *(Resident(id=pk, email=f"{pk}@x", tags={"t"}) for pk in range(5)))
    db.client.delete("resident:1", "resident:2")

    found = upkeep(db, colour, "check", Resident)

    assert kinds(found) == {"dangling entry", "orphan companion", "stale unique key"}
    assert upkeep(db, colour, "repair", Resident).ok
    assert misfits(db.client, "resident", reckon) == []
    assert not db.client.exists("resident:1", "resident:2", "resident:1:tags")


@pytest.mark.parametrize("colour", COLOURS)
def test_reindex_makes_no_row_of_what_is_left_of_one(db: Database, colour: Colour) -> None:
    store(db, *(Resident(id=pk, email=f"{pk}@x", tags={"t"}) for pk in range(5)))
    db.client.delete("resident:1", "resident:2")

    assert upkeep(db, colour, "reindex", Resident) == 3

    assert not db.client.exists("resident:1", "resident:2")
    assert db.repair(Resident).ok
    assert misfits(db.client, "resident", reckon) == []


def test_rows_changed_by_hand_are_indexed_as_they_are(db: Database) -> None:
    store(db, guest(1), guest(2))
    db.client.hset("guest:1", mapping={"city": "Lima", "age": "40", "name": "new"})
    db.client.hdel("guest:1", "email")
    db.client.srem("guest:1:tags", "a")
    db.client.lpush("guest:1:jobs", "k")
    db.client.persist("guest:1")
    db.client.pexpire("guest:2", 50_000)

    assert not db.check(Guest).ok
    assert db.repair(Guest).ok
    assert db.check(Guest).ok
    assert misfits(db.client, "guest", reckon) == []


def test_random_sabotage_is_mended(db: Database) -> None:
    for seed in range(6):
        db.client.flushdb()
        chance = random.Random(seed)
        store(db, *(guest(pk, city=chance.choice(("Oslo", "Lima", None))) for pk in range(12)))
        for _ in range(25):
            key = chance.choice(sorted(key.decode() for key in db.client.scan_iter("guest:*")))
            kind = db.client.type(key)
            if chance.random() < 0.5:
                db.client.delete(key)
            elif kind == b"zset":
                db.client.zadd(key, {str(chance.randrange(20)): chance.randrange(100)})
            elif kind == b"string":
                db.client.set(key, chance.randrange(20))
            elif key.endswith("::memo"):
                db.client.hset(key, chance.choice(("age", "city:X", "unique:email:3@x")), "")
            else:
                db.client.persist(key)
        gone = [problem for problem in db.check(Guest).problems if problem.kind == "missing entry"]

        assert db.repair(Guest).ok
        assert db.check(Guest) == Report(ok=True, problems=[])
        assert misfits(db.client, "guest", reckon) == [], (seed, gone)


# ---- what people must decide --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "break_it"),
    [
        ("unindexable value", lambda client: client.hset("guest:1", "age", str(2**60))),
        ("unreadable row", lambda client: client.hset("guest:1", "note", "x") and client.hset("guest:x", "name", "x")),
        ("wrong type", lambda client: client.set("guest:99", "x")),
        ("wrong type", lambda client: client.delete("guest:1:jobs") and client.set("guest:1:jobs", "x")),
        ("duplicate unique value", lambda client: client.hset("guest:1", "email", "2@x")),
    ],
)
def test_what_nobody_can_mend_is_told_and_left_alone(db: Database, kind: str, break_it: Callable[[Any], object]) -> None:
    store(db, guest(1, place=OSLO), guest(2))
    break_it(db.client)

    assert kind in kinds(db.check(Guest))

    mended = db.repair(Guest)
    assert not mended.ok
    assert {problem.kind for problem in mended.problems if not problem.mended} == {kind}
    assert kinds(db.check(Guest)) == {kind}


def test_row_that_does_not_decode_is_told_with_its_reason_beside_rows_that_do(db: Database) -> None:
    store(db, guest(1), guest(2))
    db.client.hset("guest:1", "age", "old")

    problems = {problem.kind: problem for problem in db.check(Guest).problems}

    assert problems["unreadable row"].key == "guest:1"
    assert "'age'" in problems["unreadable row"].detail
    assert db.check(Guest).counts["missing entry"] == 0 if "missing entry" in problems else True


# ---- neighbours ---------------------------------------------------------------------------------------------------------


class Profile(RedisModel, prefix="resident:profile"):
    id: str
    city: str = Field(default="", index=True)
    tags: set[str] = Field(default=set(), index=True)


def test_nested_prefixes_are_told_apart(db: Database) -> None:
    store(db, Resident(id=1, tags={"t"}), *(Profile(id=pk, city="Oslo", tags={"t"}) for pk in ("1", "tags", "memo", "all")))

    assert db.check(Resident).ok
    assert db.check(Profile).ok
    for key in db.client.keys("resident:profile::*"):
        db.client.delete(key)
    db.client.delete("resident:profile:memo")
    assert db.check(Resident).ok
    assert db.repair(Resident).problems == []

    assert kinds(db.check(Profile)) == {"missing entry", "orphan companion"}
    assert db.repair(Profile).ok
    assert db.check(Profile).ok


def test_keys_of_a_longer_prefix_that_nobody_here_knows_are_left_alone(db: Database) -> None:
    store(db, Resident(id=1))
    db.client.hset("resident:account:tags", "id", "tags")
    db.client.hset("resident:account:jobs", "id", "jobs")
    db.client.zadd("resident:account::memo", {"1": 1})
    db.client.sadd("resident:account:1:tags", "x")
    db.client.zadd("resident:account::all", {"1": 1})
    kept = sorted(db.client.keys("resident:account*"))

    assert db.repair(Resident).ok

    assert sorted(db.client.keys("resident:account*")) == kept


def test_namespaces_are_told_apart(db: Database, server_url: str) -> None:
    if server_url.startswith("memory"):
        pytest.skip("one store has one namespace here")
    with Database(server_url, namespace="shop[1]*") as shop:
        store(shop, guest(1))
        store(db, guest(2))
        shop.client.delete("shop[1]*:guest::age")
        assert db.check(Guest).ok
        assert [problem.key for problem in shop.check(Guest).problems] == ["shop[1]*:guest::age"]
        assert shop.repair(Guest).ok
        assert shop.check(Guest).ok


def test_class_of_another_database_is_refused(db: Database) -> None:
    other = Database("memory://")

    class Elsewhere(RedisModel, prefix="elsewhere", database=other):
        id: int

    for verb in ("check", "repair", "reindex", "sweep"):
        with pytest.raises(SessionError, match="database of its own"):
            getattr(db, verb)(Elsewhere)
    assert other.check(Elsewhere).ok


# ---- races --------------------------------------------------------------------------------------------------------------


def test_row_deleted_in_the_middle_of_a_repair_is_not_brought_back(db: Database) -> None:
    store(db, guest(1), guest(2))
    db.client.zrem("guest::age", "1", "2")
    mapper = mapper_of(Guest)

    report = db.run(interrupted(repair(mapper, mapper.keyspace("")), lambda: db.client.delete("guest:1")))

    assert report.ok
    assert not db.client.exists("guest:1")
    db.repair(Guest)
    assert misfits(db.client, "guest", reckon) == []


def test_row_written_in_the_middle_of_a_repair_is_settled_as_it_is_then(db: Database) -> None:
    store(db, guest(1))
    db.client.zadd("guest::city:Lima", {"1": 1})
    mapper = mapper_of(Guest)

    db.run(interrupted(repair(mapper, mapper.keyspace("")), lambda: db.client.hset("guest:1", "city", "Lima")))

    assert db.client.hget("guest:1", "city") == b"Lima"
    db.repair(Guest)
    assert misfits(db.client, "guest", reckon) == []


def test_set_emptied_while_another_writer_adds_to_it_is_empty_and_in_no_index(db: Database) -> None:
    store(db, guest(1, tags={"a"}))
    with Session(db) as session:
        session.get_one(Guest, 1).tags = set()
        with Session(db) as faster:
            faster.get_one(Guest, 1).tags.add("b")
            faster.commit()
        session.commit()

    assert not db.client.exists("guest:1:tags")
    assert db.check(Guest).ok
    assert misfits(db.client, "guest", reckon) == []


# ---- reindex ------------------------------------------------------------------------------------------------------------


class Before(RedisModel, prefix="resident", ttl=500):
    id: int
    name: str = Field(default="", index=True)
    city: str | None = None
    age: str = Field(default="0", index=True)
    email: str | None = None
    tags: set[str] = set()
    jobs: list[str] = Field(default=[], index=True)


@pytest.fixture
def scale(db: Database, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many rows stand for a hundred; on a store in this process, which is slow, ten do, as all that bounds them is a tenth."""
    if "memory://" not in repr(db):
        return 100
    monkeypatch.setattr(settling, "AT_ONCE", settling.AT_ONCE // 10)
    monkeypatch.setattr(checking, "PAGE", checking.PAGE // 10)
    monkeypatch.setattr(report, "EXAMPLES", report.EXAMPLES // 10)
    return 10


@pytest.mark.parametrize("colour", COLOURS)
def test_reindex_builds_what_a_changed_class_declares_and_takes_away_what_it_no_longer_does(
    db: Database, colour: Colour, scale: int
) -> None:
    total = 6 * scale
    rows = [Before(id=pk, name=f"n{pk}", city="Oslo", age=str(pk), email=f"{pk}@x", tags={"t"}, jobs=["j"]) for pk in range(total)]
    store(db, *rows[: total // 2])
    store(db, *rows[total // 2 :], ttl=400)
    told: list[tuple[int, int | None]] = []

    assert not upkeep(db, colour, "check", Resident).ok
    assert upkeep(db, colour, "reindex", Resident, progress=lambda done, of: told.append((done, of))) == total

    assert upkeep(db, colour, "check", Resident) == Report(ok=True, problems=[])
    assert misfits(db.client, "resident", reckon) == []
    assert told[-1] == (total, total)
    assert told == sorted(told, key=lambda one: one[0])


def test_reindex_of_a_class_that_lost_its_indexes_takes_all_of_them_away(db: Database) -> None:
    store(db, *(guest(pk) for pk in range(20)))

    class Bare(RedisModel, prefix="guest"):
        id: int
        tags: set[str] = set()
        jobs: list[str] = []

    assert db.reindex(Bare) == 20

    assert db.check(Bare).ok
    assert db.client.keys("guest::*") == []
    assert db.client.keys("*memo") == []


def test_large_indexes_and_large_reports_are_bounded(db: Database, scale: int) -> None:
    total = 13 * scale
    store(db, *(Resident(id=pk, age=pk % 7) for pk in range(total)))
    db.client.delete("resident::age")
    told: list[tuple[int, int | None]] = []

    found = db.check(Resident, progress=lambda done, of: told.append((done, of)))

    assert len(found.problems) == report.EXAMPLES
    assert found.counts == {"missing entry": total}
    assert told[-1] == (total, total)
    assert all(of is None or done <= of for done, of in told)
    again = db.repair(Resident, progress=lambda done, of: told.append((done, of)))
    assert again.ok
    assert again.counts == {"missing entry": total}
    assert db.check(Resident).ok

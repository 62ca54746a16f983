"""What upkeep asks a server, and what it makes of the answers, without one."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import Problem, Report
from redisorm.commands import Batch, Watch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.flows.checking import check
from redisorm.flows.report import EXAMPLES, Findings, ProblemKind
from redisorm.flows.settling import settle
from redisorm.keys import KeyPart, Keyspace, claim_prefix
from redisorm.mapping.base import mapper_of
from tests.unit.desk import NOW, atomic, look, talk
from tests.zoo.kept import Guest
from tests.zoo.models import User

GUEST = mapper_of(Guest)
GUESTS = GUEST.keyspace("")
TIME = [str(NOW // 1000).encode(), b"0"]
TEXTS = [b"Ann", b"Oslo", b"30", b"a@x", None]
DEADLINE = NOW + 1000


# ---- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("shop:crew:1", KeyPart("row", "1", "")),
        ("shop:crew:a%3Ab", KeyPart("row", "a:b", "")),
        ("shop:crew:%", KeyPart("row", "", "")),
        ("shop:crew:1:tags", KeyPart("companion", "1", "tags")),
        ("shop:crew:1::memo", KeyPart("memo", "1", "")),
        ("shop:crew::all", KeyPart("own", "", "all")),
        ("shop:crew::city:Oslo", KeyPart("own", "", "city:Oslo")),
        ("shop:crew::city:", KeyPart("own", "", "city:")),
        ("shop:crew:1::other", None),
        ("shop:crew:", None),
        ("shop:crew:chief", None),
        ("shop:crew:chief:tags", None),
        ("shop:crew:chief:1", None),
        ("shop:crew:chief::all", None),
        ("shop:crew:chief::memo", None),
        ("shop:crews:1", None),
        ("crew:1", None),
    ],
)
def test_keys_of_a_class_are_told_from_those_of_others(key: str, part: KeyPart | None) -> None:
    claim_prefix("crew:chief")
    assert Keyspace("shop", "crew").part(key) == part


# ---- settling -------------------------------------------------------------------------------------------------------


def test_row_that_is_gone_is_unlisted_by_its_memo_in_one_look_and_one_transaction() -> None:
    memo = [b"city:Oslo", b"", b"age", b"", b"name", b"Ann\x001"]
    driver = ScriptedDriver([[-2, memo], [1, 1, 1, 1, 3]])

    seen = driver.run(settle(GUEST, GUESTS, {"1": ()}))

    assert seen is not None
    assert not seen.sights["1"].there
    assert talk(driver) == [
        Watch(["guest:1", "guest:1::memo"], [("PEXPIRETIME", "guest:1"), ("HGETALL", "guest:1::memo")]),
        atomic(
            ("ZREM", "guest::city:Oslo", "1"),
            ("ZREM", "guest::age", "1"),
            ("ZREM", "guest::name", "Ann\x001"),
            ("ZREM", "guest::all", "1"),
            ("UNLINK", "guest:1::memo", "guest:1:tags", "guest:1:jobs"),
        ),
    ]


def test_unique_key_of_a_row_that_is_gone_is_freed_only_where_it_is_still_its_own() -> None:
    memo = [b"unique:email:a@x", b"", b"unique:email:b@x", b""]
    driver = ScriptedDriver([[-2, memo], [b"1", -1, b"2", -1], [-2, []], [1, 1, 1]])

    driver.run(settle(GUEST, GUESTS, {"1": ()}))

    assert [command for command in driver.commands if command[0] == "UNLINK"] == [
        ("UNLINK", "guest::unique:email:a@x"),
        ("UNLINK", "guest:1::memo", "guest:1:tags", "guest:1:jobs"),
    ]
    assert ("GET", "guest::unique:email:a@x") in driver.commands


def test_row_that_is_there_gets_everything_that_is_its_own_at_its_own_deadline() -> None:
    answers = [
        [DEADLINE, [b"city:Lima", b""]],
        [b"hash", b"set", DEADLINE, b"none", -2],
        [TEXTS, [b"t"]],
        [None, -2, None, -2],
        [1],
    ]
    driver = ScriptedDriver(answers)

    driver.run(settle(GUEST, GUESTS, {"1": {("age", b"old")}}))

    (*_, write) = talk(driver)
    assert write == atomic(
        ("ZREM", "guest::age", b"old"),
        ("ZREM", "guest::city:Lima", "1"),
        ("ZADD", "guest::all", str(DEADLINE), "1"),
        ("ZADD", "guest::name", "0", "Ann\x001"),
        ("ZADD", "guest::city:Oslo", str(DEADLINE), "1"),
        ("ZADD", "guest::age", "30", "1"),
        ("ZADD", "guest::place:", str(DEADLINE), "1"),
        ("ZADD", "guest::tags:t", str(DEADLINE), "1"),
        ("SET", "guest::unique:email:a@x", "1", "PXAT", DEADLINE),
        ("SET", "guest::unique:city+age:Oslo:30", "1", "PXAT", DEADLINE),
        (
            *("HSET", "guest:1::memo", "name", "Ann\x001", "city:Oslo", "", "age", "", "place:", "", "tags:t", ""),
            *("unique:email:a@x", "", "unique:city+age:Oslo:30", ""),
        ),
        ("HDEL", "guest:1::memo", "city:Lima"),
    )


def test_unique_value_that_another_row_has_is_left_to_it() -> None:
    answers = [
        [DEADLINE, []],
        [b"hash", b"none", -2, b"none", -2],
        [[b"", None, b"0", b"a@x", None]],
        [b"2", -1],
        [-1, []],
        [b"hash", b"none", -2, b"none", -2],
        [[b"", None, b"0", b"a@x", None]],
        [1],
    ]
    driver = ScriptedDriver(answers)

    driver.run(settle(GUEST, GUESTS, {"1": ()}))

    driver.done()
    assert not any(command[0] == "SET" for command in driver.commands)


def test_row_that_is_settled_is_watched_with_all_that_it_goes_by() -> None:
    answers = [[DEADLINE, []], [b"hash", b"none", -2, b"none", -2], [TEXTS], [None, -2, None, -2], None]
    driver = ScriptedDriver(answers)

    assert driver.run(settle(GUEST, GUESTS, {"1": ()})) is None

    watched = [key for request in talk(driver) if isinstance(request, Watch) for key in request.keys]
    assert watched == [
        *("guest:1", "guest:1::memo", "guest:1:tags", "guest:1:jobs"),
        *("guest::unique:email:a@x", "guest::unique:city+age:Oslo:30"),
    ]


# ---- checking -------------------------------------------------------------------------------------------------------


def test_check_of_an_empty_database_is_two_round_trips() -> None:
    driver = ScriptedDriver([[0], [[b"0", []]]])

    assert driver.run(check(GUEST, GUESTS)) == Report(ok=True, problems=[])

    assert talk(driver) == [
        look(("ZCARD", "guest::all")),
        look(("SCAN", b"0", "MATCH", "guest:*", "COUNT", 500)),
    ]


def test_check_believes_nothing_that_it_has_not_seen_under_watch() -> None:
    mapper = mapper_of(User)
    told: list[Any] = []
    driver = ScriptedDriver(
        [
            [0],
            [[b"0", [b"user:1"]]],
            [[b"1", b"Ann", *([None] * (len(mapper.fields) - 2))]],
            *([[-1, [b"age", b""]], [b"hash"], [[None], TIME]]),
            *([[-1, []], [b"hash"], [[None], TIME]]),
        ]
    )

    report = driver.run(check(mapper, mapper.keyspace(""), lambda done, total: told.append((done, total))))

    assert report == Report(ok=True, problems=[])
    assert [type(request) for request in talk(driver)[3:]] == [Batch, Batch, Batch, Watch, Batch, Batch]
    assert told == [(1, 1)]


# ---- reporting ------------------------------------------------------------------------------------------------------


def test_report_holds_so_many_problems_of_each_kind_and_counts_the_others() -> None:
    findings = Findings()
    kinds: tuple[ProblemKind, ...] = ("missing entry", "wrong type")
    for kind in kinds:
        findings.add(Problem(kind, f"user:{number}", "") for number in range(EXAMPLES + 5))
    findings.add([Problem("missing entry", "user:1", "")])

    report = findings.report()

    assert len(report.problems) == 2 * EXAMPLES
    assert report.counts == {"missing entry": EXAMPLES + 5, "wrong type": EXAMPLES + 5}


def test_what_is_found_again_is_not_counted_again() -> None:
    findings = Findings()
    findings.add(Problem("missing entry", f"user:{number}", "") for number in range(EXAMPLES + 5))
    findings.again = True
    findings.add(Problem("missing entry", f"user:{number}", "") for number in range(EXAMPLES + 5))
    findings.add([Problem("orphan memo", "user:1::memo", "")])

    assert findings.report().counts == {"missing entry": EXAMPLES + 5, "orphan memo": 1}


def test_repair_is_ok_where_nothing_is_left_for_people() -> None:
    findings = Findings()
    findings.add([Problem("missing entry", "user::all", "")])
    assert findings.report(mended=True) == Report(
        ok=True, problems=[Problem("missing entry", "user::all", "", mended=True)], counts={"missing entry": 1}
    )

    findings.add([Problem("unreadable row", "user:1", "")])
    report = findings.report(mended=True)
    assert not report.ok
    assert [problem.mended for problem in report.problems] == [True, False]

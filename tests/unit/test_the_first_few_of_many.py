"""The first rows of a query whose sets hold thousands: a page does where it has enough, else all is read at once."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import Query
from tests.unit.desk import NOW, Desk, look, session_on, talk
from tests.unit.test_queries_command_by_command import DUE, EVERY, INF, LIVING, MANY, Mortal, U, User, entries, ids, living, load, ran, rows

KEYS = [b"%d" % number for number in range(1001)]
"""What is read of 4,000 rows with their number."""
OSLO = [4000, KEYS]
BY_AGE = [[], 9000, 9000, *OSLO]
"""Oslo has 4,000 of 9,000 rows, all of which have an age."""
TWO = [[], 9000, 4000, MANY[:100], 5000, MANY[:100]]
"""The first condition holds 4,000 of 9,000 rows, the second 5,000."""


def aged(*ages: tuple[int, float]) -> list[Any]:
    return [[b"%d" % pk, age] for pk, age in ages]


def page_by_age(count: int) -> tuple[Any, ...]:
    return ("ZRANGE", "q::age", "-inf", "+inf", "BYSCORE", "LIMIT", 0, count, "WITHSCORES")


def test_few_in_an_order_are_looked_for_in_a_page_of_it() -> None:
    page = aged((7, 20.0), (5, 21.0), (6, 22.0))
    script = [BY_AGE, [page], [[INF, None, INF], [INF, INF, INF]], rows({"id": 7, "city": "Oslo"}, {"id": 6, "city": "Oslo"})]

    found, sent = ran(script, lambda query: query.order_by(U.age).limit(2).all(), U.city == "Oslo")

    assert ids(found) == [7, 6]
    assert sent == [
        look(
            *(DUE, EVERY, ("ZCOUNT", "q::age", "-inf", "+inf"), ("ZCOUNT", "q::city:Oslo", LIVING, "+inf")),
            ("ZRANGE", "q::city:Oslo", LIVING, "+inf", "BYSCORE", "LIMIT", 0, 1001),
        ),
        look(page_by_age(500)),
        look(("ZMSCORE", "q::city:Oslo", b"7", b"5", b"6"), ("ZMSCORE", "q::all", b"7", b"5", b"6")),
        load(7, 6),
    ]


def test_page_is_twice_as_long_as_what_is_wanted_is_thinly_spread() -> None:
    page = aged(*((number, 20.0) for number in range(300)))

    found, sent = ran([BY_AGE, [page], [[INF] * 300, [INF] * 300]], lambda query: query.order_by(U.age).limit(300).pks(), U.city == "Oslo")

    assert len(found) == 300
    assert sent[1] == look(page_by_age(2 * 300 * 9000 // 4000))


def test_rows_that_lie_far_behind_in_an_order_are_all_read_after_one_page() -> None:
    within = ("ZINTER", 2, "q::city:Oslo", "q::age", "AGGREGATE", "MIN", "WITHSCORES")
    script = [BY_AGE, [aged((1, 20.0), (2, 21.0))], [[None, INF], [INF, INF]], [[b"2", b"3"], aged((2, 21.0), (3, 90.0))]]

    found, sent = ran(script, lambda query: query.order_by(U.age).limit(2).pks(), U.city == "Oslo")

    assert found == [2, 3]
    assert sent[1] == look(page_by_age(500))
    assert sent[3] == look(("ZRANGE", "q::city:Oslo", LIVING, "+inf", "BYSCORE", "LIMIT", 0, 10_001), within)


@pytest.mark.parametrize(
    ("ask", "survey"),
    [
        (lambda query: query.order_by(U.age).limit(500).pks(), BY_AGE),  # more than half of them would be walked
        (lambda query: query.order_by(U.age).offset(490).limit(10).pks(), BY_AGE),
        (lambda query: query.order_by(U.age).limit(2).pks(), [[], 9_000_000, 9_000_000, *OSLO]),
    ],
)
def test_what_a_page_would_not_do_is_read_at_once(ask: Any, survey: list[Any]) -> None:
    _, sent = ran([survey, [[], []]], ask, U.city == "Oslo")

    assert [command[0] for command in sent[1].commands] == ["ZRANGE", "ZINTER"]


def test_a_thousand_rows_are_known_at_once_and_asked_for_what_they_are_sorted_by() -> None:
    ages = [50.0 - number for number in range(1000)]

    found, sent = ran([[[], 9000, 9000, 1000, KEYS[:1000]], [ages]], lambda query: query.order_by(U.age).limit(2).pks(), U.city == "Oslo")

    assert found == [999, 998]
    assert sent[1] == look(("ZMSCORE", "q::age", *sorted(KEYS[:1000])))


def test_an_order_that_no_index_keeps_is_made_of_all() -> None:
    found, sent = ran([[[], 9000, *OSLO], [[b"9", b"10"]]], lambda query: query.order_by(User.id).limit(1).pks(), U.city == "Oslo")

    assert found == [9]
    assert sent[1] == look(("ZRANGE", "q::city:Oslo", LIVING, "+inf", "BYSCORE", "LIMIT", 0, 10_001))


def test_few_without_an_order_are_looked_for_in_a_page_of_the_smallest_set() -> None:
    script = [TWO, [entries("1", "2")], [[None, INF]], rows({"id": 2, "city": "Oslo", "email": None})]

    found, sent = ran(script, lambda query: query.limit(1).all(), U.city == "Oslo", U.email == None)  # noqa: E711

    assert ids(found) == [2]
    assert sent[1:3] == [look(living("city:Oslo", 500)), look(("ZMSCORE", "q::email:", b"1", b"2"))]


def test_pages_go_on_where_a_row_of_the_first_is_gone() -> None:
    page = entries(*(f"{number:03}" for number in range(500)))
    script = [
        TWO,
        [page],
        [[INF, *[None] * 499]],
        [*rows({})],
        [0],
        [499, entries("499", "500")],
        [[INF]],
        rows({"id": 500, "city": "Oslo"}),
    ]

    found, sent = ran(script, lambda query: query.limit(1).all(), U.city == "Oslo", U.email == None)  # noqa: E711

    assert ids(found) == [500]
    assert sent[5] == look(("ZRANK", "q::city:Oslo", b"499"), ("ZRANGE", "q::city:Oslo", 499, 999, "WITHSCORES"))


def test_few_of_a_range_without_an_order_are_looked_for_among_all_rows() -> None:
    found, sent = ran([TWO, [entries("1", "2")], [[5.0, 50.0]]], Query.exists, (U.age > 30) | (U.age < 3))

    assert found is True
    assert sent[1] == look(living("all", 500))
    assert sent[2] == look(("ZMSCORE", "q::age", b"1", b"2"))


def test_rows_with_a_life_of_their_own_are_read_at_once_lest_two_pages_have_two_orders() -> None:
    page = [[b"9", float(NOW + 5)], [b"1", INF]]
    script = [TWO, [page], [[INF, INF]], [[b"1", b"9"]]]

    found, sent = ran(script, lambda query: query.limit(1).pks(), U.city == "Oslo", U.email == None)  # noqa: E711

    assert found == [1]
    assert sent[3] == look(("ZINTER", 2, "q::city:Oslo", "q::email:"))


def test_rows_of_a_class_that_expires_are_read_at_once() -> None:
    desk = Desk([TWO[:4], [[b"1"]]], now_ms=NOW)

    assert session_on(desk).find(Mortal, Mortal.city != "x").limit(1).pks() == [1]
    assert talk(desk)[1] == look(("ZDIFF", 2, "m::all", "m::city:x"))

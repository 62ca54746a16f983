"""Queries beside other writers: sets that grow between two looks, stored texts that are no values, and thousands of rows that are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, computed_field

from redisorm import DecodeError, Field, NotIndexedError, QueryError, RedisModel, RedisSet, SessionError, col
from redisorm.commands import Batch, Watch
from redisorm.flows.explaining import shown
from redisorm.flows.living import LiveWrite, guards_of
from redisorm.flows.matching import Matcher, value_of
from redisorm.flows.sources import SMALL
from redisorm.mapping.base import mapper_of
from redisorm.mapping.columns import column_of
from tests.unit.desk import NOW, Desk, look, session_on, talk, texts_of
from tests.unit.test_queries_command_by_command import INF, LIVING, MANY, U, User, living, ran
from tests.zoo.models import Address, Customer

GROWN = [b"%d" % number for number in range(SMALL + 1)]
"""What is read of a set that has become too large meanwhile."""

pks: Callable[[Any], Any] = lambda query: query.pks()  # noqa: E731
by_age: Callable[[Any], Any] = lambda query: query.order_by(User.age).pks()  # noqa: E731

BOTH_ENDS = (U.age < 18) | (U.age > 60)
SURVEY = [[], 9000, 300, MANY[:100], 400, MANY[:100], 500, MANY[:100]]
"""Of a city of 300 people among 9,000, of which 400 are below 18 and 500 above 60."""
WITHIN = ("ZINTER", 2, "q::city:Oslo", "q::age", "AGGREGATE", "MIN", "WITHSCORES")


def test_larger_sets_are_read_as_far_as_they_lie_within_the_smallest() -> None:
    script = [SURVEY, [[b"1", b"2", b"3"], [[b"1", 17.0], [b"2", 40.0], [b"3", 61.0]], [[b"1", 17.0], [b"2", 40.0], [b"3", 61.0]]]]

    found, sent = ran(script, pks, U.city == "Oslo", BOTH_ENDS)

    assert found == [1, 3]
    assert sent[1] == look(("ZRANGE", "q::city:Oslo", LIVING, "+inf", "BYSCORE", "LIMIT", 0, SMALL + 1), WITHIN, WITHIN)


def test_smallest_set_that_has_become_large_is_walked_after_all() -> None:
    scores = [[b"1", 17.0]]
    script = [SURVEY, [GROWN, scores, scores], [[[b"1", INF], [b"2", INF]]], [[17.0, 40.0]]]

    found, sent = ran(script, pks, U.city == "Oslo", BOTH_ENDS)

    assert found == [1]
    assert sent[2:] == [look(living("city:Oslo", SMALL)), look(("ZMSCORE", "q::age", b"1", b"2"))]


OSLO_OR_ROME = [300, MANY[:100], 400, MANY[:100]]


def test_order_of_rows_found_is_asked_of_them_where_its_index_is_large() -> None:
    script = [[[], 90_000, 80_000, *OSLO_OR_ROME], [[b"1"], [b"2"]], [[50.0, 30.0]]]

    found, sent = ran(script, by_age, (U.city == "Oslo") | (U.city == "Rome"))

    assert found == [2, 1]
    assert [command[1] for command in sent[1].commands] == ["q::city:Oslo", "q::city:Rome"]
    assert sent[2] == look(("ZMSCORE", "q::age", b"1", b"2"))


def test_order_whose_index_has_become_large_is_asked_of_the_rows() -> None:
    grown = [[member, 1.0] for member in GROWN]
    script = [[[], 9_000, 800, *OSLO_OR_ROME], [[b"1"], [b"2"], grown], [[50.0, 30.0]]]

    found, sent = ran(script, by_age, (U.city == "Oslo") | (U.city == "Rome"))

    assert found == [2, 1]
    assert sent[1].commands[2] == ("ZRANGE", "q::age", "-inf", "+inf", "BYSCORE", "LIMIT", 0, SMALL + 1, "WITHSCORES")
    assert sent[2] == look(("ZMSCORE", "q::age", b"1", b"2"))


def test_alternative_that_has_become_large_is_walked_to_its_end() -> None:
    cities = [f"c{number}" for number in range(20)]
    survey = [[], 90_000, *[reply for _ in cities for reply in (900, [b"1"] * 100)]]
    looks: list[Any] = [survey, [GROWN, *([[]] * 10)], [[]] * 9, [[[b"20000", INF]]]]

    def answer(request: Batch | Watch) -> Any:
        if looks:
            return looks.pop(0)
        return [[b"c0"] if command[1] in ("q:7", "q:20000") else [b"Rome"] for command in request.commands]

    desk = Desk(answer, now_ms=NOW)
    assert sorted(session_on(desk).find(User, col(User.city).in_(cities)).pks()) == [7, 20000]
    assert talk(desk)[3] == look(living("city:c0", SMALL))


# ---- large sets -----------------------------------------------------------------------------------------------------


def test_rows_of_one_value_of_an_order_are_sorted_by_the_next_wherever_they_come_by() -> None:
    """Two of 20 years, one of 30, and two without an age, who come last and are all alike."""
    page = [[b"1", 20.0], [b"2", 20.0], [b"3", 30.0]]
    script = [
        [[], 90_000, 90_000, 90_000, 30_000, MANY[:100]],
        [page],
        [[INF] * 3, [INF] * 3, [b"Bo"], [b"Al"], [b"Cy"]],
        [[[b"4", INF], [b"5", INF]]],
        [[INF] * 2, [INF] * 2, [b"Zoe"], [b"Yan"]],
    ]

    found, sent = ran(script, lambda query: query.order_by(User.age, User.name).limit(9).pks(), U.city == "Oslo")

    assert found == [2, 1, 3, 5, 4]
    assert sent[2] == look(
        ("ZMSCORE", "q::city:Oslo", b"1", b"2", b"3"),
        ("ZMSCORE", "q::all", b"1", b"2", b"3"),
        *(("HMGET", f"q:{pk}", "name") for pk in (1, 2, 3)),
    )


def test_order_of_a_range_of_its_own_index_goes_through_that_range() -> None:
    survey = [[], 90_000, 90_000, 30_000, MANY[:100], 50_000, MANY[:100]]
    script = [survey, [[[b"1", 30.0], [b"2", 31.0]]], [[None, INF], [INF, INF]]]

    found, sent = ran(script, lambda query: query.order_by(User.age).limit(5).pks(), U.city == "Oslo", U.age >= 30)

    assert found == [2]
    assert sent[1] == look(("ZRANGE", "q::age", "30", "+inf", "BYSCORE", "LIMIT", 0, 500, "WITHSCORES"))


def test_order_by_the_primary_key_is_made_of_all_that_fit() -> None:
    script = [[[], 90_000, 30_000, MANY], [[[b"10", INF], [b"9", INF]]]]

    found, sent = ran(script, lambda query: query.order_by(User.id).pks(), U.city == "Oslo")

    assert found == [9, 10]
    assert sent[1] == look(living("city:Oslo", SMALL))


def test_circle_with_too_many_positions_is_asked_of_all_rows() -> None:
    places = [[b'{"lon":1,"lat":2}'], [b'{"lon":1,"lat":3}']]
    script = [[[], 90_000, GROWN], [[[b"1", INF], [b"2", INF]]], places]

    found, sent = ran(script, pks, col(User.place).within(km=10, lon=1, lat=2))

    assert found == [1]
    assert sent[1:] == [look(living("all", SMALL)), look(("HMGET", "q:1", "place"), ("HMGET", "q:2", "place"))]


def test_text_in_order_is_asked_of_the_rows_that_a_walk_brings() -> None:
    survey = [[], 90_000, 30_000, MANY[:100], 50_000, [b"A\0001"] * 100]
    script = [survey, [[[b"1", INF], [b"2", INF]]], [[b"Al"], [b"Bo"]]]

    found, sent = ran(script, pks, U.city == "Oslo", col(User.name).startswith("A"))

    assert found == [1]
    assert sent[2] == look(("HMGET", "q:1", "name"), ("HMGET", "q:2", "name"))


class Reader(RedisModel, prefix="reader", ttl=60, ttl_refresh="read"):
    id: int
    city: str = Field(default="", index=True)


def test_keys_of_rows_whose_deadlines_reading_moves_are_all_read_before_the_first_row_is() -> None:
    first = [[member, float(NOW + 5)] for member in GROWN]
    last = [first[-1], [b"20000", float(NOW + 6)]]
    desk = Desk([[first], [SMALL, last]], now_ms=NOW)

    found = session_on(desk).find(Reader, city="x").pks()

    assert len(found) == SMALL + 2
    assert [command[0] for request in talk(desk) for command in request.commands] == ["ZRANGE", "ZRANK", "ZRANGE"]


# ---- small sets -----------------------------------------------------------------------------------------------------


def test_order_of_the_rows_within_one_set_is_read_with_it_where_its_index_is_small() -> None:
    survey = [[], 9_000, 800, 300, MANY[:100], 500, MANY[:100]]
    by_name: Callable[[Any], Any] = lambda query: query.order_by(User.name).pks()  # noqa: E731

    found, sent = ran([survey, [[[b"1", 30.0], [b"2", 31.0]], [b"Al\0002", b"Bo\0001"]]], by_name, U.city == "Oslo", U.age >= 30)

    assert found == [2, 1]
    assert sent[1].commands[1] == ("ZRANGE", "q::name", b"-", b"+", "BYLEX", "LIMIT", 0, SMALL + 1)


def test_scores_that_an_intersection_brings_are_the_order_too() -> None:
    survey = [[], 9_000, 800, 300, MANY[:100], 500, MANY[:100]]

    found, sent = ran([survey, [[[b"1", 31.0], [b"2", 30.0]]]], by_age, U.city == "Oslo", U.age >= 30)

    assert found == [2, 1]
    assert len(sent) == 2


def test_rows_without_a_value_are_intersected_as_a_set() -> None:
    script = [SURVEY, [[b"1", b"2", b"3"], [b"1"], [[b"1", 5.0], [b"2", 61.0], [b"3", 5.0]]]]

    found, sent = ran(script, pks, U.city == "Oslo", (U.email == None) | (U.age > 60))  # noqa: E711

    assert found == [1, 2]
    assert sent[1].commands[1] == ("ZINTER", 2, "q::city:Oslo", "q::email:")


def test_condition_that_no_row_can_meet_asks_nothing_though_others_stand_beside_it() -> None:
    assert ran([], pks, U.city == "Oslo", col(User.age).in_([])) == ([], [])


def test_alternatives_of_several_fields_are_counted_by_what_they_hold() -> None:
    script = [[[], 9_000, 2, [b"1", b"2"], 1, [b"2"]]]

    assert ran(script, lambda query: query.count(), (U.city == "Oslo") | (U.age == 3))[0] == 2


# ---- rows that are due ----------------------------------------------------------------------------------------------


def due_by_thousands(request: Batch | Watch) -> Any:
    """Answers as a server that has two people of 30 and more, of whom the second is due as a thousand others are, which no sweep finds."""
    answers: dict[str, Any] = {"ZCOUNT": 2, "PEXPIRETIME": NOW + 5, "HGETALL": [], "TYPE": b"none", "ZREM": 1}

    def one(name: Any, *words: Any) -> Any:
        if name == "ZRANGE":
            return [b"%d" % number for number in range(2, 1003)] if words[0] == "q::all" else [[b"1", 30.0], [b"2", 31.0]]
        if name == "ZMSCORE":
            return [INF if member == b"1" else float(NOW - 1) for member in words[1:]]
        return answers.get(name, 0)

    return [one(*command) for command in request.commands]


@pytest.mark.parametrize(("ask", "answer"), [(pks, [1]), (lambda query: query.count(), 1)])
def test_where_thousands_are_due_each_row_is_asked_for_its_deadline(ask: Callable[[Any], Any], answer: object) -> None:
    desk = Desk(due_by_thousands, now_ms=NOW)
    assert ask(session_on(desk).find(User, U.age >= 30)) == answer
    assert look(("ZMSCORE", "q::all", b"1", b"2")) in talk(desk)


# ---- what is stored is no value -------------------------------------------------------------------------------------


class Sorted(RedisModel, prefix="sorted"):
    id: int
    age: int = Field(default=0, index=True)
    numbers: list[int] = Field(default=[], index=True)


@pytest.mark.parametrize("text", [b"old", b"\xff", b""])
def test_stored_text_that_is_no_value_is_in_no_range_and_equal_to_none(text: bytes) -> None:
    for condition, fits_zero in ((col(Sorted.age) >= 0, True), (col(Sorted.age) < 0, False), (col(Sorted.age) == 0, True)):
        matcher: Matcher[Any] = Matcher(mapper_of(Sorted), condition)
        assert matcher.fits_stored("1", {"age": b"0"}) is fits_zero
        assert matcher.fits_stored("1", {"age": text}) is False


def test_absent_field_is_its_default_and_a_stored_null_is_none() -> None:
    class Defaulted(RedisModel, prefix="defaulted"):
        id: int
        five: int | None = Field(default=5, index=True)

    five, none = (
        Matcher[Any](mapper_of(Defaulted), col(Defaulted.five) == 5),
        Matcher[Any](mapper_of(Defaulted), col(Defaulted.five).is_(None)),
    )
    assert [(five.fits_stored("1", {"five": text}), none.fits_stored("1", {"five": text})) for text in (None, b"5", b"null")] == [
        (True, False),
        (True, False),
        (False, True),
    ]


class Fitting(RedisModel, prefix="fitting"):
    id: int
    age: int | None = Field(default=None, index=True)
    ratio: float = Field(default=0.0, index=True)
    city: str | None = Field(default=None, index=True)
    name: str = Field(default="", index="lex")
    flag: bool = Field(default=False, index=True)
    numbers: list[int] = Field(default=[], index=True)


F = Fitting
CONDITIONS = [
    None,
    col(F.age) == 1,
    col(F.age).in_([1, 2, None]),
    col(F.age).is_(None),
    col(F.age) != 1,
    col(F.age) < 2,
    col(F.age) <= 2,
    col(F.age) > 1,
    col(F.age) >= 1,
    col(F.age).between(1, 2),
    col(F.ratio).between(-1.0, 1.0),
    col(F.ratio) >= 0.0,
    F.city == "Oslo",
    col(F.city).in_(["Oslo", "Lima"]),
    col(F.name).startswith("A"),
    F.flag == True,  # noqa: E712 - of a field
    col(F.numbers).contains(1),
    (col(F.age) >= 1) & (F.city == "Oslo"),
    (col(F.age) >= 1) | (F.city == "Oslo"),
    F.id == 1,
]
ROWS: list[dict[str, Any]] = [
    {},
    {"age": 1, "city": "Oslo", "name": "Ann", "flag": True, "numbers": [1]},
    {"age": 2, "city": "Lima", "name": "Bo", "ratio": 2.0},
    {"age": 3, "city": "Oslo", "name": "A", "ratio": float("nan")},
    {"age": 0, "ratio": -1.0},
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=repr)
@pytest.mark.parametrize("rows", [*([row] for row in ROWS), [ROWS[1], ROWS[3]], [ROWS[1], ROWS[2]], ROWS, []])
def test_of_many_objects_those_fit_that_would_fit_alone(condition: Any, rows: list[dict[str, Any]]) -> None:
    matcher: Matcher[Any] = Matcher(mapper_of(Fitting), condition)
    objects = [Fitting(id=place, **row) for place, row in enumerate(rows, 1)]
    assert list(map(id, matcher.fitting(objects))) == [id(one) for one in objects if matcher.fits(one)]


def test_field_of_a_nested_model_that_is_not_there_is_none() -> None:
    assert value_of(Customer(id=1), "address.city") is None
    assert value_of(Customer(id=1, home=Address(city="Oslo")), "home.city") == "Oslo"


def test_elements_that_are_no_values_are_passed_over() -> None:
    matcher: Matcher[Any] = Matcher(mapper_of(Sorted), col(Sorted.numbers).contains(7))
    assert matcher.fits_stored("1", {"numbers": [b"x", b"\xff", b"07"]}) is True
    assert matcher.fits_stored("1", {"numbers": [b"x", b"8"]}) is False


def test_row_with_a_unique_value_that_cannot_be_read_is_told() -> None:
    desk = Desk([[b"5"], [texts_of(User, {"id": 5, "email": "a@x", "age": "old"})]])
    with pytest.raises(DecodeError, match="q:5"):
        session_on(desk).get_by(User, email="a@x")


def test_pairs_of_the_older_protocol_are_read_too() -> None:
    assert ran([[[b"7", b"inf", b"8", b"inf"]]], pks, U.city == "Oslo")[0] == [7, 8]


def test_query_for_no_rows_asks_for_none() -> None:
    assert ran([], lambda query: query.limit(0).pks(), U.city == "Oslo") == ([], [])
    assert ran([], lambda query: query.limit(0).exists(), U.city == "Oslo") == (False, [])


def test_commands_that_are_alike_are_shown_once_with_their_number() -> None:
    alike = [("EXISTS", f"q:{pk}") for pk in range(5)]
    assert shown([alike, [("GET", "a b"), ("SET", "x", b"\xff")]], 2).splitlines() == [
        " 1  EXISTS q:0",
        "    … and 4 more like it",
        " 2  GET 'a b'",
        "    SET x \\xff",
        "    … and the same for 2 more rows",
    ]


# ---- columns --------------------------------------------------------------------------------------------------------


class Scored(RedisModel, prefix="scored"):
    id: int
    name: str = ""
    fans: RedisSet[int] = Field(init=False)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> Annotated[int, Field(index=True)]:
        return len(self.name)


S: Any = Scored


def test_computed_field_is_compared_on_its_class_and_read_on_an_object() -> None:
    assert Scored(id=1, name="Ann").length == 3
    conditions = [S.length == 3, S.length != 3, S.length < 3, S.length <= 3, S.length > 3, S.length >= 3]
    assert [repr(one) for one in conditions] == [repr(compare) for compare in _compared(col(S.length))]
    assert {S.length: "hashable"}[S.length] == "hashable"
    assert repr(S.length.between(1, 5)) == repr(col(S.length).between(1, 5))
    with pytest.raises(AttributeError, match="_nothing"):
        S.length._nothing  # noqa: B018


def _compared(column: Any) -> list[Any]:
    return [column == 3, column != 3, column < 3, column <= 3, column > 3, column >= 3]


def test_condition_on_what_is_not_stored_with_the_row_says_so() -> None:
    with pytest.raises(NotIndexedError, match=r"Scored\.fans .*it is not stored with the row"):
        column_of(Scored, "fans", mapper_of).is_(None)


class Street(BaseModel):
    city: str = Field(default="", index=True)


class Box(BaseModel):
    number: int = 0


class Mailed(RedisModel, prefix="mailed"):
    id: int
    to: Street = Street()


class Boxed(Mailed, prefix="boxed"):
    to: Box = Box()  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]


def test_condition_on_a_base_asks_no_more_than_its_derived_class_stores() -> None:
    with pytest.raises(NotIndexedError, match=r"Boxed\.to\.city has no index that answers '==': it is not stored with the row"):
        Boxed.find(col(Mailed.to).city == "Oslo")


def test_live_structure_is_no_column_and_is_not_assigned_past_pydantic() -> None:
    with pytest.raises(QueryError):
        Scored.find(fans=1)
    with pytest.raises(SessionError, match=r"Scored\.fans is a live structure and cannot be assigned"):
        object.__setattr__(Scored(id=1), "fans", {1})


def test_nothing_is_taken_for_granted_of_what_a_structure_is_written_beside() -> None:
    """Whether the row lives, and for how long, and whether a counter is a number: a look must tell."""
    lives = [LiveWrite(Scored, "scored:1", "scored:1:hits", "string", [("INCRBY", "scored:1:hits", 1)], renews=True)]
    assert [(type(guard).__name__, guard.wanted) for guard in guards_of(lives, [])] == [
        ("LiveRow", None),
        ("KeyType", None),
        ("Countable", None),
    ]

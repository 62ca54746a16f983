"""A live structure does what the Python container of the same content does, results and errors included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redisorm import Database, RedisDict, RedisList, RedisSet, RedisSortedSet, SortedSet
from tests.servers import Server

NUMBERS = st.integers(-5, 5)
PLACES = st.integers(-7, 7)
ENDS = st.none() | PLACES
STEPS = st.sampled_from([None, 1, 2, 3, -1, -2])
SLICES = st.builds(slice, ENDS, ENDS, STEPS)
ITEMS = st.lists(NUMBERS, max_size=6)

LIST_CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), NUMBERS),
        st.tuples(st.just("extend"), ITEMS),
        st.tuples(st.just("insert"), PLACES, NUMBERS),
        st.tuples(st.sampled_from(["pop", "__getitem__", "__delitem__"]), PLACES),
        st.tuples(st.sampled_from(["pop", "reverse", "sort", "clear"])),
        st.tuples(st.sampled_from(["remove", "index", "count", "__contains__"]), NUMBERS),
        st.tuples(st.just("index"), NUMBERS, PLACES, PLACES),
        st.tuples(st.just("__setitem__"), PLACES, NUMBERS),
        st.tuples(st.sampled_from(["__getitem__", "__delitem__"]), SLICES),
        st.tuples(st.just("__setitem__"), SLICES, ITEMS),
    ),
    max_size=12,
)
SETS = st.sets(NUMBERS, max_size=5)
SET_CALLS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["remove", "__contains__"]), NUMBERS),
        st.tuples(
            st.sampled_from(
                [
                    *("intersection", "union", "difference", "symmetric_difference", "isdisjoint", "issubset", "issuperset"),
                    *("intersection_update", "difference_update", "symmetric_difference_update"),
                    *("__and__", "__or__", "__sub__", "__xor__", "__le__", "__lt__", "__ge__", "__gt__", "__eq__"),
                ]
            ),
            SETS,
        ),
        st.tuples(st.sampled_from(["__iand__", "__ior__", "__isub__", "__ixor__"]), SETS),
    ),
    max_size=10,
)
KEYS = st.text("abc", min_size=1, max_size=2)
DICT_CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("__setitem__"), KEYS, NUMBERS),
        st.tuples(st.sampled_from(["__getitem__", "__delitem__", "pop", "get", "__contains__"]), KEYS),
        st.tuples(st.sampled_from(["pop", "get", "setdefault"]), KEYS, NUMBERS),
        st.tuples(st.just("update"), st.dictionaries(KEYS, NUMBERS, max_size=3)),
        st.tuples(st.just("__eq__"), st.dictionaries(KEYS, NUMBERS, max_size=3)),
    ),
    max_size=12,
)
SCORED_CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("__setitem__"), KEYS, st.floats(-3, 3)),
        st.tuples(st.sampled_from(["__getitem__", "__delitem__", "pop", "get", "rank", "__contains__"]), KEYS),
        st.tuples(st.sampled_from(["top", "bottom"]), st.integers(-1, 4)),
        st.tuples(st.just("between"), st.floats(-3, 3), st.floats(-3, 3)),
        st.tuples(st.just("popitem")),
        st.tuples(st.just("update"), st.dictionaries(KEYS, st.floats(-3, 3), max_size=3)),
    ),
    max_size=12,
)
_numbers = count()


@pytest.fixture(scope="module", params=["memory", "redis7"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    server: Server | None = request.getfixturevalue(request.param) if request.param != "memory" else None
    with Database("memory://" if server is None else server.url, namespace="property") as database:
        yield database


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the error it raises, in a form that can be compared."""
    try:
        found = call(*arguments)
    except (IndexError, KeyError, ValueError) as error:
        return type(error)
    return found


def compare(ours: Any, theirs: Any, calls: list[tuple[Any, ...]], silent: frozenset[str] = frozenset()) -> None:
    """Let both do the same. A call that is `silent` tells more here than in Python."""
    for name, *arguments in calls:
        mine, other = outcome(getattr(ours, name), *arguments), outcome(getattr(theirs, name), *arguments)
        if name not in silent and not name.startswith("__i"):
            assert mine == other, (name, arguments)
        assert ours == theirs, (name, arguments)


@settings(max_examples=150, deadline=None)
@given(ITEMS, LIST_CALLS)
def test_list_does_what_a_list_does(db: Database, items: list[int], calls: list[tuple[Any, ...]]) -> None:
    ours = RedisList[int](f"list:{next(_numbers)}", db=db)
    ours.extend(items)
    theirs = list(items)
    compare(ours, theirs, calls)
    assert list(ours) == theirs
    assert list(reversed(ours)) == theirs[::-1]
    assert len(ours) == len(theirs)


@settings(max_examples=150, deadline=None)
@given(SETS, SET_CALLS, st.booleans())
def test_set_does_what_a_set_does(db: Database, members: set[int], calls: list[tuple[Any, ...]], live: bool) -> None:
    ours = RedisSet[int](f"set:{next(_numbers)}", db=db)
    ours.update(members)
    theirs = set(members)
    for name, argument in calls:
        other: Any = argument
        if live and isinstance(argument, set):  # the same with both at the server
            other = RedisSet[int](f"set:{next(_numbers)}", db=db)
            other.update(argument)
        mine, wanted = outcome(getattr(ours, name), other), outcome(getattr(theirs, name), argument)
        assert name.startswith("__i") or mine == wanted, (name, argument)
        assert ours == theirs, (name, argument)
    assert Counter(ours) == Counter(theirs)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, NUMBERS, max_size=4), DICT_CALLS)
def test_dict_does_what_a_dict_does(db: Database, entries: dict[str, int], calls: list[tuple[Any, ...]]) -> None:
    ours = RedisDict[str, int](f"dict:{next(_numbers)}", db=db)
    ours.update(entries)
    theirs = dict(entries)
    compare(ours, theirs, calls)
    assert sorted(ours.items()) == sorted(theirs.items())
    assert sorted(ours.values()) == sorted(theirs.values())
    assert set(ours) == ours.keys() == theirs.keys()


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, st.floats(-3, 3), max_size=4), SCORED_CALLS)
def test_sorted_set_does_what_that_of_a_model_does(db: Database, scores: dict[str, float], calls: list[tuple[Any, ...]]) -> None:
    ours = RedisSortedSet[str](f"scores:{next(_numbers)}", db=db)
    ours.update(scores)
    theirs = SortedSet(scores)
    compare(ours, theirs, calls)
    assert list(ours.items()) == list(theirs.items())
    assert list(reversed(ours)) == list(reversed(theirs))

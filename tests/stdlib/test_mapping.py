"""CPython's tests of mappings, `test.mapping_tests`, on `RedisDict`, and on `RedisSortedSet` where its values may be scores."""

from __future__ import annotations

from typing import Any

import pytest

from redisorm import Database, RedisDict, RedisSortedSet
from tests.stdlib.suites import fresh, run, suite, unmeant

NOT_TEXT = "its keys are objects that no text can stand for"
AS_JSON = "tuples are JSON arrays, which come back as lists"
NO_ORDER = "a hash has no order of insertion"
UNMEANT = {
    "test_copy": "copy() is a plain dict: a handle would need a key of its own",
    "test_fromkeys": "a handle needs a key, so no class method can make one",
    "test_popitem": NO_ORDER,
    "test_setdefault": "what is set is a copy, so that changing it in place changes nothing stored",
    "test_update": AS_JSON,
    "test_write": AS_JSON,
}
HASHED = {
    "test_eq": NOT_TEXT,
    "test_getitem": NOT_TEXT,
    "test_pop": NOT_TEXT,
    "test_repr": "repr() sends nothing, so it shows the key and not the entries",
    "test_repr_deep": NOT_TEXT,
}


class Fresh(RedisDict[Any, Any]):
    """A dict with content of its own."""

    on: Database

    def __init__(self, *entries: Any, **named: Any) -> None:
        super().__init__(fresh("dict"), db=self.on)
        if entries or named:
            self.update(*entries, **named)


class FreshScores(RedisSortedSet[str]):
    """A sorted set with content of its own."""

    on: Database

    def __init__(self, *entries: Any, **named: Any) -> None:
        super().__init__(fresh("scores"), db=self.on)
        if entries or named:
            self.update(*entries, **named)


def scores(_: Any) -> dict[str, float]:
    return {"1": 2.0, "key1": 3.5, "key2": 7.0}


@pytest.mark.parametrize(
    ("cases", "name"),
    [
        *unmeant(suite("mapping_tests", "TestMappingProtocol", type2test=Fresh), UNMEANT),
        *unmeant(suite("mapping_tests", "TestHashMappingProtocol", type2test=Fresh), {**UNMEANT, **HASHED}),
    ],
)
def test_cpythons_case(db: Database, cases: Any, name: str) -> None:
    Fresh.on = db
    run(cases, name)


@pytest.mark.parametrize(
    ("cases", "name"), unmeant(suite("mapping_tests", "BasicTestMappingProtocol", type2test=FreshScores, _reference=scores), {})
)
def test_cpythons_case_with_scores(db: Database, cases: Any, name: str) -> None:
    FreshScores.on = db
    run(cases, name)

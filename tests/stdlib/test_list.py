"""CPython's tests of lists, `test.list_tests`, on `RedisList`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from redisorm import Database, RedisList
from tests.stdlib.suites import fresh, run, suite, unmeant

NOT_TEXT = "its items are objects that no text can stand for"
BY_TEXT = "an item is looked for by its text, never by the == of an object that equals everything"
UNMEANT = {
    "test_contains_fake": BY_TEXT,
    "test_contains_order": NOT_TEXT,
    "test_count": BY_TEXT,
    "test_extend": "the items are gathered first, which list() itself refuses for this length hint",
    "test_index": BY_TEXT,
    "test_pickle": "what is pickled is the handle, and its database holds sockets",
    "test_remove": BY_TEXT,
    "test_repr": "repr() sends nothing, so it shows the key and not the items",
    "test_repr_deep": NOT_TEXT,
    "test_sort": "a comparison that changes the list is another writer, who is waited for",
}


class Fresh(RedisList[Any]):
    """A list with content of its own."""

    on: Database

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(fresh("list"), db=self.on)
        self.extend(items)


@pytest.mark.parametrize(
    ("cases", "name"), unmeant(suite("list_tests", "CommonTest", type2test=Fresh), UNMEANT, never_run=frozenset({"test_sort"}))
)
def test_cpythons_case(db: Database, cases: Any, name: str) -> None:
    Fresh.on = db
    run(cases, name)

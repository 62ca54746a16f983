"""CPython's tests of sets, `test.test_set`, on `RedisSet`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from redisorm import Database, RedisSet
from tests.stdlib.suites import fresh, run, suite, unmeant

NOT_TEXT = "its members are objects that no text can stand for"
PICKLED = "what is pickled is the handle, and its database holds sockets"
UNMEANT = {
    "test_badcmp": NOT_TEXT,
    "test_cyclical_repr": NOT_TEXT,
    "test_deepcopy": NOT_TEXT,
    "test_do_not_rehash_dict_keys": "members are kept by their texts, and hashed here only to refuse what no set may hold",
    "test_iterator_pickling": "an iterator of batches from a server cannot be pickled",
    "test_pickling": PICKLED,
    "test_update": "update() tells how many are new",
}


class Fresh(RedisSet[Any]):
    """A set with content of its own."""

    on: Database

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(fresh("set"), db=self.on)
        self.update(items)


@pytest.mark.parametrize(("cases", "name"), unmeant(suite("test_set", "TestSet", thetype=Fresh, basetype=set), UNMEANT))
def test_cpythons_case(db: Database, cases: Any, name: str) -> None:
    Fresh.on = db
    run(cases, name)

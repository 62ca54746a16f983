"""What integration tests share: the colours of handles and of drivers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redisorm import Database
from tests.integration.handles import Colour
from tests.integration.performing import Perform, awaiting, blocking


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest, db: Database) -> Iterator[Colour]:
    """Handles of each colour, as if they were blocking, on each kind of server."""
    chosen = Colour(db, request.param)
    yield chosen
    chosen.close()


@pytest.fixture(params=[blocking, awaiting])
def perform(request: pytest.FixtureRequest) -> Perform:
    """The driver of each colour."""
    chosen: Perform = request.param
    return chosen


@pytest.fixture(params=["as they arrived", "one by one"])
def replies_read(request: pytest.FixtureRequest) -> None:
    """Both ways in which a driver reads what has come in."""
    if request.param == "one by one":
        request.getfixturevalue("read_by_redis_py")

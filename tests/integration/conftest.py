"""What integration tests share: a colour of handles on each kind of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redisorm import Database
from tests.integration.handles import Colour


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest, db: Database) -> Iterator[Colour]:
    """Handles of each colour, as if they were blocking, on each kind of server."""
    chosen = Colour(db, request.param)
    yield chosen
    chosen.close()

"""The fixtures of tests that let things go wrong: both colours in turn, and databases opened in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from redisorm import Database
from tests.faults.colours import COLOURS, Colour, Open
from tests.faults.users import USERS, allow_all
from tests.servers import Server


@pytest.fixture(params=COLOURS, ids=[colour.name for colour in COLOURS])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Both faces in turn."""
    chosen = request.param()
    yield chosen
    chosen.close()


@pytest.fixture
def opened(colour: Colour) -> Iterator[Open]:
    """Open databases that end with the test: `opened(url, timeout=1)`."""
    with ExitStack() as stack:

        def opening(url: str, **options: Any) -> Database:
            return stack.enter_context(colour.open(url, **options))

        yield opening


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest, server: Server) -> str:
    """A user who commits by script, and one who may not and commits by WATCH."""
    allow_all(server)
    return str(request.param)

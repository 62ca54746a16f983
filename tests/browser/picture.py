"""Take the picture of the order service that the docs show: `python -m tests.browser.picture docs/img/orders.png`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.browser.page import Page, chromium
from tests.browser.service import Service

LARGEST = 150_000


def main(picture: str) -> None:
    """Let people order, and take the picture while the last order waits to be billed."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser, Service("--billing", "1.5") as service:
        page = Page(browser, service.url)
        for sku, quantity in (("kettle", 1), ("book", 12), ("chair", 2), ("lamp", 1), ("kettle", 2), ("lamp", 18)):
            service.order(sku, quantity)
        page.until(lambda: page.text("#billed"), "6", within_s=20)
        page.order("book", 5)
        page.until(lambda: page.rows()[0][-1], "placed")
        time.sleep(1)  # everything that moves has come to rest
        browser.save_screenshot(picture)
    size = os.path.getsize(picture)
    assert size < LARGEST, f"{picture} has {size} bytes"


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A headless Chromium, and what stands on the page of the order service in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["BrowserMissingError", "Page", "chromium"]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,750",
)


class BrowserMissingError(RuntimeError):
    """There is no Chromium on this machine; the message says what to install."""


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Run a headless Chromium whose profile is a new empty folder.

    Raises:
        BrowserMissingError: It is not on this machine, or its driver is not.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        raise BrowserMissingError("no browser: apt-get install chromium chromium-driver (both on PATH)")
    from selenium import webdriver
    from selenium.webdriver.chrome import service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, service.Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


class Page:
    """What stands on the page."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)
        self.until(lambda: self.text("#live"), "live")

    def text(self, selector: str) -> Any:
        return self.browser.execute_script("return document.querySelector(arguments[0])?.innerText", selector)

    def rows(self) -> Any:
        script = "return [...document.querySelectorAll('#recent tr')].map(row => [...row.cells].slice(1).map(cell => cell.innerText))"
        return self.browser.execute_script(script)

    def tiles(self) -> dict[str, Any]:
        return {name: self.text(f"#{name}") for name in ("orders", "waiting", "billed", "revenue")}

    def until(self, look: Callable[[], Any], wanted: Any, within_s: float = 10) -> None:
        """Wait until the page shows something."""
        deadline = time.monotonic() + within_s
        while look() != wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        assert look() == wanted

    def order(self, sku: str, quantity: int) -> None:
        """Place an order as people do."""
        item = self.browser.find_element("css selector", f"[data-sku={sku}]")
        field = item.find_element("name", "quantity")
        field.clear()
        field.send_keys(str(quantity))
        item.find_element("tag name", "button").click()

    def click_often(self, sku: str, times: int) -> None:
        """Order faster than people do, and note all that the page answers."""
        script = """
            window.answers = []
            const answer = document.querySelector('#answer')
            new MutationObserver(() => window.answers.push(answer.innerText)).observe(answer, {childList: true})
            for (let n = 0; n < arguments[1]; n++) document.querySelector(`[data-sku=${arguments[0]}] button`).click()
        """
        self.browser.execute_script(script, sku, times)
        self.until(lambda: len(self.answers()), times)

    def answers(self) -> Any:
        return self.browser.execute_script("return window.answers")

    def sources(self) -> Any:
        """What the page has loaded."""
        script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
        return self.browser.execute_script(script)

    def complaints(self) -> list[str]:
        """What the browser has to say against the page."""
        browser: Any = self.browser
        return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]

"""The order service as people meet it: a page in a real browser, and one process that ends when it is told to."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.browser.page import Page
from tests.browser.service import Service

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def test_order_placed_in_the_page_is_seen_on_the_dashboard_first_placed_and_then_billed(browser: Chrome, service: Service) -> None:
    page = Page(browser, service.url)
    assert page.tiles() == {"orders": "0", "waiting": "0", "billed": "0", "revenue": "0.00 €"}
    assert page.text("[data-sku=lamp] .stock span") == "24 in stock"
    page.order("lamp", 3)
    page.until(page.rows, [["Desk lamp", "3", "144.00 €", "placed"]])
    page.until(page.tiles, {"orders": "1", "waiting": "1", "billed": "0", "revenue": "0.00 €"})
    page.until(page.rows, [["Desk lamp", "3", "144.00 €", "billed"]])
    page.until(page.tiles, {"orders": "1", "waiting": "0", "billed": "1", "revenue": "144.00 €"})
    page.until(lambda: page.text("[data-sku=lamp] .stock span"), "21 in stock")
    assert page.text("#answer").startswith("Thank you: 3 × Desk lamp, order ")
    assert page.complaints() == []


def test_dashboard_follows_what_others_order_and_begins_with_what_was_before(browser: Chrome, service: Service) -> None:
    service.order("book", 2)
    page = Page(browser, service.url)
    page.until(page.rows, [["Notebook", "2", "19.80 €", "billed"]])
    service.order("chair", 1)
    page.until(page.rows, [["Oak chair", "1", "129.00 €", "billed"], ["Notebook", "2", "19.80 €", "billed"]])
    page.until(page.tiles, {"orders": "2", "waiting": "0", "billed": "2", "revenue": "148.80 €"})
    page.until(lambda: page.text("[data-sku=chair] .stock span"), "11 in stock")


def test_page_says_why_an_order_was_refused(browser: Chrome, service: Service) -> None:
    page = Page(browser, service.url)
    page.order("chair", 13)
    page.until(lambda: page.text("#answer"), "Sorry, Oak chair: 12 left.")
    page.click_often("book", 30)
    page.until(lambda: "Too many orders at once: try again in 1 s." in page.answers(), True)
    assert 9 <= len([answer for answer in page.answers() if answer.startswith("Thank you: 1 × Notebook")]) < 30


def test_page_needs_nothing_from_elsewhere(browser: Chrome, service: Service) -> None:
    page = Page(browser, service.url)
    page.until(
        lambda: {"/style.css", "/page.js", "/lamp.svg", "/api/summary"} <= {urlsplit(source).path for source in page.sources()}, True
    )
    assert {urlsplit(source).netloc for source in page.sources()} == {urlsplit(service.url).netloc}


def test_service_ends_when_it_is_told_to_though_somebody_follows_the_news(service: Service) -> None:
    where = urlsplit(service.url)
    listener = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    listener.request("GET", "/api/news")
    news = listener.getresponse()
    assert news.readline() == b"event: subscribed\n"
    began = time.monotonic()
    status = service.end()
    assert time.monotonic() - began < 5
    assert status in (0, -15)
    assert news.read().endswith(b"\n\n")
    listener.close()

"""The shop of `examples/orders` on every server: stock, orders, invoices and cached pages are right however many buy at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from examples.orders.app import create_app
from examples.orders.models import Invoice, Order, OrderNews, OrderPlaced, Product, Sales
from examples.orders.shop import OutOfStock, Shop
from redisorm import AsyncSession, AsyncStream, Backlog, Database, Limit


@asynccontextmanager
async def opened(db: Database, limit: Limit | None = None) -> AsyncIterator[Shop]:
    shop = Shop(db, limit or Limit(1000, per=1))
    await shop.open()
    yield shop
    await db.aclose()


async def rows(db: Database) -> tuple[int, int, int, Sales]:
    """How many lamps are left, how many orders and invoices there are, and the counters."""
    async with AsyncSession(db) as session:
        lamp, sales = await session.get_one(Product, "lamp"), await session.get_one(Sales, "all")
        return lamp.stock, len(await session.find(Order).all()), len(await session.find(Invoice).all()), sales


def test_stock_is_sold_to_the_last_piece_and_no_further_and_each_order_is_billed_once(db: Database) -> None:
    async def main() -> None:
        async with opened(db) as shop:
            sold = await asyncio.gather(*(shop.place("lamp", 2) for _ in range(20)), return_exceptions=True)
            placed = [order for order in sold if isinstance(order, Order)]
            assert len(placed) == 12
            assert {type(other) for other in sold if not isinstance(other, Order)} == {OutOfStock}
            assert await rows(db) == (0, 12, 0, Sales(orders=12))
            assert {entry.event.order_id for entry in await AsyncStream(db, OrderPlaced).read()} == {order.id for order in placed}
            await shop.worker.run(once=True)
            assert await rows(db) == (0, 12, 12, Sales(orders=12, billed=12, revenue=12 * 2 * 48_00))
            assert await shop.worker.backlog() == Backlog(0, 0, 0.0, 0, 0)
            summary = await shop.summary()
            assert (summary.waiting, {order.status for order in summary.recent}) == (0, {"billed"})

    asyncio.run(main())


def test_order_that_is_refused_leaves_nothing(db: Database) -> None:
    async def main() -> None:
        async with opened(db) as shop, shop.news.subscribe() as feed:
            with pytest.raises(OutOfStock, match=r"^Desk lamp: 24 left$"):
                await shop.place("lamp", 25)
            assert await rows(db) == (24, 0, 0, Sales())
            assert await AsyncStream(db, OrderPlaced).read() == []
            assert await feed.get(timeout=0.2) is None

    asyncio.run(main())


def test_cached_page_is_made_once_and_anew_after_an_order(db: Database) -> None:
    async def main() -> None:
        async with opened(db) as shop:
            before = await shop.product_page("lamp")
            assert await shop.product_page("lamp") == before
            other = await shop.product_page("book")
            await shop.place("lamp", 4)
            after = await shop.product_page("lamp")
            assert (after.stock, after.made_at > before.made_at) == (20, True)
            assert await shop.product_page("book") == other

    asyncio.run(main())


def test_news_are_told_when_an_order_is_placed_and_when_it_is_billed(db: Database) -> None:
    async def main() -> None:
        async with opened(db) as shop, shop.news.subscribe() as feed:
            order = await shop.place("chair", 1)
            await shop.worker.run(once=True)
            said = {"order_id": order.id, "sku": "chair", "name": "Oak chair", "quantity": 1, "total": 129_00}
            for status in ("placed", "billed"):
                assert await feed.get(timeout=2) == OrderNews.model_validate({"status": status, **said})

    asyncio.run(main())


def test_shops_that_open_at_once_fill_the_shelves_once(db: Database) -> None:
    async def main() -> None:
        async with opened(db) as shop:
            await shop.place("lamp", 1)
            await asyncio.gather(*(Shop(db, Limit(1, per=1)).open() for _ in range(5)))
            assert (await rows(db))[0] == 23

    asyncio.run(main())


def test_orders_over_the_limit_are_answered_with_429_and_the_standard_headers(db: Database) -> None:
    httpx = pytest.importorskip("httpx", reason='pip install "redisorm[test]"')

    async def main() -> list[Any]:
        async with opened(db, Limit(2, per=60)) as shop:
            app = create_app(shop, lambda: False)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
                return [await client.post("/api/orders", json={"sku": sku}) for sku in ("lamp", "nothing", "lamp")]

    placed, unknown, refused = asyncio.run(main())
    assert (placed.status_code, placed.json()["status"], placed.headers["ratelimit-remaining"]) == (201, "placed", "1")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "there is no product 'nothing'"})
    assert (refused.status_code, refused.headers["retry-after"], refused.headers["ratelimit-remaining"]) == (429, "30", "0")

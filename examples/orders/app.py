"""The shop over HTTP: its pages, orders behind a rate limit, and the news as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from redisorm import NotFoundError
from redisorm.asyncio.asgi import rate_limit

from .models import Order, ProductPage, Summary
from .shop import OutOfStock, Shop

WEB = Path(__file__).parent / "web"


class Wish(BaseModel):
    """What a customer asks for."""

    sku: str
    quantity: int = Field(default=1, ge=1, le=100)


def create_app(shop: Shop, leaving: Callable[[], bool]) -> FastAPI:
    """Make the application; its billing worker runs as long as it does.

    Args:
        leaving: Whether the web server is about to end: streams of news end then, since it waits for them.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await shop.open()
        billing = asyncio.create_task(shop.worker.run())
        yield
        shop.worker.stop()
        await billing
        await shop.db.aclose()

    app = FastAPI(title="Orders", lifespan=lifespan)

    @app.get("/api/products")
    async def products() -> list[ProductPage]:
        return await shop.shelf()

    @app.get("/api/products/{sku}")
    async def product(sku: str) -> ProductPage:
        try:
            return await shop.product_page(sku)
        except NotFoundError as error:
            raise HTTPException(404, f"there is no product {sku!r}") from error

    @app.post("/api/orders", status_code=201, dependencies=[Depends(rate_limit(shop.limiter))])
    async def place(wish: Wish) -> Order:
        try:
            return await shop.place(wish.sku, wish.quantity)
        except NotFoundError as error:
            raise HTTPException(404, f"there is no product {wish.sku!r}") from error
        except OutOfStock as error:
            raise HTTPException(409, str(error)) from error

    @app.get("/api/summary")
    async def summary() -> Summary:
        return await shop.summary()

    @app.get("/api/news")
    async def news() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            async with shop.news.subscribe() as feed:
                yield "event: subscribed\ndata: now\n\n"  # what happened before is in the summary, what happens now comes here
                while not leaving():
                    told = await feed.get(timeout=1)
                    yield ":\n\n" if told is None else f"data: {told.model_dump_json()}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    app.mount("/", StaticFiles(directory=WEB, html=True))
    return app

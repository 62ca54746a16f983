"""What the shop does in Redis, and nothing of HTTP."""

import asyncio
from datetime import datetime, timezone
from uuid import UUID

from redisorm import AsyncCache, AsyncChannel, AsyncLock, AsyncRateLimiter, AsyncSession, AsyncWorker, Database, Limit, desc

from .models import Invoice, Order, OrderNews, OrderPlaced, Product, ProductPage, Sales, Status, Summary

CATALOGUE = (
    Product(sku="lamp", name="Desk lamp", price=48_00, stock=24),
    Product(sku="kettle", name="Kettle", price=36_50, stock=40),
    Product(sku="chair", name="Oak chair", price=129_00, stock=12),
    Product(sku="book", name="Notebook", price=9_90, stock=80),
)


class OutOfStock(Exception):  # noqa: N818 - what is out of stock is no error of the program
    def __init__(self, product: Product) -> None:
        super().__init__(f"{product.name}: {product.stock} left")


class Shop:
    """One shop in one database.

    Args:
        limit: How many orders one customer may place.
        billing_s: How long the payment service takes for one order.
    """

    def __init__(self, db: Database, limit: Limit, billing_s: float = 0) -> None:
        self.db = db
        self.billing_s = billing_s
        self.limiter = AsyncRateLimiter(db, "orders", limit)
        self.news = AsyncChannel(db, OrderNews)
        self.product_page = AsyncCache(db, prefix="page", ttl=300).memoize("product:{sku}")(self._make_product_page)
        self.worker = AsyncWorker(db, group="billing")
        self.worker.on(OrderPlaced)(self._bill)

    async def open(self) -> None:
        """Fill the shelves of a new shop. Of several processes that start at once one does."""
        async with AsyncLock(self.db, "opening", ttl=10), AsyncSession.begin(self.db) as session:
            if not await session.exists(Sales, "all"):
                session.add(Sales())
                session.add_all(product.model_copy() for product in CATALOGUE)

    async def place(self, sku: str, quantity: int) -> Order:
        """Take the stock, write the order, emit the event, publish the news, drop the cached page: all in one MULTI/EXEC, or nothing."""

        async def attempt(session: AsyncSession) -> Order:
            product, sales = await session.get_one(Product, sku), await session.get_one(Sales, "all")
            if product.stock < quantity:
                raise OutOfStock(product)
            product.stock -= quantity
            order = Order(sku=sku, name=product.name, quantity=quantity, total=quantity * product.price)
            session.add(order)
            session.increment(sales, "orders")
            session.emit(OrderPlaced(order_id=order.id))
            session.publish(_news_of(order))
            session.invalidate(self.product_page, sku)
            return order

        return await AsyncSession.retry(attempt, self.db, attempts=100)

    async def _bill(self, event: OrderPlaced, session: AsyncSession) -> None:
        """Handle an event. What is written here and the acknowledgement are one transaction: each order is billed once in Redis.

        The payment service is outside, so it may be asked again for one order: it must know orders by their id.
        """
        order, sales = await session.get_one(Order, event.order_id), await session.get_one(Sales, "all")
        await self._ask_for_payment(order.id, order.total)
        order.status = "billed"
        session.add(Invoice(order_id=order.id, amount=order.total))
        session.increment(sales, "billed")
        session.increment(sales, "revenue", order.total)
        session.publish(_news_of(order))

    async def _ask_for_payment(self, order_id: UUID, amount: int) -> None:
        await asyncio.sleep(self.billing_s)

    async def _make_product_page(self, sku: str) -> ProductPage:
        async with AsyncSession(self.db) as session:
            product = await session.get_one(Product, sku)
            return ProductPage(sku=sku, name=product.name, price=product.price, stock=product.stock, made_at=datetime.now(timezone.utc))

    async def shelf(self) -> list[ProductPage]:
        """The pages of all products."""
        return list(await asyncio.gather(*(self.product_page(product.sku) for product in CATALOGUE)))

    async def summary(self) -> Summary:
        """What the dashboard begins with."""
        waiting: Status = "placed"
        async with AsyncSession(self.db) as session:
            orders = session.find(Order)
            return Summary(
                sales=await session.get_one(Sales, "all"),
                waiting=await session.find(Order, status=waiting).count(),
                recent=await orders.order_by(desc(Order.placed_at)).limit(8).all(),
            )


def _news_of(order: Order) -> OrderNews:
    return OrderNews(status=order.status, order_id=order.id, sku=order.sku, name=order.name, quantity=order.quantity, total=order.total)

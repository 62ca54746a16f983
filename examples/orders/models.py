"""What the shop stores (`Product`, `Order`, `Invoice`, `Sales`), what happens (`OrderPlaced`), and what is told live (`OrderNews`).

Money is in cents.
"""

from datetime import datetime, timezone
from typing import Literal
from uuid import UUID, uuid4

from pydantic import BaseModel

from redisorm import AsyncRedisModel, Event, Field, Message

Status = Literal["placed", "billed"]


class Product(AsyncRedisModel, prefix="product", versioned=True):
    """Versioned: of two buyers who took stock at once one is told, and looks again."""

    sku: str = Field(primary_key=True)
    name: str
    price: int = Field(ge=0)
    stock: int = Field(ge=0)


class Order(AsyncRedisModel, prefix="order"):
    id: UUID = Field(default_factory=uuid4)
    sku: str
    name: str
    quantity: int = Field(ge=1)
    total: int
    status: Status = Field(default="placed", index=True)
    placed_at: datetime = Field(default_factory=lambda: datetime.now(timezone.utc), index=True)


class Invoice(AsyncRedisModel, prefix="invoice"):
    order_id: UUID = Field(primary_key=True)
    amount: int


class Sales(AsyncRedisModel, prefix="sales"):
    """One row of counters."""

    id: Literal["all"] = "all"
    orders: int = 0
    billed: int = 0
    revenue: int = 0


class OrderPlaced(Event, stream="orders", maxlen=100_000):
    """Stays in its stream until the billing worker has dealt with it."""

    order_id: UUID


class OrderNews(Message, channel="orders.{status}"):
    """Told to whoever looks at that moment."""

    status: Status
    order_id: UUID
    sku: str
    name: str
    quantity: int
    total: int


class ProductPage(BaseModel):
    """What the page of a product shows; `made_at` tells when it was made, rather than taken from the cache."""

    sku: str
    name: str
    price: int
    stock: int
    made_at: datetime


class Summary(BaseModel):
    """What the dashboard shows when it is opened; `waiting` orders are not billed yet."""

    sales: Sales
    waiting: int
    recent: list[Order]

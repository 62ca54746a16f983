"""What is published, appended, handled and stored by all sides, as plain models; and the stream that a worker finds.

Nothing is imported here but Pydantic and redis-py: other libraries do the same in environments of their own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import redis
from pydantic import BaseModel

__all__ = ["BATCH", "GROUP", "STREAM", "Invoice", "Order", "Price", "fields", "fill", "made", "pairs"]

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel)

STREAM, GROUP, BATCH = "orders", "billing", 20


class Price(BaseModel):
    sku: str
    price: Decimal


class Order(BaseModel):
    id: int
    sku: str
    amount: int
    total: Decimal


class Invoice(BaseModel):
    id: int
    sku: str
    total: Decimal


def made(model: type[M], times: int) -> list[M]:
    """Objects of one of these classes, or of its twin."""
    values: list[dict[str, Any]] = [
        {"id": number, "sku": f"sku{number % 50}", "amount": number % 7, "total": Decimal(number) / 4, "price": Decimal(number) / 4}
        for number in range(times)
    ]
    return [model(**{name: one[name] for name in model.model_fields}) for one in values]


def pairs(store: redis.Redis, stored: type[M], told: type[N], times: int) -> list[tuple[M, N]]:
    """Empty the database, and return objects to store and what is told of them."""
    store.flushdb()
    return list(zip(made(stored, times), made(told, times), strict=True))


def fields(model: BaseModel) -> dict[Any, Any]:
    """A model as the fields of a hash or an entry."""
    return model.model_dump(mode="json")


def fill(store: redis.Redis, times: int) -> int:
    """Empty the database and append events for a worker to find; how many."""
    store.flushdb()
    pipeline = store.pipeline(transaction=False)
    for order in made(Order, times):
        pipeline.xadd(STREAM, fields(order))
    pipeline.execute()
    return times

"""The models that unit, integration and property tests share: one for each way a class can be stored.

Every class is small, and named after what it shows. `ALL` lists the stored ones.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel

from redisorm import AsyncRedisModel, Field, RedisModel, SortedSet

__all__ = [
    "ALL",
    "Account",
    "Address",
    "AsyncAccount",
    "AsyncTicket",
    "AsyncUser",
    "Board",
    "Color",
    "Customer",
    "Document",
    "Everything",
    "Hot",
    "Lease",
    "Lookup",
    "Memo",
    "Node",
    "Numbers",
    "Order",
    "Pledge",
    "Point",
    "Ticket",
    "User",
]


class Color(Enum):
    """An enum with text values."""

    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    """A nested model of required fields."""

    x: float
    y: float


class Address(BaseModel):
    """A nested model with a default, an optional field and a model nested in it."""

    city: str
    zip: str | None = None
    place: Point | None = None


class Node(BaseModel):
    """A nested model that contains itself; stored as JSON."""

    name: str
    children: list[Node] = []


class User(RedisModel, prefix="user"):
    """Scalars only: `HSET user:1 id 1 name Ann age 30`."""

    id: int
    name: str
    age: int = 0
    email: str | None = None


class AsyncUser(AsyncRedisModel, prefix="user"):
    """`User` with awaited verbs, over the same keys."""

    id: int
    name: str
    age: int = 0
    email: str | None = None


class Customer(RedisModel, prefix="customer"):
    """Nested models: `HSET customer:1 address.city Oslo address.place.x 1.0 …`."""

    id: int
    name: str = ""
    address: Address | None = None
    home: Address = Address(city="")


class Document(RedisModel, prefix="document"):
    """Compound values as JSON, inline and recursive ones among them: `HSET document:1 meta {"a":1} tree {…}`."""

    id: str
    meta: dict[str, Any] = {}
    history: list[int] = Field(default=[], inline=True)
    address: Address | None = Field(default=None, inline=True)
    tree: Node | None = None
    maybe: int | str = 0


class Board(RedisModel, prefix="board"):
    """All three companions: `RPUSH board:1:jobs`, `SADD board:1:tags`, `ZADD board:1:scores`."""

    id: int
    name: str = ""
    tags: set[str] = set()
    jobs: list[str] = []
    scores: SortedSet[str] = SortedSet()


class Order(RedisModel, prefix="order"):
    """Companions of other elements than text: `RPUSH order:1:lines '{"x":1.0,"y":2.0}'`, `SADD order:1:numbers 7`."""

    id: int
    lines: list[Point] = []
    numbers: set[int] = set()
    ranks: SortedSet[int] = SortedSet()


class Account(RedisModel, prefix="account", versioned=True):
    """Optimistic locking: `HSET account:1 :version 7`."""

    id: int
    owner: str = ""
    balance: int = Field(default=0, ge=0)
    notes: list[str] = []


class AsyncAccount(AsyncRedisModel, prefix="account", versioned=True):
    """`Account` with awaited verbs, over the same keys."""

    id: int
    owner: str = ""
    balance: int = Field(default=0, ge=0)
    notes: list[str] = []


class Ticket(RedisModel, prefix="ticket"):
    """Automatic keys: `INCRBY ticket::id:next 1`."""

    id: int | None = None
    title: str = ""


class AsyncTicket(AsyncRedisModel, prefix="ticket"):
    """`Ticket` with awaited verbs, over the same keys."""

    id: int | None = None
    title: str = ""


class Memo(RedisModel, prefix="memo"):
    """Random keys, which need no guard."""

    id: UUID = Field(default_factory=uuid4)
    text: str = ""


class Lease(RedisModel, prefix="lease", ttl=60):
    """A life that every write restarts, companions included: `PEXPIREAT lease:1 …`."""

    id: int
    holder: str = ""
    hits: int = 0
    tags: set[str] = set()


class Lookup(RedisModel, prefix="lookup", ttl=60, ttl_refresh="read"):
    """A life that reads restart too."""

    id: int
    value: str = ""
    tags: set[str] = set()


class Pledge(RedisModel, prefix="pledge", ttl=60, ttl_refresh="never"):
    """A life that nothing restarts."""

    id: int
    value: str = ""
    tags: set[str] = set()


class Hot(RedisModel, prefix="hot"):
    """Hash fields with lives of their own: `HPEXPIREAT hot:1 … FIELDS 1 code`."""

    id: int
    code: str | None = Field(default=None, ttl=30)
    token: str = Field(default="", ttl=30)
    cart: dict[str, int] = Field(default={}, ttl=90)
    name: str = ""


class Numbers(RedisModel, prefix="numbers"):
    """Numbers to increment, with and without constraints and defaults of their own."""

    id: int
    hits: int = 10
    stock: int = Field(default=0, ge=0, le=100)
    price: Decimal = Decimal(0)
    ratio: float = 0.0
    maybe: int | None = None


class Everything(RedisModel, prefix="everything"):
    """A bit of each: scalars of many types, nested models, JSON and companions in one class."""

    id: UUID
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    flag: bool = False
    raw: bytes = b""
    price: Decimal = Decimal(0)
    when: datetime | None = None
    color: Color = Color.RED
    address: Address | None = None
    meta: dict[str, Any] = {}
    tags: set[str] = set()
    jobs: list[str] = []
    scores: SortedSet[str] = SortedSet()


ALL: tuple[type[RedisModel], ...] = (
    User,
    Customer,
    Document,
    Board,
    Order,
    Account,
    Ticket,
    Memo,
    Lease,
    Lookup,
    Pledge,
    Hot,
    Numbers,
    Everything,
)

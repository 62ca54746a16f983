"""Many rows are read column by column, few one by one: whatever bytes lie in them, both ways make the same objects and the same errors."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from annotated_types import Ge, MaxLen
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, AwareDatetime, ConfigDict, HttpUrl, PrivateAttr, SecretBytes, SecretStr, computed_field

from redisorm import DecodeError, Field, RedisModel, SortedSet
from redisorm.flows.decoding import LOADED, Loaded, decode
from redisorm.keys import VERSION
from redisorm.mapping.base import mapper_of
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.snapshot import whole
from tests.zoo.models import Account, Address, Board, Color, Hot, Lease, Lookup, Memo, Node, Numbers, Order, Ticket, User

T = TypeVar("T")


class Level(IntEnum):
    """An enum with numbers."""

    LOW = 1
    HIGH = 2


class Mixin:
    """A plain class beside the model."""

    def greeting(self) -> str:
        return "hello"


class Scalars(Mixin, RedisModel, prefix="together:scalars"):
    """Every scalar, none of which may be missing."""

    id: str
    text: str
    number: int
    ratio: float
    flag: bool
    raw: bytes
    price: Decimal
    when: datetime
    day: date
    hour: time
    span: timedelta
    uuid: UUID


class Kinds(RedisModel, prefix="together:kinds"):
    """Types that Pydantic reads in ways of their own, and constraints."""

    id: UUID
    color: Color = Color.RED
    level: Level = Level.LOW
    word: Literal["a", "b", 3] = "a"
    address: IPv4Address = IPv4Address("127.0.0.1")
    path: PurePosixPath = PurePosixPath("/")
    url: HttpUrl = HttpUrl("http://localhost")
    secret: SecretStr = SecretStr("s")
    hidden: SecretBytes = SecretBytes(b"\xff")
    short: Annotated[str, MaxLen(5)] = ""
    aware: AwareDatetime | None = None
    even: Annotated[int, Ge(0), AfterValidator(lambda number: number + 1)] = 0


class Choices(RedisModel, prefix="together:choices", versioned=True):
    """What may be absent, and what stands for it then."""

    id: int
    nothing: str | None
    number: int | None = 5
    when: datetime | None = Field(default_factory=lambda: datetime(2026, 1, 1))
    union: int | str = 0
    moment: datetime | str = ""
    meta: dict[str, Any] = {}
    perhaps: dict[str, int] | None = None
    history: list[int] = Field(default_factory=list, inline=True)
    nested: Address | None = Field(default=None, inline=True)
    tree: Node | None = None
    colors: tuple[Color, ...] = ()
    anything: Any = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * (self.number or 0)


class Finished(RedisModel, prefix="together:finished"):
    """An object that changes as it is made, and has private parts."""

    id: int
    name: str = ""
    length: int = 0
    _calls: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        self._calls.append(self.name)
        self.length = len(self.name)


class Box(RedisModel, Generic[T], prefix="together:box"):
    """A generic class."""

    id: int
    value: T


class Raw(RedisModel, prefix="together:raw"):
    """Members of enums as their values, which is no part of the codec: not read column by column."""

    model_config = ConfigDict(use_enum_values=True)

    id: int
    color: Color = Color.RED
    colors: list[Color] = Field(default=[], inline=True)


class Binary(RedisModel, prefix="together:binary"):
    """A key of bytes."""

    id: bytes
    raw: bytes | None = None


class Crowd(RedisModel, prefix="together:crowd"):
    """Companions between the fields, of which an object counts the elements as it is made."""

    numbers: list[int] = []
    id: int
    words: Annotated[set[str], MaxLen(2)] = set()
    count: int = 0
    colors: SortedSet[Color] = SortedSet()
    raw: set[bytes] = set()
    boxes: list[Address | None] = []

    def model_post_init(self, context: Any, /) -> None:
        self.count = len(self.numbers) + len(self.words)


NOW = datetime(2026, 1, 1, 12, 30)
SCALARS: dict[str, Any] = {
    "text": "t",
    "number": 1,
    "ratio": 0.5,
    "flag": True,
    "raw": b"\xff",
    "price": Decimal("1.50"),
    "when": NOW,
    "day": NOW.date(),
    "hour": NOW.time(),
    "span": timedelta(1),
    "uuid": UUID(int=7),
}
EXAMPLES: list[RedisModel] = [
    User(id=7, name="Ann", email="a@x"),
    Ticket(id=7, title="t"),
    Memo(id=UUID(int=7), text="t"),
    Hot(id=7, code="c", token="t", cart={"a": 1}),
    Numbers(id=7, price=Decimal("1.50"), maybe=3),
    Scalars(id="7", **SCALARS),
    Kinds(id=UUID(int=7)),
    Choices(id=7, nothing="x", meta={"a": 1}, nested=Address(city="Oslo"), tree=Node(name="a", children=[Node(name="b")])),
    Finished(id=7, name="Ann"),
    Box[int](id=7, value=1),
    Box[str | None](id=7, value=None),
    Raw(id=7, colors=[Color.BLUE]),
    Binary(id=b"7", raw=b"\xff"),
    Board(id=7, name="b"),
    Order(id=7),
    Account(id=7, owner="Ann", balance=3),
    Lease(id=7, holder="Ann"),
    Lookup(id=7, value="v"),
    Crowd(id=7),
]
NUMBERS = "0 -1 1 007 1_000 +5  5 1e3 1e400 1.0 1. .5 nan -inf 0.1 ٣ 9007199254740993 true yes null"
TIMES = "2026-01-01 2026-02-30T00:00 2026-01-01T00:00:00Z 12:30 9999-12-31T23:59:59.999999Z 1767225600 P1D PT 1 day, 0:00:00"
DOCUMENTS = (
    '{} [] "" { {"x":1} {"$str":"a"} [1,2] ["red"] {"name":"a","children":[{}]} {"city":null} red RED blue b 3 LOW 127.0.0.1 /tmp http://x'
)
STRANGE = [b"\xff", b"\xed\xa0\x80", b"\0", b"", "é".encode(), b"9" * 5000, b" 7 ", b"\xc2\xa05", b"\x1c1"]
TEXTS = st.sampled_from([*(word.encode() for word in f"{NUMBERS} {TIMES} {DOCUMENTS}".split(" ")), *STRANGE])
TEXTS |= st.binary(max_size=4) | st.integers().map(lambda number: json.dumps(number).encode())
KEYS = st.sampled_from(["7", "07", "x", "1.0", "", "é", "\ud800", "\xff", str(UUID(int=9))])


def row_texts(example: RedisModel) -> dict[str, bytes]:
    """The hash of an object, as it would be stored."""
    words = list(map(as_bytes, whole(mapper_of(type(example)), example, "").sets))
    return {name.decode(): text for name, text in zip(words[::2], words[1::2], strict=True)} | {VERSION: b"5"}


def elements(kind: str) -> st.SearchStrategy[Any]:
    """What may be answered for a companion, in the shapes of both protocols."""
    if kind == "zset":
        scored = st.lists(st.tuples(TEXTS, st.floats(allow_nan=False)), max_size=3)
        return scored | scored.map(lambda found: [word for text, score in found for word in (text, repr(score).encode())])
    return st.lists(TEXTS, max_size=3)


@st.composite
def rows(draw: st.DrawFn, example: RedisModel) -> list[list[bytes | None]]:
    """The rows of a load: as they were stored, with a column changed in all of them, and with a few texts changed by others."""
    mapper, texts = mapper_of(type(example)), row_texts(example)
    fields = st.sampled_from(mapper.fields)
    count = draw(st.integers(4, 8))
    found = [[texts.get(name) for name in mapper.fields] for _ in range(count)]
    for name, column in draw(st.dictionaries(fields, st.lists(st.none() | TEXTS, min_size=count, max_size=count), max_size=2)).items():
        for row, text in zip(found, column, strict=True):
            row[mapper.fields.index(name)] = text
    for place in draw(st.sets(st.integers(0, count - 1), max_size=2)):
        found[place] = draw(st.sampled_from([[None] * len(mapper.fields), *found]))
        name = draw(fields)
        found[place] = [draw(st.none() | TEXTS) if one == name else text for one, text in zip(mapper.fields, found[place], strict=True)]
    return found


def told(found: Loaded[Any] | DecodeError | None) -> Any:
    """Everything that can be seen of what was loaded: also what type a number has, and in which order fields come."""
    if found is None:
        return None
    if isinstance(found, DecodeError):
        return str(found), found.model, found.field, found.key, found.value
    obj, snapshot = found.obj, found.snapshot
    private = repr(obj.__pydantic_private__)
    seen = (
        type(obj),
        repr(obj.__dict__),
        obj.__pydantic_fields_set__,
        obj.__pydantic_extra__,
        private,
        vars(obj).keys() <= set(type(obj).model_fields),
    )
    assert all(map(lambda one, other: one is other, snapshot.values, mapper_of(type(obj)).values(obj)))
    shown = [(type(one), one) for one in snapshot.companions]
    return (*seen, found.key, snapshot.texts, shown, snapshot.extra, found.version, found.life, found.deadline_ms)


def both_ways(model: type[RedisModel], pk_texts: list[str], replies: list[list[Any]], there: list[int]) -> tuple[list[Any], list[Any]]:
    """What rows come to when they are read together, and when each is read alone."""
    mapper = mapper_of(model)
    keys = [f"key:{pk_text}" for pk_text in pk_texts]
    together = decode(mapper, LOADED, keys, pk_texts, [reply for row in replies for reply in row], there)
    alone = [
        decode(mapper, LOADED, [key], [pk_text], row, [is_there])[0]
        for key, pk_text, row, is_there in zip(keys, pk_texts, replies, there or [0] * len(keys), strict=True)
    ]
    return list(map(told, together)), list(map(told, alone))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_rows_read_together_are_as_if_read_alone(example: RedisModel, data: st.DataObject) -> None:
    texts = data.draw(rows(example))
    mapper, count = mapper_of(type(example)), len(texts)
    plain = data.draw(st.booleans())
    beside = [[[b"7"] if plain and one.kind != "zset" else data.draw(elements(one.kind)) for _ in texts] for one in mapper.companions]
    beside += [[5] * count] if mapper.options.ttl_refresh == "read" else []
    replies = [list(row) for row in zip(texts, *beside, strict=True)]
    pk_text = mapper.pk_text(example.pk)
    pk_texts = data.draw(st.just([pk_text] * count) | st.lists(st.just(pk_text) | KEYS, min_size=count, max_size=count))
    there = data.draw(st.just([]) | st.lists(st.integers(0, 1), min_size=count, max_size=count))
    together, alone = both_ways(type(example), pk_texts, replies, there)
    assert together == alone
    event("some refused" if any(isinstance(one, tuple) and isinstance(one[0], str) for one in alone) else "all read")


def test_most_classes_of_the_examples_are_read_column_by_column() -> None:
    by_row = {type(example) for example in EXAMPLES if mapper_of(type(example)).columns is None}
    assert by_row == {Raw, Lookup}

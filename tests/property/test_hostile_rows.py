"""Whatever bytes lie in Redis, a load gives an object or a `DecodeError`, and an object so loaded has nothing to write."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, ValidationError

from redisorm import DecodeError, RedisModel
from redisorm.commands import Batch, Watch
from redisorm.keys import LIFE, VERSION, Keyspace
from redisorm.mapping.base import mapper_of
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.snapshot import whole
from redisorm.unitofwork import verbs
from tests.unit.desk import Desk, session_on, stored
from tests.zoo.models import (
    ALL,
    Account,
    Address,
    Board,
    Color,
    Customer,
    Document,
    Everything,
    Hot,
    Lease,
    Lookup,
    Memo,
    Node,
    Numbers,
    Order,
    Pledge,
    Point,
    Ticket,
    User,
)


class Loose(RedisModel, prefix="loose"):
    """A class that keeps fields it does not declare."""

    model_config = ConfigDict(extra="allow")

    id: int
    name: str = ""
    when: datetime | None = None
    span: timedelta | None = None
    address: Address | None = None
    tags: set[str] = set()


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.sampled_from(["x", "y", "$str", "city"]), inner),
    max_leaves=8,
)
NUMBERS = "0 -1 1 007 1_000 +5  5 1e3 1e400 -1e400 1e15 nan -inf 0.1 sNaN Infinity 9007199254740993 true null"
TIMES = "2026-01-01 2026-02-30T00:00 2026-01-01T00:00:00+23:59:59 9999-12-31T23:59:59.999999Z 0001-01-01T00:00:00+14:00 P1D PT"
DOCUMENTS = '{} [] "" { {"x":1,"y":2} {"x":"1"} {"$str":"a"} {"$int":[]} ["red"] {"name":"a","children":[{}]} {"city":null} red RED'
NOT_TEXT = [b"\xff", b"\xed\xa0\x80", b"\0", b"\xf0\x9f\x98\x80", b"\xc3\x28"]
HUGE = [b"9" * 5000, b"[" * 3000, b"x" * 100_000, b"0." + b"1" * 5000, b'{"a":' * 300 + b"1" + b"}" * 300]
STRANGE_NAMES = [b":odd", b"\xff\xfe", b"address.zip", b"", b"tags", "é".encode(), b"model_fields", b"__dict__"]
PLAUSIBLE = st.sampled_from([*(word.encode() for word in f"{NUMBERS} {TIMES} {DOCUMENTS}".split(" ")), *NOT_TEXT, *HUGE])
TEXTS = PLAUSIBLE | st.binary(max_size=12) | NESTED.map(lambda value: json.dumps(value).encode())
SCORES = st.floats(allow_nan=False)


EXAMPLES: list[RedisModel] = [
    User(id=7, name="Ann", email="a@x"),
    Customer(id=7, address=Address(city="Oslo", place=Point(x=1, y=2))),
    Document(id="7", meta={"a": [1]}, history=[1], address=Address(city="Oslo"), tree=Node(name="a", children=[Node(name="b")])),
    Board(id=7, name="b"),
    Order(id=7),
    Account(id=7, owner="Ann", balance=3),
    Ticket(id=7, title="t"),
    Memo(id=UUID(int=7), text="t"),
    Lease(id=7, holder="Ann"),
    Lookup(id=7, value="v"),
    Pledge(id=7, value="v"),
    Hot(id=7, code="c", token="t", cart={"a": 1}),
    Numbers(id=7, price=Decimal("1.50"), maybe=3),
    Everything(id=UUID(int=7), raw=b"\xff", when=datetime(2026, 1, 1), color=Color.BLUE, address=Address(city="Oslo"), meta={"a": 1}),
    Loose(id=7, when=datetime(2026, 1, 1), span=timedelta(days=1)),
]


def test_every_class_of_the_zoo_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == {*ALL, Loose}


def row_texts(example: RedisModel) -> dict[str, bytes]:
    """The hash of an object, as it would be stored."""
    mapper = mapper_of(type(example))
    words = list(map(as_bytes, whole(mapper, example, "").sets))
    return {name.decode(): text for name, text in zip(words[::2], words[1::2], strict=True)} | {LIFE: b"60", VERSION: b"5"}


def replies(example: RedisModel) -> st.SearchStrategy[list[Any]]:
    """What the load of the example may be answered after somebody meddled with it, in the shapes of both protocols."""
    mapper, texts = mapper_of(type(example)), row_texts(example)
    meddled = st.dictionaries(st.sampled_from(mapper.fields), st.none() | TEXTS, max_size=3)
    row: st.SearchStrategy[Any] = meddled.map(lambda changed: [changed.get(name, texts.get(name)) for name in mapper.fields])
    if mapper.open:
        strange = st.sampled_from(STRANGE_NAMES) | st.binary(max_size=6)
        names = [name.encode() for name in mapper.fields]
        declared = row.map(lambda found: {name: text for name, text in zip(names, found, strict=True) if text is not None})
        pairs = st.tuples(st.dictionaries(strange, TEXTS), declared).map(lambda both: {**both[0], **both[1]})
        row = pairs | pairs.map(lambda found: [word for pair in found.items() for word in pair])
    scored = st.lists(st.tuples(TEXTS, SCORES), max_size=3)
    several = {
        "list": st.lists(TEXTS, max_size=3),
        "set": st.lists(TEXTS, max_size=3) | st.sets(TEXTS, max_size=3),
        "zset": scored | scored.map(lambda found: [word for text, score in found for word in (text, repr(score).encode())]),
    }
    deadline = [st.integers(-1, 2**53)] if mapper.options.ttl_refresh == "read" else []
    return st.tuples(row, *(several[companion.kind] for companion in mapper.companions), *deadline).map(list)


def server_of(row: list[Any]) -> Desk:
    """A server whose one row is this, and where whatever is asked besides is there."""

    def answer(request: Batch | Watch) -> Any:
        if isinstance(request, Batch) and request.commands[0][0] in ("HMGET", "HGETALL"):
            return [*row, *(1 for command in request.commands if command[0] == "EXISTS")]
        return [[None] * (len(command) - 2) if command[0] == "HMGET" else 1 for command in request.commands]

    return Desk(answer)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
@settings(deadline=None)
@given(data=st.data())
def test_only_decode_errors_come_out_of_a_load(example: RedisModel, data: st.DataObject) -> None:
    model = type(example)
    key = Keyspace("", mapper_of(model).options.prefix).row(str(example.pk))
    desk = server_of(data.draw(replies(example)))

    with session_on(desk) as session:
        (found,) = session.get_many(model, [example.pk], on_error="return")

        if isinstance(found, DecodeError):
            event("refused")
            assert found.model is model
            assert found.field is not None
            assert found.key is not None
            assert found.key.startswith(key)
            assert key in str(found)
            assert len(str(found)) < 1000
            return
        event("loaded")
        assert found is not None
        assert found in session
        assert session.dirty == []
        assert found.model_copy(deep=True) == found
        session.rollback()
        assert session.dirty == []


@settings(deadline=None)
@given(number=st.none() | TEXTS, life=st.none() | TEXTS, field=st.sampled_from(["hits", "stock", "price", "ratio", "maybe"]))
def test_only_decode_errors_come_out_of_an_increment(number: bytes | None, life: bytes | None, field: str) -> None:
    """Whatever number and life are stored; that the new number breaks a constraint is told as such."""
    numbers = stored(Numbers, {"id": 7})
    texts = {"id": b"7", LIFE: life, field: number}

    def answer(request: Batch | Watch) -> Any:
        return [[texts.get(str(name)) for name in command[2:]] if command[0] == "HMGET" else 1 for command in request.commands]

    try:
        Desk(answer).run(verbs.increment(numbers, field, 1, ""))
    except (DecodeError, ValidationError) as error:
        told = str(error)
    else:
        told = f"numbers:7 {field}"
    assert "numbers:7" in told
    assert field in told

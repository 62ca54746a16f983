"""What an event is written as, and how entries are read. No server."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from threading import Thread
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, ValidationError, computed_field, field_validator

from redisorm import DecodeError, Entry, Event, Field, MappingError, SortedSet
from redisorm.commands import Batch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.patterns.streams import PAGE, append, appending, event_mapper_of, read, size

T = TypeVar("T")


class Kind(Enum):
    WEB = "web"


class Address(BaseModel):
    city: str
    lines: list[str] = []


class OrderPlaced(Event, stream="events:orders", maxlen=1000):
    order_id: int
    total: Decimal
    kind: Kind = Kind.WEB
    at: datetime | None = None
    ship_to: Address | None = None
    items: list[str] = []
    tags: set[int] = set()
    scores: SortedSet[str] = SortedSet()
    raw: bytes = b""
    gift: bool = False


EVERYTHING = OrderPlaced(
    order_id=7,
    total=Decimal("9.90"),
    at=datetime(2026, 1, 2, tzinfo=timezone.utc),
    ship_to=Address(city="Oslo", lines=["a"]),
    items=["x", "y"],
    tags={1},
    scores=SortedSet({"a": 1.5}),
    raw=b"\xff\x00",
    gift=True,
)


def as_entry(command: Any) -> list[bytes]:
    """What XRANGE would return for the fields of an XADD."""
    words = list(command[command.index("*") + 1 :])
    return [word if isinstance(word, bytes) else str(word).encode() for word in words]


def test_event_is_flat_fields_in_the_spelling_of_models() -> None:
    assert appending(EVERYTHING, "shop") == (
        *("XADD", "shop:events:orders", "MAXLEN", "~", 1000, "*"),
        *("order_id", 7, "total", "9.90", "kind", "web", "at", "2026-01-02T00:00:00+00:00"),
        *("items", b'["x","y"]', "tags", b"[1]", "scores", b'{"a":1.5}', "raw", b"\xff\x00", "gift", "1"),
        *("ship_to.city", "Oslo", "ship_to.lines", b'["a"]'),
    )


def test_event_comes_back_as_it_was() -> None:
    mapper = event_mapper_of(OrderPlaced)
    assert mapper.event(as_entry(appending(EVERYTHING, "")), "events:orders", "1-0") == EVERYTHING


def test_entry_of_another_program_is_read() -> None:
    fields = [b"order_id", b"123", b"total", b"49.99", b"item", b"laptop"]
    assert event_mapper_of(OrderPlaced).event(fields, "k", "1-0") == OrderPlaced(order_id=123, total=Decimal("49.99"))


def test_field_that_is_there_twice_counts_as_its_last() -> None:
    fields = [b"order_id", b"1", b"total", b"1", b"order_id", b"2"]
    assert event_mapper_of(OrderPlaced).event(fields, "k", "1-0").order_id == 2


@pytest.mark.parametrize(
    ("fields", "problem", "field"),
    [
        ([b"order_id", b"1"], "the required field 'total' is missing", "total"),
        ([b"order_id", b"one", b"total", b"1"], "the stored 'order_id' does not fit OrderPlaced", "order_id"),
        ([b"order_id", b"\xff", b"total", b"1"], "the stored 'order_id' is not UTF-8 text", "order_id"),
        ([b"order_id", b"1", b"total", b"1", b"items", b"laptop"], "the stored 'items' does not fit", "items"),
    ],
)
def test_entry_that_does_not_fit_is_told(fields: list[bytes], problem: str, field: str) -> None:
    with pytest.raises(DecodeError, match=f"shop:events:orders 5-1: {problem}") as caught:
        event_mapper_of(OrderPlaced).event(fields, "shop:events:orders", "5-1")
    assert (caught.value.key, caught.value.pk, caught.value.field) == ("shop:events:orders", "5-1", field)


def test_event_that_stores_nothing_is_an_entry_all_the_same() -> None:
    class Ping(Event):
        note: str | None = None

    assert appending(Ping(), "") == ("XADD", "ping", "*", ":empty", "1")
    assert event_mapper_of(Ping).event([b":empty", b"1"], "ping", "1-0") == Ping()


def test_open_event_keeps_further_fields() -> None:
    class Anything(Event, extra="allow"):
        n: int

    event = Anything(n=1, more={"a": [1]})  # type: ignore[call-arg]
    assert appending(event, "") == ("XADD", "anything", "*", "n", 1, "more", b'{"a":[1]}')
    assert event_mapper_of(Anything).event([b"n", b"1", b"more", b'{"a":[1]}', b":x", b"1"], "k", "1-0") == event


def test_computed_field_is_written_and_not_read() -> None:
    class Priced(Event):
        net: int

        @computed_field  # type: ignore[prop-decorator]
        @property
        def gross(self) -> int:
            return self.net * 2

    command = appending(Priced(net=2), "")
    assert command == ("XADD", "priced", "*", "net", 2, "gross", "4")
    assert event_mapper_of(Priced).event(as_entry(command), "k", "1-0") == Priced(net=2)


def test_field_named_id_is_a_field() -> None:
    class WithId(Event):
        id: str

    assert event_mapper_of(WithId).event([b"id", b"a:b"], "k", "1-0") == WithId(id="a:b")


def test_validators_run_when_an_event_is_made_and_not_when_it_is_read() -> None:
    class Doubled(Event):
        name: str

        @field_validator("name")
        @classmethod
        def twice(cls, name: str) -> str:
            return name * 2

    assert event_mapper_of(Doubled).event([b"name", b"ab"], "k", "1-0").name == "ab"


def test_change_in_place_that_does_not_fit_is_refused() -> None:
    event = EVERYTHING.model_copy(deep=True)
    event.items.append(3)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="items"):
        appending(event, "")


def test_stream_is_the_class_in_snake_case_and_maxlen_is_inherited() -> None:
    class Base(Event, maxlen=5):
        n: int

    class StockTaken(Base):
        pass

    class StockKept(Base, stream="kept", maxlen=None):
        pass

    assert appending(StockTaken(n=1), "")[:5] == ("XADD", "stock_taken", "MAXLEN", "~", 5)
    assert appending(StockKept(n=1), "")[:3] == ("XADD", "kept", "*")


def test_parametrised_event_has_the_stream_of_its_class() -> None:
    class Box(Event, Generic[T], stream="boxes"):
        item: T

    assert appending(Box[int](item=3), "") == ("XADD", "boxes", "*", "item", 3)


@pytest.mark.parametrize("stream", ["", "a::b", ":a", "a:", "a{b}", "a\0"])
def test_stream_that_could_be_mistaken_is_refused(stream: str) -> None:
    with pytest.raises(MappingError, match="Broken: stream "):

        class Broken(Event, stream=stream):
            n: int


@pytest.mark.parametrize("maxlen", [0, -1, 1.5, True, "9"])
def test_maxlen_that_is_no_number_of_entries_is_refused(maxlen: Any) -> None:
    with pytest.raises(MappingError, match="maxlen="):

        class Broken(Event, maxlen=maxlen):
            n: int


@pytest.mark.parametrize(
    "option", [Field(default=0, index=True), Field(default=0, unique=True), Field(default=0, ttl=5), Field(default=0, primary_key=True)]
)
def test_options_of_rows_are_refused(option: Any) -> None:
    with pytest.raises(MappingError, match="Broken: an event has neither key nor index, and its fields no life"):

        class Broken(Event):
            n: int = option


def test_type_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(MappingError, match="Broken"):

        class Broken(Event):
            n: Thread


@pytest.mark.parametrize("what", [int, BaseModel, Event, "OrderPlaced"])
def test_what_is_no_class_of_events_is_refused(what: Any) -> None:
    with pytest.raises(MappingError, match="is not a class of events: derive it from Event"):
        event_mapper_of(what)


def test_event_of_another_class_is_refused() -> None:
    class Other(OrderPlaced, stream="other"):
        pass

    with pytest.raises(TypeError, match="this is a stream of OrderPlaced: append Other to a Stream of its own"):
        event_mapper_of(OrderPlaced).require(Other(order_id=1, total=Decimal(1)))


# ---- conversations ------------------------------------------------------------------------------------------------------------


class Tick(Event, stream="ticks"):
    n: int


def entries(*numbers: int) -> list[list[Any]]:
    return [[f"{number}-0".encode(), [b"n", str(number).encode()]] for number in numbers]


def test_appending_is_one_command_that_is_not_sent_again() -> None:
    driver = ScriptedDriver([[b"5-0"]])
    assert driver.run(append(Tick(n=1), "")) == "5-0"
    assert isinstance(driver.requests[0], Batch)
    assert not driver.requests[0].resend
    driver.done()


def test_reading_all_goes_in_pages() -> None:
    driver = ScriptedDriver([[entries(*range(1, PAGE + 1))], [entries(PAGE + 1)]])
    found = driver.run(read(event_mapper_of(Tick), "shop", "0", None))
    assert found == [Entry(f"{n}-0", Tick(n=n)) for n in range(1, PAGE + 2)]
    assert driver.commands == [
        ("XRANGE", "shop:ticks", "(0", "+", "COUNT", PAGE),
        ("XRANGE", "shop:ticks", f"({PAGE}-0", "+", "COUNT", PAGE),
    ]
    driver.done()


def test_reading_some_asks_for_no_more() -> None:
    driver = ScriptedDriver([[entries(2, 3)]])
    assert [entry.id for entry in driver.run(read(event_mapper_of(Tick), "", "1-0", 2))] == ["2-0", "3-0"]
    assert driver.commands == [("XRANGE", "ticks", "(1-0", "+", "COUNT", 2)]
    driver.done()


def test_reading_none_asks_nothing() -> None:
    driver = ScriptedDriver([])
    assert driver.run(read(event_mapper_of(Tick), "", "0", 0)) == []


@pytest.mark.parametrize("after", ["", "x", "1-", "-", "+", "$", "1-2-3", "(1-0", 5])
def test_what_is_no_id_is_refused(after: Any) -> None:
    with pytest.raises(ValueError, match="is no id of an entry"):
        ScriptedDriver([]).run(read(event_mapper_of(Tick), "", after, None))


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count=-1"):
        ScriptedDriver([]).run(read(event_mapper_of(Tick), "", "0", -1))


def test_size_is_one_read() -> None:
    driver = ScriptedDriver([[3]])
    assert driver.run(size(event_mapper_of(Tick), "shop")) == 3
    assert driver.commands == [("XLEN", "shop:ticks")]

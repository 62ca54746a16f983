"""What a class of messages is published as, subscribed to and read from. No server."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from threading import Thread
from typing import Any, Generic, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr, ValidationError, field_validator

from redisorm import DecodeError, Field, MappingError, Message
from redisorm.commands import Batch
from redisorm.drivers.scripted import ScriptedDriver
from redisorm.patterns.pubsub import publish, publishing, topic_of

T = TypeVar("T")


class Size(Enum):
    SMALL = "small"


class Place(BaseModel):
    city: str


class PriceChanged(Message, channel="price.{sku}.{size}"):
    sku: str
    size: Size = Size.SMALL
    price: Decimal
    at: datetime | None = None
    place: Place | None = None
    tags: set[str] = set()
    raw: bytes = b""


EVERYTHING = PriceChanged(
    sku="a1",
    price=Decimal("9.90"),
    at=datetime(2026, 1, 2, tzinfo=timezone.utc),
    place=Place(city="Oslo"),
    tags={"new"},
    raw=b"\xff\x00",
)


def test_message_goes_on_the_channel_its_fields_spell() -> None:
    name, channel, payload = publishing(EVERYTHING, "shop")
    assert (name, channel) == ("PUBLISH", "shop:price.a1.small")
    assert payload == (
        b'{"sku":"a1","size":"small","price":"9.90","at":"2026-01-02T00:00:00Z","place":{"city":"Oslo"},"tags":["new"],"raw":"_wA="}'
    )


def test_message_comes_back_as_it_was() -> None:
    topic = topic_of(PriceChanged)
    assert topic.read(b"price.a1.small", topic.payload_of(EVERYTHING)) == EVERYTHING


def test_publishing_is_one_command_that_is_not_sent_again() -> None:
    driver = ScriptedDriver([[3]])
    assert driver.run(publish(EVERYTHING, "")) == 3
    assert isinstance(driver.requests[0], Batch)
    assert not driver.requests[0].resend
    driver.done()


@pytest.mark.parametrize(
    ("fields", "command", "name"),
    [
        ({}, "PSUBSCRIBE", "shop:price.*.*"),
        ({"sku": "*"}, "PSUBSCRIBE", "shop:price.*.*"),
        ({"sku": "a*b"}, "PSUBSCRIBE", "shop:price.a\\*b.*"),
        ({"sku": "a*b", "size": "small"}, "SUBSCRIBE", "shop:price.a*b.small"),
        ({"size": Size.SMALL}, "PSUBSCRIBE", "shop:price.*.small"),
    ],
)
def test_subscription_is_a_pattern_only_where_a_value_is_open(fields: dict[str, Any], command: str, name: str) -> None:
    wanted = topic_of(PriceChanged).wanted(fields, "shop")
    assert (wanted.command, wanted.name) == (command, name)


class Quoted(Message, Generic[T], channel="quoted:{{{market}}}:{sku}", sharded=True):
    market: str
    sku: str
    value: T


class Resold(Quoted[int], channel="resold"):
    pass


class Told(Quoted[int], channel="told", sharded=False):
    pass


def test_sharded_message_is_published_and_subscribed_to_by_the_commands_of_sharded_channels() -> None:
    message = Quoted[int](market="xetra", sku="a1", value=9)
    assert publishing(message, "shop") == ("SPUBLISH", "shop:quoted:{xetra}:a1", b'{"market":"xetra","sku":"a1","value":9}')
    wanted = topic_of(Quoted[int]).wanted({"market": "xetra", "sku": "a*"}, "shop")
    assert (wanted.command, wanted.name) == ("SSUBSCRIBE", "shop:quoted:{xetra}:a*")


def test_classes_derived_from_a_sharded_one_are_sharded_unless_they_say_otherwise() -> None:
    commands = [publishing(kind(market="x", sku="a", value=1), "")[:2] for kind in (Resold, Told)]
    assert commands == [("SPUBLISH", "resold"), ("PUBLISH", "told")]
    assert [topic_of(kind).wanted({}, "").command for kind in (Resold, Told)] == ["SSUBSCRIBE", "SUBSCRIBE"]


@pytest.mark.parametrize(("fields", "names"), [({}, "market and sku"), ({"market": "x"}, "sku"), ({"market": "*", "sku": "a"}, "market")])
def test_sharded_channel_needs_all_its_values(fields: dict[str, Any], names: str) -> None:
    with pytest.raises(TypeError, match=f"those know no patterns: give {names} a value, or leave sharded=True out of the class"):
        topic_of(Quoted[int]).wanted(fields, "")


def test_signs_of_patterns_in_a_namespace_are_themselves() -> None:
    assert topic_of(PriceChanged).wanted({}, "s*p").name == "s\\*p:price.*.*"


def test_subscription_checks_its_values() -> None:
    with pytest.raises(TypeError, match=r"colour is no part of the channel 'price\.\{sku\}\.\{size\}': name sku or size"):
        topic_of(PriceChanged).wanted({"colour": "red"}, "")
    with pytest.raises(ValidationError):
        topic_of(PriceChanged).wanted({"size": "huge"}, "")


def test_channel_without_fields_takes_none() -> None:
    class Plain(Message, channel="plain"):
        n: int

    with pytest.raises(TypeError, match="n is no part of the channel 'plain': leave it out"):
        topic_of(Plain).wanted({"n": 1}, "")


def test_values_in_a_channel_are_spelled_as_in_keys() -> None:
    class Spelled(Message, channel="s.{a}.{b}.{c}.{d}"):
        a: int
        b: bool
        c: date
        d: UUID

    message = Spelled(a=7, b=True, c=date(2026, 1, 2), d=UUID(int=1))
    assert publishing(message, "")[1] == "s.7.1.2026-01-02.00000000-0000-0000-0000-000000000001"


def test_channel_is_the_class_in_snake_case_where_none_is_named() -> None:
    class StockTaken(Message):
        n: int

    class StockLost(StockTaken):
        pass

    assert publishing(StockTaken(n=1), "")[1] == "stock_taken"
    assert publishing(StockLost(n=1), "")[1] == "stock_lost"


def test_parametrised_message_has_the_channel_of_its_class() -> None:
    class Box(Message, Generic[T], channel="box.{of}"):
        of: str
        item: T

    assert publishing(Box[int](of="a", item=3), "")[1:] == ("box.a", b'{"of":"a","item":3}')


class Nested(Message, channel="nested"):
    inside: Later


class Later(BaseModel):
    n: int


def test_forward_reference_is_resolved_at_first_use() -> None:
    assert publishing(Nested(inside=Later(n=1)), "")[2] == b'{"inside":{"n":1}}'


def test_name_that_is_never_defined_is_told() -> None:
    class Lost(Message):
        inside: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(MappingError, match="Lost: 'Nowhere' in its annotations is not defined yet"):
        topic_of(Lost)


def test_validators_run_when_a_message_is_made_and_not_when_it_is_read() -> None:
    class Hashed(Message):
        password: SecretStr
        name: str

        @field_validator("name")
        @classmethod
        def twice(cls, name: str) -> str:
            return name * 2

    topic = topic_of(Hashed)
    message = Hashed(password=SecretStr("x"), name="ab")
    assert topic.payload_of(message) == b'{"password":"x","name":"abab"}'
    assert topic.read(b"hashed", topic.payload_of(message)) == message


def test_change_in_place_that_does_not_fit_is_refused() -> None:
    message = EVERYTHING.model_copy(deep=True)
    message.tags.add(3)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        publishing(message, "")


@pytest.mark.parametrize(
    ("payload", "problem", "field"),
    [
        (b"{", "Invalid JSON", None),
        (b"[]", "Input should be a valid dictionary", None),
        (b"\xff", "can't decode byte 0xff", None),
        (b'{"sku":"a"}', "price: Field required", "price"),
        (b'{"sku":"a","price":"x"}', "price: Input should be a valid decimal", "price"),
        (b'{"sku":"a","price":1,"place":{"city":[]}}', "place.city: Input should be a valid string", "place.city"),
    ],
)
def test_payload_that_does_not_fit_is_told(payload: bytes, problem: str, field: str | None) -> None:
    with pytest.raises(DecodeError, match="channel price.a.small: the payload is not the JSON of a PriceChanged: .*" + problem) as caught:
        topic_of(PriceChanged).read(b"price.a.small", payload)
    assert (caught.value.model, caught.value.key, caught.value.field, caught.value.value) == (PriceChanged, "price.a.small", field, payload)


@pytest.mark.parametrize("channel", ["a.{nothing}", "a.{sku!r}", "a.{sku:>4}", "a.{sku}.{sku}", "a.{", "a.{}", "", "a\0b", "{sku.x}"])
def test_template_that_makes_no_sense_is_refused(channel: str) -> None:
    with pytest.raises(MappingError, match="channel="):

        class Broken(Message, channel=channel):
            sku: str


@pytest.mark.parametrize("annotation", [list[str], bytes, str | None, Place, int | str])
def test_field_that_cannot_be_part_of_a_channel_is_refused(annotation: Any) -> None:
    with pytest.raises(MappingError, match=r"Broken\.part: .* cannot be part of a channel"):

        class Broken(Message, channel="a.{part}"):
            part: annotation  # pyright: ignore[reportInvalidTypeForm]


def test_options_of_stored_fields_are_refused() -> None:
    with pytest.raises(MappingError, match=r"Broken\.n: a message is not stored"):

        class Broken(Message):
            n: int = Field(index=True)


@pytest.mark.parametrize("what", [int, BaseModel, Message, "PriceChanged"])
def test_what_is_no_class_of_messages_is_refused(what: Any) -> None:
    with pytest.raises(MappingError, match="is not a class of messages: derive it from Message"):
        topic_of(what)


def test_annotation_that_pydantic_does_not_know_is_refused() -> None:
    with pytest.raises(MappingError, match=r"Broken: Unable to generate pydantic-core schema for .*Thread"):

        class Broken(Message):
            part: Thread

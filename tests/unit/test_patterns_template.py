"""The text of a key from the arguments of a call."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest

from redisorm import MappingError
from redisorm.patterns.template import Template, spelled


class Colour(Enum):
    RED = "red:ish"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("u7", "u7"),
        ("a:b", "a%3Ab"),
        ("", "%"),
        (None, "%-"),
        (7, "7"),
        (True, "1"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00%3A00%3A00+00%3A00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red%3Aish"),
        (b"a\xff", "aÿ"),
        (ip_address("10.0.0.1"), "10.0.0.1"),
    ],
)
def test_a_value_is_its_text_escaped(value: object, text: str) -> None:
    assert spelled(value) == text


@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), (1, 2)])
def test_a_value_without_a_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no text to go into a key"):
        spelled(value)


def call(template: str, function: Any, *arguments: Any, **keywords: Any) -> str:
    return Template(template, "test").of(function)(arguments, keywords)


def test_arguments_are_found_however_they_are_passed() -> None:
    def load(first: int, /, second: str, *rest: int, third: int = 3, **more: int) -> None: ...

    template = "x:{first}:{second}:{third}"
    assert call(template, load, 1, "b") == "x:1:b:3"
    assert call(template, load, 1, second="b", third=4) == "x:1:b:4"
    assert call(template, load, 1, "b", 9, third=4, other=5) == "x:1:b:4"
    assert call("plain", load, 1, "b") == "plain"


def test_a_value_cannot_forge_the_text_around_it() -> None:
    def load(a: str, b: str) -> None: ...

    assert call("{a}:{b}", load, "1:2", "3") != call("{a}:{b}", load, "1", "2:3")


def test_a_missing_argument_is_the_error_of_the_call_itself() -> None:
    def load(user_id: int) -> None: ...

    with pytest.raises(TypeError, match="missing a required argument: 'user_id'"):
        call("{user_id}", load)


@pytest.mark.parametrize(
    "template", ["{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>3}", "{a", "a}", "{{a}}", "50%", "{missing}", "{rest}", "{self}"]
)
def test_a_template_that_does_not_fit_is_refused_when_decorated(template: str) -> None:
    def load(self: object, a: int, *rest: int) -> None: ...

    with pytest.raises(MappingError, match="template"):
        Template(template, "test").of(load)

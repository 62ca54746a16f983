"""Scalars as readable text: one by one, and many of one type in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from operator import attrgetter
from typing import Any
from uuid import UUID

from pydantic_core import to_json, to_jsonable_python

__all__ = ["AS_IT_IS", "SPELLINGS", "TOGETHER", "Text"]

Text = str | bytes | int
"""What a value is spelled as: one argument of a command."""

_TRUTH = {True: "1", False: "0"}
_OFFSET_OF_SECONDS = frozenset((28, 35, 42))
"""Lengths of ISO datetimes whose offset has seconds, which Pydantic does not read; such an instant is spelled in UTC."""
_TIME_WITH_SECONDS = frozenset((17, 24, 31))
"""Those of ISO times, likewise."""
_MINUTE = timedelta(minutes=1)


def _spell_datetime(value: datetime) -> str:
    text = value.isoformat()
    if len(text) not in _OFFSET_OF_SECONDS:
        return text
    try:
        return value.astimezone(timezone.utc).isoformat()
    except OverflowError:  # within a day of the first year or the last one
        return _in_minutes(value).isoformat()


def _in_minutes(value: datetime) -> datetime:
    """The same instant at an offset of whole minutes near to its own, where that does not lead out of the calendar."""
    offset = value.utcoffset()
    assert offset is not None
    shift = -(offset % _MINUTE) if offset > timedelta() else -offset % _MINUTE
    try:
        return value.replace(tzinfo=timezone(offset + shift)) + shift
    except OverflowError:
        shift += _MINUTE if shift < timedelta() else -_MINUTE
        return value.replace(tzinfo=timezone(offset + shift)) + shift


def _spell_time(value: time) -> str:
    text = value.isoformat()
    if len(text) not in _TIME_WITH_SECONDS:
        return text
    day = date.max if "-" in text else date.min  # of which nothing leads over midnight
    return _in_minutes(datetime.combine(day, value)).timetz().isoformat()


def _spell_timedelta(value: timedelta) -> str:
    return str(to_jsonable_python(value))


SPELLINGS: dict[type, Callable[[Any], Text]] = {
    str: str.__str__,
    int: int.__repr__,
    float: float.__repr__,
    bool: _TRUTH.__getitem__,
    bytes: bytes,
    Decimal: Decimal.__str__,
    datetime: _spell_datetime,
    date: date.isoformat,
    time: _spell_time,
    timedelta: _spell_timedelta,
    UUID: UUID.__str__,
}
_zone = attrgetter("tzinfo")
_PLAIN_ZONES = frozenset((None, timezone.utc))


def _spell_datetimes(values: Sequence[datetime]) -> list[str]:
    """Spell many datetimes in one call, where nothing but the notation of UTC parts Pydantic's text from ours."""
    if not values or not _PLAIN_ZONES.issuperset(map(_zone, values)):
        return list(map(_spell_datetime, values))
    return to_json(values).decode().replace('Z"', '+00:00"')[2:-2].split('","')


def _spell_integers(values: Sequence[int]) -> Iterable[str]:
    return to_json(values)[1:-1].decode().split(",") if values else ()


def _spell_floats(values: Sequence[float]) -> Iterable[str]:
    return map(repr, values)


TOGETHER: dict[tuple[type, Any], Callable[[Sequence[Any]], Iterable[Text]]] = {
    (int, int.__repr__): _spell_integers,
    (float, float.__repr__): _spell_floats,
    (datetime, _spell_datetime): _spell_datetimes,
}
"""How many values of one type are spelled, where that is faster in one go."""

AS_IT_IS = frozenset((str, int, bytes))
"""Values that are their own text."""

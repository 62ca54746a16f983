"""Numbers and times as scores of a sorted set, which are doubles: exactly, or on which side of one.

It knows values, and nothing of fields or indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import isfinite, isnan
from typing import Any

from pydantic_core import to_json

__all__ = ["EXACT_INTEGER", "SCORES", "nearest_score", "no_score", "ordinal", "plain_scores"]

EXACT_INTEGER = 2**53
"""Up to here a double holds every integer, and a score of a sorted set is a double."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def _integer(value: Any) -> str:
    if not -EXACT_INTEGER <= value <= EXACT_INTEGER:
        raise ValueError("an ordered index holds integers up to 2**53 exactly")
    return int.__repr__(value)


def _float(value: Any) -> str:
    if isnan(value):
        raise ValueError("NaN has no place in an order")
    return float.__repr__(value)


def _decimal(value: Any) -> str:
    if not value.is_finite():
        if value.is_nan():
            raise ValueError("NaN has no place in an order")
        return "inf" if value > 0 else "-inf"
    number = float(value)
    if not isfinite(number) or Decimal(repr(number)) != value:
        raise ValueError("it does not come back the same from a double")
    return repr(number)


def _seconds(span: timedelta) -> str:
    microseconds = span // _MICROSECOND
    number = microseconds / 1_000_000
    if round(number * 1_000_000) != microseconds:
        raise ValueError("a double does not hold it to the microsecond")
    return repr(number) if microseconds % 1_000_000 else str(microseconds // 1_000_000)


def _datetime(value: Any) -> str:
    return _seconds((value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)) - _EPOCH)


def _date(value: Any) -> str:
    return str((value - _EPOCH.date()).days * 86_400)


def _time(value: Any) -> str:
    return _seconds(_since_midnight(value))


def _since_midnight(value: time) -> timedelta:
    span = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return span - (value.utcoffset() or timedelta())


def plain_scores(numbers: Sequence[float]) -> list[str]:
    """The scores of floats of which none is NaN, in one go."""
    if not isfinite(sum(numbers)):
        return list(map(float.__repr__, numbers))
    return to_json(numbers)[1:-1].decode().split(",") if numbers else []


def no_score(value: Any) -> str:
    """The score of a value of an index without an order: there is none."""
    raise AssertionError(f"no score for {value!r}: the index has no order")


SCORES: dict[Any, Callable[[Any], str]] = {
    int: _integer,
    float: _float,
    Decimal: _decimal,
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: _seconds,
}


def nearest_score(value: Any) -> tuple[str, int]:
    """The score nearest to a number or time that a condition names, and where it lies: -1 below the value, 0 on it, 1 above it.

    Scores are rounded from values in their order, so a row whose score is less than this one has the lesser value, whatever was
    lost in between; only of the score itself the side has to tell.
    """
    if isinstance(value, int):
        try:
            number = float(value)
        except OverflowError:
            return ("inf", 1) if value > 0 else ("-inf", -1)
        return _plain(number), _sign(int(number), value)
    if isinstance(value, (float, Decimal)):
        number = float(value)
        return _plain(number), _sign(Decimal(repr(number)), value) if isinstance(value, Decimal) else 0
    microseconds = ordinal(value) // _MICROSECOND
    number = microseconds / 1_000_000
    return _plain(number), _sign(round(number * 1_000_000), microseconds)


def _plain(number: float) -> str:
    return repr(number).removesuffix(".0")


def _sign(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def ordinal(value: Any) -> Any:
    """A number as it is, a date or time as a duration, so that values of one field can be compared whatever their offsets."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)) - _EPOCH
    if isinstance(value, date):
        return value - _EPOCH.date()
    if isinstance(value, time):
        return _since_midnight(value)
    return value

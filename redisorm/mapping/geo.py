"""`GeoPoint`: a position on Earth as a value. It knows neither Redis nor keys."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from redisorm.expressions import MOST_LATITUDE

__all__ = ["GeoPoint", "metres", "settled"]

_EARTH_M = 6372797.560856
_CELLS = 2**26


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A position in degrees, WGS 84: longitude from -180 to 180, latitude from -90 to 90, both included.

    It is stored exactly, as JSON text in one hash field. A geo index holds it to about half a metre, and only up to 85.05112878
    degrees north and south.

    Raises:
        ValueError: A degree is out of range or no number.
    """

    lon: float
    lat: float

    def __post_init__(self) -> None:
        lon, lat = float(self.lon), float(self.lat)
        if not -180 <= lon <= 180:
            raise ValueError(f"longitude {self.lon!r} must be from -180 to 180 degrees")
        if not -90 <= lat <= 90:
            raise ValueError(f"latitude {self.lat!r} must be from -90 to 90 degrees")
        object.__setattr__(self, "lon", lon)
        object.__setattr__(self, "lat", lat)


def metres(lon: float, lat: float, other_lon: float, other_lat: float) -> float:
    """The distance of two positions over a sphere, by the haversine formula and the radius that Redis uses."""
    u = sin(radians(other_lat - lat) / 2)
    v = sin(radians(other_lon - lon) / 2)
    return 2 * _EARTH_M * asin(min(1.0, sqrt(u * u + cos(radians(lat)) * cos(radians(other_lat)) * v * v)))


def settled(point: GeoPoint) -> tuple[float, float]:
    """Longitude and latitude as a geo index holds them: the middle of a cell, of which there are 2**26 each way."""
    return _middle(point.lon, 180.0), _middle(point.lat, MOST_LATITUDE)


def _middle(degrees: float, most: float) -> float:
    cell = min(int((degrees + most) / (2 * most) * _CELLS), _CELLS - 1)
    return (cell + 0.5) / _CELLS * 2 * most - most

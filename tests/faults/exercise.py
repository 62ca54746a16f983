"""Each part of the library used as widely as its commands go: what a user with few rights must still be able to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from redisorm import (
    Cache,
    Channel,
    Database,
    Event,
    Field,
    GeoPoint,
    Limit,
    Lock,
    Message,
    RateLimiter,
    RedisCounter,
    RedisDict,
    RedisList,
    RedisModel,
    RedisSet,
    RedisSortedSet,
    RedisValue,
    Session,
    SortedSet,
    Stream,
    UnsupportedServerError,
    Worker,
    col,
    desc,
)

__all__ = ["FEATURES"]


class Shop(RedisModel, prefix="shop_", ttl=1000):
    """Every kind of index and companion, and a life."""

    id: int | None = None
    name: str = Field(default="", index="lex")
    city: str | None = Field(default=None, index=True)
    stock: int = Field(default=0, index=True)
    opened: datetime = Field(default=datetime(2026, 1, 1, tzinfo=timezone.utc), index=True)
    email: str | None = Field(default=None, unique=True)
    place: GeoPoint = Field(default=GeoPoint(lon=0, lat=0), index="geo")
    tags: set[str] = Field(default=set(), index=True)
    jobs: list[str] = Field(default=[], index=True)
    scores: SortedSet[str] = SortedSet()


class Plain(RedisModel, prefix="plain", versioned=True):
    """No index, and a version."""

    id: int
    text: str | None = None
    jobs: list[str] = []


class Bare(RedisModel, prefix="bare"):
    """A row that is its hash alone."""

    id: int
    text: str


class Brief(RedisModel, prefix="brief"):
    """A field with a life of its own."""

    id: int
    code: str | None = Field(default=None, ttl=30)


class Many(RedisModel, prefix="many"):
    """More rows than one page of a query."""

    id: int
    number: int = Field(index=True)
    half: str = Field(index=True)


class Fresh(RedisModel, prefix="fresh", ttl=100, ttl_refresh="read"):
    """A life that reads restart."""

    id: int


class Placed(Event, stream="placed"):
    """An event."""

    number: int


class Said(Message, channel="said.{who}"):
    """A message."""

    who: str


class Whispered(Said, channel="said.{who}", sharded=True):
    """A message on a sharded channel."""


def rows(db: Database) -> None:
    """Commits, loads and lives of rows with every kind of field."""
    with Session.begin(db) as session:
        session.add_all(Shop(name=f"n{n}", city="Oslo", stock=n, email=f"{n}@x", tags={"a"}, jobs=["x", "y"]) for n in range(5))
        session.add_all([Plain(id=1, text="a", jobs=["a", "b"]), Fresh(id=1)])
        session.add(Shop(id=50, name="explicit"), ttl=5000)
    with Session(db) as session:
        bare = Bare(id=1, text="a")
        session.add(bare)
        session.commit()
        bare.text = "b"
        session.commit()
    with Session(db) as session, suppress(UnsupportedServerError):  # of Redis 7.0
        session.add(Brief(id=1, code="x"))
        session.commit()
    with Session.begin(db) as session:
        first, second = session.get_one(Shop, 1), session.get_one(Shop, 2)
        first.city, first.email, first.place = None, "new@x", GeoPoint(lon=10, lat=60)
        first.tags.add("b")
        first.jobs.insert(0, "w")
        first.scores["m"] = 1.5
        second.jobs.pop()
        second.tags.discard("a")
        session.increment(second, "stock", 5)
        session.expire(session.get_one(Shop, 3), None)
        session.delete(session.get_one(Shop, 4))
    with Session(db) as session:
        assert session.get_by(Shop, email="new@x") is session.get_one(Shop, 1)
        plain = session.get_one(Plain, 1)
        plain.text = None
        del plain.jobs[0]
        session.commit()
        assert session.exists(Plain, 1)
        assert session.get(Plain, 2) is None
        session.refresh(plain)
        assert session.get_one(Fresh, 1).id == 1
        plain.time_to_live()
        first = session.get_one(Shop, 1)
        first.scores = SortedSet()
        first.tags.discard("a")
        session.commit()


def queries(db: Database) -> None:
    """Conditions of each kind, orders, counts and bulk changes."""
    with Session.begin(db) as session:
        session.add_all(
            Shop(id=n, name=f"n{n}", city="Oslo" if n % 2 else "Lima", stock=n, place=GeoPoint(lon=n / 10, lat=60), tags={f"t{n % 3}"})
            for n in range(1, 40)
        )
        session.add(Plain(id=1))
    with Session(db) as session:
        session.add_all(Many(id=n, number=n // 3, half="ab"[n % 2]) for n in range(1100))
        session.commit(batch=300)
    with Session(db) as session:
        find = session.find
        assert find(Shop, Shop.city == "Oslo", Shop.stock >= 30).order_by(desc(Shop.stock)).limit(3).count() == 3
        assert len(find(Shop, (Shop.stock < 5) | (Shop.city != "Oslo"), ~(col(Shop.city) == "Rome")).all()) > 4
        assert find(Shop, col(Shop.name).startswith("n1")).count() == 11
        assert find(Shop, col(Shop.tags).contains("t1"), Shop.city == "Oslo").count() == 7
        assert find(Shop, col(Shop.place).within(km=50, lon=1, lat=60)).exists()
        assert find(Shop, col(Shop.tags).contains("t1"), col(Shop.city).in_(["Oslo", "Lima"])).order_by(Shop.name).offset(2).first()
        assert find(Shop, col(Shop.stock).between(3, 6), Shop.email == None).count() == 4  # noqa: E711 - an expression
        assert len(list(find(Shop).order_by(Shop.name))) == 39
        assert find(Plain).count() == 1
        assert len(find(Shop, Shop.stock > 3, city="Oslo").order_by(Shop.name).all()) == 18
        assert len(find(Many, Many.number >= 100, half="a").all()) == 400
        for order in (Many.number, desc(Many.number)):
            assert len(list(find(Many).order_by(order))) == 1100
        assert find(Shop, city="Oslo").update(city="Rome") == 20
        assert find(Shop, Shop.stock > 35).delete() == 4
    assert db.check(Many).ok


def upkeep(db: Database) -> None:
    """Looking after what is stored."""
    rows(db)
    db.sweep(Shop)
    db.repair(Shop)
    db.reindex(Shop)
    assert db.check(Shop).ok
    assert db.check(Plain).ok


def structures(db: Database) -> None:
    """Most methods of each handle."""
    _lists(db)
    _sets(db)
    _sorted_sets(db)
    settings = RedisDict[str, int]("settings", db=db, ttl=100)
    settings.update({"a": 1, "b": 2})
    settings.setdefault("c", 3)
    assert (settings["a"], settings.get("z"), "b" in settings, len(settings)) == (1, None, True, 3)
    assert settings.get_many(["a", "z"]) == [1, None]
    settings.increment("a", 2)
    assert sorted(settings) == ["a", "b", "c"]
    assert settings.pop("b") == 2
    settings.popitem()
    settings.copy()
    settings.clear()
    token = RedisValue[str]("token", db=db, ttl=100)
    token.set("x")
    assert token.get() == "x"
    token.get_and_set("y")
    token.get_and_refresh()
    token.compare_and_set("y", "z")
    token.get_and_delete()
    hits = RedisCounter("hits", db=db)
    hits.increment()
    hits.decrement()
    hits.increment_within(1, high=60)
    hits.compare_and_set(1, 7)
    assert hits.get() == 7
    hits.reset()
    token.set("x")
    token.expire(50)
    token.expire(None)
    assert token.time_to_live() is None
    token.delete()


def _lists(db: Database) -> None:
    queue = RedisList[str]("queue", db=db)
    queue.push("a", "b", "c")
    queue.push_left("z")
    assert (queue[0], queue[1:3], len(queue), "b" in queue, queue.index("c"), queue.count("a")) == ("z", ["a", "b"], 4, True, 3, 1)
    queue[1] = "A"
    queue.insert(1, "i")
    queue.remove("i")
    del queue[1]
    queue[0:1] = ["q", "r"]
    queue.reverse()
    queue.sort()
    queue.extend(["s", "t", "u"])
    queue.trim(0, 6)
    assert len(list(queue)) == 6
    other = RedisList[str]("other", db=db)
    queue.move(other)
    queue.move(other, timeout=1)
    queue.pop()
    queue.pop_left()
    queue.pop_left(timeout=1)
    queue.clear()
    assert queue.pop(timeout=0.01) is None
    queue.clear()
    other.delete()


def _sets(db: Database) -> None:
    tags, more = RedisSet[str]("tags", db=db), RedisSet[str]("more", db=db)
    tags.update(["a", "b", "c"])
    more.update(["b", "x"])
    assert ("a" in tags, tags.contains_many(["a", "z"]), len(tags)) == (True, [True, False], 3)
    assert (tags & more, tags | more, tags - more) == ({"b"}, {"a", "b", "c", "x"}, {"a", "c"})
    assert not tags.isdisjoint(more)
    tags.sample(2)
    kept = RedisSet[str]("kept", db=db)
    assert (tags.intersection_store(kept, more), tags.union_store(kept, more), tags.difference_store(kept, more)) == (1, 4, 2)
    tags.discard("a")
    tags.move("b", more)
    assert set(tags) == {"c"}
    tags |= {"d"}
    tags.update({"e"})
    tags.pop()
    tags.clear()


def _sorted_sets(db: Database) -> None:
    board = RedisSortedSet[str]("board", db=db)
    board.update({"Ann": 3, "Bob": 1, "Cy": 2})
    board.increment("Ann", 2)
    assert (board["Ann"], board.rank("Ann"), board.rank("Ann", ascending=True), len(board)) == (5, 0, 2, 3)
    assert board.top(1) == [("Ann", 5)]
    assert board.bottom(1) == [("Bob", 1)]
    assert (board.between(1, 2), board.count_between(1, 2)) == ([("Bob", 1), ("Cy", 2)], 2)
    board.get_many(["Ann", "z"])
    board.ranked(0, 2)
    board.around("Cy", 1)
    assert list(board) == ["Bob", "Cy", "Ann"]
    board.remove_between(1, 1)
    board.remove_ranks(0, 1)
    board["Di"] = 9
    board.pop_highest()
    board.pop_lowest()
    board.update({"Ed": 1})
    board.pop_lowest(timeout=1)
    board.pop_lowest(timeout=0.01)
    board.clear()


def channels(db: Database) -> None:
    """Publish and subscribe."""
    with Channel(db, Whispered).subscribe(who="ann") as feed:
        Channel(db, Whispered).publish(Whispered(who="ann"))
        assert feed.get(timeout=5) == Whispered(who="ann")
    with Channel(db, Said).subscribe(who="ann") as feed, Channel(db, Said).subscribe() as every:
        Channel(db, Said).publish(Said(who="ann"))
        assert feed.get(timeout=5) == every.get(timeout=5) == Said(who="ann")


def streams(db: Database) -> None:
    """Append and read events, and emit one with a commit."""
    stream = Stream(db, Placed)
    stream.append(Placed(number=1))
    assert [entry.event for entry in stream.read(count=5)] == [Placed(number=1)]
    assert stream.size() == 1


def outbox(db: Database) -> None:
    """Events and messages in the transaction of a commit."""
    with Session.begin(db) as session:
        session.add(Plain(id=1))
        session.emit(Placed(number=2))
        session.publish(Said(who="ann"))
        session.publish(Whispered(who="ann"))


def workers(db: Database) -> None:
    """A group whose first worker dies, whose second fails at first, and that gives one event up."""
    stream = Stream(db, Placed)
    for number in (1, 2, 3):
        stream.append(Placed(number=number))
    seen: list[int] = []
    worker = Worker(db, group="billing", retries=1, retry_delay=0.01, lease=0.3, on_error=lambda error, failed: None)

    @worker.on(Placed)
    def bill(event: Placed, session: Session) -> None:
        seen.append(event.number)
        session.add(Plain(id=event.number))
        if event.number == 2 or (event.number == 3 and seen.count(3) == 1):
            raise ValueError("not yet")

    worker.run(once=True)
    assert seen.count(2) == 2
    (letter,) = worker.dead_letters(Placed)
    letter.requeue()
    assert not letter.discard()
    worker.run(once=True)
    (letter,) = worker.dead_letters(Placed)
    assert letter.discard()
    assert worker.backlog().pending == 0


def locks(db: Database) -> None:
    """Take, hold, wait for and release."""
    with Lock(db, "stocktake", ttl=5, wait=1) as lock:
        lock.check()
        waiting = threading.Thread(target=lambda: Lock(db, "stocktake", ttl=5, wait=5).acquire().release())
        waiting.start()
        time.sleep(0.1)
    waiting.join()


def limits(db: Database) -> None:
    """Both algorithms."""
    for algorithm in ("gcra", "sliding"):
        limiter = RateLimiter(db, f"login-{algorithm}", Limit(2, per=60), Limit(9, per=600), algorithm=algorithm)
        assert [limiter.hit("ann").allowed for _ in range(4)] == [True, True, False, False]
        assert not limiter.peek("ann").allowed
        limiter.reset("ann")


def caches(db: Database) -> None:
    """Load, remember, refresh and forget."""
    cache = Cache(db, prefix="cache", ttl=100)

    @cache.memoize("square:{number}", tags=["squares"])
    def square(number: int) -> int:
        return number * number

    assert (square(3), square(3), square.refresh(3)) == (9, 9, 9)
    square.invalidate(3)
    square(4)
    cache.invalidate_tag("squares")


FEATURES: dict[str, tuple[Callable[[Database], Any], ...]] = {
    "Models": (rows, queries, upkeep),
    "Live structures": (structures,),
    "Messages": (channels,),
    "Events": (streams, outbox),
    "Workers": (workers,),
    "Locks": (locks, limits, caches),
}

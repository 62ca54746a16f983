"""What people do with Redis every day, as plain commands: each is read by its typed counterpart here, and reads what that writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redisorm import (
    Channel,
    Database,
    Event,
    Limit,
    Message,
    RateLimiter,
    RedisList,
    RedisModel,
    RedisSet,
    RedisSortedSet,
    RedisValue,
    Session,
    SortedSet,
    Stream,
    Worker,
)


class User(RedisModel, prefix="user", ttl=3600):
    id: int
    name: str
    email: str | None = None
    age: int = 0


class Post(RedisModel, prefix="post"):
    id: int
    tags: set[str] = set()
    jobs: list[str] = []
    scores: SortedSet[str] = SortedSet()


class News(Message, channel="news"):
    text: str


class Ordered(Event, stream="events:orders"):
    user_id: int
    amount: float
    item: str


def plain(reply: Any) -> Any:
    """A reply as text, whatever the protocol."""
    if isinstance(reply, bytes):
        return reply.decode()
    if isinstance(reply, dict):
        return {plain(name): plain(value) for name, value in reply.items()}
    return [plain(one) for one in reply] if isinstance(reply, (list, tuple, set)) else reply


@pytest.fixture
def do(db: Database) -> Callable[[str], Any]:
    """Send a line as it would be typed into redis-cli."""
    client: Any = db.client
    return lambda line: plain(client.execute_command(*line.split()))


def test_one_value_with_a_life(db: Database, do: Callable[[str], Any]) -> None:
    do("SET user:1:name Alice")
    assert RedisValue[str]("user:1:name", db=db).get() == "Alice"
    do("SETEX session:abc 3600 user_id=1")
    token = RedisValue[str]("session:abc", db=db, ttl=3600)
    assert token.get() == "user_id=1"
    token.set("user_id=2")
    assert do("GET session:abc") == "user_id=2"
    assert 3590 < do("TTL session:abc") <= 3600


def test_an_object_and_a_cached_one(db: Database, do: Callable[[str], Any]) -> None:
    do("HSET user:1 name Alice email alice@example.com age 30")
    do("EXPIRE user:1 60")
    with Session(db) as session:
        alice = session.get_one(User, 1)
        assert (alice.name, alice.email, alice.age) == ("Alice", "alice@example.com", 30)
        alice.age += 1
        session.add(User(id=2, name="Bob"))
        session.commit()
    assert do("HGET user:1 age") == "31"
    assert do("HGETALL user:2") == {"id": "2", "name": "Bob", "age": "0"}
    assert 3590 < do("TTL user:1") <= 3600
    assert 3590 < do("TTL user:2") <= 3600


def test_a_queue_tags_and_a_leaderboard(db: Database, do: Callable[[str], Any]) -> None:
    do("LPUSH queue:jobs job1 job2 job3")
    queue = RedisList[str]("queue:jobs", db=db)
    assert queue == ["job3", "job2", "job1"]
    assert queue.pop() == "job1"
    assert do("RPOP queue:jobs") == "job2"
    queue.push_left("job4")
    assert do("LRANGE queue:jobs 0 -1") == ["job4", "job3"]
    do("SADD tags:post:1 python redis backend")
    tags = RedisSet[str]("tags:post:1", db=db)
    assert tags == {"python", "redis", "backend"}
    tags.add("fast")
    assert do("SISMEMBER tags:post:1 fast") == 1
    do("ZADD leaderboard 1500 Alice 2200 Bob 1800 Carol")
    board = RedisSortedSet[str]("leaderboard", db=db)
    assert board.top(3) == [("Bob", 2200.0), ("Carol", 1800.0), ("Alice", 1500.0)]
    board["Dan"] = 3000
    assert do("ZREVRANGE leaderboard 0 1") == ["Dan", "Bob"]


def test_the_same_as_fields_of_an_object(db: Database, do: Callable[[str], Any]) -> None:
    for line in ("HSET post:1 id 1", "SADD post:1:tags python", "RPUSH post:1:jobs job1", "ZADD post:1:scores 2 Bob 1 Alice"):
        do(line)
    with Session(db) as session:
        post = session.get_one(Post, 1)
        assert (post.tags, post.jobs, post.scores.top(1)) == ({"python"}, ["job1"], [("Bob", 2.0)])
        post.tags.add("redis")
        post.jobs.append("job2")
        post.scores.add("Carol", 3)
        session.commit()
    assert sorted(do("SMEMBERS post:1:tags")) == ["python", "redis"]
    assert do("LRANGE post:1:jobs 0 -1") == ["job1", "job2"]
    assert do("ZREVRANGE post:1:scores 0 0") == ["Carol"]


def test_a_rate_limit_leaves_no_key_for_ever(db: Database, do: Callable[[str], Any]) -> None:
    limiter = RateLimiter(db, "rate", Limit(60, per=60))
    assert limiter.hit("192.0.2.1").remaining == 59
    (key,) = do("KEYS *192.0.2.1*")
    assert 0 < do(f"PTTL {key}") <= 60_000


def test_a_published_payload_is_the_json_of_the_message(db: Database, do: Callable[[str], Any]) -> None:
    with Channel(db, News).subscribe() as feed:
        do('PUBLISH news {"text":"hello"}')
        assert feed.get(timeout=2) == News(text="hello")
    client: Any = db.client
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("news")
    assert listener.get_message(timeout=2) is None  # it is confirmed
    Channel(db, News).publish(News(text="hello"))
    told: Any = None
    while told is None:
        told = listener.get_message(timeout=2)
    assert plain(told["data"]) == '{"text":"hello"}'
    listener.close()


def test_events_as_a_durable_queue(db: Database, do: Callable[[str], Any]) -> None:
    do("XADD events:orders * user_id 123 amount 49.99 item laptop")
    do("XGROUP CREATE events:orders workers 0 MKSTREAM")
    Stream(db, Ordered).append(Ordered(user_id=1, amount=2.5, item="pen"))
    handled: list[str] = []
    worker = Worker(db, group="workers")

    @worker.on(Ordered)
    def handle(event: Ordered, session: Session) -> None:
        handled.append(event.item)

    worker.run(once=True)
    assert handled == ["laptop", "pen"]
    assert do("XACK events:orders workers " + do("XADD events:orders * user_id 2 amount 1 item cup")) == 0
    assert db.client.xpending("events:orders", "workers")["pending"] == 0
    entry_id = Stream(db, Ordered).append(Ordered(user_id=3, amount=1.0, item="mug"))
    told = str(do("XREADGROUP GROUP workers consumer1 COUNT 10 STREAMS events:orders >"))
    assert told.index("'cup'") < told.index(entry_id) < told.index("'mug'")
    assert do(f"XACK events:orders workers {entry_id}") == 1

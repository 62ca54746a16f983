"""Objects and what is told of them in one transaction: `session.emit` and `session.publish`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from redisorm import (
    AsyncSession,
    AsyncStream,
    BackendError,
    Channel,
    Database,
    Event,
    Field,
    Message,
    RedisModel,
    Session,
    StaleObjectError,
    Stream,
    WrongTypeError,
)
from tests.servers import Server


class Order(RedisModel, prefix="order", versioned=True):
    id: int
    total: int = Field(default=0, index=True)


class Parcel(RedisModel, prefix="parcel"):
    id: int
    total: int = 0


KINDS = pytest.mark.parametrize("kind", [Order, Parcel])
"""A class whose rows have entries beside them, and one whose rows are a hash alone."""


class OrderPlaced(Event, stream="orders"):
    order_id: int


class OrderSeen(Message, channel="order.{order_id}"):
    order_id: int


class Note(RedisModel, prefix="note"):
    id: int | None = None
    text: str = ""


def placed(db: Database) -> list[int]:
    return [entry.event.order_id for entry in Stream(db, OrderPlaced).read()]


def test_row_gets_its_number_in_the_commit_that_tells_of_it(db: Database) -> None:
    with Session.begin(db) as session:
        session.add(note := Note(text="a"))
        session.emit(OrderPlaced(order_id=1))
    assert (note.id, placed(db)) == (1, [1])
    with Session(db) as session:
        assert session.get_one(Note, 1) == Note(id=1, text="a")


def test_object_event_and_message_go_together(db: Database) -> None:
    with Channel(db, OrderSeen).subscribe() as feed, Session(db) as session:
        session.add(Order(id=1))
        session.emit(OrderPlaced(order_id=1))
        session.publish(OrderSeen(order_id=1))
        assert placed(db) == []
        assert feed.get(timeout=0.05) is None
        session.commit()
        assert placed(db) == [1]
        assert feed.get(timeout=2) == OrderSeen(order_id=1)
        assert session.commit().round_trips == 0
        assert placed(db) == [1]


def test_object_event_and_message_go_together_async(db: Database) -> None:
    async def main() -> None:
        async with AsyncSession(db) as session:
            session.add(Order(id=1))
            session.emit(OrderPlaced(order_id=1))
            session.publish(OrderSeen(order_id=1))
            await session.commit()
        assert [entry.event for entry in await AsyncStream(db, OrderPlaced).read()] == [OrderPlaced(order_id=1)]
        await db.aclose()

    asyncio.run(main())


def test_commit_of_an_event_alone(db: Database) -> None:
    with Session.begin(db) as session:
        session.emit(OrderPlaced(order_id=1))
        session.emit(OrderPlaced(order_id=2))
    assert placed(db) == [1, 2]


@KINDS
def test_commit_with_an_event_is_one_round_trip_where_the_server_runs_scripts(server: Server, kind: Any) -> None:
    with Database(server.url) as db, Session(db) as session:
        session.add(kind(id=1))
        session.emit(OrderPlaced(order_id=1))
        session.commit()
        session.get_one(kind, 1).total = 5
        session.emit(OrderPlaced(order_id=2))
        session.publish(OrderSeen(order_id=1))
        assert session.commit().round_trips == 1
        with Session(db) as other:
            assert other.get_one(kind, 1).total == 5
        assert placed(db) == [1, 2]


def test_row_that_is_otherwise_than_expected_is_looked_at_and_written_with_the_event(db: Database) -> None:
    db.client.hset("parcel:1", mapping={"id": "1", "total": "7"})
    with Session(db) as session:
        session.add(Parcel(id=1, total=0))
        session.emit(OrderPlaced(order_id=1))
        session.commit()
        parcel = session.get_one(Parcel, 1)
        db.client.delete("parcel:1")
        parcel.total = 5
        session.emit(OrderPlaced(order_id=2))
        with pytest.raises(StaleObjectError, match="Parcel 1 is gone"):
            session.commit()
        assert (placed(db), db.client.exists("parcel:1")) == ([1], 0)
        session.rollback()


def test_rollback_drops_events_and_messages(db: Database) -> None:
    with Channel(db, OrderSeen).subscribe() as feed, Session(db) as session:
        session.emit(OrderPlaced(order_id=1))
        session.publish(OrderSeen(order_id=1))
        session.rollback()
        session.commit()
        assert placed(db) == []
        assert feed.get(timeout=0.05) is None


def test_leaving_without_a_commit_drops_events_and_says_so(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="redisorm"), Session(db) as session:
        session.emit(OrderPlaced(order_id=1))
        session.publish(OrderSeen(order_id=1))
    assert placed(db) == []
    assert ["0 new, 0 changed, 0 to delete, 2 to send" in record.getMessage() for record in caplog.records] == [True]


def test_failed_commit_sends_nothing_and_keeps_the_event_for_the_next(db: Database) -> None:
    Session.retry(lambda session: session.add(Order(id=1)), db)
    with Session(db) as mine, Session(db) as theirs:
        mine.get_one(Order, 1).total = 1
        mine.emit(OrderPlaced(order_id=1))
        theirs.get_one(Order, 1).total = 2
        theirs.commit()
        with pytest.raises(StaleObjectError):
            mine.commit()
        assert placed(db) == []
        mine.refresh(mine.get_one(Order, 1))
        mine.commit()
        assert placed(db) == [1]


def test_batches_tell_at_the_end(db: Database) -> None:
    with Session(db) as session:
        session.add_all([Order(id=n) for n in range(25)])
        session.emit(OrderPlaced(order_id=25))
        session.commit(batch=10)
    assert placed(db) == [25]
    assert Session(db).get_many(Order, range(25)).count(None) == 0


@KINDS
def test_stream_key_of_another_type_stops_the_whole_commit(db: Database, kind: Any) -> None:
    db.client.set("orders", "x")
    with Session(db) as session:
        session.add(kind(id=1))
        session.emit(OrderPlaced(order_id=1))
        with pytest.raises(WrongTypeError, match="orders is a string where a stream is needed; nothing was written") as caught:
            session.commit()
        assert (caught.value.key, caught.value.expected, caught.value.found) == ("orders", "stream", "string")
        assert not session.exists(kind, 2)
        with Session(db) as other:
            assert not other.exists(kind, 1)
        db.client.delete("orders")
        session.commit()
    assert placed(db) == [1]


def test_user_without_scripts_commits_events_all_the_same(server: Server) -> None:
    server.ask("ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-@scripting")
    with Database(server.url, username="plain", password="pw") as db:
        with Session(db) as session:
            session.add(Order(id=1))
            session.emit(OrderPlaced(order_id=1))
            assert session.commit().round_trips == 2
        assert placed(db) == [1]
        with Session(db) as session:
            db.client.delete("orders")
            db.client.set("orders", "x")
            session.add(Order(id=2))
            session.emit(OrderPlaced(order_id=2))
            with pytest.raises(WrongTypeError, match="orders is a string"):
                session.commit()
            session.rollback()
        assert db.client.exists("order:2") == 0
    server.ask("ACL", "DELUSER", "plain")


@KINDS
@pytest.mark.parametrize("rights", [("~order:*", "~parcel:*", "+@all"), ("~*", "+@all", "-xadd"), ("~*", "+@all", "-hset")])
def test_user_who_may_not_write_the_stream_or_the_row_writes_nothing(server: Server, kind: Any, rights: tuple[str, ...]) -> None:
    server.ask("ACL", "SETUSER", "orderer", "on", ">pw", "&*", *rights)
    with Database(server.url, username="orderer", password="pw") as db, Session(db) as session:
        session.add(kind(id=1))
        session.emit(OrderPlaced(order_id=1))
        with pytest.raises(BackendError, match="NOPERM") as error:
            session.commit()
        assert error.value.code == "NOPERM"
        session.rollback()
        assert not session.exists(kind, 1)
    server.ask("ACL", "DELUSER", "orderer")
    with Database(server.url) as db:
        assert placed(db) == []


@pytest.mark.parametrize("parts", [1, 2])
def test_full_server_publishes_nothing_of_a_commit_that_it_refuses(server: Server, parts: int) -> None:
    """A script that has written nothing yet may publish, and is refused its first write after that."""
    with Database(server.url) as db, Channel(db, OrderSeen).subscribe() as feed, Session(db) as session:
        for number in range(parts):
            session.publish(OrderSeen(order_id=number))
        session.emit(OrderPlaced(order_id=1))
        db.client.config_set("maxmemory", 1)
        try:
            with pytest.raises(BackendError, match="OOM"):
                session.commit()
        finally:
            db.client.config_set("maxmemory", 0)
        assert feed.get(timeout=0.1) is None
        session.commit()
        assert [feed.get(timeout=2) for _ in range(parts)] == [OrderSeen(order_id=number) for number in range(parts)]
        assert placed(db) == [1]


def test_event_is_what_it_was_when_it_was_emitted(db: Database) -> None:
    event = OrderPlaced(order_id=1)
    with Session.begin(db) as session:
        session.emit(event)
        event.order_id = 2
    assert placed(db) == [1]

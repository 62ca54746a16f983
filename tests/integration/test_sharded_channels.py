"""Sharded channels on every server and on a cluster of one node, in both colours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from redisorm import AsyncChannel, AsyncRedisModel, AsyncSession, BackendError, Channel, Database, Message, RedisModel, Session
from tests.listening import lines_at, soon, soon_async
from tests.servers import Server


class Price(Message, channel="prices:{symbol}", sharded=True):
    symbol: str
    value: int


class Bulletin(Message, channel="prices:{symbol}"):
    symbol: str
    value: int


class Item(RedisModel, prefix="item"):
    id: int


class AsyncItem(AsyncRedisModel, prefix="item"):
    id: int


class ItemSeen(Message, channel="seen:{{item:{id}}}", sharded=True):
    """On seen:{item:7}, in the hash slot of the row item:7."""

    id: int


@pytest.fixture
def node(cluster: Server) -> Server:
    """A cluster of one node, empty, which serves every slot."""
    cluster.ask("CLUSTER", "ADDSLOTS", slot_of(cluster, "prices:a"))  # where a test took it away
    return cluster.flush()


def slot_of(server: Server, channel: str) -> str:
    return server.ask("CLUSTER", "KEYSLOT", channel).decode().strip(":\r\n")


def subscribers(server: Server, channel: str) -> int:
    return int(server.ask("PUBSUB", "SHARDNUMSUB", channel).decode().split("\r\n")[-2].removeprefix(":"))


def in_both(db: Database, work: Callable[[], Any]) -> None:
    """Run the awaited twin of a test and close its connections."""

    async def main() -> None:
        await work()
        await db.aclose()

    asyncio.run(main())


# ---- one server --------------------------------------------------------------------------------------------------------------


def test_message_reaches_the_subscribers_of_its_sharded_channel_alone(db: Database) -> None:
    channel = Channel(db, Price)
    with channel.subscribe(symbol="a") as feed, Channel(db, Bulletin).subscribe(symbol="a") as plain:
        assert channel.publish(Price(symbol="a", value=1)) == 1
        assert channel.publish(Price(symbol="b", value=2)) == 0
        assert Channel(db, Bulletin).publish(Bulletin(symbol="a", value=3)) == 1
        assert feed.get(timeout=2) == Price(symbol="a", value=1)
        assert plain.get(timeout=2) == Bulletin(symbol="a", value=3)
        assert feed.get(timeout=0.05) is None
        assert plain.get(timeout=0.05) is None


def test_message_reaches_the_subscribers_of_its_sharded_channel_alone_async(db: Database) -> None:
    async def work() -> None:
        channel = AsyncChannel(db, Price)
        async with channel.subscribe(symbol="a") as feed, AsyncChannel(db, Bulletin).subscribe(symbol="a") as plain:
            assert await channel.publish(Price(symbol="a", value=1)) == 1
            assert await channel.publish(Price(symbol="b", value=2)) == 0
            assert await AsyncChannel(db, Bulletin).publish(Bulletin(symbol="a", value=3)) == 1
            assert await feed.get(timeout=2) == Price(symbol="a", value=1)
            assert await plain.get(timeout=2) == Bulletin(symbol="a", value=3)
            assert await feed.get(timeout=0.05) is None
            assert await plain.get(timeout=0.05) is None

    in_both(db, work)


def test_sharded_channel_without_all_values_is_refused_before_anything_is_sent(db: Database) -> None:
    for channel in (Channel(db, Price), AsyncChannel(db, Price)):
        for ask in (channel.subscribe, lambda channel=channel: channel.listen(print)):
            with pytest.raises(TypeError, match=r"Price: 'prices:\{symbol\}' is a sharded channel, and those know no patterns"):
                ask()


def test_commit_publishes_on_sharded_channels_and_a_rollback_does_not(db: Database) -> None:
    with Channel(db, Price).subscribe(symbol="a") as feed, Session(db) as session:
        session.publish(Price(symbol="a", value=1))
        session.rollback()
        session.add(Item(id=1))
        session.publish(Price(symbol="a", value=2))
        assert feed.get(timeout=0.05) is None
        session.commit()
        assert feed.get(timeout=2) == Price(symbol="a", value=2)
        session.add_all([Item(id=2), Item(id=3)])
        session.publish(Price(symbol="a", value=3))
        session.commit()
        assert feed.get(timeout=2) == Price(symbol="a", value=3)


def test_commit_publishes_on_sharded_channels_async(db: Database) -> None:
    async def work() -> None:
        async with AsyncChannel(db, Price).subscribe(symbol="a") as feed, AsyncSession(db) as session:
            session.add(AsyncItem(id=1))
            session.publish(Price(symbol="a", value=2))
            await session.commit()
            assert await feed.get(timeout=2) == Price(symbol="a", value=2)

    in_both(db, work)


def test_listener_subscribes_again_after_a_restart(server: Server) -> None:
    got: list[int] = []
    with Database(server.url) as db, Channel(db, Price).listen(lambda price: got.append(price.value), symbol="a"):
        server.restart()
        soon(lambda: subscribers(server, "prices:a") == 1)
        Channel(db, Price).publish(Price(symbol="a", value=1))
        soon(lambda: got == [1])
    soon(lambda: subscribers(server, "prices:a") == 0)


def test_listener_subscribes_again_after_a_restart_async(server: Server) -> None:
    async def main() -> None:
        got: list[int] = []
        async with Database(server.url) as db, AsyncChannel(db, Price).listen(lambda price: got.append(price.value), symbol="a"):
            server.restart()
            await soon_async(lambda: subscribers(server, "prices:a") == 1)
            await AsyncChannel(db, Price).publish(Price(symbol="a", value=1))
            await soon_async(lambda: got == [1])
        await soon_async(lambda: subscribers(server, "prices:a") == 0)

    asyncio.run(main())


# ---- a cluster ---------------------------------------------------------------------------------------------------------------


def test_cluster_carries_messages_and_commits_of_one_slot(node: Server) -> None:
    with Database(node.url) as db, Channel(db, ItemSeen).subscribe(id=7) as feed, Session(db) as session:
        assert Channel(db, ItemSeen).publish(ItemSeen(id=7)) == 1
        assert feed.get(timeout=2) == ItemSeen(id=7)
        session.add(Item(id=7))
        session.publish(ItemSeen(id=7))
        session.commit()
        assert feed.get(timeout=2) == ItemSeen(id=7)
        assert db.client.exists("item:7")


def test_cluster_carries_messages_and_commits_of_one_slot_async(node: Server) -> None:
    async def main() -> None:
        async with Database(node.url) as db, AsyncChannel(db, ItemSeen).subscribe(id=7) as feed, AsyncSession(db) as session:
            assert await AsyncChannel(db, ItemSeen).publish(ItemSeen(id=7)) == 1
            assert await feed.get(timeout=2) == ItemSeen(id=7)
            session.add(AsyncItem(id=7))
            session.publish(ItemSeen(id=7))
            await session.commit()
            assert await feed.get(timeout=2) == ItemSeen(id=7)

    asyncio.run(main())


@pytest.mark.parametrize("scripts", [True, False], ids=["by script", "by WATCH"])
def test_cluster_writes_nothing_of_a_commit_whose_channel_has_another_slot(node: Server, scripts: bool) -> None:
    """A script whose channel were not among its keys would write the row, and fail at the message after that."""
    assert node.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", *([] if scripts else ["-@scripting"])) == b"+OK\r\n"
    assert node.ask("CLUSTER", "DELSLOTS", slot_of(node, "prices:a")) == b"+OK\r\n"
    with Database(node.url, username="app", password="pw") as db, Session(db) as session:
        session.add(Item(id=7))
        session.publish(Price(symbol="a", value=1))
        with pytest.raises(BackendError, match="nothing was executed"):
            session.commit()
        session.rollback()
        assert not db.client.exists("item:7")


def test_feed_subscribes_again_where_the_slot_of_its_channel_was_given_away(node: Server, caplog: pytest.LogCaptureFixture) -> None:
    slot = slot_of(node, "prices:a")
    with Database(node.url) as db, lines_at(logging.WARNING, caplog) as lines, Channel(db, Price).subscribe(symbol="a") as feed:
        node.ask("CLUSTER", "DELSLOTS", slot)
        assert feed.get(timeout=0.5) is None
        node.ask("CLUSTER", "ADDSLOTS", slot)
        soon(lambda: feed.get(timeout=0.1) or Channel(db, Price).publish(Price(symbol="a", value=1)))
        assert feed.get(timeout=2) == Price(symbol="a", value=1)
    assert len(lines) == 1
    assert "the subscription to 'prices:a' was lost (the server ended it: the slot of the channel is no longer served there)" in lines[0]


def test_feed_subscribes_again_where_the_slot_of_its_channel_was_given_away_async(node: Server) -> None:
    async def main() -> None:
        slot = slot_of(node, "prices:a")
        async with Database(node.url) as db, AsyncChannel(db, Price).subscribe(symbol="a") as feed:
            node.ask("CLUSTER", "DELSLOTS", slot)
            assert await feed.get(timeout=0.5) is None
            node.ask("CLUSTER", "ADDSLOTS", slot)
            reading = asyncio.create_task(feed.get(timeout=5))
            await soon_async(lambda: subscribers(node, "prices:a") == 1)
            await AsyncChannel(db, Price).publish(Price(symbol="a", value=1))
            assert await reading == Price(symbol="a", value=1)

    asyncio.run(main())

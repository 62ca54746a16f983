"""Live structures under many processes, killed ones, lost answers, forgotten scripts and users who may run none."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from redisorm import (
    AsyncRedisList,
    BackendError,
    CommitUnknownError,
    Database,
    RedisCounter,
    RedisDict,
    RedisList,
    RedisSet,
    RedisSortedSet,
    RedisValue,
)
from tests.faults.processes import Client
from tests.faults.proxy import Proxy
from tests.faults.users import as_user
from tests.servers import Server

ITEMS = int(os.environ.get("REDISORM_QUEUE_ITEMS", "20000"))
"""How many items four processes take; a million takes a minute or two."""


def test_four_processes_take_every_item_exactly_once(server: Server) -> None:
    consumers = [
        Client(f"tests.faults.queues:{function}", url=server.url)
        for function in ("consume", "consume", "consume_in_batches", "consume_awaiting")
    ]
    with Database(server.url) as db:
        queue = RedisList[int]("queue", db=db)
        began = time.monotonic()
        for start in range(0, ITEMS, 1000):
            queue.push(*range(start, min(start + 1000, ITEMS)))
            while queue.size() > 50_000:
                time.sleep(0.01)
        taken = [consumer.result(timeout_s=600) for consumer in consumers]
        took = time.monotonic() - began

    print(f"{server.kind}: {[len(items) for items in taken]} items by each of four processes, {ITEMS / took:,.0f} a second")
    assert sorted(item for items in taken for item in items) == list(range(ITEMS))
    for items in taken[:3]:
        assert items == sorted(items)  # first in, first out, whoever takes them


def test_items_of_killed_workers_are_in_their_lists_of_work_in_progress(server: Server) -> None:
    with Database(server.url) as db:
        queue = RedisList[int]("queue", db=db)
        queue.extend(range(3000))
        for name in ("a", "b", "c"):
            with Client("tests.faults.queues:work_for_ever", url=server.url, name=name) as worker:
                assert worker.told() == "ready"
                time.sleep(0.2)
                worker.kill()
        done = RedisList[int]("done", db=db)
        working = [RedisList[int](f"working:{name}", db=db) for name in ("a", "b", "c")]
        seen = Counter([*done, *(item for one in working for item in one if item not in done), *queue])

    assert seen == dict.fromkeys(range(3000), 1)


def test_a_lost_answer_of_a_pop_is_unknown_and_the_pop_is_not_sent_again(proxy: Proxy, server: Server) -> None:
    with Database(proxy.url) as db:
        queue = RedisList[int]("queue", db=db)
        queue.push(1, 2, 3, 4)
        pops: dict[str, Callable[[], object]] = {
            "LPOP": queue.pop_left,
            "RPOP": queue.pop,
            "BLMPOP": lambda: queue.pop_left(timeout=1),
        }
        for command, pop in pops.items():
            delivered = proxy.delivered[command]
            proxy.lose(command)
            with pytest.raises(CommitUnknownError, match=f"{command} on 'queue' was sent"):
                pop()
            assert proxy.delivered[command] == delivered + 1
        assert queue.items() == [3]


def test_a_lost_answer_of_an_awaited_pop_is_unknown_too(proxy: Proxy, server: Server) -> None:
    async def main() -> list[int]:
        async with Database(proxy.url) as db:
            queue = AsyncRedisList[int]("queue", db=db)
            await queue.push(1, 2)
            proxy.lose("BLMPOP")
            with pytest.raises(CommitUnknownError, match="BLMPOP on 'queue' was sent"):
                await queue.pop_left(timeout=5)
            return await queue.items()

    assert asyncio.run(main()) == [2]
    assert proxy.delivered["BLMPOP"] == 1


def test_a_lost_answer_of_a_move_loses_no_item(proxy: Proxy, server: Server) -> None:
    with Database(proxy.url) as db:
        queue, working = RedisList[int]("queue", db=db), RedisList[int]("working", db=db)
        queue.push(1, 2)
        for command, timeout in (("LMOVE", 0), ("BLMOVE", 1)):
            proxy.lose(command)
            with pytest.raises(CommitUnknownError):
                queue.move(working, timeout=timeout)
        assert (queue.items(), working.items()) == ([], [1, 2])


def test_a_lost_answer_of_any_write_is_unknown_and_written_once(proxy: Proxy, server: Server) -> None:
    with Database(proxy.url) as db:
        queue, hits, lasting = RedisList[int]("queue", db=db), RedisCounter("hits", db=db), RedisList[int]("lasting", db=db, ttl=60)
        board, tags, settings = RedisSortedSet[str]("board", db=db), RedisSet[str]("tags", db=db), RedisDict[str, int]("settings", db=db)
        lasting.push(0)
        for command, write in (
            ("RPUSH", lambda: queue.push(1)),
            ("INCRBY", hits.increment),
            ("ZINCRBY", lambda: board.increment("a")),
            ("SADD", lambda: tags.add("a")),
            ("EVALSHA", lambda: lasting.push(1)),
            ("HSET", lambda: settings.increment("a")),
        ):
            proxy.lose(command)
            with pytest.raises(CommitUnknownError):
                write()
        assert (queue.items(), hits.get(), board["a"], tags.items(), lasting.items(), settings["a"]) == ([1], 1, 1, {"a"}, [0, 1], 1)


def test_reads_are_sent_again_over_a_new_connection(proxy: Proxy, server: Server) -> None:
    with Database(proxy.url) as db:
        queue = RedisList[int]("queue", db=db)
        queue.push(1)
        proxy.lose("LRANGE")
        assert queue.items() == [1]


def test_a_server_killed_while_a_pop_waits_ends_the_wait(server: Server) -> None:
    with Database(server.url) as db:
        queue = RedisList[int]("queue", db=db)
        queue.size()
        killer = threading.Timer(0.2, server.kill)
        killer.start()
        with pytest.raises(BackendError):
            queue.pop_left(timeout=None)
        killer.join()
    server.start()


def test_scripts_that_the_server_forgot_are_sent_again(server: Server) -> None:
    with Database(server.url) as db:
        queue = RedisList[int]("queue", db=db, ttl=60)
        queue.push(1)
        server.ask("SCRIPT", "FLUSH")
        queue.push(2)
        assert queue.items() == [1, 2]
        assert server.ask("TTL", "queue") in (b":60\r\n", b":59\r\n")


def test_lives_are_set_for_users_who_may_run_no_script_too(server: Server, user: str) -> None:
    with Database(as_user(server.url, user)) as db:
        server.ask("SET", "taken", "x")
        queue, tags = RedisList[int]("queue", db=db, ttl=60, maxlen=2), RedisSet[int]("tags", db=db, ttl=60)
        assert queue.push(1, 2, 3) == 2
        assert tags.add(1)
        assert RedisSortedSet[int]("board", db=db, ttl=60).increment(1) == 1
        assert RedisCounter("hits", db=db, ttl=60, ttl_refresh="write").increment() == 1
        for key in ("queue", "tags", "board", "hits"):
            assert server.ask("TTL", key) in (b":60\r\n", b":59\r\n")
        with pytest.raises(BackendError, match="taken is a string"):
            RedisList[int]("taken", db=db, ttl=60).push(1)
        assert server.ask("TTL", "taken") == b":-1\r\n"


def test_a_user_who_may_not_set_deadlines_writes_nothing(server: Server, user: str) -> None:
    server.ask("ACL", "SETUSER", user, "-pexpire")
    with Database(as_user(server.url, user)) as db:
        with pytest.raises(BackendError) as caught:
            RedisList[int]("queue", db=db, ttl=60).push(1)
        assert caught.value.code == "NOPERM"
        assert not RedisList[int]("queue", db=db).exists()


def test_compare_and_set_has_one_winner_among_processes(server: Server) -> None:
    with Database(server.url) as db:
        leader = RedisValue[str]("leader", db=db, ttl=60)
        won: list[str] = []

        def run_for(name: str) -> None:
            if leader.compare_and_set(None, name):
                won.append(name)

        threads = [threading.Thread(target=run_for, args=(str(number),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [leader.get()] == won

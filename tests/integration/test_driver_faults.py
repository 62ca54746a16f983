"""What a broken connection, an interrupt or a crowd does to a conversation: nothing is sent twice, no connection is spoiled."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisorm.commands import Batch, Clock, Collect, Command, Flow, Pause, Post, Supports, Watch
from redisorm.drivers import arrived
from redisorm.drivers.database import Database
from redisorm.errors import BackendError, BackendTimeoutError, CommitUnknownError, ConnectionFailedError
from tests.faults.proxy import Proxy
from tests.integration.performing import Perform, awaiting
from tests.servers import Server


def send(*commands: Command, atomic: bool = False, resend: bool = False) -> Flow[Any]:
    return (yield Batch(commands, atomic=atomic, resend=resend))


def eager() -> Retry:
    return Retry(NoBackoff(), 3)


def test_lost_answer_of_a_transaction_is_unknown_and_the_server_saw_it_once(server: Server, proxy: Proxy, perform: Perform) -> None:
    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 0)))
        lost = proxy.lose("INCR", times=5)
        with pytest.raises(CommitUnknownError, match=r"EXEC of INCR on .n. was sent.*not sent again"):
            perform(db, send(("INCR", "n"), atomic=True))
        assert lost.times == 4
        assert server.ask("GET", "n") == b"$1\r\n1\r\n"
        proxy.heal()
        assert perform(db, send(("GET", "n"))) == [b"1"]


def test_lost_answer_of_a_plain_write_is_unknown(server: Server, proxy: Proxy, perform: Perform) -> None:
    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 0)))
        proxy.lose("INCR")
        with pytest.raises(CommitUnknownError, match="INCR on 'n' was sent"):
            perform(db, send(("INCR", "n")))
        assert server.ask("GET", "n") == b"$1\r\n1\r\n"


def test_lost_answer_of_a_guarded_commit_is_unknown_even_where_sending_again_is_allowed(
    server: Server, proxy: Proxy, perform: Perform
) -> None:
    def flow() -> Flow[Any]:
        yield Watch(["n"])
        yield Batch([("INCR", "n")], atomic=True, resend=True)

    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 0)))
        proxy.lose("INCR")
        with pytest.raises(BackendError):
            perform(db, flow())
        assert server.ask("GET", "n") == b"$1\r\n1\r\n"


@pytest.mark.parametrize("deliver", [True, False])
def test_reads_are_sent_again(proxy: Proxy, perform: Perform, deliver: bool) -> None:
    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 7)))
        lost = (proxy.lose if deliver else proxy.cut)("GET", times=2)
        assert perform(db, send(("GET", "n"), resend=True)) == [b"7"]
        assert lost.times == 0


def test_reads_are_sent_no_oftener_than_the_retry_policy_says(proxy: Proxy, perform: Perform) -> None:
    with Database(proxy.url, retry=Retry(NoBackoff(), 2)) as db:
        perform(db, send(("SET", "n", 7)))
        lost = proxy.lose("GET", times=10)
        with pytest.raises(ConnectionFailedError, match="GET on 'n'"):
            perform(db, send(("GET", "n"), resend=True))
        assert lost.times == 7


def reading(*keys: str) -> Flow[list[Any]]:
    for key in keys:
        yield Post(Batch([("GET", key)], resend=True))
    answers = []
    for _ in keys:
        answers += [(yield Collect())]
    return answers


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_posted_reads_are_sent_again_from_the_one_that_was_lost(proxy: Proxy, perform: Perform, deliver: bool, key: str) -> None:
    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("MSET", "a", 1, "b", 2, "c", 3)))
        (proxy.lose if deliver else proxy.cut)("GET", key)
        assert perform(db, reading("a", "b", "c")) == [[b"1"], [b"2"], [b"3"]]
        assert perform(db, send(("GET", "a"))) == [b"1"]


def test_posted_reads_that_fail_for_good_say_so(proxy: Proxy, perform: Perform) -> None:
    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "a", 1)))
        proxy.lose("GET", times=50)
        with pytest.raises(ConnectionFailedError, match="GET on 'a'"):
            perform(db, reading("a", "a"))
        proxy.heal()
        assert perform(db, reading("a", "a")) == [[b"1"], [b"1"]]


def test_lost_answer_of_a_posted_transaction_is_unknown_and_the_server_saw_it_once(server: Server, proxy: Proxy, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Post(Batch([("INCR", "n")], atomic=True))
        return (yield Collect())

    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 0)))
        lost = proxy.lose("INCR", times=5)
        with pytest.raises(CommitUnknownError, match=r"EXEC of INCR on .n. was sent.*not sent again"):
            perform(db, flow())
        assert lost.times == 4
        assert server.ask("GET", "n") == b"$1\r\n1\r\n"
        proxy.heal()
        assert perform(db, flow()) == [2]


def test_write_posted_behind_one_whose_answer_was_lost_is_not_sent_twice(server: Server, proxy: Proxy, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Post(Batch([("GET", "n")], resend=True))
        yield Post(Batch([("INCR", "n")]))
        answers = [(yield Collect())]
        try:
            answers.append((yield Collect()))
        except (CommitUnknownError, ConnectionFailedError) as error:
            answers.append(type(error))
        return answers

    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 0)))
        proxy.lose("GET")
        read, outcome = perform(db, flow())
        count = int(server.ask("GET", "n").split(b"\r\n")[1])
        assert read in ([b"0"], [b"1"])
        assert (count, outcome) in ((0, CommitUnknownError), (0, ConnectionFailedError), (1, CommitUnknownError), (1, [1]))


def test_posted_batch_that_cannot_be_decoded_takes_none_of_the_others_with_it(server: Server, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Post(Batch([("LRANGE", "raw", 0, -1)], resend=True, text=True))
        yield Post(Batch([("GET", "n")], resend=True))
        yield Post(Batch([("INCR", "n")]))
        with pytest.raises(UnicodeDecodeError):
            yield Collect()
        answers = [(yield Collect())]
        with pytest.raises(CommitUnknownError):
            yield Collect()
        yield Post(Batch([("ECHO", "behind")], resend=True))
        return [*answers, (yield Collect())]

    with Database(server.url) as db:
        perform(db, send(("SET", "n", 1), ("RPUSH", "raw", b"\xff")))
        read, echoed = perform(db, flow())
        assert read in ([b"1"], [b"2"])
        assert echoed == [b"behind"]
        assert perform(db, send(("GET", "n"))) in ([b"1"], [b"2"])


def test_answer_of_a_posted_batch_is_waited_for_no_longer_than_allowed(proxy: Proxy, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Post(Batch([("INCR", "n")]))
        return (yield Collect())

    with Database(proxy.url, retry=Retry(NoBackoff(), 0), timeout=0.2) as db:
        perform(db, send(("SET", "n", 0)))
        proxy.silence("INCR")
        with pytest.raises(CommitUnknownError, match="INCR on 'n' was sent"):
            perform(db, flow())


def test_watch_is_sent_again_on_a_fresh_flow_only(proxy: Proxy, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        first = yield Watch(["n"], [("GET", "n")])
        proxy.lose("WATCH")
        with pytest.raises(ConnectionFailedError):
            yield Watch(["m"], [("GET", "m")])
        with pytest.raises(ConnectionFailedError, match="watched 2 keys broke"):
            yield Batch([("INCR", "n")], atomic=True)
        yield Watch(["n"])
        return first + (yield Batch([("INCR", "n")], atomic=True))

    with Database(proxy.url, retry=eager()) as db:
        perform(db, send(("SET", "n", 7)))
        proxy.lose("WATCH")
        assert perform(db, flow()) == [b"7", 8]


def test_connection_closed_while_it_watched_is_not_silently_replaced(server: Server, perform: Perform) -> None:
    def flow() -> Flow[Any]:
        yield Watch(["n"])
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.ask("SET", "n", "9")
        yield Batch([("SET", "n", "1")], atomic=True)

    with Database(server.url) as db:
        with pytest.raises(BackendError):
            perform(db, flow())
        assert perform(db, send(("GET", "n"))) == [b"9"]


def test_no_server_is_a_failed_connection_and_nothing_was_executed(perform: Perform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Database(f"redis://127.0.0.1:{port}", retry=Retry(NoBackoff(), 1)) as db,
        pytest.raises(ConnectionFailedError, match=r"the server: Error 111 connecting to 127.0.0.1"),
    ):
        perform(db, send(("SET", "n", 1)))


def test_restarted_server_is_reached_again(server: Server, perform: Perform) -> None:
    with Database(server.url) as db:
        perform(db, send(("SET", "n", 1)))
        server.restart()
        assert perform(db, send(("GET", "n"), resend=True)) == [None]


def test_connection_closed_while_nobody_used_it_is_replaced_before_a_write(server: Server) -> None:
    with Database(server.url) as db:
        assert db.run(send(("INCR", "n"), atomic=True)) == [1]
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert db.run(send(("INCR", "n"), atomic=True)) == [2]


@pytest.mark.parametrize("is_given", [False, True])
def test_connection_of_an_event_loop_closed_while_nobody_used_it_is_replaced_before_a_write(server: Server, is_given: bool) -> None:
    async def main() -> None:
        client = redis.asyncio.Redis.from_url(server.url) if is_given else None
        async with Database(None if is_given else server.url, async_client=client) as db:
            assert await db.arun(send(("INCR", "n"), atomic=True)) == [1]
            server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(0.05)
            assert await db.arun(send(("INCR", "n"), atomic=True)) == [2]
            if client is not None:
                await client.aclose()

    asyncio.run(main())


def test_silent_server_times_out(server: Server, perform: Perform) -> None:
    with Database(server.url, timeout=0.2, retry=Retry(NoBackoff(), 0)) as db:
        perform(db, send(("SET", "n", 1)))
        server.suspend()
        try:
            started = time.monotonic()
            with pytest.raises(CommitUnknownError):
                awaiting(db, warm(db, server)) if perform is awaiting else perform(db, send(("INCR", "n"), atomic=True))
            assert time.monotonic() - started < 2
        finally:
            server.resume()
        assert perform(db, send(("PING",), resend=True)) == [b"PONG"]


def warm(db: Database, server: Server) -> Flow[Any]:
    """Connect in this loop first: connecting to a suspended server is a failure of its own."""
    server.resume()
    yield Batch([("PING",)])
    server.suspend()
    yield Batch([("INCR", "n")], atomic=True)


def test_silent_server_times_out_a_read_as_such(server: Server) -> None:
    with Database(server.url, timeout=0.2, retry=Retry(NoBackoff(), 0)) as db:
        db.run(send(("SET", "n", 1)))
        server.suspend()
        try:
            with pytest.raises(BackendTimeoutError, match="GET on 'n'"):
                db.run(send(("GET", "n"), resend=True))
        finally:
            server.resume()


@pytest.mark.skipif(os.environ.get("REDISORM_READ_BY_REDIS_PY") == "1", reason="redis-py closes gently: what is under way still leaves")
def test_server_that_does_not_take_a_packet_times_out(server: Server) -> None:
    async def main() -> None:
        async with Database(server.url, timeout=0.2, retry=Retry(NoBackoff(), 0)) as db:
            await db.arun(send(("SET", "n", 1)))
            server.suspend()
            try:
                started = time.monotonic()
                with pytest.raises(CommitUnknownError, match=r"no answer within 0\.2 s"):
                    await db.arun(send(("SET", "n", b"x" * 30_000_000)))
                assert time.monotonic() - started < 2
            finally:
                server.resume()
            assert await db.arun(send(("GET", "n"), resend=True)) == [b"1"]

    asyncio.run(main())


def test_conversations_of_one_loop_time_out_each_in_its_own_time(server: Server) -> None:
    async def main() -> None:
        async with Database(server.url, timeout=0.3, retry=Retry(NoBackoff(), 0)) as db:
            await asyncio.gather(*(db.arun(send(("PING",))) for _ in range(4)))
            waiting = asyncio.ensure_future(db.arun(send(("BLPOP", "nothing", "1"))))
            await asyncio.sleep(0.1)
            server.ask("CLIENT", "PAUSE", "600", "WRITE")
            started = time.monotonic()
            tasks = [asyncio.ensure_future(db.arun(send(("SET", "n", number)))) for number in range(3)]
            assert await db.arun(send(("GET", "n"))) == [None]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [CommitUnknownError] * 3
            assert 0.25 < time.monotonic() - started < 0.9
            assert await waiting == [None]
            assert await db.arun(send(("PING",))) == [b"PONG"]

    asyncio.run(main())


def test_command_that_waits_may_take_longer_than_the_timeout(valkey: Server, perform: Perform) -> None:
    with Database(valkey.url, timeout=0.2) as db:
        started = time.monotonic()
        assert perform(db, send(("BLPOP", "nothing", "0.5"))) == [None]
        assert 0.4 < time.monotonic() - started < 1.5
        assert perform(db, send(("PING",))) == [b"PONG"]


def test_exhausted_pool_tells_the_options(valkey: Server) -> None:
    with Database(valkey.url, max_connections=1, pool_timeout=0.1) as db:

        def holding() -> Flow[Any]:
            yield Watch(["n"])
            with pytest.raises(BackendTimeoutError, match="max_connections"):
                db.run(send(("PING",)))

        db.run(send(("PING",)))
        db.run(holding())

        def dawdling() -> Flow[Any]:
            yield Watch(["n"])
            for _ in range(20):
                yield Pause(0.05)

        async def crowd() -> None:
            await db.arun(send(("PING",)))
            results = await asyncio.gather(*(db.arun(dawdling()) for _ in range(2)), return_exceptions=True)
            assert sum(isinstance(result, BackendTimeoutError) for result in results) == 1
            assert await db.arun(send(("PING",))) == [b"PONG"]

        asyncio.run(crowd())


def test_callers_wait_for_a_free_connection(valkey: Server) -> None:
    with Database(valkey.url, max_connections=2) as db:

        async def crowd() -> None:
            results = await asyncio.gather(*(db.arun(send(("INCR", "crowd"))) for _ in range(200)))
            assert sorted(result[0] for result in results) == list(range(1, 201))

        asyncio.run(crowd())


def test_cancelled_task_leaves_a_healthy_pool(server: Server) -> None:
    async def main() -> None:
        with Database(server.url, max_connections=2) as db:
            await db.arun(send(("SET", "n", 0)))
            for delay in (0, 0.0002, 0.0005, 0.001, 0.003) * 8:
                tasks = [asyncio.ensure_future(db.arun(busy(index))) for index in range(6)]
                await asyncio.sleep(delay)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            replies = await asyncio.gather(*(db.arun(send(("ECHO", index), ("GET", "n"))) for index in range(20)))
            assert [int(echo) for echo, _ in replies] == list(range(20))
            assert await db.arun(send(("SET", "n", "end"), atomic=True)) == [b"OK"]
            await db.aclose()

    def busy(index: int) -> Flow[Any]:
        for _ in range(20):
            yield Batch([("ECHO", f"stray {index}")] * 20)
            yield Watch(["n"], [("GET", "n")])
            yield Pause(0.0002)
            yield Batch([("INCR", "n")], atomic=True)

    asyncio.run(main())


def test_cancellation_reaches_the_flows_cleanup(valkey: Server) -> None:
    seen: list[str] = []

    def flow() -> Flow[Any]:
        try:
            yield Batch([("BLPOP", "nothing", "0")])
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("cleaned")

    async def main() -> None:
        async with Database(valkey.url) as db:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(db.arun(flow()), 0.05)
            assert await db.arun(send(("ECHO", "x"))) == [b"x"]

    asyncio.run(main())
    assert seen == ["cancelled", "cleaned"]


@pytest.mark.usefixtures("read_by_redis_py")
def test_interrupt_in_the_middle_of_an_answer_leaves_a_healthy_pool(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    read = redis.Connection.read_response
    calls = 0

    def interrupted(self: redis.Connection, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return read(self, *args, **options)

    _interrupt_once(valkey, lambda: monkeypatch.setattr(redis.Connection, "read_response", interrupted))


def test_interrupt_among_replies_that_have_arrived_leaves_a_healthy_pool(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    take = arrived.take_arrived

    def interrupted(parser: arrived.Parser, replies: list[Any], _: int, **__: bool) -> list[Any]:
        monkeypatch.undo()
        take(parser, replies, 3)
        raise KeyboardInterrupt

    _interrupt_once(valkey, lambda: monkeypatch.setattr(arrived, "take_arrived", interrupted), echoes=20)


def test_interrupt_behind_few_replies_that_have_arrived_leaves_a_healthy_pool(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting:
        def issuperset(self, _: object) -> bool:
            monkeypatch.undo()
            raise KeyboardInterrupt

    _interrupt_once(valkey, lambda: monkeypatch.setattr(arrived, "ANSWERS", Interrupting()), echoes=10)


def _interrupt_once(valkey: Server, break_in: Callable[[], None], echoes: int = 10) -> None:
    with Database(valkey.url, max_connections=1) as db:
        db.run(send(("PING",)))
        break_in()
        seen: list[str] = []

        def flow() -> Flow[Any]:
            try:
                yield Batch([("ECHO", index) for index in range(echoes)])
            finally:
                seen.append("cleaned")

        with pytest.raises(KeyboardInterrupt):
            db.run(flow())
        assert seen == ["cleaned"]
        assert db.run(send(("ECHO", "x"))) == [b"x"]


def test_user_without_rights_is_told_which(server: Server, perform: Perform) -> None:
    server.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get", "+watch", "+info", "+ping")
    with Database(server.url.replace("redis://", "redis://reader:secret@"), protocol=2) as db:
        assert perform(db, send(("GET", "n"))) == [None]
        with pytest.raises(BackendError, match="SET on 'n': NOPERM") as caught:
            perform(db, send(("SET", "n", 1)))
        assert caught.value.code == "NOPERM"
        with pytest.raises(BackendError, match=r"MULTI: NOPERM.*nothing was executed"):
            perform(db, send(("GET", "n"), atomic=True))
        with pytest.raises(BackendError, match="TIME: NOPERM"):
            perform(db, asking(Clock()))
        assert perform(db, asking(Supports("GET"))) is True
        assert perform(db, asking(Supports("NOSUCH"))) is False


def asking(request: Clock | Supports) -> Flow[Any]:
    return (yield request)


def test_supports_is_found_out_without_command_info(server: Server, perform: Perform) -> None:
    server.ask("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+@all", "-command", "-evalsha")
    with Database(server.url.replace("redis://", "redis://writer:secret@")) as db:
        assert perform(db, asking(Supports("HSET"))) is True
        assert perform(db, asking(Supports("FLUSHALL"))) is True
        assert perform(db, asking(Supports("NOSUCH"))) is False
        assert server.ask("DBSIZE") == b":0\r\n"


@pytest.mark.parametrize(
    ("rights", "can"),
    [
        (("+@all",), True),
        (("+@all", "resetkeys", "~mine:*"), True),
        (("+@all", "-hsetex"), False),
        (("+@all", "-command"), False),
    ],
    ids=["all", "some keys", "not this", "may not ask"],
)
def test_command_with_an_option_has_to_be_known_and_allowed(server: Server, perform: Perform, rights: tuple[str, ...], can: bool) -> None:
    server.ask(
        "ACL",
        "SETUSER",
        "chooser",
        "reset",
        "on",
        ">secret",
        "~*",
        *(right for right in rights if server.kind != "redis7" or right != "-hsetex"),
    )
    newer, newest = server.kind != "redis7", server.kind == "valkey"
    with Database(server.url.replace("redis://", "redis://chooser:secret@")) as db:
        assert perform(db, asking(Supports("HSETEX FXX"))) is (can and newer)
        assert perform(db, asking(Supports("HSETEX XX"))) is (can and newest)
        assert perform(db, asking(Supports("HSETEX NOSUCH"))) is False
        assert perform(db, one(Batch([("SET", "n", 1)], needs="HSETEX NOSUCH"))) is None
    assert server.ask("DBSIZE") == b":0\r\n"


def one(request: Batch) -> Flow[Any]:
    return (yield request)


def test_wrong_password_is_told_and_not_shown(server: Server, perform: Perform) -> None:
    url = server.url.replace("redis://", "redis://nobody:hunter2@")
    with Database(url, retry=Retry(NoBackoff(), 0)) as db, pytest.raises(BackendError) as caught:
        perform(db, send(("GET", "n")))
    assert caught.value.code == "WRONGPASS"
    assert "hunter2" not in str(caught.value)


def test_full_server_refuses_at_queueing_and_applies_nothing(perform: Perform) -> None:
    with Server("valkey", "--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as full, Database(full.url) as db:
        with pytest.raises(BackendError, match="nothing was executed") as caught:
            perform(db, send(("INCR", "n"), ("SET", "big", b"x" * 2_000_000), ("INCR", "m"), atomic=True))
        assert caught.value.code == "OOM"


@contextmanager
def speaking(answer: bytes) -> Iterator[str]:
    """Lend the URL of a thing that answers everything alike."""

    def serve() -> None:
        try:
            while True:
                client, _ = listener.accept()
                with client:
                    while packet := client.recv(65536):
                        client.sendall(answer * packet.count(b"*"))
        except OSError:
            return

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def test_loading_server_is_refused_with_its_code(perform: Perform) -> None:
    with (
        speaking(b"-LOADING Redis is loading the dataset in memory\r\n") as url,
        Database(url, retry=Retry(NoBackoff(), 0), protocol=2) as db,
        pytest.raises(BackendError, match="try again in a moment") as caught,
    ):
        perform(db, send(("SET", "n", 1)))
    assert caught.value.code == "LOADING"


def test_something_that_is_no_redis_is_told(perform: Perform) -> None:
    with (
        speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url,
        Database(url, retry=Retry(NoBackoff(), 0), timeout=0.5) as db,
        pytest.raises(BackendError),
    ):
        perform(db, send(("SET", "n", 1)))

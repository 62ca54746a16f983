"""Locks on every server and in both colours."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest

from redisorm import AsyncLock, Database, Lock, LockLost, LockTimeout
from tests.servers import Server


def holder(db: Database) -> Any:
    return db.client.get("lock::stock")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("redisorm lock::")]


def test_a_block_holds_the_lock_and_gives_it_back(db: Database) -> None:
    with Lock(db, "stock", ttl=10) as lock:
        assert lock.key == "lock::stock"
        assert holder(db) is not None
        assert 9_000 < db.client.pttl(lock.key) <= 10_000
        with pytest.raises(LockTimeout, match=r"'stock' was not free within 0\.05 s"), Lock(db, "stock", ttl=10, wait=0.05):
            pass
    assert holder(db) is None
    assert threads() == []
    with Lock(db, "stock", ttl=timedelta(seconds=10), wait=timedelta()):
        pass


def test_an_awaited_block_holds_the_lock_and_gives_it_back(db: Database) -> None:
    async def main() -> None:
        async with AsyncLock(db, "stock", ttl=10) as lock:
            assert await db.async_client.get(lock.key) is not None
            await lock.check()
            with pytest.raises(LockTimeout):
                async with AsyncLock(db, "stock", ttl=10, wait=0.05):
                    pass
            with pytest.raises(LockTimeout):
                await AsyncLock(db, "stock", ttl=10, wait=0).acquire()
        assert await db.async_client.get(lock.key) is None
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_both_colours_are_one_lock(db: Database) -> None:
    async def main() -> None:
        async with AsyncLock(db, "stock", ttl=10):
            with pytest.raises(LockTimeout):
                Lock(db, "stock", ttl=10, wait=0).acquire()

    asyncio.run(main())
    with Lock(db, "stock", ttl=10), pytest.raises(LockTimeout):
        asyncio.run(AsyncLock(db, "stock", ttl=10, wait=0).acquire())


def test_fence_numbers_only_grow_even_after_all_was_deleted(db: Database) -> None:
    fences = []
    for _ in range(5):
        with Lock(db, "stock", ttl=10) as lock:
            fences.append(lock.fence)
    db.client.flushdb()
    with Lock(db, "stock", ttl=10) as lock:
        fences.append(lock.fence)
    assert fences == sorted(set(fences))


def test_what_lies_at_the_server_expires(db: Database) -> None:
    with Lock(db, "stock", ttl=10):
        pass
    assert {key: 0 < db.client.pttl(key) <= 86_400_000 for key in db.client.scan_iter()} == {
        b"lock::stock:fence": True,
        b"lock::stock:wake": True,
    }


@pytest.mark.parametrize("shared", [True, False], ids=["one-lock-object", "a-lock-object-each"])
def test_fifty_threads_count_right(db: Database, shared: bool) -> None:
    count, one = 0, Lock(db, "stock", ttl=10, wait=30)

    def contend(_: int) -> None:
        nonlocal count
        for _ in range(4):
            with one if shared else Lock(db, "stock", ttl=10, wait=30):
                seen = count
                time.sleep(0.0002)
                count = seen + 1

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(contend, range(50)))
    assert count == 200
    assert threads() == []


def test_without_a_lock_threads_count_wrong() -> None:
    count = 0

    def contend(_: int) -> None:
        nonlocal count
        for _ in range(4):
            seen = count
            time.sleep(0.0002)
            count = seen + 1

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(contend, range(50)))
    assert count < 200


def test_a_hundred_tasks_count_right(db: Database) -> None:
    count, one = 0, AsyncLock(db, "stock", ttl=10, wait=30)

    async def contend() -> None:
        nonlocal count
        async with one:
            seen = count
            await asyncio.sleep(0.0002)
            count = seen + 1

    async def main() -> None:
        await asyncio.gather(*(contend() for _ in range(100)))
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert count == 100


def test_a_lock_outlives_its_time_to_live_while_it_is_held(db: Database) -> None:
    with Lock(db, "stock", ttl=0.3) as lock:
        time.sleep(0.8)
        lock.check()
        assert db.client.pttl(lock.key) > 100

    async def main() -> None:
        async with AsyncLock(db, "stock", ttl=0.3) as lock:
            await asyncio.sleep(0.8)
            await lock.check()

    asyncio.run(main())


def test_a_lock_that_was_deleted_is_lost_at_once_for_check_and_at_the_end(db: Database) -> None:
    def hold() -> None:
        with Lock(db, "stock", ttl=10) as lock:
            db.client.delete(lock.key)
            with pytest.raises(LockLost):
                lock.check()

    async def ahold() -> None:
        async with AsyncLock(db, "stock", ttl=10) as lock:
            await db.async_client.delete(lock.key)
            with pytest.raises(LockLost):
                await lock.check()

    with pytest.raises(LockLost, match=r"lock::stock"):
        hold()
    with pytest.raises(LockLost, match=r"lock::stock"):
        asyncio.run(ahold())


def test_a_former_holder_takes_nothing_from_the_next(db: Database) -> None:
    first = Lock(db, "stock", ttl=10).acquire()
    db.client.delete(first.key)
    second = Lock(db, "stock", ttl=10, wait=0).acquire()
    assert second.fence > first.fence

    with pytest.raises(LockLost):
        first.check()
    with pytest.raises(LockLost):
        first.release()
    second.check()
    second.release()


def test_an_error_in_the_block_is_what_is_raised(db: Database) -> None:
    def fail(*, after_a_loss: bool) -> None:
        with Lock(db, "stock", ttl=10) as lock:
            if after_a_loss:
                db.client.delete(lock.key)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(after_a_loss=False)
    assert holder(db) is None
    with pytest.raises(ZeroDivisionError):
        fail(after_a_loss=True)


def test_whoever_waits_is_woken_by_the_release(db: Database) -> None:
    held = Lock(db, "stock", ttl=60).acquire()
    took: list[float] = []

    def wait() -> None:
        with Lock(db, "stock", ttl=60, wait=10):
            took.append(time.monotonic())

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.3)
    before = db.traffic.commands
    time.sleep(0.3)
    assert db.traffic.commands - before <= 2, "who waits does not keep asking"
    released = time.monotonic()
    held.release()
    for waiter in waiters:
        waiter.join()
    assert took[0] - released < 0.2
    assert took[2] - released < 0.5


def test_a_lock_may_be_given_back_within_the_block(db: Database) -> None:
    with Lock(db, "stock", ttl=10) as lock:
        lock.release()
        with Lock(db, "stock", ttl=10, wait=0):
            pass


def test_the_object_itself_tells_of_the_block_that_one_is_in(db: Database) -> None:
    lock = Lock(db, "stock", ttl=10)
    with lock as held:
        assert lock.fence == held.fence
        lock.check()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lock.check).result()
    with pytest.raises(LockLost, match="not held here"):
        lock.check()

    async def main() -> None:
        lock = AsyncLock(db, "stock", ttl=10)
        async with lock as held:
            assert lock.fence == held.fence
            await asyncio.gather(lock.check(), held.check())
        with pytest.raises(LockLost, match="not held here"):
            await lock.check()

    asyncio.run(main())


def test_a_block_may_be_left_in_another_thread(db: Database) -> None:
    stack = ExitStack()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(stack.enter_context, Lock(db, "stock", ttl=10)).result()
    stack.close()
    assert holder(db) is None


def test_a_cancelled_waiter_leaves_nothing_behind(db: Database) -> None:
    async def main() -> None:
        for pause_s in (0, 0.0001, 0.0005, 0.001, 0.002, 0.005, 0.02):
            for held_before in (False, True):
                before = await AsyncLock(db, "stock", ttl=10).acquire() if held_before else None
                task = asyncio.create_task(AsyncLock(db, "stock", ttl=10, wait=5).acquire())
                await asyncio.sleep(pause_s)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await (await task).release()
                if before is not None:
                    await before.release()
                assert await db.async_client.get("lock::stock") is None
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_holder_who_is_cancelled_while_giving_back_gives_back(db: Database) -> None:
    async def hold(entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with AsyncLock(db, "stock", ttl=10):
            entered.set()
            await leave.wait()

    async def main() -> None:
        for pause_s in (0, 0, 0.0002, 0.0005, 0.001):
            entered, leave = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(hold(entered, leave))
            await entered.wait()
            leave.set()
            await asyncio.sleep(pause_s)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert await db.async_client.get("lock::stock") is None

    asyncio.run(main())


def test_without_scripts_it_is_the_same_lock(server: Server) -> None:
    with Database(server.url) as admin:
        admin.client.acl_setuser("plain", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-@scripting"])
        with Database(f"redis://plain:p@127.0.0.1:{server.port}/0") as db:
            with Lock(db, "stock", ttl=0.3) as lock:
                time.sleep(0.5)
                lock.check()
                with pytest.raises(LockTimeout):
                    Lock(admin, "stock", ttl=10, wait=0).acquire()
            with Lock(admin, "stock", ttl=10), pytest.raises(LockTimeout):
                Lock(db, "stock", ttl=10, wait=0).acquire()
            with pytest.raises(LockLost), Lock(db, "stock", ttl=10) as lock:
                admin.client.delete(lock.key)


def test_a_free_lock_takes_a_round_trip_to_get_and_one_to_give_back(db: Database, server_url: str) -> None:
    if server_url.startswith("memory"):
        pytest.skip("memory:// runs no scripts")
    with Lock(db, "stock", ttl=10):
        pass
    before = db.traffic.round_trips
    with Lock(db, "stock", ttl=10):
        pass
    assert db.traffic.round_trips - before == 2

"""One timer ends every conversation that is late, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from redisorm.drivers.deadlines import Deadlines


class Transport(asyncio.WriteTransport):
    """Counts how often it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


class Loop(asyncio.SelectorEventLoop):
    """Counts its timers, and lets time pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]  # all of them
        self.timers += 1
        return super().call_at(when, *arguments, **options)

    async def pass_until(self, now: float) -> None:
        """Let it be so late."""
        self.now = now
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def run(main: Coroutine[Any, Any, None], loop: Loop) -> None:
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()


def test_conversation_that_is_late_is_aborted_and_those_that_are_not_go_on() -> None:
    loop, late, later, endless = Loop(), Transport(), Transport(), Transport()

    async def main() -> None:
        deadlines = Deadlines()
        deadlines.begin(endless, None)
        deadlines.begin(late, 5)
        await loop.pass_until(1003)
        deadlines.begin(later, 5)
        await loop.pass_until(1004.9)
        assert late.aborted == 0
        await loop.pass_until(1005.1)
        assert late.aborted == 1
        assert later.aborted == 0
        assert not deadlines.end(late)
        await loop.pass_until(1008.1)
        assert later.aborted == 1
        await loop.pass_until(9999)
        assert deadlines.end(endless)
        assert endless.aborted == 0

    run(main(), loop)


def test_conversation_that_has_ended_is_left_alone() -> None:
    loop, transport = Loop(), Transport()

    async def main() -> None:
        deadlines = Deadlines()
        deadlines.begin(transport, 5)
        assert deadlines.end(transport)
        assert not deadlines.end(transport)
        await loop.pass_until(1006)
        assert transport.aborted == 0

    run(main(), loop)


def test_many_conversations_share_a_timer_and_none_is_left_when_all_have_ended() -> None:
    loop, transport = Loop(), Transport()

    async def main() -> None:
        deadlines = Deadlines()
        for number in range(1000):
            loop.now += 0.001
            deadlines.begin(transport, 5)
            assert deadlines.end(transport), number
        assert loop.timers == 1
        await loop.pass_until(1100)
        assert loop.timers == 1
        deadlines.begin(transport, 5)
        assert loop.timers == 2

    run(main(), loop)


def test_conversation_that_has_less_time_than_one_before_is_aborted_in_its_time() -> None:
    loop, patient, hasty = Loop(), Transport(), Transport()

    async def main() -> None:
        deadlines = Deadlines()
        deadlines.begin(patient, 60)
        deadlines.begin(hasty, 1)
        await loop.pass_until(1001.1)
        assert hasty.aborted == 1
        await loop.pass_until(1059.9)
        assert patient.aborted == 0
        await loop.pass_until(1060.1)
        assert patient.aborted == 1

    run(main(), loop)

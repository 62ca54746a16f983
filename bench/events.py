"""Messages, events and workers beside hand-written redis-py, faststream and taskiq: tables of microseconds and ratios.

python bench/events.py [--server valkey|redis7|redis8] [--rounds N] [--clock wall|cpu] [--alone] [--markdown] [--quick]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bouts import Jobs
from bench.contest import Contest, Peer, command
from bench.events_awaited import AwaitedByHand, AwaitedMapped
from bench.events_blocking import ByHand, Mapped

__all__ = ["EVENTS"]

FASTSTREAM = Peer("faststream", ("faststream[redis]==0.7.8",))
TASKIQ = Peer("taskiq", ("taskiq-redis==1.2.4", "pydantic"))


def _jobs(hand: ByHand | AwaitedByHand, ours: Mapped | AwaitedMapped) -> Jobs:
    return {
        "publish": {"by hand": hand.publish(), "redisorm": ours.publish()},
        "store and publish": {"by hand": hand.store_and_publish(), "redisorm": ours.store_and_publish()},
        "append an event": {"by hand": hand.append(), "redisorm": ours.append()},
        "store and emit": {"by hand": hand.store_and_emit(), "redisorm": ours.store_and_emit()},
        "handle an event": {"by hand": hand.handle(), "redisorm": ours.handle()},
        "handle and store": {"by hand": hand.handle_and_store(), "redisorm": ours.handle_and_store()},
    }


def blocking(url: Callable[[], str]) -> Jobs:
    return _jobs(ByHand(url()), Mapped(url()))


async def awaiting(url: Callable[[], str]) -> Jobs:
    return _jobs(AwaitedByHand(url()), AwaitedMapped(url()))


EVENTS = Contest(blocking, awaiting, (FASTSTREAM, TASKIQ))

if __name__ == "__main__":
    command(EVENTS, "Time messages, events and workers beside hand-written redis-py and other libraries.")

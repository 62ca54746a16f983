"""A lock without its colour: its steps at the server, as flows that the leases of `drivers` perform.

The holder is a random token under a key that expires; whoever has another token changes nothing. Every holder gets a fence
number larger than all before, for resources outside Redis that can refuse a smaller one (Kleppmann, *How to do distributed locking*).
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from redisorm.commands import Argument, Batch, Command, Flow, Reply, Watch
from redisorm.errors import LockLost, LockTimeout
from redisorm.keys import LockKeys, lock_keys
from redisorm.mapping.layout import seconds_ms

from .scripts import LOST, Lost, Namespaced, now_us, script, step

__all__ = ["BaseLock", "Terms"]

_ACQUIRE, _RENEW, _RELEASE = script("acquire"), script("renew"), script("release")

_FENCE_MS = 86_400_000
"""How long a fence number is remembered at least: later the server's clock alone makes a larger one."""
_WAKE_MS = 10_000
"""How long a wake-up call waits for somebody who was about to wait."""
_LONGEST_NAP_S = 1.0
"""How long one waits without looking: somebody else may have been woken and have died."""


class BaseLock:
    """What both colours of a lock share.

    Attributes:
        name: The name of the lock.
    """

    def __init__(self, database: Namespaced, name: str, ttl: float | timedelta, wait: float | timedelta | None) -> None:
        if not name:
            raise ValueError("a lock needs a name, which is a part of its key")
        wait_s = wait.total_seconds() if isinstance(wait, timedelta) else wait
        if wait_s is not None and (isinstance(wait_s, bool) or not wait_s >= 0):
            raise ValueError(f"lock {name!r}: wait={wait!r} must be seconds from 0 on, a timedelta, or None to wait for ever")
        self.name = name
        self._namespace = database.namespace
        self._ttl_ms = seconds_ms(ttl, f"lock {name!r}")
        self._wait_s = wait_s

    def _not_entered(self) -> LockLost:
        """Return the error of asking a lock that nobody holds through this object."""
        key = lock_keys(self._namespace, self.name).holder
        return LockLost(f"lock {self.name!r} is not held here: ask within its `with` block", key=key)

    def _terms(self) -> Terms:
        """Return the terms of one new holder."""
        return Terms(self.name, lock_keys(self._namespace, self.name), self._ttl_ms, self._wait_s, secrets.token_hex(16))


class Terms:
    """The steps of one holder, from the first attempt to the release.

    Attributes:
        key: The key that says who holds the lock.
        ttl_s: Its time to live, in seconds.
        wait_s: How long to wait for it, in seconds, or `None` for ever.
        fence: The number this holder was given; 0 before.
    """

    def __init__(self, name: str, keys: LockKeys, ttl_ms: int, wait_s: float | None, token: str) -> None:
        self.key: str = keys.holder
        self.ttl_s: float = ttl_ms / 1000
        self.wait_s = wait_s
        self.fence: int = 0
        self._name = name
        self._keys = keys
        self._ttl_ms = ttl_ms
        self._fence_ms = max(_FENCE_MS, 2 * ttl_ms)
        self._token = token

    def attempt(self) -> Flow[float | None]:
        """Take the lock: `None`, or for how many seconds its holder has it yet. Running it twice is harmless."""
        keys = [self._keys.holder, self._keys.fence]
        fence, left_ms = yield from step(_ACQUIRE, keys, [self._token, self._ttl_ms, self._fence_ms], self._try_acquire, resend=True)
        if fence:
            self.fence = fence
            return None
        return float(max(left_ms, 1)) / 1000

    def nap(self, limit_s: float) -> Flow[None]:
        """Wait until the lock is given back, for so many seconds at most. It may be free earlier, or taken by another meanwhile."""
        # Whoever takes the call looks; whoever does not get one looks when the holder's time is up, or after a while.
        yield Batch([("BLPOP", self._keys.wake, f"{max(0.001, min(limit_s, _LONGEST_NAP_S)):.3f}")], resend=True)

    def renew(self) -> Flow[bool]:
        """Start the time to live anew; tell whether the lock is still held."""
        words: list[Argument] = [self._token, self._ttl_ms]
        return bool((yield from step(_RENEW, [self._keys.holder], words, self._try_renew, resend=True)))

    def release(self) -> Flow[bool]:
        """Give the lock back; tell whether it was still held. Sent twice it says no, so it is sent once."""
        keys = [self._keys.holder, self._keys.wake]
        return bool((yield from step(_RELEASE, keys, [self._token, _WAKE_MS], self._try_release, resend=False)))

    def timed_out(self, busy_s: float) -> LockTimeout:
        """Return the error of a lock that was not free in time."""
        return LockTimeout(
            f"lock {self._name!r} was not free within {self.wait_s:g} s: another holder has {self.key!r} for {busy_s:.3f} s yet, or longer "
            "where it renews it; wait longer, or do without",
            key=self.key,
        )

    def lost(self) -> LockLost:
        """Return the error of a holder who is none any more."""
        return LockLost(
            f"lock {self._name!r} was lost: {self.key!r} expired or was deleted while it was held, and another may have it; what was done "
            f"since is not protected, unless the resource refuses fence numbers below the last, ours was {self.fence}",
            key=self.key,
        )

    def _try_acquire(self) -> Flow[Reply | Lost]:
        holder_key, fence_key, _ = self._keys
        time, holder, left_ms, last = yield Watch(
            [holder_key, fence_key], [("TIME",), ("GET", holder_key), ("PTTL", holder_key), ("GET", fence_key)]
        )
        if holder is not None and holder != self._token.encode():
            return [0, left_ms]
        fence = int(last or 0)
        if holder is None or not fence:
            fence = max(fence + 1, now_us(time))
        done = yield Batch(
            [
                ("SET", fence_key, fence, "PX", self._fence_ms),
                ("SET", holder_key, self._token, "PX", self._ttl_ms),
            ],
            atomic=True,
        )
        return LOST if done is None else [fence, 0]

    def _try_renew(self) -> Flow[Reply | Lost]:
        (holder,) = yield Watch([self._keys.holder], [("GET", self._keys.holder)])
        if holder != self._token.encode():
            return 0
        done = yield Batch([("PEXPIRE", self._keys.holder, self._ttl_ms)], atomic=True)
        return LOST if done is None else done[0]

    def _try_release(self) -> Flow[Reply | Lost]:
        holder_key, _, wake_key = self._keys
        holder, waiting = yield Watch([holder_key], [("GET", holder_key), ("EXISTS", wake_key)])
        if holder != self._token.encode():
            return 0
        wake: list[Command] = [] if waiting else [("RPUSH", wake_key, "1"), ("PEXPIRE", wake_key, _WAKE_MS)]
        done = yield Batch([("DEL", holder_key), *wake], atomic=True)
        return LOST if done is None else 1

"""What lies in the server for a cached value, and the steps that read and write it.

One hash holds the value, until when it is good, and who may load it anew (the *lease* of Nishtala et al., *Scaling Memcache at
Facebook*): deleting it is an invalidation that also wins over whoever is loading. This room knows texts, not functions or types.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from redisorm.commands import Argument, Batch, Clock, Command, Flow, Reply, Watch

from .scripts import LOST, Lost, now_us, script, step

__all__ = ["CHANGED", "GRANTED", "NOTHING", "Entry", "Grant", "abandon", "drop", "drop_tag", "fill", "lease", "look"]

_LEASE, _FILL, _ABANDON = script("cache_lease"), script("cache_fill"), script("cache_abandon")

GRANTED, CHANGED = 1, 2
"""What may become of asking for the lease, besides that somebody else has it."""

_STEP = 100
"""How many entries of a tag are read or dropped at once."""


class Entry(NamedTuple):
    """A cached value as it lies there.

    Attributes:
        text: Its text; `None` where there is none, or none of this schema.
        seen: When it stops being fresh, as the stored text: by this its next change is noticed. Empty where nothing is there.
        fresh_for_ms: How long it is fresh yet, in milliseconds; negative since then.
        cost_ms: How long it took to load.
    """

    text: bytes | None
    seen: bytes
    fresh_for_ms: int = 0
    cost_ms: int = 0


NOTHING = Entry(None, b"")
"""Nothing is cached."""


class Grant(NamedTuple):
    """The answer to asking for the lease.

    Attributes:
        outcome: `GRANTED`, `CHANGED`, or 0 where another has it.
        number: Since when it is granted, in milliseconds since 1970, or in how many milliseconds the other's ends.
    """

    outcome: int
    number: int


def look(key: str, schema: bytes) -> Flow[Entry]:
    """Read an entry. One round trip."""
    ((text, fresh, until, cost, stored),) = yield Batch([("HMGET", key, "value", "fresh", "until", "cost", "schema")], resend=True)
    if fresh is None:
        return NOTHING
    if text is None or stored != schema or not (fresh.isdigit() and (until or b"").isdigit() and (cost or b"").isdigit()):
        return Entry(None, fresh)
    now_ms = yield Clock()
    if int(until) <= now_ms:
        return Entry(None, fresh)
    return Entry(text, fresh, int(fresh) - now_ms, int(cost))


def lease(key: str, tags: Sequence[str], token: str, lease_ms: int, seen: bytes, *, force: bool = False) -> Flow[Grant]:
    """Ask for the right to load. Asking twice with one token is harmless."""
    words: list[Argument] = [token, lease_ms, seen, int(force)]
    reply = yield from step(_LEASE, [key, *tags], words, partial(_try_lease, key, tags, token, lease_ms, seen, force), resend=True)
    return Grant(*reply)


def fill(key: str, tags: Sequence[str], token: str, since_ms: int, text: Argument, schema: bytes, ttl_ms: int, stale_ms: int) -> Flow[bool]:
    """Store what was loaded; tell whether the right to was still there. Done twice it says no the second time, and changes nothing."""
    words: list[Argument] = [token, since_ms, text, schema, ttl_ms, stale_ms]
    attempt = partial(_try_fill, key, tags, token, since_ms, text, schema, ttl_ms, stale_ms)
    return bool((yield from step(_FILL, [key, *tags], words, attempt, resend=True)))


def abandon(key: str, token: str) -> Flow[None]:
    """Give the right to load back."""
    yield from step(_ABANDON, [key], [token], partial(_try_abandon, key, token), resend=True)


def drop(key: str) -> Command:
    """Forget an entry, and take from whoever loads it the right to fill it."""
    return ("UNLINK", key)


def drop_tag(tag: str) -> Flow[int]:
    """Forget all entries of a tag that are there now, a hundred in a step; return how many were there."""
    members: dict[bytes, None] = {}
    cursor = b"0"
    while True:
        ((cursor, found),) = yield Batch([("ZSCAN", tag, cursor, "COUNT", _STEP)], resend=True)
        members.update(dict.fromkeys(found[::2]))
        if int(cursor) == 0:
            break
    keys, dropped = list(members), 0
    for start in range(0, len(keys), _STEP):
        some = keys[start : start + _STEP]
        count, _ = yield Batch([("UNLINK", *some), ("ZREM", tag, *some)], atomic=True, resend=True)
        dropped += count
    return dropped


def _listed(key: str, tags: Sequence[str], deadline_ms: int) -> list[Command]:
    """The commands that keep an entry in its tags, and the tags for as long as it."""
    return list(
        chain.from_iterable(
            (("ZADD", tag, "GT", deadline_ms, key), ("PEXPIREAT", tag, deadline_ms, "NX"), ("PEXPIREAT", tag, deadline_ms, "GT"))
            for tag in tags
        )
    )


def _try_lease(key: str, tags: Sequence[str], token: str, lease_ms: int, seen: bytes, force: bool) -> Flow[Reply | Lost]:
    reads: list[Command] = [("TIME",), ("HMGET", key, "fresh", "lease", "lease_until"), ("PTTL", key)]
    time, (fresh, holder, until), left_ms = yield Watch([key], reads)
    now = now_us(time) // 1000
    if not force:
        if (fresh or b"") != seen:
            return [CHANGED, 0]
        if holder is not None and holder != token.encode() and int(until) > now:
            return [0, int(until) - now]
    ends = now + lease_ms
    commands: list[Command] = [("HSET", key, "lease", token, "lease_until", ends)]
    if left_ms < lease_ms:
        commands.append(("PEXPIREAT", key, ends))
    commands += [("ZREMRANGEBYSCORE", tag, "-inf", f"({now}") for tag in tags]
    done = yield Batch([*commands, *_listed(key, tags, ends)], atomic=True)
    return LOST if done is None else [GRANTED, now]


def _try_fill(
    key: str, tags: Sequence[str], token: str, since_ms: int, text: Argument, schema: bytes, ttl_ms: int, stale_ms: int
) -> Flow[Reply | Lost]:
    time, holder = yield Watch([key], [("TIME",), ("HGET", key, "lease")])
    if holder != token.encode():
        return 0
    now = now_us(time) // 1000
    fresh, until, cost = now + ttl_ms, now + ttl_ms + stale_ms, max(0, now - since_ms)
    commands: list[Command] = [
        ("HSET", key, "value", text, "fresh", fresh, "until", until, "cost", cost, "schema", schema),
        ("HDEL", key, "lease", "lease_until"),
        ("PEXPIREAT", key, until),
        *_listed(key, tags, until),
    ]
    done = yield Batch(commands if ttl_ms else [drop(key)], atomic=True)
    return LOST if done is None else 1


def _try_abandon(key: str, token: str) -> Flow[Reply | Lost]:
    ((holder, until),) = yield Watch([key], [("HMGET", key, "lease", "until")])
    if holder != token.encode():
        return 0
    ends: list[Command] = [] if until is None else [("PEXPIREAT", key, int(until))]
    done = yield Batch([("HDEL", key, "lease", "lease_until"), *ends], atomic=True)
    return LOST if done is None else 1

"""What else must hold when a commit writes, beside its rows: that a stream is one, and that an entry still belongs to its consumer.

A guard is a read and what its reply must be. It is asked with the reads of the commit, and again by the script that writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from redisorm.commands import Command, Reply
from redisorm.errors import ConflictError

from .guards import refuse_type

__all__ = ["Guard", "KeyType", "Ownership", "types_of"]


class Guard(Protocol):
    """One condition of a commit."""

    @property
    def watched(self) -> Sequence[str]:
        """The keys that change whenever the reply may."""
        ...

    @property
    def read(self) -> Command:
        """The command that asks."""
        ...

    @property
    def wanted(self) -> Reply:
        """The reply the commit relies on, as a script spells it; `None` of a `KeyType`."""
        ...

    def check(self, reply: Reply) -> None:
        """Raise where the reply is another."""
        ...


@dataclass(frozen=True, slots=True)
class KeyType:
    """A key that a command writes has the type that command needs, or is absent."""

    key: str
    kind: str

    @property
    def watched(self) -> Sequence[str]:
        """Nothing: a busy key would be changed all the time, and its type is not."""
        return ()

    @property
    def read(self) -> Command:
        """TYPE of the key."""
        return ("TYPE", self.key)

    @property
    def wanted(self) -> Reply:
        """One of two replies: a script looks for both."""
        return None

    def check(self, reply: Reply) -> None:
        """Raise `WrongTypeError` where it is neither."""
        refuse_type(self.key, self.kind, reply)


@dataclass(frozen=True, slots=True)
class Ownership:
    """An entry of a stream is still pending for a consumer of a group.

    WATCH sees neither XCLAIM nor XACK. So whoever takes entries from others counts it under a key of the group in the same
    transaction, and that key is watched.

    Attributes:
        claims: The key of that count.
    """

    stream: str
    group: str
    consumer: str
    entry_id: str
    claims: str

    @property
    def watched(self) -> Sequence[str]:
        """The count of claims."""
        return (self.claims,)

    @property
    def read(self) -> Command:
        """XPENDING of the entry."""
        return ("XPENDING", self.stream, self.group, self.entry_id, self.entry_id, 1)

    @property
    def wanted(self) -> Reply:
        """The entry and its consumer; how long it has been idle does not matter."""
        return [[self.entry_id.encode(), self.consumer.encode()]]

    def held(self, reply: Reply) -> bool:
        """Whether the reply says so."""
        return bool(reply) and bytes(reply[0][1]) == self.consumer.encode()

    def check(self, reply: Reply) -> None:
        """Raise `ConflictError` where it does not."""
        if self.held(reply):
            return
        found = bytes(reply[0][1]).decode() if reply else None
        now = f"it is {found}'s now" if found else "it is acknowledged, or its group is gone"
        raise ConflictError(
            f"the entry {self.entry_id} of {self.stream} does not belong to this worker of {self.group!r} any more: {now}; "
            "nothing was written: raise the lease if handlers take that long",
            expected=self.consumer,
            found=found,
            key=self.stream,
            pk=self.entry_id,
        )


_WRITERS = {
    "list": ("RPUSH", "LPUSH", "RPUSHX", "LPUSHX", "LSET", "LREM", "LTRIM", "LINSERT", "RPOP", "LPOP"),
    "set": ("SADD", "SREM", "SPOP"),
    "zset": ("ZADD", "ZREM", "ZINCRBY", "ZPOPMIN", "ZPOPMAX", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE"),
    "hash": ("HSET", "HSETNX", "HDEL", "HINCRBY", "HINCRBYFLOAT"),
    "string": ("INCRBY", "INCRBYFLOAT", "DECRBY", "APPEND", "SETRANGE"),
    "stream": ("XADD", "XACK", "XDEL", "XTRIM", "XCLAIM"),
}
_NEEDED = {name: kind for kind, names in _WRITERS.items() for name in names}


def types_of(commands: Sequence[Command]) -> list[Guard]:
    """The guards of the keys that commands write and that must have a type. SET, UNLINK, EXPIRE and PUBLISH take any."""
    needed = {str(command[1]): _NEEDED[str(command[0])] for command in commands if command[0] in _NEEDED}
    return [KeyType(key, kind) for key, kind in needed.items()]

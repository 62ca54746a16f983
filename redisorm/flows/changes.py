"""What a commit is asked to do: one `Change` per object, made by a session, turned into commands by the flows.

A change is data. The flows fill in what the server decided (`Outcome`); states move only after that.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from redisorm.errors import DecodeError
from redisorm.keys import VERSION, Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.layout import Leaf
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Difference

__all__ = [
    "KEEP",
    "PERMANENT",
    "UNTOLD",
    "Change",
    "Condition",
    "Former",
    "Increment",
    "Keep",
    "Kind",
    "Outcome",
    "life_ms",
    "life_text",
    "version_of",
]

PERMANENT = -1
"""A life without end, as Redis spells it in the answer to TTL."""


_LONGEST_S = 2**52 / 1000
"""A longer life would make a deadline that Redis refuses, and a refusal inside EXEC leaves the other commands applied."""


_MOST_DIGITS = 18
"""Of a version: it begins with 48 random bits and is counted up from there."""


class Keep(enum.Enum):
    """A change that says nothing about the life of its row."""

    KEEP = "keep"


KEEP = Keep.KEEP


class Kind(enum.Enum):
    """What happens to the row of a change."""

    INSERT = "insert"
    """Write everything, over whatever row is there."""
    CREATE = "create"
    """Write everything, only where no row is."""
    UPDATE = "update"
    """Write what changed, only where the row still is."""
    DELETE = "delete"
    """Remove the row and its companions, there or not."""


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to the number stored in one hash field."""

    leaf: Leaf
    by: Any


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the stored row for a change to be made; where it does not, the change is skipped.

    Attributes:
        fields: The hash fields it looks at.
        companions: The companions whose elements it looks at.
        holds: Is given the stored texts by field, and lists of stored elements by companion.
    """

    fields: tuple[str, ...]
    companions: tuple[str, ...]
    holds: Callable[[dict[str, Any]], bool]


class Former(NamedTuple):
    """What an object was loaded with, which a commit may take the row to be still.

    Attributes:
        values: The values of the slots.
        texts: The hash fields that were asked for; one that nobody knows is left out.
        elements: The elements of companions.
    """

    values: tuple[Any, ...]
    texts: Mapping[str, Text | None]
    elements: Mapping[str, Sequence[bytes]]


class Outcome(NamedTuple):
    """What the server made of a change.

    Attributes:
        version: The version the row has now, for a versioned class.
        life: The life of its own the row has now, in milliseconds; `PERMANENT`, or `None` for that of its class.
        numbers: What the incremented fields hold now, by field.
        was_there: Whether a deleted row had been there.
        skipped: Whether the condition of the change did not hold, so that nothing was written.
    """

    version: int | None = None
    life: int | None = None
    numbers: Mapping[str, Any] = MappingProxyType({})
    was_there: bool | None = None
    skipped: bool = False


UNTOLD = Outcome()
"""The outcome of a change of which the server has nothing to tell."""


@dataclass(slots=True)
class Change:
    """What is to happen to one row.

    Attributes:
        pk: The primary key; `None` for an automatic one not given yet.
        key: The key of the row, or empty for an automatic one not given yet.
        difference: What to write; `None` for a delete or where only numbers or the life change.
        version: The version the row is expected to have; `None` where it is not versioned or new.
        life: The life to give the row, in milliseconds, or `PERMANENT`; `KEEP` says nothing.
        former: Tells what the object was loaded with, of the hash fields asked for; `None` where nobody knows.
        former_life: The life of its own it was loaded with, in milliseconds, `PERMANENT`, or `None` for none.
        fresh: The key was just made at random, so that no row can be there.
        touch: Only restart the life, as a read does: no new version.
        numbered: The primary key came from the counter of the class in this commit.
        only_if: What must hold of the row, or the change is skipped.
        is_new: Whether the whole object is written.
    """

    mapper: Mapper[Any]
    keyspace: Keyspace
    kind: Kind
    pk: Any
    key: str
    difference: Difference | None = None
    version: int | None = None
    life: int | Keep = KEEP
    increments: Sequence[Increment] = ()
    former: Callable[[Collection[str]], Former | None] | None = None
    former_life: int | None = None
    fresh: bool = False
    touch: bool = False
    numbered: bool = False
    only_if: Condition | None = None
    outcome: Outcome = UNTOLD
    is_new: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_new = self.kind is Kind.INSERT or self.kind is Kind.CREATE

    @property
    def is_guarded(self) -> bool:
        """Whether the change depends on what the server holds."""
        if self.kind is Kind.DELETE:
            return self.mapper.options.versioned or self.mapper.indexed or self.only_if is not None
        return not (self.fresh and self.kind is Kind.INSERT)

    def companion_keys(self) -> list[str]:
        """The keys of all companions and live structures of the row."""
        return [] if not self.mapper.beside else [self.keyspace.companion(self.key, one.name) for one in self.mapper.beside]

    def may_move(self) -> bool:
        """Whether the deadline of the row may become another by the change."""
        return (
            self.life is not KEEP or self.touch or (self.mapper.options.ttl_ms is not None and self.mapper.options.ttl_refresh != "never")
        )

    def texts(self) -> dict[str, Text | None]:
        """What the change writes, by hash field; `None` for what it removes."""
        difference = self.difference
        if difference is None:
            return {}
        sets: dict[Any, Text | None] = dict(zip(difference.sets[::2], difference.sets[1::2], strict=True))
        return {**dict.fromkeys(difference.unsets), **sets} if difference.unsets else sets

    def elements(self) -> dict[str, Sequence[bytes]]:
        """The elements that companions will have, of those that the change writes."""
        return {one.companion.name: list(one.after) for one in self.difference.companions} if self.difference else {}


def life_text(life: int) -> str:
    """Spell a life in milliseconds as seconds: `60`, `1.5`; `-1` for one without end."""
    return "-1" if life == PERMANENT else f"{life / 1000:.3f}".rstrip("0").rstrip(".")


def life_ms(text: bytes | None) -> int | None:
    """Read a life back; `None` where a row has none of its own. Text that no writer of ours would have written counts as none."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return None
    if seconds < 0:
        return PERMANENT
    milliseconds = round(seconds * 1000) if seconds <= _LONGEST_S else 0  # NaN is not
    return milliseconds or None


def version_of(text: bytes | None, model: type[Any], key: str) -> int | None:
    """Read a version; `None` where a row was written without one.

    Raises:
        DecodeError: The text is no number that a writer of ours would have written.
    """
    if text is None:
        return None
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        message = f"{key}: the stored {VERSION!r} is not a number: found {text[:100]!r}; correct or remove it"
        raise DecodeError(message, model=model, key=key, field=VERSION, value=text)
    return int(text)

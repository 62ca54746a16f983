"""Many rows of one class as tables: what they must be as, what is written of them, and until when they live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from redisorm.commands import Argument, Command, Reply
from redisorm.keys import Keyspace
from redisorm.mapping.mapper import Mapper

from .derived import Derived
from .indexing import Upkeep

__all__ = ["Held", "Rows", "Table", "count_rows"]


PIECE = 100
"""Rows whose commands are spelled at once, while the server takes in those before."""


class Held(NamedTuple):
    """What loaded rows must be as.

    Attributes:
        fields: The hash fields that are looked at.
        present: How many of these, the first ones, must be there; the others must not.
        texts: The texts of those, row by row.
    """

    fields: tuple[Argument, ...]
    present: int
    texts: list[Any]

    @classmethod
    def of(cls, present: Mapping[str, Sequence[Any]], absent: Sequence[str]) -> Held:
        """What rows hold, by the texts of those fields that all of them have, and by the fields that none has."""
        return cls((*present, *absent), len(present), [text for row in zip(*present.values(), strict=True) for text in row])


class Table:
    """Rows of the same fields: their keys, and their values row by row.

    Attributes:
        held: What they must be as; `None` where they must be absent, or are sure to be.
        is_fresh: Whether they are sure to be absent, so that nobody looks.
        deadline_ms: When they expire, in the server's time; `None` leaves that as it is.
        member: The place of the field by which the rows stand in indexes, from 1; 0 where it is not told.
        derived: The indexes that a script enters the rows into by their values.
    """

    __slots__ = ("deadline_ms", "derived", "fields", "held", "is_fresh", "keys", "member", "values")

    def __init__(self, fields: tuple[Argument, ...], keys: list[str], values: list[Any], held: Held | None = None) -> None:
        self.fields = fields
        self.keys = keys
        self.values = values
        self.held = held
        self.is_fresh = False
        self.deadline_ms: int | None = None
        self.member = 0
        self.derived: list[Derived] = []

    def column(self, place: int) -> list[Any]:
        """The values of one field."""
        return self.values[place :: len(self.fields)]

    @property
    def is_known(self) -> bool:
        """Whether its rows need not be absent, or are so anyway."""
        return self.is_fresh or self.held is not None

    @property
    def count(self) -> int:
        """How many commands `pieces` makes."""
        return len(self.keys) * (bool(self.fields) + (self.deadline_ms is not None))

    def pieces(self) -> Iterator[list[Command]]:
        """One HSET for each row, some at a time, and behind these their deadlines; nothing of rows without a field or a deadline."""
        width, size = len(self.fields), 2 * len(self.fields)
        words: list[Any] = [None] * (size * PIECE)
        for place, name in enumerate(self.fields):
            words[2 * place :: size] = [name] * PIECE
        for start in range(0, len(self.keys), PIECE):
            keys, values = self.keys[start : start + PIECE], self.values[start * width : (start + PIECE) * width]
            words[1 : 2 * len(values) : 2] = values
            piece: list[Command] = [
                ("HSET", key, *words[first : first + size])
                for first, key in zip(range(0, len(words), size or 1), keys)  # noqa: B905
            ]
            if self.deadline_ms is not None:
                piece += (("PEXPIREAT", key, self.deadline_ms) for key in keys)
            yield piece


class Rows(Protocol):
    """Many rows of one class, spelled together.

    Attributes:
        mapper: The mapper of the class.
        keyspace: Its keys.
        keys: Those of the rows.
        tables: What to write.
        is_blind: Whether nothing need be known before they are written, as where their keys were just made at random.
    """

    mapper: Mapper[Any]
    keyspace: Keyspace
    keys: list[str]
    tables: list[Table]
    is_blind: bool

    @property
    def counts_on_sweeps(self) -> bool:
        """Whether the rows expire and stand in indexes then, so that a commit of them asks which others have."""
        ...

    def live_from(self, now_ms: int) -> None:
        """Take in the server's time, from which their lives count, before anything else is asked of them."""

    def derive(self) -> None:
        """Leave to a script what it can work out."""

    def absent(self) -> list[str]:
        """The keys that must be absent, beside those of the tables."""
        ...

    def reads(self) -> Sequence[tuple[Command, Reply]]:
        """Reads beside those of the tables, and the replies they must have."""
        ...

    def types(self) -> Mapping[str, str]:
        """Keys, and the types they must have, if they are there."""
        ...

    def fill(self) -> list[Command]:
        """The commands beside those of the tables."""
        ...

    def enter(self, upkeep: Upkeep) -> None:
        """Keep the indexes of the class."""


def count_rows(together: Sequence[Rows]) -> int:
    """How many rows these are."""
    return sum(len(one.keys) for one in together)

"""Many new rows of one class, spelled column by column rather than object by object.

The common case of a bulk save: hashes with whatever indexes, unique values and deadlines, and collections beside them. All values of a
field are spelled in one go where they need no check, and the field names are sent once. What needs a closer look row by row is left
to `changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redisorm.commands import Argument, Command, Reply
from redisorm.keys import LIFE, VERSION, Keyspace
from redisorm.mapping.differences import column_texts
from redisorm.mapping.encoder import as_bytes
from redisorm.mapping.layout import Branch, Leaf
from redisorm.mapping.mapper import Mapper
from redisorm.mapping.snapshot import Snapshot, ascii_elements

from .changes import KEEP, PERMANENT, Keep, life_text
from .indexing import Upkeep
from .newentries import NewEntries
from .persistence import filled
from .tables import Table

__all__ = ["NewRows"]


class NewRows:
    """New rows of one class.

    Attributes:
        mapper: The mapper of the class.
        keyspace: Its keys.
        values: The values of each row, in the order of the slots.
        elements: For each companion the elements of each row, as they are sent.
        keys: The keys of the rows.
        tables: What to write.
        is_blind: Whether nothing need be known before they are written, as where their keys were just made at random.
    """

    __slots__ = (
        "_collections",
        "_deadline_ms",
        "_entries",
        "_life",
        "_texts",
        "_unspelled",
        "_versions",
        "elements",
        "is_blind",
        "keys",
        "keyspace",
        "mapper",
        "tables",
        "values",
    )

    def __init__(
        self,
        mapper: Mapper[Any],
        keyspace: Keyspace,
        values: list[tuple[Any, ...]],
        collections: Sequence[Sequence[Any]] = (),
        *,
        versions: Sequence[int] = (),
        life: int | Keep = KEEP,
        is_fresh: bool = False,
    ) -> None:
        """Take in rows.

        Args:
            collections: For each companion of the class the collection of each row.
            versions: The version that each row gets, for a versioned class.
            life: The life that all of them get, in milliseconds, or `PERMANENT`; `KEEP` for that of their class.
        """
        self.mapper = mapper
        self.keyspace = keyspace
        self.values = values
        self.is_blind = is_fresh and not mapper.uniques
        self._collections = collections
        self._versions = versions
        self._life = life
        self._deadline_ms: int | None = None
        self._texts: list[dict[int, bytes]] = [{} for _ in values] if mapper.slots.mutable else []
        self._entries: NewEntries | None = None
        self.elements: list[list[Any]] = []
        self.keys: list[str] = []
        self.tables: list[Table] = []
        self._unspelled: set[int] = set()

    @staticmethod
    def fit(mapper: Mapper[Any]) -> bool:
        """Whether rows of a class can be spelled so: what is in them follows from the values of their fields, each by itself."""
        return not (mapper.open or mapper.slots.computed or mapper.slots.lives)

    def spell(self) -> bool:
        """Spell keys and columns; `False` where a row has to be looked at by itself. Nothing was sent.

        Raises:
            ValidationError: A value does not fit its annotation.
        """
        mapper = self.mapper
        place = mapper.slots.place(mapper.pk_name)
        pk_texts = mapper.pk_texts([values[place] for values in self.values])
        self.keys = self.keyspace.rows(pk_texts)
        if len(set(self.keys)) < len(self.keys):
            return False
        for companion, collections in zip(mapper.companions, self._collections, strict=True):
            texts = ascii_elements(companion, collections)
            if texts is None:
                of = mapper.encoder.companion
                self.elements.append([of(companion, one, key) for one, key in zip(collections, self.keys, strict=True)])
            else:
                self._unspelled.add(len(self.elements))
                self.elements.append(texts)
        self._spell_shapes()
        if mapper.indexed:
            elements = {one.name: some for one, some in zip(mapper.companions, self.elements, strict=True)}
            self._entries = NewEntries(mapper, self.keyspace, self.keys, pk_texts, self.values, elements)
        claimed = self._entries.claimed if self._entries else ()
        return len(set(claimed)) == len(claimed)

    def _spell_shapes(self) -> None:
        """Spell the rows, those together whose values have the same types."""
        columns = list(zip(*self.values, strict=True))
        if all(len(set(map(type, column))) == 1 for column in columns):
            self._spell_shape(range(len(self.values)), columns)
            return
        shapes: dict[tuple[type, ...], list[int]] = {}
        for number, values in enumerate(self.values):
            shapes.setdefault(tuple(map(type, values)), []).append(number)
        row = self.values.__getitem__
        for numbers in shapes.values():
            self._spell_shape(numbers, list(zip(*map(row, numbers), strict=True)))

    def _spell_shape(self, numbers: Sequence[int], columns: list[tuple[Any, ...]]) -> None:
        """Spell rows whose values have the same types."""
        keys = self.keys if len(numbers) == len(self.keys) else [self.keys[number] for number in numbers]
        plan, slots = self.mapper.encoder.plan(self.values[numbers[0]], keys[0]), self.mapper.slots.order
        checked = {place for _, place, _ in plan.checked}
        beside = self._beside(numbers)
        fields = (*plan.names, *beside)
        flat: list[Any] = [None] * (len(fields) * len(numbers))
        for position, place in enumerate(plan.places):
            slot, column = slots[place], columns[place]
            if isinstance(slot, Branch) or place in checked:
                flat[position :: len(fields)] = self._checked(slot, place, numbers, keys)
            else:
                flat[position :: len(fields)] = slot.codec.encode_many(type(column[0]), column)
        for position, texts in enumerate(beside.values(), len(plan.places)):
            flat[position :: len(fields)] = texts
        self.tables.append(table := Table(fields, keys, flat))
        table.is_fresh = self.is_blind

    def _beside(self, numbers: Sequence[int]) -> dict[Argument, list[str]]:
        """The fields that stand beside the values: the version and the life of each row."""
        fields: dict[Argument, list[str]] = {}
        if self._versions:
            fields[VERSION] = [str(self._versions[number]) for number in numbers]
        if not isinstance(self._life, Keep):
            fields[LIFE] = [life_text(self._life)] * len(numbers)
        return fields

    def _checked(self, slot: Leaf | Branch, place: int, numbers: Sequence[int], keys: Sequence[str]) -> list[Any]:
        """Spell the values of a column that have to be checked, each by itself, and keep the texts of what can change in place."""
        rows = [self.values[number] for number in numbers]
        if isinstance(slot, Branch):
            return [self.mapper.encoder.spell(slot, row, place, key) for row, key in zip(rows, keys, strict=True)]
        texts = column_texts(self.mapper, place, [row[place] for row in rows], keys)
        if slot.codec.mutable:
            for number, text in zip(numbers, texts, strict=True):
                if text is not None:
                    self._texts[number][place] = as_bytes(text)
        return texts

    @property
    def counts_on_sweeps(self) -> bool:
        """Whether the rows expire and stand in indexes then."""
        return self.mapper.indexed and (self._deadline_ms is not None or self.mapper.options.ttl_ms is not None)

    def live_from(self, now_ms: int) -> None:
        """Take in the server's time, from which their lives count."""
        life = self.mapper.options.ttl_ms if isinstance(self._life, Keep) else self._life
        self._deadline_ms = None if life in (None, PERMANENT) else now_ms + life
        for table in self.tables:
            table.deadline_ms = self._deadline_ms

    def absent(self) -> list[str]:
        """The keys that must be absent, beside those of the tables: what is left, or remembered, of a former life of a row, and claims."""
        if self.is_blind:
            return []
        memos = [Keyspace.memo(key) for key in self.keys] if self.mapper.indexed else []
        beside = [Keyspace.companion(key, one.name) for one in self.mapper.beside for key in self.keys]
        return [*memos, *beside, *(self._entries.claimed if self._entries else ())]

    def reads(self) -> Sequence[tuple[Command, Reply]]:
        """Of new rows there is nothing to read."""
        return ()

    def types(self) -> Mapping[str, str]:
        """No key of a new row is there."""
        return {}

    def fill(self) -> list[Command]:
        """The commands that fill the collections."""
        commands: list[Command] = []
        for companion, elements in zip(self.mapper.companions, self.elements, strict=True):
            for row, some in zip(self.keys, elements, strict=True):
                if some:
                    key = Keyspace.companion(row, companion.name)
                    commands += filled(companion, key, some)
                    if self._deadline_ms is not None:
                        commands.append(("PEXPIREAT", key, self._deadline_ms))
        return commands

    def snapshots(self) -> list[Snapshot]:
        """The rows as the server will have them."""
        if not self.elements and not self._texts:
            return list(map(Snapshot, self.values))
        texts = self._texts or [{}] * len(self.values)
        columns = [
            [companion.texts(one) for one in elements] if place in self._unspelled else elements
            for place, (companion, elements) in enumerate(zip(self.mapper.companions, self.elements, strict=True))
        ]
        elements = zip(*columns, strict=True) if columns else [()] * len(self.values)
        return [Snapshot(*row) for row in zip(self.values, texts, map(list, elements), strict=True)]

    def derive(self) -> None:
        """Leave to a script what it can work out, where all rows have one shape.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        if self._entries is not None and len(self.tables) == 1:
            self._entries.derive(self.tables[0])

    def enter(self, upkeep: Upkeep) -> None:
        """Put the rows into the indexes of their class that a script does not work out.

        Raises:
            IndexValueError: An index cannot hold a value.
        """
        if self._entries is not None:
            self._entries.enter(upkeep, self._deadline_ms)

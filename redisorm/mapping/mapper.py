"""The mapper of a class: its immutable plan, from objects to text and back.

It is compiled once, when the class is defined or its last forward reference resolved. It makes lists of words, and
knows neither commands nor connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from redisorm.errors import MappingError
from redisorm.keys import LIFE, VERSION, Keyspace

from .annotations import split_optional
from .columnwise import ColumnDecoder
from .decoder import Decoder
from .encoder import Encoder
from .fields import FieldOptions, options_of
from .indexes import Index, declared_index, uniques_of
from .layout import Branch, Companion, Leaf, lay_out
from .live import LiveField
from .slots import Slots

if TYPE_CHECKING:
    from .base import MappedModel

__all__ = ["Mapper", "Options", "Part", "Refresh"]

M = TypeVar("M", bound="MappedModel")

_CONTENT = attrgetter("__dict__")

Refresh = Literal["write", "read", "never"]
Part: TypeAlias = Leaf | Branch | Companion
"""What a name of a class stands for."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a class statement."""

    prefix: str
    ttl_ms: int | None = None
    ttl_refresh: Refresh = "write"
    versioned: bool = False
    database: Any = None
    unique_together: tuple[tuple[str, ...], ...] = ()


class Mapper(Generic[M]):
    """How one class is stored.

    Attributes:
        slots: The values of an object, in one order.
        companions: The keys beside the hash whose elements are fields of the object.
        beside: All keys beside the hash, live structures among them, by name and type.
        encoder: From objects to text.
        decoder: From text to objects.
        columns: The same for many rows at once; `None` for a class whose rows are read one by one.
        fields: What a load asks HMGET for: the fields of the slots, the life of the row and, where it has one, its version.
        pk_name: The field that is the primary key.
        automatic: Whether the primary key comes from a counter where none is given.
        is_lone: Whether a row is its hash alone: no companion, no live structure, and no field with a life.
        is_plain: Whether it has neither a deadline nor a version either.
        changes_in_place: Whether a value can change without an assignment: a collection, a nested model, extra fields.
        collects_alone: Whether its companions are the only values that can, and no other follows from them.
        indexes: By field, the indexes of the class.
        uniques: Its unique constraints.
        indexed: Whether it has any of these, and so a list of its rows.
        index_fields: The hash fields that these depend on.
        told_by_values: Whether the values of an object tell all its entries, and its unique values.
        entered_by_values: Whether they do, and no value is unique.
        reads_at_once: Whether one HMGET brings all there is of a row.
        open: Whether fields beside the declared ones are kept.
        generated: Whether the primary key comes from a default factory where none is given.
    """

    def __init__(self, model: type[M], options: Options) -> None:
        self.model = model
        self.options = options
        level, row = lay_out(model)
        self.slots = Slots(level)
        self.companions: tuple[Companion, ...] = tuple(level.companions)
        self.beside: tuple[Companion | LiveField, ...] = (*self.companions, *model.__redisorm_live__.values())
        self.parts: dict[str, Part] = dict(zip(self.slots.names, self.slots.order, strict=True))
        self.parts.update((leaf.name, leaf) for leaf in self.slots.computed)
        self.parts.update((companion.name, companion) for companion in self.companions)
        self._find_key()
        self._find_indexes()
        self.encoder = Encoder(self.slots, self.companions)
        self.decoder: Decoder[M] = Decoder(model, row, self.slots, self.companions, self.pk_name)
        self.fields = (*self.slots.names, LIFE, VERSION) if options.versioned else (*self.slots.names, LIFE)
        self.is_lone = not (self.beside or self.slots.lives)
        self.is_plain = self.is_lone and options.ttl_ms is None and not options.versioned
        nests = len(self.slots.names) > sum(isinstance(slot, Leaf) for slot in self.slots.order)
        apart = bool(self.slots.mutable or nests or model.model_config.get("extra") == "allow")
        self.changes_in_place = apart or bool(self.companions)
        self.collects_alone = not (apart or self.slots.computed)
        self.open = model.model_config.get("extra") == "allow"
        self.reads_at_once = not (self.companions or self.open or options.ttl_refresh == "read")
        self.columns: ColumnDecoder[M] | None = None
        if not self.open and options.ttl_refresh != "read" and ColumnDecoder.fits(model, self.slots):
            self.columns = ColumnDecoder(model, row, self.slots, self.companions, self.pk_name)
        self._keyspaces: dict[str, Keyspace] = {}

    def values(self, obj: BaseModel) -> tuple[Any, ...]:
        """The values of an object in the order of the slots.

        Raises:
            ValidationError: It lacks one.
        """
        try:
            return self.slots.take(vars(obj))
        except KeyError as error:
            raise self.encoder.lacks(error.args[0], obj) from None

    def value(self, obj: BaseModel, name: str) -> Any:
        """The value of one field, as `values` tells them."""
        try:
            return obj.__dict__[name]
        except KeyError:
            raise self.encoder.lacks(name, obj) from None

    def values_of(self, objects: Iterable[BaseModel]) -> Iterator[tuple[Any, ...]]:
        """Those of many objects; a `KeyError` where one lacks one, of which `values` tells more."""
        return map(self.slots.take, map(_CONTENT, objects))

    def _find_key(self) -> None:
        model, fields = self.model, self.model.model_fields
        marked = [name for name, info in fields.items() if options_of(info).primary_key]
        if len(marked) > 1:
            raise MappingError(
                f"{model.__name__}: two primary keys, {' and '.join(marked)}: keep one, and join the values in it",
                model=model,
                field=marked[1],
            )
        name = marked[0] if marked else "id"
        if name not in fields:
            raise MappingError(f"{model.__name__} has no primary key: name a field `id`, or give one Field(primary_key=True)", model=model)
        leaf = next((leaf for leaf in self.slots.level.leaves if leaf.name == name and not leaf.computed), None)
        info = fields[name]
        kind, optional = split_optional(info.annotation)
        self.automatic = optional and info.default is None and not info.is_required() and kind is int
        if leaf is None or leaf.codec.json or leaf.ttl_ms is not None or (optional and not self.automatic):
            raise MappingError(
                f"{model.__name__}.{name}: {info.annotation!r} cannot be a primary key: take a text, a number, a date or a UUID, "
                "or `int | None = None` for automatic numbers",
                model=model,
                field=name,
            )
        self.pk_name, self.pk_leaf = name, leaf
        self.generated = info.default_factory is not None
        constrained = any(not isinstance(item, FieldOptions) for item in info.metadata)
        self._checked_pk = frozenset() if constrained else leaf.codec.exact

    def _find_indexes(self) -> None:
        declared = list(self.slots.level.every_declared())
        leaves = {slot.name: slot for slot in (*self.slots.order, *self.slots.computed) if isinstance(slot, Leaf)}
        found = (declared_index(self.model, one) for one in declared)
        self.indexes: dict[str, Index] = {index.name: index for index in found if index is not None}
        for index in self.indexes.values():
            index.place = self.slots.place(index.name) if index.name in self.slots.names else None
        self.uniques = tuple(uniques_of(self.model, declared, self.options.unique_together, leaves))
        self.indexed = bool(self.indexes or self.uniques)
        told = all((one.by_value or one.kind == "none") and one.place is not None for one in self.indexes.values())
        self.told_by_values = told and all(name in self.slots.names for one in self.uniques for name in one.names)
        self.entered_by_values = self.told_by_values and not self.uniques
        names = [index.name for index in self.indexes.values() if index.companion is None]
        names += [leaf.name for unique in self.uniques for leaf in unique.leaves]
        self.index_fields = tuple(dict.fromkeys(names))
        if self.automatic and "id" in self.indexes and self.pk_name != "id":
            raise MappingError(
                f"{self.model.__name__}.id: an index of this name would share a key with the counter of automatic keys: rename the field",
                model=self.model,
                field="id",
            )

    def keyspace(self, namespace: str) -> Keyspace:
        """The keys of this class in a namespace."""
        keyspace = self._keyspaces.get(namespace)
        if keyspace is None:
            keyspace = self._keyspaces[namespace] = Keyspace(namespace, self.options.prefix)
        return keyspace

    def pk_text(self, pk: object) -> str:
        """Spell a primary key, checked against its field; `ValidationError` where it does not fit."""
        codec = self.pk_leaf.codec
        if type(pk) not in self._checked_pk:
            try:
                pk = codec.check(pk)
            except ValidationError as error:
                raise self.encoder.invalid(error, self.pk_name, "") from None
        text = codec.spell(pk)
        return text.decode("latin-1") if isinstance(text, bytes) else str(text)

    def pk_texts(self, pks: Sequence[object]) -> list[str]:
        """Spell many primary keys, as `pk_text` does."""
        kinds = set(map(type, pks))
        if kinds == {int} and int in self._checked_pk:
            return list(map(str, pks))
        return [self.pk_text(pk) for pk in pks]

    def pk_value(self, text: str) -> Any:
        """Read a primary key from its text."""
        return self.pk_values([text])[0]

    def pk_values(self, texts: Sequence[str]) -> list[Any]:
        """Read many of them."""
        encoding = "latin-1" if self.pk_leaf.codec.binary else "utf-8"
        return self.pk_leaf.codec.read_many([text.encode(encoding, "surrogateescape") for text in texts])

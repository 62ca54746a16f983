"""`Event`: a class of entries of a stream. How they are written, read and listed; groups and workers are in `groups`.

The fields of an entry are text by the codec of the models, so that any program can read them, and write them with XADD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from typing_extensions import NamedTuple, Self

from redisorm.commands import Batch, Command, Flow
from redisorm.errors import DecodeError, MappingError
from redisorm.keys import EMPTY, check_prefix, stream_key
from redisorm.mapping.base import ModelMeta
from redisorm.mapping.codec import Text
from redisorm.mapping.decoder import Decoder
from redisorm.mapping.encoder import Encoder, as_bytes
from redisorm.mapping.fields import options_of
from redisorm.mapping.layout import lay_out
from redisorm.mapping.slots import Slots

from .declared import Declared, plan_of

__all__ = ["PAGE", "Entry", "Event", "EventMapper", "append", "appending", "event_mapper_of", "fields_of", "read", "size"]

E = TypeVar("E", bound="Event")

PAGE = 1000
"""Entries of one XRANGE, where all are asked for."""

_ID = re.compile(r"\d{1,20}(-\d{1,20})?")
_UNSAID: Any = object()


class EventMapper(Generic[E]):
    """How the events of one class are written and read: compiled once, when the class is defined.

    Attributes:
        model: The class.
        stream: The name of its stream, without the namespace.
        maxlen: About how many entries the stream keeps, or `None` for all.
    """

    def __init__(self, model: type[E], stream: str, maxlen: int | None) -> None:
        name = model.__name__
        if maxlen is not None and (type(maxlen) is not int or maxlen < 1):
            raise MappingError(f"{name}: maxlen={maxlen!r} must be a number of entries, or None for all of them", model=model)
        self.model = model
        self.stream: str = check_prefix(stream, name, "stream")
        self.maxlen = maxlen
        level, row = lay_out(model, flat=True)
        self._slots = Slots(level)
        self._encoder = Encoder(self._slots, ())
        self._decoder: Decoder[E] = Decoder(model, row, self._slots, (), None)
        self._names = tuple(name.encode() for name in self._slots.names)
        self._known = {*self._names, *(leaf.name.encode() for leaf in self._slots.computed)}
        self._open = model.model_config.get("extra") == "allow"
        keyed = any(options_of(info).primary_key for info in model.model_fields.values())
        if level.declared or self._slots.lives or keyed:
            raise MappingError(f"{name}: an event has neither key nor index, and its fields no life: leave the options out", model=model)

    def fields(self, event: E) -> list[Text]:
        """Spell an event as `field, text, field, text, …`.

        Raises:
            ValidationError: A value does not fit its annotation.
        """
        words, _ = self._encoder.row(self._slots.take(vars(event)), "")
        for leaf in self._slots.computed:
            text = self._encoder.spell(leaf, (getattr(event, leaf.local),), 0, "")
            if text is not None:
                words += (leaf.name, text)
        for name, text in self._encoder.extra(event, "").items():
            words += (name, text)
        return words or [EMPTY, "1"]

    def event(self, fields: Sequence[bytes], key: str, entry_id: str) -> E:
        """Make an event from the fields and texts of an entry, without running the validators of its class.

        Fields that the class does not know are passed over; of one that is there twice the last counts.

        Raises:
            DecodeError: A text does not fit its field, or a required field is missing; `pk` is the id of the entry.
        """
        texts = dict(zip(fields[::2], fields[1::2], strict=True))
        extra = None
        if self._open:
            extra = {
                name.decode("utf-8", "surrogateescape"): text
                for name, text in texts.items()
                if name not in self._known and not name.startswith(b":")
            }
        try:
            return self._decoder.row([texts.get(name) for name in self._names], (), f"{key} {entry_id}", "", extra)
        except DecodeError as error:
            error.key, error.pk = key, entry_id
            raise

    def require(self, event: E) -> E:
        """Return an event of this class; anything else is a `TypeError`."""
        if type(event) is not self.model:
            raise TypeError(f"this is a stream of {self.model.__name__}: append {type(event).__name__} to a Stream of its own")
        return event


class Event(Declared, kind="events", metaclass=ModelMeta):
    """An entry of a stream.

    ::

        class OrderPlaced(Event, stream="orders", maxlen=100_000):
            order_id: int               # XADD orders MAXLEN ~ 100000 * order_id 7 total 9.90
            total: Decimal

    A class has a stream of its own. The class keyword `stream` is its name; without one it is the name of the class in snake case. The
    namespace of the database goes before it. `maxlen` is about how many entries it keeps, the newest; without one all of them.
    Collections are JSON text, nested models dotted fields.
    """

    __redisorm_maxlen__: ClassVar[int | None] = None

    def __init_subclass__(cls, *, stream: str | None = None, maxlen: int | None = _UNSAID, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__redisorm_name__ = stream
        if maxlen is not _UNSAID:
            cls.__redisorm_maxlen__ = maxlen

    @classmethod
    def __redisorm_compile__(cls, name: str) -> EventMapper[Self]:
        return EventMapper(cls, name, cls.__redisorm_maxlen__)


class Entry(NamedTuple, Generic[E]):
    """One entry of a stream: its id, as `1700000000000-0`, and its event."""

    id: str
    event: E


def event_mapper_of(model: type[E]) -> EventMapper[E]:
    """The mapper of a class of events, compiled now where a forward reference had kept it from being so.

    Raises:
        MappingError: It is no class of events, or a name in its annotations is still not defined.
    """
    return cast("EventMapper[E]", plan_of(model, Event))


def appending(event: Event, namespace: str) -> Command:
    """Spell the command that appends an event to its stream."""
    mapper = event_mapper_of(type(event))
    trim: tuple[str | int, ...] = () if mapper.maxlen is None else ("MAXLEN", "~", mapper.maxlen)
    return ("XADD", stream_key(namespace, mapper.stream), *trim, "*", *mapper.fields(event))


def append(event: Event, namespace: str) -> Flow[str]:
    """Append an event to its stream; return the id of its entry. It is sent once."""
    (entry_id,) = yield Batch([appending(event, namespace)])
    return bytes(entry_id).decode()


def _checked_id(text: str) -> str:
    """Return the id of an entry, or raise `ValueError`."""
    if not isinstance(text, str) or _ID.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no id of an entry: give it as append() returned it, or as '0' for the beginning")
    return text


def read(mapper: EventMapper[E], namespace: str, after: str, count: int | None) -> Flow[list[Entry[E]]]:
    """Read the entries after an id, oldest first; all of them in pages where no count is given.

    Raises:
        DecodeError: An entry is no such event.
        ValueError: The id is none, or the count is negative.
    """
    if count is not None and count < 0:
        raise ValueError(f"count={count}: a number of entries, or None for all of them")
    key, start = stream_key(namespace, mapper.stream), _checked_id(after)
    entries: list[Entry[E]] = []
    while count is None or len(entries) < count:
        most = PAGE if count is None else min(PAGE, count - len(entries))
        (page,) = yield Batch([("XRANGE", key, f"({start}", "+", "COUNT", most)], resend=True)
        for raw_id, fields in page:
            start = bytes(raw_id).decode()
            entries.append(Entry(start, mapper.event(fields, key, start)))
        if len(page) < most:
            break
    return entries


def size(mapper: EventMapper[Any], namespace: str) -> Flow[int]:
    """Ask how many entries a stream has."""
    (length,) = yield Batch([("XLEN", stream_key(namespace, mapper.stream))], resend=True)
    return int(length)


def fields_of(words: Iterable[Text]) -> dict[str, str]:
    """The fields of an entry as text, for people. Bytes that are no UTF-8 are kept as surrogates."""
    texts = [as_bytes(word).decode("utf-8", "surrogateescape") for word in words]
    return dict(zip(texts[::2], texts[1::2], strict=True))

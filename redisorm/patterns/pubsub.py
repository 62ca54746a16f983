"""`Message`: a class of messages on channels. What is published where, what to subscribe to, and how a payload is read.

A message is fire and forget: who is not subscribed at the moment misses it. The payload is its JSON, by the codec of the
models' compound values. Waiting for messages is the business of the drivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from string import Formatter
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import ValidationError
from typing_extensions import Self

from redisorm.commands import Batch, Command, Flow
from redisorm.errors import DecodeError, MappingError
from redisorm.keys import channel_name, channel_pattern
from redisorm.mapping.annotations import split_optional, stored, stored_field
from redisorm.mapping.base import ModelMeta
from redisorm.mapping.codec import Codec, codec_of
from redisorm.mapping.fields import options_of

from .declared import Declared, plan_of
from .reporting import OnError, report, require_plain

__all__ = ["Message", "Topic", "Wanted", "publish", "publishing", "seconds_or_ever", "topic_of"]

M = TypeVar("M", bound="Message")


class Topic(Generic[M]):
    """How the messages of one class are published and read: compiled once, when the class is defined.

    Attributes:
        model: The class.
        channel: The template of its channels, as it was given.
        sharded: Whether they are sharded channels.
        fields: The fields named in the template, in order.
    """

    def __init__(self, model: type[M], channel: str, sharded: bool) -> None:
        self.model = model
        self.channel = channel
        self.sharded = sharded
        self._parts = _parts_of(model, channel)
        self.fields: tuple[str, ...] = tuple(field for _, field in self._parts if field is not None)
        self._codecs = {field: _codec_of_field(model, field) for field in self.fields}
        self._payload = codec_of(stored(model))
        for name, info in model.model_fields.items():
            said = options_of(info)
            if said.primary_key or said.index or said.unique or said.ttl is not None:
                raise MappingError(
                    f"{model.__name__}.{name}: a message is not stored, so it has neither key nor index nor life: leave the options out",
                    model=model,
                    field=name,
                )

    def channel_of(self, message: M, namespace: str) -> str:
        """Spell the channel that a message belongs on."""
        return channel_name(namespace, self.filled({field: self.text(field, getattr(message, field)) for field in self.fields}))

    def payload_of(self, message: M) -> bytes:
        """Spell a message as JSON.

        Raises:
            ValidationError: A value was changed in place and does not fit its annotation any more.
        """
        return cast("bytes", self._payload.spell(self._payload.check(message)))

    def require(self, message: M) -> M:
        """Return a message of this class; anything else is a `TypeError`."""
        if type(message) is not self.model:
            raise TypeError(f"this is a channel of {self.model.__name__}: publish {type(message).__name__} on a Channel of its own")
        return message

    def wanted(self, fields: Mapping[str, Any], namespace: str, on_error: OnError | None = None) -> Wanted[M]:
        """Say what to subscribe to for these values; a field that is missing, or `"*"`, may have any value.

        Raises:
            TypeError: A field is not part of the channel, or a field of a sharded channel is left open, or `on_error` is a coroutine
                function.
            ValidationError: A value does not fit its field.
        """
        strange = [field for field in fields if field not in self._codecs]
        if strange:
            raise TypeError(
                f"{self.model.__name__}: {', '.join(strange)} is no part of the channel {self.channel!r}: "
                f"{'name ' + ' or '.join(self.fields) if self.fields else 'leave it out'}"
            )
        texts = {field: self.text(field, value) for field, value in fields.items() if value != "*"}
        left_open = [field for field in self.fields if field not in texts]
        if self.sharded and left_open:
            raise TypeError(
                f"{self.model.__name__}: {self.channel!r} is a sharded channel, and those know no patterns: "
                f"give {' and '.join(left_open)} a value, or leave sharded=True out of the class"
            )
        require_plain(on_error, "on_error", "give an ordinary function")
        return Wanted(self, namespace, texts, on_error)

    def read(self, channel: bytes, payload: bytes) -> M:
        """Make a message from a payload, without running the validators of its class.

        Raises:
            DecodeError: The payload is not the JSON of such a message.
        """
        try:
            (message,) = self._payload.read_many([payload])
        except (ValidationError, UnicodeDecodeError) as error:
            where = channel.decode("utf-8", "backslashreplace")
            problem = error.errors(include_url=False, include_context=False)[0] if isinstance(error, ValidationError) else None
            path = "" if problem is None else ".".join(map(str, problem["loc"][1:]))
            said = str(error) if problem is None else problem["msg"]
            raise DecodeError(
                f"channel {where}: the payload is not the JSON of a {self.model.__name__}: {f'{path}: ' if path else ''}{said}",
                model=self.model,
                key=where,
                field=path or None,
                value=payload,
            ) from error
        return cast("M", message)

    def text(self, field: str, value: Any) -> str:
        """Spell a value as part of a channel."""
        codec = self._codecs[field]
        return codec.text(codec.check(value))

    def filled(self, texts: Mapping[str, str]) -> list[str]:
        """The template with all values in it."""
        return [word for text, field in self._parts for word in ((text,) if field is None else (text, texts[field]))]

    def parts(self, texts: Mapping[str, str]) -> list[str | None]:
        """The template with `None` where a value is missing."""
        return [word for text, field in self._parts for word in ((text,) if field is None else (text, texts.get(field)))]


def seconds_or_ever(timeout: float | timedelta | None) -> float | None:
    """How many seconds to wait; `None` for ever."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout


class Wanted(Generic[M]):
    """The messages that a subscriber asked for.

    Attributes:
        name: The channel or pattern to subscribe to.
        command: The command that subscribes to it.
        on_error: Who hears of payloads that do not fit; the log where it is `None`.
    """

    def __init__(self, topic: Topic[M], namespace: str, texts: dict[str, str], on_error: OnError | None) -> None:
        self._topic = topic
        self._namespace = namespace
        self._texts = texts
        self.on_error = on_error
        is_open = len(texts) < len(topic.fields)
        self.command: str = "PSUBSCRIBE" if is_open else "SSUBSCRIBE" if topic.sharded else "SUBSCRIBE"
        self.name: str = channel_pattern(namespace, topic.parts(texts)) if is_open else channel_name(namespace, topic.filled(texts))

    def read(self, delivery: tuple[bytes, bytes]) -> M | None:
        """Read a channel and its payload; `None` for a message that was not asked for, and for one that was reported."""
        channel, payload = delivery
        try:
            message = self._topic.read(channel, payload)
            return message if self._asked_for(message, channel, payload) else None
        except DecodeError as error:
            report(self.on_error, error, payload, self.name)
            return None

    def _asked_for(self, message: M, channel: bytes, payload: bytes) -> bool:
        """Whether the values are those subscribed to: `a.{x}.{y}` fits the channel `a.b.c.d` in two ways."""
        for field, text in self._texts.items():
            found = self._topic.text(field, getattr(message, field))
            if found == text:
                continue
            if self._topic.channel_of(message, self._namespace).encode() == channel:
                return False
            where = channel.decode("utf-8", "backslashreplace")
            raise DecodeError(
                f"channel {where}: the {field} of the payload is {found!r} where the channel says {text!r}: publish it on its own channel",
                model=self._topic.model,
                key=where,
                field=field,
                value=payload,
            )
        return True


def _parts_of(model: type[Message], channel: str) -> list[tuple[str, str | None]]:
    """Take a template apart: texts, each with the field that follows it."""
    name = model.__name__
    try:
        parts = [(text, field, spec, conversion) for text, field, spec, conversion in Formatter().parse(channel)]
    except ValueError as error:
        raise MappingError(f"{name}: channel={channel!r} is no template: {error}", model=model) from error
    fields = [field for _, field, _, _ in parts if field is not None]
    for _, field, spec, conversion in parts:
        if field is not None and (spec or conversion or field not in model.model_fields):
            raise MappingError(f"{name}: channel={channel!r}: {{{field}}} must be the name of a field and nothing else", model=model)
    if len(set(fields)) < len(fields) or not channel or "\0" in channel:
        raise MappingError(f"{name}: channel={channel!r} must be text that is not empty, without NUL, with each field once", model=model)
    return [(text, field) for text, field, _, _ in parts]


def _codec_of_field(model: type[Message], name: str) -> Codec:
    annotation, optional = split_optional(stored_field(model.model_fields[name]))
    codec = codec_of(annotation)
    if optional or codec.json or codec.binary:
        raise MappingError(
            f"{model.__name__}.{name}: {model.model_fields[name].annotation!r} cannot be part of a channel: "
            "take a text, a number, a date or a UUID that is not optional",
            model=model,
            field=name,
        )
    return codec


class Message(Declared, kind="messages", metaclass=ModelMeta):
    """A message published on a channel.

    ::

        class PriceChanged(Message, channel="price.{sku}"):
            sku: str                    # PUBLISH price.a1 {"sku":"a1","price":"9"}
            price: Decimal

    The class keyword `channel` is the name of the channel, with the names of fields in braces; without one it is the name
    of the class in snake case. The namespace of the database goes before it. With `sharded=True` the channels are sharded ones
    (SPUBLISH, SSUBSCRIBE), which a cluster keeps at one shard and which know no patterns; derived classes are sharded too.
    """

    __redisorm_sharded__: ClassVar[bool] = False

    def __init_subclass__(cls, *, channel: str | None = None, sharded: bool | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__redisorm_name__ = channel
        if sharded is not None:
            cls.__redisorm_sharded__ = sharded

    @classmethod
    def __redisorm_compile__(cls, name: str) -> Topic[Self]:
        return Topic(cls, name, cls.__redisorm_sharded__)


def topic_of(model: type[M]) -> Topic[M]:
    """The topic of a class, compiled now where a forward reference had kept it from being so.

    Raises:
        MappingError: It is no class of messages, or a name in its annotations is still not defined.
    """
    return cast("Topic[M]", plan_of(model, Message))


def publishing(message: Message, namespace: str) -> Command:
    """Spell the command that publishes a message."""
    topic = topic_of(type(message))
    return ("SPUBLISH" if topic.sharded else "PUBLISH", topic.channel_of(message, namespace), topic.payload_of(message))


def publish(message: Message, namespace: str) -> Flow[int]:
    """Publish a message; return how many subscribers it reached. It is sent once."""
    (receivers,) = yield Batch([publishing(message, namespace)])
    return int(receivers)

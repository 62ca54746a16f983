"""Texts of keys made from the arguments of a call: `"user:{user_id}"`.

A template is checked when a function is decorated, and compiled to a lookup. This room knows signatures and texts; where the
text goes in a key, `keys` says.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from pydantic.errors import PydanticSchemaGenerationError

from redisorm.errors import MappingError
from redisorm.keys import escape
from redisorm.mapping.codec import Codec, codec_of

__all__ = ["Template", "spelled"]

_FORBIDDEN = re.compile(r"[{}%\0]")
_NOTHING = "%-"
"""`None` in a key: no text is escaped to this."""
_MISSING: Any = object()
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


_codecs: dict[type, Codec | None] = {}


def _codec(kind: type) -> Codec | None:
    """The codec of a type whose values have a readable text; `None` for others."""
    if kind not in _codecs:
        try:
            codec = codec_of(kind)
        except PydanticSchemaGenerationError:
            _codecs[kind] = None
        else:
            _codecs[kind] = None if codec.json else codec
    return _codecs[kind]


def spelled(value: object) -> str:
    """Return the text of one value for a key, escaped: text, numbers, dates, UUIDs, enums and their like.

    Raises:
        TypeError: The value has no readable text of its own.
    """
    if type(value) is str:
        return escape(value)
    if type(value) is int:
        return str(value)
    if value is None:
        return _NOTHING
    codec = _codec(type(value))
    if codec is None:
        raise TypeError(
            f"{value!r} of type {type(value).__name__} has no text to go into a key: pass text, a number, a date, a UUID or an enum"
        )
    return escape(codec.text(value))


class Template:
    """The text of a key with names of parameters in braces.

    Args:
        text: `"user:{user_id}"`.
        owner: What it belongs to, for messages.

    Raises:
        MappingError: The text has something else in braces than a name, or characters that mean something in keys.
    """

    def __init__(self, text: str, owner: str) -> None:
        self.text = text
        self.owner = owner
        self._parts: list[tuple[str, str | None]] = []
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise MappingError(f"{owner}: the template {text!r} cannot be read: {error}") from None
        if not text or text.startswith(":"):
            raise MappingError(f"{owner}: the template {text!r} must not be empty or begin with ':', which the library keeps for itself")
        for literal, name, spec, conversion in parts:
            if _FORBIDDEN.search(literal):
                raise MappingError(f"{owner}: the template {text!r} has a brace, '%' or NUL in its text; leave these out of keys")
            if name is not None and (not name.isidentifier() or spec or conversion):
                raise MappingError(f"{owner}: the template {text!r} may have names of parameters in braces, and nothing else")
            self._parts.append((literal, name))
        self.names = tuple(dict.fromkeys(name for _, name in self._parts if name is not None))

    def fill(self, values: Mapping[str, object]) -> str:
        """Return the text with these values in it, escaped.

        Raises:
            TypeError: A value is missing, or has no text of its own.
        """
        try:
            return "".join(literal if name is None else literal + spelled(values[name]) for literal, name in self._parts)
        except KeyError as missing:
            raise TypeError(f"{self.owner}: the template {self.text!r} needs a value for {missing}") from None

    def of(self, function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], str]:
        """Return what makes the text from the arguments of a call to this function.

        Raises:
            MappingError: A name is no parameter of the function, or is `self`, `cls`, `*args` or `**kwargs`.
        """
        signature = inspect.signature(function)
        places = list(signature.parameters.values())
        where = []
        for name in self.names:
            parameter = signature.parameters.get(name)
            if parameter is None or parameter.kind in _COLLECTING or (parameter is places[0] and name in ("self", "cls")):
                known = ", ".join(one.name for one in places if one.kind not in _COLLECTING and one.name not in ("self", "cls"))
                raise MappingError(f"{self.owner}: the template {self.text!r} names {name!r}, which is not one of the parameters: {known}")
            place = places.index(parameter) if parameter.kind is not inspect.Parameter.KEYWORD_ONLY else None
            where.append((name, place, parameter.default))

        def text(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> str:
            values = {}
            for name, place, default in where:
                value = keywords.get(name, _MISSING)
                if value is _MISSING:
                    value = arguments[place] if place is not None and place < len(arguments) else default
                if value is inspect.Parameter.empty:
                    signature.bind(*arguments, **keywords)  # says what is missing, as the call itself would
                values[name] = value
            return self.fill(values)

        return text

"""JSON of unions that says which member a value is, where the JSON alone would be read as another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

from pydantic import Json, PlainValidator
from pydantic_core import SchemaSerializer, SchemaValidator

from .annotations import members, serializer, strip_annotated, validator
from .texts import Text

__all__ = ["Tagged", "is_ambiguous"]

_PLAIN_JSON = frozenset((str, int, float, bool))


def is_ambiguous(annotation: Any) -> bool:
    """Whether JSON alone may not tell which member of a union a value was."""
    bare = strip_annotated(annotation)
    parts = [strip_annotated(part) for part in members(bare) if part is not type(None)]
    if len(parts) > 1:
        return not set(parts) <= _PLAIN_JSON
    return any(
        is_ambiguous(argument) for argument in get_args(bare) if not isinstance(argument, (str, int, list)) and argument is not Ellipsis
    )


class Tagged:
    """JSON of a union that says which member it is where the JSON alone would be read as another.

    `datetime | str` holding the text `2026-01-01T00:00:00` is stored as `{"$str": "2026-01-01T00:00:00"}`.
    """

    def __init__(self, union: Any, spell: Callable[[Any], Text], reads: Any) -> None:
        """Take in a union.

        Args:
            union: Its annotation; `None` where the unions stand inside of something else.
            spell: Its JSON without saying which member.
            reads: The annotation that reads that.
        """
        self._plain = spell
        self._back = validator(reads)
        self._members: dict[str, tuple[Any, SchemaSerializer, SchemaValidator]] = {}
        for part in members(strip_annotated(union)) if union is not None else ():
            bare = strip_annotated(part)
            name = "$" + getattr(bare, "__name__", str(bare))
            self._members[name] = (get_origin(bare) or bare, serializer(part), validator(Annotated[part, Json]))
        self.reads = Annotated[Any, PlainValidator(self.read)]

    def spell(self, value: Any) -> Text:
        """The JSON of a value.

        Raises:
            ValueError: It would come back as another.
        """
        text = self._plain(value)
        back = self._back.validate_python(text)
        if type(back) is type(value) and back == value:
            return text
        for name, (kind, write, _) in self._members.items():
            if type(value) is kind:
                inner = write.to_json(value, warnings="error", round_trip=True).decode()
                return f'{{"{name}":{inner}}}'
        raise ValueError(f"{value!r} would come back from its JSON as {back!r}: give the union a discriminator, or split the field")

    def read(self, text: str) -> Any:
        """Read a value back; `ValidationError` where the JSON is none of the union."""
        found = re.match(r'\{("\$[^"]+"):(.*)\}\Z', text, re.DOTALL)
        if found and found[1].strip('"') in self._members:
            return self._members[found[1].strip('"')][2].validate_python(found[2])
        return self._back.validate_python(text)

"""Fields of a class that take a value as it is: whether an assignment needs Pydantic's check, told by the type of the value.

Pydantic returns a value of exactly the type of an unconstrained scalar unchanged, and makes the `__dict__` of the object anew
round it. Where nothing else would follow from an assignment, the value can be put there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from pydantic import BaseModel

__all__ = ["kinds_taken"]

_KINDS: Mapping[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "bytes": bytes}
"""By their names in core schemas, types of which every value passes as it is, unless something more is said."""


def kinds_taken(model: type[BaseModel]) -> dict[str, frozenset[type]]:
    """The exact types of values that an assignment leaves as they are, by field; other fields are left out.

    It goes by what Pydantic has made of the class: a validator, a constraint, an option for all texts or a frozen field stands in there.
    """
    whole: Any = model.__pydantic_core_schema__
    if whole["type"] != "model" or whole["schema"]["type"] != "model-fields":  # a validator of the whole object, or one of itself in it
        return {}
    said = model.model_config
    if said.get("frozen") or not said.get("validate_assignment") or whole.get("config", {}).keys() - {"title"}:
        return {}
    fields = whole["schema"]["fields"]
    taken = {name: _kinds(fields[name]["schema"]) for name, info in model.model_fields.items() if not info.frozen}
    return {name: kinds for name, kinds in taken.items() if kinds}


def _kinds(schema: Mapping[str, Any]) -> frozenset[type]:
    """The exact types of values that a schema passes as they are; none where it may do more."""
    if schema["type"] == "default" and not schema.keys() - {"type", "schema", "default", "default_factory", "default_factory_takes_data"}:
        return _kinds(schema["schema"])
    if schema["type"] == "nullable" and not schema.keys() - {"type", "schema"}:
        inner = _kinds(schema["schema"])
        return inner | {NoneType} if inner else inner
    return frozenset({_KINDS[schema["type"]]}) if schema.keys() == {"type"} and schema["type"] in _KINDS else frozenset()

"""What a commit relies on: the reads that go with its WATCH, and what follows from their replies.

Whatever can fail at run time is found out here, before the first write, since EXEC does not roll back: rows that are
gone, versions that moved, keys of another Redis type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from redisorm.commands import Command, Reply
from redisorm.errors import AlreadyExistsError, DecodeError, StaleObjectError, WrongTypeError
from redisorm.keys import LIFE, VERSION, Keyspace
from redisorm.mapping.codec import Text
from redisorm.mapping.layout import NULL, Companion, Leaf

from .changes import Change, Kind, life_ms, version_of
from .decoding import elements_of, memo_in
from .loading import read_elements

__all__ = [
    "ABSENT",
    "Observed",
    "Read",
    "decide",
    "incremented",
    "number_texts",
    "observe",
    "read_companions",
    "read_of",
    "refuse_type",
    "texts_after",
    "types",
]


@dataclass(slots=True)
class Observed:
    """What the server holds under the key of a change.

    Attributes:
        exists: Whether the row is there.
        version: Its version, or `None`.
        life: The life of its own, in milliseconds, `PERMANENT`, or `None`.
        deadline_ms: When it expires in the server's time; `None` for never or where nobody asked.
        texts: The stored texts of the fields that were read.
        elements: The stored elements of the companions that were read.
        memo: What is remembered of an expiring row: members by entry, empty for the primary key.
        fits: Whether the condition of the change holds.
        forgotten: Whether it can expire and nothing is remembered of it, though something should be.
        recalled: Whether nobody looked, and what should be remembered of it is taken to be.
        numbers: What incremented fields come to, once that was worked out.
    """

    exists: bool
    version: int | None = None
    life: int | None = None
    deadline_ms: int | None = None
    texts: dict[str, Any] = field(default_factory=dict)
    elements: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    memo: dict[str, str] = field(default_factory=dict)
    fits: bool = True
    forgotten: bool = False
    recalled: bool = False
    numbers: dict[str, Any] | None = None


ABSENT = Observed(exists=False)
"""What is seen of a row that is not there."""


@dataclass(frozen=True, slots=True)
class Read:
    """The reads that one change needs: the row's own fields, the types of companions, then its deadline, memo and elements."""

    change: Change
    fields: tuple[str, ...]
    typed: tuple[tuple[str, str], ...]
    deadline: bool
    memo: bool
    elements: tuple[Companion, ...]

    def companions(self) -> list[str]:
        """The keys of the companions whose elements are read."""
        return [Keyspace.companion(self.change.key, one.name) for one in self.elements]

    def commands(self) -> list[Command]:
        """The commands, in the order `observe` expects their replies."""
        key = self.change.key
        commands: list[Command] = [("HMGET", key, *self.fields)]
        commands += [("TYPE", companion) for companion, _ in self.typed]
        if self.deadline:
            commands.append(("PEXPIRETIME", key))
        if self.memo:
            commands.append(("HGETALL", Keyspace.memo(key)))
        commands += [read_elements(one, key) for one in self.elements]
        return commands


def read_of(change: Change, *, whole: bool = False) -> Read:
    """What to read for a change that expects its row. New rows share one EXISTS for their absence.

    Args:
        whole: Whether to read all that indexes depend on, as for a row that is replaced.
    """
    mapper = change.mapper
    fields = [mapper.pk_name, LIFE]
    if mapper.options.versioned:
        fields.append(VERSION)
    fields += [increment.leaf.name for increment in change.increments]
    if mapper.indexed:
        fields += mapper.index_fields
    if change.only_if:
        fields += change.only_if.fields
    touched = [] if whole or change.difference is None else change.difference.companions
    typed = tuple([(change.keyspace.companion(change.key, one.companion.name), one.companion.kind) for one in touched])
    elements = read_companions(change, whole=whole)
    return Read(change, tuple(dict.fromkeys(fields)), typed, bool(touched) or mapper.indexed, mapper.indexed, elements)


def read_companions(change: Change, *, whole: bool = False) -> tuple[Companion, ...]:
    """The companions whose elements have to be known for a change that expects its row."""
    mapper = change.mapper
    if not mapper.companions:
        return ()
    wanted = set(change.only_if.companions) if change.only_if else set()
    if mapper.indexed and (whole or change.kind is Kind.DELETE or change.may_move()):
        wanted |= mapper.indexes.keys()
    elif mapper.indexed and change.difference is not None:
        wanted |= {one.companion.name for one in change.difference.companions} & mapper.indexes.keys()
    return tuple([one for one in mapper.companions if one.name in wanted])


def observe(read: Read, rest: Iterator[Reply]) -> Observed:
    """Take the replies to a read from those that are left. `exists` is still open where every field was absent."""
    texts = dict(zip(read.fields, next(rest), strict=True))
    for key, needed in read.typed:
        refuse_type(key, needed, next(rest))
    deadline = next(rest) if read.deadline else -1
    memo = memo_in(next(rest)) if read.memo else {}
    elements: dict[str, Sequence[bytes]] = {one.name: list(elements_of(one.kind, next(rest))) for one in read.elements}
    return Observed(
        exists=any(text is not None for text in texts.values()),
        version=version_of(texts.get(VERSION), read.change.mapper.model, read.change.key),
        life=life_ms(texts[LIFE]),
        deadline_ms=None if deadline < 0 else deadline,
        texts=texts,
        elements=elements,
        memo=memo,
        forgotten=read.memo and deadline >= 0 and not memo,
        fits=read.change.only_if is None or read.change.only_if.holds({**texts, **elements}),
    )


def types(change: Change, found: dict[str, bytes]) -> Observed:
    """Check the types under the keys of a new row, where some of them are there.

    Raises:
        WrongTypeError: A key of another type is in the way.
    """
    refuse_type(change.key, "hash", found[change.key])
    for key, one in zip(change.companion_keys(), change.mapper.beside, strict=True):
        refuse_type(key, one.kind, found[key])
    leftovers = any(found[key] != b"none" for key in change.companion_keys())
    return Observed(exists=found[change.key] != b"none" or leftovers)


def refuse_type(key: str, needed: str, found: bytes, otherwise: str = "prefix") -> None:
    """Refuse a key of another type.

    Args:
        otherwise: What else one can take another of.

    Raises:
        WrongTypeError: It is neither absent nor of the type that is needed.
    """
    if found not in (b"none", needed.encode()):
        kind = found.decode()
        raise WrongTypeError(
            f"{key} is a {kind} where a {needed} is needed; nothing was written: move or delete that key, or take another {otherwise}",
            key=key,
            expected=needed,
            found=kind,
        )


def decide(change: Change, seen: Observed) -> None:
    """Raise what the server's state makes of a change; return where it may be written.

    Raises:
        AlreadyExistsError: `create` found a row.
        StaleObjectError: The row is gone, or its version is not the one the object was loaded with.
    """
    if change.only_if is not None or change.touch:  # a row that is touched is there, whatever its version is
        return
    if not seen.exists:
        if change.kind is Kind.UPDATE:
            raise _gone(change)
    elif change.kind is Kind.CREATE:
        raise _already_there(change)
    elif change.mapper.options.versioned and (change.kind is Kind.INSERT or seen.version != change.version):
        raise _stale(change, seen)


def _about(change: Change) -> dict[str, Any]:
    return {"model": change.mapper.model, "pk": change.pk, "key": change.key}


def _gone(change: Change) -> StaleObjectError:
    return StaleObjectError(
        f"{change.mapper.model.__name__} {change.pk!r} is gone: {change.key} was deleted or has expired since it was loaded; nothing was "
        "written: let it be, or save a model_copy() of it to store it anew",
        expected="a row",
        found=None,
        **_about(change),
    )


def _already_there(change: Change) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{change.mapper.model.__name__} {change.pk!r} is already there, under {change.key}: get it and change it, or save() over it",
        **_about(change),
    )


def _stale(change: Change, seen: Observed) -> StaleObjectError:
    name = change.mapper.model.__name__
    if change.kind is Kind.INSERT:
        return StaleObjectError(
            f"{name} {change.pk!r} is new here, but a row is already there, under {change.key}: get it and change it",
            expected=None,
            found="a row",
            **_about(change),
        )
    return StaleObjectError(
        f"{name} {change.pk!r} was changed by another writer since it was loaded: version {change.version} was expected "
        f"under {change.key}, {seen.version} found; refresh() it and try again",
        expected=change.version,
        found=seen.version,
        **_about(change),
    )


def incremented(change: Change, seen: Observed) -> dict[str, Any]:
    """Compute the new values of incremented fields from what is stored, or else the default, checked against the field, once.

    Raises:
        DecodeError: The stored text is no number.
        ValidationError: The new value breaks a constraint of the field.
    """
    if seen.numbers is None:
        seen.numbers = _incremented(change, seen)
    return seen.numbers


def _incremented(change: Change, seen: Observed) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for increment in change.increments:
        leaf, text = increment.leaf, seen.texts[increment.leaf.name]
        try:
            value = _stored_number(change, leaf, text)
        except (ValidationError, UnicodeDecodeError) as error:
            found = text[:100] if text else text
            message = f"{change.key}: the stored {leaf.name!r} is no number to increment: found {found!r}; correct or remove it"
            raise DecodeError(message, model=change.mapper.model, key=change.key, field=leaf.name, value=text) from error
        start = numbers.get(leaf.name, 0 if value is None else value)
        try:
            numbers[leaf.name] = leaf.codec.check(start + increment.by)
        except ValidationError as error:
            raise change.mapper.encoder.invalid(error, leaf.name, change.key) from None
    return numbers


def texts_after(change: Change, seen: Observed) -> dict[str, Text | None]:
    """The texts a row will have once a change is made, of the fields that were read or are written."""
    texts: dict[str, Text | None] = {} if change.is_new else dict(seen.texts)
    texts.update(change.texts())
    if change.increments:
        texts.update(number_texts(change, incremented(change, seen)))
    return texts


def number_texts(change: Change, numbers: Mapping[str, Any]) -> dict[str, Text]:
    """Spell the new values of incremented fields."""
    leaves = {increment.leaf.name: increment.leaf for increment in change.increments}
    return {name: leaves[name].codec.spell(number) for name, number in numbers.items()}


def _stored_number(change: Change, leaf: Leaf, text: bytes | None) -> Any:
    if text is None:
        return change.mapper.model.model_fields[leaf.name].get_default(call_default_factory=True)
    return None if leaf.null and text == NULL.encode() else leaf.codec.read_many([text])[0]

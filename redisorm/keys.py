"""The only room where a key is spelled.

=============================  ===============  =====================================================================
key                            type             holds
=============================  ===============  =====================================================================
``user:1``                     hash             the fields of a row as text; ``:version`` and ``:ttl`` where used
``user:1:tags``                list, set, zset  a companion of the row
``user:1:followers``           any              a live structure that belongs to the row
``user::id:next``              string           the counter of automatic primary keys
``user::all``                  zset             primary key → deadline in ms, ``+inf`` without one: all rows of an indexed class
``user::city:Oslo``            zset             primary key → deadline: the rows whose city is Oslo
``user::city:``                zset             the same for ``None``; the empty text is ``user::city:%``
``user::age``                  zset             primary key → value: numbers and times in order
``user::name``                 zset, score 0    ``value NUL primary key``: text in order (``index="lex"``)
``user::place``                geo              primary key → position
``user::unique:email:a``       string           the primary key of the row that has this value
``user:1::memo``               hash             which of these entries an expiring row owns
``orders``                     stream           events: their fields as text
``orders::dead-letters:g``     stream           what the workers of group `g` gave up, and why
``orders::consumer-group:g``   hash             how often entries were claimed in group `g`, and how many were trimmed unread
``limit::login:7``             string           how much of the limits of ``login`` subject 7 has used; gone when it is all free again
``limit::login:7:hits``        zset             the same as single hits, for limits over a sliding window
``queue:jobs``                 any              a live structure, named by whoever made its handle
``lock::stock``                string           who holds the lock, for as long as it is renewed
``lock::stock:fence``          string           the last fence number that was given out
``lock::stock:wake``           list             one word for the next who waits, after a release
``cache:user:1``               hash             a cached value as text, until when it is good, and who loads it anew
``cache::tag:user:1``          zset             key → deadline in ms: what is cached under a tag
=============================  ===============  =====================================================================

Channels are no keys, and are spelled here too: ``price.a1``, and ``price.*`` for the pattern of them all.

A namespace goes before all of them (``shop:user:1``). What begins ``prefix::`` is the library's own. Primary keys are
escaped, so that none can forge another key. This room knows text, and nothing of models or values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from .errors import MappingError

__all__ = [
    "BEHIND",
    "CLAIMS",
    "EMPTY",
    "LEDGER",
    "LIFE",
    "TRIMMED",
    "VERSION",
    "GroupKeys",
    "KeyPart",
    "Keyspace",
    "LockKeys",
    "cache_key",
    "channel_name",
    "channel_pattern",
    "check_namespace",
    "check_prefix",
    "claim_prefix",
    "escape",
    "limit_key",
    "lock_keys",
    "none_entry",
    "stream_key",
    "structure_key",
    "tag_key",
    "unescape",
    "unique_entry",
    "value_entry",
]

VERSION = ":version"
"""The hash field that counts the writes of a versioned row."""

LIFE = ":ttl"
"""The hash field that remembers the life a row was given of its own: seconds as text, `-1` for one that never ends."""

CLAIMS = "claims"
"""The field of a group's hash that counts how often entries were taken from a consumer."""

TRIMMED = "trimmed"
"""The field of a group's hash that counts the entries removed from the stream before they were dealt with."""

BEHIND = "behind"
"""The field of a group's hash that holds by how much the server's count of the entries it has read is too small."""

EMPTY = ":empty"
"""The field of an event that stores nothing: an entry of a stream has at least one."""

LEDGER = "all"
"""What comes after `prefix::` in the key that lists all rows with their deadlines."""

_SPECIAL = re.compile(r"[:%{}\0]")
_EMPTY = "%"

_refused: dict[str, set[str]] = {}
"""Prefix → escaped primary keys that would spell another class's prefix. Keyed by prefix alone: namespaces share it."""
_prefixes: set[str] = set()


def escape(text: str) -> str:
    """Percent-encode what has a meaning in keys: `:`, `%`, `{`, `}` and NUL. The empty text is `%`."""
    if not text:
        return _EMPTY
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: f"%{ord(found.group()):02X}", text)


def unescape(text: str) -> str:
    """Undo `escape`."""
    if text == _EMPTY:
        return ""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if "%" in text else text


def value_entry(field: str, text: str) -> str:
    """Spell what comes after `prefix::` for one value of an equality index."""
    return f"{field}:{escape(text)}"


def none_entry(field: str) -> str:
    """Spell the same for rows without a value."""
    return f"{field}:"


def unique_entry(name: str, texts: Iterable[str]) -> str:
    """Spell the same for a unique value."""
    return f"unique:{name}:{':'.join(map(escape, texts))}"


def check_namespace(namespace: str) -> str:
    """Return the namespace, or raise `ValueError` where it holds braces (hash tags of a cluster) or NUL."""
    if not isinstance(namespace, str) or re.search(r"[{}\0]", namespace):
        raise ValueError(f"the namespace {namespace!r} must be text without braces (they are hash tags on a cluster) and without NUL")
    return namespace


def check_prefix(prefix: str, owner: str, what: str = "prefix") -> str:
    """Return the prefix, or raise `MappingError` where keys made with it could be mistaken for others."""
    if not isinstance(prefix, str) or not prefix or re.search(r"[{}\0]|::|^:|:$", prefix):
        raise MappingError(
            f"{owner}: {what} {prefix!r} must be text that is not empty, without braces (hash tags on a cluster), NUL or '::' "
            "(reserved for the library), and must not begin or end with ':'"
        )
    return prefix


def claim_prefix(prefix: str) -> None:
    """Make a prefix known, so that the primary key of an outer prefix that would fall into it is refused."""
    if prefix in _prefixes:
        return
    _prefixes.add(prefix)
    outer, separator, last = prefix.rpartition(":")
    if separator:
        _refused.setdefault(outer, set()).add(last)


def _lead(namespace: str) -> str:
    return f"{namespace}:" if namespace else ""


def structure_key(namespace: str, name: str) -> str:
    """Spell the key of a live structure: its name, behind the namespace."""
    return f"{namespace}:{name}" if namespace else name


def _literally(text: str) -> str:
    """Escape what has a meaning in the patterns of SCAN and PSUBSCRIBE."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)


def channel_name(namespace: str, parts: Iterable[str]) -> str:
    """Spell a channel from the parts of its template with the values filled in."""
    return (f"{namespace}:" if namespace else "") + "".join(parts)


def channel_pattern(namespace: str, parts: Iterable[str | None]) -> str:
    """Spell the pattern of the channels that have these parts; `None` is any text."""
    return _literally(_lead(namespace)) + "".join("*" if part is None else _literally(part) for part in parts)


def stream_key(namespace: str, stream: str) -> str:
    """Spell the key of a stream."""
    return f"{namespace}:{stream}" if namespace else stream


def limit_key(namespace: str, name: str, subject: str, *, hits: bool = False) -> str:
    """Spell the key of one subject of a rate limiter; the subject is escaped already."""
    return f"{_lead(namespace)}limit::{escape(name)}:{subject}{':hits' if hits else ''}"


class GroupKeys:
    """The keys of a consumer group of a stream.

    Attributes:
        stream: The stream.
        state: What the group counts: fields `CLAIMS`, `TRIMMED` and `BEHIND`.
        dead: The stream of its dead letters.
    """

    __slots__ = ("dead", "state", "stream")

    def __init__(self, namespace: str, stream: str, group: str) -> None:
        self.stream: str = stream_key(namespace, stream)
        # A hyphen is in no name of a field, so these are never those of an index of a class with this prefix.
        self.state: str = f"{self.stream}::consumer-group:{escape(group)}"
        self.dead: str = f"{self.stream}::dead-letters:{escape(group)}"


class KeyPart(NamedTuple):
    """What a key of a class is.

    Attributes:
        role: A row, a companion or the memo of one, or a key of the class itself.
        pk_text: The primary key of the row; empty for the class itself.
        name: The field of a companion, or what comes after `prefix::`; else empty.
    """

    role: Literal["row", "companion", "memo", "own"]
    pk_text: str
    name: str


class LockKeys(NamedTuple):
    """The keys of one lock."""

    holder: str
    fence: str
    wake: str


def lock_keys(namespace: str, name: str) -> LockKeys:
    """Spell the keys of a lock."""
    holder = f"{_lead(namespace)}lock::{escape(name)}"
    return LockKeys(holder, f"{holder}:fence", f"{holder}:wake")


def cache_key(namespace: str, prefix: str, text: str) -> str:
    """Spell the key of something cached; the text is escaped already."""
    return f"{_lead(namespace)}{prefix}:{text}"


def tag_key(namespace: str, prefix: str, text: str) -> str:
    """Spell the key that lists what is cached under a tag; the text is escaped already."""
    return f"{_lead(namespace)}{prefix}::tag:{text}"


class Keyspace:
    """The keys of one class in one namespace."""

    __slots__ = ("_head", "_refused", "counter", "prefix")

    def __init__(self, namespace: str, prefix: str) -> None:
        self.prefix = prefix
        self._head = f"{_lead(namespace)}{prefix}:"
        self._refused = _refused.setdefault(prefix, set())
        self.counter = f"{self._head}:id:next"

    def row(self, pk_text: str) -> str:
        """Spell the key of a row. A primary key that would fall into a longer prefix is a `ValueError`."""
        text = escape(pk_text)
        if text in self._refused:
            raise ValueError(
                f"primary key {pk_text!r} of prefix {self.prefix!r} would spell the prefix of another class, "
                f"{self.prefix}:{text}: choose another key, or another prefix for one of the two"
            )
        return self._head + text

    def rows(self, pk_texts: Sequence[str]) -> list[str]:
        """Spell the keys of many rows, as `row` does."""
        head = self._head
        if self._refused or not all(pk_texts) or _SPECIAL.search("".join(pk_texts)) is not None:
            return [self.row(pk_text) for pk_text in pk_texts]
        return [head + pk_text for pk_text in pk_texts]

    def pk_text(self, key: str) -> str:
        """Read the primary key back out of the key of a row."""
        return unescape(key[len(self._head) :])

    @staticmethod
    def companion(row: str, field: str) -> str:
        """Spell the key of a companion of a row."""
        return f"{row}:{field}"

    @staticmethod
    def memo(row: str) -> str:
        """Spell the key of the memo of a row."""
        return f"{row}::memo"

    def own(self, name: str) -> str:
        """Spell a key of the class itself from what comes after `prefix::`: `all`, `age`, `city:Oslo`, `unique:email:a@x`."""
        return f"{self._head}:{name}"

    @property
    def pattern(self) -> str:
        """The glob pattern that matches the keys of all rows, and of more: `belongs` tells them apart."""
        return _literally(self._head) + "*"

    def part(self, key: str) -> KeyPart | None:
        """Tell what a key is; `None` where it is no key of the class, or another class's."""
        text = key[len(self._head) :]
        if not key.startswith(self._head) or not text:
            return None
        if text.startswith(":"):
            return KeyPart("own", "", text[1:])
        pk, separator, rest = text.partition(":")
        if pk in self._refused:
            return None
        if not separator:
            return KeyPart("row", unescape(pk), "")
        if rest == ":memo":
            return KeyPart("memo", unescape(pk), "")
        return None if rest.startswith(":") else KeyPart("companion", unescape(pk), rest)

    def row_text(self, key: str) -> str | None:
        """Read the primary key out of the key of a row; `None` where the key is something else, or another class's."""
        text = key[len(self._head) :]
        if not key.startswith(self._head) or not text or ":" in text or text in self._refused:
            return None
        return unescape(text)

"""Commands as the bytes a server reads, made by hiredis: those that differ by a key alone from one mould, long ones piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import cast

from hiredis import pack_command

from redisorm.commands import Argument, Command, ForEach

__all__ = ["Long", "packed", "packed_each", "packed_few", "packed_together"]

LONG = 500
PIECE = 300
_FEW_WORDS = 12

# hiredis annotates a tuple of one word.
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", pack_command)


def packed(command: Command) -> bytes:
    """Spell a command.

    hiredis would spell an int by its `repr`, which runs pending signal handlers, and does not look whether one raised: Ctrl-C
    in that instant is a segmentation fault (seen with 3.5.0). So it gets to see text and bytes only.

    Raises:
        TypeError: A word is no str, bytes or int.
        UnicodeEncodeError: A str has no UTF-8 form.
    """
    if int in map(type, command):
        command = [str(word) if type(word) is int else word for word in command]
    return _pack(tuple(command))


def packed_few(commands: Sequence[Command]) -> bytes:
    """Spell few commands, as `packed` does each. A few words of ASCII text are joined, which takes less time than hiredis does."""
    if sum(map(len, commands)) > _FEW_WORDS:
        return b"".join(map(packed, commands))
    parts: list[str] = []
    add = parts.append
    try:
        for words in cast("Sequence[Sequence[str]]", commands):
            add(f"*{len(words)}")
            for word in words:
                add(_HEADS[len(word)])
                add(word)
            add("\r\n")
        text = "".join(parts)
    except TypeError:  # bytes and numbers
        return b"".join(map(packed, commands))
    return text.encode() if text.isascii() else b"".join(map(packed, commands))


def packed_together(commands: Sequence[Command]) -> bytes:
    """Spell many commands in one piece, as `packed` does each. ASCII text and numbers are joined, which takes half the time of hiredis."""
    words = list(chain.from_iterable(commands))
    kinds = set(map(type, words))
    if not kinds <= {str, int}:
        return b"".join(map(packed, commands))
    texts = list(map(str, words)) if int in kinds else cast("list[str]", words)
    parts = [""] * (2 * len(texts))
    parts[::2] = map(_HEADS.__getitem__, map(len, texts))
    parts[1::2] = texts
    first = 0
    for size in map(len, commands):
        parts[first] = f"\r\n*{size}{parts[first]}"
        first += 2 * size
    text = "".join([*parts, "\r\n"])
    return text.encode()[2:] if text.isascii() else b"".join(map(packed, commands))


class Long:
    """A command of very many words, spelled while its beginning is on the way: the server takes it apart meanwhile."""

    __slots__ = ("_command",)

    def __init__(self, command: Command) -> None:
        self._command = command

    def __iter__(self) -> Iterator[bytes]:
        """Spell it, as `packed` does, in pieces."""
        count = len(self._command)
        size = -(-count // max(count // PIECE, 1))
        head = b"*%d\r\n" % count
        for start in range(0, count, size):
            yield head + _long_body(self._command[start : start + size])
            head = b""

    def __bytes__(self) -> bytes:
        return b"".join(self)


def packed_each(commands: Sequence[Command]) -> list[bytes | Long]:
    """Spell many commands, as `packed` does each; long ones when their turn to be sent comes."""
    if type(commands) is not ForEach or not commands:
        if max(map(len, commands), default=0) < LONG:
            return list(map(packed, commands))
        return [packed(command) if len(command) < LONG else Long(command) for command in commands]
    head, tail = _mould(commands.name, tuple(commands.words))
    return [b"%b%d\r\n%b%b" % (head, len(key), key, tail) for key in map(str.encode, commands.keys)]


@lru_cache(maxsize=256)
def _mould(name: str, words: tuple[Argument, ...]) -> tuple[bytes, bytes]:
    """What comes before and after the key of commands that differ by it alone: mostly reads of all fields of a class."""
    return b"*%d\r\n%b$" % (2 + len(words), _body((name,))), b"\r\n" + _body(words)


def _body(words: Sequence[Argument]) -> bytes:
    """Words as they stand in a command, without the count of all."""
    return packed(words).partition(b"\r\n")[2]


def _long_body(words: Sequence[Argument]) -> bytes:
    """The same of many words. ASCII text is joined, which takes less time than hiredis does."""
    parts = [""] * (2 * len(words))
    try:
        parts[::2] = map(_HEADS.__getitem__, map(len, cast("Sequence[str]", words)))
        parts[1::2] = cast("Sequence[str]", words)
        return "".join(parts).encode("ascii")[2:] + b"\r\n"
    except (TypeError, UnicodeEncodeError):  # bytes and numbers, or further characters
        return _body(words)


class _Heads(dict[int, str]):
    """What stands before a word of each length, and after the word before it."""

    def __missing__(self, length: int) -> str:
        return f"\r\n${length}\r\n"


_HEADS = _Heads({length: f"\r\n${length}\r\n" for length in range(256)})

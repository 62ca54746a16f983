"""Commands as the bytes a server reads, made by hiredis; those that differ by a key alone, from one mould."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from hiredis import pack_command

from redisorm.commands import Argument, Command, ForEach

__all__ = ["packed", "packed_each"]

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
    return _pack(tuple([word if type(word) is not int else str(word) for word in command]))


def packed_each(commands: Sequence[Command]) -> list[bytes]:
    """Spell many commands, as `packed` does each."""
    if not isinstance(commands, ForEach) or not commands:
        return [packed(command) for command in commands]
    head = b"*%d\r\n%b$" % (2 + len(commands.words), _body((commands.name,)))
    tail = b"\r\n" + _body(commands.words)
    return [b"%b%d\r\n%b%b" % (head, len(key), key, tail) for key in map(str.encode, commands.keys)]


def _body(words: Sequence[Argument]) -> bytes:
    """Words as they stand in a command, without the count of all."""
    return packed(words).partition(b"\r\n")[2]

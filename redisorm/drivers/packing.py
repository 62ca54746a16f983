"""One command as the bytes a server reads, made by hiredis."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from hiredis import pack_command

from redisorm.commands import Argument, Command

__all__ = ["packed"]

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

"""A Lua script: its text, put together from parts, and its call by name.

EVALSHA names the script; a server that does not have it has executed nothing, so EVAL may follow. What a script does is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redisorm.commands import Argument, Batch, Collect, Flow, Post
from redisorm.errors import BackendError

__all__ = ["LuaScript", "lua"]


def lua(name: str, package: str = "redisorm.flows") -> str:
    """Read a part of a script from the folder `lua` of a package."""
    return (files(package) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


class LuaScript:
    """A script.

    Args:
        *parts: Its text. What one part declares, those behind it may use.

    Attributes:
        sha: Its name at a server.
    """

    __slots__ = ("_text", "sha")

    def __init__(self, *parts: str) -> None:
        self._text: str = "\n".join(parts)
        self.sha: str = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def call(
        self, words: Sequence[Argument], meanwhile: Callable[[], None] | None = None, *, framed: bool = False, resend: bool = False
    ) -> Flow[list[Any] | None]:
        """Call it: one round trip, and one more where the server does not have it yet.

        Args:
            words: The count of its keys, the keys and the arguments.
            meanwhile: What can be done while the server works, if it is worth it.
            framed: Whether it is called inside MULTI and EXEC, as every commit of a session is.
            resend: Whether running it twice is harmless.

        Returns:
            Its answer, alone in a list; `None` where this user may run no script, and nothing was sent. With `meanwhile` the caller
            has asked for that before.
        """
        call = Batch([("EVALSHA", self.sha, *words)], framed, resend, needs="" if meanwhile else "EVALSHA")
        try:
            if meanwhile is None:
                answers: list[Any] | None = yield call
            else:
                yield Post(call)
                meanwhile()
                answers = yield Collect()
        except BackendError as error:
            if error.code != "NOSCRIPT":
                raise
            answers = yield Batch([("EVAL", self._text, *words)], framed, resend)
        return answers

"""Long commands in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redisorm.commands import Command

__all__ = ["CHUNK", "chunks"]

CHUNK = 3000
"""Words of one command at most: scripts cannot unpack more than about 8,000."""


def chunks(name: str, key: str, words: Sequence[Any]) -> list[Command]:
    """One command for each so many words."""
    if len(words) <= CHUNK:
        return [(name, key, *words)] if words else []
    return [(name, key, *words[start : start + CHUNK]) for start in range(0, len(words), CHUNK)]

"""A table as text for a terminal, or as Markdown for a page: the first column to the left, the others to the right. It knows cells only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Table", "verdict"]


class Table(NamedTuple):
    """What a benchmark has found out.

    Attributes:
        caption: What was measured, on what, and how often.
        head: The names of the columns.
        rows: The cells, as many in each row as there are names.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """The table with aligned columns."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.head))]
        aligned = [
            line[0].ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
            for line in lines
        ]
        return "\n".join([self.caption, *aligned])

    def markdown(self) -> str:
        """The table for a page."""
        rule = ["---", *("---:" for _ in self.head[1:])]
        return "\n".join([self.caption, "", *("| " + " | ".join(line) + " |" for line in (self.head, rule, *self.rows))])


def verdict(value: float, aim: float | None, digits: int = 2) -> tuple[str, str]:
    """A value that should be `aim` at most, marked where it is more, and the aim; the second is empty where there is none."""
    shown = f"{value:.{digits}f}"
    if aim is None:
        return shown, ""
    return (shown if value <= aim else f"{shown} ✗"), f"{aim:g}"

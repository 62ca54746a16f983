"""The page on live structures tells the commands and the cost of every method."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import redisorm

PAGE = (Path(__file__).parents[2] / "docs" / "structures.md").read_text(encoding="utf-8")
TABLES = {found[1]: found[0] for found in re.finditer(r"\| `(Redis\w+)[^\n]*\n\| ---.*?(?=\n\n)", PAGE, re.DOTALL)}
OF_ALL = re.search(r"\| all handles.*?(?=\n\n)", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_method_is_in_the_table_of_its_structure(name: str) -> None:
    assert OF_ALL is not None
    told = set(re.findall(r"`(\w+)", TABLES[name] + OF_ALL[0]))

    methods = {method for method in dir(getattr(redisorm, name)) if not method.startswith("_")} - {"kind"}

    assert methods <= told, methods - told


def test_every_structure_has_its_table() -> None:
    assert set(TABLES) == {name for name in redisorm.__all__ if name.startswith("Redis") and name not in ("RedisModel", "RedisormError")}

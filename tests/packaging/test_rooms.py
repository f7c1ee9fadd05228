"""Tests, harness and tools keep to their rooms: who may import whom, and every file says what it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.harness import side_by_side
from tests.harness.environments import PROJECT

FILES = sorted(path for room in ("tests", "tools", "example_dags") for path in (PROJECT / room).rglob("*.py"))
ROOMS = sorted(path.name for path in (PROJECT / "tests").iterdir() if (path / "__init__.py").exists())


def imported_by(path: Path) -> set[str]:
    """Full names of what the file imports; of ``from x import y``, both ``x`` and ``x.y``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rooms_of(names: set[str]) -> set[str]:
    """Those of the names that lie in a folder of tests, or among the tools, by that folder."""
    parts = [name.split(".") for name in names]
    rooms = {f"tests.{part[1]}" for part in parts if part[0] == "tests" and len(part) > 1 and part[1] in ROOMS}
    return rooms | {"tools" for part in parts if part[0] == "tools"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_a_file_says_what_it_is_for_and_imports_only_what_it_may(path):
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert told, "no docstring"
    assert told.splitlines()[0].endswith("."), "the docstring's first line is no whole sentence"
    rooms = rooms_of(imported_by(path))
    match path.relative_to(PROJECT).parts:
        case ["tools", *_]:
            assert rooms <= {"tests.harness", "tools"}
        case ["tests", "harness", *_]:
            assert rooms <= {"tests.harness"}
        case ["tests", room, _, *_]:
            assert rooms <= {"tests.harness", "tools", f"tests.{room}"}
        case _:
            assert rooms <= {"tests.harness"}


def test_what_runs_together_exists():
    assert [path for path in side_by_side.TOGETHER if not (PROJECT / path).exists()] == []
    assert set(side_by_side.ORDER) <= set(side_by_side.TOGETHER.values())
    assert side_by_side.group_of("tests/whole/test_secrets.py::test_no_secret_is_anywhere") == "whole"
    assert side_by_side.group_of("tests/in_airflow/test_operator.py::test_any") is None

"""Whatever the package imports is declared in ``pyproject.toml``, and whatever is declared there is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from tests.harness.environments import PROJECT

PACKAGE = "airflow_provider_zilliant"
FOLDERS = (PROJECT / PACKAGE, PROJECT / "example_dags")

#: Imported inside functions only, where it is known to be there: module, and why it is not declared.
OPTIONAL = {
    "flask_appbuilder": "the form of Airflow 2.11 to 3.1, which brings it (3.1 a stand-in) and is alone in asking",
    "flask_babel": "the same",
    "wtforms": "the same",
    "opentelemetry": "Airflow brings it; where it does not, nothing is traced",
    "openlineage": "brought by the OpenLineage provider, which alone asks for the facet",
    "attrs": "the same",
    "airflow.providers.openlineage": "the same",
}

#: From Airflow 3.0 on, ``apache-airflow`` itself is empty and requires these, in exactly its own version.
PARTS_OF_AIRFLOW = ("apache-airflow-core", "apache-airflow-task-sdk")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return {normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in project["dependencies"]}


def imports_of(tree: ast.AST, inside_function: bool = False) -> Iterator[tuple[str, bool]]:
    """Every absolute import as the module's full name, and whether it stands in a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module), inside_function
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            # Only a name that is written down can be checked.
            yield str(ast.literal_eval(node.args[0])), inside_function
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports_of(node, inside_function or function)


def third_party(*folders: Path) -> dict[str, list[tuple[str, bool]]]:
    """module: the files that import it, and whether each does so in a function."""
    found: dict[str, list[tuple[str, bool]]] = {}
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    assert files
    for path in files:
        for module, inside in imports_of(ast.parse(path.read_text())):
            if module.partition(".")[0] not in {*sys.stdlib_module_names, PACKAGE}:
                found.setdefault(module, []).append((path.relative_to(PROJECT).as_posix(), inside))
    return found


@cache
def files_of(distribution: str) -> frozenset[str]:
    return frozenset(str(path) for path in metadata.files(distribution) or ())


def distribution_of(module: str) -> str:
    """What brings the module. ``airflow`` is spread over many distributions: there, the file decides."""
    owners = set(metadata.packages_distributions().get(module.partition(".")[0], []))
    if len(owners) > 1:
        path = module.replace(".", "/")
        owners = {owner for owner in owners if files_of(owner) & {f"{path}.py", f"{path}/__init__.py"}}
    assert len(owners) == 1, f"{module} is brought by {sorted(owners) or 'nothing that is installed'}"
    return normal(owners.pop())


def requirement_of(module: str) -> str:
    found = distribution_of(module)
    return "apache-airflow" if found in PARTS_OF_AIRFLOW else found


def is_optional(module: str, *names: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in names or OPTIONAL)


def test_airflow_requires_its_parts_in_its_own_version():
    required = metadata.requires("apache-airflow") or []
    for part in PARTS_OF_AIRFLOW:
        assert any(re.match(rf"{part}\b\s*[<=]", requirement) for requirement in required), part


def test_every_import_is_declared():
    undeclared = {
        module: files
        for module, files in third_party(*FOLDERS).items()
        if not is_optional(module) and requirement_of(module) not in declared()
    }
    assert undeclared == {}


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_import_stands_in_a_function_and_is_in_use(name):
    places = [place for module, found in third_party(*FOLDERS).items() if is_optional(module, name) for place in found]
    assert places, "nothing imports it any more"
    assert all(inside for _, inside in places), places


def test_every_declared_dependency_is_imported():
    used = {requirement_of(module) for module in third_party(*FOLDERS) if not is_optional(module)}
    assert declared() - used == set()


def test_the_check_sees_what_it_is_for():
    """Imports in functions, under ``if``, of submodules, relative ones and by name."""
    source = """
import json, yaml.nodes as y
from . import near
if True:
    from attr import define
def f():
    import rich
    g = lambda: importlib.import_module("httpx")
"""
    found = list(imports_of(ast.parse(source)))
    assert found == [("json", False), ("yaml.nodes", False), ("attr", False), ("rich", True), ("httpx", True)]
    assert requirement_of("airflow.triggers.base") == "apache-airflow"
    assert requirement_of("airflow.providers.standard.operators.python") == "apache-airflow-providers-standard"
    assert requirement_of("airflow.providers.standard.operators.python") not in declared()
    with pytest.raises(AssertionError, match="nothing that is installed"):
        distribution_of("no_such_module_anywhere")

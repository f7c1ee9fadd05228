"""The house: every module of the package in one list, each importing only what stands before it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "airflow_provider_zilliant"

#: From the ground up. Imports inside functions and under ``TYPE_CHECKING`` count like any other.
_HOUSE = """
    __init__
    arguments  retry_policy
    api.redaction  api.job_status
    exceptions
    api.http  api.urls  api.token  api.private_key  api.login  api.environment  api.login_care  api.jobs
    api.transport  api.client
    variables  compat
    connection.form  connection.extra  connection.login_choice  connection.fields
    connection.reading  connection.diagnosis
    get_provider_info
    waits.intervals  waits.events  waits.progress  waits.watching  waits.scope_queue
    transports.masking  transports.blocking  transports.aio
    hooks.zilliant
    triggers.zilliant
    observability.telemetry  observability.lineage
    tasks.final_errors  tasks.carried
    operators.records  operators.consent  operators.ledger  operators.questions  operators.messages
    operators.task  operators.current_try  operators.scope_wait  operators.earlier  operators.submitting
    operators.guard  operators.attempt  operators.zilliant
    sensors.zilliant
"""
HOUSE = _HOUSE.split()

#: Beside the house, so that client and server are two independent witnesses of the protocol.
SANDBOX = "sandbox."


def modules() -> dict[str, Path]:
    found = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in PACKAGE.rglob("*.py")
    }
    return {name: path for name, path in found.items() if name == "__init__" or not name.endswith("__init__")}


def imports_of(path: Path) -> set[str]:
    """The package's modules that a file imports, under their names in :data:`HOUSE`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]  # a module that is loaded by its name
        else:
            continue
        found |= {
            name.removeprefix("airflow_provider_zilliant.")
            for name in names
            if name.startswith("airflow_provider_zilliant")
        }
    known = modules()
    return {"__init__" if name == "airflow_provider_zilliant" else name for name in found} & set(known)


def test_the_list_names_every_module():
    assert sorted(HOUSE) == sorted(name for name in modules() if not name.startswith(SANDBOX))


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_only_what_stands_before_it(name):
    imported = imports_of(modules()[name]) - {"__init__"}
    if name.startswith(SANDBOX):
        assert all(other.startswith(SANDBOX) for other in imported)
    else:
        assert imported <= set(HOUSE[: HOUSE.index(name)])


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_has_at_most_300_lines_and_says_what_it_is_for(name):
    text = modules()[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text))

"""The oldest versions that ``pyproject.toml`` allows, Airflow 2.11.0 among them: installed, and run."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.harness.environments import PROJECT, Environment
from tests.packaging.conftest import run

#: A submission, a busy scope and completion, each waited for in a trigger and on the worker.
SMOKE = (
    "tests/in_airflow/test_operator.py::test_jobid_is_the_result_and_the_xcom",
    "tests/in_airflow/test_operator.py::test_a_busy_scope_is_waited_out_and_the_job_submitted_once",
    "tests/in_airflow/test_completion.py::test_a_completed_job_is_a_success_with_its_status",
)


@pytest.fixture(scope="module")
def lowest() -> Path:
    # Airflow 2.11's login manager asks for any PyJWT from 2.0 on, and its 4.7.3 imports what came with PyJWT 2.11.
    requirements = ("flask-jwt-extended>=4.7.1,<4.7.3", "--editable", f"{PROJECT}[test]")
    return Environment("lowest", requirements, options=("--resolution", "lowest-direct")).make()


def test_the_bounds_themselves_are_installed(lowest, tmp_path):
    script = (
        "import json; from importlib.metadata import distributions as all; "
        "print(json.dumps({found.metadata['Name'].lower().replace('_', '-'): found.version for found in all()}))"
    )
    installed = json.loads(run(lowest, "-c", script, cwd=tmp_path))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    bounds = {}
    for requirement in map(Requirement, requirements):
        (bound,) = [part for part in requirement.specifier if part.operator == ">="]
        bounds[requirement.name] = Version(bound.version)
    assert {name: Version(installed[name]) for name in bounds} == bounds


@pytest.mark.timeout(900)  # two minutes on a quiet machine, but it runs beside whole Airflows
def test_protocol_wire_and_an_operator_pass_with_the_lowest_versions(lowest):
    said = run(
        *(lowest, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"),
        *("tests/protocol", "tests/wire", *SMOKE),
        cwd=PROJECT,
        timeout=850,
    )
    summary = re.search(r"^(\d+) passed(.*) in ", said, re.MULTILINE)
    assert summary is not None, said
    # A wholesale skip would end with 0 as well.
    assert int(summary[1]) >= 400, said

"""What ``make test-matrix`` makes of the tests' results: nothing that fails or is skipped goes unseen."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.environments import AIRFLOWS
from tools.matrix import Row, combinations, read_report, table

TESTS = """
import pytest

def test_passes(): pass
def test_passes_too(): pass
def test_fails(): assert False
@pytest.mark.skip(reason="for a reason")
def test_is_skipped(): pass
@pytest.fixture
def broken(): raise OSError
def test_errs(broken): pass
"""


def test_every_result_is_counted(tmp_path):
    (tmp_path / "test_results.py").write_text(TESTS)
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", "test_results.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    passed, failures, skips = read_report(report)
    assert passed == 2
    assert sorted(failures) == ["test_results::test_errs", "test_results::test_fails"]
    assert dict(skips) == {"for a reason": 1}


def test_the_table_has_every_environment_and_what_became_of_it():
    told = table([Row("3.3.2", "3.11.7", "9 passed", "passed", 61.4), Row("3.3", "3.12", "not on this machine")])
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert lines[2:] == ["3.3.2 3.11.7 9 passed passed 61", "3.3 3.12 not on this machine"]


def test_every_airflow_and_every_python_is_among_the_environments():
    found = combinations()
    assert [airflow for airflow, python in found if python == "3.11"] == list(AIRFLOWS)
    assert [python for airflow, python in found if airflow == list(AIRFLOWS)[-1]] == ["3.11", "3.12", "3.13"]
    assert {"2.11", "3.0", "3.1", "3.2", "3.3"} <= set(AIRFLOWS)

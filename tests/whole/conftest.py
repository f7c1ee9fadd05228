"""One whole Airflow for all tests of this layer, with the example Dags and those of ``dags/``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_zilliant.sandbox import Sandbox
from tests.harness import end_to_end
from tests.harness.private_airflow import PrivateAirflow

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.whole)


@pytest.fixture(scope="package")
def zilliant() -> Iterator[Sandbox]:
    with Sandbox(seed=0) as running:
        yield running


@pytest.fixture(scope="package")
def whole_airflow(zilliant: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    for folder in (EXAMPLES, HERE / "dags"):
        shutil.copytree(folder, dags, dirs_exist_ok=True)
    shutil.copy(end_to_end.DAG_FILE, dags)
    home = tmp_path_factory.mktemp("whole") / "airflow"
    connections = {"zilliant_default": zilliant.connection()}
    os.environ["WORKER_PIDS"] = str(home.parent / "pids")
    with PrivateAirflow(home, dags, connections=connections) as airflow:
        yield airflow

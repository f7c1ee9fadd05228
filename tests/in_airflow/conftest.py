"""Operators in a real Airflow: Dag files run by ``dag.test()``, against the sandbox."""

from __future__ import annotations

import itertools
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HEADER = """
import datetime
import json
import os

from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

def note_failure(context):
    error = context["exception"]
    noted = {{"task_id": context["ti"].task_id, "kinds": [kind.__name__ for kind in type(error).__mro__]}}
    with open(os.environ["NOTED_FAILURES"], "a") as file:
        file.write(json.dumps({{**noted, "text": str(error)}}) + "\\n")


with DAG(
    dag_id={dag_id!r},
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1),
    default_args={{
        "retry_delay": datetime.timedelta(0),
        "on_failure_callback": note_failure,
        "on_retry_callback": note_failure,
    }},
    **{dag_arguments!r},
) as dag:
"""


@dataclass
class Run:
    """What a Dag run left behind."""

    dag_run: Any
    failures: list[dict[str, Any]]

    def failure(self, task_id: str) -> dict[str, Any]:
        """The error that the task's failure callback was handed last."""
        return [failure for failure in self.failures if failure["task_id"] == task_id][-1]

    def task(self, task_id: str, map_index: int = -1) -> Any:
        return next(
            ti for ti in self.dag_run.get_task_instances() if ti.task_id == task_id and (ti.map_index == map_index)
        )

    def state(self, task_id: str, map_index: int = -1) -> str:
        return str(self.task(task_id, map_index).state)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        return self.task(task_id, map_index).xcom_pull(task_ids=task_id, key=key, map_indexes=map_index)

    def rendered(self, task_id: str) -> dict[str, Any]:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields

        return RenderedTaskInstanceFields.get_templated_fields(self.task(task_id))


@pytest.fixture(scope="session")
def database(airflow_home: Path) -> Path:
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=120)
    return airflow_home


@pytest.fixture
def run_file(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs a Dag file's Dag in Airflow."""
    noted = tmp_path / "failures.jsonl"
    monkeypatch.setenv("NOTED_FAILURES", str(noted))

    def run_file(path: Path, dag_id: str) -> Run:
        from airflow.providers.common.compat.sdk import DAG

        dags = [value for value in runpy.run_path(str(path)).values() if isinstance(value, DAG)]
        dag_run = next(dag for dag in dags if dag.dag_id == dag_id).test()
        lines = noted.read_text().splitlines() if noted.exists() else []
        return Run(dag_run, [json.loads(line) for line in lines])

    return run_file


_serial = itertools.count()


@pytest.fixture
def run_dag(database: Path, run_file: Callable[..., Run]) -> Iterator[Callable[..., Run]]:
    """Writes a Dag file around the body and runs it in Airflow."""
    written: list[Path] = []

    def run_dag(body: str, **dag_arguments: Any) -> Run:
        dag_id = f"dag_{next(_serial)}"
        path = database / "dags" / f"{dag_id}.py"
        written.append(path)
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        path.write_text(HEADER.format(dag_id=dag_id, dag_arguments=dag_arguments) + lines + "\n")
        return run_file(path, dag_id)

    yield run_dag
    for path in written:
        path.unlink()

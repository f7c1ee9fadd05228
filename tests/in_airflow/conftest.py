"""Operators in a real Airflow: Dag files run by ``dag.test()``, against the sandbox."""

from __future__ import annotations

import itertools
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pendulum
import pytest

from tests.conftest import AIRFLOW

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


@pytest.fixture(autouse=True)
def _dag_test_as_in_airflow_3_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """``dag.test()`` of 3.0 to 3.2 lacks what 3.3's has, and what a worker has in any of them.

    It keeps the error from failure callbacks, by which these tests learn of it. It makes an API server anew for
    every task, which takes a second. In 3.0 it hands rescheduled sensors their first date as text.
    """
    if not (3, 0) <= AIRFLOW < (3, 3):
        return
    from airflow.sdk.execution_time import supervisor, task_runner

    finalize = task_runner.finalize

    def finalize_with_error(ti: Any, state: Any, context: Any, log: Any, error: Any = None) -> None:
        finalize(ti, state, context if error is None else {**context, "exception": error}, log, error)

    monkeypatch.setattr(task_runner, "finalize", finalize_with_error)
    monkeypatch.setattr(supervisor, "in_process_api_server", _api_server)
    if AIRFLOW == (3, 0):
        kind = task_runner.RuntimeTaskInstance
        first_date = kind.get_first_reschedule_date

        def first_date_as_a_date(ti: Any, context: Any) -> Any:
            date = first_date(ti, context)
            return pendulum.parse(date) if isinstance(date, str) else date

        monkeypatch.setattr(kind, "get_first_reschedule_date", first_date_as_a_date)


@cache
def _api_server() -> Any:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    return InProcessExecutionAPI()


@pytest.fixture
def run_file(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs a Dag file's Dag in Airflow."""
    noted = tmp_path / "failures.jsonl"
    monkeypatch.setenv("NOTED_FAILURES", str(noted))

    def run_file(path: Path, dag_id: str) -> Run:
        from airflow.models.dagrun import DagRun
        from airflow.providers.common.compat.sdk import DAG, AirflowTaskTimeout

        dags = [value for value in runpy.run_path(str(path)).values() if isinstance(value, DAG)]
        try:
            dag_run = next(dag for dag in dags if dag.dag_id == dag_id).test()
        except AirflowTaskTimeout:
            # Airflow 2.11 marks the task as it should, and then lets its error out of dag.test().
            (dag_run,) = DagRun.find(dag_id=dag_id)
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

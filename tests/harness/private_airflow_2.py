"""The same for Airflow 2.11: scheduler and triggerer, looked at through their database."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.harness.private_airflow import PrivateAirflow

_TASKS = """
select ti.dag_id, ti.run_id as dag_run_id, ti.task_id, ti.map_index, ti.state, ti.try_number, "trigger".classpath
from task_instance ti left join "trigger" on "trigger".id = ti.trigger_id
where ti.dag_id = ? and ti.run_id = ? order by ti.task_id, ti.map_index
"""

#: What the UI does; the command line clears by dates.
_CLEAR = """
import sys
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session
dag_id, run_id = sys.argv[1:]
with create_session() as session:
    found = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id).all()
    print("cleared when", found[0].state)
    clear_task_instances(found, session, dag=SerializedDagModel.get_dag(dag_id))
"""


class PrivateAirflow2(PrivateAirflow):
    """An Airflow 2.11 that nobody else knows of, with as much of the other's ways as the end-to-end run needs.

    It is looked at by SQL: the webserver that has the REST API takes longer to start than all the rest,
    and a command line takes seconds, in which a task is deferred and resumed again.
    """

    components: ClassVar[tuple[str, ...]] = ("scheduler", "triggerer")

    def __init__(self, *where: Any, **how: Any) -> None:
        super().__init__(*where, **how)
        self.env |= {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
        }

    def is_healthy(self) -> bool:
        running = self.select("select job_type from job where state = 'running'")
        return {"SchedulerJob", "TriggererJob"} <= {job["job_type"] for job in running}

    def select(self, query: str, *values: Any) -> list[dict[str, Any]]:
        uri = f"file:{self.home / 'airflow.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=60)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        self.wait_until(lambda: self.known(dag_id), f"Airflow knows the Dag {dag_id}", 90)
        run_id = f"run-{uuid.uuid4()}"
        self.command("dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(dict(conf or {})))
        return run_id

    def start_run(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        self.command("dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(dict(conf)))

    def clear(self, dag_id: str, run_id: str) -> str | None:
        command = [self.interpreter, "-c", _CLEAR, dag_id, run_id]
        done = subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=60, text=True)
        return done.stdout.split("cleared when ")[-1].strip()

    def known(self, dag_id: str) -> bool:
        return bool(self.select("select dag_id from serialized_dag where dag_id = ?", dag_id))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        found = self.select(_TASKS, dag_id, run_id)
        return [{**task, "trigger": {"classpath": task["classpath"]} if task["classpath"] else None} for task in found]

    def run_state(self, dag_id: str, run_id: str) -> str:
        (run,) = self.select("select state from dag_run where dag_id = ? and run_id = ?", dag_id, run_id)
        return str(run["state"])

    def xcom(self, task: Mapping[str, Any], key: str) -> Any:
        found = self.select(
            "select value from xcom where dag_id = ? and run_id = ? and task_id = ? and map_index = ? and key = ?",
            *(task[name] for name in ("dag_id", "dag_run_id", "task_id", "map_index")),
            key,
        )
        return json.loads(found[0]["value"]) if found else None

"""The end-to-end run, the same for every Airflow: submit, busy scope deferred, completion deferred.

Real schedulers, workers and triggerers as processes of their own, and a Connection in Airflow's database.
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from airflow_provider_zilliant.sandbox import Sandbox
from tests.harness.environments import Environment
from tests.harness.private_airflow import PrivateAirflow
from tests.harness.private_airflow_2 import PrivateAirflow2
from tests.harness.processes import stop_recorded

DAG_ID, CONN_ID = "end_to_end", "zilliant_end_to_end"
DAG_FILE = Path(__file__).resolve().parent / "dags" / "end_to_end.py"
SCOPE_TRIGGER, JOB_TRIGGER = "ZilliantScopeTrigger", "ZilliantJobTrigger"


def run_in(environment: Environment, major: int, folder: Path) -> None:
    """Starts a whole Airflow of the environment in the folder, and checks a run of the Dag in it.

    :raises Exception: an ``AssertionError`` if something is not as it should be; others if it did not get that far.
    """
    stop_recorded(folder / "airflow")
    shutil.rmtree(folder, ignore_errors=True)
    dags = folder / "dags"
    dags.mkdir(parents=True)
    shutil.copy(DAG_FILE, dags)
    kind = PrivateAirflow2 if major == 2 else PrivateAirflow
    airflow = kind(folder / "airflow", dags, connections={}, interpreter=environment.interpreter)
    with Sandbox(seed=0) as zilliant, airflow:
        check(airflow, zilliant)


def check(airflow: PrivateAirflow, zilliant: Sandbox) -> None:
    """Runs the Dag in an Airflow that knows it, and compares the books of both sides.

    :raises AssertionError: something is not as it should be.
    """
    airflow.command("connections", "add", CONN_ID, "--conn-json", json.dumps(zilliant.connection()))
    histories = airflow.trigger("histories")
    scope = f"scope-{uuid.uuid4()}"
    notes = airflow.home / f"{scope}.notes"
    run_id = airflow.trigger(DAG_ID, {"scope": scope, "notes": str(notes)})
    deferred: dict[str, set[str]] = {"one": set(), "other": set()}

    def ended() -> bool:
        for task in airflow.tasks(DAG_ID, run_id):
            if task["state"] == "deferred" and task["trigger"]:
                deferred[task["task_id"]].add(task["trigger"]["classpath"].rpartition(".")[2])
        return airflow.run_state(DAG_ID, run_id) in ("success", "failed")

    airflow.wait_until(ended, "the run ends", 120)
    tasks = airflow.tasks(DAG_ID, run_id)
    states = {task["task_id"]: task["state"] for task in tasks}
    assert states == {"one": "success", "other": "success"}, f"both succeed: {states}"
    assert all(JOB_TRIGGER in seen for seen in deferred.values()), f"both wait for their jobs deferred: {deferred}"
    assert sum(SCOPE_TRIGGER in seen for seen in deferred.values()) == 1, f"one waits for the scope: {deferred}"
    answers = [
        seen["status"]
        for seen in zilliant.zilliant.requests
        if seen["method"] == "POST" and isinstance(seen["body"], dict) and seen["body"].get("scope") == scope
    ]
    assert (answers.count(202), set(answers)) == (2, {202, 409}), f"two jobs, and a refusal: {answers}"
    by_workers = len(notes.read_text().splitlines())
    assert len(answers) == by_workers, f"workers alone submit: {by_workers} of {len(answers)} POSTs were theirs"
    jobs = {job["parameters"]["task"]: job for job in zilliant.zilliant.job_records() if job["scope"] == scope}
    for task in tasks:
        job = jobs[task["task_id"]]
        for key in ("job_id", "return_value"):
            assert airflow.xcom(task, key) == job["jobId"], f"XCom {key} of {task['task_id']} is its job's id"
        status = airflow.xcom(task, "job_status")
        ended = (status["executionStatus"], status["closeStatus"])
        assert ended == ("CLOSED", "COMPLETED"), f"XCom job_status of {task['task_id']} tells its job's end: {status}"
    check_histories(airflow, zilliant, histories)


def check_histories(airflow: PrivateAirflow, zilliant: Sandbox, run_id: str) -> None:
    """Waits for the run, and looks at what became of it.

    :raises AssertionError: something was published twice, or is green without having been published.
    """
    airflow.wait_until(lambda: airflow.run_state("histories", run_id) == "failed", "the histories end", 150)
    tasks = {task["task_id"]: task for task in airflow.tasks("histories", run_id)}
    own = [job for job in zilliant.zilliant.job_records() if job["parameters"].get("run") == run_id]
    jobs = {name: [job["jobId"] for job in own if job["parameters"]["task"] == name] for name in (*tasks, "answer")}
    late, forgetful, answered = (tasks[name] for name in ("late", "late_and_forgetful", "answered"))
    assert (late["state"], late["try_number"]) == ("failed", 2), f"execution_timeout is retried: {late}"
    assert len(jobs["late"]) == 1, "and the retry attaches"
    assert (forgetful["state"], forgetful["try_number"]) == ("failed", 1), f"without a memory it is not: {forgetful}"
    assert len(jobs["late_and_forgetful"]) == 1, "and publishes once"
    assert answered["state"] == "success", f"{answered}"
    listed = airflow.command("variables", "list", "--output", "json").splitlines()
    # Some Airflows log before they answer, and some lay the answer out over several lines.
    begins = [number for number, line in enumerate(listed) if line.rstrip() in ("[", "[]") or line.startswith("[{")]
    names = json.loads("\n".join(listed[begins[-1] :])) if begins else []
    kept = [each["key"] for each in names if "answered" in each["key"]]
    assert not kept, f"the Variables of a task that is green are deleted: {kept}"
    source = jobs["answer"] if not jobs["answered"] else jobs["answered"]
    assert source == [airflow.xcom(answered, "job_id")], "the task took the job that it was told of"

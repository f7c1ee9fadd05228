"""Retry, clear and kill in a whole Airflow: what the task remembers, and what it says of the job that runs on."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from tests.harness.private_airflow import PrivateAirflow


@pytest.fixture
def scope() -> str:
    return f"scope-{uuid.uuid4()}"


def the_task(airflow: PrivateAirflow, run_id: str, task_id: str = "publish", dag_id: str = "remembering") -> dict:
    return next(task for task in airflow.tasks(dag_id, run_id) if task["task_id"] == task_id)


def start(airflow: PrivateAirflow, dag_id: str = "remembering", **conf: object) -> str:
    return airflow.trigger(dag_id, {"deferrable": True, "wait": True, **conf})


def until(airflow: PrivateAirflow, run_id: str, state: str, dag_id: str = "remembering") -> dict:
    def reached():
        task = the_task(airflow, run_id, dag_id=dag_id)
        return task if task["state"] == state else None

    return airflow.wait_until(reached, f"the task is {state}", 60)


def until_the_run_has_ended(airflow: PrivateAirflow, run_id: str, state: str, dag_id: str = "remembering") -> None:
    """Before a task is cleared: of a run that is just ending, Airflow marks the end over the clearing."""
    airflow.wait_for_run(dag_id, run_id, 60)
    assert the_task(airflow, run_id, dag_id=dag_id)["state"] == state


def jobs(zilliant, scope: str) -> list[dict]:
    return [job for job in zilliant.zilliant.job_records() if job["scope"] == scope]


def clear(airflow: PrivateAirflow, run_id: str, dag_id: str = "remembering") -> None:
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["publish"], "only_failed": False}
    airflow.send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)


def set_state(airflow: PrivateAirflow, run_id: str, state: str, dag_id: str = "remembering") -> None:
    airflow.send("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/publish", {"new_state": state})


def last_worker() -> int:
    return int(Path(os.environ["WORKER_PIDS"]).read_text().splitlines()[-1])


def told(airflow: PrivateAirflow, words: str) -> list[Path]:
    return [path for path in airflow.logs() if words in path.read_text(errors="replace")]


def test_clearing_a_succeeded_task_submits_anew(whole_airflow, zilliant, scope):
    run_id = start(whole_airflow, scope=scope, seconds=0)
    until_the_run_has_ended(whole_airflow, run_id, "success")
    clear(whole_airflow, run_id)
    whole_airflow.wait_until(lambda: len(jobs(zilliant, scope)) == 2, "it is submitted anew", 60)
    task = until(whole_airflow, run_id, "success")
    assert whole_airflow.xcom(task, "job_id") == jobs(zilliant, scope)[1]["jobId"]


def test_a_clear_asks_attaches_as_it_was_told_and_a_retry_after_it_attaches_too(whole_airflow, zilliant, scope):
    run_id = start(whole_airflow, scope=scope, seconds=600, wait=False)
    until_the_run_has_ended(whole_airflow, run_id, "success")
    clear(whole_airflow, run_id)
    until_the_run_has_ended(whole_airflow, run_id, "failed")
    (job,) = jobs(zilliant, scope)
    assert told(whole_airflow, f"Look at job {job['jobId']} in Zilliant.")
    run_id = start(whole_airflow, scope=f"{scope}-2", seconds=600, deferrable=False, on_clear="attach")
    until(whole_airflow, run_id, "running")
    whole_airflow.wait_until(lambda: jobs(zilliant, f"{scope}-2"), "the job is accepted", 60)
    clear(whole_airflow, run_id)
    (job,) = jobs(zilliant, f"{scope}-2")
    attaching = f"Attaching to job {job['jobId']}"
    whole_airflow.wait_until(lambda: told(whole_airflow, attaching), "the cleared task attaches", 60)
    os.kill(last_worker(), signal.SIGKILL)
    whole_airflow.wait_until(
        lambda: sum(path.read_text(errors="replace").count(attaching) for path in whole_airflow.logs()) == 2,
        "its retry attaches too",
        60,
    )
    zilliant.zilliant.jobs[job["jobId"]].closed_at = time.time()
    until(whole_airflow, run_id, "success")
    assert len(jobs(zilliant, f"{scope}-2")) == 1


def test_clearing_during_the_post_asks_and_the_jobid_answers(whole_airflow, zilliant, scope):
    fault = {"fault": "process_and_hang", "seconds": 20, "method": "POST", "path": "/v1/JobWorkflow"}
    zilliant.zilliant.order_fault(fault)
    run_id = start(whole_airflow, scope=scope, seconds=600)
    whole_airflow.wait_until(lambda: jobs(zilliant, scope), "Zilliant has accepted", 60)
    clear(whole_airflow, run_id)
    until_the_run_has_ended(whole_airflow, run_id, "failed")
    (job,) = jobs(zilliant, scope)
    path = f"/api/v2/dags/remembering/dagRuns/{run_id}/taskInstances/publish/state-store/zilliant_job_id"
    whole_airflow.send("PUT", path, {"value": job["jobId"]})
    zilliant.zilliant.jobs[job["jobId"]].closed_at = time.time()
    clear(whole_airflow, run_id)
    task = until(whole_airflow, run_id, "success")
    assert whole_airflow.xcom(task, "job_id") == whole_airflow.xcom(task, "return_value") == job["jobId"]
    assert len(jobs(zilliant, scope)) == 1


def test_clearing_after_an_unknown_outcome_submits_again(whole_airflow, zilliant, scope):
    zilliant.zilliant.order_fault({"fault": "drop", "method": "POST", "path": "/v1/JobWorkflow"})
    run_id = start(whole_airflow, scope=scope, seconds=0)
    until_the_run_has_ended(whole_airflow, run_id, "failed")
    assert jobs(zilliant, scope) == []
    clear(whole_airflow, run_id)
    until(whole_airflow, run_id, "success")
    assert len(jobs(zilliant, scope)) == 1


@pytest.mark.parametrize("durable", [True, False])
def test_a_trigger_that_cannot_be_imported_publishes_once(whole_airflow, zilliant, scope, durable):
    run_id = start(whole_airflow, scope=scope, seconds=600, durable=durable, broken_trigger=True)
    whole_airflow.wait_for_run("remembering", run_id, 150)
    assert the_task(whole_airflow, run_id)["state"] == "failed"
    assert the_task(whole_airflow, run_id)["try_number"] == (2 if durable else 1)
    assert len(jobs(zilliant, scope)) == 1


def test_an_edited_dag_and_a_shorter_list_never_take_another_ones_job(whole_airflow, zilliant, scope):
    edited = Path(os.environ["WORKER_PIDS"]).with_name("edited.json")
    regions = [f"{scope}-{region}" for region in ("us", "eu", "apac")]
    edited.write_text(json.dumps({"regions": regions}))
    run_id = start(whole_airflow, scope=scope, seconds=600, wait=False)
    list_run_id = whole_airflow.trigger("remembering_a_list")
    until_the_run_has_ended(whole_airflow, run_id, "success")
    whole_airflow.wait_for_run("remembering_a_list", list_run_id, 60)
    edited.write_text(json.dumps({"regions": [regions[0], regions[2]], "workflow": "Q"}))
    clear(whole_airflow, run_id)
    body = {"dry_run": False, "dag_run_id": list_run_id, "only_failed": False}
    whole_airflow.send("POST", "/api/v2/dags/remembering_a_list/clearTaskInstances", body)
    try:
        until_the_run_has_ended(whole_airflow, run_id, "failed")
        tasks = whole_airflow.wait_for_run("remembering_a_list", list_run_id, 60)
    finally:
        edited.unlink()
    assert len(jobs(zilliant, scope)) == 1
    assert [task["state"] for task in tasks if task["map_index"] in (0, 1)] == ["failed", "failed"]
    assert [len(jobs(zilliant, region)) for region in regions] == [1, 1, 1]
    assert told(whole_airflow, "workflow_automation_id was 'P' and is now 'Q'")
    assert told(whole_airflow, f"scope was {regions[1]!r} and is now {regions[2]!r}")


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("how", ["failed", "cleared"])
def test_a_task_that_is_stopped_while_its_job_runs_names_the_job(whole_airflow, zilliant, scope, deferrable, how):
    run_id = start(whole_airflow, scope=scope, seconds=30, deferrable=deferrable)
    whole_airflow.wait_until(lambda: jobs(zilliant, scope), "the job is accepted", 60)
    until(whole_airflow, run_id, "deferred" if deferrable else "running")
    (job,) = jobs(zilliant, scope)
    if deferrable:  # between deferring and the trigger's start there is nobody who could say anything
        looks = f"/v1/JobWorkflow/Authorized/{job['jobId']}/Status"
        whole_airflow.wait_until(
            lambda: any(seen["path"] == looks for seen in zilliant.zilliant.requests),
            "the trigger looks at the job",
            60,
        )
    words = f"ob {job['jobId']} continues in Zilliant" if not deferrable else f"waits for job {job['jobId']} was killed"
    if how == "failed":
        set_state(whole_airflow, run_id, "failed")
    else:
        clear(whole_airflow, run_id)
    files = whole_airflow.wait_until(lambda: told(whole_airflow, words), "the log names the job", 60)
    assert len(files) >= 1
    until(whole_airflow, run_id, "failed")
    assert len(jobs(zilliant, scope)) == 1, "a cleared task asks about the job that runs on"


def test_a_worker_that_is_told_to_end_does_not_turn_green_and_its_retry_attaches(whole_airflow, zilliant, scope):
    run_id = start(whole_airflow, scope=scope, seconds=8, deferrable=False)
    whole_airflow.wait_until(lambda: jobs(zilliant, scope), "the job is accepted", 60)
    until(whole_airflow, run_id, "running")
    (job,) = jobs(zilliant, scope)
    os.kill(last_worker(), signal.SIGTERM)
    task = until(whole_airflow, run_id, "success")
    assert task["try_number"] == 2
    assert [found["jobId"] for found in jobs(zilliant, scope)] == [job["jobId"]]
    assert told(whole_airflow, f"ob {job['jobId']} continues in Zilliant")

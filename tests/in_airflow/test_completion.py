"""Waiting for completion, deferred and blocking alike, and what a retry does with what is on record."""

from __future__ import annotations

import pytest

from tests.conftest import AIRFLOW

BOTH = pytest.mark.parametrize("deferrable", [True, False])
DURABLE = pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])


@pytest.fixture(autouse=True)
def _connected(sandbox, connect):
    connect(sandbox.connection())


def submissions(sandbox) -> list[int]:
    return [seen["status"] for seen in sandbox.zilliant.requests if seen["method"] == "POST"]


def publish(deferrable: bool = True, **arguments: object) -> str:
    told = {"poll_interval": 0.3, "wait_for_completion": True, "deferrable": deferrable, "scope": "us", **arguments}
    rest = ", ".join(f"{name}={value!r}" for name, value in told.items())
    return f"ZilliantRunWorkflowOperator(task_id='publish', workflow_automation_id='Prices', {rest})"


@BOTH
def test_a_completed_job_is_a_success_with_its_status(sandbox, run_dag, deferrable):
    run = run_dag(publish(deferrable, parameters={"sandbox_seconds": "1"}))
    (job,) = sandbox.zilliant.job_records()
    assert run.state("publish") == "success"
    assert run.xcom("publish") == run.xcom("publish", "job_id") == job["jobId"]
    status = run.xcom("publish", "job_status")
    assert set(status) == {"executionStatus", "closeStatus", "startTimeStamp", "closeTimeStamp"}
    assert (status["executionStatus"], status["closeStatus"]) == ("CLOSED", "COMPLETED")


@BOTH
@pytest.mark.parametrize("result", ["FAILED", "CONTINUED_AS_NEW", "NEVER_HEARD_OF"])
def test_any_other_end_fails_the_task(run_dag, deferrable, result):
    run = run_dag(publish(deferrable, parameters={"sandbox_seconds": "0", "sandbox_result": result}))
    failure = run.failure("publish")
    assert run.state("publish") == "failed"
    assert "ZilliantJobFailedError" in failure["kinds"]
    assert all(part in failure["text"] for part in ("Prices", "us", result, run.xcom("publish", "job_id")))
    assert run.xcom("publish", "job_status")["closeStatus"] == result


@BOTH
@DURABLE
def test_a_job_that_takes_longer_than_timeout_fails_the_task_and_a_retry_attaches_or_is_not_made(
    sandbox, run_dag, deferrable, durable
):
    run = run_dag(publish(deferrable, durable=durable, timeout=1, retries=1, parameters={"sandbox_seconds": "60"}))
    remembers = durable
    assert run.state("publish") == "failed"
    assert [failure["kinds"][0] for failure in run.failures] == ["ZilliantTimeoutError"] * (2 if remembers else 1)
    assert ("would submit again" in run.failure("publish")["text"]) is not remembers
    assert submissions(sandbox) == [202]


@BOTH
def test_a_failed_job_is_submitted_anew_by_a_retry(sandbox, run_dag, deferrable):
    run = run_dag(publish(deferrable, retries=1, parameters={"sandbox_seconds": "0", "sandbox_result": "FAILED"}))
    assert run.state("publish") == "failed"
    assert submissions(sandbox) == [202, 202]


@BOTH
def test_failing_looks_are_ridden_out(sandbox, run_dag, deferrable):
    order = sandbox.zilliant.order_fault
    for fault in ("drop", "cut", "garbage"):
        order({"fault": fault, "method": "GET", "times": 2})
    for status in (503, 500, 429, 404):
        order({"fault": "status", "status": status, "method": "GET"})
    run = run_dag(publish(deferrable, poll_interval=0.1, parameters={"sandbox_seconds": "0"}))
    assert run.state("publish") == "success"
    assert all(fault.times == 0 for fault in sandbox.zilliant.faults)


@BOTH
@DURABLE
def test_eleven_failed_looks_fail_the_task_leave_the_job_alone_and_a_retry_attaches_or_is_not_made(
    sandbox, run_dag, deferrable, durable
):
    sandbox.zilliant.order_fault({"fault": "status", "status": 503, "method": "GET", "times": 11})
    how = {"durable": durable, "poll_interval": 0.1, "retries": 1}
    run = run_dag(publish(deferrable, **how, parameters={"sandbox_seconds": "0"}))
    remembers = durable
    assert run.state("publish") == ("success" if remembers else "failed")
    assert run.failures[0]["kinds"][0] == "ZilliantServerError"
    assert ("would submit again" in run.failures[0]["text"]) is not remembers
    assert "not affected" in run.failures[0]["text"]
    assert submissions(sandbox) == [202]


@BOTH
def test_a_token_that_is_refused_while_waiting_ends_the_wait(sandbox, run_dag, deferrable):
    sandbox.zilliant.order_fault({"fault": "status", "status": 401, "method": "GET", "times": None})
    run = run_dag(publish(deferrable))
    assert run.failure("publish")["kinds"][0] == "ZilliantAuthError"


@DURABLE
def test_execution_timeout_ends_the_wait_in_the_triggerer(sandbox, run_dag, durable):
    body = publish(durable=durable, retries=1, parameters={"sandbox_seconds": "60"})[:-1]
    run = run_dag(f"{body}, execution_timeout=datetime.timedelta(seconds=2))")
    kinds = [failure["kinds"][0] for failure in run.failures]
    if durable and AIRFLOW < (3, 0):  # it lets a task's time-out out of dag.test(), which ends before the retry
        assert (run.state("publish"), kinds) == ("up_for_retry", ["AirflowTaskTimeout"])
    else:
        assert run.state("publish") == "failed"
        assert kinds == (["AirflowTaskTimeout"] * 2 if durable else ["ZilliantTimeoutError"])
    assert submissions(sandbox) == [202]


def sensor(job_id: str, **arguments: object) -> str:
    rest = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"""
from airflow_provider_zilliant.sensors.zilliant import ZilliantJobSensor
ZilliantJobSensor(task_id="wait", job_id={job_id!r}, {rest})
"""


MODES = pytest.mark.parametrize(
    "mode",
    [
        {"poll_interval": 0.3},
        {"deferrable": False, "mode": "poke", "poke_interval": 0.3},
        {"deferrable": False, "mode": "reschedule", "poke_interval": 0.3},
    ],
    ids=["deferrable", "poke", "reschedule"],
)


def submit(hook, **parameters: object) -> str:
    return hook.run_workflow("P", scope="us", parameters=parameters)


@MODES
def test_the_sensor_waits_for_completion(run_dag, hook, mode):
    run = run_dag(sensor(submit(hook, sandbox_seconds=1), **mode))
    assert run.state("wait") == "success"


@MODES
@pytest.mark.parametrize("soft_fail", [True, False])
def test_the_sensor_fails_or_skips_with_a_failed_job(run_dag, hook, mode, soft_fail):
    job_id = submit(hook, sandbox_seconds=0.5, sandbox_result="TERMINATED")
    run = run_dag(sensor(job_id, soft_fail=soft_fail, retries=1, **mode))
    assert run.state("wait") == ("skipped" if soft_fail else "failed")
    if not soft_fail:
        (failure,) = run.failures
        assert "ZilliantJobFailedError" in failure["kinds"]
        assert "TERMINATED" in failure["text"]


@MODES
@pytest.mark.parametrize("soft_fail", [True, False])
def test_the_sensors_timeout(run_dag, hook, mode, soft_fail):
    run = run_dag(sensor(submit(hook, sandbox_seconds=60), soft_fail=soft_fail, timeout=1, **mode))
    assert run.state("wait") == ("skipped" if soft_fail else "failed")
    if not soft_fail:
        assert "AirflowSensorTimeout" in run.failure("wait")["kinds"]


def test_the_sensor_refuses_a_jobid_that_cannot_be_one(sandbox, run_dag):
    run = run_dag(sensor("", retries=1))
    assert "job_id" in run.failure("wait")["text"]
    assert len(run.failures) == 1
    assert sandbox.zilliant.requests == []

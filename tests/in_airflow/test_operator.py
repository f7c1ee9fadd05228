"""The operator in a real Airflow: jobIds, a busy scope, templates, mapping and the policies."""

from __future__ import annotations

import pytest

from airflow_provider_zilliant.api.jobs import parse_submission
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook


def hold_scope(scope: str = "us", seconds: float = 1.5) -> str:
    """Occupies a scope for some seconds, as a job of somebody else does."""
    with ZilliantHook() as hook:
        return hook.submit(parse_submission("Other", scope=scope, parameters={"sandbox_seconds": seconds}))


def submissions(sandbox) -> list[int]:
    """The statuses that the POSTs got, in order."""
    return [seen["status"] for seen in sandbox.zilliant.requests if seen["method"] == "POST"]


@pytest.fixture(autouse=True)
def _connected(sandbox, connect):
    connect(sandbox.connection())


def test_jobid_is_the_result_and_the_xcom(sandbox, run_dag):
    run = run_dag("""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="PublishListPrices", scope="us", parameters={"foo": "bar"}
)
""")
    (job,) = sandbox.zilliant.job_records()
    assert run.state("publish") == "success"
    assert run.xcom("publish") == run.xcom("publish", "job_id") == job["jobId"]
    assert job["parameters"] == {"WORKFLOW_AUTOMATION_ID": "PublishListPrices", "foo": "bar"}
    assert submissions(sandbox) == [202]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_busy_scope_is_waited_out_and_the_job_submitted_once(sandbox, run_dag, deferrable):
    hold_scope()
    run = run_dag(f"""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="P", scope="us", poll_interval=0.3, deferrable={deferrable}
)
""")
    first, *refused, last = submissions(sandbox)
    assert run.state("publish") == "success"
    assert (first, last) == (202, 202)
    assert set(refused) == {409}
    assert run.xcom("publish") == run.xcom("publish", "job_id") == sandbox.zilliant.job_records()[-1]["jobId"]


def test_a_busy_scope_can_fail_the_task(sandbox, run_dag):
    hold_scope(seconds=60)
    run = run_dag("""
ZilliantRunWorkflowOperator(task_id="publish", workflow_automation_id="P", scope="us", on_scope_busy="fail")
""")
    assert run.state("publish") == "failed"
    assert "ZilliantScopeBusyError" in run.failure("publish")["kinds"]
    assert submissions(sandbox) == [202, 409]


def test_a_busy_scope_can_skip_the_task(sandbox, run_dag):
    hold_scope(seconds=60)
    run = run_dag("""
ZilliantRunWorkflowOperator(task_id="publish", workflow_automation_id="P", scope="us", on_scope_busy="skip")
""")
    assert run.state("publish") == "skipped"
    assert submissions(sandbox) == [202, 409]


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_wait_for_a_scope_ends_with_scope_timeout(sandbox, run_dag, deferrable):
    hold_scope(seconds=60)
    run = run_dag(f"""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="P", scope="us", poll_interval=0.4, scope_timeout=1,
    deferrable={deferrable},
)
""")
    assert run.state("publish") == "failed"
    assert "ZilliantTimeoutError" in run.failure("publish")["kinds"]
    assert "scope_timeout" in run.failure("publish")["text"]
    assert submissions(sandbox).count(202) == 1


@pytest.mark.parametrize("deferrable", [True, False])
def test_execution_timeout_counts_the_time_spent_deferred(sandbox, run_dag, deferrable):
    hold_scope(seconds=60)
    run = run_dag(f"""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="P", scope="us", poll_interval=0.4, deferrable={deferrable},
    execution_timeout=datetime.timedelta(seconds=2),
)
""")
    assert run.state("publish") == "failed"
    assert "AirflowTaskTimeout" in run.failure("publish")["kinds"]


def test_arguments_are_templated(sandbox, run_dag):
    run = run_dag("""
ZilliantRunWorkflowOperator(
    task_id="publish",
    workflow_automation_id="{{ dag.dag_id }}-prices",
    scope="{{ 'u' ~ 's' }}",
    parameters={"run": "{{ run_id }}"},
    descriptor="{{ 'PLATFORM' }}_CUSTOM",
    zilliant_conn_id="zilliant_{{ 'default' }}",
)
""")
    (job,) = sandbox.zilliant.job_records()
    assert job["workflow"].endswith("-prices")
    assert (job["scope"], job["descriptor"]) == ("us", "PLATFORM_CUSTOM")
    assert job["parameters"]["run"] == run.dag_run.run_id
    assert run.rendered("publish")["parameters"] == {"run": run.dag_run.run_id}


def test_native_objects_and_xcoms_are_arguments(sandbox, run_dag):
    run_dag(
        """
@task
def settings():
    return {"scope": 2026, "percent": 2.5}

@task
def parameters():
    return {"list": "base", "percent": 1e-07}

told = settings()
ZilliantRunWorkflowOperator(
    task_id="a", workflow_automation_id="A", scope="{{ ti.xcom_pull('settings')['scope'] }}",
    parameters={"percent": "{{ ti.xcom_pull('settings')['percent'] }}", "code": "007"},
) << told
ZilliantRunWorkflowOperator(task_id="b", workflow_automation_id="B", parameters=parameters())
""",
        render_template_as_native_obj=True,
    )
    a, b = sorted(sandbox.zilliant.job_records(), key=lambda job: job["workflow"])
    assert a["scope"] == "2026"
    assert a["parameters"] == {"WORKFLOW_AUTOMATION_ID": "A", "percent": "2.5", "code": "007"}
    assert b["parameters"] == {"WORKFLOW_AUTOMATION_ID": "B", "list": "base", "percent": "0.0000001"}


def test_a_mapped_task_submits_for_every_scope(sandbox, run_dag):
    run = run_dag("""
ZilliantRunWorkflowOperator.partial(task_id="publish", workflow_automation_id="P", poll_interval=0.3).expand(
    scope=["us", "eu", None]
)
""")
    jobs = {job["scope"]: job["jobId"] for job in sandbox.zilliant.job_records()}
    assert set(jobs) == {"us", "eu", None}
    assert [run.xcom("publish", "job_id", index) for index in range(3)] == [jobs["us"], jobs["eu"], jobs[None]]


def test_a_bad_request_is_not_retried(sandbox, run_dag):
    sandbox.zilliant.order_fault({"fault": "status", "status": 400, "body": "no such workflow", "times": None})
    run = run_dag("ZilliantRunWorkflowOperator(task_id='publish', workflow_automation_id='P', retries=2)")
    assert run.state("publish") == "failed"
    assert {"AirflowFailException", "ZilliantBadRequestError"} <= set(run.failure("publish")["kinds"])
    assert "no such workflow" in run.failure("publish")["text"]
    assert submissions(sandbox) == [400]


def test_a_bad_argument_fails_the_task_before_anything_is_sent(sandbox, run_dag):
    run = run_dag("""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="P", parameters={"list": None}, retries=2
)
""")
    assert run.state("publish") == "failed"
    assert {"AirflowFailException", "ZilliantConfigError"} <= set(run.failure("publish")["kinds"])
    assert "parameters['list']" in run.failure("publish")["text"]
    assert sandbox.zilliant.requests == []


def test_what_was_not_accepted_is_left_to_the_retries(sandbox, run_dag):
    sandbox.zilliant.order_fault({"fault": "status", "status": 500})
    run = run_dag("ZilliantRunWorkflowOperator(task_id='publish', workflow_automation_id='P', retries=1)")
    assert run.state("publish") == "success"
    assert submissions(sandbox) == [500, 202]


def test_an_unknown_outcome_is_not_sent_again(sandbox, run_dag):
    sandbox.zilliant.order_fault({"fault": "lose_reply"})
    run = run_dag(
        "ZilliantRunWorkflowOperator(task_id='publish', workflow_automation_id='Prices', scope='us', retries=3)"
    )
    failure = run.failure("publish")
    assert run.state("publish") == "failed"
    assert {"AirflowFailException", "ZilliantSubmissionUnknownError"} <= set(failure["kinds"])
    assert all(part in failure["text"] for part in ("Prices", "us", "A job may be running", "clear this task"))
    assert submissions(sandbox) == [202]


def test_an_unknown_outcome_is_sent_again_if_the_user_says_so(sandbox, run_dag):
    sandbox.zilliant.order_fault({"fault": "drop"})
    run = run_dag("""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="P", retries=1, on_unknown_submission="resubmit"
)
""")
    assert run.state("publish") == "success"
    assert submissions(sandbox) == [None, 202]


def test_a_task_that_times_out_during_the_post_is_not_retried(sandbox, run_dag):
    sandbox.zilliant.order_fault({"fault": "process_and_hang", "seconds": 30, "method": "POST"})
    run = run_dag("""
ZilliantRunWorkflowOperator(
    task_id="publish", workflow_automation_id="P", retries=2, execution_timeout=datetime.timedelta(seconds=2)
)
""")
    assert run.state("publish") == "failed"
    assert "ZilliantSubmissionUnknownError" in run.failure("publish")["kinds"]
    assert submissions(sandbox) == [202]

"""Metrics must never come between a job and its record; the facet and the retry policy for those who want them."""

from __future__ import annotations

import importlib.util
import re

import pytest

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.observability import telemetry
from airflow_provider_zilliant.tasks.final_errors import final
from tests.in_airflow.test_remembering import Store, accepted, operator, run


@pytest.fixture(autouse=True)
def _connected(sandbox, connect):
    connect(sandbox.connection())


def test_broken_metrics_end_no_task_and_lose_no_job(sandbox, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the metrics server is on fire")

    monkeypatch.setattr(telemetry.Stats, "incr", broken)
    monkeypatch.setattr(telemetry.Stats, "timing", broken)
    store = Store()
    job_id = run(operator(), store)
    assert job_id in sandbox.zilliant.jobs
    assert run(operator(), store, try_number=2) == job_id
    assert accepted(sandbox) == 1


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        (None, "zilliant.submissions.accepted"),
        ({"fault": "status", "status": 500}, "zilliant.submissions.refused"),
        ({"fault": "status", "status": 409}, "zilliant.submissions.busy"),
        ({"fault": "drop"}, "zilliant.submissions.unknown"),
    ],
)
def test_every_submission_is_counted_once_by_its_outcome(sandbox, monkeypatch, fault, counted):
    counts: list[str] = []
    monkeypatch.setattr(telemetry.Stats, "incr", lambda name, **_: counts.append(name))
    monkeypatch.setattr(telemetry.Stats, "timing", lambda *_, **__: None)
    if fault is not None:
        sandbox.zilliant.order_fault({"method": "POST", "path": "/v1/JobWorkflow", **fault})
        with pytest.raises(exceptions.ZilliantError):
            run(operator(on_scope_busy="fail"))
    else:
        run(operator())
    assert counts == [counted]


def test_the_lineage_facet_names_job_workflow_and_scope(sandbox):
    if importlib.util.find_spec("airflow.providers.openlineage") is None:
        with pytest.raises(ImportError, match="openlineage"):
            operator().get_openlineage_facets_on_complete(None)
        return
    task = operator()
    job_id = run(task)
    facet = task.get_openlineage_facets_on_complete(None).run_facets["zilliant_job"]
    assert (facet.jobId, facet.workflow, facet.scope) == (job_id, "P", "us")


def decided(error: BaseException, **how) -> tuple[str, float | None]:
    from airflow_provider_zilliant.retry_policy import zilliant_retry_policy

    decision = zilliant_retry_policy(**how).evaluate(error, try_number=1, max_tries=3)
    return decision.action.value, decision.retry_delay.total_seconds() if decision.retry_delay else None


def test_the_retry_policy():
    from airflow_provider_zilliant.retry_policy import zilliant_retry_policy

    try:
        policy = zilliant_retry_policy()
    except ImportError as error:
        assert re.search("airflow", str(error))  # Airflow before 3.3, which has none
        return
    assert type(policy).deserialize(policy.serialize()).serialize() == policy.serialize()
    assert decided(exceptions.ZilliantConfigError("x")) == ("fail", None)
    assert decided(exceptions.ZilliantAuthError("x", status_code=401)) == ("fail", None)
    assert decided(exceptions.ZilliantRateLimitError("x", status_code=429)) == ("retry", 300)
    assert decided(exceptions.ZilliantServerError("x", status_code=503)) == ("retry", 60)
    assert decided(exceptions.ZilliantUnreachableError("x")) == ("retry", 60)
    failed = exceptions.ZilliantJobFailedError("x")
    assert decided(failed) == ("fail", None)
    assert decided(final(failed), retry_failed_jobs=True) == ("retry", None)
    # on_unknown_submission decides: no rule may send again what may have been accepted.
    assert decided(exceptions.ZilliantSubmissionUnknownError("x")) == ("default", None)
    assert decided(ValueError("x")) == ("default", None)

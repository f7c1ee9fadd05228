"""For every way in which a POST can end: what the operator does, over a real socket and with retries to tempt it."""

from __future__ import annotations

import json
import socket

import pytest

from airflow_provider_zilliant.hooks.zilliant import ZilliantHook

TASK = """
ZilliantRunWorkflowOperator(task_id="publish", workflow_automation_id="Prices", scope="us", retries=1)
"""


@pytest.fixture(autouse=True)
def _connected(sandbox, connect, monkeypatch):
    connect(sandbox.connection())
    monkeypatch.setitem(ZilliantHook.__init__.__kwdefaults__, "request_timeout", 1.0)
    monkeypatch.setattr("airflow_provider_zilliant.api.client.CONNECT_BACKOFF", (0.01,))


def posts(sandbox) -> list[dict]:
    return [seen for seen in sandbox.zilliant.requests if seen["method"] == "POST"]


UNKNOWN = {
    "reset before processing": {"fault": "drop"},
    "reset after processing": {"fault": "lose_reply"},
    "no answer in time, nothing processed": {"fault": "hang", "seconds": 3},
    "no answer in time, processed": {"fault": "process_and_hang", "seconds": 3},
    "502": {"fault": "status", "status": 502},
    "503": {"fault": "status", "status": 503},
    "504": {"fault": "status", "status": 504},
    "2xx with HTML": {"fault": "status", "status": 200, "body": "<html><title>Sign in</title></html>"},
    "2xx with an empty body": {"fault": "status", "status": 202},
    "2xx with JSON without a jobId": {"fault": "status", "status": 202, "body": {"ok": True}},
    "a reply cut in the middle": {"fault": "cut"},
}


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_outcome_is_not_sent_again_and_says_what_to_do(sandbox, run_dag, fault):
    sandbox.zilliant.order_fault(fault)
    run = run_dag(TASK)
    assert run.state("publish") == "failed"
    assert len(posts(sandbox)) == 1
    (failure,) = run.failures
    assert "ZilliantSubmissionUnknownError" in failure["kinds"]
    for part in ("'Prices'", "'us'", "at 20", "A job may be running", "Look in Zilliant", "clearing submits again"):
        assert part in failure["text"]


NOT_ACCEPTED = {
    "400": (400, 1),
    "401": (401, 2),
    "403": (403, 2),
    "404": (404, 2),
    "429": (429, 2),
    "500": (500, 2),
    "302": (302, 2),
}


@pytest.mark.parametrize(("status", "tries"), NOT_ACCEPTED.values(), ids=NOT_ACCEPTED)
def test_what_was_not_accepted_may_be_sent_again_by_the_retries(sandbox, run_dag, status, tries):
    sandbox.zilliant.order_fault({"fault": "status", "status": status})
    run = run_dag(TASK)
    assert len(posts(sandbox)) == tries
    assert run.state("publish") == ("success" if tries == 2 else "failed")
    assert "ZilliantSubmissionUnknownError" not in run.failures[0]["kinds"]


def test_a_refused_connection_may_be_tried_again(sandbox, connect, run_dag):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        connect(sandbox.connection(host=f"http://127.0.0.1:{probe.getsockname()[1]}"))
        run = run_dag(TASK)
    assert [failure["kinds"][0] for failure in run.failures] == ["ZilliantUnreachableError"] * 2
    assert posts(sandbox) == []


@pytest.mark.parametrize("fault", [UNKNOWN["reset before processing"], UNKNOWN["503"], UNKNOWN["2xx with HTML"]])
def test_with_consent_an_unknown_outcome_is_sent_again(sandbox, run_dag, fault):
    sandbox.zilliant.order_fault(fault)
    run = run_dag(TASK.replace("retries=1", "retries=1, on_unknown_submission='resubmit'"))
    assert run.state("publish") == "success"
    assert len(posts(sandbox)) == 2


class Ti:
    """As much of a task instance as resuming looks at."""

    dag_id, task_id, run_id, map_index = "d", "publish", "r", -1
    try_number = 1
    max_tries = 0

    def xcom_push(self, key, value):
        raise AssertionError(f"nothing may be pushed, but {key}={value!r} was")


BAD_EVENTS = [None, {}, "retry", {"status": "success"}, {"status": None}, {"status": "closed"}, {"status": "RETRY"}]
RESUME = {"try_number": 1, "deadline": None}


@pytest.mark.parametrize("method", ["resume_submission", "resume_completion"])
@pytest.mark.parametrize(
    "event", [*BAD_EVENTS, *[{**event, "carried": RESUME} for event in BAD_EVENTS if isinstance(event, dict)]]
)
def test_an_event_that_is_not_on_the_list_fails_the_task_and_sends_nothing(sandbox, method, event):
    from airflow_provider_zilliant.exceptions import ZilliantError
    from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

    operator = ZilliantRunWorkflowOperator(task_id="publish", workflow_automation_id="P", wait_for_completion=True)
    with pytest.raises(ZilliantError):
        getattr(operator, method)({"ti": Ti()}, json.loads(json.dumps(event)))
    assert sandbox.zilliant.requests == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"on_scope_busy": "sleep"}, "on_scope_busy"),
        ({"on_scope_busy": None}, "on_scope_busy"),
        ({"on_unknown_submission": "retry"}, "on_unknown_submission"),
        ({"scope_timeout": -1}, "scope_timeout"),
        ({"timeout": "1h"}, "timeout"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"wait_for_completion": "yes"}, "wait_for_completion"),
        ({"deferrable": "no"}, "deferrable"),
        ({"durable": None}, "durable"),
        ({"workflow_automation_id": ""}, "workflow_automation_id"),
    ],
)
def test_a_wrong_argument_is_a_valueerror_when_the_dag_is_parsed(arguments, named):
    from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator

    with pytest.raises(ValueError, match=named):
        ZilliantRunWorkflowOperator(task_id="publish", **{"workflow_automation_id": "P", **arguments})

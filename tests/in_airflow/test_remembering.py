"""The operator with a task state under control: every record that a try can find, and every way to lose one."""

from __future__ import annotations

import pickle
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_zilliant import exceptions
from airflow_provider_zilliant.api.jobs import parse_submission
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.operators.ledger import KEY, Ledger
from airflow_provider_zilliant.operators.records import AskedFor, Intent, Job, Tries
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator
from airflow_provider_zilliant.tasks.final_errors import final


class Store(dict):
    """Airflow's task state, which may fail."""

    fails_after_saving = False

    def set(self, key, value, *, retention=None):
        self[key] = value
        if self.fails_after_saving:
            raise TimeoutError("the api-server does not answer")

    def delete(self, key):
        self.pop(key, None)

    def variable_name(self, key):
        return None


class Ti:
    """As much of a task instance as the operator looks at."""

    task_id = "publish"

    def __init__(self, try_number=1, max_tries=2):
        self.try_number, self.max_tries = try_number, max_tries
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = value

    map_index = -1

    def xcom_pull(self, task_ids, key, map_indexes):
        return self.xcoms.get(key)


@pytest.fixture(autouse=True)
def _connected(sandbox, connect):
    connect(sandbox.connection())


def operator(**arguments) -> ZilliantRunWorkflowOperator:
    told = {"workflow_automation_id": "P", "scope": "us", "retries": 2, "poll_interval": 0.1, **arguments}
    return ZilliantRunWorkflowOperator(task_id="publish", **told)


def run(task, store=None, **ti):
    """Runs the body of ``execute``, as Airflow's task runner does; without a store, as with ``durable=False``."""
    task.durable = store is not None
    return task.execute({"ti": Ti(**ti), "task_state_store": store})


def accepted(sandbox) -> int:
    return len(sandbox.zilliant.job_records())


@pytest.fixture
def asked_for(sandbox) -> AskedFor:
    """What :func:`operator` asks for."""
    return AskedFor.of(parse_submission("P", scope="us"), sandbox.url)


def intent(asked_for, **facts) -> Intent:
    return Intent(**{"asked_for": asked_for, "tries": Tries(1, 2), "time": time.time(), **facts})


def job(asked_for, job_id, **facts) -> Job:
    return Job(**{"asked_for": asked_for, "tries": Tries(1, 2), "time": time.time(), "job_id": job_id, **facts})


def remembering(record) -> Store:
    store = Store()
    Ledger(store).write(record)
    return store


def submitted(hook, **parameters) -> str:
    return hook.run_workflow("P", scope="us", parameters=parameters)


def test_a_retry_returns_the_job_that_is_on_record(sandbox, hook, asked_for):
    job_id = submitted(hook, sandbox_seconds="60")
    store = remembering(job(asked_for, job_id))
    assert run(operator(), store, try_number=2) == job_id
    assert accepted(sandbox) == 1


def test_a_retry_returns_a_completed_job_without_waiting_for_it(sandbox, hook, asked_for):
    job_id = submitted(hook, sandbox_seconds="0")
    store = remembering(job(asked_for, job_id))
    ti = Ti(try_number=2)
    task = operator(wait_for_completion=True)
    assert task.execute({"ti": ti, "task_state_store": store}) == job_id
    assert ti.xcoms["job_status"]["closeStatus"] == "COMPLETED"
    assert accepted(sandbox) == 1


def test_a_job_that_is_not_found_in_its_first_minute_is_not_submitted_anew(sandbox, hook, monkeypatch, asked_for):
    monkeypatch.setattr("airflow_provider_zilliant.waits.watching.FIRST_BACKOFF", 0.001)
    store = remembering(job(asked_for, submitted(hook, sandbox_seconds="60")))
    sandbox.zilliant.order_fault({"fault": "status", "status": 404, "method": "GET", "times": 11})
    with pytest.raises(exceptions.ZilliantNotFoundError) as caught:
        run(operator(), store, try_number=2)
    assert not isinstance(caught.value, AirflowFailException), "a retry may look again"
    assert accepted(sandbox) == 1


def test_a_page_that_says_404_is_not_zilliants_word_that_the_job_is_gone(sandbox, hook, asked_for):
    store = remembering(job(asked_for, submitted(hook, sandbox_seconds="60"), time=time.time() - 3600))
    page = "<html><title>404 Not Found</title></html>"
    sandbox.zilliant.order_fault({"fault": "status", "status": 404, "method": "GET", "body": page})
    with pytest.raises(exceptions.ZilliantNotFoundError):
        run(operator(), store, try_number=2)
    assert accepted(sandbox) == 1


def test_a_job_that_is_gone_is_asked_about_and_submitted_anew_by_an_informed_clear(sandbox, asked_for, monkeypatch):
    monkeypatch.setattr("airflow_provider_zilliant.waits.watching.CONFIRMATION_PAUSE", 0.01)
    store = remembering(job(asked_for, "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f", time=time.time() - 3600))
    with pytest.raises(exceptions.ZilliantEarlierJobError, match="no longer known to Zilliant") as caught:
        run(operator(), store, try_number=2)
    assert isinstance(caught.value, AirflowFailException)
    assert len(sandbox.zilliant.requests) == 4, "one 404 is no proof"
    assert run(operator(), store, try_number=3, max_tries=4) == sandbox.zilliant.job_records()[0]["jobId"]


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_another_number_of_retries_in_the_dag_is_no_clear(sandbox, retries, asked_for):
    store = remembering(intent(asked_for))
    with pytest.raises(exceptions.ZilliantSubmissionUnknownError, match="Perhaps nothing was sent"):
        run(operator(retries=retries), store, try_number=2, max_tries=2)
    assert sandbox.zilliant.requests == []


def test_only_a_clear_by_somebody_who_was_told_submits_an_intent_again(sandbox, asked_for):
    store = remembering(intent(asked_for))
    with pytest.raises(exceptions.ZilliantSubmissionUnknownError):
        run(operator(), store, try_number=2, max_tries=3)
    assert accepted(sandbox) == 0, "people clear exactly the tasks that hang in a POST"
    run(operator(), store, try_number=3, max_tries=4)
    assert accepted(sandbox) == 1


def test_an_intent_that_could_not_be_written_is_forgotten_and_nothing_is_sent(sandbox):
    store = Store()
    store.fails_after_saving = True
    with pytest.raises(TimeoutError):
        run(operator(), store)
    assert KEY not in store
    assert accepted(sandbox) == 0


def test_a_job_that_could_not_be_recorded_is_still_known_to_this_try_and_stops_the_next(sandbox):
    class Forgetful(Store):
        def set(self, key, value, *, retention=None):
            if key == KEY and value["state"] == "job":
                raise TimeoutError("the api-server does not answer")
            super().set(key, value)

    store = Forgetful()
    assert run(operator(), store) == sandbox.zilliant.job_records()[0]["jobId"]
    with pytest.raises(exceptions.ZilliantSubmissionUnknownError):
        run(operator(), store, try_number=2)
    assert accepted(sandbox) == 1


def test_a_login_that_fails_leaves_no_intent(login_sandbox, connect):
    extra = {"client_id": "c", "client_secret": "s", "login_url": login_sandbox.url}
    connect({"host": login_sandbox.url, "login": "me", "password": "wrong", "extra": extra})
    store = Store()
    with pytest.raises(exceptions.ZilliantAuthError):
        run(operator(), store)
    assert store == {}


def test_a_foreign_record_stops_the_task_before_anything_is_sent(sandbox):
    with pytest.raises(exceptions.ZilliantConfigError, match="nothing was sent"):
        run(operator(), Store({KEY: "something else"}))
    assert sandbox.zilliant.requests == []


def test_where_nothing_remembers_a_timeout_is_not_retried(sandbox):
    task = operator(wait_for_completion=True, deferrable=False, timeout=0.3, parameters={"sandbox_seconds": "60"})
    with pytest.raises(exceptions.ZilliantTimeoutError, match="would submit again") as caught:
        run(task)
    assert isinstance(caught.value, AirflowFailException)
    with pytest.raises(exceptions.ZilliantTimeoutError) as caught:
        run(operator(wait_for_completion=True, deferrable=False, timeout=0.3, scope="eu"), Store())
    assert not isinstance(caught.value, AirflowFailException), "with a record, a retry attaches"


def test_where_nothing_remembers_a_failed_job_is_left_to_the_retries(sandbox):
    failing = {"sandbox_seconds": "0", "sandbox_result": "FAILED"}
    with pytest.raises(exceptions.ZilliantJobFailedError) as caught:
        run(operator(wait_for_completion=True, deferrable=False, parameters=failing))
    assert not isinstance(caught.value, AirflowFailException)


def test_where_nothing_remembers_an_xcom_that_cannot_be_stored_ends_the_task(sandbox, monkeypatch):
    def fail(self, key, value):
        raise TimeoutError("the api-server does not answer")

    monkeypatch.setattr(Ti, "xcom_push", fail)
    with pytest.raises(AirflowFailException, match=r"remembers job .*would submit again"):
        run(operator())
    with pytest.raises(TimeoutError):
        run(operator(scope="eu"), Store())


@pytest.mark.parametrize("store", [None, Store()])
def test_a_kill_during_the_post_lets_the_answer_be_recorded_and_ends_the_task(sandbox, monkeypatch, store):
    task = operator()
    original = ZilliantHook.submit

    def killed_meanwhile(hook, submission):
        job_id = original(hook, submission)
        task.on_kill()  # Airflow 3 calls it from the signal handler, and goes on
        return job_id

    monkeypatch.setattr(ZilliantHook, "submit", killed_meanwhile)
    with pytest.raises(exceptions.ZilliantError, match="was cleared, marked or killed") as caught:
        run(task, store)
    assert isinstance(caught.value, AirflowFailException) is (store is None)
    if store is not None:
        assert store[KEY]["job_id"] == sandbox.zilliant.job_records()[0]["jobId"]


def test_an_execution_timeout_while_a_job_runs_and_nothing_remembers_is_not_retried(monkeypatch):
    def interrupted(*_, **__):
        raise AirflowTaskTimeout("execution_timeout")

    monkeypatch.setattr("airflow_provider_zilliant.operators.attempt.watch", interrupted)
    task = operator(wait_for_completion=True, deferrable=False)
    with pytest.raises(exceptions.ZilliantTimeoutError) as caught:
        run(task)
    assert isinstance(caught.value, AirflowFailException)


def test_both_waits_for_a_scope_try_as_often_before_scope_timeout(sandbox, hook):
    submitted(hook, sandbox_seconds="60")
    with pytest.raises(exceptions.ZilliantTimeoutError):
        run(operator(deferrable=False, poll_interval=10, scope_timeout=0.3))
    with pytest.raises(TaskDeferred) as deferred:
        run(operator(poll_interval=10, scope_timeout=0.3))
    assert deferred.value.trigger.end_time - deferred.value.trigger.waiting_since == pytest.approx(0.3)
    assert len([seen for seen in sandbox.zilliant.requests if seen["status"] == 409]) == 2


JOB = {"jobId": "j1", "executionStatus": "CLOSED", "closeStatus": "COMPLETED"}


@pytest.mark.parametrize(
    "event",
    [
        {"status": "closed", "job": {**JOB, "closeStatus": "FAILED"}, "carried": {}},
        {"status": "bogus", "carried": None},
        {"status": "bogus", "carried": {"try_number": "1"}},
        {"status": "bogus", "carried": {"try_number": 7}},
        {"status": "error", "message": "x", "carried": {}},
        {"status": "timeout"},
        {"status": "retry", "carried": {"try_number": 1, "deadline": None}},
        {"status": "retry", "carried": {"try_number": 1, "deadline": None}, "waiting_since": "soon"},
        {"status": "retry", "carried": {"try_number": 1, "deadline": "soon"}, "waiting_since": 1.0},
        {"status": "retry", "waiting_since": 1.0},
    ],
)
@pytest.mark.parametrize("method", ["resume_submission", "resume_completion"])
def test_a_damaged_event_fails_the_task_and_submits_nothing(sandbox, method, event):
    with pytest.raises(exceptions.ZilliantError):
        getattr(operator(wait_for_completion=True), method)({"ti": Ti(), "task_state_store": Store()}, event)
    assert sandbox.zilliant.requests == []


def test_a_later_try_that_resumes_with_an_old_event_begins_at_the_beginning(sandbox):
    event = {"status": "timeout", "waiting_since": 1.0, "carried": {"try_number": 1, "deadline": None}}
    job_id = operator().resume_submission({"ti": Ti(try_number=2), "task_state_store": Store()}, event)
    assert job_id == sandbox.zilliant.job_records()[0]["jobId"]


def test_a_final_error_is_what_it_was_and_survives_pickling():
    error = final(exceptions.ZilliantBadRequestError("refused", status_code=400, message="why"))
    assert isinstance(error, AirflowFailException)
    assert final(error).__class__ is error.__class__
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.status_code, copy.message) == (type(error), "refused", 400, "why")

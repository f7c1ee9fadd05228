"""Histories of one task instance: retries, clears, edited Dags and lost replies, as Airflow counts them.

Each was, or would have been, a way to publish twice, or to turn green without having published.
"""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_zilliant import compat, exceptions
from airflow_provider_zilliant.hooks.zilliant import ZilliantHook
from airflow_provider_zilliant.observability import telemetry
from airflow_provider_zilliant.operators.ledger import ANSWER_KEY, KEY
from airflow_provider_zilliant.operators.zilliant import ZilliantRunWorkflowOperator
from airflow_provider_zilliant.variables import VariableStore

LONG = {"sandbox_seconds": "600"}


class Store(dict):
    """Airflow's task state; which Airflow knows of how much of it depends on the test."""

    def set(self, key, value, *, retention=None):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


class Ti:
    """As much of a task instance as the operator looks at."""

    dag_id, task_id, run_id = "prices", "publish", "r"

    def __init__(self, try_number, max_tries, map_index, xcoms):
        self.try_number, self.max_tries, self.map_index, self.xcoms = try_number, max_tries, map_index, xcoms

    def xcom_push(self, key, value):
        self.xcoms[self.map_index, key] = value

    def xcom_pull(self, task_ids, key, map_indexes=None):
        if map_indexes is None:  # as Airflow does it: those of all indexes
            return [value for (_, name), value in self.xcoms.items() if name == key]
        return self.xcoms.get((map_indexes, key))


class Life:
    """One task instance, counted as Airflow counts it, whose Dag may be edited between its tries."""

    def __init__(self, map_index=-1, **arguments):
        self.arguments = {"workflow_automation_id": "P", "scope": "us", "retries": 1, "poll_interval": 0.1, **arguments}
        self.store = Store()
        self.tries, self.max_tries, self.clears = 0, self.arguments["retries"], 0
        self.map_index, self.xcoms = map_index, {}
        self.task = None

    def edit(self, **arguments):
        self.arguments.update(arguments)

    def clear(self):
        """``clear_task_instances``: the tries so far plus the present retries."""
        self.max_tries = self.tries + self.arguments["retries"]
        self.clears += 1

    def context(self):
        ti = Ti(self.tries, self.max_tries, self.map_index, self.xcoms)
        return {"ti": ti, "task_state_store": self.store, "dag_run": SimpleNamespace(clear_number=self.clears)}

    def operator(self):
        self.task = ZilliantRunWorkflowOperator(task_id="publish", **self.arguments)
        return self.task

    def run(self, *, reports=True):
        """The next try; if it ends green and Airflow gets the report, its success callbacks run."""
        self.tries += 1
        self.xcoms.clear()
        job_id = self.operator().execute(self.context())
        if reports:
            self.report()
        return job_id

    def report(self):
        for callback in self.task.on_success_callback:
            callback(self.context())

    def resume(self, method, event):
        """The same try, in a new process."""
        return self.operator().resume_execution(method, {"event": event}, self.context())

    def fail_wait(self):
        """Airflow resumes the try only to fail it: its trigger raised, cannot be imported, or is late."""
        return self.operator().resume_execution("__fail__", {"error": "Trigger failure"}, self.context())


@pytest.fixture(autouse=True)
def _connected(sandbox, connect, monkeypatch):
    connect(sandbox.connection())
    monkeypatch.setattr("airflow_provider_zilliant.waits.watching.CONFIRMATION_PAUSE", 0.01)
    monkeypatch.setattr("airflow_provider_zilliant.waits.watching.FIRST_BACKOFF", 0.001)


@pytest.fixture
def accepted(sandbox):
    return lambda: [job["jobId"] for job in sandbox.zilliant.job_records()]


def asks(life, kind=exceptions.ZilliantEarlierJobError, match="."):
    with pytest.raises(kind, match=match) as caught:
        life.run()
    assert isinstance(caught.value, AirflowFailException), "a question is not retried"
    return str(caught.value)


def let_it_end(sandbox, how="COMPLETED"):
    for job in sandbox.zilliant.jobs.values():
        job.closed_at, job.result = time.time() - 1, how


def lets_time_pass(life, seconds=3600.0):
    life.store[KEY]["time"] -= seconds


def is_final(error: BaseException) -> bool:
    return isinstance(error, AirflowFailException)


# Retries and clears


def test_a_retry_after_a_clear_that_attached_attaches_too(sandbox, accepted):
    life = Life(parameters=LONG, on_clear="attach")
    job_id = life.run()
    life.clear()
    assert life.run() == job_id
    assert life.run() == job_id, "a plain retry: the clear before it is over"
    assert accepted() == [job_id]


def test_a_question_that_was_cut_off_is_no_consent_of_the_retry_after_it(sandbox, accepted):
    life = Life(parameters=LONG)
    job_id = life.run()
    life.clear()
    asks(life)
    asks(life)  # the worker died before it could report: Airflow retries, nobody cleared
    assert accepted() == [job_id]
    life.clear()
    sandbox.zilliant.parallel = True
    life.run()
    assert len(accepted()) == 2, "the informed clear submits"


def test_clearing_during_the_post_asks_and_only_the_next_clear_submits(sandbox, monkeypatch, accepted):
    life = Life(parameters=LONG, request_timeout=5.0)
    sandbox.zilliant.parallel = True

    def dies(hook, submission):
        hook.run(hook.client.submit(submission))
        raise SystemExit  # SIGKILL, five seconds after the clear: nothing more is written

    with monkeypatch.context() as patch:
        patch.setattr(ZilliantHook, "submit", dies)
        patch.setattr("airflow_provider_zilliant.operators.guard._interrupted", lambda current, error: error)
        with pytest.raises(SystemExit):
            life.run()
    life.clear()
    told = asks(life, exceptions.ZilliantSubmissionUnknownError)
    assert "clearing submits again" in told
    assert len(accepted()) == 1
    life.clear()
    life.run()
    assert len(accepted()) == 2


def test_one_404_does_not_erase_the_memory_of_an_open_job(sandbox, accepted):
    life = Life(parameters=LONG)
    job_id = life.run()
    lets_time_pass(life)
    gateway = {"fault": "status", "status": 404, "method": "GET", "body": '{"message": "no Route matched"}'}
    sandbox.zilliant.order_fault(gateway)
    sandbox.zilliant.order_fault({"fault": "status", "status": 500, "method": "POST"})
    assert life.run() == job_id
    assert accepted() == [job_id]


def test_a_refused_submission_brings_the_record_before_it_back(sandbox, accepted):
    life = Life(parameters=LONG)
    life.run()
    let_it_end(sandbox, "FAILED")
    before = dict(life.store[KEY])
    sandbox.zilliant.order_fault({"fault": "status", "status": 500, "method": "POST"})
    with pytest.raises(exceptions.ZilliantServerError):
        life.run()
    assert life.store[KEY] == before
    life.run()
    assert len(accepted()) == 2


def test_a_clears_consent_lasts_until_a_submission_is_accepted(sandbox, accepted):
    life = Life(parameters={"sandbox_seconds": "0"})
    life.run()
    let_it_end(sandbox)
    life.clear()
    sandbox.zilliant.order_fault({"fault": "status", "status": 500, "method": "POST"})
    with pytest.raises(exceptions.ZilliantServerError):
        life.run()
    life.run()
    assert len(accepted()) == 2, "not green with the job of before the clear"


@pytest.mark.parametrize("every_clear_is_counted", [True, False])
def test_a_clear_after_retries_were_lowered_does_not_turn_green_with_the_old_job(
    sandbox, accepted, monkeypatch, every_clear_is_counted
):
    monkeypatch.setattr(compat, "EVERY_CLEAR_IS_COUNTED", every_clear_is_counted)
    life = Life(parameters={"sandbox_seconds": "0"}, retries=2)
    life.run()
    let_it_end(sandbox)
    life.edit(retries=1)
    life.clear()
    assert life.max_tries == 2, "as before the clear"
    if not every_clear_is_counted:
        life.clears = 0  # Airflow 2.11 to 3.2 count a clear only if the Dag run has ended
    asks(life)
    assert len(accepted()) == 1
    for _ in range(2):  # the same coincidence may ask once more, and then not again
        life.clear()
        try:
            life.run()
            break
        except exceptions.ZilliantEarlierJobError:
            continue
    assert len(accepted()) == 2


def test_before_3_3_a_clear_in_a_run_that_goes_on_is_a_clear(sandbox, accepted, monkeypatch):
    monkeypatch.setattr(compat, "EVERY_CLEAR_IS_COUNTED", False)
    life = Life(parameters={"sandbox_seconds": "0"})
    life.run()
    let_it_end(sandbox)
    life.clear()
    life.clears = 0
    life.run()
    assert len(accepted()) == 2


def test_a_job_that_continues_under_another_id_is_asked_about_and_not_doubled_by_a_retry(sandbox, accepted):
    life = Life(parameters=LONG)
    life.run()
    let_it_end(sandbox, "CONTINUED_AS_NEW")
    asks(life, match="goes on under another id|continues under another")
    asks(life)
    assert len(accepted()) == 1
    life.clear()
    life.run()
    assert len(accepted()) == 2


def test_each_try_has_a_timeout_of_its_own(sandbox, accepted):
    life = Life(parameters=LONG, wait_for_completion=True, timeout=3600)
    with pytest.raises(TaskDeferred):
        life.run()
    lets_time_pass(life, 2 * 3600)
    with pytest.raises(TaskDeferred) as deferred:
        life.run()
    assert deferred.value.trigger.end_time > time.time() + 3000


# Another Dag, another list, another Connection


@pytest.mark.parametrize(
    "edited",
    [
        {"workflow_automation_id": "Q"},
        {"scope": "eu"},
        {"parameters": {"sandbox_seconds": "0", "region": "apac"}},
        {"descriptor": "OTHER"},
    ],
)
@pytest.mark.parametrize("cleared", [False, True])
def test_a_task_that_asks_for_something_else_never_takes_the_recorded_job_for_its_own(
    sandbox, accepted, edited, cleared
):
    life = Life(parameters={**LONG, "region": "eu"}, map_index=1)
    job_id = life.run()
    life.edit(**edited)
    if cleared:
        life.clear()
    told = asks(life)
    assert job_id in told
    assert "workflow 'P' (scope 'us')" in told, "a recorded job is described by what it was submitted as"
    assert "apac" not in told, "values of parameters may be confidential"
    assert accepted() == [job_id]
    let_it_end(sandbox)
    life.clear()
    assert life.run() != job_id


def test_a_connection_that_leads_elsewhere_asks_and_asks_the_other_environment_nothing(sandbox, connect, accepted):
    life = Life(parameters=LONG)
    job_id = life.run()
    connect({**sandbox.connection(), "host": sandbox.url.replace("127.0.0.1", "localhost")})
    seen = len(sandbox.zilliant.requests)
    told = asks(life)
    assert job_id in told
    assert "may be open" in told
    assert asks(life) == told, "a retry asks again"
    assert len(sandbox.zilliant.requests) == seen


# A person's answer


@pytest.mark.parametrize("told", [False, True])
def test_an_answer_is_taken_whatever_else_is_on_record_and_is_used_up(sandbox, hook, accepted, told):
    life = Life(parameters=LONG, wait_for_completion=True, deferrable=False, timeout=0.2)
    sandbox.zilliant.parallel = True
    sandbox.zilliant.order_fault({"fault": "lose_reply", "method": "POST"})
    asks(life, exceptions.ZilliantSubmissionUnknownError)
    (lost,) = accepted()
    life.store[ANSWER_KEY] = lost
    life.clear()
    let_it_end(sandbox)
    assert life.run() == lost
    assert ANSWER_KEY not in life.store
    assert life.xcoms[-1, "job_id"] == lost
    assert life.xcoms[-1, "job_status"]["closeStatus"] == "COMPLETED"
    assert accepted() == [lost]


def test_an_answer_that_zilliant_does_not_know_submits_nothing(sandbox, accepted):
    life = Life()
    life.store[ANSWER_KEY] = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"
    with pytest.raises(exceptions.ZilliantConfigError, match="nothing was sent") as caught:
        life.run()
    assert is_final(caught.value)
    assert accepted() == []


# The wait that Airflow ends


def deferred_until_closed(**arguments) -> tuple[Life, TaskDeferred]:
    life = Life(parameters=LONG, wait_for_completion=True, **arguments)
    with pytest.raises(TaskDeferred) as deferred:
        life.run()
    return life, deferred.value


@pytest.mark.parametrize("map_index", [-1, 3])
@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_where_nothing_remembers_a_trigger_that_fails_is_not_retried(sandbox, accepted, map_index, do_xcom_push):
    life, _ = deferred_until_closed(durable=False, map_index=map_index, do_xcom_push=do_xcom_push)
    life.xcoms[7, "job_id"] = "another one's"
    with pytest.raises(exceptions.ZilliantError, match="would submit again") as caught:
        life.fail_wait()
    assert is_final(caught.value)
    assert (accepted()[0] in str(caught.value)) is do_xcom_push


def test_a_trigger_that_fails_is_retried_where_there_is_a_record_and_the_retry_attaches(sandbox, accepted):
    life, _ = deferred_until_closed()
    with pytest.raises(exceptions.ZilliantError, match="attaches to job") as caught:
        life.fail_wait()
    assert not is_final(caught.value)
    with pytest.raises(TaskDeferred):
        life.run()
    assert len(accepted()) == 1


def test_a_wait_for_the_scope_that_airflow_ends_is_left_to_the_retries(sandbox, hook, accepted):
    hook.run_workflow("Other", scope="us", parameters=LONG)
    life = Life(durable=False)
    with pytest.raises(TaskDeferred):
        life.run()
    with pytest.raises(exceptions.ZilliantError) as caught:
        life.fail_wait()
    assert not is_final(caught.value), "there is no job"


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("method", ["resume_completion", "__fail__"])
def test_on_2_11_an_execution_timeout_that_ends_the_deferral_publishes_once(sandbox, accepted, durable, method):
    limit = timedelta(seconds=25)
    life, _ = deferred_until_closed(durable=durable, execution_timeout=limit)
    context = life.context()
    context["ti"].next_method = method  # Airflow 2.11 alone has it
    context["ti"].start_date = pendulum.now("UTC") - limit
    task = life.operator()
    with pytest.raises((exceptions.ZilliantTimeoutError, AirflowTaskTimeout)) as caught:
        task.pre_execute(context)
    assert accepted()[0] in str(caught.value)
    assert is_final(caught.value) is not durable
    context["ti"].start_date = pendulum.now("UTC")
    task.pre_execute(context)  # there is time left
    context["ti"].start_date -= limit
    context["ti"].next_method = None
    task.pre_execute(context)  # a new try


def test_news_of_another_job_is_not_believed(sandbox, accepted):
    life, deferred = deferred_until_closed()
    (own,) = accepted()
    carried = deferred.trigger.carried
    foreign = {"jobId": "another", "executionStatus": "CLOSED", "closeStatus": "COMPLETED"}
    with pytest.raises(TaskDeferred) as again:
        life.resume("resume_completion", {"status": "closed", "job": foreign, "carried": carried})
    assert again.value.trigger.job_id == own
    life, deferred = deferred_until_closed(durable=False, scope="eu")
    with pytest.raises(exceptions.ZilliantError) as caught:
        life.resume("resume_completion", {"status": "closed", "job": foreign, "carried": deferred.trigger.carried})
    assert is_final(caught.value)


# After acceptance


@pytest.mark.parametrize("error", [AirflowTaskTimeout("late"), TimeoutError("slow metrics"), SystemExit(1)])
@pytest.mark.parametrize("where", ["telemetry", "record", "log", "close"])
def test_where_nothing_remembers_nothing_that_goes_wrong_after_acceptance_is_retried(
    sandbox, accepted, monkeypatch, error, where
):
    life = Life(durable=False, parameters=LONG)

    def fail(*_, **__):
        if accepted():
            raise error

    target, name = {
        "telemetry": (telemetry, "submitted"),
        "record": (ZilliantRunWorkflowOperator, "xcom_push_of_the_job"),
        "log": (ZilliantRunWorkflowOperator, "log"),
        "close": (ZilliantHook, "close"),
    }[where]
    if where == "record":
        monkeypatch.setattr(Ti, "xcom_push", fail)
    elif where == "log":
        log = SimpleNamespace(info=fail, warning=fail, error=fail, exception=fail)
        monkeypatch.setattr(ZilliantRunWorkflowOperator, "log", log)
    else:
        monkeypatch.setattr(target, name, fail)
    with pytest.raises(AirflowFailException):
        life.run()
    assert len(accepted()) == 1


def test_a_task_that_was_killed_before_the_post_sends_nothing(sandbox, accepted, monkeypatch):
    life = Life()
    prepare = ZilliantHook.prepare

    def killed_while_logging_in(hook):
        life.task.on_kill()
        return prepare(hook)

    monkeypatch.setattr(ZilliantHook, "prepare", killed_while_logging_in)
    with pytest.raises(exceptions.ZilliantError, match="was cleared, marked or killed"):
        life.run()
    assert [seen for seen in sandbox.zilliant.requests if seen["method"] == "POST"] == []
    assert life.store == {}, "and leaves no intent"


def test_an_intent_that_cannot_be_deleted_after_a_409_does_not_stop_its_own_try(sandbox, hook, accepted, monkeypatch):
    hook.run_workflow("Other", scope="us", parameters=LONG)
    life = Life()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", lambda *_: (_ for _ in ()).throw(TimeoutError("no answer")))
        with pytest.raises(TaskDeferred) as deferred:
            life.run()
    carried = deferred.value.trigger.carried
    let_it_end(sandbox)
    event = {"status": "retry", "waiting_since": time.time(), "carried": carried}
    job_id = life.resume("resume_submission", event)
    assert accepted()[1:] == [job_id]


# What Airflow remembers


def test_task_state_that_cannot_be_found_for_a_moment_is_not_taken_for_empty(sandbox, accepted, monkeypatch):
    life = Life(parameters=LONG, scope=None)
    job_id = life.run()
    get = Store.get
    answers = iter([True])

    def get_once_not_found(self, key, default=None):
        return None if key == KEY and next(answers, False) else get(self, key, default)

    monkeypatch.setattr(Store, "get", get_once_not_found)
    assert life.run() == job_id
    monkeypatch.setattr(Store, "get", lambda *_: None)
    with pytest.raises(exceptions.ZilliantError, match="cannot be read"):
        life.run()
    assert accepted() == [job_id]


class Variables(dict):
    """Where an Airflow before 3.3 keeps Variables."""

    def read(self, name):
        return self.get(name)

    def write(self, name, text, description):
        self[name] = text

    def remove(self, name):
        self.pop(name, None)


@pytest.fixture
def in_variables(monkeypatch):
    variables = Variables()
    monkeypatch.setattr(
        compat, "task_state", lambda context: VariableStore("prices", "publish", -1, "r", access=variables)
    )
    return variables


def test_a_variable_outlives_execute_since_the_try_may_still_be_repeated(sandbox, accepted, in_variables):
    life = Life(parameters={"sandbox_seconds": "0"})
    job_id = life.run(reports=False)
    let_it_end(sandbox)
    assert life.run(reports=False) == job_id, (
        "its worker died, or its result could not be stored, before Airflow knew of its end"
    )
    assert accepted() == [job_id]
    life.report()
    assert in_variables == {}


@pytest.mark.parametrize("given", [None, print, [print], (print,)])
def test_the_users_own_success_callbacks_stay(given):
    life = Life(parameters={"sandbox_seconds": "0"}, on_success_callback=given)
    life.run(reports=False)
    assert life.task.on_success_callback[:-1] == ([print] if given else [])


def test_a_worker_that_stood_still_while_another_took_over_submits_nothing(
    sandbox, accepted, in_variables, monkeypatch
):
    life = Life(parameters=LONG, scope=None)
    prepare = ZilliantHook.prepare

    def stands_still(hook):
        monkeypatch.setattr(ZilliantHook, "prepare", prepare)
        successor = Life(parameters=LONG, scope=None)
        successor.tries = 1
        successor.run(reports=False)
        monkeypatch.setattr("airflow_provider_zilliant.operators.current_try.FRESH", -1.0)
        return prepare(hook)

    monkeypatch.setattr(ZilliantHook, "prepare", stands_still)
    with pytest.raises(exceptions.ZilliantError, match="Another try of this task has begun"):
        life.run()
    assert len(accepted()) == 1


# What it says


def test_an_error_after_acceptance_names_the_job_and_the_next_steps(sandbox, accepted):
    life = Life(parameters=LONG, wait_for_completion=True, deferrable=False, timeout=0.2)
    with pytest.raises(exceptions.ZilliantTimeoutError) as caught:
        life.run()
    (job_id,) = accepted()
    assert str(caught.value).endswith(f"A retry of this task attaches to job {job_id}; clearing submits again.")
    life.clear()
    sandbox.zilliant.parallel = True
    with pytest.raises(exceptions.ZilliantTimeoutError):
        life.run()
    assert len(accepted()) == 2, "clearing submits again, as it said"


def test_without_a_record_of_the_job_nobody_is_promised_that_a_retry_attaches(sandbox, accepted, monkeypatch):
    put = Store.set
    monkeypatch.setattr(
        Store, "set", lambda self, key, value, **how: put(self, key, value) if value["state"] == "intent" else 1 / 0
    )
    life = Life(parameters=LONG, wait_for_completion=True, deferrable=False, timeout=0.2)
    with pytest.raises(exceptions.ZilliantTimeoutError, match="A retry of this task asks what to do"):
        life.run()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_says_that_no_job_was_submitted(sandbox, status):
    sandbox.zilliant.order_fault({"fault": "status", "status": status, "method": "POST"})
    with pytest.raises(exceptions.ZilliantRequestError, match=r"No job was submitted\.$"):
        Life().run()


def test_a_wait_on_the_worker_says_how_it_goes_and_warns_of_failed_polls(sandbox, monkeypatch):
    told = []

    def note(text, *arguments, **how):
        told.append(text % arguments)

    log = SimpleNamespace(info=note, warning=note, error=note, exception=note)
    monkeypatch.setattr(ZilliantRunWorkflowOperator, "log", log)
    sandbox.zilliant.order_fault({"fault": "status", "status": 503, "method": "GET"})
    life = Life(parameters={"sandbox_seconds": "0.6"}, wait_for_completion=True, deferrable=False)
    life.run()
    assert len([line for line in told if "That is 1 in a row; polling again in 0 s." in line]) == 1
    assert len([line for line in told if " is open" in line]) == 1, "at changes and every five minutes, not every poll"


def test_a_skip_logs_its_reason(sandbox, hook, monkeypatch):
    told = []

    def note(text, *arguments, **how):
        told.append(text % arguments)

    log = SimpleNamespace(info=note, warning=note, error=note, exception=note)
    monkeypatch.setattr(ZilliantRunWorkflowOperator, "log", log)
    hook.run_workflow("Other", scope="us", parameters=LONG)
    from airflow.providers.common.compat.sdk import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        Life(on_scope_busy="skip").run()
    assert any("on_scope_busy='skip'" in line for line in told)


def test_a_question_is_logged_as_short_lines_with_the_advice_first(sandbox, monkeypatch):
    told = []
    life = Life(parameters=LONG)
    life.run()
    life.edit(scope="eu")
    log = SimpleNamespace(info=lambda *_: None, error=told.append, warning=lambda *_: None)
    monkeypatch.setattr(ZilliantRunWorkflowOperator, "log", log)
    asks(life)
    assert told[0].startswith("Look at job ")
    assert "clear this task" in told[1]
    assert all(len(line) < 250 for line in told[:-1])

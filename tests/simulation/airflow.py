"""A model of Airflow: what it does to a task instance, each rule with the place in Airflow that it imitates.

Paths are those of Airflow 3.3.2 (``sdk/`` and ``airflow/`` in site-packages); "2.11" names 2.11.2's.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.sdk.exceptions import AirflowTaskTerminated

from tests.simulation.kernel import START, Dead, Loop, Machine, Process

if TYPE_CHECKING:
    from tests.simulation.life import Life


class Injected(Exception):
    """Trouble of Airflow's own, which an operator has to let through."""


@dataclass(frozen=True)
class Version:
    """How one Airflow differs.

    :param memory: ``state`` (3.3 and later) or ``variables``.
    :param clear_keeps: whether the task state survives a clear. 3.4 discards it.
    :param deducts: ``execution_timeout`` counts from the start, deferred time included, and is checked before the
        resume method (2.11: ``models/taskinstance.py:_execute_task``); 3.x: ``task_runner.py:_run_execute_callable``.
    :param term_raises: SIGTERM raises ``AirflowTaskTerminated`` (2.11: ``_execute_task_with_callbacks``); in 3.x it
        calls ``on_kill`` only (``task_runner.py:_run_task_and_map_outcome``).
    :param resumes_again: a retry of a task that failed in its resume method begins there (3.0.6).
    """

    name: str
    memory: str
    clear_keeps: bool = True
    deducts: bool = False
    term_raises: bool = False
    resumes_again: bool = False


V2_11 = Version("2.11", "variables", deducts=True, term_raises=True)
V3_0 = Version("3.0", "variables", resumes_again=True)
V3_2 = Version("3.2", "variables")
V3_3 = Version("3.3", "state")
V3_4 = Version("3.4", "state", clear_keeps=False)


@dataclass
class Clear:
    """A clear of a task instance by a person."""

    time: float
    forgets: bool
    was_green: bool


@dataclass
class Row:
    """A row of Airflow's table of triggers."""

    classpath: str
    kwargs: str
    deferred_time: float


class TaskInstance:
    """One task instance in Airflow's database, and what the scheduler does with it.

    :param ask: what its Dag says now: the arguments that are templated.
    :param options: the other arguments.
    """

    def __init__(self, life: Life, index: int, ask: dict[str, Any], options: dict[str, Any]) -> None:
        self.life = life
        self.index = index
        self.ask, self.options = ask, options
        self.retries: int = options["retries"]
        self.max_tries = self.retries
        self.try_number = 0
        self.id = 0
        self.state: str | None = None
        self.next_method: str | None = None
        self.next_kwargs: dict[str, Any] = {}
        self.row: Row | None = None
        self.trigger_timeout: float | None = None
        self.start_date: float | None = None
        self.xcoms: dict[str, Any] = {}
        self.store: dict[str, Any] = {}
        self.worker: Worker | None = None
        self.clears: list[Clear] = []
        self.tellings: list[tuple[float, str]] = []
        self.greens: list[tuple[float, str]] = []
        #: What is owed an agreement before another job may be accepted.
        self.owed: list[Any] = []
        self.answer: str | None = None
        self.answered: str | None = None
        self.urls: dict[int, set[str]] = {}
        #: POSTs without a certain outcome, and the try that could not take a refused one off its record.
        self.uncertain = 0
        self.unrestored: int | None = None
        self.attached_after_clear = False
        #: Intents on record, by process, and the jobs beside which each was agreed to.
        self.intents: dict[int, list[Any]] = {}
        self._ticket = 0

    def __repr__(self) -> str:
        return f"task {self.index}"

    def tell(self, text: str) -> None:
        """Something that a person can read: in the log, or as the task's error."""
        self.tellings.append((self.life.world.now, text))

    # The scheduler.

    def schedule(self, seconds: float) -> None:
        """A new try (``models/dagrun.py:schedule_tis``, which counts it)."""
        self._ticket += 1
        ticket = self._ticket
        self.life.world.after(seconds, lambda: self._queue(ticket, new=True))

    def _queue(self, ticket: int, *, new: bool) -> None:
        if ticket != self._ticket or self.state not in (None, "up_for_retry", "scheduled"):
            return
        if new:
            self.try_number += 1
        self.state = "queued"
        self.life.world.after(self.life.start_delay(), lambda: self._start(ticket))

    def _start(self, ticket: int) -> None:
        """``execution_api/routes/task_instances.py:ti_run``; XComs go unless it resumes."""
        if ticket != self._ticket or self.state != "queued":
            return
        self.state = "running"
        if self.next_method is None:
            self.xcoms.clear()
            self.start_date = None
        worker = Worker(self)
        if self.start_date is None:
            self.start_date = self.life.world.now + worker.skew
        self.worker = worker
        self.life.world.note(
            f"{self!r}: try {self.try_number} of max_tries {self.max_tries} starts"
            f"{f' in {self.next_method}' if self.next_method else ''}"
        )
        worker.start()

    def is_eligible(self) -> bool:
        """``task_instances.py:_is_eligible_to_retry``; 2.11 looks at ``task.retries`` too."""
        if self.state == "restarting":
            return True
        allowed = self.retries if self.life.version.term_raises else self.max_tries
        return allowed != 0 and self.try_number <= self.max_tries

    def fail(self, *, retry: bool) -> None:
        """``task_runner.py:_finalize_task_failure``, ``models/taskinstance.py:fetch_handle_failure_context``."""
        if not (self.life.version.resumes_again and retry and self.next_method not in (None, "__fail__")):
            self.next_method, self.next_kwargs = None, {}
        self.worker = None
        if retry:
            self.id += 1
            self.state = "up_for_retry"
            if self.life.strikes("edit before retry"):
                self.life.edit(self)
            self.schedule(self.options["retry_delay"])
        else:
            self.ends("failed")

    def ends(self, state: str) -> None:
        self.state = state
        self.row = None
        self._ticket += 1
        self.life.world.note(f"{self!r}: {state}")
        self.life.user_looks(self)

    # What a worker reports.

    def report(self, worker: Worker, state: str, detail: Any = None) -> None:
        """``task_instances.py:ti_update_state``: refused unless it runs, and after a clear (404: another id)."""
        if self.worker is not worker or self.state not in ("running", "restarting"):
            return
        if self.state == "restarting" and not self.life.version.term_raises:
            return
        if state == "failed":
            self.fail(retry=False)
        elif state == "retry":
            eligible = worker.should_retry if not self.life.version.term_raises else self.is_eligible()
            self.fail(retry=eligible)
        elif state == "deferred" and self.state == "running":
            self._defer(detail)
        elif state in ("success", "skipped"):
            self.next_method, self.next_kwargs, self.worker = None, {}, None
            if state == "success":
                self.greens.append((self.life.world.now, detail))
            self.ends(state)

    def _defer(self, deferred: TaskDeferred) -> None:
        """``task_runner.py:_defer_task``, ``task_instances.py``: TIDeferredStatePayload."""
        classpath, kwargs = deferred.trigger.serialize()
        text = json.dumps(kwargs)
        self.life.check_text(text, "trigger arguments")
        self.worker = None
        self.state = "deferred"
        self.next_method, self.next_kwargs = deferred.method_name, deferred.kwargs or {}
        now = self.life.world.now
        self.row = row = Row(classpath, text, now)
        limit = deferred.timeout
        end = now + limit.total_seconds() if limit is not None else None
        execution_timeout = self.options["execution_timeout"]
        if self.life.version.deducts and execution_timeout is not None:
            # 2.11: models/taskinstance.py:_defer_task, "set the timeout to the minimum".
            end = min(x for x in (end, (self.start_date or now) + execution_timeout) if x is not None)
        if end is not None:
            self.life.world.at(end + self.life.tick, lambda: self._time_out(row))
        self.life.assign(self, row)

    def _time_out(self, row: Row) -> None:
        """``jobs/scheduler_job_runner.py:check_trigger_timeouts``."""
        if self.row is row and self.state == "deferred":
            self.life.meet("item 3")
            self._resume("__fail__", {"error": "Trigger timeout"})

    def trigger_failed(self, row: Row, error: BaseException) -> None:
        """``models/trigger.py:submit_failure``."""
        if self.row is row and self.state == "deferred":
            self.life.meet("item 3")
            self.life.world.note(f"{self!r}: its trigger failed: {error!r}")
            self._resume("__fail__", {"error": "Trigger failure", "traceback": [repr(error)]})

    def event(self, row: Row, payload: Any) -> None:
        """``models/trigger.py:submit_event``, ``handle_event_submit``: only for the row that it waits for."""
        text = json.dumps(payload)
        self.life.check_text(text, "event")
        if self.row is row and self.state == "deferred":
            self.life.world.note(f"{self!r}: event {text[:110]}")
            self._resume(self.next_method, {**self.next_kwargs, "event": json.loads(text)})

    def _resume(self, method: str | None, kwargs: dict[str, Any]) -> None:
        self.next_method, self.next_kwargs, self.row = method, kwargs, None
        self.state = "scheduled"
        self._ticket += 1
        self._queue(self._ticket, new=False)
        if self.life.strikes("mismatch"):
            # scheduler_job_runner.py:process_executor_events, "state mismatch": a late report of the first phase.
            ticket = self._ticket
            self.life.world.after(self.life.world.dice.uniform(0, 8), lambda: self._mismatch(ticket))

    def _mismatch(self, ticket: int) -> None:
        if ticket == self._ticket and self.state in ("queued", "running"):
            self.life.world.note(f"{self!r}: state mismatch")
            self.life.airflow_lost(self)
            if self.worker is not None:
                self.life.terminate(self.worker, "state mismatch")
            self.fail(retry=self.is_eligible())

    # What people do.

    def clear(self) -> None:
        """``models/taskinstance.py:clear_task_instances``."""
        life = self.life
        life.world.note(f"{self!r}: cleared while {self.state} (max_tries {self.max_tries}, retries {self.retries})")
        forgets = not life.version.clear_keeps and not life.keeps_state
        self.clears.append(Clear(life.world.now, forgets, self.state == "success"))
        life.clear_number += 1
        if forgets:
            self.store.clear()
        self.id += 1
        if self.state == "running":
            self.state = "restarting"
            worker = self.worker
            if worker is not None and worker.blocked_in and worker.requesting == "post" and worker.post is not None:
                life.meet("item 4")
            if worker is not None and worker.dead:
                life.world.after(2.0, lambda: self.ended(worker, killed=True))
            elif worker is not None:
                # supervisor.py:_send_heartbeat_if_needed; 2.11: local_task_job_runner.py:heartbeat_callback.
                heartbeat = life.world.dice.uniform(0, 5) + (5 if life.version.term_raises else 0)
                life.world.after(heartbeat, partial(life.terminate, worker, "cleared"))
            return
        self.max_tries = self.try_number + self.retries
        self.next_method, self.next_kwargs = None, {}
        if self.row is not None:
            life.cancel(self.row)
            self.row = None
        self.state = None
        self.worker = None
        self.schedule(life.tick)

    def ended(self, worker: Worker, *, killed: bool) -> None:
        """The process is gone, whether or not its report arrived."""
        if self.worker is not worker:
            return
        life = self.life
        if self.state == "restarting":
            if life.version.term_raises or life.strikes("executor reports failure"):
                self.fail(retry=True)  # max_tries stays
            else:
                # scheduler_job_runner.py: "cleared and successfully terminated".
                self.max_tries = self.try_number + self.retries
                self.worker = None
                self.state = None
                self.next_method, self.next_kwargs = None, {}
                self.schedule(life.tick)
        elif self.state == "running":
            # supervisor.py:final_state sees an exit code; or scheduler_job_runner.py finds no heartbeat for 300 s.
            life.airflow_lost(self)
            seconds = 300.0 if killed and life.strikes("host lost") else 2.0
            life.world.after(seconds, lambda: self._lost(worker))

    def _lost(self, worker: Worker) -> None:
        if self.worker is worker and self.state == "running":
            life = self.life
            retry = worker.should_retry if not life.version.term_raises else self.is_eligible()
            life.world.note(f"{self!r}: its process is gone")
            self.fail(retry=retry)

    def mark(self, state: str) -> None:
        """Marked by a person as failed or success."""
        worker = self.worker
        if self.row is not None:
            self.life.cancel(self.row)
        self.life.world.note(f"{self!r}: marked as {state}")
        self.worker = None
        self.next_method, self.next_kwargs = None, {}
        self.ends(state)
        if worker is not None:
            self.life.terminate(worker, "marked")


class TimeLimit:
    """``sdk/execution_time/timeout.py:TimeoutPosix``: one timer for a process; leaving any of them stops it."""

    life: Life

    def __init__(self, seconds: float = 1, error_message: str = "Timeout") -> None:
        self._seconds = seconds

    def __enter__(self) -> TimeLimit:
        worker: Any = self.life.world.machine
        worker.set_alarm(self._seconds)
        return self

    def __exit__(self, *_: object) -> None:
        worker: Any = self.life.world.machine
        worker.set_alarm(None)


class _Ti:
    """``RuntimeTaskInstance``, as far as operators look at it."""

    dag_id, task_id, run_id = "prices", "publish", "manual__1"

    def __init__(self, worker: Worker) -> None:
        ti = worker.ti
        self._worker = worker
        self.map_index = ti.index
        self.try_number, self.max_tries = worker.try_number, worker.max_tries
        self.start_date = datetime.fromtimestamp(ti.start_date or START, UTC)
        if ti.life.version.term_raises:
            self.next_method = ti.next_method

    def xcom_push(self, key: str, value: Any) -> None:
        worker = self._worker
        worker.effect("xcom.before")
        trouble = worker.trouble("xcom")
        if trouble == "before":
            raise Injected("XCom cannot be pushed")
        text = json.dumps(value)
        worker.life.check_text(text, "XCom")
        worker.ti.xcoms[key] = json.loads(text)
        if trouble == "after":
            raise Injected("XCom pushed, the reply was lost")
        worker.effect("xcom.after")

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        if self._worker.trouble("xcom") == "before":
            raise Injected("XCom cannot be pulled")
        return self._worker.ti.xcoms.get(key)


class _Ti2(_Ti):
    def current_state(self) -> str | None:
        """2.11: ``models/taskinstance.py:current_state``."""
        if self._worker.trouble("store") == "before":
            raise Injected("the database does not answer")
        return self._worker.ti.state


class _Ti3(_Ti):
    def get_task_states(
        self, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int | None = None
    ) -> dict[str, Any]:
        """``execution_api/routes/task_instances.py:get_task_instance_states``."""
        worker = self._worker
        worker.effect("store.get")
        if worker.trouble("store") == "before":
            raise Injected("the API server does not answer")
        return {self.run_id: {f"{self.task_id}_{self.map_index}": worker.ti.state}}


class _Log:
    """The task's log: every line is a moment at which something can happen."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def info(self, text: str, *values: Any, **_: Any) -> None:
        self._line(text, values, told=False)

    def error(self, text: str, *values: Any, **_: Any) -> None:
        self._line(text, values, told=True)

    debug = info
    warning = exception = error

    def _line(self, text: str, values: tuple[Any, ...], *, told: bool) -> None:
        worker = self._worker
        if worker.dead:
            raise Dead
        if told or worker.world.trace is not None:
            shown = text % values if values else text
            worker.life.check_text(shown, "log")
            worker.world.note(f"{worker!r} log: {shown[:150]}")
            if told:
                worker.ti.tell(shown)
        worker.effect("log")


class _Store:
    """``sdk/execution_time/context.py:TaskStateStoreAccessor``.

    After a clear, the old process reads nothing and cannot write: its task instance has another id
    (``execution_api/routes/task_state_store.py:_get_task_scope_for_ti``).
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def get(self, key: str, default: Any = None) -> Any:
        worker = self._worker
        worker.effect("store.get")
        if worker.trouble("store") == "before":
            raise Injected("the task state cannot be read")
        value = worker.ti.store.get(key) if worker.ti.id == worker.id else None
        return default if value is None else json.loads(json.dumps(value))

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        text, worker = json.dumps(value), self._worker
        self._change(lambda: worker.life.remembers(worker.ti, key, json.loads(text)), text)

    def delete(self, key: str) -> None:
        self._change(lambda: self._worker.life.forgets(self._worker.ti, key), "")

    def _change(self, apply: Callable[[], Any], text: str) -> None:
        worker = self._worker
        worker.effect("store.before")
        if worker.ti.id != worker.id:
            worker.life.meet("a state write refused after a clear")
            raise Injected("404: no such task instance")
        worker.life.check_text(text, "record")
        trouble = worker.trouble("store")
        if trouble == "before":
            raise Injected("the task state cannot be written")
        apply()
        if trouble == "after":
            raise Injected("the task state was written, the reply was lost")
        worker.effect("store.after")


class Worker(Process):
    """A process that runs one phase of a task: to its end, or to its deferral."""

    def __init__(self, ti: TaskInstance) -> None:
        life = ti.life
        super().__init__(life.world, life.skew())
        self.life = life
        self.ti = ti
        self.id = ti.id
        self.try_number, self.max_tries = ti.try_number, ti.max_tries
        self.number = life.next_number()
        self.started = life.world.now
        self.ended: float | None = None
        self.should_retry = ti.is_eligible()
        self.ask = dict(ti.ask)
        self.options = ti.options
        self.retries = ti.retries
        self.effects = 0
        self.post: Any = None
        self.killed_time: float | None = None
        self.killed_before = False
        self.last_status: int | None = None
        self.requesting = ""
        self.decided = False
        #: When it made up its mind to submit.
        self.intended = life.world.now
        self.tokens: dict[Any, Any] = {}
        self.task: Any = None
        self._alarm = 0
        self.next_method, self.next_kwargs = ti.next_method, ti.next_kwargs
        life.workers.append(self)

    def __repr__(self) -> str:
        return f"{self.ti!r} try {self.try_number}"

    def enter(self) -> None:
        self.life.seams.tokens(self.tokens)

    def die(self) -> None:
        super().die()
        self.ended = self.world.now

    # Moments, and what strikes at them.

    def effect(self, name: str) -> None:
        """A moment at which a process can die, be interrupted, or be slow."""
        if self.dead:
            raise Dead
        self.effects += 1
        life = self.life
        if life.calm:
            return
        strike = life.hazard(self, name)
        if strike is not None:
            self._strike(strike, name)

    def _strike(self, strike: str, name: str) -> None:
        life = self.life
        if self.blocked_in is not None:
            return  # in a signal handler
        life.world.note(f"{self!r}: {strike} at {name}")
        life.meet(f"{strike} at {name}")
        if strike == "kill":
            self.die()
            self.ti.ended(self, killed=True)
            raise Dead
        if strike == "terminate":
            if self.post is None:
                life.meet("item 12")
            life.terminate(self, "terminated")
            if self.dead:
                raise Dead
            self.wait(0)
        elif strike == "slow":
            if name in ("metrics", "log", "store.before", "store.after") and self.last_status == 202:
                life.meet("item 11")
            self.wait(life.world.dice.choice((0.3, 3.0, 12.0, 100.0)), "slow")
        elif strike == "clear":
            if name.startswith("post"):
                life.meet("item 4")
            self.ti.clear()
        elif strike == "clear twice":
            self.ti.clear()
            self.ti.clear()
        elif strike == "fail":
            self.ti.mark("failed")
        elif strike == "edit":
            life.edit(self.ti)

    def fault(self, kind: str, weights: dict[str, int]) -> str | None:
        return self.life.fault(self.number, kind, weights)

    def trouble(self, what: str) -> str | None:
        trouble = self.life.trouble(what)
        if trouble == "before" and what == "store" and self.last_status == 409:
            self.life.meet("item 14")
            self.ti.unrestored = self.try_number
        return trouble

    def enters(self, kind: str) -> None:
        """A request is about to be made."""
        self.requesting = kind
        if kind == "post":
            self.killed_before = self.killed_time is not None

    def set_alarm(self, seconds: float | None) -> None:
        self._alarm += 1
        if seconds is not None:
            alarm = self._alarm
            self.world.after(max(0.0, seconds), lambda: self._ring(alarm), self)

    def _ring(self, alarm: int) -> None:
        if alarm == self._alarm and not self.dead:
            self.world.note(f"{self!r}: alarm")
            self.life.meet(f"alarm in {self.blocked_in}")
            self.interrupt(AirflowTaskTimeout("Timeout, PID: 1"))

    # A POST, as the truth sees it.

    def begins_post(self, place: Any, body: bytes) -> None:
        self.life.post_begins(self, place, body)

    def got_reply(self, response: Any) -> None:
        self.life.post_replied(self, response)

    # ``task_runner.py:run``.

    def main(self) -> None:
        try:
            state, detail = self._run()
            try:
                self.effect("state.before")
            except AirflowTaskTerminated:
                return
            if self.trouble("state") == "before":
                self.life.meet("a state report lost")
                self.world.note(f"{self!r}: its report {state!r} is lost")
            else:
                self.ti.report(self, state, detail)
            if state == "success" and (not self.life.version.deducts or self.ti.state == "success"):
                self._finalize()
        finally:
            if not self.dead:
                self.die()
                self.ti.ended(self, killed=False)

    def _run(self) -> tuple[str, Any]:
        """``task_runner.py:_run_task_and_map_outcome``; 2.11: ``models/taskinstance.py:_run_raw_task``."""
        ti = self.ti
        self.effect("start")
        self.task = task = self.life.make_task(self)
        view: Any = (_Ti2 if self.life.version.deducts else _Ti3)(self)
        context: dict[str, Any] = {"ti": view, "task": task}
        context["dag_run"] = SimpleNamespace(clear_number=self.life.clear_number)
        if self.life.version.memory == "state":
            context["task_state_store"] = _Store(self)
        try:
            result = self._execute(task, context, view)
            try:
                view.xcom_push("return_value", result)
            except BaseException:
                self.life.airflow_lost(ti)  # after the operator's last word
                raise
            self.life.returned(self, result)
            self._context = context
            return "success", result
        except Dead:
            raise
        except TaskDeferred as deferred:
            return "deferred", deferred
        except AirflowSkipException:
            return "skipped", None
        except AirflowFailException as error:
            self._failed(error)
            return "failed", error
        except (AirflowException, AirflowTaskTimeout, AirflowTaskTerminated, BaseException) as error:
            self._failed(error)
            return "retry", error

    def _finalize(self) -> None:
        """``task_runner.py:finalize``, even if the report was refused; 2.11: ``_run_raw_task``.

        In 2.11 the callbacks run just before the commit; here, just after it.
        """
        for callback in self.task.on_success_callback or ():
            try:
                callback(self._context)
            except Exception as error:
                self.world.note(f"{self!r}: callback failed: {error!r}")
            except AirflowTaskTerminated:
                return

    def _execute(self, task: Any, context: dict[str, Any], view: Any) -> Any:
        version, limit = self.life.version, self.options["execution_timeout"]
        if self.next_method is not None:
            call = partial(task.resume_execution, self.next_method, dict(self.next_kwargs), context)
        else:
            call = partial(task.execute, context)
        start = self.ti.start_date or self.world.clock()
        deducts = version.deducts and self.next_method is not None and limit is not None
        if deducts and self.world.clock() - start > limit - 2:
            self.life.meet("item 1")
        task.pre_execute(context)
        try:
            self.effect("pre_execute")
        except AirflowTaskTerminated:
            self.life.airflow_lost(self.ti)  # 2.11: a signal before the operator's method has begun
            raise
        if limit is None:
            return call()
        seconds = limit - (self.world.clock() - start) if deducts else limit
        try:
            if seconds <= 0:
                raise AirflowTaskTimeout
            with TimeLimit(seconds):
                return call()
        except AirflowTaskTimeout:
            task.on_kill()
            raise

    def _failed(self, error: BaseException) -> None:
        text = str(error)
        self.life.check_text(text, "error")
        self.world.note(f"{self!r} failed: {type(error).__name__}: {text[:200]}")
        self.ti.tell(f"{type(error).__name__}: {text}")
        self.life.check_error(self, error)


class Triggerer(Machine):
    """``jobs/triggerer_job_runner.py:TriggerRunner``: one process, one event loop, many triggers."""

    def __init__(self, life: Life, skew: float) -> None:
        super().__init__(skew)
        self.life = life
        self.loop = Loop(life.world, self)
        self.running: dict[int, tuple[Row, Any, Any]] = {}
        self.number = 1000 + len(life.triggerers)
        self.since: dict[Any, float] = {}

    def fault(self, kind: str, weights: dict[str, int]) -> str | None:
        return self.life.fault(self.number, kind, weights)

    def begin(self, ti: TaskInstance, row: Row) -> None:
        """``create_triggers``: a class that cannot be loaded fails its task."""
        life = self.life
        if life.strikes("trigger cannot be imported"):
            ti.trigger_failed(row, ImportError("No module named 'airflow_provider_zilliant'"))
            return
        kind = life.seams.triggers[row.classpath]
        trigger = kind(**json.loads(row.kwargs))
        fails_after = life.world.dice.uniform(0, 40) if life.strikes("trigger raises") else None
        task = self.loop.create_task(self._run(ti, row, trigger))
        self.running[id(row)] = (row, task, trigger)
        self.since[task] = life.world.now
        if fails_after is not None:
            life.world.after(fails_after, lambda: self._break(ti, row), self)

    def _break(self, ti: TaskInstance, row: Row) -> None:
        if id(row) in self.running:
            self.stop(row)
            ti.trigger_failed(row, RuntimeError("broken"))

    async def _run(self, ti: TaskInstance, row: Row, trigger: Any) -> None:
        try:
            async for event in trigger.run():
                self.life.world.after(self.life.tick, partial(ti.event, row, event.payload))
        except Exception as error:
            ti.trigger_failed(row, error)
        finally:
            self.running.pop(id(row), None)

    def stop(self, row: Row) -> None:
        if id(row) in self.running:
            task = self.running[id(row)][1]
            self.loop.call_soon(task.cancel)

    def die(self) -> list[Row]:
        self.dead = True
        return [row for row, _, _ in self.running.values()]

    def bury(self) -> None:
        """Ends coroutines that will never be resumed."""
        import asyncio

        world = self.life.world
        self.dead = True
        world.machine = self
        asyncio._set_running_loop(self.loop)
        try:
            for _, task, _ in list(self.running.values()):
                coroutine = task.get_coro()
                with contextlib.suppress(RuntimeError):
                    coroutine.close()
        finally:
            asyncio._set_running_loop(None)
            world.machine = world.nowhere

"""When to look again and when to stop, as pure decisions with a clock under control."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant import arguments, exceptions, waiting
from airflow_provider_zilliant.api.client import Client, Now, ReadConnection, Send, Sleep
from airflow_provider_zilliant.api.environment import environment_of
from airflow_provider_zilliant.api.http import NoReply, Reply
from airflow_provider_zilliant.exceptions import ZilliantError

JOB = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"
OPEN = Reply(200, body=b'{"executionStatus": "OPEN", "closeStatus": null}')
COMPLETED = Reply(200, body=b'{"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}')


class Clock:
    """Performs a flow's effects with a clock that only sleeping moves."""

    def __init__(self, answers: Iterator[Reply | NoReply], now: float = 1000.0) -> None:
        self.now = now
        self.answers = answers
        self.looks: list[float] = []

    def drive(self, flow: Any) -> Any:
        result: Any = None
        try:
            while True:
                effect = flow.send(result)
                match effect:
                    case Send():
                        self.looks.append(self.now)
                        result = next(self.answers)
                    case Now():
                        result = self.now
                    case Sleep(seconds):
                        assert seconds > 0
                        self.now += seconds
                        result = None
                    case ReadConnection():
                        result = environment_of(host="z.example")
                    case _:
                        result = self.drive(effect.flow)
        except StopIteration as stop:
            return stop.value


def watch(clock: Clock, **how: Any) -> dict[str, Any]:
    told = {"began": clock.now, "accepted_at": clock.now, "poll_interval": None, "end_time": None}
    return clock.drive(waiting.watch(Client({}), JOB, **{**told, "before_first_look": 0.0, **how}))


@pytest.mark.parametrize(("waited", "seconds"), [(0, 5), (49, 5), (50, 5), (300, 30), (600, 60), (1e6, 60)])
def test_the_adaptive_interval_is_a_tenth_of_the_wait(waited, seconds):
    assert waiting.interval(waited, None) == seconds


@given(waited=st.floats(0, 1e9), poll_interval=st.none() | st.floats(0.001, 1e6))
def test_a_pause_is_the_interval_lengthened_by_at_most_a_tenth(waited, poll_interval):
    interval = waiting.interval(waited, poll_interval)
    assert interval <= waiting.pause(waited, poll_interval) <= interval * 1.1


@given(run_time=st.floats(1, 100_000))
def test_a_jobs_end_is_noticed_within_a_tenth_of_its_run_time(run_time):
    clock = Clock(iter(()))
    began = clock.now
    clock.answers = iter(lambda: COMPLETED if clock.now - began >= run_time else OPEN, None)
    first = waiting.first_pause(began, began=began, deferred_at=began, poll_interval=None)
    assert watch(clock, before_first_look=first)["status"] == "closed"
    late = clock.now - began - run_time
    assert late <= min(max(8.8 if run_time < 8.8 else 5.5, 0.11 * run_time), 66)


@given(
    deferred_at=st.floats(0, 1e6),
    waited=st.floats(0, 1e5),
    restarted_after=st.floats(0, 1e5),
    poll_interval=st.none() | st.floats(0.1, 1e4),
)
def test_the_first_look_comes_within_an_interval_also_after_a_restart(
    deferred_at, waited, restarted_after, poll_interval
):
    now = deferred_at + restarted_after
    first = waiting.first_pause(now, began=deferred_at - waited, deferred_at=deferred_at, poll_interval=poll_interval)
    interval = waiting.interval(now - deferred_at + waited, poll_interval)
    assert 0 <= first <= 1.1 * max(interval, 8.0 if poll_interval is None else 0.0) + 1e-6
    if poll_interval is None:
        assert now + first >= deferred_at + 8.0 - 1e-6, "Airflow may fail a task that is resumed so soon"


@given(limit=st.floats(0, 1e5), restarts=st.lists(st.floats(0.1, 1e4), max_size=5))
def test_a_deadline_is_the_same_however_often_the_wait_is_restarted(limit, restarts):
    end_time = 1000.0 + limit
    clock = Clock(iter(lambda: OPEN, None))
    for ran in restarts:  # a triggerer that dies in the middle of a wait, and one that starts over
        clock.now += ran
    event = watch(clock, began=1000.0, end_time=end_time, before_first_look=5.0)
    assert event["status"] == "timeout"
    assert clock.now == pytest.approx(max(end_time, 1000.0 + sum(restarts)))
    assert len(clock.looks) >= 1, "at the deadline it looks once more"


def test_a_job_that_ended_counts_as_ended_at_the_deadline():
    assert watch(Clock(iter([COMPLETED])), end_time=900.0)["status"] == "closed"


TRANSIENT = [
    NoReply(sent=True, reason="reset"),
    NoReply(sent=False, reason="refused"),
    Reply(429),
    Reply(500),
    Reply(503),
    Reply(200, body=b"<html>"),
    Reply(200, body=b'{"executionStatus": "PENDING"}'),
    Reply(404),
]


@pytest.mark.parametrize("answer", TRANSIENT)
def test_ten_failures_in_a_row_are_ridden_out_and_a_success_starts_the_count_anew(answer):
    answers = [*[answer] * 10, OPEN, *[answer] * 10, COMPLETED]
    assert watch(Clock(iter(answers)), poll_interval=1.0)["status"] == "closed"


@pytest.mark.parametrize("answer", TRANSIENT[:-1])
def test_the_eleventh_failure_ends_the_wait_and_leaves_the_job_alone(answer):
    clock = Clock(iter([answer] * 20))
    event = watch(clock, poll_interval=1.0)
    assert (event["status"], len(clock.looks)) == ("error", 11)
    assert "left alone" in event["message"]
    with pytest.raises(ZilliantError, match=r"11 looks in a row"):
        waiting.closed_job(event, about="workflow 'P'")


def test_a_job_that_is_not_found_after_its_first_minute_is_gone():
    clock = Clock(iter([Reply(404)] * 20))
    event = watch(clock, accepted_at=clock.now - 61)
    assert (event["status"], len(clock.looks)) == ("error", 1)
    with pytest.raises(exceptions.ZilliantNotFoundError) as caught:
        waiting.closed_job(event, about="workflow 'P'")
    assert caught.value.status_code == 404


def test_retry_after_is_honoured():
    clock = Clock(iter([Reply(429, {"retry-after": "120"}), COMPLETED]))
    watch(clock, poll_interval=1.0)
    assert clock.looks[1] - clock.looks[0] >= 120


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        "closed",
        [],
        {"status": "success"},
        {"status": "closed"},
        {"status": "closed", "job": None},
        {"status": "closed", "job": {"jobId": JOB}},
        {"status": "closed", "job": {"jobId": JOB, "executionStatus": "OPEN"}},
        {"status": "closed", "job": {"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}},
        {"status": "closed", "job": {"jobId": 5, "executionStatus": "CLOSED", "closeStatus": "COMPLETED"}},
        {"status": "error"},
        {"status": "error", "message": None, "error": "SystemExit"},
        {"status": "timeout"},
    ],
)
def test_an_event_that_is_missing_malformed_or_unheard_of_is_never_a_success(event):
    with pytest.raises(ZilliantError):
        waiting.closed_job(event, about="workflow 'P'")


@given(
    st.recursive(
        st.none() | st.text() | st.booleans(),
        lambda inner: st.dictionaries(
            st.sampled_from(["status", "job", "jobId", "executionStatus", "closeStatus", "message", "error"]), inner
        ),
    )
)
def test_only_a_closed_and_completed_job_is_a_success(event):
    try:
        status = waiting.closed_job(event, about="workflow 'P'")
    except ZilliantError:
        return
    assert event["job"]["executionStatus"].upper() == "CLOSED"
    assert status.succeeded


@pytest.mark.parametrize("name", [name for name in vars(exceptions) if name.startswith("Zilliant")])
def test_an_error_keeps_its_type_on_its_way_through_an_event(name):
    error = getattr(exceptions, name)("what happened")
    event = waiting.failed_event(JOB, error, str(error))
    with pytest.raises(type(error), match="what happened") as caught:
        waiting.closed_job(event, about="workflow 'P'")
    assert type(caught.value) is type(error)


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), (0, 0.0), (90, 90.0), (1.5, 1.5), (timedelta(hours=24), 86400.0)]
)
def test_a_limit_is_a_timedelta_seconds_or_none(value, seconds):
    assert arguments.seconds_of("timeout", value) == seconds


@pytest.mark.parametrize("value", [-1, True, "5", float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_wrong_limit_is_named(value):
    with pytest.raises(ValueError, match="scope_timeout"):
        arguments.seconds_of("scope_timeout", value)


@pytest.mark.parametrize("value", [0, -1, True, "5", float("nan"), float("inf")])
def test_a_wrong_poll_interval_is_named(value):
    with pytest.raises(ValueError, match="poll_interval"):
        arguments.poll_interval_of(value)

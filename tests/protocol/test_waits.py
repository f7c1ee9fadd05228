"""When to poll again and when to stop, as pure decisions with a clock under control."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_zilliant import arguments, exceptions
from airflow_provider_zilliant.api.client import Client
from airflow_provider_zilliant.api.environment import Environment
from airflow_provider_zilliant.api.http import NoReply, Reply, Request
from airflow_provider_zilliant.api.job_status import JobStatus
from airflow_provider_zilliant.api.transport import run
from airflow_provider_zilliant.connection.fields import parse_environment
from airflow_provider_zilliant.exceptions import ZilliantError
from airflow_provider_zilliant.waits import events, intervals, watching
from airflow_provider_zilliant.waits.events import Closed, Failed, Retry, TimedOut

T = TypeVar("T")

JOB = "5b6a2c3d-91f0-4a6e-9f7b-1a2b3c4d5e6f"
OPEN = Reply(200, body=b'{"executionStatus": "OPEN", "closeStatus": null}')
COMPLETED = Reply(200, body=b'{"executionStatus": "CLOSED", "closeStatus": "COMPLETED"}')


class Clock:
    """A transport with replies made up beforehand and a clock that only sleeping moves."""

    def __init__(self, replies: Iterator[Reply | NoReply], time: float = 1000.0) -> None:
        self.time = time
        self.replies = replies
        self.polls: list[float] = []
        self.reads: Iterator[Exception | None] = iter(lambda: None, 1)

    def now(self) -> float:
        return self.time

    async def send(self, request: Request) -> Reply | NoReply:
        self.polls.append(self.time)
        return next(self.replies)

    async def sleep(self, seconds: float, /) -> None:
        assert seconds > 0
        self.time += seconds

    async def finish(self, call: Awaitable[T], by: float | None) -> T:
        return await call

    async def read_connection(self) -> Environment:
        error = next(self.reads)
        if error is not None:
            raise error
        return parse_environment(host="z.example")

    async def compute(self, function: Any, /) -> Any:
        return function()

    async def mask(self, secrets: object, /) -> None:
        raise AssertionError("there is no token")

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        yield


def watch(clock: Clock, **how: Any) -> Closed | TimedOut | Failed:
    default = {"began": clock.time, "accepted_time": clock.time, "poll_interval": None, "deadline": None}
    return run(watching.watch(Client(clock, {}), JOB, **{**default, "first_pause": 0.0, **how}))


@pytest.mark.parametrize(("waited", "seconds"), [(0, 5), (49, 5), (50, 5), (300, 30), (600, 60), (1e6, 60)])
def test_the_adaptive_interval_is_a_tenth_of_the_wait(waited, seconds):
    assert intervals.interval(waited, None) == seconds


@given(waited=st.floats(0, 1e9), poll_interval=st.none() | st.floats(0.001, 1e6))
def test_a_pause_is_the_interval_lengthened_by_at_most_a_tenth(waited, poll_interval):
    interval = intervals.interval(waited, poll_interval)
    assert interval <= intervals.pause(waited, poll_interval) <= interval * 1.1


@given(run_time=st.floats(1, 100_000))
def test_a_jobs_end_is_noticed_within_a_tenth_of_its_run_time(run_time):
    clock = Clock(iter(()))
    began = clock.time
    clock.replies = iter(lambda: COMPLETED if clock.time - began >= run_time else OPEN, None)
    first = intervals.first_pause(began, began=began, deferred_time=began, poll_interval=None)
    assert isinstance(watch(clock, first_pause=first), Closed)
    late = clock.time - began - run_time
    assert late <= min(max(8.8 if run_time < 8.8 else 5.5, 0.11 * run_time), 66)


@given(
    deferred_time=st.floats(0, 1e6),
    waited=st.floats(0, 1e5),
    restarted_after=st.floats(0, 1e5),
    poll_interval=st.none() | st.floats(0.1, 1e4),
)
def test_the_first_poll_comes_within_an_interval_also_after_a_restart(
    deferred_time, waited, restarted_after, poll_interval
):
    now = deferred_time + restarted_after
    first = intervals.first_pause(
        now, began=deferred_time - waited, deferred_time=deferred_time, poll_interval=poll_interval
    )
    interval = intervals.interval(now - deferred_time + waited, poll_interval)
    earliest = 8.0 if poll_interval is None else 0.0
    assert earliest <= first <= max(1.1 * max(interval, earliest), earliest + interval) + 1e-6


@given(wrong_by=st.floats(-60, 60), latency=st.floats(0, 3), poll_interval=st.none() | st.floats(0.1, 1e4))
def test_a_wrong_clock_neither_hurries_nor_delays_a_first_poll(wrong_by, latency, poll_interval):
    deferred_time = 1000.0 + wrong_by
    first = intervals.first_pause(
        1000.0 + latency, began=deferred_time, deferred_time=deferred_time, poll_interval=poll_interval
    )
    if poll_interval is None:
        assert 8.0 <= first <= 8.0 + 6.0, "Airflow may fail a task that is resumed sooner"
    else:
        assert first <= 1.1 * poll_interval + 1e-6


def test_who_waits_for_the_scope_hurries_a_poll_but_not_before_retry_after_has_passed():
    clock = Clock(iter([OPEN, Reply(429, {"retry-after": "120"}), COMPLETED]))
    slept: list[tuple[float, float]] = []

    async def sleep(seconds: float, at_least: float) -> None:
        slept.append((seconds, at_least))
        clock.time += seconds

    event = watch(clock, began=clock.time - 600, first_pause=60.0, sleep=sleep)
    assert isinstance(event, Closed)
    (first, at_first), (second, at_second), (asked, at_asked) = slept
    assert (first, at_first) == (60, 8)
    assert 60 <= second <= 66
    assert 5 <= at_second <= 5.5
    assert asked == at_asked == 120


@given(limit=st.floats(0, 1e5), restarts=st.lists(st.floats(0.1, 1e4), max_size=5))
def test_a_deadline_is_the_same_however_often_the_wait_is_restarted(limit, restarts):
    deadline = 1000.0 + limit
    clock = Clock(iter(lambda: OPEN, None))
    for ran in restarts:  # a triggerer that dies in the middle of a wait, and one that starts over
        clock.time += ran
    event = watch(clock, began=1000.0, deadline=deadline, first_pause=5.0)
    assert event == TimedOut(JOB)
    assert clock.time == pytest.approx(max(deadline, 1000.0 + sum(restarts)))
    assert len(clock.polls) >= 1, "at the deadline it polls once more"


def test_a_job_that_ended_counts_as_ended_at_the_deadline():
    assert isinstance(watch(Clock(iter([COMPLETED])), deadline=900.0), Closed)


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


@pytest.mark.parametrize("reply", TRANSIENT)
def test_ten_failures_in_a_row_are_tolerated_and_a_success_starts_the_count_anew(reply):
    replies = [*[reply] * 10, OPEN, *[reply] * 10, COMPLETED]
    assert isinstance(watch(Clock(iter(replies)), poll_interval=1.0), Closed)


@pytest.mark.parametrize("reply", TRANSIENT[:-1])
def test_the_eleventh_failure_ends_the_wait_and_leaves_the_job_alone(reply):
    clock = Clock(iter([reply] * 20))
    event = watch(clock, poll_interval=1.0)
    assert (type(event), len(clock.polls)) == (Failed, 11)
    assert "not affected" in event.message
    with pytest.raises(ZilliantError, match=r"11 polls in a row"):
        events.verdict(event, about="workflow 'P'")


def test_a_job_that_is_not_found_twice_after_its_first_minute_is_gone():
    clock = Clock(iter([Reply(404)] * 20))
    event = watch(clock, accepted_time=clock.time - 61)
    assert (type(event), len(clock.polls)) == (Failed, 2)
    with pytest.raises(exceptions.ZilliantNotFoundError) as caught:
        events.verdict(event, about="workflow 'P'")
    assert caught.value.status_code == 404


def test_one_404_of_a_gateway_does_not_end_a_wait():
    replies = [OPEN, Reply(404), OPEN, Reply(404, body=b"<html>"), COMPLETED]
    assert isinstance(watch(Clock(iter(replies)), accepted_time=0.0), Closed)


def missing_connection() -> exceptions.ZilliantConfigError:
    error = exceptions.ZilliantConfigError("The conn_id `c` isn't defined")
    error.is_missing_connection = True
    return error


UNREADABLE = [missing_connection(), exceptions.ZilliantUnreachableError("cannot be read at the moment")]


@pytest.mark.parametrize("error", UNREADABLE, ids=["not found", "unreachable"])
def test_a_secrets_backend_that_stumbles_ends_no_wait_before_the_eleventh_time(error):
    clock = Clock(iter([COMPLETED]))
    clock.reads = iter([*[error] * 10, None])
    assert isinstance(watch(clock), Closed)
    clock = Clock(iter([COMPLETED]))
    clock.reads = iter([error] * 11)
    event = watch(clock)
    assert isinstance(event, Failed)
    assert type(event.error) is type(error)
    assert clock.polls == []


@pytest.mark.parametrize("error", UNREADABLE, ids=["not found", "unreachable"])
def test_a_single_poll_tolerates_a_secrets_backend_that_stumbles(error):
    clock = Clock(iter([COMPLETED]))
    clock.reads = iter([*[error] * 10, None])
    assert run(watching.poll_patiently(Client(clock, {}), JOB)).succeeded


def test_a_connection_with_a_wrong_field_ends_the_wait_at_once():
    clock = Clock(iter([COMPLETED]))
    clock.reads = iter([exceptions.ZilliantConfigError("Host: missing"), None])
    assert isinstance(watch(clock), Failed)


@pytest.mark.parametrize("reply", [Reply(404), NoReply(sent=True, reason="reset"), NoReply(sent=False, reason="name")])
def test_after_a_404_or_an_unreachable_host_the_connection_is_read_anew(reply):
    clock = Clock(iter([OPEN, OPEN, reply, OPEN, COMPLETED]))
    read: list[float] = []
    clock.reads = iter(lambda: read.append(clock.time), 1)
    assert isinstance(watch(clock), Closed)
    assert read == [clock.polls[0], clock.polls[3]]


def test_retry_after_is_honoured():
    clock = Clock(iter([Reply(429, {"retry-after": "120"}), COMPLETED]))
    watch(clock, poll_interval=1.0)
    assert clock.polls[1] - clock.polls[0] >= 120


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
        conclude(event)


def conclude(payload: object) -> JobStatus:
    """What a resumed task makes of the payload."""
    event = events.parse_event(payload)
    if event is None or isinstance(event, Retry):
        raise events.unrecognized(payload, about="workflow 'P'")
    return events.verdict(event, about="workflow 'P'")


@given(
    st.recursive(
        st.none() | st.text() | st.booleans(),
        lambda inner: st.dictionaries(
            st.sampled_from(["status", "job", "jobId", "executionStatus", "closeStatus", "message", "error"]), inner
        ),
    )
)
def test_only_a_closed_and_completed_job_is_a_success(payload):
    try:
        status = conclude(payload)
    except ZilliantError:
        return
    assert payload["job"]["executionStatus"].upper() == "CLOSED"
    assert status.succeeded


@pytest.mark.parametrize(
    "event",
    [
        Closed(JobStatus(JOB, "CLOSED", "COMPLETED")),
        Closed(JobStatus(JOB, "CLOSED", None)),
        TimedOut(JOB),
        TimedOut(waiting_since=5.0),
        Retry(5.0),
    ],
)
def test_an_event_is_the_same_after_its_way_through_a_trigger(event):
    assert events.parse_event(events.to_payload(event, {})) == event


@pytest.mark.parametrize("name", [name for name in vars(exceptions) if name.startswith("Zilliant")])
def test_an_error_keeps_its_type_on_its_way_through_an_event(name):
    error = getattr(exceptions, name)("what happened")
    payload = events.to_payload(Failed(JOB, error, str(error)), {})
    with pytest.raises(type(error), match="what happened") as caught:
        conclude(payload)
    assert type(caught.value) is type(error)


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), (0, 0.0), (90, 90.0), (1.5, 1.5), (timedelta(hours=24), 86400.0)]
)
def test_a_limit_is_a_timedelta_seconds_or_none(value, seconds):
    assert arguments.parse_seconds("timeout", value) == seconds


@pytest.mark.parametrize("value", [-1, True, "5", float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_wrong_limit_is_named(value):
    with pytest.raises(ValueError, match="scope_timeout"):
        arguments.parse_seconds("scope_timeout", value)


@pytest.mark.parametrize("value", [0, -1, True, "5", float("nan"), float("inf")])
def test_a_wrong_poll_interval_is_named(value):
    with pytest.raises(ValueError, match="poll_interval"):
        arguments.parse_poll_interval(value)

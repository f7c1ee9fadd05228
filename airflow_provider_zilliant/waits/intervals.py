"""Every duration between polls, and what a deadline leaves of it: pure arithmetic."""

from __future__ import annotations

import random
from datetime import timedelta

SHORTEST_INTERVAL, LONGEST_INTERVAL = 5.0, 60.0
#: No task is resumed sooner than this many seconds after its deferral, unless the user asks for shorter intervals:
#: Airflow's LocalExecutor reports a deferral up to 6 s late, and by then fails a task that has been queued again.
EARLIEST_RESUMPTION = 8.0
JITTER = 0.1
#: Airflow itself ends a deferral this much later than the trigger should have: for a trigger that died for good.
BACKSTOP = timedelta(minutes=10)


def interval(waited: float, poll_interval: float | None) -> float:
    """Seconds until the next poll after ``waited`` seconds of waiting, before jitter."""
    if poll_interval is not None:
        return poll_interval
    return min(max(waited / 10, SHORTEST_INTERVAL), LONGEST_INTERVAL)


def pause(waited: float, poll_interval: float | None) -> float:
    """The interval lengthened by a random 0 to 10 %, so that tasks that began together drift apart."""
    return _lengthen(interval(waited, poll_interval))


def first_pause(now: float, *, began: float, deferred_time: float, poll_interval: float | None) -> float:
    """Seconds before a trigger's first poll, which may resume its task.

    A trigger that starts after its poll was due has been restarted, perhaps with a thousand others:
    they spread over a whole interval. Or its worker's clock is behind, so even then it resumes nothing sooner
    than a trigger that has just begun. If that clock is ahead, it waits no longer than any other.
    """
    earliest = earliest_resumption(poll_interval)
    planned = _lengthen(max(interval(deferred_time - began, poll_interval), earliest))
    remaining = deferred_time + planned - now
    if remaining <= 0:
        return earliest + interval(now - began, poll_interval) * random.random()
    return max(earliest, min(remaining, planned))


def earliest_resumption(poll_interval: float | None) -> float:
    """Seconds from a deferral until its task may be resumed."""
    return EARLIEST_RESUMPTION if poll_interval is None else 0.0


def shortest_pause() -> float:
    """The pause while others wait for the same scope."""
    return _lengthen(SHORTEST_INTERVAL)


def cut_off(seconds: float, deadline: float | None, now: float) -> float:
    """The pause, ended by the deadline."""
    return max(0.0, min(seconds, deadline - now)) if deadline is not None else seconds


def has_passed(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline


def earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def backstop(deadline: float | None, now: float) -> timedelta | None:
    """The limit of a deferral for Airflow."""
    return timedelta(seconds=max(0.0, deadline - now)) + BACKSTOP if deadline is not None else None


def _lengthen(seconds: float) -> float:
    return seconds * (1 + JITTER * random.random())
